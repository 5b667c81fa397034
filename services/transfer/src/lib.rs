//! Kafka to MongoDB. Per batch of a partition: place every message (one seq each, repeats recognised), write, raise the
//! conversation's newest seq and the senders' read positions, create conversation rows, hand to push, and only then let the offset
//! be committed. Every step can be repeated without effect, so dying on any line loses and doubles nothing.

mod expand;
mod metrics;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bus::{Batch, PartitionHandler, Producer};
use config::{Hook, Service};
use expand::{Outgoing, expand};
use futures::TryStreamExt;
use model::{
    Clock, conversation_id as ids,
    sequencer::{DedupKey, Placement, place},
};
use prost::Message;
use protocol::{
    content_type::{AT_TEXT, session, status},
    conversation::{CreateSingleChatConversationsReq, CreateSingleChatConversationsResp},
    internal::{MarkMentionsReq, MarkMentionsResp, PushRecord},
    sdkws::MsgData,
};
use rpc::{Context, Peers};
use store::{
    Store,
    messages::{Inserted, StoredMessage},
    seqs::ConversationSeq,
};

pub use metrics::TransferMetrics;
use webhooks::Webhooks;

/// Conversations whose newest seq a partition keeps in memory.
const KNOWN_CONVERSATIONS: usize = 100_000;

/// What every partition's handler shares.
#[derive(Clone)]
pub struct Transfer {
    /// Where messages are written.
    pub store: Store,
    /// Where stored messages go.
    pub producer: Producer,
    /// The topic push reads.
    pub push_topic: String,
    /// For conversation rows.
    pub peers: Peers,
    /// Calls to the integrator.
    pub webhooks: Webhooks,
    /// How long messages took.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: TransferMetrics,
}

impl Transfer {
    /// The handler of one assigned partition.
    pub fn partition(&self, partition: i32) -> Partition {
        Partition { transfer: self.clone(), partition, max_seqs: HashMap::new() }
    }
}

/// The state of one partition while this instance owns it.
pub struct Partition {
    transfer: Transfer,
    partition: i32,
    /// Newest stored seq per conversation, as this owner knows it; a conflict shows that another owner was here.
    max_seqs: HashMap<String, i64>,
}

impl PartitionHandler for Partition {
    async fn handle(&mut self, batch: Batch) {
        let mut messages = Vec::with_capacity(batch.records.len());
        for (_, payload) in &batch.records {
            match MsgData::decode(payload.clone()) {
                Ok(message) => messages.push(message),
                // Only our own producer writes here. A record that never decodes would block its partition for ever.
                Err(error) => {
                    tracing::error!(partition = self.partition, %error, bytes = payload.len(), "transfer.undecodable_record");
                    self.transfer.metrics.undecodable.inc();
                }
            }
        }
        let outgoing = expand(messages);
        let mut delay = Duration::from_millis(50);
        while let Err(error) = self.process(&outgoing).await {
            self.transfer.metrics.failed.inc();
            tracing::error!(partition = self.partition, %error, retry_in = ?delay, "transfer.batch_failed");
            // What is known may be wrong after a half-done write.
            self.max_seqs.clear();
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
    }
}

impl Partition {
    async fn process(&mut self, outgoing: &[Outgoing]) -> protocol::Result<()> {
        let seqs = self.write(outgoing).await?;
        self.advance(outgoing, &seqs).await?;
        self.create_conversations(outgoing, &seqs).await?;
        self.mark_mentions(outgoing, &seqs).await?;
        self.tell_saved(outgoing, &seqs).await;
        let records: Vec<(String, Vec<u8>)> =
            outgoing.iter().zip(&seqs).map(|(item, seq)| push_record(item, *seq)).collect();
        self.transfer
            .producer
            .send_all(&self.transfer.push_topic, &records)
            .await
            .map(|_refused| ())
            .map_err(protocol::Error::internal)
    }

    /// Stores what is not stored yet; returns the seq of every message, 0 for those that are not stored at all.
    async fn write(&mut self, outgoing: &[Outgoing]) -> protocol::Result<Vec<i64>> {
        let stored: Vec<&Outgoing> = outgoing.iter().filter(|item| item.stored).collect();
        let keys: Vec<DedupKey> = stored.iter().map(|item| item.key()).collect();
        let mut known_keys = HashMap::new();
        let mut seqs = Vec::new();
        let mut conflicted = false;
        while !keys.is_empty() {
            self.learn_max_seqs(&keys, conflicted).await?;
            let mut max_seqs = self.max_seqs.clone();
            let placements = place(&keys, &mut max_seqs, &known_keys);
            let documents: Vec<StoredMessage> = stored
                .iter()
                .zip(&keys)
                .zip(&placements)
                .filter_map(|((item, key), placement)| match placement {
                    Placement::New(seq) => {
                        Some(StoredMessage::new(key, *seq, &item.message, item.encode(*seq)))
                    }
                    Placement::Repeat(_) => None,
                })
                .collect();
            if !documents.is_empty()
                && self.transfer.store.insert_messages(&documents).await? == Inserted::Conflict
            {
                // Repeats, or another owner wrote meanwhile: look at what is there and place the rest again.
                known_keys = self.transfer.store.stored_keys(&keys).await?;
                self.max_seqs.clear();
                conflicted = true;
                self.transfer.metrics.conflicts.inc();
                continue;
            }
            self.max_seqs = max_seqs;
            self.transfer.metrics.inserted.inc_by(documents.len() as u64);
            let now = self.transfer.clock.now_ms();
            for item in outgoing.iter().filter(|item| item.stored) {
                let took = (now - item.message.send_time).max(0);
                self.transfer.metrics.stored.observe(took as f64 / 1000.0);
            }
            seqs = placements.into_iter().map(Placement::seq).collect();
            break;
        }
        let mut seqs = seqs.into_iter();
        Ok(outgoing.iter().map(|item| if item.stored { seqs.next().unwrap_or(0) } else { 0 }).collect())
    }

    /// The counter says where a conversation stands, also when its messages were removed by age. It follows the messages, so an owner
    /// that died between the two leaves it behind: then placing conflicts, and the messages themselves are asked as well.
    async fn learn_max_seqs(&mut self, keys: &[DedupKey], conflicted: bool) -> protocol::Result<()> {
        if self.max_seqs.len() > KNOWN_CONVERSATIONS {
            self.max_seqs.clear();
        }
        let unknown: HashSet<&String> =
            keys.iter().map(|key| &key.conversation).filter(|id| !self.max_seqs.contains_key(*id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<String> = unknown.into_iter().cloned().collect();
        let counted = self.transfer.store.conversation_seqs(&unknown).await?;
        let stored = if conflicted {
            self.transfer.store.stored_max_seqs(unknown.clone()).await?
        } else {
            HashMap::new()
        };
        for id in unknown {
            let counted = counted.get(&id).map_or(0, ConversationSeq::last);
            let stored = stored.get(&id).copied().unwrap_or(0);
            self.max_seqs.insert(id, counted.max(stored));
        }
        Ok(())
    }

    /// Raises newest seqs and the senders' own read positions.
    async fn advance(&self, outgoing: &[Outgoing], seqs: &[i64]) -> protocol::Result<()> {
        let mut newest: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        let mut read: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (item, seq) in outgoing.iter().zip(seqs).filter(|(_, seq)| **seq > 0) {
            let entry = newest.entry(&item.conversation).or_default();
            *entry = (entry.0.max(*seq), entry.1.max(item.message.send_time));
            if !ids::is_notification(&item.conversation) {
                let entry = read.entry((&item.message.send_id, &item.conversation)).or_default();
                *entry = (*entry).max(*seq);
            }
        }
        let newest: Vec<(String, i64, i64)> =
            newest.into_iter().map(|(id, (seq, time))| (id.to_owned(), seq, time)).collect();
        let read: Vec<(String, String, i64)> =
            read.into_iter().map(|((user, id), seq)| (user.to_owned(), id.to_owned(), seq)).collect();
        let (newest, read) = futures::join!(
            self.transfer.store.raise_max_seqs(&newest),
            self.transfer.store.raise_read_seqs(&read)
        );
        newest?;
        Ok(read?)
    }

    /// The first message of a pair creates both rows. Group rows are created when members join.
    async fn create_conversations(&self, outgoing: &[Outgoing], seqs: &[i64]) -> protocol::Result<()> {
        let first = outgoing.iter().zip(seqs).filter(|(item, seq)| {
            **seq == 1
                && !ids::is_notification(&item.conversation)
                && item.message.session_type != session::GROUP
        });
        let created = first.map(|(item, _)| Ok(self.create_conversation(item)));
        futures::stream::iter(created).try_for_each_concurrent(16, |create| create).await
    }

    async fn create_conversation(&self, item: &Outgoing) -> protocol::Result<()> {
        let message = &item.message;
        let request = CreateSingleChatConversationsReq {
            recv_id: message.recv_id.clone(),
            send_id: message.send_id.clone(),
            conversation_id: item.conversation.clone(),
            conversation_type: message.session_type,
        };
        let context = Context::system(format!("transfer-{}", message.server_msg_id));
        let conversations = self.transfer.peers.get(Service::Conversation);
        let _created: CreateSingleChatConversationsResp =
            conversations.call(&context, "CreateSingleChatConversations", &request).await?;
        Ok(())
    }

    async fn tell_saved(&self, outgoing: &[Outgoing], seqs: &[i64]) {
        for (item, seq) in outgoing.iter().zip(seqs) {
            if *seq == 0 || !self.transfer.webhooks.wants_message(Hook::AfterMsgSaveDB, &item.message) {
                continue;
            }
            let context = Context::system(format!("transfer-{}", item.message.server_msg_id));
            let mut body = webhooks::about(&context, &item.message);
            body["seq"] = (*seq).into();
            let query = webhooks::reply_query(&item.message);
            self.transfer.webhooks.after_with_query(&context, Hook::AfterMsgSaveDB, &query, body).await;
        }
    }

    /// At-messages mark the conversations of those they name, so that clients that are offline see the mark later.
    async fn mark_mentions(&self, outgoing: &[Outgoing], seqs: &[i64]) -> protocol::Result<()> {
        for (item, seq) in outgoing.iter().zip(seqs) {
            let message = &item.message;
            let names_somebody = message.content_type == AT_TEXT && !message.at_user_id_list.is_empty();
            if *seq == 0 || message.session_type != session::GROUP || !names_somebody {
                continue;
            }
            let request = MarkMentionsReq {
                group_id: message.group_id.clone(),
                send_id: message.send_id.clone(),
                at_user_i_ds: message.at_user_id_list.clone(),
                announcement: false,
            };
            let context = Context::system(format!("transfer-{}", message.server_msg_id));
            let conversations = self.transfer.peers.get(Service::Conversation);
            let _marked: MarkMentionsResp = conversations.call(&context, "MarkMentions", &request).await?;
        }
        Ok(())
    }
}

fn push_record(item: &Outgoing, seq: i64) -> (String, Vec<u8>) {
    let record = PushRecord { conversation_id: item.conversation.clone(), msg_data: item.encode(seq).into() };
    // One key for a chat and its notifications keeps their order.
    let key = item.conversation.split_once('_').map_or(item.conversation.as_str(), |(_, rest)| rest);
    (key.to_owned(), record.encode_to_vec())
}

impl Outgoing {
    fn key(&self) -> DedupKey {
        DedupKey {
            conversation: self.conversation.clone(),
            send_id: self.message.send_id.clone(),
            client_msg_id: self.message.client_msg_id.clone(),
        }
    }

    fn encode(&self, seq: i64) -> Vec<u8> {
        // Status and seq are the only fields that change: set on a shallow copy (strings and bytes of MsgData are few).
        let mut message = self.message.clone();
        message.seq = seq;
        if message.status == status::SENDING {
            message.status = status::SUCCESS;
        }
        message.encode_to_vec()
    }
}

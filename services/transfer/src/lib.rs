//! Kafka to MongoDB. Per batch of a partition: assign seqs (one per message, repeats recognized), write, raise the conversation's
//! newest seq and the senders' read positions, create conversation rows, queue the hooks, hand over to push, and only then commit
//! the offset. Every step is idempotent, so a crash on any line loses and duplicates nothing. A record that Kafka permanently
//! rejects does not block a partition: its message is stored, and pulled by its receivers.

mod after_hooks;
mod expand;
#[cfg(test)]
#[path = "../../../crates/store/src/fake_jobs.rs"]
#[allow(dead_code)] // each crate's tests use a part of it
mod fake_jobs;
mod mentions;
mod metrics;
mod positions;
mod write;

use std::{sync::Arc, time::Duration};

use bus::{Batch, Handled, PartitionHandler, Producer, Recent, Refused};
use config::Hook;
use expand::{Accepted, Outgoing, State, expand};
use futures::TryStreamExt;

use mentions::Wanted;
pub use mentions::{Marks, Mentions};
use model::{Clock, conversation_id as ids};
use positions::{Raises, raises};
use prost::Message;
use protocol::{
    content_type::{AT_TEXT, session},
    conversation::CreateSingleChatConversationsReq,
    internal::{self, MarkMentionsReq, PushRecord},
    sdkws::MsgData,
};
use rpc::{Context, Peers};
use store::{DateTime, Store, conversations::Conversation};

pub use metrics::TransferMetrics;
use webhooks::Webhooks;

/// Conversations whose newest seq a partition keeps in memory.
const KNOWN_CONVERSATIONS: usize = 100_000;
/// Messages that a partition remembers to have handled, 16 bytes each: a retry of one of them costs nothing.
const HANDLED_MESSAGES: usize = 50_000;

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
    /// Marks of mentioned users.
    pub mentions: Mentions,
    /// How long messages took.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: TransferMetrics,
}

impl Transfer {
    /// The handler of one assigned partition.
    pub fn partition(&self, partition: i32) -> Partition {
        Partition {
            transfer: self.clone(),
            partition,
            newest: Recent::new(KNOWN_CONVERSATIONS),
            handled: Handled::new(HANDLED_MESSAGES),
        }
    }
}

/// The state of one partition while this instance owns it.
pub struct Partition {
    transfer: Transfer,
    partition: i32,
    /// Newest stored seq per conversation, as this owner knows it: never more than is stored. A conflict shows that it is less, after another
    /// owner or a half-done write.
    newest: Recent<String, i64>,
    /// Messages that were handled to the end.
    handled: Handled,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Nothing,
    /// Its messages are stored.
    Stored,
    /// Newest seqs and read positions are raised too.
    Advanced,
}

impl PartitionHandler for Partition {
    async fn handle(&mut self, batch: Batch) {
        let mut outgoing = expand(self.decode(batch));
        let handled = self.leave_out_what_is_handled(&mut outgoing);
        let mut reached = Reached::Nothing;
        let mut delay = Duration::from_millis(50);
        while let Err(error) = self.process(&mut outgoing, &mut reached).await {
            self.transfer.metrics.failed.inc();
            tracing::error!(partition = self.partition, %error, retry_in = ?delay, "transfer.batch_failed");
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
        for mark in handled {
            self.handled.remember(mark);
        }
    }
}

impl Partition {
    fn decode(&self, batch: Batch) -> Vec<Accepted> {
        let names_requests = after_hooks::names_requests(&self.transfer.webhooks);
        let mut accepted = Vec::with_capacity(batch.records.len());
        for (_, payload) in batch.records {
            // Only our own producer writes here. A record that never decodes would block its partition for ever.
            match MsgData::decode(payload.clone()) {
                Ok(message) => {
                    let origin = if names_requests { internal::Accepted::decode(payload).ok() } else { None };
                    let operation =
                        origin.map(|origin| origin.operation_id).filter(|operation| !operation.is_empty());
                    accepted.push(Accepted { message, operation });
                }
                Err(error) => {
                    tracing::error!(partition = self.partition, %error, bytes = payload.len(), "transfer.undecodable_record");
                    self.transfer.metrics.undecodable.inc();
                }
            }
        }
        accepted
    }

    /// Everything that becomes of a batch. A process that dies on any line leaves the offset where it was: the next owner meets what is
    /// written as repeats and does the rest, of which some is then done twice.
    async fn process(&mut self, outgoing: &mut [Outgoing], reached: &mut Reached) -> protocol::Result<()> {
        if *reached == Reached::Nothing {
            *reached = self.write(outgoing).await?;
            self.measure(outgoing);
        }
        if *reached == Reached::Stored {
            self.advance(outgoing).await?;
            *reached = Reached::Advanced;
        }
        self.create_conversations(outgoing).await?;
        let mentions = mentions_in(outgoing);
        self.transfer.mentions.keep(&mentions).await?;
        self.queue_hooks(outgoing).await?;
        self.hand_to_push(outgoing).await?;
        self.transfer.mentions.begin(mentions);
        Ok(())
    }

    fn measure(&self, outgoing: &[Outgoing]) {
        let now = self.transfer.clock.now_ms();
        for item in outgoing.iter().filter(|item| item.stored) {
            let took = (now - item.message.send_time).max(0);
            self.transfer.metrics.stored.observe(took as f64 / 1000.0);
        }
    }

    /// Raises newest seqs and the senders' own read positions, where they were not written with the messages.
    async fn advance(&self, outgoing: &[Outgoing]) -> protocol::Result<()> {
        let Raises { newest, read } = raises(outgoing);
        let (newest, read) = futures::join!(
            self.transfer.store.raise_max_seqs(&newest),
            self.transfer.store.raise_read_seqs(&read)
        );
        newest?;
        Ok(read?)
    }

    /// The first message of a pair creates both rows. Group rows are created when members join. The conversation service is needed only for
    /// the hooks around it.
    async fn create_conversations(&self, outgoing: &[Outgoing]) -> protocol::Result<()> {
        let first = outgoing.iter().filter(|item| {
            item.seq == 1
                && !ids::is_notification(&item.conversation)
                && item.message.session_type != session::GROUP
        });
        let hooks = [Hook::BeforeCreateSingleChatConversations, Hook::AfterCreateSingleChatConversations];
        if hooks.iter().any(|hook| self.transfer.webhooks.wants(*hook)) {
            let created = first.map(|item| Ok(self.create_with_hooks(item)));
            return futures::stream::iter(created).try_for_each_concurrent(16, |create| create).await;
        }
        let now = DateTime::from_millis(self.transfer.clock.now_ms());
        let rows: Vec<Conversation> = first.flat_map(|item| rows_of(item, now)).collect();
        if !rows.is_empty() {
            self.transfer.store.ensure_conversations(&rows).await?;
        }
        Ok(())
    }

    async fn create_with_hooks(&self, item: &Outgoing) -> protocol::Result<()> {
        let message = &item.message;
        let request = CreateSingleChatConversationsReq {
            recv_id: message.recv_id.clone(),
            send_id: message.send_id.clone(),
            conversation_id: item.conversation.clone(),
            conversation_type: message.session_type,
        };
        let context = Context::system(format!("transfer-{}", message.server_msg_id));
        self.transfer.peers.call(&context, &request).await?;
        Ok(())
    }

    async fn queue_hooks(&self, outgoing: &[Outgoing]) -> protocol::Result<()> {
        let records = after_hooks::records(&self.transfer.webhooks, outgoing);
        let refused = self.transfer.webhooks.queue(&records).await.map_err(protocol::Error::internal)?;
        for Refused { index, error } in refused {
            let (hook, payload) = &records[index];
            self.refused("hook", hook, 0, payload.len(), &error);
        }
        Ok(())
    }

    async fn hand_to_push(&self, outgoing: &[Outgoing]) -> protocol::Result<()> {
        let pushed: Vec<&Outgoing> = outgoing.iter().filter(|item| item.state == State::Open).collect();
        let records: Vec<(String, Vec<u8>)> = pushed.iter().map(|item| push_record(item)).collect();
        let sent = self.transfer.producer.send_all(&self.transfer.push_topic, &records).await;
        for Refused { index, error } in sent.map_err(protocol::Error::internal)? {
            let item = pushed[index];
            self.refused("push", &item.conversation, item.seq, records[index].1.len(), &error);
        }
        Ok(())
    }

    /// What is stored is pulled by its receivers; trying again would stop the partition for ever.
    fn refused(&self, what: &str, of: &str, seq: i64, bytes: usize, error: &bus::BusError) {
        tracing::error!(partition = self.partition, what, of, seq, bytes, %error, "transfer.record_refused");
        self.transfer.metrics.refused.inc();
    }
}

/// At-messages mark the conversations of those they name, so that clients that are offline see the mark later.
fn mentions_in(outgoing: &[Outgoing]) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for item in outgoing.iter().filter(|item| item.seq > 0 && item.state == State::Open) {
        let message = &item.message;
        let names_somebody = message.content_type == AT_TEXT && !message.at_user_id_list.is_empty();
        if message.session_type == session::GROUP && names_somebody {
            let request = MarkMentionsReq {
                group_id: message.group_id.clone(),
                send_id: message.send_id.clone(),
                at_user_ids: message.at_user_id_list.clone(),
                announcement: false,
            };
            wanted.push(Wanted { id: format!("{}/{}", item.conversation, item.seq), request });
        }
    }
    wanted
}

/// The rows of both who talk; a notification account has none.
fn rows_of(item: &Outgoing, now: DateTime) -> Vec<Conversation> {
    let (message, id) = (&item.message, &item.conversation);
    let (sender, receiver, kind) = (&message.send_id, &message.recv_id, message.session_type);
    let mut rows = vec![Conversation::new(receiver, id, kind, sender, "", now)];
    if kind == session::SINGLE && sender != receiver {
        rows.push(Conversation::new(sender, id, kind, receiver, "", now));
    }
    rows
}

fn push_record(item: &Outgoing) -> (String, Vec<u8>) {
    let record = PushRecord { conversation_id: item.conversation.clone(), msg_data: item.encoded.clone() };
    // One key for a chat and its notifications keeps their order.
    let key = item.conversation.split_once('_').map_or(item.conversation.as_str(), |(_, rest)| rest);
    (key.to_owned(), record.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_message(session_type: i32, from: &str, to: &str) -> Outgoing {
        let message =
            MsgData { send_id: from.into(), recv_id: to.into(), session_type, ..Default::default() };
        expand(vec![Accepted { message, operation: None }]).remove(0)
    }

    #[test]
    fn both_who_talk_have_a_row() {
        let owners = |session_type, from, to| -> Vec<(String, String)> {
            let rows = rows_of(&first_message(session_type, from, to), DateTime::from_millis(1));
            rows.into_iter().map(|row| (row.owner_user_id, row.user_id)).collect()
        };
        let pair = |owner: &str, peer: &str| (owner.to_owned(), peer.to_owned());
        assert_eq!(owners(session::SINGLE, "a", "b"), [pair("b", "a"), pair("a", "b")]);
        assert_eq!(owners(session::SINGLE, "a", "a"), [pair("a", "a")]);
        assert_eq!(owners(session::NOTIFICATION, "system", "b"), [pair("b", "system")]);
    }
}

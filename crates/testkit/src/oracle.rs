//! What must be true. Some of it is looked at whenever an offset is committed, the rest when everything has caught up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bus::memory::Committed;
use config::Config;
use parking_lot::Mutex;
use prost::Message;
use protocol::{Result, sdkws::MsgData};
use store::memory::Memory;

use crate::{
    World,
    device::{Seen, read_all},
};

/// A message that somebody tried to send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) conversation: String,
    pub(crate) sender: String,
    pub(crate) client_msg_id: String,
    pub(crate) text: String,
    /// The service has said that it has it.
    pub(crate) acknowledged: bool,
}

/// Collects what went wrong.
#[derive(Clone, Default)]
pub(crate) struct Oracle {
    wrong: Arc<Mutex<Vec<String>>>,
    /// In the order in which each sender sent them.
    pub(crate) sent: Arc<Mutex<Vec<Sent>>>,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    conversation: String,
    seq: i64,
    message: MsgData,
}

fn stored(memory: &Memory) -> Vec<Stored> {
    let documents = memory.documents("messages");
    let all = documents.iter().filter_map(|document| {
        let (conversation, seq) = document.get_str("_id").ok()?.rsplit_once(':')?;
        let message = MsgData::decode(document.get_binary_generic("m").ok()?.as_slice()).ok()?;
        Some(Stored {
            conversation: conversation.to_owned(),
            seq: i64::from_str_radix(seq, 16).ok()?,
            message,
        })
    });
    let mut all: Vec<Stored> = all.collect();
    all.sort_by(|one, other| (&one.conversation, one.seq).cmp(&(&other.conversation, other.seq)));
    all
}

fn conversation_of(message: &MsgData) -> String {
    model::conversation_id::of_message(message).unwrap_or_default()
}

impl Oracle {
    fn is_wrong(&self, what: String) {
        self.wrong.lock().push(what);
    }

    pub(crate) fn verdict(&self) -> Vec<String> {
        self.wrong.lock().clone()
    }

    /// Sees every commit: what transfer commits is stored.
    pub(crate) fn watch(
        &self,
        memory: &Memory,
        config: &Config,
    ) -> Arc<dyn Fn(&Committed<'_>) + Send + Sync> {
        let (oracle, memory, topic) = (self.clone(), memory.clone(), config.kafka.message_topic.clone());
        Arc::new(move |committed| {
            if committed.topic != topic {
                return;
            }
            let there: BTreeSet<(String, String)> = stored(&memory)
                .into_iter()
                .map(|stored| (stored.conversation, stored.message.client_msg_id))
                .collect();
            for record in committed.records {
                let Ok(message) = MsgData::decode(record.payload.clone()) else { continue };
                if !there.contains(&(conversation_of(&message), message.client_msg_id.clone())) {
                    let id = &message.client_msg_id;
                    oracle.is_wrong(format!("the offset of {id} was committed before it was stored"));
                }
            }
        })
    }

    /// Every acknowledged message is stored once, seqs have no gaps, and each sender's order is kept.
    pub(crate) fn judge_store(&self, memory: &Memory) {
        let (sent, stored) = (self.sent.lock().clone(), stored(memory));
        let mut next: BTreeMap<&str, i64> = BTreeMap::new();
        let mut places: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
        for one in &stored {
            let expected = next.entry(&one.conversation).or_insert(1);
            if one.seq != *expected {
                self.is_wrong(format!("{}: seq {} where {expected} is expected", one.conversation, one.seq));
            }
            *expected = one.seq + 1;
            if one.message.seq != one.seq {
                let told = one.message.seq;
                self.is_wrong(format!("{}: the message at {} says {told}", one.conversation, one.seq));
            }
            places.entry((&one.conversation[..], &one.message.client_msg_id[..])).or_default().push(one.seq);
        }
        let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for one in &sent {
            let at = places.remove(&(&one.conversation[..], &one.client_msg_id[..])).unwrap_or_default();
            if at.len() > 1 {
                self.is_wrong(format!("{} is stored {} times", one.client_msg_id, at.len()));
            }
            if one.acknowledged && at.is_empty() {
                self.is_wrong(format!("{} was acknowledged and is not stored", one.client_msg_id));
            }
            let same = |stored: &&Stored| stored.message.client_msg_id == one.client_msg_id;
            if stored.iter().filter(same).any(|stored| stored.message.content != one.text.as_bytes()) {
                self.is_wrong(format!("{} is stored with another text", one.client_msg_id));
            }
            let Some(place) = at.first().filter(|_| one.acknowledged) else { continue };
            let before = last.entry((&one.sender[..], &one.conversation[..])).or_default();
            if *place <= *before {
                self.is_wrong(format!("{} is before what was sent before it", one.client_msg_id));
            }
            *before = *place;
        }
        if let Some(((conversation, id), _)) = places.first_key_value() {
            self.is_wrong(format!("{conversation}: nobody sent {id}"));
        }
    }

    /// Everybody reads what is stored, the same as everybody else.
    pub(crate) async fn judge_readers(&self, world: &World, users: &[&str], members: &[&str]) {
        let stored = stored(&world.memory);
        for user in users {
            let read = match read_at_last(world, user).await {
                Ok(read) => read,
                Err(error) => return self.is_wrong(format!("{user} cannot read: {error}")),
            };
            let visible = |one: &&Stored| sees(user, members, &one.conversation);
            let expected = stored.iter().filter(visible).count();
            for one in stored.iter().filter(visible) {
                let found = read.get(&one.conversation).into_iter().flatten();
                let found: Vec<&MsgData> = found.filter(|message| message.seq == one.seq).collect();
                if found.len() != 1 || found[0].client_msg_id != one.message.client_msg_id {
                    self.is_wrong(format!("{user} does not read {} {}", one.conversation, one.seq));
                }
            }
            let there: usize = read.values().map(Vec::len).sum();
            if there != expected {
                self.is_wrong(format!("{user} reads {there} messages of {expected}"));
            }
        }
    }

    /// What an open connection was not told of and its client has not pulled.
    pub(crate) fn untold(world: &World, members: &[&str], devices: &[(&str, Seen)]) -> Vec<String> {
        let mut untold = Vec::new();
        let stored = stored(&world.memory);
        for (user, seen) in devices {
            let Some(known) = seen.lock().clone() else {
                untold.push(format!("{user} has no connection"));
                continue;
            };
            for one in stored.iter().filter(|one| sees(user, members, &one.conversation)) {
                if !known.get(&one.conversation).is_some_and(|seqs| seqs.contains(&one.seq)) {
                    untold.push(format!("{user} was not told of {} {}", one.conversation, one.seq));
                }
            }
        }
        untold
    }

    pub(crate) fn judge_devices(&self, world: &World, members: &[&str], devices: &[(&str, Seen)]) {
        Self::untold(world, members, devices).into_iter().for_each(|what| self.is_wrong(what));
    }
}

/// The process that answers may be the one that is just starting again.
async fn read_at_last(world: &World, user: &str) -> Result<BTreeMap<String, Vec<MsgData>>> {
    for _attempt in 0..20 {
        if let Ok(read) = read_all(world, user).await {
            return Ok(read);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    read_all(world, user).await
}

fn sees(user: &str, members: &[&str], conversation: &str) -> bool {
    match conversation.strip_prefix("sg_") {
        Some(_group) => members.contains(&user),
        None => model::conversation_id::pair_contains(conversation, user),
    }
}

//! Storing a batch: every message gets its seq, repeats resolve to what is stored.

use std::collections::{HashMap, HashSet};

use faults::mutants::{Mutant, is_on};
use model::sequencer::{DedupKey, Placement, after_conflict, place};
use protocol::{Error, Result};
use store::{
    batch::{Batch, Stored},
    messages::StoredMessage,
    seqs::ConversationSeq,
};

use crate::{
    Partition, Reached,
    expand::{Outgoing, State},
    positions::{Raises, raises},
};

/// A batch that meets another owner more often than this is retried after a pause.
const MAX_CONFLICTS: usize = 8;

impl Partition {
    /// Marks what needs nothing any more, and returns what stands for each message that will be handled to the end with this batch.
    pub(crate) fn leave_out_what_is_handled(&mut self, outgoing: &mut [Outgoing]) -> Vec<u128> {
        let mut here = HashSet::new();
        for item in outgoing.iter_mut() {
            let Some(identity) = item.identity() else { continue };
            let mark = self.handled.mark(&identity);
            if self.handled.knows(mark) || !here.insert(mark) {
                item.state = State::Done;
                self.transfer.metrics.repeats.inc();
            }
        }
        here.into_iter().collect()
    }

    /// Stores what is not stored yet and places everything; newest seqs and read positions rise with it where the server can do both at once.
    /// An owner that dies on any line leaves a part of the batch stored: the next one
    /// meets it as repeats.
    pub(crate) async fn write(&mut self, outgoing: &mut [Outgoing]) -> Result<Reached> {
        let mut waiting = Vec::new();
        for item in outgoing.iter_mut().filter(|item| item.state != State::Done) {
            if item.stored { waiting.push(item) } else { item.place(0) }
        }
        let keys: Vec<DedupKey> = waiting.iter().map(|item| item.key()).collect();
        let mut stored = HashMap::new();
        for conflicts in 0..MAX_CONFLICTS {
            if conflicts > 1 {
                // More than the one conversation is out of date: another owner was at work.
                for key in keys.iter().filter(|key| !stored.contains_key(*key)) {
                    self.newest.remove(&key.conversation);
                }
            }
            self.learn(&keys, conflicts > 0).await?;
            let mut newest = self.newest_of(&keys);
            let mut documents = Vec::new();
            let mut attempted = Vec::new();
            for ((item, key), placement) in
                waiting.iter_mut().zip(&keys).zip(place(&keys, &mut newest, &stored))
            {
                // Repeats became what is stored when they were found.
                if let Placement::New(seq) = placement {
                    let planted = is_on(Mutant::SeqGivenTwice) && !attempted.is_empty();
                    item.place(seq - i64::from(planted));
                    documents.push(StoredMessage::new(key, seq, &item.message, item.encoded.to_vec()));
                    attempted.push((key, seq));
                }
            }
            let stored_now = if documents.is_empty() {
                Stored::Messages
            } else {
                let Raises { newest, read } = raises(waiting.iter().map(|item| &**item));
                let batch = Batch { messages: &documents, newest: &newest, read: &read };
                self.transfer.store.store_batch(&batch).await?
            };
            if stored_now != Stored::Conflict {
                self.remember(newest);
                self.transfer.metrics.inserted.inc_by(documents.len() as u64);
                return Ok(if stored_now == Stored::Whole { Reached::Advanced } else { Reached::Stored });
            }
            // Repeats, or another owner wrote meanwhile: look at what is there and place the rest again.
            self.transfer.metrics.conflicts.inc();
            let mut found = self.transfer.store.stored_keys(&keys).await?;
            stored = found.iter().map(|(key, document)| (key.clone(), document.seq())).collect();
            let mut newest = self.newest_of(&keys);
            let unknown = after_conflict(&attempted, &stored, &mut newest);
            self.remember(newest);
            if let Some(conversation) = unknown {
                self.newest.remove(&conversation);
            }
            for (item, key) in waiting.iter_mut().zip(&keys) {
                if let Some(document) = found.remove(key) {
                    item.become_stored(document);
                }
            }
        }
        Err(Error::internal(format!("another owner of the partition wrote {MAX_CONFLICTS} times meanwhile")))
    }

    fn newest_of(&mut self, keys: &[DedupKey]) -> HashMap<String, i64> {
        let mut newest = HashMap::new();
        for key in keys {
            if !newest.contains_key(&key.conversation)
                && let Some(seq) = self.newest.get(&key.conversation)
            {
                newest.insert(key.conversation.clone(), *seq);
            }
        }
        newest
    }

    fn remember(&mut self, newest: HashMap<String, i64>) {
        for (conversation, seq) in newest {
            self.newest.insert(conversation, seq);
        }
    }

    /// The counter says where a conversation stands, also when its messages were removed by age. It follows the messages, so an owner
    /// that died between the two leaves it behind: then placing conflicts, and the messages themselves are asked as well.
    async fn learn(&mut self, keys: &[DedupKey], conflicted: bool) -> Result<()> {
        let mut unknown = HashSet::new();
        for key in keys {
            if self.newest.get(&key.conversation).is_none() {
                unknown.insert(key.conversation.clone());
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<String> = unknown.into_iter().collect();
        let counted = self.transfer.store.conversation_seqs(&unknown).await?;
        let stored = if conflicted {
            self.transfer.store.stored_max_seqs(unknown.clone()).await?
        } else {
            HashMap::new()
        };
        for id in unknown {
            let counted = counted.get(&id).map_or(0, ConversationSeq::last);
            let stored = stored.get(&id).copied().unwrap_or(0);
            self.newest.insert(id, counted.max(stored));
        }
        Ok(())
    }
}

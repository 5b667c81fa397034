//! Assigns the seqs of a batch: dense from 1 per conversation, one seq per de-duplication key, in order of arrival. Pure, so that
//! property tests can prove the guarantee; transfer does the I/O around it.

use std::collections::HashMap;

/// Identifies a message for ever: who sent it and what the client called it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey {
    /// Conversation the message belongs to.
    pub conversation: String,
    /// Sender.
    pub send_id: String,
    /// Chosen by the client; equal on every retry.
    pub client_msg_id: String,
}

/// What became of a message of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// New: write it with this seq.
    New(i64),
    /// Already stored with this seq, before this batch or earlier in it: write nothing.
    Repeat(i64),
}

impl Placement {
    /// The seq, new or old.
    pub fn seq(self) -> i64 {
        match self {
            Self::New(seq) | Self::Repeat(seq) => seq,
        }
    }
}

/// Places a batch. `max_seq` holds the highest stored seq of every conversation in the batch (0 when empty) and is advanced; conversations
/// that are not in the batch do not matter: handing over all that are known costs more than the batch.
/// `stored` holds the seq of keys that are already in the store.
pub fn place(
    batch: &[DedupKey],
    max_seq: &mut HashMap<String, i64>,
    stored: &HashMap<DedupKey, i64>,
) -> Vec<Placement> {
    let mut in_batch: HashMap<&DedupKey, i64> = HashMap::with_capacity(batch.len());
    batch
        .iter()
        .map(|key| {
            if let Some(seq) = stored.get(key).or_else(|| in_batch.get(key)) {
                return Placement::Repeat(*seq);
            }
            let next = max_seq.entry(key.conversation.clone()).or_insert(0);
            *next += 1;
            in_batch.insert(key, *next);
            Placement::New(*next)
        })
        .collect()
}

/// After an insert that stopped at a conflict: raises what is known to what is found stored, and returns the conversation of which too little
/// was known, if one was. `attempted` was written in this order and nothing after the conflict; a key that is stored with another seq is a
/// repeat and tells nothing about its conversation.
pub fn after_conflict(
    attempted: &[(&DedupKey, i64)],
    stored: &HashMap<DedupKey, i64>,
    known: &mut HashMap<String, i64>,
) -> Option<String> {
    for (key, seq) in stored {
        if let Some(newest) = known.get_mut(&key.conversation) {
            *newest = (*newest).max(*seq);
        }
    }
    let (met, _) = attempted.iter().find(|(key, seq)| stored.get(*key) != Some(seq))?;
    if stored.contains_key(*met) { None } else { Some(met.conversation.clone()) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = DedupKey> {
        (0..3_u8, 0..3_u8, 0..12_u8).prop_map(|(conversation, sender, id)| DedupKey {
            conversation: format!("si_{conversation}"),
            send_id: format!("u{sender}"),
            client_msg_id: format!("m{id}"),
        })
    }

    proptest! {
        /// Batches arrive, some twice (a crash before the offset commit), keys repeat (client retries): whatever happens, each
        /// key has one seq for ever and the seqs of a conversation are 1..n without holes.
        #[test]
        fn seqs_are_dense_and_unique_under_replay(
            batches in prop::collection::vec((prop::collection::vec(any_key(), 0..30), any::<bool>()), 1..20)
        ) {
            let mut store: HashMap<DedupKey, i64> = HashMap::new();
            for (batch, replayed) in &batches {
                for _ in 0..=u8::from(*replayed) {
                    let mut max_seq: HashMap<String, i64> = HashMap::new();
                    for (key, seq) in &store {
                        let max = max_seq.entry(key.conversation.clone()).or_insert(0);
                        *max = (*max).max(*seq);
                    }
                    for (key, placement) in batch.iter().zip(place(batch, &mut max_seq, &store.clone())) {
                        match placement {
                            Placement::New(seq) => prop_assert!(store.insert(key.clone(), seq).is_none()),
                            Placement::Repeat(seq) => prop_assert_eq!(store.get(key), Some(&seq)),
                        }
                    }
                }
            }
            let mut seqs: BTreeMap<&str, HashSet<i64>> = BTreeMap::new();
            for (key, seq) in &store {
                prop_assert!(seqs.entry(&key.conversation).or_default().insert(*seq), "seq used twice");
            }
            for set in seqs.values() {
                prop_assert_eq!(set.len() as i64, *set.iter().max().unwrap());
            }
        }

        /// Only the conversations of the batch matter: with everything a partition knows, the outcome is the same.
        #[test]
        fn a_batch_is_placed_alike_with_all_that_is_known(
            batch in prop::collection::vec(any_key(), 0..40),
            known in prop::collection::hash_map((0..9_u8).prop_map(|id| format!("si_{id}")), 0..50_i64, 0..20),
        ) {
            let of_batch = |key: &DedupKey| {
                (key.conversation.clone(), known.get(&key.conversation).copied().unwrap_or(0))
            };
            let mut few: HashMap<String, i64> = batch.iter().map(of_batch).collect();
            let mut all = known.clone();
            let placed = place(&batch, &mut few, &HashMap::new());
            prop_assert_eq!(placed, place(&batch, &mut all, &HashMap::new()));
            let mut merged = known.clone();
            merged.extend(few);
            prop_assert_eq!(merged, all);
        }

        /// Another owner may have written anything: repeats of the batch, other messages, a part of the batch itself. Writing in order, stopping
        /// at the first conflict and learning only of the conversation that conflicted stores every message, once and without holes.
        #[test]
        fn learning_of_what_conflicted_is_enough(
            others in prop::collection::vec(any_key(), 0..20),
            seen in 0..20_usize,
            batch in prop::collection::vec(any_key(), 0..30),
        ) {
            let mut store: BTreeMap<(String, i64), DedupKey> = BTreeMap::new();
            let mut known: HashMap<String, i64> = batch.iter().map(|key| (key.conversation.clone(), 0)).collect();
            let newest = |store: &BTreeMap<(String, i64), DedupKey>, id: &str| {
                store.keys().filter(|(conversation, _)| conversation == id).map(|(_, seq)| *seq).max().unwrap_or(0)
            };
            let mut there = HashSet::new();
            for (number, key) in others.iter().enumerate() {
                if there.insert(key.clone()) {
                    let seq = newest(&store, &key.conversation) + 1;
                    store.insert((key.conversation.clone(), seq), key.clone());
                    if number < seen && known.contains_key(&key.conversation) {
                        known.insert(key.conversation.clone(), seq);
                    }
                }
            }
            let mut stored = HashMap::new();
            let mut conflicts = 0;
            loop {
                let mut seqs = known.clone();
                let placements = place(&batch, &mut seqs, &stored);
                let attempted: Vec<(&DedupKey, i64)> = batch.iter().zip(&placements)
                    .filter_map(|(key, placement)| match placement {
                        Placement::New(seq) => Some((key, *seq)),
                        Placement::Repeat(_) => None,
                    })
                    .collect();
                let conflict = attempted.iter().any(|(key, seq)| {
                    let id = (key.conversation.clone(), *seq);
                    let refused = store.contains_key(&id) || !there.insert((*key).clone());
                    if !refused {
                        store.insert(id, (*key).clone());
                    }
                    refused
                });
                if !conflict {
                    break;
                }
                conflicts += 1;
                prop_assert!(conflicts <= 4, "one look at all keys, one at each of three conversations");
                stored = store.iter().filter(|(_, key)| batch.contains(key))
                    .map(|((_, seq), key)| (key.clone(), *seq)).collect();
                there = store.values().cloned().collect();
                if let Some(id) = after_conflict(&attempted, &stored, &mut known) {
                    let seq = newest(&store, &id);
                    known.insert(id, seq);
                }
            }
            prop_assert!(batch.iter().all(|key| store.values().filter(|stored| *stored == key).count() == 1));
            for conversation in known.keys() {
                let seqs = store.keys().filter(|(id, _)| id == conversation).count() as i64;
                prop_assert_eq!(seqs, newest(&store, conversation));
            }
        }

        #[test]
        fn order_of_arrival_is_order_of_seq(batch in prop::collection::vec(any_key(), 0..40)) {
            let placements = place(&batch, &mut HashMap::new(), &HashMap::new());
            let mut last: HashMap<&str, i64> = HashMap::new();
            for (key, placement) in batch.iter().zip(&placements) {
                if let Placement::New(seq) = placement {
                    prop_assert!(*seq > last.insert(&key.conversation, *seq).unwrap_or(0));
                }
            }
        }
    }
}

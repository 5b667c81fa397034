//! Gives every message of a batch its seq: dense from 1 per conversation, one seq per de-dup key, order of arrival kept.
//! Pure, so that the guarantee is proved by property tests; transfer does the I/O around it.

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

/// Places a batch. `max_seq` holds the highest stored seq of every conversation in the batch (0 when empty) and is advanced;
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

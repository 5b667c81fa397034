//! What is in the topic twice is pushed once: transfer writes a batch again when it hears no answer, or when it dies before its offset is
//! committed. The memory is that of one owner of the partition; what another one pushes again has the same ids and seq, by which clients know it.

use std::collections::HashSet;

use bus::Handled;

use crate::{Item, message_identity};

/// What stands for the messages of a batch.
pub(crate) type Marks = HashSet<u128>;

/// The messages that a partition has pushed lately.
pub(crate) struct Repeats(Handled);

impl Repeats {
    /// Knows up to so many messages.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Handled::new(capacity))
    }

    /// Takes out what was already pushed, and what is there twice; what stands for the others.
    pub(crate) fn leave_out(&mut self, items: &mut Vec<Item>) -> Marks {
        let mut here = Marks::new();
        items.retain(|item| {
            let Some(key) = message_identity::of(&item.record.conversation_id, &item.message) else {
                return true;
            };
            let mark = self.0.mark(key);
            !self.0.knows(mark) && here.insert(mark)
        });
        here
    }

    /// They are pushed.
    pub(crate) fn remember(&mut self, marks: Marks) {
        for mark in marks {
            self.0.remember(mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use protocol::{internal::PushRecord, sdkws::MsgData};

    use super::*;

    /// A record as transfer writes it, read again.
    fn item(seq: i64) -> Item {
        let message = MsgData {
            seq,
            server_msg_id: format!("s{seq}"),
            client_msg_id: format!("c{seq}"),
            ..Default::default()
        };
        let record =
            PushRecord { conversation_id: "si_a_b".into(), msg_data: message.encode_to_vec().into() };
        let message = MsgData::decode(record.msg_data.clone()).unwrap();
        Item { record, message }
    }

    fn pushed(repeats: &mut Repeats, seqs: &[i64], works: bool) -> Vec<i64> {
        let mut items: Vec<Item> = seqs.iter().copied().map(item).collect();
        let marks = repeats.leave_out(&mut items);
        if works {
            repeats.remember(marks);
        }
        items.iter().map(|item| item.message.seq).collect()
    }

    #[test]
    fn a_record_that_comes_twice_is_pushed_once_in_a_batch_and_after_it() {
        let mut repeats = Repeats::new(100);
        assert_eq!(pushed(&mut repeats, &[1, 2, 1, 3, 2], true), [1, 2, 3]);
        assert_eq!(pushed(&mut repeats, &[2, 3, 4], true), [4]);
    }

    #[test]
    fn what_was_not_pushed_to_the_end_is_pushed_again() {
        let mut repeats = Repeats::new(100);
        assert_eq!(pushed(&mut repeats, &[1, 2], false), [1, 2]);
        assert_eq!(pushed(&mut repeats, &[1, 2], true), [1, 2]);
        assert_eq!(pushed(&mut repeats, &[1, 2], true), [0; 0]);
    }

    #[test]
    fn the_next_owner_pushes_a_repeat_under_the_ids_and_the_seq_that_it_had() {
        let told = |owner: &mut Repeats| {
            let mut items = vec![item(7)];
            let marks = owner.leave_out(&mut items);
            owner.remember(marks);
            items
                .iter()
                .map(|item| {
                    (item.message.client_msg_id.clone(), item.message.server_msg_id.clone(), item.message.seq)
                })
                .collect::<Vec<_>>()
        };
        let (first, second) = (told(&mut Repeats::new(100)), told(&mut Repeats::new(100)));
        assert_eq!(first, [("c7".to_owned(), "s7".to_owned(), 7)]);
        assert_eq!(first, second);
    }

    #[test]
    fn what_has_no_id_is_never_taken_for_a_repeat() {
        let unnamed = || Item { record: PushRecord::default(), message: MsgData::default() };
        let mut items = vec![unnamed(), unnamed()];
        assert!(Repeats::new(100).leave_out(&mut items).is_empty());
        assert_eq!(items.len(), 2);
    }

    proptest! {
        #[test]
        fn every_message_is_pushed_once_and_in_order(batches in prop::collection::vec(prop::collection::vec(1_i64..30, 0..10), 0..10)) {
            let mut repeats = Repeats::new(100);
            let all: Vec<i64> = batches.iter().flat_map(|batch| pushed(&mut repeats, batch, true)).collect();
            let mut first = Vec::new();
            for seq in batches.into_iter().flatten() {
                if !first.contains(&seq) {
                    first.push(seq);
                }
            }
            prop_assert_eq!(all, first);
        }
    }
}

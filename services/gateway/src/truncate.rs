//! Responses too large for a client: it gets the newest messages that fit, marked as incomplete.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use protocol::{
    frame::command,
    msg::{GetLastMessageResp, GetSeqMessageResp},
    sdkws::{PullMessageBySeqsResp, PullMsgs},
};

/// Bytes of messages that are tried, the largest first: how they travel depends on the connection's encoding.
pub(crate) const BUDGETS: [usize; 3] = [900_000, 600_000, 300_000];
/// What a message costs beside its own bytes.
const MESSAGE_COST: usize = 8;

/// The answer of a pull within a budget; `None` for any other command.
pub(crate) fn fit(pull: i64, data: &Bytes, budget: usize) -> Option<Bytes> {
    match pull {
        command::PULL_BY_RANGE => {
            let mut answer = PullMessageBySeqsResp::decode(data.clone()).ok()?;
            keep_newest([&mut answer.msgs, &mut answer.notification_msgs], budget);
            Some(answer.encode_to_vec().into())
        }
        command::PULL_BY_SEQS => {
            let mut answer = GetSeqMessageResp::decode(data.clone()).ok()?;
            keep_newest([&mut answer.msgs, &mut answer.notification_msgs], budget);
            Some(answer.encode_to_vec().into())
        }
        command::PULL_LAST_MESSAGE => {
            let mut answer = GetLastMessageResp::decode(data.clone()).ok()?;
            let mut left = budget;
            answer.msgs.retain(|_conversation, message| {
                let cost = message.encoded_len() + MESSAGE_COST;
                let fits = cost <= left;
                left -= if fits { cost } else { 0 };
                fits
            });
            Some(answer.encode_to_vec().into())
        }
        _ => None,
    }
}

/// Keeps the newest message of every conversation, then the second newest, and so on. One is kept in any case: whoever asks again
/// gets on.
fn keep_newest(lists: [&mut BTreeMap<String, PullMsgs>; 2], budget: usize) {
    let mut left = budget;
    let mut none_yet = true;
    let mut open: Vec<(&mut PullMsgs, usize)> =
        lists.into_iter().flat_map(|list| list.values_mut()).map(|pulled| (pulled, 0)).collect();
    let mut full: Vec<(&mut PullMsgs, usize)> = Vec::new();
    while !open.is_empty() {
        let mut still_open = Vec::new();
        for (pulled, kept) in open {
            let next = pulled.msgs.iter().rev().nth(kept).map(|message| message.encoded_len() + MESSAGE_COST);
            match next.filter(|cost| *cost <= left || none_yet) {
                Some(cost) => {
                    none_yet = false;
                    left = left.saturating_sub(cost);
                    still_open.push((pulled, kept + 1));
                }
                None => full.push((pulled, kept)),
            }
        }
        open = still_open;
    }
    for (pulled, kept) in full {
        let left_out = pulled.msgs.len() - kept;
        if left_out > 0 {
            pulled.msgs.drain(..left_out);
            pulled.is_end = false;
            pulled.end_seq = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::sdkws::MsgData;

    use super::*;

    fn pulled(sizes: &[usize]) -> PullMsgs {
        let message = |(index, size): (usize, &usize)| MsgData {
            seq: index as i64 + 1,
            content: vec![0; *size].into(),
            ..Default::default()
        };
        PullMsgs { msgs: sizes.iter().enumerate().map(message).collect(), is_end: true, end_seq: 9 }
    }

    fn seqs(pulled: &PullMsgs) -> Vec<i64> {
        pulled.msgs.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn a_pull_that_is_too_large_has_the_newest_of_every_conversation() {
        let large = PullMessageBySeqsResp {
            msgs: BTreeMap::from([
                ("si_a_b".into(), pulled(&[400_000; 4])),
                ("sg_g".into(), pulled(&[10, 10, 10])),
            ]),
            notification_msgs: BTreeMap::from([("n_a_b".into(), pulled(&[100_000; 2]))]),
        };
        let data: Bytes = large.encode_to_vec().into();
        let answer =
            PullMessageBySeqsResp::decode(fit(command::PULL_BY_RANGE, &data, 900_000).unwrap()).unwrap();
        assert!(answer.encoded_len() <= 900_000);
        let (single, group) = (&answer.msgs["si_a_b"], &answer.msgs["sg_g"]);
        assert_eq!((seqs(single), single.is_end, single.end_seq), (vec![4], false, 0));
        assert_eq!((seqs(group), group.is_end), (vec![1, 2, 3], true));
        assert_eq!(seqs(&answer.notification_msgs["n_a_b"]), [1, 2]);
    }

    #[test]
    fn one_message_that_is_larger_is_kept() {
        let msgs = BTreeMap::from([("si_a_b".into(), pulled(&[10, 2_000_000]))]);
        let data: Bytes = GetSeqMessageResp { msgs, ..Default::default() }.encode_to_vec().into();
        let answer = GetSeqMessageResp::decode(fit(command::PULL_BY_SEQS, &data, 900_000).unwrap()).unwrap();
        assert_eq!(seqs(&answer.msgs["si_a_b"]), [2]);
        assert_eq!(fit(command::GET_NEWEST_SEQ, &data, 900_000), None);
    }

    #[test]
    fn last_messages_are_as_many_as_fit() {
        let message = |size: usize| MsgData { content: vec![0; size].into(), ..Default::default() };
        let msgs = BTreeMap::from([
            ("a".into(), message(800_000)),
            ("b".into(), message(800_000)),
            ("c".into(), message(9)),
        ]);
        let data: Bytes = GetLastMessageResp { msgs }.encode_to_vec().into();
        let answer =
            GetLastMessageResp::decode(fit(command::PULL_LAST_MESSAGE, &data, 900_000).unwrap()).unwrap();
        assert_eq!(answer.msgs.into_keys().collect::<Vec<_>>(), ["a", "c"]);
    }
}

//! What rises when messages are stored: the newest seqs of their conversations, and how far their senders have read.

use std::collections::BTreeMap;

use model::conversation_id as ids;

use crate::expand::Outgoing;

/// Each conversation and each sender once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raises {
    /// (conversation, seq, sendTime).
    pub(crate) newest: Vec<(String, i64, i64)>,
    /// (user, conversation, seq).
    pub(crate) read: Vec<(String, String, i64)>,
}

/// What the messages that have a seq raise.
pub(crate) fn raises<'a>(outgoing: impl IntoIterator<Item = &'a Outgoing>) -> Raises {
    let mut newest: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut read: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for item in outgoing.into_iter().filter(|item| item.seq > 0) {
        let entry = newest.entry(&item.conversation).or_default();
        *entry = (entry.0.max(item.seq), entry.1.max(item.message.send_time));
        if !ids::is_notification(&item.conversation) {
            let entry = read.entry((&item.message.send_id, &item.conversation)).or_default();
            *entry = (*entry).max(item.seq);
        }
    }
    Raises {
        newest: newest.into_iter().map(|(id, (seq, time))| (id.to_owned(), seq, time)).collect(),
        read: read.into_iter().map(|((user, id), seq)| (user.to_owned(), id.to_owned(), seq)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::sdkws::MsgData;

    use super::*;
    use crate::expand::{Accepted, expand};

    #[test]
    fn each_conversation_rises_once_and_what_has_no_seq_raises_nothing() {
        let message = |from: &str, time: i64| Accepted {
            message: MsgData {
                send_id: from.into(),
                group_id: "g".into(),
                session_type: protocol::content_type::session::GROUP,
                send_time: time,
                ..Default::default()
            },
            operation: None,
        };
        let mut outgoing =
            expand(vec![message("a", 30), message("b", 10), message("a", 20), message("c", 40)]);
        for (item, seq) in outgoing.iter_mut().zip([4, 5, 6]) {
            item.place(seq);
        }
        let id = || "sg_g".to_owned();
        let expected = Raises {
            newest: vec![(id(), 6, 30)],
            read: vec![("a".to_owned(), id(), 6), ("b".to_owned(), id(), 5)],
        };
        assert_eq!(raises(&outgoing), expected);
    }
}

//! What a connection was pushed while it was open. A connection that stays open is pushed every message that was sent after it was opened, or it is
//! closed so that its client pulls; and what is pushed at a seq is what is stored there.

use std::collections::{HashMap, HashSet};

use protocol::sdkws::MsgData;
use tokio::time::Instant;

use crate::history::{Seen, digest};

/// The pushes of one connection, since they were looked at last.
#[derive(Debug)]
pub struct Heard {
    opened: Instant,
    /// A digest of every id.
    ids: HashSet<u64>,
    /// By conversation: seqs, and a digest of what was pushed there.
    told: HashMap<String, Vec<(i64, u64)>>,
}

impl Heard {
    /// Of a connection that is opened at this time.
    pub fn since(opened: Instant) -> Self {
        Self { opened, ids: HashSet::new(), told: HashMap::new() }
    }

    /// The server's greeting was read only now: what was sent before may have been missed.
    pub fn greeted(&mut self, at: Instant) {
        self.opened = at;
    }

    /// Notes a pushed message.
    pub fn push(&mut self, conversation: &str, message: &MsgData) {
        self.ids.insert(digest(&message.client_msg_id, &[]));
        let told = (message.seq, digest(&message.client_msg_id, &message.content));
        match self.told.get_mut(conversation) {
            Some(of_conversation) => of_conversation.push(told),
            None => _ = self.told.insert(conversation.to_owned(), vec![told]),
        }
    }

    /// The acknowledged messages that should have been pushed and were not: those whose first attempt began after the connection was opened.
    pub fn misses<'a>(&self, acknowledged: &'a [(String, Instant)]) -> Vec<&'a str> {
        let after = acknowledged.iter().filter(|(_, begun)| *begun > self.opened);
        after.map(|(id, _)| id.as_str()).filter(|id| !self.ids.contains(&digest(id, &[]))).collect()
    }

    /// The seqs under which something else was pushed than what is stored.
    pub fn differs(&self, conversation: &str, stored: &Seen) -> Vec<i64> {
        let told = self.told.get(conversation).into_iter().flatten();
        told.filter(|(seq, digest)| stored.differs(*seq, *digest)).map(|(seq, _)| *seq).collect()
    }

    /// Forgets the pushes that were looked at.
    pub fn forget(&mut self) {
        self.ids.clear();
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(seq: i64, id: &str, content: &'static str) -> MsgData {
        MsgData { seq, client_msg_id: id.into(), content: content.into(), ..Default::default() }
    }

    #[test]
    fn an_open_connection_misses_what_was_sent_after_it_opened_and_not_pushed() {
        let opened = Instant::now();
        let before = opened.checked_sub(Duration::from_secs(1)).unwrap_or(opened);
        let after = opened + Duration::from_secs(1);
        let mut heard = Heard::since(opened);
        heard.push("c", &message(2, "m2", "x"));
        let sent = [("m1".to_owned(), before), ("m2".to_owned(), after), ("m3".to_owned(), after)];
        assert_eq!(heard.misses(&sent), ["m3"]);
        heard.push("c", &message(3, "m3", "y"));
        assert!(heard.misses(&sent).is_empty());
    }

    #[test]
    fn a_push_with_another_body_than_the_stored_one_is_seen() {
        let mut heard = Heard::since(Instant::now());
        heard.push("c", &message(1, "m1", "first"));
        heard.push("c", &message(2, "m2", "second"));
        let mut stored = Seen::default();
        stored.extend(&[message(1, "m1", "first"), message(2, "m2", "second")], 2);
        assert!(heard.differs("c", &stored).is_empty());
        heard.push("c", &message(2, "m2", "of a retry"));
        assert_eq!(heard.differs("c", &stored), [2]);
        assert!(heard.differs("another", &stored).is_empty());
        heard.forget();
        assert!(heard.differs("c", &stored).is_empty());
    }
}

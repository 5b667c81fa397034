//! After hooks that wait as jobs, for whoever erases or exports a user: what they will tell, and how to have them tell less.

use crate::{Record, set_aside};

/// A record that waits to be delivered.
#[derive(Debug, Clone)]
pub struct Kept(Record);

impl Kept {
    /// The kind of job as which records wait; their ids begin with it and a slash.
    pub const KIND: &'static str = set_aside::KIND;

    /// Of a job's payload; `None` when it is no record.
    pub fn read(payload: &[u8]) -> Option<Self> {
        Record::read(payload).ok().map(Self)
    }

    /// The hook's key in the configuration.
    pub fn hook(&self) -> &str {
        &self.0.hook
    }

    /// JSON, as the receiver gets it.
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// When it was queued, in milliseconds since 1970.
    pub fn since_ms(&self) -> i64 {
        self.0.since
    }

    /// The payload with another body. The key by which receivers know a repeat stays.
    pub fn with_body(mut self, body: String) -> Option<Vec<u8>> {
        self.0.body = body;
        serde_json::to_vec(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_body_keeps_everything_else_and_the_key_by_which_a_repeat_is_known() {
        // An earlier version wrote no key: it follows from the payload, which changes.
        let payload = br#"{"hook":"afterSendGroupMsg","operation_id":"o","query":"?key=x","body":"{\"content\":\"a\"}","since":5}"#;
        let key = Record::read(payload).unwrap().key;
        let kept = Kept::read(payload).unwrap();
        assert_eq!(
            (kept.hook(), kept.body(), kept.since_ms()),
            ("afterSendGroupMsg", r#"{"content":"a"}"#, 5)
        );
        let changed = Record::read(&kept.with_body("{}".into()).unwrap()).unwrap();
        assert_eq!((changed.key, changed.body.as_str()), (key, "{}"));
        assert_eq!(
            (changed.operation_id.as_str(), changed.query.as_str(), changed.since),
            ("o", "?key=x", 5)
        );
        assert!(Kept::read(b"chat-gateway-0").is_none());
    }
}

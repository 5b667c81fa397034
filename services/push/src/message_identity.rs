//! The identity of a message after Kafka, where a record can come twice: its place, and the id assigned at acceptance. Messages
//! that are not stored have no seq; after a restore, a seq may stand for another message than before.

use protocol::sdkws::MsgData;
use sha2::{Digest, Sha256};

/// As it is compared in memory; none for messages without either, which cannot be distinguished.
pub(crate) fn of<'a>(conversation: &'a str, message: &'a MsgData) -> Option<(&'a str, i64, &'a str)> {
    let is_known = message.seq > 0 || !message.server_msg_id.is_empty();
    is_known.then_some((conversation, message.seq, &message.server_msg_id))
}

/// As sent to vendors: 32 hexadecimal digits, which all of them accept.
pub(crate) fn text(conversation: &str, message: &MsgData) -> String {
    let whole = format!("{conversation}\0{}\0{}", message.seq, message.server_msg_id);
    hex::encode(&Sha256::digest(whole)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_key_and_no_other_has_it() {
        let message = |seq, id: &str| MsgData { seq, server_msg_id: id.into(), ..Default::default() };
        let keys = [
            text("sg_g", &message(1, "a")),
            text("n_g", &message(1, "a")),
            text("sg_g", &message(2, "a")),
            text("sg_g", &message(0, "a")),
            text("sg_g", &message(1, "b")),
        ];
        let different: std::collections::HashSet<&String> = keys.iter().collect();
        assert_eq!((different.len(), keys[0].len()), (5, 32));
        assert_eq!(keys[0], text("sg_g", &message(1, "a")));
        assert!(of("sg_g", &message(1, "")).is_some() && of("sg_g", &message(0, "")).is_none());
    }
}

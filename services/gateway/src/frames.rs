//! A server frame, encoded at most once per encoding and shared by every socket.

use std::sync::OnceLock;

use budget::Budget;
use bytes::{BufMut, Bytes, BytesMut};
use model::conversation_id;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use protocol::frame::{ENCODINGS, Encoding, Response};

/// A push on its way to many connections.
pub(crate) struct SharedFrame {
    response: Response,
    /// Where its bytes are counted, once however many sockets they wait for.
    queues: Budget,
    encoded: [OnceLock<Bytes>; ENCODINGS],
}

impl SharedFrame {
    pub(crate) fn new(response: Response, queues: &Budget) -> Self {
        Self { response, queues: queues.clone(), encoded: Default::default() }
    }

    pub(crate) fn bytes(&self, encoding: Encoding) -> Bytes {
        let encode = || self.queues.hold_bytes(self.response.encode(encoding));
        self.encoded[encoding.index()].get_or_init(encode).clone()
    }
}

/// `PushMessages` with one message, around bytes that are not decoded: map entry {1: conversation, 2: PullMsgs{1: message}}.
pub(crate) fn push_messages(conversation: &str, message: &[u8]) -> Bytes {
    let delimited = |length: usize| 1 + encoded_len_varint(length as u64) + length;
    let pull = delimited(message.len());
    let entry = delimited(conversation.len()) + delimited(pull);
    let mut out = BytesMut::with_capacity(delimited(entry));
    let list = if conversation_id::is_notification(conversation) { 2 } else { 1 };
    put_length(&mut out, list, entry);
    put_length(&mut out, 1, conversation.len());
    out.put_slice(conversation.as_bytes());
    put_length(&mut out, 2, pull);
    put_length(&mut out, 1, message.len());
    out.put_slice(message);
    out.freeze()
}

fn put_length(out: &mut BytesMut, tag: u32, length: usize) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use protocol::sdkws::{MsgData, PushMessages};

    #[test]
    fn a_message_is_wrapped_without_decoding() {
        let message =
            MsgData { send_id: "a".into(), seq: 7, content: "x".repeat(300).into(), ..Default::default() };
        for (conversation, notification) in [("si_a_b", false), ("n_a_b", true)] {
            let encoded = super::push_messages(conversation, &message.encode_to_vec());
            let push = PushMessages::decode(encoded).unwrap();
            let (here, there) = if notification {
                (push.notification_msgs, push.msgs)
            } else {
                (push.msgs, push.notification_msgs)
            };
            assert_eq!(here[conversation].msgs.as_slice(), std::slice::from_ref(&message));
            assert!(there.is_empty());
        }
    }
}

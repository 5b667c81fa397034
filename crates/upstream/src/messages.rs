//! Messages. Upstream keeps a hundred in a document, each in the place that its seq gives it; here each is a document.

use std::collections::{BTreeMap, HashSet};

use bson::{Bson, Document, doc, oid::ObjectId};
use model::sequencer::DedupKey;
use prost::Message;
use protocol::{
    bounds::RECORD_BYTES,
    sdkws::{MsgData, OfflinePushInfo},
};
use serde::{Deserialize, Serialize};
use store::messages::{Revoke, StoredMessage};

use crate::Reason;

/// Messages of one document.
pub const PER_BLOCK: i64 = 100;

/// Which document: `<conversationID>:<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// The conversation.
    pub conversation: String,
    /// From 0.
    pub number: i64,
}

impl Block {
    /// Reads a doc_id.
    pub fn parse(doc_id: &str) -> Option<Self> {
        let (conversation, number) = doc_id.rsplit_once(':')?;
        let number = number.parse().ok().filter(|number| (0..i64::MAX / PER_BLOCK).contains(number))?;
        (!conversation.is_empty()).then(|| Self { conversation: conversation.to_owned(), number })
    }

    /// The block of a seq, from 1.
    pub fn of(conversation: &str, seq: i64) -> Self {
        Self { conversation: conversation.to_owned(), number: (seq.max(1) - 1) / PER_BLOCK }
    }

    /// Its doc_id.
    pub fn doc_id(&self) -> String {
        format!("{}:{}", self.conversation, self.number)
    }

    /// The seq of its first place.
    pub fn first(&self) -> i64 {
        self.number * PER_BLOCK + 1
    }

    /// The seq of its last place.
    pub fn last(&self) -> i64 {
        (self.number + 1) * PER_BLOCK
    }
}

/// What a document of upstream's holds.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Which one it is.
    pub block: Block,
    /// Its messages, ascending.
    pub stored: Vec<StoredMessage>,
    /// Why some cannot be moved: seq and reason.
    pub left_out: Vec<(i64, Reason)>,
}

#[derive(Debug, Deserialize)]
struct TheirBlock {
    doc_id: String,
    #[serde(default)]
    msgs: Vec<Option<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slot {
    msg: Option<TheirMessage>,
    revoke: Option<TheirRevoke>,
    del_list: Option<Vec<String>>,
    is_read: Option<bool>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct TheirRevoke {
    role: i32,
    user_id: String,
    nickname: String,
    time: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct TheirMessage {
    send_id: String,
    recv_id: String,
    group_id: String,
    client_msg_id: String,
    server_msg_id: String,
    sender_platform_id: i32,
    sender_nickname: String,
    sender_face_url: String,
    session_type: i32,
    msg_from: i32,
    content_type: i32,
    content: String,
    seq: i64,
    send_time: i64,
    create_time: i64,
    status: i32,
    is_read: bool,
    options: Option<BTreeMap<String, bool>>,
    offline_push: Option<TheirPush>,
    at_user_id_list: Option<Vec<String>>,
    attached_info: String,
    ex: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct TheirPush {
    title: String,
    desc: String,
    ex: String,
    ios_push_sound: String,
    ios_badge_count: bool,
}

impl TheirMessage {
    fn into_ours(self) -> MsgData {
        MsgData {
            send_id: self.send_id,
            recv_id: self.recv_id,
            group_id: self.group_id,
            client_msg_id: self.client_msg_id,
            server_msg_id: self.server_msg_id,
            sender_platform_id: self.sender_platform_id,
            sender_nickname: self.sender_nickname,
            sender_face_url: self.sender_face_url,
            session_type: self.session_type,
            msg_from: self.msg_from,
            content_type: self.content_type,
            content: self.content.into_bytes().into(),
            seq: self.seq,
            send_time: self.send_time,
            create_time: self.create_time,
            status: self.status,
            is_read: self.is_read,
            options: self.options.unwrap_or_default(),
            offline_push_info: self.offline_push.map(|push| OfflinePushInfo {
                title: push.title,
                desc: push.desc,
                ex: push.ex,
                ios_push_sound: push.ios_push_sound,
                ios_badge_count: push.ios_badge_count,
                ..OfflinePushInfo::default()
            }),
            at_user_id_list: self.at_user_id_list.unwrap_or_default(),
            attached_info: self.attached_info,
            ex: self.ex,
        }
    }

    /// `content` is what replaced the message's own, if anything did.
    fn from_ours(message: MsgData, content: Option<&[u8]>) -> Self {
        let content = content.unwrap_or(&message.content);
        Self {
            content: String::from_utf8_lossy(content).into_owned(),
            send_id: message.send_id,
            recv_id: message.recv_id,
            group_id: message.group_id,
            client_msg_id: message.client_msg_id,
            server_msg_id: message.server_msg_id,
            sender_platform_id: message.sender_platform_id,
            sender_nickname: message.sender_nickname,
            sender_face_url: message.sender_face_url,
            session_type: message.session_type,
            msg_from: message.msg_from,
            content_type: message.content_type,
            seq: message.seq,
            send_time: message.send_time,
            create_time: message.create_time,
            status: message.status,
            is_read: message.is_read,
            options: (!message.options.is_empty()).then_some(message.options),
            offline_push: message.offline_push_info.map(|push| TheirPush {
                title: push.title,
                desc: push.desc,
                ex: push.ex,
                ios_push_sound: push.ios_push_sound,
                ios_badge_count: push.ios_badge_count,
            }),
            at_user_id_list: (!message.at_user_id_list.is_empty()).then_some(message.at_user_id_list),
            attached_info: message.attached_info,
            ex: message.ex,
        }
    }
}

impl Slot {
    /// `None` for a place without a message: none was stored there, or it was removed for everybody.
    fn into_ours(self, block: &Block, seq: i64) -> Option<Result<StoredMessage, Reason>> {
        let message = self.msg?;
        if message.seq != seq {
            return Some(Err(Reason::Place));
        }
        let key = DedupKey {
            conversation: block.conversation.clone(),
            send_id: message.send_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
        };
        let message = message.into_ours();
        let encoded = message.encode_to_vec();
        if encoded.len() > RECORD_BYTES {
            return Some(Err(Reason::TooLong));
        }
        let mut stored = StoredMessage::new(&key, seq, &message, encoded);
        stored.revoke = self.revoke.map(|revoke| Revoke {
            role: revoke.role,
            user_id: revoke.user_id,
            nickname: revoke.nickname,
            time: revoke.time,
        });
        stored.deleted_for = self.del_list.unwrap_or_default();
        stored.is_read = self.is_read.unwrap_or_default();
        Some(Ok(stored))
    }
}

/// Our messages of one of upstream's documents, in BSON. A key that the block has already had is made different.
///
/// # Errors
/// Why the document cannot be moved.
pub fn to_ours(theirs: &[u8]) -> Result<Messages, Reason> {
    let document: TheirBlock =
        bson::deserialize_from_slice(theirs).map_err(|error| Reason::Block(error.to_string()))?;
    let block = Block::parse(&document.doc_id)
        .ok_or_else(|| Reason::Block("doc_id is not CONVERSATION:NUMBER".into()))?;
    if document.msgs.len() as i64 > PER_BLOCK {
        return Err(Reason::Block(format!("{} places instead of {PER_BLOCK}", document.msgs.len())));
    }
    let mut messages = Messages { block, stored: vec![], left_out: vec![] };
    let mut keys = HashSet::new();
    for (seq, slot) in (messages.block.first()..).zip(document.msgs) {
        match slot.and_then(|slot| slot.into_ours(&messages.block, seq)) {
            None => {}
            Some(Err(reason)) => messages.left_out.push((seq, reason)),
            Some(Ok(message)) => {
                let is_new = keys.insert(message.key().to_owned());
                messages.stored.push(if is_new { message } else { message.with_own_key() });
            }
        }
    }
    Ok(messages)
}

/// Upstream's document of our messages of one block. A message whose content was removed for everybody leaves its place empty; one that was
/// edited has the content it was given last.
pub fn to_theirs(block: &Block, stored: Vec<StoredMessage>) -> Document {
    let mut places: Vec<Bson> = vec![Bson::Null; PER_BLOCK as usize];
    let first = block.first();
    for message in stored {
        let place = usize::try_from(message.seq() - first).ok().and_then(|place| places.get_mut(place));
        if let Some(place) = place {
            *place = Bson::Document(slot(&message));
        }
    }
    let empty = doc! { "msg": null, "revoke": null, "del_list": [], "is_read": false };
    for place in places.iter_mut().filter(|place| **place == Bson::Null) {
        *place = Bson::Document(empty.clone());
    }
    doc! { "_id": ObjectId::new(), "doc_id": block.doc_id(), "msgs": places }
}

fn slot(stored: &StoredMessage) -> Document {
    let decoded = MsgData::decode(stored.encoded()).ok().filter(|_| !stored.encoded().is_empty());
    let message = decoded.map(|message| {
        let edited = stored.edit.as_ref().map(|edit| edit.content());
        let theirs = TheirMessage::from_ours(MsgData { seq: stored.seq(), ..message }, edited);
        bson::serialize_to_bson(&theirs).unwrap_or(Bson::Null)
    });
    let revoke = stored.revoke.as_ref().map(|revoke| {
        doc! {
            "role": revoke.role, "user_id": &revoke.user_id, "nickname": &revoke.nickname,
            "time": revoke.time,
        }
    });
    doc! { "msg": message, "revoke": revoke, "del_list": &stored.deleted_for, "is_read": stored.is_read }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there(document: &Document) -> Result<Messages, Reason> {
        to_ours(&bson::serialize_to_vec(document).unwrap())
    }

    fn message(seq: i64) -> impl Strategy<Value = Document> {
        let texts = prop::collection::vec("[a-zA-Z0-9ß\"{}]{0,10}", 10);
        let numbers = (1_i32..12, 1_i32..5, any::<i32>(), any::<i64>(), any::<i64>(), 0_i32..4);
        let flags = prop::option::of(prop::collection::btree_map("[a-z]{1,6}", any::<bool>(), 1..4));
        let at = prop::option::of(prop::collection::vec("[a-z]{1,4}", 1..4));
        let push = prop::option::of(("[a-z]{0,4}", any::<bool>()));
        (texts, numbers, flags, at, push, any::<bool>()).prop_map(
            move |(t, n, options, at, push, is_read)| {
                let options = options.map(|options| {
                    options.into_iter().map(|(k, v)| (k, Bson::Boolean(v))).collect::<Document>()
                });
                let push = push.map(|(title, badge)| {
                    doc! {
                        "title": title, "desc": "d", "ex": "", "ios_push_sound": "+1",
                        "ios_badge_count": badge,
                    }
                });
                doc! {
                    "send_id": &t[0], "recv_id": &t[1], "group_id": &t[2], "client_msg_id": &t[3],
                    "server_msg_id": &t[4], "sender_platform_id": n.0, "sender_nickname": &t[5],
                    "sender_face_url": &t[6], "session_type": n.1, "msg_from": 100, "content_type": n.2,
                    "content": &t[7], "seq": seq, "send_time": n.3, "create_time": n.4, "status": n.5,
                    "is_read": is_read, "options": options, "offline_push": push, "at_user_id_list": at,
                    "attached_info": &t[8], "ex": &t[9],
                }
            },
        )
    }

    fn place(seq: i64) -> impl Strategy<Value = Document> {
        let revoke = prop::option::of(("[a-z]{1,4}", any::<i64>()).prop_map(|(user, time)| {
            doc! { "role": 20, "user_id": user, "nickname": "n", "time": time }
        }));
        let deleted = prop::collection::vec("[a-z]{1,4}", 0..3);
        (prop::option::of(message(seq)), revoke, deleted, any::<bool>()).prop_map(
            |(message, revoke, deleted, is_read)| match message {
                Some(message) => {
                    doc! { "msg": message, "revoke": revoke, "del_list": deleted, "is_read": is_read }
                }
                None => doc! { "msg": null, "revoke": null, "del_list": [], "is_read": false },
            },
        )
    }

    fn block() -> impl Strategy<Value = Document> {
        (0_i64..1000).prop_flat_map(|number| {
            let first = number * PER_BLOCK + 1;
            let few: Vec<_> = (first..first + 4).map(place).collect();
            few.prop_map(move |few| {
                let empty = doc! { "msg": null, "revoke": null, "del_list": [], "is_read": false };
                let msgs: Vec<Document> = few.into_iter().chain(std::iter::repeat(empty)).take(100).collect();
                doc! { "doc_id": format!("si_a_b:{number}"), "msgs": msgs }
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_block_that_went_there_and_back_is_the_same(theirs in block()) {
            let ours = there(&theirs).unwrap();
            prop_assert!(ours.left_out.is_empty());
            let keys: HashSet<&str> = ours.stored.iter().map(|message| message.key()).collect();
            prop_assert_eq!(keys.len(), ours.stored.len(), "the index allows a key once");
            let mut back = to_theirs(&ours.block, ours.stored);
            back.remove("_id");
            prop_assert_eq!(back, theirs);
        }
    }

    fn of(seq: i64, content: &str) -> Document {
        doc! { "msg": { "send_id": "a", "recv_id": "b", "client_msg_id": "c", "session_type": 1, "content": content, "seq": seq } }
    }

    #[test]
    fn a_message_stands_where_its_seq_says() {
        for (seq, number) in [(1, 0), (100, 0), (101, 1), (200, 1), (201, 2)] {
            let block = Block::of("si_a_b", seq);
            assert_eq!((block.number, Block::parse(&block.doc_id())), (number, Some(block.clone())));
            assert!((block.first()..=block.last()).contains(&seq));
        }
        for doc_id in ["si_a_b", ":1", "si_a_b:", "si_a_b:-1", "si_a_b:x"] {
            assert_eq!(Block::parse(doc_id), None, "{doc_id}");
        }
    }

    #[test]
    fn a_message_that_was_sent_twice_is_there_twice() {
        let ours = there(&doc! { "doc_id": "si_a_b:0", "msgs": [of(1, "x"), of(2, "x")] }).unwrap();
        assert_eq!(ours.stored.iter().map(StoredMessage::seq).collect::<Vec<_>>(), [1, 2]);
        assert_ne!(ours.stored[0].key(), ours.stored[1].key());
    }

    #[test]
    fn what_cannot_be_moved_is_named_and_the_rest_is_moved() {
        let long = "x".repeat(RECORD_BYTES + 1);
        let ours =
            there(&doc! { "doc_id": "si_a_b:1", "msgs": [of(101, "x"), of(5, "x"), of(103, &long), null] });
        let ours = ours.unwrap();
        assert_eq!(ours.stored.iter().map(StoredMessage::seq).collect::<Vec<_>>(), [101]);
        assert_eq!(ours.left_out, [(102, Reason::Place), (103, Reason::TooLong)]);
        for theirs in
            [doc! { "msgs": [] }, doc! { "doc_id": "x", "msgs": [] }, doc! { "doc_id": "x:0", "msgs": 1 }]
        {
            assert!(matches!(there(&theirs), Err(Reason::Block(_))), "{theirs}");
        }
    }
}

//! Collections `stream` and `stream_block`: messages that grow while their sender writes them (docs/adr/0045). A stream is a row; what is
//! appended to it are blocks, whose `_id` is the stream and the position of their first packet. A block is only ever inserted where the
//! one before it ends, so the blocks are one chain: of two writers who append at the same position, one is refused by the index.

use bson::{Binary, doc, spec::BinarySubtype};
use protocol::sdkws::MsgData;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

const STREAMS: &str = "stream";
const BLOCKS: &str = "stream_block";

/// A message that is still growing, or that has been until recently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    #[serde(rename = "_id")]
    id: String,
    /// The sender.
    #[serde(rename = "u")]
    pub sender: String,
    /// Encoded `openim.sdkws.MsgData` as it began; empty when the stream is closed.
    m: Binary,
    /// Who began it: the sender, or an administrator.
    #[serde(rename = "b")]
    pub begun_by: String,
    /// The platform of whoever began it.
    #[serde(rename = "p")]
    pub platform: i32,
    /// When it began, ms.
    #[serde(rename = "t")]
    pub begun: i64,
    /// How many users read along.
    #[serde(rename = "a")]
    pub audience: u32,
    /// When somebody must look at it, ms: it may be silent, or interrupted, or no longer needed.
    pub due: i64,
    /// Set when nothing more happens to it.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// `sent`, `empty`, or why it was refused.
    pub how: String,
    /// How many packets it had.
    pub next: i64,
    /// When it was closed, ms.
    pub at: i64,
}

/// Packets that were appended together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    #[serde(rename = "_id")]
    id: String,
    /// The sender of the stream.
    u: String,
    /// The packets; missing where only the position was asked for.
    #[serde(rename = "k", default)]
    pub packets: Vec<String>,
    /// The position behind the last of them.
    #[serde(rename = "n")]
    pub next: i64,
    /// Bytes of the text up to there, as JSON writes it.
    #[serde(rename = "b")]
    pub bytes: i64,
    /// When it was appended, ms.
    #[serde(rename = "t")]
    pub time: i64,
    /// Nothing follows.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// The id of a stream.
pub fn id_of(conversation: &str, client_msg_id: &str) -> String {
    format!("{conversation}\0{client_msg_id}")
}

fn block_id(stream: &str, start: i64) -> String {
    format!("{stream}\0{start:016x}")
}

/// The ids of all blocks of a stream. NUL is in no clientMsgID.
fn all_blocks(stream: &str) -> bson::Document {
    doc! { "$gte": format!("{stream}\0"), "$lt": format!("{stream}\u{1}") }
}

impl Stream {
    /// A new stream of a message.
    pub fn new(
        conversation: &str,
        message: &MsgData,
        (begun_by, platform): (&str, i32),
        audience: u32,
        (begun, due): (i64, i64),
    ) -> Self {
        let m = Binary { subtype: BinarySubtype::Generic, bytes: prost::Message::encode_to_vec(message) };
        Self {
            id: id_of(conversation, &message.client_msg_id),
            sender: message.send_id.clone(),
            m,
            begun_by: begun_by.to_owned(),
            platform,
            begun,
            audience,
            due,
            closed: None,
        }
    }

    /// Conversation and clientMsgID, together.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The conversation.
    pub fn conversation(&self) -> &str {
        self.id.split_once('\0').map_or("", |(conversation, _)| conversation)
    }

    /// The clientMsgID of its message.
    pub fn client_msg_id(&self) -> &str {
        self.id.split_once('\0').map_or("", |(_, client_msg_id)| client_msg_id)
    }

    /// The message as it began.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn message(&self) -> Result<MsgData, prost::DecodeError> {
        prost::Message::decode(self.m.bytes.as_slice())
    }
}

impl Block {
    /// Packets to be appended at a position; `before` is what the text has there, in bytes.
    pub fn new(stream: &Stream, start: i64, packets: Vec<String>, bytes: i64, time: i64, end: bool) -> Self {
        let next = start + i64::try_from(packets.len()).unwrap_or(i64::MAX - start);
        Self { id: block_id(&stream.id, start), u: stream.sender.clone(), packets, next, bytes, time, end }
    }

    /// The position of its first packet.
    pub fn start(&self) -> i64 {
        self.id.rsplit_once('\0').and_then(|(_, start)| i64::from_str_radix(start, 16).ok()).unwrap_or(0)
    }
}

impl Store {
    pub(crate) async fn ensure_stream_indexes(&self) -> Result<()> {
        self.index(STREAMS, doc! { "due": 1 }).await?;
        self.index(STREAMS, doc! { "u": 1 }).await
    }

    /// Begins a stream; the one that was there instead.
    pub async fn begin_stream(&self, stream: &Stream) -> Result<Option<Stream>> {
        let rows = self.typed::<Stream>(STREAMS);
        match rows.insert_one(stream).await.map_err(crate::StoreError) {
            Ok(_) => Ok(None),
            Err(error) if error.is_duplicate_key() => {
                let before = rows.find_one(doc! { "_id": &stream.id }).await?;
                before.map(Some).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// A stream.
    pub async fn stream(&self, conversation: &str, client_msg_id: &str) -> Result<Option<Stream>> {
        let id = id_of(conversation, client_msg_id);
        Ok(self.typed(STREAMS).find_one(doc! { "_id": id }).await?)
    }

    /// How many streams of a conversation are not closed, beside one, counted to `most`.
    pub async fn other_open_streams(
        &self,
        conversation: &str,
        client_msg_id: &str,
        most: u64,
    ) -> Result<u64> {
        let (from, to) = (format!("{conversation}\0"), format!("{conversation}\u{1}"));
        let others = doc! { "$gte": from, "$lt": to, "$ne": id_of(conversation, client_msg_id) };
        let filter = doc! { "_id": others, "x": { "$exists": false } };
        Ok(self.documents(STREAMS).count_documents(filter).limit(most).await?)
    }

    /// Streams of a conversation that are not closed, at most so many, the oldest first.
    pub async fn open_streams(&self, conversation: &str, most: i64) -> Result<Vec<Stream>> {
        let range = doc! { "$gte": format!("{conversation}\0"), "$lt": format!("{conversation}\u{1}") };
        let filter = doc! { "_id": range, "x": { "$exists": false } };
        let rows_of = self.typed::<Stream>(STREAMS);
        self.collect(rows_of.find(filter).sort(doc! { "t": 1 }).limit(most).await?).await
    }

    /// The last block of a stream, without its packets; `None` when nothing was appended yet.
    pub async fn last_block(&self, stream: &Stream) -> Result<Option<Block>> {
        let rows_of = self.typed::<Block>(BLOCKS);
        let last = rows_of.find_one(doc! { "_id": all_blocks(&stream.id) }).sort(doc! { "_id": -1 });
        Ok(last.projection(doc! { "u": 1, "n": 1, "b": 1, "t": 1, "e": 1 }).await?)
    }

    /// Appends a block; `false` when another one is there.
    pub async fn append_block(&self, block: &Block) -> Result<bool> {
        match self.typed::<Block>(BLOCKS).insert_one(block).await.map_err(crate::StoreError) {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate_key() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The packets of a stream from a position on.
    pub async fn packets_from(&self, stream: &Stream, start: i64) -> Result<Vec<String>> {
        let rows_of = self.typed::<Block>(BLOCKS);
        let before = doc! { "$gte": format!("{}\0", stream.id), "$lte": block_id(&stream.id, start.max(0)) };
        let first = rows_of.find_one(doc! { "_id": before }).sort(doc! { "_id": -1 });
        let Some(first) = first.projection(doc! { "u": 1, "n": 1, "b": 1, "t": 1 }).await? else {
            return Ok(vec![]);
        };
        let range = doc! { "$gte": &first.id, "$lt": format!("{}\u{1}", stream.id) };
        let blocks: Vec<Block> =
            self.collect(rows_of.find(doc! { "_id": range }).sort(doc! { "_id": 1 }).await?).await?;
        let skipped = usize::try_from(start - first.start()).unwrap_or(0);
        Ok(blocks.into_iter().flat_map(|block| block.packets).skip(skipped).collect())
    }

    /// Somebody looks at the stream no later than then, ms.
    pub async fn hasten_stream(&self, stream: &Stream, due: i64) -> Result<()> {
        let update = doc! { "$min": { "due": due } };
        self.documents(STREAMS).update_one(doc! { "_id": &stream.id }, update).await?;
        Ok(())
    }

    /// Streams that somebody must look at, those that wait longest first.
    pub async fn due_streams(&self, now: i64, most: i64) -> Result<Vec<Stream>> {
        let rows_of = self.typed::<Stream>(STREAMS);
        let find = rows_of.find(doc! { "due": { "$lte": now } }).sort(doc! { "due": 1 }).limit(most);
        self.collect(find.await?).await
    }

    /// Nobody else looks at the stream before `due`, ms; `false` when it was not `seen` any more, because somebody was faster.
    pub async fn put_off_stream(&self, stream: &Stream, seen: i64, due: i64) -> Result<bool> {
        let filter = doc! { "_id": &stream.id, "due": seen };
        let outcome = self.documents(STREAMS).update_one(filter, doc! { "$set": { "due": due } }).await?;
        Ok(outcome.matched_count > 0)
    }

    /// Nothing more happens to the stream. Its text goes at once. The row stays, so that repeated calls are answered, and so do the blocks
    /// until `due`, ms: whoever read the position before finds its place taken.
    pub async fn close_stream(&self, stream: &Stream, closed: &Closed, due: i64) -> Result<()> {
        let nothing = Binary { subtype: BinarySubtype::Generic, bytes: vec![] };
        let how = doc! { "how": &closed.how, "next": closed.next, "at": closed.at };
        let update = doc! { "$set": { "x": how, "m": nothing, "due": due } };
        // How it ended is decided once.
        let open = doc! { "_id": &stream.id, "x": { "$exists": false } };
        self.documents(STREAMS).update_one(open, update).await?;
        let blank = doc! { "$unset": { "k": 1 } };
        self.documents(BLOCKS).update_many(doc! { "_id": all_blocks(&stream.id) }, blank).await?;
        Ok(())
    }

    /// Removes the blocks of a closed stream.
    pub async fn remove_blocks(&self, stream: &Stream) -> Result<()> {
        self.documents(BLOCKS).delete_many(doc! { "_id": all_blocks(&stream.id) }).await?;
        Ok(())
    }

    /// Forgets a stream: its blocks first, so that none is left without it.
    pub async fn remove_stream(&self, stream: &Stream) -> Result<()> {
        self.remove_blocks(stream).await?;
        self.documents(STREAMS).delete_one(doc! { "_id": &stream.id }).await?;
        Ok(())
    }
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use std::sync::Arc;

    use faults::fate::Calm;

    use super::*;
    use crate::memory::Memory;

    async fn begun() -> (Store, Stream) {
        let store = Store::in_memory(&Memory::default(), Arc::new(Calm));
        let message = MsgData { send_id: "bot".into(), client_msg_id: "1".into(), ..Default::default() };
        let stream = Stream::new("si_ann_bot", &message, ("bot", 12), 2, (5, 100));
        assert_eq!(store.begin_stream(&stream).await.unwrap(), None);
        (store, stream)
    }

    fn block(stream: &Stream, start: i64, packets: &[&str]) -> Block {
        let packets = packets.iter().map(|packet| (*packet).to_owned()).collect();
        Block::new(stream, start, packets, 0, 7, false)
    }

    #[tokio::test]
    async fn how_a_stream_ended_is_decided_once() {
        let (store, stream) = begun().await;
        let closed = |how: &str| Closed { how: how.into(), next: 0, at: 1 };
        store.close_stream(&stream, &closed("sent"), 9).await.unwrap();
        store.close_stream(&stream, &closed("muted"), 9).await.unwrap();
        let now = store.stream("si_ann_bot", "1").await.unwrap().unwrap();
        assert_eq!(now.closed.unwrap().how, "sent");
    }

    #[tokio::test]
    async fn of_two_who_append_at_one_position_one_is_refused() {
        let (store, stream) = begun().await;
        assert!(store.append_block(&block(&stream, 0, &["a", "b"])).await.unwrap());
        assert!(!store.append_block(&block(&stream, 0, &["c"])).await.unwrap());
        assert!(store.append_block(&block(&stream, 2, &["c"])).await.unwrap());
        let last = store.last_block(&stream).await.unwrap().unwrap();
        assert_eq!((last.start(), last.next, last.time, last.packets.len()), (2, 3, 7, 0));
    }

    #[tokio::test]
    async fn packets_are_read_from_any_position() {
        let (store, stream) = begun().await;
        assert!(store.packets_from(&stream, 0).await.unwrap().is_empty());
        for (start, packets) in [(0, &["a", "b", "c"][..]), (3, &["d"]), (4, &["e", "f"])] {
            assert!(store.append_block(&block(&stream, start, packets)).await.unwrap());
        }
        for (start, rest) in [(0, "abcdef"), (1, "bcdef"), (3, "def"), (5, "f"), (6, ""), (9, "")] {
            assert_eq!(store.packets_from(&stream, start).await.unwrap().concat(), rest, "{start}");
        }
    }

    #[tokio::test]
    async fn a_stream_with_a_longer_id_is_another_one() {
        let (store, stream) = begun().await;
        let message = MsgData { send_id: "bot".into(), client_msg_id: "12".into(), ..Default::default() };
        let other = Stream::new("si_ann_bot", &message, ("bot", 12), 2, (6, 100));
        store.begin_stream(&other).await.unwrap();
        assert!(store.append_block(&block(&other, 0, &["x"])).await.unwrap());
        assert!(store.last_block(&stream).await.unwrap().is_none());
        store.remove_stream(&stream).await.unwrap();
        assert_eq!(store.packets_from(&other, 0).await.unwrap(), ["x"]);
        assert_eq!(store.open_streams("si_ann_bot", 9).await.unwrap(), [other]);
        assert_eq!(store.other_open_streams("si_ann_bot", "1", 9).await.unwrap(), 1);
        assert_eq!(store.other_open_streams("si_ann_bot", "12", 9).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_closed_stream_keeps_neither_text_nor_message() {
        let (store, stream) = begun().await;
        assert!(store.append_block(&block(&stream, 0, &["secret"])).await.unwrap());
        let closed = Closed { how: "sent".into(), next: 1, at: 800 };
        store.close_stream(&stream, &closed, 900).await.unwrap();
        let found = store.stream("si_ann_bot", "1").await.unwrap().unwrap();
        assert_eq!((found.closed.as_ref(), found.due), (Some(&closed), 900));
        assert!(found.message().unwrap().send_id.is_empty() && found.sender == "bot");
        assert!(store.packets_from(&stream, 0).await.unwrap().is_empty());
        assert!(store.open_streams("si_ann_bot", 9).await.unwrap().is_empty());
        assert!(!store.append_block(&block(&stream, 0, &["late"])).await.unwrap());
    }

    #[tokio::test]
    async fn a_due_stream_is_looked_at_by_one() {
        let (store, stream) = begun().await;
        assert!(store.due_streams(99, 9).await.unwrap().is_empty());
        store.hasten_stream(&stream, 50).await.unwrap();
        store.hasten_stream(&stream, 70).await.unwrap();
        let due = store.due_streams(99, 9).await.unwrap();
        assert_eq!(due.iter().map(|stream| stream.due).collect::<Vec<_>>(), [50]);
        assert!(store.put_off_stream(&due[0], 50, 200).await.unwrap());
        assert!(!store.put_off_stream(&due[0], 50, 300).await.unwrap(), "somebody else looks at it");
    }
}

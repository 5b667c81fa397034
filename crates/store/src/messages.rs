//! Collection `messages`: one document per message. `_id` is conversation and seq, so nothing can be stored twice under one seq;
//! `k` is the de-duplication key, also unique: either rejects a deposed owner of a partition.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::Duration,
};

use bson::{Binary, Document, doc, spec::BinarySubtype};
use bytes::Bytes;
use faults::mutants::{Mutant, is_on};
use futures::{StreamExt, TryStreamExt};
use model::sequencer::DedupKey;
use mongodb::options::ReturnDocument;
use protocol::{content_type::session, sdkws::MsgData};
use serde::{Deserialize, Serialize};

use crate::{DAY_MS, Page, Result, Store, collections::MESSAGES, day_name, number};

/// A stored message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredMessage {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "k")]
    key: String,
    /// sendTime, ms.
    #[serde(rename = "t")]
    time: i64,
    #[serde(rename = "s", default)]
    send_id: String,
    /// recvID, or groupID of a group message.
    #[serde(rename = "r", default)]
    to: String,
    #[serde(rename = "c", default)]
    content_type: i32,
    #[serde(rename = "y", default)]
    session_type: i32,
    /// Encoded `openim.sdkws.MsgData` with its seq.
    #[serde(rename = "m")]
    encoded: Binary,
    /// Set when revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<Revoke>,
    /// Set when edited; `encoded` stays as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// Users who deleted it for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted_for: Vec<String>,
    /// The peer has read it (single chat).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_read: bool,
}

/// Who revoked a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Revoke {
    pub role: i32,
    pub user_id: String,
    pub nickname: String,
    /// ms
    pub time: i64,
}

/// The content that replaced what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    content: Binary,
    /// How often it was edited.
    pub version: i64,
    /// ms
    pub time: i64,
}

impl Edit {
    /// The content of the message now.
    pub fn content(&self) -> &[u8] {
        &self.content.bytes
    }
}

/// What an insert met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// All documents are stored.
    All,
    /// Some seq or de-dup key already exists: read the state again and place what is missing.
    Conflict,
}

pub(crate) fn document_id(conversation: &str, seq: i64) -> String {
    format!("{conversation}:{seq:016x}")
}

fn key_text(key: &DedupKey) -> String {
    format!("{}\0{}\0{}", key.conversation, key.send_id, key.client_msg_id)
}

pub(crate) fn seq_of(id: &str) -> i64 {
    id.rsplit_once(':').and_then(|(_, seq)| i64::from_str_radix(seq, 16).ok()).unwrap_or(0)
}

impl StoredMessage {
    /// A new message; `encoded` is `message` with its seq.
    pub fn new(key: &DedupKey, seq: i64, message: &MsgData, encoded: Vec<u8>) -> Self {
        let to = if message.group_id.is_empty() { &message.recv_id } else { &message.group_id };
        let id = document_id(&key.conversation, seq);
        let unique = if is_on(Mutant::NoDeduplication) { id.clone() } else { key_text(key) };
        Self {
            id,
            key: unique,
            time: message.send_time,
            send_id: message.send_id.clone(),
            to: to.clone(),
            content_type: message.content_type,
            session_type: message.session_type,
            encoded: Binary { subtype: BinarySubtype::Generic, bytes: encoded },
            revoke: None,
            edit: None,
            deleted_for: vec![],
            is_read: false,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The conversation.
    pub fn conversation(&self) -> &str {
        self.id.rsplit_once(':').map_or("", |(conversation, _)| conversation)
    }

    /// The seq.
    pub fn seq(&self) -> i64 {
        seq_of(&self.id)
    }

    /// sendTime, ms; it stays when the content is removed.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The same with a de-duplication key that no other message has: upstream stores what a client sends twice under two seqs.
    #[must_use]
    pub fn with_own_key(mut self) -> Self {
        self.key = format!("{}\0{:016x}", self.key, self.seq());
        self
    }

    /// The same with the de-duplication key of another one.
    #[must_use]
    pub fn with_key_of(mut self, other: &Self) -> Self {
        self.key.clone_from(&other.key);
        self
    }

    /// The de-duplication key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether everything but the de-duplication key is the same.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            id,
            key: _,
            time,
            send_id,
            to,
            content_type,
            session_type,
            encoded,
            revoke,
            edit,
            deleted_for,
            is_read,
        } = self;
        (id, time, send_id, to) == (&other.id, &other.time, &other.send_id, &other.to)
            && (content_type, session_type) == (&other.content_type, &other.session_type)
            && (encoded, revoke, edit) == (&other.encoded, &other.revoke, &other.edit)
            && (deleted_for, is_read) == (&other.deleted_for, &other.is_read)
    }

    /// The encoded MsgData.
    pub fn into_encoded(self) -> Bytes {
        self.encoded.bytes.into()
    }

    /// Nobody revoked, edited or removed it.
    pub fn is_as_sent(&self) -> bool {
        self.revoke.is_none() && self.edit.is_none() && !self.encoded.bytes.is_empty()
    }

    /// The encoded MsgData; empty when it was removed for everybody.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded.bytes
    }
}

/// A search over all messages; empty and zero fields match everything.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Search {
    pub send_id: String,
    /// A user, or a group.
    pub recv_id: String,
    pub content_type: i32,
    pub session_type: i32,
    /// sendTime, ms.
    pub sent: Option<Range<i64>>,
}

impl Search {
    fn filter(&self) -> Document {
        let mut filter = doc! { "c": { "$gt": 0 } };
        if !self.send_id.is_empty() {
            filter.insert("s", &self.send_id);
        }
        if !self.recv_id.is_empty() {
            filter.insert("r", &self.recv_id);
        }
        if self.content_type != 0 {
            filter.insert("c", self.content_type);
        }
        if self.session_type != 0 {
            filter.insert("y", self.session_type);
        }
        if let Some(sent) = &self.sent {
            filter.insert("t", doc! { "$gte": sent.start, "$lt": sent.end });
        }
        filter
    }
}

/// What [`Store::activity`] counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Senders, in all chats.
    Senders,
    /// Senders, in groups only.
    GroupSenders,
    /// Groups.
    Groups,
}

/// Messages in a range of time.
#[derive(Debug, Clone)]
pub struct ActivityCounts {
    /// All messages.
    pub messages: i64,
    /// How many senders or groups there were.
    pub members: i64,
    /// UTC day (`2026-01-31`) to messages.
    pub days: BTreeMap<String, i64>,
    /// A page of (sender or group, messages), ranked.
    pub ranking: Vec<(String, i64)>,
}

/// Longest time of a search; a search that takes longer must be narrowed.
const SEARCH_TIME: Duration = Duration::from_secs(5);
/// Longest time of a report.
const REPORT_TIME: Duration = Duration::from_secs(8);

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: String,
}

/// A message that is neither revoked nor removed.
fn still_says(conversation: &str, seq: i64) -> Document {
    doc! { "_id": document_id(conversation, seq), "revoke": { "$exists": false }, "c": { "$gt": 0 } }
}

impl Store {
    /// The highest stored seq of each conversation, from the messages themselves; 0 when none are left.
    pub async fn stored_max_seqs(&self, conversations: Vec<String>) -> Result<HashMap<String, i64>> {
        futures::stream::iter(conversations)
            .map(async |conversation| {
                let least = document_id(&conversation, 0);
                let range = doc! { "_id": { "$gt": least, "$lt": format!("{conversation}:g") } };
                let rows_of = self.typed::<Id>(MESSAGES);
                let newest = rows_of.find_one(range).sort(doc! { "_id": -1 });
                let newest = newest.projection(doc! { "_id": 1 }).await?;
                Ok((conversation, newest.map_or(0, |row| seq_of(&row.id))))
            })
            .buffer_unordered(16)
            .try_collect()
            .await
    }

    /// What is stored under the keys.
    pub async fn stored_keys(&self, keys: &[DedupKey]) -> Result<HashMap<DedupKey, StoredMessage>> {
        let by_text: HashMap<String, &DedupKey> = keys.iter().map(|key| (key_text(key), key)).collect();
        let texts: Vec<&String> = by_text.keys().collect();
        let rows_of = self.typed::<StoredMessage>(MESSAGES);
        let rows: Vec<StoredMessage> =
            rows_of.find(doc! { "k": { "$in": texts } }).await?.try_collect().await?;
        Ok(rows.into_iter().filter_map(|row| Some(((*by_text.get(&row.key)?).clone(), row))).collect())
    }

    /// Stores messages. After `Conflict` a part of them may be stored: nothing is lost by placing the batch again.
    pub async fn insert_messages(&self, messages: &[StoredMessage]) -> Result<Inserted> {
        match self.typed::<StoredMessage>(MESSAGES).insert_many(messages).await.map_err(crate::StoreError) {
            Ok(_) => Ok(Inserted::All),
            Err(error) if error.is_duplicate_key() && is_on(Mutant::ConflictSwallowed) => Ok(Inserted::All),
            Err(error) if error.is_duplicate_key() => Ok(Inserted::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Messages with the given seqs, ascending; missing ones are omitted.
    pub async fn messages_by_seq(&self, conversation: &str, seqs: &[i64]) -> Result<Vec<StoredMessage>> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        let rows_of = self.typed(MESSAGES);
        let find = rows_of.find(doc! { "_id": { "$in": ids } }).sort(doc! { "_id": 1 });
        Ok(find.await?.try_collect().await?)
    }

    /// The sendTime of the newest message below a seq, ms; 0 when there is none.
    pub async fn time_below(&self, conversation: &str, seq: i64) -> Result<i64> {
        let below =
            doc! { "_id": { "$gt": document_id(conversation, 0), "$lt": document_id(conversation, seq) } };
        let rows_of = self.documents(MESSAGES);
        let newest = rows_of.find_one(below).sort(doc! { "_id": -1 }).projection(doc! { "t": 1 }).await?;
        Ok(newest.map_or(0, |row| number(&row, "t")))
    }

    /// Marks a message as revoked; `false` when it is missing or revoked already.
    pub async fn revoke_message(&self, conversation: &str, seq: i64, revoke: &Revoke) -> Result<bool> {
        let value = bson::serialize_to_document(revoke).map_err(mongodb::error::Error::custom)?;
        let filter = doc! { "_id": document_id(conversation, seq), "revoke": { "$exists": false } };
        let outcome =
            self.documents(MESSAGES).update_one(filter, doc! { "$set": { "revoke": value } }).await?;
        Ok(outcome.matched_count > 0)
    }

    /// Replaces the content of a message; the version of the edit, `None` when the message is missing, revoked or removed.
    pub async fn edit_message(
        &self,
        conversation: &str,
        seq: i64,
        content: &[u8],
        time: i64,
    ) -> Result<Option<i64>> {
        self.edit_where(still_says(conversation, seq), content, time).await
    }

    /// [`Store::edit_message`] of a message whose last edit has this version, 0 for one that was never edited; also `None` for any other
    /// version.
    pub async fn edit_message_of(
        &self,
        conversation: &str,
        (seq, version): (i64, i64),
        content: &[u8],
        time: i64,
    ) -> Result<Option<i64>> {
        let mut filter = still_says(conversation, seq);
        match version {
            0 => filter.insert("edit", doc! { "$exists": false }),
            version => filter.insert("edit.version", version),
        };
        self.edit_where(filter, content, time).await
    }

    async fn edit_where(&self, filter: Document, content: &[u8], time: i64) -> Result<Option<i64>> {
        let content = Binary { subtype: BinarySubtype::Generic, bytes: content.to_vec() };
        let change = doc! { "$set": { "edit.content": content, "edit.time": time }, "$inc": { "edit.version": 1_i64 } };
        let rows_of = self.typed::<StoredMessage>(MESSAGES);
        let after =
            rows_of.find_one_and_update(filter, change).return_document(ReturnDocument::After).await?;
        Ok(after.and_then(|message| message.edit).map(|edit| edit.version))
    }

    /// Deletes messages for one user.
    pub async fn delete_messages_for(&self, conversation: &str, seqs: &[i64], user: &str) -> Result<()> {
        self.change_messages(conversation, seqs, doc! { "$addToSet": { "deleted_for": user } }).await
    }

    /// Removes the content of messages for everybody. Their places and de-duplication keys stay: a late retry stores nothing.
    pub async fn blank_messages(&self, conversation: &str, seqs: &[i64]) -> Result<()> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        self.forget_reactions(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let nothing = Binary { subtype: BinarySubtype::Generic, bytes: vec![] };
        let change = doc! { "$set": { "m": nothing, "c": 0 }, "$unset": { "edit": 1 } };
        self.change_messages(conversation, seqs, change).await
    }

    /// Searches the messages of users for administrators, newest first. Returns a page and how many match, counted to 10 000.
    pub async fn search_messages(&self, wanted: &Search, page: Page) -> Result<(Vec<StoredMessage>, u64)> {
        let filter = wanted.filter();
        let documents = self.documents(MESSAGES);
        let all = documents.count_documents(filter.clone());
        let total = all.limit(10_000).max_time(SEARCH_TIME).await?;
        let rows_of = self.typed(MESSAGES);
        let find = rows_of.find(filter).sort(doc! { "t": -1, "_id": -1 }).skip(page.skip).limit(page.limit);
        Ok((self.collect(find.max_time(SEARCH_TIME).await?).await?, total))
    }

    /// Counts the messages of users sent in a range of time, by sender or by group.
    pub async fn activity(
        &self,
        by: Activity,
        range: Range<i64>,
        ascending: bool,
        page: Page,
    ) -> Result<ActivityCounts> {
        let mut wanted =
            doc! { "t": { "$gte": range.start, "$lt": range.end }, "c": { "$gt": 0, "$lt": 1000 } };
        let key = match by {
            Activity::Senders => "$s",
            Activity::GroupSenders => {
                wanted.insert("y", session::GROUP);
                "$s"
            }
            Activity::Groups => {
                wanted.insert("y", session::GROUP);
                "$r"
            }
        };
        let per_day = vec![
            doc! { "$match": wanted.clone() },
            doc! { "$group": { "_id": { "$floor": { "$divide": ["$t", DAY_MS] } }, "n": { "$sum": 1 } } },
        ];
        let order = doc! { "n": if ascending { 1 } else { -1 }, "_id": 1 };
        let listed =
            vec![doc! { "$sort": order }, doc! { "$skip": page.skip as i64 }, doc! { "$limit": page.limit }];
        let ranked = vec![
            doc! { "$match": wanted },
            doc! { "$group": { "_id": key, "n": { "$sum": 1 } } },
            doc! { "$facet": { "page": listed, "total": [{ "$count": "n" }] } },
        ];
        let messages = self.documents(MESSAGES);
        let days: Vec<Document> =
            messages.aggregate(per_day).max_time(REPORT_TIME).await?.try_collect().await?;
        let ranked: Option<Document> =
            messages.aggregate(ranked).max_time(REPORT_TIME).await?.try_next().await?;
        let ranked = ranked.unwrap_or_default();
        let rows = |facet: &str| -> Vec<Document> {
            let found = ranked.get_array(facet).into_iter().flatten();
            found.filter_map(|row| row.as_document().cloned()).collect()
        };
        let count = |row: &Document| number(row, "n");
        Ok(ActivityCounts {
            messages: days.iter().map(count).sum(),
            members: rows("total").first().map_or(0, count),
            days: days.iter().map(|row| (day_name(number(row, "_id") * DAY_MS), count(row))).collect(),
            ranking: rows("page")
                .iter()
                .map(|row| (row.get_str("_id").unwrap_or_default().to_owned(), count(row)))
                .collect(),
        })
    }

    /// Marks messages of a single chat, not written by the reader, as read.
    pub async fn mark_read(&self, conversation: &str, begin: i64, end: i64, seqs: &[i64]) -> Result<()> {
        let read = doc! { "$set": { "is_read": true } };
        if begin <= end {
            let range = doc! { "_id": { "$gte": document_id(conversation, begin), "$lte": document_id(conversation, end) } };
            self.documents(MESSAGES).update_many(range, read.clone()).await?;
        }
        if seqs.is_empty() { Ok(()) } else { self.change_messages(conversation, seqs, read).await }
    }

    async fn change_messages(&self, conversation: &str, seqs: &[i64], change: Document) -> Result<()> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        self.documents(MESSAGES).update_many(doc! { "_id": { "$in": ids } }, change).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_like_their_seqs() {
        let ids: Vec<String> = [1, 9, 10, 255, 256, 1 << 40].map(|seq| document_id("si_a_b", seq)).to_vec();
        let mut sorted = ids.clone();
        sorted.sort();
        assert_eq!(ids, sorted);
        assert_eq!(seq_of(&ids[5]), 1 << 40);
        assert!(ids[5].as_str() < "si_a_b:g");
    }

    /// Services of the version before read and write the same documents.
    #[test]
    fn the_keys_of_a_stored_message_stay() {
        let key = DedupKey { conversation: "si_a_b".into(), send_id: "a".into(), client_msg_id: "1".into() };
        let stored = StoredMessage::new(&key, 1, &MsgData::default(), vec![1]);
        let document = bson::serialize_to_document(&stored).unwrap();
        let keys: Vec<&str> = document.keys().map(String::as_str).collect();
        assert_eq!(keys, ["_id", "k", "t", "s", "r", "c", "y", "m"]);
        assert_eq!(bson::deserialize_from_document::<StoredMessage>(document).unwrap(), stored);
    }
}

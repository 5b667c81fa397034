//! Collection `messages`: one document per message. `_id` is conversation and seq, so nothing can be stored twice under one
//! seq; `k` is the de-dup key, unique too: a deposed owner of a partition is refused by either.

use std::collections::HashMap;

use bson::{Binary, Document, doc, spec::BinarySubtype};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use model::sequencer::DedupKey;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// A stored message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredMessage {
    #[serde(rename = "_id")]
    id: String,
    k: String,
    /// sendTime, ms.
    t: i64,
    /// Encoded `openim.sdkws.MsgData` with its seq.
    m: Binary,
    /// Set when revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<Revoke>,
    /// Users who deleted it for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted_for: Vec<String>,
    /// The peer has read it (single chat).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_read: bool,
}

/// Who revoked a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Revoke {
    pub role: i32,
    pub user_id: String,
    pub nickname: String,
    /// ms
    pub time: i64,
}

/// What an insert met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// All documents are stored.
    All,
    /// Some seq or de-dup key exists already: read the state again and place what is missing.
    Conflict,
}

fn document_id(conversation: &str, seq: i64) -> String {
    format!("{conversation}:{seq:016x}")
}

fn key_text(key: &DedupKey) -> String {
    format!("{}\0{}\0{}", key.conversation, key.send_id, key.client_msg_id)
}

fn seq_of(id: &str) -> i64 {
    id.rsplit_once(':').and_then(|(_, seq)| i64::from_str_radix(seq, 16).ok()).unwrap_or(0)
}

impl StoredMessage {
    /// A new message; `encoded` is the MsgData with its seq.
    pub fn new(key: &DedupKey, seq: i64, send_time: i64, encoded: Vec<u8>) -> Self {
        Self {
            id: document_id(&key.conversation, seq),
            k: key_text(key),
            t: send_time,
            m: Binary { subtype: BinarySubtype::Generic, bytes: encoded },
            revoke: None,
            deleted_for: vec![],
            is_read: false,
        }
    }

    /// The seq.
    pub fn seq(&self) -> i64 {
        seq_of(&self.id)
    }

    /// The encoded MsgData.
    pub fn into_encoded(self) -> Bytes {
        self.m.bytes.into()
    }

    /// The encoded MsgData.
    pub fn encoded(&self) -> &[u8] {
        &self.m.bytes
    }
}

#[derive(Deserialize)]
struct IdAndKey {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    k: String,
}

impl Store {
    /// The highest stored seq of each conversation, from the messages themselves; 0 when empty.
    pub async fn stored_max_seqs(&self, conversations: Vec<String>) -> Result<HashMap<String, i64>> {
        futures::stream::iter(conversations)
            .map(async |conversation| {
                let range = doc! { "_id": { "$gt": document_id(&conversation, 0), "$lt": format!("{conversation}:g") } };
                let rows_of = self.typed::<IdAndKey>("messages");
        let newest = rows_of.find_one(range).sort(doc! { "_id": -1 });
                let newest = newest.projection(doc! { "_id": 1 }).await?;
                Ok((conversation, newest.map_or(0, |row| seq_of(&row.id))))
            })
            .buffer_unordered(16)
            .try_collect()
            .await
    }

    /// The seqs of the keys that are stored.
    pub async fn stored_keys(&self, keys: &[DedupKey]) -> Result<HashMap<DedupKey, i64>> {
        let by_text: HashMap<String, &DedupKey> = keys.iter().map(|key| (key_text(key), key)).collect();
        let texts: Vec<&String> = by_text.keys().collect();
        let rows: Vec<IdAndKey> = self
            .typed("messages")
            .find(doc! { "k": { "$in": texts } })
            .projection(doc! { "_id": 1, "k": 1 })
            .await?
            .try_collect()
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some(((*by_text.get(&row.k)?).clone(), seq_of(&row.id))))
            .collect())
    }

    /// Stores messages. After `Conflict` a part of them may be stored: nothing is lost by placing the batch again.
    pub async fn insert_messages(&self, messages: &[StoredMessage]) -> Result<Inserted> {
        match self.typed::<StoredMessage>("messages").insert_many(messages).await.map_err(crate::StoreError) {
            Ok(_) => Ok(Inserted::All),
            Err(error) if error.is_duplicate_key() => Ok(Inserted::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Messages with `begin <= seq <= end`, ascending; with a limit only the last of them.
    pub async fn messages_in_range(
        &self,
        conversation: &str,
        begin: i64,
        end: i64,
        last: Option<i64>,
    ) -> Result<Vec<StoredMessage>> {
        let range = doc! { "_id": { "$gte": document_id(conversation, begin.max(1)), "$lte": document_id(conversation, end.max(0)) } };
        let rows_of = self.typed("messages");
        let mut find = rows_of.find(range).sort(doc! { "_id": -1 });
        if let Some(last) = last {
            find = find.limit(last);
        }
        let mut found: Vec<StoredMessage> = find.await?.try_collect().await?;
        found.reverse();
        Ok(found)
    }

    /// Messages with the given seqs, ascending; missing ones are left out.
    pub async fn messages_by_seq(&self, conversation: &str, seqs: &[i64]) -> Result<Vec<StoredMessage>> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        let rows_of = self.typed("messages");
        let find = rows_of.find(doc! { "_id": { "$in": ids } }).sort(doc! { "_id": 1 });
        Ok(find.await?.try_collect().await?)
    }

    /// Removes up to `limit` messages sent before a time; returns how many. The lowest seq of their conversations rises first.
    pub async fn remove_oldest_messages(&self, before_ms: i64, limit: i64) -> Result<u64> {
        let rows_of = self.typed::<IdAndKey>("messages");
        let find = rows_of.find(doc! { "t": { "$lt": before_ms } }).sort(doc! { "t": 1 }).limit(limit);
        let rows: Vec<IdAndKey> = find.projection(doc! { "_id": 1 }).await?.try_collect().await?;
        let mut newest: HashMap<&str, i64> = HashMap::new();
        for row in &rows {
            let conversation =
                row.id.rsplit_once(':').map_or(row.id.as_str(), |(conversation, _)| conversation);
            let seq = newest.entry(conversation).or_default();
            *seq = (*seq).max(seq_of(&row.id));
        }
        for (conversation, seq) in newest {
            self.raise_min_seq(conversation, seq + 1).await?;
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        Ok(self.documents("messages").delete_many(doc! { "_id": { "$in": ids } }).await?.deleted_count)
    }

    /// Marks a message as revoked; `false` when it is missing or revoked already.
    pub async fn revoke_message(&self, conversation: &str, seq: i64, revoke: &Revoke) -> Result<bool> {
        let value = bson::serialize_to_document(revoke).map_err(mongodb::error::Error::custom)?;
        let filter = doc! { "_id": document_id(conversation, seq), "revoke": { "$exists": false } };
        let outcome =
            self.documents("messages").update_one(filter, doc! { "$set": { "revoke": value } }).await?;
        Ok(outcome.matched_count > 0)
    }

    /// Deletes messages for one user.
    pub async fn delete_messages_for(&self, conversation: &str, seqs: &[i64], user: &str) -> Result<()> {
        self.change_messages(conversation, seqs, doc! { "$addToSet": { "deleted_for": user } }).await
    }

    /// Marks messages of a single chat, not written by the reader, as read.
    pub async fn mark_read(&self, conversation: &str, begin: i64, end: i64, seqs: &[i64]) -> Result<()> {
        let read = doc! { "$set": { "is_read": true } };
        if begin <= end {
            let range = doc! { "_id": { "$gte": document_id(conversation, begin), "$lte": document_id(conversation, end) } };
            self.documents("messages").update_many(range, read.clone()).await?;
        }
        if seqs.is_empty() { Ok(()) } else { self.change_messages(conversation, seqs, read).await }
    }

    async fn change_messages(&self, conversation: &str, seqs: &[i64], change: Document) -> Result<()> {
        let ids: Vec<String> = seqs.iter().map(|seq| document_id(conversation, *seq)).collect();
        self.documents("messages").update_many(doc! { "_id": { "$in": ids } }, change).await?;
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
}

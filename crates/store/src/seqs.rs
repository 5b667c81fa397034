//! Collections `conversation_seq` (highest and lowest seq per conversation) and `user_seq` (a user's bounds and read position).
//! `conversation_seq.max` follows the messages: it is raised after they are stored, never before, and never falls.

use std::collections::HashMap;

use bson::{Document, doc};
use faults::mutants::{Mutant, is_on};
use futures::TryStreamExt;
use mongodb::options::ReadConcern;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Store,
    collections::{CONVERSATION_SEQ, USER_SEQ},
};

/// Bounds of a conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConversationSeq {
    #[serde(rename = "_id")]
    id: String,
    /// Highest stored seq.
    #[serde(default)]
    pub max: i64,
    /// Lowest seq that still exists for everybody; 0 and 1 mean all.
    #[serde(default)]
    pub min: i64,
    /// sendTime of the newest message, ms.
    #[serde(default)]
    pub time: i64,
}

/// A user's view of a conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UserSeq {
    #[serde(rename = "_id")]
    id: String,
    /// Highest seq the user may see; 0: no limit.
    #[serde(default)]
    pub max: i64,
    /// Lowest seq the user may see.
    #[serde(default)]
    pub min: i64,
    /// Read up to here.
    #[serde(default)]
    pub read: i64,
}

impl ConversationSeq {
    /// The last seq that was given out, whether its message still exists or not.
    pub fn last(&self) -> i64 {
        self.max.max(self.min - 1).max(0)
    }
}

pub(crate) fn user_key(user: &str, conversation: &str) -> String {
    format!("{user}:{conversation}")
}

/// Raises the highest seq of a conversation, with the sendTime of its message.
pub(crate) fn newest_raise(seq: i64, time: i64) -> Document {
    let newest = if is_on(Mutant::NewestMovesBack) { "$set" } else { "$max" };
    doc! { newest: { "max": seq, "time": time } }
}

/// Raises a read position.
pub(crate) fn read_raise(seq: i64) -> Document {
    doc! { "$max": { "read": seq } }
}

impl Store {
    /// Bounds of conversations; empty ones are missing.
    pub async fn conversation_seqs(
        &self,
        conversations: &[String],
    ) -> Result<HashMap<String, ConversationSeq>> {
        let rows: Vec<ConversationSeq> = self
            .typed(CONVERSATION_SEQ)
            .find(doc! { "_id": { "$in": conversations } })
            // A write that only one server has may be rolled back by a failover: it is not reported.
            .read_concern(ReadConcern::majority())
            .await?
            .try_collect()
            .await?;
        Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
    }

    /// Raises the highest seq of conversations: (conversation, seq, sendTime).
    pub async fn raise_max_seqs(&self, raises: &[(String, i64, i64)]) -> Result<()> {
        let updates =
            raises.iter().map(|(id, seq, time)| (doc! { "_id": id }, newest_raise(*seq, *time))).collect();
        self.upsert_many(CONVERSATION_SEQ, updates).await
    }

    /// Raises the lowest visible seq of a conversation for everybody.
    pub async fn raise_min_seq(&self, conversation: &str, seq: i64) -> Result<()> {
        let lowest = if is_on(Mutant::RetainedMovesBack) { "$set" } else { "$max" };
        let raise = (doc! { "_id": conversation }, doc! { lowest: { "min": seq } });
        self.upsert_many(CONVERSATION_SEQ, vec![raise]).await
    }

    /// A user's view of conversations; untouched ones are missing.
    pub async fn user_seqs(&self, user: &str, conversations: &[String]) -> Result<HashMap<String, UserSeq>> {
        let keys: Vec<String> = conversations.iter().map(|id| user_key(user, id)).collect();
        let rows: Vec<UserSeq> =
            self.typed(USER_SEQ).find(doc! { "_id": { "$in": keys } }).await?.try_collect().await?;
        let prefix = user.len() + 1;
        Ok(rows.into_iter().map(|row| (row.id[prefix..].to_owned(), row)).collect())
    }

    /// Read positions of many users in one conversation; those who have read nothing are missing.
    pub async fn read_seqs(&self, conversation: &str, users: &[String]) -> Result<HashMap<String, i64>> {
        let keys: Vec<String> = users.iter().map(|user| user_key(user, conversation)).collect();
        let rows_of = self.typed::<UserSeq>(USER_SEQ);
        let rows: Vec<UserSeq> = rows_of.find(doc! { "_id": { "$in": keys } }).await?.try_collect().await?;
        let suffix = conversation.len() + 1;
        Ok(rows.into_iter().map(|row| (row.id[..row.id.len() - suffix].to_owned(), row.read)).collect())
    }

    /// Raises read positions: (user, conversation, seq). They never fall.
    pub async fn raise_read_seqs(&self, raises: &[(String, String, i64)]) -> Result<()> {
        let updates = raises
            .iter()
            .map(|(user, conversation, seq)| (doc! { "_id": user_key(user, conversation) }, read_raise(*seq)))
            .collect();
        self.upsert_many(USER_SEQ, updates).await
    }

    /// Sets read positions, which may fall: (user, conversation, seq).
    pub async fn set_read_seqs(&self, positions: &[(String, String, i64)]) -> Result<()> {
        let updates = positions
            .iter()
            .map(|(user, conversation, seq)| {
                (doc! { "_id": user_key(user, conversation) }, doc! { "$set": { "read": seq } })
            })
            .collect();
        self.upsert_many(USER_SEQ, updates).await
    }

    /// Sets the highest seq that users may see of a conversation, or raises the lowest one, which never falls: what was hidden from
    /// somebody stays hidden.
    pub async fn set_user_bound(
        &self,
        users: &[String],
        conversation: &str,
        bound: Bound,
        seq: i64,
    ) -> Result<()> {
        let updates: Vec<(Document, Document)> = users
            .iter()
            .map(|user| (doc! { "_id": user_key(user, conversation) }, bound.update(seq)))
            .collect();
        self.upsert_many(USER_SEQ, updates).await
    }
}

/// Which end of a user's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bound {
    Min,
    Max,
}

impl Bound {
    fn update(self, seq: i64) -> Document {
        match self {
            Self::Min => doc! { "$max": { "min": seq } },
            Self::Max => doc! { "$set": { "max": seq } },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the server makes of an update of one field.
    fn apply(row: &mut HashMap<String, i64>, update: &Document) {
        for (operator, fields) in update {
            for (field, value) in fields.as_document().unwrap() {
                let (value, old) = (value.as_i64().unwrap(), row.entry(field.clone()).or_default());
                *old = if operator == "$max" { value.max(*old) } else { value };
            }
        }
    }

    proptest! {
        #[test]
        fn the_lowest_seq_that_a_user_sees_never_falls(seqs in prop::collection::vec(0_i64..1000, 1..20)) {
            let (mut row, mut lowest) = (HashMap::new(), 0);
            for seq in seqs {
                apply(&mut row, &Bound::Min.update(seq));
                prop_assert!(row["min"] >= lowest && row["min"] >= seq);
                lowest = row["min"];
                apply(&mut row, &Bound::Max.update(seq));
                prop_assert_eq!((row["max"], row["min"]), (seq, lowest));
            }
        }
    }
}

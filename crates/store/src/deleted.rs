//! Collection `conversation_deleted`: conversations that users have deleted from their lists, until the next message.

use bson::{Document, doc};
use futures::TryStreamExt;
use model::conversation_id;
use serde::Deserialize;

use crate::{DateTime, Result, Store, collections::CONVERSATION_DELETED, conversations::Conversation};

/// A deleted row, as far as needed to recreate it.
#[derive(Deserialize)]
struct Deleted {
    owner_user_id: String,
    conversation_id: String,
    conversation_type: i32,
    user_id: String,
    group_id: String,
    min_seq: i64,
    /// The newest message when it was deleted.
    seq: i64,
}

impl Deleted {
    fn renewed(&self, now: DateTime) -> Conversation {
        let (id, kind) = (&self.conversation_id, self.conversation_type);
        let row = Conversation::new(&self.owner_user_id, id, kind, &self.user_id, &self.group_id, now);
        Conversation { min_seq: self.min_seq, ..row }
    }
}

fn key(owner: &str, id: &str) -> Document {
    doc! { "owner_user_id": owner, "conversation_id": id }
}

impl Store {
    pub(crate) async fn ensure_deleted_index(&self) -> Result<()> {
        self.unique(CONVERSATION_DELETED, doc! { "owner_user_id": 1, "conversation_id": 1 }).await
    }

    /// Removes rows of an owner; each comes back with the next message: [`Store::renew_conversations`].
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn delete_conversations_until_written(&self, owner: &str, ids: &[String]) -> Result<()> {
        let rows = self.conversations(owner, ids).await?;
        let seqs = self.conversation_seqs(ids).await?;
        let remembered = rows.iter().map(|row| {
            let id = &row.conversation_id;
            let fields = doc! {
                "conversation_type": row.conversation_type, "user_id": &row.user_id,
                "group_id": &row.group_id,
                "min_seq": row.min_seq, "seq": seqs.get(id).map_or(0, |seq| seq.max),
            };
            (key(owner, id), doc! { "$set": fields })
        });
        self.upsert_many(CONVERSATION_DELETED, remembered.collect()).await?;
        self.delete_conversations(owner, ids).await
    }

    /// Recreates rows that an owner had deleted and that got messages since, except those of groups that the owner has left.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn renew_conversations(&self, owner: &str, now: DateTime) -> Result<()> {
        let rows_of = self.typed::<Deleted>(CONVERSATION_DELETED);
        let deleted: Vec<Deleted> =
            rows_of.find(doc! { "owner_user_id": owner }).await?.try_collect().await?;
        if deleted.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = deleted.iter().map(|row| row.conversation_id.clone()).collect();
        let seqs = self.conversation_seqs(&ids).await?;
        let groups: Vec<String> =
            ids.iter().filter_map(|id| conversation_id::group_of(id)).map(str::to_owned).collect();
        let joined = self.joined_of(owner, &groups).await?;
        let is_open = |row: &&Deleted| {
            let id = &row.conversation_id;
            seqs.get(id).is_some_and(|seq| seq.max > row.seq)
                && conversation_id::group_of(id).is_none_or(|group| joined.contains(group))
        };
        let written: Vec<Conversation> = deleted.iter().filter(is_open).map(|row| row.renewed(now)).collect();
        if written.is_empty() {
            return Ok(());
        }
        self.ensure_conversations(&written).await?;
        let ids: Vec<&str> = written.iter().map(|row| row.conversation_id.as_str()).collect();
        let done = doc! { "owner_user_id": owner, "conversation_id": { "$in": ids } };
        self.documents(CONVERSATION_DELETED).delete_many(done).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_row_hides_what_was_hidden_and_has_fresh_settings() {
        let deleted = Deleted {
            owner_user_id: "a".into(),
            conversation_id: "si_a_b".into(),
            conversation_type: 1,
            user_id: "b".into(),
            group_id: String::new(),
            min_seq: 8,
            seq: 7,
        };
        let row = deleted.renewed(DateTime::from_millis(5));
        assert_eq!((row.min_seq, row.max_seq, row.is_pinned, row.recv_msg_opt), (8, 0, false, 0));
        assert_eq!((row.owner_user_id.as_str(), row.user_id.as_str()), ("a", "b"));
    }
}

//! Rows of conversations that their owners have no part in. They were created before participants were checked; they are no
//! longer read, and are removed here.

use bson::{Document, doc};
use futures::TryStreamExt;
use model::access::Claim;
use protocol::content_type::session;
use serde::Deserialize;

use crate::{Result, Store, collections::CONVERSATION, conversations::Conversation};

/// A row without its settings.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Participants {
    owner_user_id: String,
    conversation_id: String,
    conversation_type: i32,
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    group_id: String,
}

impl Participants {
    /// The fields of a row that are read.
    pub(crate) fn fields() -> Document {
        doc! { "owner_user_id": 1, "conversation_id": 1, "conversation_type": 1, "user_id": 1, "group_id": 1 }
    }

    /// See [`Claim::holds`].
    pub(crate) fn hold(&self) -> bool {
        let claim = Claim {
            owner: &self.owner_user_id,
            conversation: &self.conversation_id,
            kind: self.conversation_type,
            peer: &self.user_id,
            group: &self.group_id,
        };
        claim.holds()
    }

    pub(crate) fn of(row: &Conversation) -> Self {
        Self {
            owner_user_id: row.owner_user_id.clone(),
            conversation_id: row.conversation_id.clone(),
            conversation_type: row.conversation_type,
            user_id: row.user_id.clone(),
            group_id: row.group_id.clone(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.conversation_id
    }

    pub(crate) fn into_id(self) -> String {
        self.conversation_id
    }
}

impl Store {
    /// [`Store::remove_planted_conversations`], once for each database: afterwards this reads one document.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn migrate_conversations(&self) -> Result<u64> {
        let done = doc! { "_id": "planted_conversations" };
        if self.documents("migration").find_one(done.clone()).await?.is_some() {
            return Ok(0);
        }
        let removed = self.remove_planted_conversations().await?;
        self.upsert_many("migration", vec![(done, doc! { "$set": { "done": true } })]).await?;
        Ok(removed)
    }

    /// Removes the rows that do not hold ([`Claim::holds`]); returns how many. Only rows of type 4 could be made for any id, so only they
    /// are looked through.
    ///
    /// # Errors
    /// If MongoDB fails or is unavailable; a retry continues.
    pub async fn remove_planted_conversations(&self) -> Result<u64> {
        let rows_of = self.typed::<Participants>(CONVERSATION);
        let find = rows_of.find(doc! { "conversation_type": session::NOTIFICATION });
        let mut rows = find.projection(Participants::fields()).await?;
        let mut removed = 0;
        while let Some(row) = rows.try_next().await? {
            if !row.hold() {
                self.delete_conversations(&row.owner_user_id, &[row.conversation_id]).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faults::fate::Calm;

    use super::*;
    use crate::{DateTime, memory::Memory};

    #[test]
    fn a_row_as_the_database_holds_it_is_judged_by_its_participants() {
        let row = |conversation: &str, kind: i32, user: &str| {
            let row = doc! {
                "owner_user_id": "eve", "conversation_id": conversation, "conversation_type": kind, "user_id": user, "ex": "",
            };
            bson::deserialize_from_document::<Participants>(row).unwrap()
        };
        assert!(row("si_alice_eve", session::SINGLE, "alice").hold());
        assert!(row("sn_alice_eve", session::NOTIFICATION, "").hold());
        assert!(!row("si_alice_bob", session::NOTIFICATION, "").hold());
        assert!(!row("si_alice_bob", session::SINGLE, "alice").hold());
    }

    #[tokio::test]
    async fn rows_that_were_planted_are_removed_once_and_others_stay() {
        let store = Store::in_memory(&Memory::default(), Arc::new(Calm));
        let row = |owner: &str, id: &str, kind: i32, peer: &str| {
            Conversation::new(owner, id, kind, peer, "", DateTime::from_millis(1))
        };
        let rows = [
            row("eve", "si_alice_bob", session::NOTIFICATION, ""),
            row("eve", "sg_team", session::NOTIFICATION, "alice"),
            row("eve", "sn_eve_news", session::NOTIFICATION, "news"),
            row("alice", "si_alice_bob", session::SINGLE, "bob"),
        ];
        store.ensure_conversations(&rows).await.unwrap();
        let left = async || {
            let rows_of = store.typed::<Participants>("conversation");
            let left: Vec<Participants> = rows_of.find(doc! {}).await.unwrap().try_collect().await.unwrap();
            let mut ids: Vec<String> =
                left.into_iter().map(|row| row.owner_user_id + " " + &row.conversation_id).collect();
            ids.sort();
            ids
        };
        assert_eq!(store.migrate_conversations().await.unwrap(), 2);
        assert_eq!(left().await, ["alice si_alice_bob", "eve sn_eve_news"]);
        store.ensure_conversations(&rows[..1]).await.unwrap();
        assert_eq!(store.migrate_conversations().await.unwrap(), 0, "nobody can plant any since");
        assert_eq!(left().await.len(), 3);
    }
}

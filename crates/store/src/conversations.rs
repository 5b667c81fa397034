//! Collection `conversation`: a user's row per conversation.

use std::collections::{HashMap, HashSet};

use bson::{Document, doc};
use futures::{Stream, StreamExt, TryStreamExt};
use model::access::Claim;
use serde::{Deserialize, Serialize};

use crate::{
    DateTime, Page, Result, Store,
    collections::CONVERSATION,
    millis,
    stray_conversations::Participants,
    versions::{Kind, SORT_ELEMENT, State},
};

/// Up to so many rows are created one by one: small transactions do not get in each other's way.
const FEW: usize = 8;
/// Rows of one transaction.
const AT_ONCE: usize = 1000;
/// A never-set latestMsgDestructTime on the wire (Go's zero time in ms).
const GO_ZERO_TIME_MS: i64 = -62_135_596_800_000;

/// A user's conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Conversation {
    pub owner_user_id: String,
    pub conversation_id: String,
    pub conversation_type: i32,
    pub user_id: String,
    pub group_id: String,
    pub recv_msg_opt: i32,
    pub is_pinned: bool,
    pub is_private_chat: bool,
    pub burn_duration: i32,
    pub group_at_type: i32,
    pub attached_info: String,
    pub ex: String,
    pub max_seq: i64,
    pub min_seq: i64,
    pub create_time: DateTime,
    pub is_msg_destruct: bool,
    pub msg_destruct_time: i64,
    pub latest_msg_destruct_time: Option<DateTime>,
}

/// The part of a row that decides which messages its owner sees; texts may be long, and are left in the store.
#[derive(Debug, Clone, Deserialize)]
pub struct Bounds {
    #[serde(flatten)]
    participants: Participants,
    /// Newest seq; 0: no limit.
    #[serde(default)]
    pub max_seq: i64,
    /// Lowest seq; 0: no limit.
    #[serde(default)]
    pub min_seq: i64,
    #[allow(missing_docs)]
    #[serde(default)]
    pub is_pinned: bool,
}

impl Bounds {
    fn fields() -> Document {
        let mut fields = Participants::fields();
        fields.extend(doc! { "max_seq": 1, "min_seq": 1, "is_pinned": 1 });
        fields
    }

    /// The conversation.
    pub fn id(&self) -> &str {
        self.participants.id()
    }
}

impl Conversation {
    /// A fresh row.
    pub fn new(owner: &str, id: &str, kind: i32, user: &str, group: &str, now: DateTime) -> Self {
        Self {
            owner_user_id: owner.into(),
            conversation_id: id.into(),
            conversation_type: kind,
            user_id: user.into(),
            group_id: group.into(),
            recv_msg_opt: 0,
            is_pinned: false,
            is_private_chat: false,
            burn_duration: 0,
            group_at_type: 0,
            attached_info: String::new(),
            ex: String::new(),
            max_seq: 0,
            min_seq: 0,
            create_time: now,
            is_msg_destruct: false,
            msg_destruct_time: 0,
            latest_msg_destruct_time: None,
        }
    }

    /// Whether its id is the one that these participants have. Rows that were planted are not read: [`Claim::holds`].
    fn holds(&self) -> bool {
        let claim = Claim {
            owner: &self.owner_user_id,
            conversation: &self.conversation_id,
            kind: self.conversation_type,
            peer: &self.user_id,
            group: &self.group_id,
        };
        claim.holds()
    }

    /// What decides which of its messages are seen.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            participants: Participants::of(self),
            max_seq: self.max_seq,
            min_seq: self.min_seq,
            is_pinned: self.is_pinned,
        }
    }

    /// The wire form.
    pub fn to_wire(&self) -> protocol::conversation::Conversation {
        protocol::conversation::Conversation {
            owner_user_id: self.owner_user_id.clone(),
            conversation_id: self.conversation_id.clone(),
            recv_msg_opt: self.recv_msg_opt,
            conversation_type: self.conversation_type,
            user_id: self.user_id.clone(),
            group_id: self.group_id.clone(),
            is_pinned: self.is_pinned,
            attached_info: self.attached_info.clone(),
            is_private_chat: self.is_private_chat,
            group_at_type: self.group_at_type,
            ex: self.ex.clone(),
            burn_duration: self.burn_duration,
            min_seq: self.min_seq,
            max_seq: self.max_seq,
            msg_destruct_time: self.msg_destruct_time,
            latest_msg_destruct_time: self.latest_msg_destruct_time.map_or(GO_ZERO_TIME_MS, millis),
            is_msg_destruct: self.is_msg_destruct,
        }
    }
}

fn that_hold(mut rows: Vec<Conversation>) -> Vec<Conversation> {
    rows.retain(Conversation::holds);
    rows
}

impl Store {
    /// Creates rows that do not exist; existing ones are left as they are.
    pub async fn ensure_conversations(&self, rows: &[Conversation]) -> Result<()> {
        if let [first, ..] = rows
            && rows.len() > FEW
            && rows.iter().all(|row| row.conversation_id == first.conversation_id)
        {
            for chunk in rows.chunks(AT_ONCE) {
                self.ensure_rows_of(&first.conversation_id, chunk).await?;
            }
            return Ok(());
        }
        futures::stream::iter(rows)
            .map(Ok)
            .try_for_each_concurrent(8, |row| self.ensure_conversation(row))
            .await
    }

    /// Rows of many owners for one conversation.
    async fn ensure_rows_of(&self, id: &str, rows: &[Conversation]) -> Result<()> {
        let owners: Vec<&str> = rows.iter().map(|row| row.owner_user_id.as_str()).collect();
        let mut attempt = 0;
        loop {
            let filter = doc! { "owner_user_id": { "$in": &owners }, "conversation_id": id };
            let there: HashSet<String> = self.owners(filter).await?.into_iter().collect();
            let missing: Vec<&Conversation> =
                rows.iter().filter(|row| !there.contains(&row.owner_user_id)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let owners: Vec<&str> = missing.iter().map(|row| row.owner_user_id.as_str()).collect();
            let created =
                in_transaction!(self, owners.iter().map(|owner| (Kind::Conversation, *owner)), |session| {
                    self.typed::<Conversation>(CONVERSATION)
                        .insert_many(missing.iter().copied())
                        .session(&mut *session)
                        .await?;
                    self.bump_lists(session, Kind::Conversation, &owners, id, State::Insert).await?;
                });
            attempt += 1;
            match created {
                // Somebody else created some of them meanwhile.
                Err(error) if error.is_duplicate_key() && attempt < 5 => {}
                other => return other,
            }
        }
    }

    /// Which of `owners` have a row of a conversation.
    pub async fn conversation_owners(&self, id: &str, owners: &[String]) -> Result<HashSet<String>> {
        let filter = doc! { "owner_user_id": { "$in": owners }, "conversation_id": id };
        Ok(self.owners(filter).await?.into_iter().collect())
    }

    async fn owners(&self, filter: Document) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Owner {
            owner_user_id: String,
        }
        let found =
            self.typed::<Owner>(CONVERSATION).find(filter).projection(doc! { "owner_user_id": 1 }).await?;
        Ok(found.map_ok(|row| row.owner_user_id).try_collect().await?)
    }

    /// Sets the newest seq that owners see of a conversation; 0: all.
    pub async fn set_conversations_max_seq(&self, owners: &[String], id: &str, max_seq: i64) -> Result<()> {
        for chunk in owners.chunks(AT_ONCE) {
            let filter = doc! { "owner_user_id": { "$in": chunk }, "conversation_id": id, "max_seq": { "$ne": max_seq } };
            let changed = self.owners(filter).await?;
            if changed.is_empty() {
                continue;
            }
            let owners: Vec<&str> = changed.iter().map(String::as_str).collect();
            in_transaction!(self, owners.iter().map(|owner| (Kind::Conversation, *owner)), |session| {
                let filter = doc! { "owner_user_id": { "$in": &owners }, "conversation_id": id };
                let update = doc! { "$set": { "max_seq": max_seq } };
                self.documents(CONVERSATION).update_many(filter, update).session(&mut *session).await?;
                self.bump_lists(session, Kind::Conversation, &owners, id, State::Update).await?;
            })?;
        }
        Ok(())
    }

    async fn ensure_conversation(&self, row: &Conversation) -> Result<()> {
        let filter = doc! { "owner_user_id": &row.owner_user_id, "conversation_id": &row.conversation_id };
        if self.documents(CONVERSATION).find_one(filter).projection(doc! { "_id": 1 }).await?.is_some() {
            return Ok(());
        }
        let created = in_transaction!(self, [(Kind::Conversation, row.owner_user_id.as_str())], |session| {
            self.typed::<Conversation>(CONVERSATION).insert_one(row).session(&mut *session).await?;
            let change = [(row.conversation_id.as_str(), State::Insert)];
            self.bump(session, Kind::Conversation, &row.owner_user_id, &change).await?;
        });
        match created {
            Err(error) if error.is_duplicate_key() => Ok(()),
            other => other,
        }
    }

    /// Sets fields of one owner's row; `false` when it does not exist.
    pub async fn update_conversation(&self, owner: &str, id: &str, fields: &Document) -> Result<bool> {
        in_transaction!(self, [(Kind::Conversation, owner)], |session| {
            let filter = doc! { "owner_user_id": owner, "conversation_id": id };
            let update = doc! { "$set": fields.clone() };
            let outcome =
                self.documents(CONVERSATION).update_one(filter, update).session(&mut *session).await?;
            if outcome.modified_count > 0 {
                let mut changes = vec![(id, State::Update)];
                if fields.contains_key("is_pinned") {
                    changes.push((SORT_ELEMENT, State::Update));
                }
                self.bump(session, Kind::Conversation, owner, &changes).await?;
            }
            outcome.matched_count > 0
        })
    }

    /// Removes rows of an owner. Those that are not there leave no trace: whoever names them may make them up.
    pub async fn delete_conversations(&self, owner: &str, ids: &[String]) -> Result<()> {
        in_transaction!(self, [(Kind::Conversation, owner)], |session| {
            let filter = doc! { "owner_user_id": owner, "conversation_id": { "$in": ids } };
            let there: Vec<Participants> = self
                .typed(CONVERSATION)
                .find(filter.clone())
                .projection(Participants::fields())
                .session(&mut *session)
                .await?
                .stream(&mut *session)
                .try_collect()
                .await?;
            if !there.is_empty() {
                self.documents(CONVERSATION).delete_many(filter).session(&mut *session).await?;
                let changes: Vec<(&str, State)> = there.iter().map(|row| (row.id(), State::Delete)).collect();
                self.bump(session, Kind::Conversation, owner, &changes).await?;
            }
        })
    }

    /// Sets `ex` of all rows of an owner that have another one.
    pub async fn set_conversations_ex(&self, owner: &str, ex: &str) -> Result<()> {
        in_transaction!(self, [(Kind::Conversation, owner)], |session| {
            let filter = doc! { "owner_user_id": owner, "ex": { "$ne": ex } };
            let rows: Vec<Conversation> = self
                .typed(CONVERSATION)
                .find(filter.clone())
                .session(&mut *session)
                .await?
                .stream(&mut *session)
                .try_collect()
                .await?;
            if !rows.is_empty() {
                let update = doc! { "$set": { "ex": ex } };
                self.documents(CONVERSATION).update_many(filter, update).session(&mut *session).await?;
                let changes: Vec<(&str, State)> =
                    rows.iter().map(|row| (row.conversation_id.as_str(), State::Update)).collect();
                self.bump(session, Kind::Conversation, owner, &changes).await?;
            }
        })
    }

    /// Rows whose messages are due to vanish at a time (ms). It ends, also when they are due again soon after that time.
    pub async fn conversations_to_destruct(
        &self,
        now_ms: i64,
    ) -> Result<impl Stream<Item = Result<Conversation>> + Unpin + use<>> {
        let latest =
            doc! { "$toLong": { "$ifNull": ["$latest_msg_destruct_time", DateTime::from_millis(0)] } };
        let due = doc! { "$add": [latest, { "$multiply": ["$msg_destruct_time", 1000_i64] }] };
        let filter = doc! {
            "is_msg_destruct": true, "msg_destruct_time": { "$gt": 0 }, "$expr": { "$lt": [due, now_ms] },
        };
        // Small pieces: the server forgets a cursor that is not asked for ten minutes.
        let rows = self.typed::<Conversation>(CONVERSATION).find(filter).batch_size(100).await?;
        Ok(rows.map_err(crate::StoreError).try_filter(|row: &Conversation| std::future::ready(row.holds())))
    }

    /// One row.
    pub async fn conversation(&self, owner: &str, id: &str) -> Result<Option<Conversation>> {
        let rows_of = self.typed(CONVERSATION);
        let row: Option<Conversation> =
            rows_of.find_one(doc! { "owner_user_id": owner, "conversation_id": id }).await?;
        Ok(row.filter(Conversation::holds))
    }

    /// The named rows of an owner; unknown ones are omitted.
    pub async fn conversations(&self, owner: &str, ids: &[String]) -> Result<Vec<Conversation>> {
        let filter = doc! { "owner_user_id": owner, "conversation_id": { "$in": ids } };
        let rows = self.collect(self.typed(CONVERSATION).find(filter).await?).await?;
        Ok(that_hold(rows))
    }

    /// What decides which messages of conversations an owner sees: named rows, or all in order of creation.
    pub async fn conversation_bounds(&self, owner: &str, ids: Option<&[String]>) -> Result<Vec<Bounds>> {
        let mut filter = doc! { "owner_user_id": owner };
        if let Some(ids) = ids {
            filter.insert("conversation_id", doc! { "$in": ids });
        }
        let rows_of = self.typed::<Bounds>(CONVERSATION);
        let mut find = rows_of.find(filter).projection(Bounds::fields());
        if ids.is_none() {
            find = find.sort(doc! { "_id": 1 });
        }
        let mut rows = self.collect(find.await?).await?;
        rows.retain(|row| row.participants.hold());
        Ok(rows)
    }

    /// All rows of an owner, in order of creation.
    pub async fn all_conversations(&self, owner: &str) -> Result<Vec<Conversation>> {
        let rows_of = self.typed(CONVERSATION);
        let find = rows_of.find(doc! { "owner_user_id": owner }).sort(doc! { "_id": 1 });
        Ok(that_hold(self.collect(find.await?).await?))
    }

    /// A page of an owner's rows, in order of creation, and their number.
    pub async fn conversation_page(&self, owner: &str, page: Page) -> Result<(Vec<Conversation>, u64)> {
        let filter = doc! { "owner_user_id": owner };
        let total = self.documents(CONVERSATION).count_documents(filter.clone()).await?;
        let rows_of = self.typed(CONVERSATION);
        let find = rows_of.find(filter).sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit);
        Ok((that_hold(self.collect(find.await?).await?), total))
    }

    /// The ids of an owner's conversations, in order of creation.
    pub async fn conversation_ids(&self, owner: &str) -> Result<Vec<String>> {
        let rows_of = self.typed::<Participants>(CONVERSATION);
        let find = rows_of.find(doc! { "owner_user_id": owner }).sort(doc! { "_id": 1 });
        let rows: Vec<Participants> = find.projection(Participants::fields()).await?.try_collect().await?;
        Ok(rows.into_iter().filter(Participants::hold).map(Participants::into_id).collect())
    }

    /// The at-marks (`groupAtType`) of those of `owners` who have the conversation.
    pub async fn at_marks(&self, id: &str, owners: &[String]) -> Result<HashMap<String, i32>> {
        #[derive(Deserialize)]
        struct Mark {
            owner_user_id: String,
            #[serde(default)]
            group_at_type: i32,
        }
        let filter = doc! { "conversation_id": id, "owner_user_id": { "$in": owners } };
        let rows_of = self.typed::<Mark>(CONVERSATION);
        let find = rows_of.find(filter).projection(doc! { "owner_user_id": 1, "group_at_type": 1 });
        Ok(find.await?.map_ok(|row| (row.owner_user_id, row.group_at_type)).try_collect().await?)
    }

    /// Which of `owners` do not want to be disturbed by a conversation.
    pub async fn quiet_owners(&self, id: &str, owners: &[String]) -> Result<Vec<String>> {
        let filter =
            doc! { "conversation_id": id, "owner_user_id": { "$in": owners }, "recv_msg_opt": { "$ne": 0 } };
        self.owners(filter).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faults::fate::Calm;
    use protocol::content_type::session;

    use super::*;
    use crate::memory::Memory;

    fn store() -> Store {
        Store::in_memory(&Memory::default(), Arc::new(Calm))
    }

    fn row(owner: &str, kind: i32, peer: &str) -> Conversation {
        let vanishing = Conversation::new(owner, "si_alice_bob", kind, peer, "", DateTime::from_millis(0));
        Conversation { is_msg_destruct: true, msg_destruct_time: 1, ..vanishing }
    }

    #[tokio::test]
    async fn what_was_not_there_leaves_no_trace_when_it_is_deleted() {
        let store = store();
        store.ensure_conversations(&[row("alice", session::SINGLE, "bob")]).await.unwrap();
        let before = store.version(Kind::Conversation, "alice").await.unwrap();
        let ids = ["si_alice_bob".to_owned(), "made up".repeat(1000)];
        for _ in 0..2 {
            store.delete_conversations_until_written("alice", &ids).await.unwrap();
            let now = store.version(Kind::Conversation, "alice").await.unwrap();
            assert_eq!(now.number(), before.number() + 1, "the second time nothing changes");
        }
        let changes =
            store.changes_since(Kind::Conversation, "alice", &before.id(), before.number()).await.unwrap();
        assert_eq!(changes.deleted, ["si_alice_bob"]);
    }

    #[tokio::test]
    async fn messages_vanish_for_nobody_who_has_no_part_in_them() {
        let store = store();
        let rows = [
            row("alice", session::SINGLE, "bob"),
            row("eve", session::NOTIFICATION, ""),
            row("mallory", session::SINGLE, "bob"),
        ];
        store.ensure_conversations(&rows).await.unwrap();
        let due = store.conversations_to_destruct(100_000).await.unwrap();
        let owners: Vec<String> = due.map_ok(|row| row.owner_user_id).try_collect().await.unwrap();
        assert_eq!(owners, ["alice"]);
    }
}

//! Version logs of incremental sync (docs/protocol/sync.md): per list a stable version id, a counter, and one log entry per element
//! with the version of its last change. Written in the same transaction as the change itself.

use bson::{Document, doc, oid::ObjectId};
use faults::mutants::{Mutant, is_on};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use crate::{Result, Store, driver::ClientSession, refusal};

/// The element id that says "the list's own record changed" (group info in the member log).
pub const SELF_ELEMENT: &str = "";
/// The element id that says "the order changed".
pub const SORT_ELEMENT: &str = "____S_O_R_T_I_D____";
/// More changes than this are answered with a full sync.
const MAX_CHANGES: i64 = 200;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Friends of a user.
    Friend,
    /// Groups a user is in.
    GroupJoin,
    /// Members of a group.
    GroupMember,
    /// Conversations of a user.
    Conversation,
}

impl Kind {
    /// All lists.
    pub const ALL: [Self; 4] = [Self::Friend, Self::GroupJoin, Self::GroupMember, Self::Conversation];

    /// The collection of the lists.
    pub fn collection(self) -> &'static str {
        match self {
            Self::Friend => "friend_version",
            Self::GroupJoin => "group_join_version",
            Self::GroupMember => "group_member_version",
            Self::Conversation => "conversation_version",
        }
    }

    /// The collection of the entries of their logs.
    pub fn log_collection(self) -> String {
        format!("{}_log", self.collection())
    }
}

/// What happened to an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Insert = 1,
    Delete = 2,
    Update = 3,
}

/// The version of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    #[serde(rename = "_id")]
    id: ObjectId,
    version: i64,
}

impl Version {
    /// 24 hexadecimal characters, stable for the life of the list.
    pub fn id(&self) -> String {
        self.id.to_hex()
    }

    /// Counts changes, from 1.
    pub fn number(&self) -> u64 {
        self.version as u64
    }
}

/// The answer to "what changed since": the ids of elements by what happened to them.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The version these changes lead to.
    pub version: Version,
    /// The client must read the whole list; the id lists are empty.
    pub full: bool,
    /// Deleted element ids.
    pub deleted: Vec<String>,
    /// Inserted element ids.
    pub inserted: Vec<String>,
    /// Updated element ids.
    pub updated: Vec<String>,
    /// Version at which the order last changed, 0 if not since.
    pub sort_version: u64,
    /// The list's own record changed.
    pub self_changed: bool,
}

#[derive(Deserialize)]
struct ListVersion {
    d_id: String,
    version: i64,
}

#[derive(Deserialize)]
struct LogEntry {
    e_id: String,
    state: i32,
    version: i64,
}

impl Store {
    /// The version of a list; a list that was never read or changed starts at 1.
    pub async fn version(&self, kind: Kind, list: &str) -> Result<Version> {
        let found = self.typed::<Version>(kind.collection()).find_one(doc! { "d_id": list }).await?;
        if let Some(version) = found {
            return Ok(version);
        }
        // Two calls, because some servers answer nothing to whoever loses a race in a single one that also reads.
        let made = doc! { "$setOnInsert": { "version": 1_i64 } };
        let versions = self.documents(kind.collection());
        racing!(versions.update_one(doc! { "d_id": list }, made.clone()).upsert(true))?;
        let found = self.typed::<Version>(kind.collection()).find_one(doc! { "d_id": list }).await?;
        found.ok_or_else(|| mongodb::error::Error::custom("a version was created and is missing").into())
    }

    /// Records changes of elements as the next version of the list, inside the transaction that makes them.
    pub(crate) async fn bump(
        &self,
        session: &mut ClientSession,
        kind: Kind,
        list: &str,
        changes: &[(&str, State)],
    ) -> Result<Version> {
        let step = i64::from(!is_on(Mutant::VersionForgotten));
        let version = self
            .typed::<Version>(kind.collection())
            .find_one_and_update(doc! { "d_id": list }, doc! { "$inc": { "version": step } })
            .upsert(true)
            .return_document(ReturnDocument::After)
            .session(&mut *session)
            .await?
            .ok_or_else(|| mongodb::error::Error::custom("upsert returned nothing"))?;
        let log = self.documents(&kind.log_collection());
        let ids: Vec<&str> = changes.iter().map(|(id, _)| *id).collect();
        log.delete_many(doc! { "d_id": list, "e_id": { "$in": ids } }).session(&mut *session).await?;
        let entries: Vec<Document> = changes
            .iter()
            .map(|(id, state)| {
                let state = *state as i32;
                doc! { "d_id": list, "e_id": *id, "state": state, "version": version.version }
            })
            .collect();
        if !entries.is_empty() {
            log.insert_many(entries).session(&mut *session).await?;
        }
        Ok(version)
    }

    /// Records the same change of one element in many lists, in a few round trips however many they are.
    pub(crate) async fn bump_lists(
        &self,
        session: &mut ClientSession,
        kind: Kind,
        lists: &[&str],
        element: &str,
        state: State,
    ) -> Result<()> {
        if lists.is_empty() {
            return Ok(());
        }
        let next = |list: &&str| doc! { "q": { "d_id": *list }, "u": { "$inc": { "version": 1_i64 } }, "upsert": true };
        let updates: Vec<Document> = lists.iter().map(next).collect();
        let command = doc! { "update": kind.collection(), "updates": updates, "ordered": true };
        let errors = self.write_by_command(command, Some(&mut *session)).await?;
        if !errors.is_empty() {
            return Err(refusal(&format!("versions of {}", kind.collection()), &errors));
        }
        let versions: Vec<ListVersion> = self
            .typed(kind.collection())
            .find(doc! { "d_id": { "$in": lists } })
            .session(&mut *session)
            .await?
            .stream(&mut *session)
            .try_collect()
            .await?;
        let log = self.documents(&kind.log_collection());
        log.delete_many(doc! { "d_id": { "$in": lists }, "e_id": element }).session(&mut *session).await?;
        let entries: Vec<Document> = versions
            .into_iter()
            .map(|list| {
                let state = state as i32;
                doc! { "d_id": list.d_id, "e_id": element, "state": state, "version": list.version }
            })
            .collect();
        log.insert_many(entries).session(&mut *session).await?;
        Ok(())
    }

    /// What changed in a list since the version a client holds.
    pub async fn changes_since(
        &self,
        kind: Kind,
        list: &str,
        version_id: &str,
        since: u64,
    ) -> Result<Changes> {
        // The version is read before the log: a change committed in between is reported now and again next time, never lost.
        let version = self.version(kind, list).await?;
        let mut changes = Changes {
            full: true,
            deleted: vec![],
            inserted: vec![],
            updated: vec![],
            sort_version: 0,
            self_changed: false,
            version,
        };
        if since == 0 || version_id != changes.version.id() || since > changes.version.number() {
            return Ok(changes);
        }
        changes.full = false;
        if since == changes.version.number() {
            return Ok(changes);
        }
        let entries: Vec<LogEntry> = self
            .typed(&kind.log_collection())
            .find(doc! { "d_id": list, "version": { "$gt": since as i64 } })
            .limit(MAX_CHANGES + 1)
            .await?
            .try_collect()
            .await?;
        if entries.len() as i64 > MAX_CHANGES {
            changes.full = true;
            return Ok(changes);
        }
        for entry in entries {
            match (entry.e_id.as_str(), entry.state) {
                (SELF_ELEMENT, _) => changes.self_changed = true,
                (SORT_ELEMENT, _) => changes.sort_version = entry.version as u64,
                (_, 1) => changes.inserted.push(entry.e_id),
                (_, 2) => changes.deleted.push(entry.e_id),
                _ => changes.updated.push(entry.e_id),
            }
        }
        Ok(changes)
    }
}

//! Whole collections, document by document, for backups. `restoring` marks a database that a restore has started to fill.

use bson::{RawDocumentBuf, doc};

use crate::{Cursor, Result, Store, collections::USER};

const MARK: &str = "restoring";
/// Sessions and push devices are temporary. A backup that restored them would let in again users who were
/// logged out since.
const SESSIONS: [&str; 2] = ["token", "device"];
/// Erasures: a restore keeps them, so that it does not bring back users erased since the backup.
const ERASURES: &str = "erasure";
/// Raised after the messages are stored: read last, no message of a backup lies above it.
const LAST: &str = "conversation_seq";
/// Read first for the same reason.
const FIRST: &str = "messages";

/// Whether a restore leaves a collection as it finds it.
pub fn is_kept(collection: &str) -> bool {
    collection == ERASURES
}

/// Whether a collection is brought back by a restore; backups of earlier versions hold some that are not.
pub fn is_restored(collection: &str) -> bool {
    !SESSIONS.contains(&collection)
}

/// After its blocks: a stream that is open then has a beginning of its text among them, and none that was blanked.
const AFTER_BLOCKS: &str = "stream";

fn in_order(names: &mut [String]) {
    names.sort_by_key(|name| (name == LAST, name != FIRST, name == AFTER_BLOCKS, name.clone()));
}

impl Store {
    /// The collections in the order in which they are to be read.
    pub async fn collections(&self) -> Result<Vec<String>> {
        let mut names = self.base.list_collection_names().await?;
        names.retain(|name| !name.starts_with("system.") && name != MARK);
        in_order(&mut names);
        Ok(names)
    }

    /// All documents of a collection.
    pub async fn raw_documents(&self, collection: &str) -> Result<Cursor<RawDocumentBuf>> {
        Ok(self.typed::<RawDocumentBuf>(collection).find(doc! {}).batch_size(1000).await?)
    }

    /// Adds documents.
    pub async fn insert_documents(&self, collection: &str, documents: &[RawDocumentBuf]) -> Result<()> {
        for chunk in documents.chunks(1000) {
            self.typed::<RawDocumentBuf>(collection).insert_many(chunk).ordered(false).await?;
        }
        Ok(())
    }

    /// Adds documents of a backup to a collection that is kept, unless they are there.
    pub async fn insert_missing(&self, collection: &str, documents: &[RawDocumentBuf]) -> Result<()> {
        for document in documents {
            let added = self.typed::<RawDocumentBuf>(collection).insert_one(document).await;
            match added.map_err(crate::StoreError) {
                Err(error) if !error.is_duplicate_key() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes all documents of a collection; its indexes stay.
    pub async fn clear(&self, collection: &str) -> Result<()> {
        self.documents(collection).delete_many(doc! {}).await?;
        Ok(())
    }

    /// Nobody but the administrators has been here.
    pub async fn is_unused(&self, admins: &[String]) -> Result<bool> {
        let users = self.documents(USER);
        Ok(self.documents(FIRST).find_one(doc! {}).await?.is_none()
            && users.find_one(doc! { "user_id": { "$nin": admins } }).await?.is_none())
    }

    /// The backup that a restore has begun to fill this database from.
    pub async fn restoring(&self) -> Result<Option<String>> {
        let mark = self.documents(MARK).find_one(doc! {}).await?;
        Ok(mark.and_then(|mark| mark.get_str("_id").map(str::to_owned).ok()))
    }

    /// Marks the database before a restore changes it.
    pub async fn begin_restore(&self, backup: &str) -> Result<()> {
        self.clear(MARK).await?;
        self.documents(MARK).insert_one(doc! { "_id": backup }).await?;
        Ok(())
    }

    /// Takes the mark away, after everything is restored.
    pub async fn end_restore(&self) -> Result<()> {
        Ok(self.documents(MARK).drop().await?)
    }

    /// Raises the highest seq of all conversations, so that none that was given out after a backup is given out again: clients take a
    /// message with a seq that they know for one that they have.
    pub async fn advance_seqs(&self, by: i64) -> Result<()> {
        self.documents(LAST).update_many(doc! {}, doc! { "$inc": { "max": by } }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_after_its_blocks() {
        let mut names = ["conversation_seq", "stream", "stream_block", "user", "messages"].map(String::from);
        in_order(&mut names);
        assert_eq!(names, ["messages", "stream_block", "user", "stream", "conversation_seq"]);
    }
}

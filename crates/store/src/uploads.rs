//! Collections `upload` (unfinished uploads) and `upload_day` (bytes announced by a user per day).

use std::time::Duration;

use bson::doc;
use futures::{Stream, TryStreamExt};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use crate::{
    DAY_MS, DateTime, Result, Store, StoreError,
    collections::{OBJECT, UPLOAD},
    day_name, number,
};

/// How long the counters of a day are kept.
const KEPT: Duration = Duration::from_millis(2 * DAY_MS as u64);

/// An upload on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Upload {
    /// The storage's id of an upload in parts; the key of a form.
    #[serde(rename = "_id")]
    pub id: String,
    pub user_id: String,
    /// Key in the bucket.
    pub key: String,
    /// When it is given up.
    pub until: DateTime,
}

impl Upload {
    /// Sent as a form, in one piece.
    pub fn is_form(&self) -> bool {
        self.id == self.key
    }
}

impl Store {
    /// Indexes of the collections.
    pub(crate) async fn ensure_upload_indexes(&self) -> Result<()> {
        self.index(UPLOAD, doc! { "until": 1 }).await?;
        self.expiring("upload_day", "begun", KEPT).await
    }

    /// Remembers an upload until it is finished.
    pub async fn put_upload(&self, row: &Upload) -> Result<()> {
        let filter = doc! { "_id": &row.id };
        racing!(self.typed::<Upload>(UPLOAD).replace_one(filter.clone(), row).upsert(true))?;
        Ok(())
    }

    /// It is finished, or aborted.
    pub async fn forget_upload(&self, id: &str) -> Result<()> {
        self.documents(UPLOAD).delete_one(doc! { "_id": id }).await?;
        Ok(())
    }

    /// Those that should have been finished before a time (ms).
    pub async fn unfinished_uploads(
        &self,
        now_ms: i64,
    ) -> Result<impl Stream<Item = Result<Upload>> + Unpin + use<>> {
        let filter = doc! { "until": { "$lt": DateTime::from_millis(now_ms) } };
        let rows = self.typed::<Upload>(UPLOAD).find(filter).batch_size(100).await?;
        Ok(rows.map_err(StoreError))
    }

    /// Counts bytes that a user is about to upload; all of this UTC day then. Negative ones are given back.
    pub async fn count_upload(&self, user: &str, now_ms: i64, bytes: i64) -> Result<i64> {
        let id = format!("{user}:{}", day_name(now_ms));
        let begun = DateTime::from_millis(now_ms);
        let change = doc! { "$inc": { "bytes": bytes }, "$setOnInsert": { "begun": begun } };
        let days = self.documents("upload_day");
        let counted = racing!(
            days.find_one_and_update(doc! { "_id": &id }, change.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
        )?;
        Ok(counted.map_or(bytes, |row| number(&row, "bytes")))
    }

    /// Bytes that a user has announced this UTC day.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn uploaded(&self, user: &str, now_ms: i64) -> Result<i64> {
        let id = format!("{user}:{}", day_name(now_ms));
        let row = self.documents("upload_day").find_one(doc! { "_id": id }).await?;
        Ok(row.map_or(0, |row| number(&row, "bytes")))
    }

    /// Whether a name leads to a key.
    pub async fn has_name(&self, key: &str) -> Result<bool> {
        Ok(self.documents(OBJECT).find_one(doc! { "key": key }).await?.is_some())
    }
}

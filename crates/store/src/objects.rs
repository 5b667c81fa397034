//! Collection `object`: the names of stored objects. Several names can refer to one key, because content is stored once.

use bson::doc;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Result, Store, collections::OBJECT};

/// A name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Object {
    #[serde(rename = "_id")]
    pub name: String,
    pub user_id: String,
    pub hash: String,
    /// Key in the bucket.
    pub key: String,
    pub size: i64,
    pub content_type: String,
    /// What it was uploaded for (`msg-picture`, …).
    pub group: String,
    pub create_time: DateTime,
}

impl Store {
    /// Registers a name, in place of an older object under it.
    pub async fn put_object(&self, row: &Object) -> Result<()> {
        let filter = doc! { "_id": &row.name };
        racing!(self.typed::<Object>(OBJECT).replace_one(filter.clone(), row).upsert(true))?;
        Ok(())
    }

    /// What a name leads to.
    pub async fn object(&self, name: &str) -> Result<Option<Object>> {
        Ok(self.typed(OBJECT).find_one(doc! { "_id": name }).await?)
    }

    /// Names of some groups that were registered before a time (ms), oldest first.
    pub async fn old_objects(&self, groups: &[String], before_ms: i64, limit: i64) -> Result<Vec<Object>> {
        let filter =
            doc! { "group": { "$in": groups }, "create_time": { "$lt": DateTime::from_millis(before_ms) } };
        let rows_of = self.typed(OBJECT);
        let find = rows_of.find(filter).sort(doc! { "create_time": 1 }).limit(limit);
        Ok(find.await?.try_collect().await?)
    }

    /// Forgets a name; whether no other name leads to its key.
    pub async fn forget_object(&self, name: &str, key: &str) -> Result<bool> {
        self.documents(OBJECT).delete_one(doc! { "_id": name }).await?;
        Ok(self.documents(OBJECT).find_one(doc! { "key": key }).await?.is_none())
    }
}

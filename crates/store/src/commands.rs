//! Collection `user_command`: items that apps keep per user under (type, uuid).

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::{DateTime, Result, Store, collections::USER_COMMAND};

/// An item.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Command {
    pub user_id: String,
    #[serde(rename = "type")]
    pub kind: i32,
    pub uuid: String,
    pub create_time: DateTime,
    pub value: String,
    pub ex: String,
}

fn one(user: &str, kind: i32, uuid: &str) -> Document {
    doc! { "user_id": user, "type": kind, "uuid": uuid }
}

impl Store {
    /// Adds an item; `false` when there is one under this key.
    pub async fn add_command(&self, row: &Command) -> Result<bool> {
        match self.typed::<Command>(USER_COMMAND).insert_one(row).await.map_err(crate::StoreError) {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate_key() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets fields of an item; `false` when it does not exist.
    pub async fn update_command(&self, user: &str, kind: i32, uuid: &str, fields: Document) -> Result<bool> {
        let update = doc! { "$set": fields };
        Ok(self.documents(USER_COMMAND).update_one(one(user, kind, uuid), update).await?.matched_count > 0)
    }

    /// Removes an item; `false` when it does not exist.
    pub async fn delete_command(&self, user: &str, kind: i32, uuid: &str) -> Result<bool> {
        Ok(self.documents(USER_COMMAND).delete_one(one(user, kind, uuid)).await?.deleted_count > 0)
    }

    /// A user's items, of one type or of all.
    pub async fn commands(&self, user: &str, kind: Option<i32>) -> Result<Vec<Command>> {
        let mut filter = doc! { "user_id": user };
        if let Some(kind) = kind {
            filter.insert("type", kind);
        }
        let rows_of = self.typed(USER_COMMAND);
        self.collect(rows_of.find(filter).sort(doc! { "_id": 1 }).await?).await
    }
}

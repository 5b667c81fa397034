//! Collection `black`: users whose messages an owner does not receive.

use bson::doc;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Page, Result, Store, collections::BLACK};

/// `owner` blocks `block`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Black {
    pub owner_user_id: String,
    pub block_user_id: String,
    pub create_time: DateTime,
    pub add_source: i32,
    pub operator_user_id: String,
    pub ex: String,
}

impl Store {
    /// Blocks a user; `false` when it was already blocked.
    pub async fn add_black(&self, row: &Black) -> Result<bool> {
        match self.typed::<Black>(BLACK).insert_one(row).await.map_err(crate::StoreError) {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate_key() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Unblocks a user; `false` when it was not blocked.
    pub async fn remove_black(&self, owner: &str, blocked: &str) -> Result<bool> {
        let filter = doc! { "owner_user_id": owner, "block_user_id": blocked };
        Ok(self.documents(BLACK).delete_one(filter).await?.deleted_count > 0)
    }

    /// Whether `owner` blocks `user`.
    pub async fn is_black(&self, owner: &str, user: &str) -> Result<bool> {
        let filter = doc! { "owner_user_id": owner, "block_user_id": user };
        Ok(self.documents(BLACK).find_one(filter).projection(doc! { "_id": 1 }).await?.is_some())
    }

    /// The named entries of a user's block list; others are omitted.
    pub async fn blacks(&self, owner: &str, users: &[String]) -> Result<Vec<Black>> {
        let filter = doc! { "owner_user_id": owner, "block_user_id": { "$in": users } };
        self.collect(self.typed(BLACK).find(filter).sort(doc! { "_id": 1 }).await?).await
    }

    /// A page of a user's block list, and its length.
    pub async fn black_page(&self, owner: &str, page: Page) -> Result<(Vec<Black>, u64)> {
        let filter = doc! { "owner_user_id": owner };
        let total = self.documents(BLACK).count_documents(filter.clone()).await?;
        let found =
            self.typed(BLACK).find(filter).sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit).await?;
        Ok((self.collect(found).await?, total))
    }
}

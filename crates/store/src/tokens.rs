//! Collection `token`: the state of every issued token. Redis only caches it.

use bson::doc;
use futures::TryStreamExt;
use mongodb::options::{ReadPreference, SelectionCriteria};
use serde::{Deserialize, Serialize};

use crate::{DateTime, Result, Store, collections::TOKEN};

/// A token is good (contract: state 0).
pub const NORMAL: i32 = 0;
/// A token was replaced or logged out by force (contract: state 2).
pub const KICKED: i32 = 2;

/// One issued token. `_id` is the SHA-256 of the token, so that a copy of the database lets nobody in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TokenRow {
    #[serde(rename = "_id")]
    pub digest: String,
    pub user_id: String,
    pub platform_id: i32,
    pub state: i32,
    pub issued: DateTime,
    /// MongoDB removes the row after this time.
    pub expires: DateTime,
}

/// Always reads from the primary, whatever the connection string says: a secondary may not know yet that a token was issued or revoked.
fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

impl Store {
    /// Indexes of the collection.
    pub async fn ensure_token_indexes(&self) -> Result<()> {
        self.index(TOKEN, doc! { "user_id": 1, "platform_id": 1 }).await?;
        let options =
            mongodb::options::IndexOptions::builder().expire_after(std::time::Duration::ZERO).build();
        let expiry = mongodb::IndexModel::builder().keys(doc! { "expires": 1 }).options(options).build();
        self.documents(TOKEN).create_index(expiry).await?;
        Ok(())
    }

    /// Remembers an issued token.
    pub async fn put_token(&self, row: &TokenRow) -> Result<()> {
        self.typed::<TokenRow>(TOKEN).insert_one(row).await?;
        Ok(())
    }

    /// The state of a token; `None` when it was never issued or is gone.
    pub async fn token_state(&self, digest: &str) -> Result<Option<i32>> {
        let rows = self.typed::<TokenRow>(TOKEN);
        let row = rows.find_one(doc! { "_id": digest }).selection_criteria(primary()).await?;
        Ok(row.map(|row| row.state))
    }

    /// The good tokens of a user, oldest first.
    pub async fn good_tokens(&self, user: &str) -> Result<Vec<TokenRow>> {
        let filter = doc! { "user_id": user, "state": NORMAL };
        let rows = self.typed(TOKEN);
        let find = rows.find(filter).sort(doc! { "issued": 1, "_id": 1 });
        Ok(find.selection_criteria(primary()).await?.try_collect().await?)
    }

    /// Marks tokens as kicked; whether there were any.
    pub async fn kick_tokens(&self, digests: &[String]) -> Result<bool> {
        if digests.is_empty() {
            return Ok(false);
        }
        let kicked = doc! { "$set": { "state": KICKED } };
        self.documents(TOKEN).update_many(doc! { "_id": { "$in": digests } }, kicked).await?;
        Ok(true)
    }
}

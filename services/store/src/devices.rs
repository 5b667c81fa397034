//! Collection `device`: push tokens and badge counts.

use bson::doc;

use crate::{Result, Store};

impl Store {
    /// Remembers the push token of a user's platform.
    pub async fn put_device_token(&self, user: &str, platform: i32, token: &str) -> Result<()> {
        let id = format!("{user}:{platform}");
        self.upsert_many("device", vec![(doc! { "_id": id }, doc! { "$set": { "token": token } })]).await
    }

    /// Forgets it.
    pub async fn delete_device_token(&self, user: &str, platform: i32) -> Result<()> {
        self.documents("device").delete_one(doc! { "_id": format!("{user}:{platform}") }).await?;
        Ok(())
    }

    /// Sets the badge count a user's app shows.
    pub async fn set_badge(&self, user: &str, count: i32) -> Result<()> {
        self.upsert_many("badge", vec![(doc! { "_id": user }, doc! { "$set": { "count": count } })]).await
    }
}

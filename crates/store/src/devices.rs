//! Collection `device`: push tokens and badge counts.

use bson::{Document, doc};
use futures::TryStreamExt;
use model::platform::Platform;
use mongodb::options::ReturnDocument;

use crate::{Result, Store, collections::DEVICE, number};

impl Store {
    /// Remembers the push token of a user's platform.
    pub async fn put_device_token(&self, user: &str, platform: i32, token: &str) -> Result<()> {
        let id = format!("{user}:{platform}");
        self.upsert_many(DEVICE, vec![(doc! { "_id": id }, doc! { "$set": { "token": token } })]).await
    }

    /// The push tokens of users: (user, platform, token).
    pub async fn device_tokens(&self, users: &[String]) -> Result<Vec<(String, i32, String)>> {
        let ids: Vec<String> = users
            .iter()
            .flat_map(|user| Platform::NUMBERS.map(move |platform| format!("{user}:{platform}")))
            .collect();
        let rows: Vec<Document> =
            self.documents(DEVICE).find(doc! { "_id": { "$in": ids } }).await?.try_collect().await?;
        let device = |row: Document| {
            let (user, platform) = row.get_str("_id").ok()?.rsplit_once(':')?;
            Some((user.to_owned(), platform.parse().ok()?, row.get_str("token").ok()?.to_owned()))
        };
        Ok(rows.into_iter().filter_map(device).collect())
    }

    /// Forgets a token that its vendor does not know any more, unless the device has a new one.
    pub async fn forget_device_token(&self, user: &str, platform: i32, token: &str) -> Result<()> {
        let filter = doc! { "_id": format!("{user}:{platform}"), "token": token };
        self.documents(DEVICE).delete_one(filter).await?;
        Ok(())
    }

    /// One more message on the icon of a user's app; the number then.
    pub async fn raise_badge(&self, user: &str) -> Result<i32> {
        let badges = self.documents("badge");
        let raised = racing!(
            badges
                .find_one_and_update(doc! { "_id": user }, doc! { "$inc": { "count": 1 } })
                .upsert(true)
                .return_document(ReturnDocument::After)
        )?;
        Ok(raised.map_or(1, |row| number(&row, "count") as i32))
    }

    /// Forgets it.
    pub async fn delete_device_token(&self, user: &str, platform: i32) -> Result<()> {
        self.documents(DEVICE).delete_one(doc! { "_id": format!("{user}:{platform}") }).await?;
        Ok(())
    }

    /// Sets the badge count a user's app shows.
    pub async fn set_badge(&self, user: &str, count: i32) -> Result<()> {
        self.upsert_many("badge", vec![(doc! { "_id": user }, doc! { "$set": { "count": count } })]).await
    }
}

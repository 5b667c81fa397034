//! Collection `partitions`: the number of Kafka partitions in use.

use bson::{Document, doc};

use crate::{Result, Store};

const COLLECTION: &str = "partitions";
const MESSAGES: &str = "messages";

impl Store {
    /// The number that messages are sent with; `None` before the first.
    pub async fn message_partitions(&self) -> Result<Option<i32>> {
        let row: Option<Document> = self.documents(COLLECTION).find_one(doc! { "_id": MESSAGES }).await?;
        Ok(row.and_then(|row| row.get_i32("count").ok()))
    }

    /// Sets it.
    pub async fn set_message_partitions(&self, count: i32) -> Result<()> {
        let row = (doc! { "_id": MESSAGES }, doc! { "$set": { "count": count } });
        self.upsert_many(COLLECTION, vec![row]).await
    }
}

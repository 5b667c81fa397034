//! Collection `client_config`: app settings set by administrators, per user or (empty user id) for all.

use std::collections::BTreeMap;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::{Page, Result, Store, collections::CLIENT_CONFIG};

/// A setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClientConfig {
    pub user_id: String,
    pub key: String,
    pub value: String,
}

impl Store {
    /// Sets keys of a user.
    pub async fn set_client_config(&self, user: &str, values: &BTreeMap<String, String>) -> Result<()> {
        let updates = values
            .iter()
            .map(|(key, value)| (doc! { "user_id": user, "key": key }, doc! { "$set": { "value": value } }))
            .collect();
        self.upsert_many(CLIENT_CONFIG, updates).await
    }

    /// Removes keys of a user.
    pub async fn delete_client_config(&self, user: &str, keys: &[String]) -> Result<()> {
        let filter = doc! { "user_id": user, "key": { "$in": keys } };
        self.documents(CLIENT_CONFIG).delete_many(filter).await?;
        Ok(())
    }

    /// The settings of a user.
    pub async fn client_config(&self, user: &str) -> Result<Vec<ClientConfig>> {
        self.collect(self.typed(CLIENT_CONFIG).find(doc! { "user_id": user }).await?).await
    }

    /// A page of all settings, of one user or key where given, and how many match.
    pub async fn client_config_page(
        &self,
        user: &str,
        key: &str,
        page: Page,
    ) -> Result<(Vec<ClientConfig>, u64)> {
        let mut filter = Document::new();
        for (column, value) in [("user_id", user), ("key", key)] {
            if !value.is_empty() {
                filter.insert(column, value);
            }
        }
        let total = self.documents(CLIENT_CONFIG).count_documents(filter.clone()).await?;
        let rows_of = self.typed(CLIENT_CONFIG);
        let find = rows_of.find(filter).sort(doc! { "user_id": 1, "key": 1 });
        Ok((self.collect(find.skip(page.skip).limit(page.limit).await?).await?, total))
    }
}

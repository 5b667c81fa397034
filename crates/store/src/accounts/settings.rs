//! Collection `client_config`: settings for clients. Collection `account_setting`: those of the service that administrators change.

use std::collections::BTreeMap;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::Accounts;
use crate::Result;

#[derive(Serialize, Deserialize)]
struct Setting {
    key: String,
    #[serde(default)]
    value: String,
}

impl Accounts {
    /// All settings for clients.
    pub async fn client_settings(&self) -> Result<BTreeMap<String, String>> {
        let rows: Vec<Setting> = self.0.collect(self.0.typed("client_config").find(doc! {}).await?).await?;
        Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
    }

    /// One setting for clients.
    pub async fn client_setting(&self, key: &str) -> Result<Option<String>> {
        let row: Option<Setting> = self.0.typed("client_config").find_one(doc! { "key": key }).await?;
        Ok(row.map(|row| row.value))
    }

    /// Sets settings for clients; the others stay.
    pub async fn set_client_settings(&self, values: &BTreeMap<String, String>) -> Result<()> {
        in_transaction!(self.0, [], |session| {
            for (key, value) in values {
                let rows = self.0.documents("client_config");
                let set = doc! { "$set": { "value": value } };
                rows.update_one(doc! { "key": key }, set).upsert(true).session(&mut *session).await?;
            }
        })
    }

    /// Removes settings for clients.
    pub async fn remove_client_settings(&self, keys: &[String]) -> Result<()> {
        self.0.documents("client_config").delete_many(doc! { "key": { "$in": keys } }).await?;
        Ok(())
    }

    /// What an administrator set for the service; none: what its configuration says.
    pub async fn flag(&self, name: &str) -> Result<Option<bool>> {
        let row: Option<Document> = self.0.typed("account_setting").find_one(doc! { "_id": name }).await?;
        Ok(row.and_then(|row| row.get_bool("value").ok()))
    }

    /// Sets it for all processes.
    pub async fn set_flag(&self, name: &str, value: bool) -> Result<()> {
        let rows = self.0.documents("account_setting");
        let set = doc! { "$set": { "value": value } };
        racing!(rows.update_one(doc! { "_id": name }, set.clone()).upsert(true))?;
        Ok(())
    }
}

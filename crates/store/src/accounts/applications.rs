//! Applets and versions of apps.

use bson::{doc, oid::ObjectId};
use serde::{Deserialize, Serialize};

use super::{Accounts, epoch, rows::rows};
use crate::{DateTime, Page, Result};

rows! {
    Applet: "applet", "id", ["name", "id", "app_id", "version"];
    Application: "application", "_id", ["platform", "version"];
}

/// A small app inside of the app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Applet {
    pub id: String,
    pub name: String,
    pub app_id: String,
    pub icon: String,
    pub url: String,
    pub md5: String,
    pub size: i64,
    pub version: String,
    pub priority: i64,
    /// 1: offered, 2: not.
    pub status: i64,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

/// A version of an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Application {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    pub platform: String,
    #[serde(default)]
    pub hot: bool,
    pub version: String,
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub force: bool,
    #[serde(default)]
    pub latest: bool,
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

impl Accounts {
    /// The version that a platform should have: one that is marked as the latest, otherwise the newest.
    pub async fn latest_application(&self, platform: &str) -> Result<Option<Application>> {
        let versions = self.0.typed("application");
        Ok(versions.find_one(doc! { "platform": platform }).sort(doc! { "latest": -1, "_id": -1 }).await?)
    }

    /// A page of versions of these platforms, or of all; without a page only their number.
    pub async fn applications(
        &self,
        platforms: &[String],
        page: Option<Page>,
    ) -> Result<(Vec<Application>, u64)> {
        let filter = if platforms.is_empty() {
            doc! {}
        } else {
            doc! { "platform": { "$in": platforms } }
        };
        match page {
            Some(page) => self.page(filter, "", page).await,
            None => Ok((vec![], self.0.documents("application").count_documents(filter).await?)),
        }
    }

    /// Sets fields of a version; `false` when there is none.
    pub async fn set_application(&self, id: ObjectId, fields: bson::Document) -> Result<bool> {
        let rows = self.0.documents("application");
        Ok(rows.update_one(doc! { "_id": id }, doc! { "$set": fields }).await?.matched_count > 0)
    }

    /// Removes versions.
    pub async fn remove_applications(&self, ids: &[ObjectId]) -> Result<()> {
        self.0.documents("application").delete_many(doc! { "_id": { "$in": ids } }).await?;
        Ok(())
    }
}

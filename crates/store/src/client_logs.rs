//! Collection `client_log`: locations of uploaded client logs.

use std::{ops::Range, time::Duration};

use bson::doc;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Page, Result, Store, collections::CLIENT_LOG, contains};

/// How long they are remembered.
pub(crate) const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// An uploaded log file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClientLog {
    pub log_id: String,
    pub platform: i32,
    pub user_id: String,
    pub create_time: DateTime,
    pub url: String,
    pub file_name: String,
    pub system_type: String,
    pub app_framework: String,
    pub version: String,
    pub ex: String,
}

impl Store {
    /// Remembers log files.
    pub async fn add_client_logs(&self, rows: &[ClientLog]) -> Result<()> {
        self.typed::<ClientLog>(CLIENT_LOG).insert_many(rows).await?;
        Ok(())
    }

    /// The ids of those that exist.
    pub async fn client_log_ids(&self, ids: &[String]) -> Result<Vec<String>> {
        let rows: Vec<ClientLog> =
            self.typed(CLIENT_LOG).find(doc! { "log_id": { "$in": ids } }).await?.try_collect().await?;
        Ok(rows.into_iter().map(|row| row.log_id).collect())
    }

    /// Forgets log files.
    pub async fn delete_client_logs(&self, ids: &[String]) -> Result<()> {
        self.documents(CLIENT_LOG).delete_many(doc! { "log_id": { "$in": ids } }).await?;
        Ok(())
    }

    /// A page of log files of a range of time (ms), newest first, whose user, id or file name has the keyword; how many match.
    pub async fn client_log_page(
        &self,
        keyword: &str,
        created: Range<i64>,
        page: Page,
    ) -> Result<(Vec<ClientLog>, u64)> {
        let range =
            doc! { "$gte": DateTime::from_millis(created.start), "$lt": DateTime::from_millis(created.end) };
        let mut filter = doc! { "create_time": range };
        if !keyword.is_empty() {
            let fields = ["user_id", "log_id", "file_name"].map(|field| doc! { field: contains(keyword) });
            filter.insert("$or", fields.to_vec());
        }
        let total = self.documents(CLIENT_LOG).count_documents(filter.clone()).await?;
        let rows_of = self.typed(CLIENT_LOG);
        let find = rows_of.find(filter).sort(doc! { "create_time": -1, "_id": -1 });
        Ok((self.collect(find.skip(page.skip).limit(page.limit).await?).await?, total))
    }
}

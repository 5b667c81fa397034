//! Rows that are added, found by their key, searched and removed.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use bson::{Document, doc};

use super::epoch;
use crate::{DateTime, Result};

/// A row of a collection with a key.
pub trait Row: Serialize + DeserializeOwned + Unpin + Send + Sync + 'static {
    /// Where it is.
    const COLLECTION: &'static str;
    /// The field of its key.
    const KEY: &'static str;
    /// The fields that a keyword is looked for in.
    const SEARCHED: &'static [&'static str];
}

/// Implements [`Row`].
macro_rules! rows {
    ($($type:ty: $collection:literal, $key:literal, [$($searched:literal),*];)*) => {
        $(impl $crate::accounts::Row for $type {
            const COLLECTION: &'static str = $collection;
            const KEY: &'static str = $key;
            const SEARCHED: &'static [&'static str] = &[$($searched),*];
        })*
    };
}
pub(crate) use rows;

rows! {
    Admin: "admin", "user_id", ["account", "nickname", "user_id"];
    LoginRecord: "user_login_record", "user_id", ["user_id"];
}

/// An administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Admin {
    /// The name to log in with.
    pub account: String,
    /// As in [`super::Account`].
    pub password: String,
    /// Portrait.
    #[serde(default)]
    pub face_url: String,
    /// Name that is shown.
    #[serde(default)]
    pub nickname: String,
    /// Id, which differs from every user's.
    pub user_id: String,
    /// 100: may manage administrators; 80: may not.
    pub level: i32,
    /// When it was created.
    #[serde(default = "epoch")]
    pub create_time: DateTime,
}

impl super::Accounts {
    /// Sets fields of the administrator with this name. Administrators that were imported may share a user id.
    pub async fn set_admin(&self, account: &str, fields: Document) -> Result<()> {
        let own = doc! { "account": account };
        self.0.documents("admin").update_one(own, doc! { "$set": fields }).await?;
        Ok(())
    }

    /// Replaces the stored form of an administrator's password unless somebody has changed it meanwhile.
    pub async fn rehash_admin(&self, account: &str, old: &str, new: &str) -> Result<()> {
        let own = doc! { "account": account, "password": old };
        self.0.documents("admin").update_one(own, doc! { "$set": { "password": new } }).await?;
        Ok(())
    }
}

/// One login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LoginRecord {
    pub user_id: String,
    pub login_time: DateTime,
    pub ip: String,
    pub device_id: String,
    pub platform: String,
}

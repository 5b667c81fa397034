//! Collection `conversation_group`: a user's folders of conversations, all in one document, so that each change of them is one write
//! and has one version.

use bson::doc;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Result, Store};

/// A folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Folder {
    pub id: String,
    pub name: String,
    pub order: i64,
    /// The version of all folders at the last change of this one.
    pub version: i64,
    pub ex: String,
    pub conversation_ids: Vec<String>,
    pub hidden: bool,
    /// 0 normal, 1 filter.
    pub kind: i32,
    pub create_time: DateTime,
}

/// All folders of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Folders {
    /// The user.
    #[serde(rename = "_id")]
    pub owner: String,
    /// Rises with every change; 0 before the first.
    pub version: i64,
    /// The version at which a folder was last deleted.
    pub deleted: i64,
    /// In order of creation.
    pub folders: Vec<Folder>,
}

impl Folders {
    /// Those of a user who has none.
    pub fn none(owner: &str) -> Self {
        Self { owner: owner.to_owned(), version: 0, deleted: 0, folders: vec![] }
    }
}

impl Store {
    /// The folders of a user.
    pub async fn folders(&self, owner: &str) -> Result<Folders> {
        let found = self.typed("conversation_group").find_one(doc! { "_id": owner }).await?;
        Ok(found.unwrap_or_else(|| Folders::none(owner)))
    }

    /// Replaces the folders that have this version; `false` when somebody else has changed them meanwhile.
    pub async fn replace_folders(&self, version: i64, folders: &Folders) -> Result<bool> {
        let rows = self.typed::<Folders>("conversation_group");
        if version == 0 {
            return match rows.insert_one(folders).await.map_err(crate::StoreError) {
                Ok(_) => Ok(true),
                Err(error) if error.is_duplicate_key() => Ok(false),
                Err(error) => Err(error),
            };
        }
        let filter = doc! { "_id": &folders.owner, "version": version };
        Ok(rows.replace_one(filter, folders).await?.matched_count > 0)
    }
}

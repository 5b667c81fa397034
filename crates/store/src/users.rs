//! Collection `user`.

use std::collections::HashMap;

use bson::{Document, doc};
use protocol::sdkws::{PublicUserInfo, UserInfo};
use serde::{Deserialize, Serialize};

use crate::{DateTime, Page, Result, Store, collections::USER, millis};

/// A registered user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct User {
    pub user_id: String,
    pub nickname: String,
    pub face_url: String,
    pub ex: String,
    pub app_manger_level: i32,
    pub global_recv_msg_opt: i32,
    pub create_time: DateTime,
    /// 0, or [`BANNED`].
    #[serde(default, skip_serializing_if = "is_normal")]
    pub status: i32,
}

/// [`User::status`] of a user who may neither log in nor send.
pub const BANNED: i32 = 1;

fn is_normal(status: &i32) -> bool {
    *status == 0
}

impl User {
    /// Whether the user may neither log in nor send.
    pub fn is_banned(&self) -> bool {
        self.status == BANNED
    }

    /// The wire form.
    pub fn to_info(&self) -> UserInfo {
        UserInfo {
            user_id: self.user_id.clone(),
            nickname: self.nickname.clone(),
            face_url: self.face_url.clone(),
            ex: self.ex.clone(),
            create_time: millis(self.create_time),
            app_manger_level: self.app_manger_level,
            global_recv_msg_opt: self.global_recv_msg_opt,
        }
    }

    /// What strangers see.
    pub fn to_public(&self) -> PublicUserInfo {
        PublicUserInfo {
            user_id: self.user_id.clone(),
            nickname: self.nickname.clone(),
            face_url: self.face_url.clone(),
            ex: self.ex.clone(),
        }
    }
}

/// Which users to find.
#[derive(Debug, Clone, Copy)]
pub enum UserSearch<'a> {
    /// People; texts that are not empty must be part of the id and the nickname.
    Ordinary {
        /// Part of the id.
        id: &'a str,
        /// Part of the nickname.
        nickname: &'a str,
    },
    /// System accounts with one level or any, whose id is the keyword or whose nickname has it.
    Accounts {
        /// appMangerLevel, or any from 3 on.
        level: Option<i32>,
        /// Empty for all.
        keyword: &'a str,
    },
}

impl UserSearch<'_> {
    fn filter(&self) -> Document {
        match *self {
            Self::Ordinary { id, nickname } => {
                let mut filter = doc! { "app_manger_level": { "$lte": 1 } };
                for (field, text) in [("user_id", id), ("nickname", nickname)] {
                    if !text.is_empty() {
                        filter.insert(field, crate::contains(text));
                    }
                }
                filter
            }
            Self::Accounts { level, keyword } => {
                let mut filter = doc! { "app_manger_level": { "$gte": 3 } };
                if let Some(level) = level {
                    filter.insert("app_manger_level", level);
                }
                if !keyword.is_empty() {
                    filter.insert(
                        "$or",
                        vec![doc! { "user_id": keyword }, doc! { "nickname": crate::contains(keyword) }],
                    );
                }
                filter
            }
        }
    }
}

impl Store {
    /// Creates users; none is created when one already exists.
    pub async fn create_users(&self, users: &[User]) -> Result<()> {
        in_transaction!(self, [], |session| {
            self.typed::<User>(USER).insert_many(users).session(&mut *session).await?;
        })
    }

    /// Creates a user if it does not exist.
    pub async fn ensure_user(&self, user: &User) -> Result<()> {
        let row = bson::serialize_to_document(user).map_err(mongodb::error::Error::custom)?;
        let insert = doc! { "$setOnInsert": row };
        let outcome =
            self.documents(USER).update_one(doc! { "user_id": &user.user_id }, insert).upsert(true).await;
        match outcome.map_err(crate::StoreError) {
            Err(error) if !error.is_duplicate_key() => Err(error),
            _ => Ok(()),
        }
    }

    /// The users that exist, in the order asked for.
    pub async fn users(&self, ids: &[String]) -> Result<Vec<User>> {
        let found: Vec<User> =
            self.collect(self.typed(USER).find(doc! { "user_id": { "$in": ids } }).await?).await?;
        let mut by_id: HashMap<String, User> =
            found.into_iter().map(|user| (user.user_id.clone(), user)).collect();
        Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    /// One user.
    pub async fn user(&self, id: &str) -> Result<Option<User>> {
        Ok(self.typed(USER).find_one(doc! { "user_id": id }).await?)
    }

    /// Sets fields of a user; `false` when it does not exist.
    pub async fn update_user(&self, id: &str, fields: Document) -> Result<bool> {
        let outcome =
            self.documents(USER).update_one(doc! { "user_id": id }, doc! { "$set": fields }).await?;
        Ok(outcome.matched_count > 0)
    }

    /// Bans users, or lifts their bans.
    pub async fn set_banned(&self, ids: &[String], banned: bool) -> Result<()> {
        let change = match banned {
            true => doc! { "$set": { "status": BANNED } },
            false => doc! { "$unset": { "status": 1 } },
        };
        self.documents(USER).update_many(doc! { "user_id": { "$in": ids } }, change).await?;
        Ok(())
    }

    /// A part of the banned users, or of those among `ids`, in order of registration, and how many there are.
    pub async fn banned(&self, ids: &[String], part: Page) -> Result<(Vec<User>, u64)> {
        let mut filter = doc! { "status": BANNED };
        if !ids.is_empty() {
            filter.insert("user_id", doc! { "$in": ids });
        }
        let users = self.typed(USER);
        let total = users.count_documents(filter.clone()).await?;
        let found = users.find(filter).sort(doc! { "_id": 1 }).skip(part.skip).limit(part.limit).await?;
        Ok((self.collect(found).await?, total))
    }

    /// A page of users, in order of registration, and how many match.
    pub async fn find_users(&self, wanted: &UserSearch<'_>, page: Page) -> Result<(Vec<User>, u64)> {
        let filter = wanted.filter();
        let users = self.typed(USER);
        let total = users.count_documents(filter.clone()).await?;
        let found = users.find(filter).sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit).await?;
        Ok((self.collect(found).await?, total))
    }

    /// Up to `limit` users in order of their ids, from the first behind `after` on, whose ids begin with `prefix`.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn users_after(&self, prefix: &str, after: &str, limit: i64) -> Result<Vec<User>> {
        let rows_of = self.typed(USER);
        let find = rows_of.find(crate::behind("user_id", prefix, after));
        self.collect(find.sort(doc! { "user_id": 1 }).limit(limit).await?).await
    }

    /// Registrations in a range of time, ms.
    pub async fn registrations(&self, range: std::ops::Range<i64>) -> Result<crate::CreationCounts> {
        self.creations("user", range).await
    }

    /// A page of all users in order of registration, and their total number.
    pub async fn user_page(&self, page: Page) -> Result<(Vec<User>, u64)> {
        let users = self.typed(USER);
        let total = users.count_documents(doc! {}).await?;
        let found = users.find(doc! {}).sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit).await?;
        Ok((self.collect(found).await?, total))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faults::fate::Calm;

    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn users_and_groups_are_listed_behind_a_key_within_a_prefix() {
        let store = Store::in_memory(&Memory::default(), Arc::new(Calm));
        let user = |id: &str| User {
            user_id: id.to_owned(),
            nickname: String::new(),
            face_url: String::new(),
            ex: String::new(),
            app_manger_level: 0,
            global_recv_msg_opt: 0,
            create_time: DateTime::from_millis(1),
            status: 0,
        };
        for id in ["c", "ann", "b", "b1", "b2", "b\u{10ffff}", "ben"] {
            store.ensure_user(&user(id)).await.unwrap();
        }
        let listed = async |prefix: &str, after: &str, limit| -> Vec<String> {
            let users = store.users_after(prefix, after, limit).await.unwrap();
            users.into_iter().map(|user| user.user_id).collect()
        };
        assert_eq!(listed("", "", 2).await, ["ann", "b"]);
        assert_eq!(listed("", "b1", 10).await, ["b2", "ben", "b\u{10ffff}", "c"]);
        assert_eq!(listed("b", "", 10).await, ["b", "b1", "b2", "ben"], "the end of the range is no id");
        assert_eq!(listed("b", "b1", 1).await, ["b2"]);
        assert_eq!(listed("z", "", 10).await, Vec::<String>::new());
        let range = crate::behind("group_id", "g", "g1");
        assert_eq!(range, doc! { "group_id": { "$gt": "g1", "$gte": "g", "$lt": "g\u{10ffff}" } });
    }
}

//! Collection `user`.

use std::collections::HashMap;

use bson::{Document, doc};
use futures::TryStreamExt;
use protocol::sdkws::{PublicUserInfo, UserInfo};
use serde::{Deserialize, Serialize};

use crate::{DateTime, Page, Result, Store, millis};

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
}

impl User {
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

impl Store {
    /// Creates users; none is created when one exists already.
    pub async fn create_users(&self, users: &[User]) -> Result<()> {
        in_transaction!(self, |session| {
            self.typed::<User>("user").insert_many(users).session(&mut *session).await?;
        })
    }

    /// Creates a user if it does not exist.
    pub async fn ensure_user(&self, user: &User) -> Result<()> {
        let row = bson::serialize_to_document(user).map_err(mongodb::error::Error::custom)?;
        let insert = doc! { "$setOnInsert": row };
        let outcome =
            self.documents("user").update_one(doc! { "user_id": &user.user_id }, insert).upsert(true).await;
        match outcome.map_err(crate::StoreError) {
            Err(error) if !error.is_duplicate_key() => Err(error),
            _ => Ok(()),
        }
    }

    /// The users that exist, in the order asked for.
    pub async fn users(&self, ids: &[String]) -> Result<Vec<User>> {
        let found: Vec<User> =
            self.typed("user").find(doc! { "user_id": { "$in": ids } }).await?.try_collect().await?;
        let mut by_id: HashMap<String, User> =
            found.into_iter().map(|user| (user.user_id.clone(), user)).collect();
        Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    /// One user.
    pub async fn user(&self, id: &str) -> Result<Option<User>> {
        Ok(self.typed("user").find_one(doc! { "user_id": id }).await?)
    }

    /// Sets fields of a user; `false` when it does not exist.
    pub async fn update_user(&self, id: &str, fields: Document) -> Result<bool> {
        let outcome =
            self.documents("user").update_one(doc! { "user_id": id }, doc! { "$set": fields }).await?;
        Ok(outcome.matched_count > 0)
    }

    /// A page of all users in order of registration, and their total number.
    pub async fn user_page(&self, page: Page) -> Result<(Vec<User>, u64)> {
        let users = self.typed("user");
        let total = users.count_documents(doc! {}).await?;
        let found = users.find(doc! {}).sort(doc! { "_id": 1 }).skip(page.skip).limit(page.limit).await?;
        Ok((found.try_collect().await?, total))
    }
}

//! Collection `friend`: one row per direction.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::{
    DateTime, Page, Result, Store,
    collections::FRIEND,
    versions::{Kind, SORT_ELEMENT, State, Version},
};

/// `owner` has `friend` in its list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Friend {
    pub owner_user_id: String,
    pub friend_user_id: String,
    pub remark: String,
    pub create_time: DateTime,
    pub add_source: i32,
    pub operator_user_id: String,
    pub ex: String,
    pub is_pinned: bool,
}

/// Friends are listed pinned first, then by creation.
fn order() -> Document {
    doc! { "is_pinned": -1, "_id": 1 }
}

/// Friendships, without long texts.
#[derive(Deserialize)]
struct Ids {
    owner_user_id: String,
    friend_user_id: String,
}

impl Ids {
    fn fields() -> Document {
        doc! { "owner_user_id": 1, "friend_user_id": 1 }
    }
}

impl Store {
    /// Adds both directions of each pair that are missing.
    pub async fn make_friends(
        &self,
        pairs: &[(String, String)],
        add_source: i32,
        operator: &str,
        now: DateTime,
    ) -> Result<()> {
        for (a, b) in pairs {
            for (owner, friend) in [(a, b), (b, a)] {
                self.add_friend(owner, friend, add_source, operator, now).await?;
            }
        }
        Ok(())
    }

    async fn add_friend(
        &self,
        owner: &str,
        friend: &str,
        add_source: i32,
        operator: &str,
        now: DateTime,
    ) -> Result<()> {
        if self.is_friend(owner, friend).await? {
            return Ok(());
        }
        let row = Friend {
            owner_user_id: owner.to_owned(),
            friend_user_id: friend.to_owned(),
            remark: String::new(),
            create_time: now,
            add_source,
            operator_user_id: operator.to_owned(),
            ex: String::new(),
            is_pinned: false,
        };
        let added = in_transaction!(self, [(Kind::Friend, owner)], |session| {
            self.typed::<Friend>(FRIEND).insert_one(&row).session(&mut *session).await?;
            self.bump(session, Kind::Friend, owner, &[(friend, State::Insert)]).await?;
        });
        match added {
            Err(error) if error.is_duplicate_key() => Ok(()),
            other => other,
        }
    }

    /// Whether `owner` has `friend` in its list.
    pub async fn is_friend(&self, owner: &str, friend: &str) -> Result<bool> {
        let filter = doc! { "owner_user_id": owner, "friend_user_id": friend };
        Ok(self.documents(FRIEND).find_one(filter).projection(doc! { "_id": 1 }).await?.is_some())
    }

    /// Removes one direction; `None` when there was nothing.
    pub async fn delete_friend(&self, owner: &str, friend: &str) -> Result<Option<Version>> {
        in_transaction!(self, [(Kind::Friend, owner)], |session| {
            let filter = doc! { "owner_user_id": owner, "friend_user_id": friend };
            let outcome = self.documents(FRIEND).delete_one(filter).session(&mut *session).await?;
            if outcome.deleted_count == 0 {
                None
            } else {
                Some(self.bump(session, Kind::Friend, owner, &[(friend, State::Delete)]).await?)
            }
        })
    }

    /// Sets fields of friends of `owner`; a changed pin changes the order.
    pub async fn update_friends(
        &self,
        owner: &str,
        friends: &[String],
        fields: &Document,
    ) -> Result<Version> {
        in_transaction!(self, [(Kind::Friend, owner)], |session| {
            let filter = doc! { "owner_user_id": owner, "friend_user_id": { "$in": friends } };
            self.documents(FRIEND)
                .update_many(filter, doc! { "$set": fields.clone() })
                .session(&mut *session)
                .await?;
            let mut changes: Vec<(&str, State)> =
                friends.iter().map(|id| (id.as_str(), State::Update)).collect();
            if fields.contains_key("is_pinned") {
                changes.push((SORT_ELEMENT, State::Update));
            }
            self.bump(session, Kind::Friend, owner, &changes).await?
        })
    }

    /// A page of a user's friends, and their total number.
    pub async fn friend_page(&self, owner: &str, page: Page) -> Result<(Vec<Friend>, u64)> {
        let filter = doc! { "owner_user_id": owner };
        let total = self.documents(FRIEND).count_documents(filter.clone()).await?;
        let found = self.typed(FRIEND).find(filter).sort(order()).skip(page.skip).limit(page.limit).await?;
        Ok((self.collect(found).await?, total))
    }

    /// The named friends of a user; unknown ones are omitted.
    pub async fn friends(&self, owner: &str, friends: &[String]) -> Result<Vec<Friend>> {
        let filter = doc! { "owner_user_id": owner, "friend_user_id": { "$in": friends } };
        self.collect(self.typed(FRIEND).find(filter).await?).await
    }

    /// All friend ids of a user, in list order.
    pub async fn friend_ids(&self, owner: &str) -> Result<Vec<String>> {
        let rows_of = self.typed::<Ids>(FRIEND);
        let find = rows_of.find(doc! { "owner_user_id": owner }).sort(order());
        let rows = self.collect(find.projection(Ids::fields()).await?).await?;
        Ok(rows.into_iter().map(|row| row.friend_user_id).collect())
    }

    /// Users that have `friend` in their list.
    pub async fn owners_of_friend(&self, friend: &str) -> Result<Vec<String>> {
        let rows_of = self.typed::<Ids>(FRIEND);
        let find = rows_of.find(doc! { "friend_user_id": friend });
        let rows = self.collect(find.projection(Ids::fields()).await?).await?;
        Ok(rows.into_iter().map(|row| row.owner_user_id).collect())
    }

    /// A friend's profile changed: the list of `owner` gets an update entry.
    pub async fn touch_friend(&self, owner: &str, friend: &str) -> Result<Version> {
        in_transaction!(self, [(Kind::Friend, owner)], |session| {
            self.bump(session, Kind::Friend, owner, &[(friend, State::Update)]).await?
        })
    }
}

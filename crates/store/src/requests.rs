//! Collections `friend_request` and `group_request`: one row per (from, to), re-opened by applying again.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::{
    DateTime, Page, Result, Store,
    collections::{FRIEND_REQUEST, GROUP_REQUEST},
    hidden_requests::shown_to,
};

/// A friend request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FriendRequest {
    pub from_user_id: String,
    pub to_user_id: String,
    pub handle_result: i32,
    pub req_msg: String,
    pub create_time: DateTime,
    pub handler_user_id: String,
    pub handle_msg: String,
    pub handle_time: DateTime,
    pub ex: String,
}

/// A request to join a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct GroupRequest {
    pub user_id: String,
    pub group_id: String,
    pub handle_result: i32,
    pub req_msg: String,
    pub handled_msg: String,
    pub req_time: DateTime,
    pub handle_user_id: String,
    pub handled_time: DateTime,
    pub join_source: i32,
    pub inviter_user_id: String,
    pub ex: String,
}

/// Which side of a request a user is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Asked.
    From,
    /// The receiver of the request.
    To,
}

fn in_results(mut filter: Document, results: &[i32]) -> Document {
    if !results.is_empty() {
        filter.insert("handle_result", doc! { "$in": results });
    }
    filter
}

impl Store {
    /// Opens or re-opens a friend request.
    pub async fn put_friend_request(&self, request: &FriendRequest) -> Result<()> {
        let filter = doc! { "from_user_id": &request.from_user_id, "to_user_id": &request.to_user_id };
        let requests = self.typed::<FriendRequest>(FRIEND_REQUEST);
        racing!(requests.replace_one(filter.clone(), request).upsert(true))?;
        Ok(())
    }

    /// One friend request.
    pub async fn friend_request(&self, from: &str, to: &str) -> Result<Option<FriendRequest>> {
        Ok(self.typed(FRIEND_REQUEST).find_one(doc! { "from_user_id": from, "to_user_id": to }).await?)
    }

    /// One friend request, unless this user has deleted it. Anybody else sees it.
    pub async fn friend_request_shown(
        &self,
        from: &str,
        to: &str,
        viewer: &str,
    ) -> Result<Option<FriendRequest>> {
        let mut filter = doc! { "from_user_id": from, "to_user_id": to };
        for (side, user) in [(Side::From, from), (Side::To, to)] {
            if user == viewer {
                filter = shown_to(side, filter);
            }
        }
        Ok(self.typed(FRIEND_REQUEST).find_one(filter).await?)
    }

    /// Answers an open friend request; `false` when it is not open any more.
    pub async fn answer_friend_request(
        &self,
        from: &str,
        to: &str,
        result: i32,
        message: &str,
        now: DateTime,
    ) -> Result<bool> {
        let filter = doc! { "from_user_id": from, "to_user_id": to, "handle_result": 0 };
        let fields = doc! { "handle_result": result, "handle_msg": message, "handler_user_id": to, "handle_time": now };
        Ok(self.documents(FRIEND_REQUEST).update_one(filter, doc! { "$set": fields }).await?.matched_count
            > 0)
    }

    /// A page of a user's friend requests, newest first, and their number.
    pub async fn friend_request_page(
        &self,
        side: Side,
        user: &str,
        results: &[i32],
        page: Page,
    ) -> Result<(Vec<FriendRequest>, u64)> {
        let key = if side == Side::From { "from_user_id" } else { "to_user_id" };
        let filter = shown_to(side, in_results(doc! { key: user }, results));
        let total = self.documents(FRIEND_REQUEST).count_documents(filter.clone()).await?;
        let found = self
            .typed(FRIEND_REQUEST)
            .find(filter)
            .sort(doc! { "create_time": -1 })
            .skip(page.skip)
            .limit(page.limit)
            .await?;
        Ok((self.collect(found).await?, total))
    }

    /// Open requests to a user since a time in ms.
    pub async fn unhandled_friend_requests(&self, user: &str, since_ms: i64) -> Result<u64> {
        let filter = doc! {
            "to_user_id": user, "handle_result": 0, "create_time": { "$gt": DateTime::from_millis(since_ms) },
        };
        Ok(self.documents(FRIEND_REQUEST).count_documents(shown_to(Side::To, filter)).await?)
    }

    /// Opens or re-opens a join request.
    pub async fn put_group_request(&self, request: &GroupRequest) -> Result<()> {
        let filter = doc! { "group_id": &request.group_id, "user_id": &request.user_id };
        let requests = self.typed::<GroupRequest>(GROUP_REQUEST);
        racing!(requests.replace_one(filter.clone(), request).upsert(true))?;
        Ok(())
    }

    /// One join request.
    pub async fn group_request(&self, group: &str, user: &str) -> Result<Option<GroupRequest>> {
        Ok(self.typed(GROUP_REQUEST).find_one(doc! { "group_id": group, "user_id": user }).await?)
    }

    /// One join request, unless this side has deleted it.
    pub async fn group_request_shown(
        &self,
        side: Side,
        group: &str,
        user: &str,
    ) -> Result<Option<GroupRequest>> {
        let filter = shown_to(side, doc! { "group_id": group, "user_id": user });
        Ok(self.typed(GROUP_REQUEST).find_one(filter).await?)
    }

    /// The join requests of users for a group, as its administrators see them; users without one are omitted.
    pub async fn group_requests_of(&self, group: &str, users: &[String]) -> Result<Vec<GroupRequest>> {
        let filter = shown_to(Side::To, doc! { "group_id": group, "user_id": { "$in": users } });
        let rows_of = self.typed(GROUP_REQUEST);
        self.collect(rows_of.find(filter).sort(doc! { "req_time": -1 }).await?).await
    }

    /// Answers an open join request; `false` when it is not open any more.
    pub async fn answer_group_request(
        &self,
        group: &str,
        user: &str,
        handler: &str,
        result: i32,
        message: &str,
        now: DateTime,
    ) -> Result<bool> {
        let filter = doc! { "group_id": group, "user_id": user, "handle_result": 0 };
        let fields = doc! { "handle_result": result, "handled_msg": message, "handle_user_id": handler, "handled_time": now };
        Ok(self.documents(GROUP_REQUEST).update_one(filter, doc! { "$set": fields }).await?.matched_count > 0)
    }

    /// A page of the join requests of one user, or of groups as their administrators see them, newest first, and their number.
    pub async fn group_request_page(
        &self,
        groups: Option<&[String]>,
        user: Option<&str>,
        results: &[i32],
        page: Page,
    ) -> Result<(Vec<GroupRequest>, u64)> {
        let mut filter = in_results(Document::new(), results);
        if let Some(groups) = groups {
            filter.insert("group_id", doc! { "$in": groups });
        }
        if let Some(user) = user {
            filter.insert("user_id", user);
        }
        let filter = shown_to(if user.is_some() { Side::From } else { Side::To }, filter);
        let total = self.documents(GROUP_REQUEST).count_documents(filter.clone()).await?;
        let found = self
            .typed(GROUP_REQUEST)
            .find(filter)
            .sort(doc! { "req_time": -1 })
            .skip(page.skip)
            .limit(page.limit)
            .await?;
        Ok((self.collect(found).await?, total))
    }

    /// Open join requests of groups since a time in ms.
    pub async fn unhandled_group_requests(&self, groups: &[String], since_ms: i64) -> Result<u64> {
        let since = DateTime::from_millis(since_ms);
        let filter = doc! { "group_id": { "$in": groups }, "handle_result": 0, "req_time": { "$gt": since } };
        Ok(self.documents(GROUP_REQUEST).count_documents(shown_to(Side::To, filter)).await?)
    }
}

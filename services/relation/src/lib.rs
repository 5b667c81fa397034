//! The relation service: friends, friend requests, block lists. Below are the list of methods and what several of them need.

mod blocks;
mod convert;
mod forget_requests;
mod friend_requests;
mod friends;
mod lookup;

use std::sync::Arc;

use config::{Hook, Service};
use deps::Deps;
use model::Clock;
use presence::Routes;
use protocol::{ErrorCode, Result, sdkws::FromToUserId};
use rpc::{Context, Peers};
use serde_json::{Map, Value};
use store::{DateTime, Store, users::User};
use webhooks::Webhooks;

/// The service.
pub struct Relations {
    /// Friends, requests, blacks, users.
    store: Store,
    /// Announces changes.
    routes: Routes,
    /// For notifications.
    peers: Peers,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// Times of requests.
    clock: Arc<dyn Clock>,
}

impl Relations {
    /// The service of a process.
    pub fn new(deps: &Deps) -> Self {
        Self {
            store: deps.store.clone(),
            routes: deps.routes.clone(),
            peers: deps.peers.clone(),
            webhooks: deps.webhooks.clone(),
            clock: deps.clock.clone(),
        }
    }
}

rpc::service! { Relations, Service::Relation, {
    relation::ApplyToAddFriendReq => apply,
    relation::RespondFriendApplyReq => respond,
    relation::DeleteFriendReq => delete,
    relation::ImportFriendReq => import,
    relation::IsFriendReq => is_friend,
    relation::UpdateFriendsReq => update,
    relation::SetFriendRemarkReq => set_remark,
    relation::GetPaginationFriendsReq => friend_page,
    relation::GetDesignatedFriendsReq => designated,
    relation::GetFriendIDsReq => friend_ids,
    relation::GetIncrementalFriendsReq => incremental,
    relation::GetFullFriendUserIDsReq => full_ids,
    relation::GetPaginationFriendsApplyToReq => requests_to,
    relation::GetPaginationFriendsApplyFromReq => requests_from,
    relation::GetSelfUnhandledApplyCountReq => unhandled_count,
    relation::AddBlackReq => add_black,
    relation::RemoveBlackReq => remove_black,
    relation::GetPaginationBlacksReq => black_page,
    relation::GetDesignatedFriendsApplyReq => requests_between,
    relation::GetSpecifiedBlacksReq => specified_blacks,
    relation::GetSpecifiedFriendsInfoReq => specified_friends,
    relation::GetIncrementalBlacksReq => incremental_blacks,
    extension::DeleteFriendRequestsFromUserReq => forget_sent,
    extension::DeleteFriendRequestsToUserReq => forget_received,
} }

fn pair(from: &str, to: &str) -> Option<FromToUserId> {
    Some(FromToUserId { from_user_id: from.to_owned(), to_user_id: to.to_owned() })
}

impl Relations {
    fn now(&self) -> DateTime {
        DateTime::from_millis(self.clock.now_ms())
    }

    async fn registered(&self, id: &str) -> Result<User> {
        self.store
            .user(id)
            .await?
            .ok_or_else(|| ErrorCode::UserNotFound.with(format!("user {id} is not registered")))
    }

    /// A hook that may only veto.
    async fn ask(&self, context: &Context, hook: Hook, body: Value) -> Result<()> {
        let _fields: Map<String, Value> = self.webhooks.before(context, hook, body).await?;
        Ok(())
    }

    /// The send path may have cached who the users' friends are and whom they block.
    async fn friends_changed(&self, users: &[&str]) {
        let scopes: Vec<String> = users.iter().map(|user| format!("user:{user}")).collect();
        self.routes.facts_changed(&scopes).await;
    }
}

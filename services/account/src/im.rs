//! All calls to the other services: the IM user behind an account, his tokens, friends and groups. They are made as the first
//! administrator of the cluster and signed with its secret, like every call between services.

use std::sync::Arc;

use config::Config;
use model::platform::Platform;
use protocol::{
    ErrorCode, Request,
    auth::{ForceLogoutReq, GetAdminTokenReq, GetUserTokenReq},
    group::{GetGroupMembersInfoReq, GetGroupsInfoReq, InviteUserToGroupReq},
    relation::{GetFriendIDsReq, ImportFriendReq},
    sdkws::{GroupInfo, UserInfo, UserInfoWithEx},
    user::{UpdateUserInfoExReq, UserRegisterCountReq, UserRegisterCountResp, UserRegisterReq},
    wrappers::StringValue,
};
use rpc::{Context, Peers};

use crate::answer::Result;

/// The other services.
#[derive(Clone)]
pub(crate) struct Im {
    peers: Peers,
    config: Arc<Config>,
}

fn is(error: &protocol::Error, code: ErrorCode) -> bool {
    error.code == code
}

impl Im {
    pub(crate) fn new(peers: Peers, config: Arc<Config>) -> Self {
        Self { peers, config }
    }

    /// The IM user that this service acts as.
    pub(crate) fn admin(&self) -> &str {
        self.config.admin_user_ids.first().map_or("", String::as_str)
    }

    async fn call<R: Request>(&self, operation_id: &str, request: &R) -> protocol::Result<R::Response> {
        let context = Context::verified(&self.config, self.admin(), Platform::ADMIN.number(), operation_id);
        self.peers.call(&context, request).await
    }

    /// Creates a user; `false`: there is one with this id.
    pub(crate) async fn register(&self, op: &str, id: &str, nickname: &str, face: &str) -> Result<bool> {
        let user = UserInfo {
            user_id: id.to_owned(),
            nickname: nickname.to_owned(),
            face_url: face.to_owned(),
            ..Default::default()
        };
        let request = UserRegisterReq { users: vec![user] };
        match self.call(op, &request).await {
            Ok(_registered) => Ok(true),
            Err(error) if is(&error, ErrorCode::Registered) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes name and portrait; what is none stays.
    pub(crate) async fn update(
        &self,
        op: &str,
        id: &str,
        nickname: Option<String>,
        face: Option<String>,
    ) -> protocol::Result<()> {
        if nickname.is_none() && face.is_none() {
            return Ok(());
        }
        let text = |value: Option<String>| value.map(|value| StringValue { value });
        let user_info = Some(UserInfoWithEx {
            user_id: id.to_owned(),
            nickname: text(nickname),
            face_url: text(face),
            ..Default::default()
        });
        let request = UpdateUserInfoExReq { user_info };
        self.call(op, &request).await?;
        Ok(())
    }

    /// A token for a socket.
    pub(crate) async fn token(&self, op: &str, id: &str, platform: i32) -> Result<String> {
        let request = GetUserTokenReq { user_id: id.to_owned(), platform_id: platform };
        let answer = self.call(op, &request).await?;
        Ok(answer.token)
    }

    /// The token of the cluster's administrator.
    pub(crate) async fn admin_token(&self, op: &str) -> Result<String> {
        let secret = self.config.api_secrets().next().unwrap_or_default().to_owned();
        let request = GetAdminTokenReq { secret, user_id: self.admin().to_owned() };
        let answer = self.call(op, &request).await?;
        Ok(answer.token)
    }

    /// Ends all tokens and connections of a user, on every platform. When this returns, none of them works any more.
    pub(crate) async fn log_out(&self, op: &str, id: &str) -> protocol::Result<()> {
        let everywhere = Platform::NUMBERS.map(|platform_id| async move {
            let request = ForceLogoutReq { user_id: id.to_owned(), platform_id };
            self.call(op, &request).await
        });
        futures::future::try_join_all(everywhere).await.map(|_done| ())
    }

    /// Makes friends of two users.
    pub(crate) async fn make_friends(&self, op: &str, id: &str, friend: &str) -> protocol::Result<()> {
        let request =
            ImportFriendReq { owner_user_id: id.to_owned(), friend_user_ids: vec![friend.to_owned()] };
        self.call(op, &request).await.map(|_| ())
    }

    /// Brings a user into a group; who is in it already stays.
    pub(crate) async fn invite(&self, op: &str, group: &str, id: &str) -> protocol::Result<()> {
        if self.is_member(op, group, id).await? {
            return Ok(());
        }
        let request = InviteUserToGroupReq {
            group_id: group.to_owned(),
            invited_user_ids: vec![id.to_owned()],
            ..Default::default()
        };
        self.call(op, &request).await.map(|_| ())
    }

    pub(crate) async fn is_member(&self, op: &str, group: &str, id: &str) -> protocol::Result<bool> {
        let request = GetGroupMembersInfoReq { group_id: group.to_owned(), user_ids: vec![id.to_owned()] };
        match self.call(op, &request).await {
            Ok(answer) => Ok(answer.members.iter().any(|member| member.user_id == id)),
            Err(error) if is(&error, ErrorCode::GroupNotFound) || is(&error, ErrorCode::RecordNotFound) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The groups that exist.
    pub(crate) async fn groups(&self, op: &str, ids: &[String]) -> Result<Vec<GroupInfo>> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let request = GetGroupsInfoReq { group_ids: ids.to_vec() };
        let answer = self.call(op, &request).await?;
        Ok(answer.group_infos)
    }

    pub(crate) async fn friends(&self, op: &str, id: &str) -> Result<Vec<String>> {
        let request = GetFriendIDsReq { user_id: id.to_owned() };
        let answer = self.call(op, &request).await?;
        Ok(answer.friend_ids)
    }

    /// Users registered before the end of a range in ms, and per day in it.
    pub(crate) async fn registrations(
        &self,
        op: &str,
        start: i64,
        end: i64,
    ) -> Result<UserRegisterCountResp> {
        let request = UserRegisterCountReq { start, end };
        Ok(self.call(op, &request).await?)
    }
}

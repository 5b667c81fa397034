//! Look-ups of single friends, requests and block-list entries.

use protocol::{
    Error, Result, check,
    relation::{
        GetDesignatedFriendsApplyReq, GetDesignatedFriendsApplyResp, GetIncrementalBlacksReq,
        GetIncrementalBlacksResp, GetSpecifiedBlacksReq, GetSpecifiedBlacksResp, GetSpecifiedFriendsInfoInfo,
        GetSpecifiedFriendsInfoReq, GetSpecifiedFriendsInfoResp,
    },
};
use rpc::Context;

use crate::{Relations, convert};

impl Relations {
    /// The requests between two users, in both directions.
    pub(crate) async fn requests_between(
        &self,
        context: &Context,
        request: GetDesignatedFriendsApplyReq,
    ) -> Result<GetDesignatedFriendsApplyResp> {
        let (a, b) = (&request.from_user_id, &request.to_user_id);
        check::non_empty("fromUserID", a)?;
        check::non_empty("toUserID", b)?;
        if context.require_self("fromUserID", a).is_err() {
            context.require_self("fromUserID or toUserID", b)?;
        }
        let mut rows = Vec::new();
        let viewer = context.user_id();
        rows.extend(self.store.friend_request_shown(a, b, viewer).await?);
        rows.extend(self.store.friend_request_shown(b, a, viewer).await?);
        Ok(GetDesignatedFriendsApplyResp { friend_requests: convert::requests(&self.store, rows).await? })
    }

    pub(crate) async fn specified_blacks(
        &self,
        context: &Context,
        request: GetSpecifiedBlacksReq,
    ) -> Result<GetSpecifiedBlacksResp> {
        let owner = &request.owner_user_id;
        check::non_empty("ownerUserID", owner)?;
        check::ids("userIDList", &request.user_id_list, protocol::bounds::ITEMS)?;
        context.require_self("ownerUserID", owner)?;
        let rows = self.store.blacks(owner, &request.user_id_list).await?;
        let blacks = convert::blacks(&self.store, rows).await?;
        Ok(GetSpecifiedBlacksResp { total: i32::try_from(blacks.len()).unwrap_or(i32::MAX), blacks })
    }

    pub(crate) async fn specified_friends(
        &self,
        context: &Context,
        request: GetSpecifiedFriendsInfoReq,
    ) -> Result<GetSpecifiedFriendsInfoResp> {
        let owner = &request.owner_user_id;
        check::non_empty("ownerUserID", owner)?;
        check::ids("userIDList", &request.user_id_list, protocol::bounds::ITEMS)?;
        context.require_self("ownerUserID", owner)?;
        let users = self.store.users(&request.user_id_list).await?;
        let friends = self.store.friends(owner, &request.user_id_list).await?;
        let friends = convert::friends(&self.store, friends).await?;
        let blacks = self.store.blacks(owner, &request.user_id_list).await?;
        let blacks = convert::blacks(&self.store, blacks).await?;
        let infos = users
            .iter()
            .map(|user| {
                let id = &user.user_id;
                let friend = |info: &&protocol::sdkws::FriendInfo| {
                    info.friend_user.as_ref().is_some_and(|user| user.user_id == *id)
                };
                let black = |info: &&protocol::sdkws::BlackInfo| {
                    info.black_user_info.as_ref().is_some_and(|user| user.user_id == *id)
                };
                GetSpecifiedFriendsInfoInfo {
                    user_info: Some(user.to_info()),
                    friend_info: friends.iter().find(friend).cloned(),
                    black_info: blacks.iter().find(black).cloned(),
                }
            })
            .collect();
        Ok(GetSpecifiedFriendsInfoResp { infos })
    }

    /// Block lists have no version log in the protocol; upstream does not implement this call either. It is not an internal error.
    pub(crate) async fn incremental_blacks(
        &self,
        context: &Context,
        request: GetIncrementalBlacksReq,
    ) -> Result<GetIncrementalBlacksResp> {
        context.require_self("userID", &request.user_id)?;
        Err(Error::args("block lists are not versioned; read them with /friend/get_black_list"))
    }
}

//! Deleting friend requests: each side deletes them for itself, because the other one may still want to answer.

use protocol::{
    Result, check,
    extension::{
        DeleteFriendRequestsFromUserReq, DeleteFriendRequestsFromUserResp, DeleteFriendRequestsToUserReq,
        DeleteFriendRequestsToUserResp,
    },
    lists,
};
use rpc::Context;
use store::requests::Side;

use crate::Relations;

impl Relations {
    pub(crate) async fn forget_sent(
        &self,
        context: &Context,
        mut request: DeleteFriendRequestsFromUserReq,
    ) -> Result<DeleteFriendRequestsFromUserResp> {
        let user = &request.from_user_id;
        check::non_empty("fromUserID", user)?;
        context.require_self("fromUserID", user)?;
        lists::distinct_some("toUserIDs", &mut request.to_user_ids, protocol::bounds::ITEMS)?;
        self.store.hide_friend_requests(Side::From, user, &request.to_user_ids).await?;
        Ok(DeleteFriendRequestsFromUserResp {})
    }

    pub(crate) async fn forget_received(
        &self,
        context: &Context,
        mut request: DeleteFriendRequestsToUserReq,
    ) -> Result<DeleteFriendRequestsToUserResp> {
        let user = &request.to_user_id;
        check::non_empty("toUserID", user)?;
        context.require_self("toUserID", user)?;
        lists::distinct_some("fromUserIDs", &mut request.from_user_ids, protocol::bounds::ITEMS)?;
        self.store.hide_friend_requests(Side::To, user, &request.from_user_ids).await?;
        Ok(DeleteFriendRequestsToUserResp {})
    }
}

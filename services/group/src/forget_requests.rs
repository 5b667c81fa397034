//! Deleting join requests, each side for itself, and the number for the badge of those that are open.

use protocol::{
    Result, check,
    extension::{
        ClearGroupApplicationBadgeCountReq, ClearGroupApplicationBadgeCountResp,
        DeleteGroupRequestsFromUserReq, DeleteGroupRequestsFromUserResp, DeleteGroupRequestsToGroupReq,
        DeleteGroupRequestsToGroupResp, GetGroupApplicationBadgeCountReq, GetGroupApplicationBadgeCountResp,
    },
    lists,
};
use rpc::Context;

use crate::{Groups, Standing};

impl Groups {
    pub(crate) async fn forget_sent_requests(
        &self,
        context: &Context,
        mut request: DeleteGroupRequestsFromUserReq,
    ) -> Result<DeleteGroupRequestsFromUserResp> {
        let user = &request.user_id;
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        lists::distinct_some("groupIDs", &mut request.group_ids, protocol::bounds::ITEMS)?;
        self.store.hide_group_requests_from(user, &request.group_ids).await?;
        Ok(DeleteGroupRequestsFromUserResp {})
    }

    pub(crate) async fn forget_received_requests(
        &self,
        context: &Context,
        mut request: DeleteGroupRequestsToGroupReq,
    ) -> Result<DeleteGroupRequestsToGroupResp> {
        let group = &request.group_id;
        check::non_empty("groupID", group)?;
        lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        self.existing(group).await?;
        self.require(context, group, Standing::Administrator).await?;
        self.store.hide_group_requests_to(group, &request.user_ids).await?;
        Ok(DeleteGroupRequestsToGroupResp {})
    }

    pub(crate) async fn request_badge(
        &self,
        context: &Context,
        request: GetGroupApplicationBadgeCountReq,
    ) -> Result<GetGroupApplicationBadgeCountResp> {
        let user = &request.user_id;
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        let (groups, since) = (self.administered(user).await?, self.store.request_badge_cleared(user).await?);
        let count = self.store.unhandled_group_requests(&groups, since).await?;
        Ok(GetGroupApplicationBadgeCountResp { count: i64::try_from(count).unwrap_or(i64::MAX) })
    }

    /// The requests stay; those that are made from now on count.
    pub(crate) async fn clear_request_badge(
        &self,
        context: &Context,
        request: ClearGroupApplicationBadgeCountReq,
    ) -> Result<ClearGroupApplicationBadgeCountResp> {
        let user = &request.user_id;
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        self.store.clear_request_badge(user, self.clock.now_ms()).await?;
        Ok(ClearGroupApplicationBadgeCountResp {})
    }
}

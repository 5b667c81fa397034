//! Friend requests: asking, answering, listing (docs/protocol/relations.md).

use config::Hook;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    relation::{
        ApplyToAddFriendReq, ApplyToAddFriendResp, GetPaginationFriendsApplyFromReq,
        GetPaginationFriendsApplyFromResp, GetPaginationFriendsApplyToReq, GetPaginationFriendsApplyToResp,
        GetSelfUnhandledApplyCountReq, GetSelfUnhandledApplyCountResp, RespondFriendApplyReq,
        RespondFriendApplyResp,
    },
    sdkws::{FriendApplicationApprovedTips, FriendApplicationRejectedTips, FriendApplicationTips},
};
use rpc::Context;
use serde_json::json;
use store::{
    DateTime, Page,
    requests::{FriendRequest, Side},
    row_limits::Room,
    versions::Kind,
};

use crate::{Relations, convert, pair};

const ADD_SOURCE_APPLICATION: i32 = 2;
const AGREE: i32 = 1;
const REFUSE: i32 = -1;

impl Relations {
    pub(crate) async fn apply(
        &self,
        context: &Context,
        request: ApplyToAddFriendReq,
    ) -> Result<ApplyToAddFriendResp> {
        let (from, to) = (&request.from_user_id, &request.to_user_id);
        check::non_empty("fromUserID", from)?;
        check::non_empty("toUserID", to)?;
        context.require_self("fromUserID", from)?;
        check::at_most("reqMsg", &request.req_msg, protocol::bounds::NOTE_BYTES)?;
        check::at_most("ex", &request.ex, protocol::bounds::TEXT_BYTES)?;
        if from == to {
            return Err(ErrorCode::AddYourself.with("toUserID is the applicant"));
        }
        let body = json!({ "fromUserID": from, "toUserID": to, "reqMsg": request.req_msg, "ex": request.ex });
        self.ask(context, Hook::BeforeAddFriend, body).await?;
        let applicant = self.registered(from).await?;
        let target = self.registered(to).await?;
        if self.store.is_friend(from, to).await? && self.store.is_friend(to, from).await? {
            return Err(ErrorCode::RelationshipExists.with("they are already friends"));
        }
        if self.store.friend_request(from, to).await?.is_none_or(|known| known.handle_result != 0) {
            self.store.check_room(Room::RequestsSent, from, 1).await?;
            self.store.check_room(Room::RequestsReceived, to, 1).await?;
        }
        let row = FriendRequest {
            from_user_id: from.clone(),
            to_user_id: to.clone(),
            handle_result: 0,
            req_msg: request.req_msg.clone(),
            create_time: self.now(),
            handler_user_id: String::new(),
            handle_msg: String::new(),
            handle_time: DateTime::from_millis(0),
            ex: request.ex.clone(),
        };
        self.store.put_friend_request(&row).await?;
        let tips = FriendApplicationTips {
            from_to_user_id: pair(from, to),
            request: Some(convert::request(&row, Some(&applicant), Some(&target))),
        };
        notification::tell(&self.peers, context, from, To::User(to), kind::FRIEND_APPLIED, &tips).await;
        let body = json!({ "fromUserID": from, "toUserID": to, "reqMsg": request.req_msg });
        self.webhooks.after(context, Hook::AfterAddFriend, body).await;
        Ok(ApplyToAddFriendResp {})
    }

    pub(crate) async fn respond(
        &self,
        context: &Context,
        request: RespondFriendApplyReq,
    ) -> Result<RespondFriendApplyResp> {
        let (from, to) = (&request.from_user_id, &request.to_user_id);
        check::non_empty("fromUserID", from)?;
        check::non_empty("toUserID", to)?;
        context.require_self("toUserID", to)?;
        check::at_most("handleMsg", &request.handle_msg, protocol::bounds::NOTE_BYTES)?;
        if ![AGREE, REFUSE].contains(&request.handle_result) {
            return Err(Error::args("handleResult must be 1 (agree) or -1 (refuse)"));
        }
        if self.store.friend_request(from, to).await?.is_none() {
            return Err(ErrorCode::RecordNotFound.with(format!("there is no request from {from} to {to}")));
        }
        let agreement = json!({
            "fromUserID": from, "blackUserID": to, "HandleResult": request.handle_result, "HandleMsg": request.handle_msg,
        });
        if request.handle_result == AGREE {
            self.ask(context, Hook::BeforeAddFriendAgree, agreement.clone()).await?;
            // Friends first: should this die before the request is closed, agreeing again finishes it.
            if self.store.friend_request(from, to).await?.is_some_and(|row| row.handle_result != 0) {
                return Err(Error::args("the request has already been handled"));
            }
            for (owner, friend) in [(to, from), (from, to)] {
                if !self.store.is_friend(owner, friend).await? {
                    self.store.check_room(Room::Friends, owner, 1).await?;
                }
            }
            let pairs = [(from.clone(), to.clone())];
            self.store.make_friends(&pairs, ADD_SOURCE_APPLICATION, context.user_id(), self.now()).await?;
            self.friends_changed(&[from, to]).await;
        }
        if !self
            .store
            .answer_friend_request(from, to, request.handle_result, &request.handle_msg, self.now())
            .await?
        {
            return Err(ErrorCode::FriendRequestHandled.with("the request has already been handled"));
        }
        let answered = self.store.friend_request(from, to).await?;
        let row = convert::requests(&self.store, answered.into_iter().collect()).await?.pop();
        if request.handle_result == AGREE {
            self.store.answer_friend_request(to, from, AGREE, "", self.now()).await?;
            let version = self.store.version(Kind::Friend, from).await?;
            let tips = FriendApplicationApprovedTips {
                from_to_user_id: pair(from, to),
                handle_msg: request.handle_msg,
                friend_version: version.number(),
                friend_version_id: version.id(),
                request: row,
            };
            notification::tell(&self.peers, context, to, To::User(from), kind::FRIEND_APPROVED, &tips).await;
        } else {
            let tips = FriendApplicationRejectedTips {
                from_to_user_id: pair(from, to),
                handle_msg: request.handle_msg,
                request: row,
            };
            notification::tell(&self.peers, context, to, To::User(from), kind::FRIEND_REJECTED, &tips).await;
        }
        if request.handle_result == AGREE {
            self.webhooks.after(context, Hook::AfterAddFriendAgree, agreement).await;
        }
        Ok(RespondFriendApplyResp {})
    }

    pub(crate) async fn requests_to(
        &self,
        context: &Context,
        request: GetPaginationFriendsApplyToReq,
    ) -> Result<GetPaginationFriendsApplyToResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (rows, total) =
            self.store.friend_request_page(Side::To, &request.user_id, &request.handle_results, page).await?;
        let friend_requests = convert::requests(&self.store, rows).await?;
        Ok(GetPaginationFriendsApplyToResp {
            friend_requests,
            total: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    pub(crate) async fn requests_from(
        &self,
        context: &Context,
        request: GetPaginationFriendsApplyFromReq,
    ) -> Result<GetPaginationFriendsApplyFromResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (rows, total) = self
            .store
            .friend_request_page(Side::From, &request.user_id, &request.handle_results, page)
            .await?;
        let friend_requests = convert::requests(&self.store, rows).await?;
        Ok(GetPaginationFriendsApplyFromResp {
            friend_requests,
            total: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    pub(crate) async fn unhandled_count(
        &self,
        context: &Context,
        request: GetSelfUnhandledApplyCountReq,
    ) -> Result<GetSelfUnhandledApplyCountResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let count = self.store.unhandled_friend_requests(&request.user_id, request.time).await?;
        Ok(GetSelfUnhandledApplyCountResp { count: i64::try_from(count).unwrap_or(i64::MAX) })
    }
}

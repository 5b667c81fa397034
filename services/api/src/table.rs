//! The route table.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    response::Response,
    routing::{MethodRouter, get, post},
};
use prost::{Message, Name};
use protocol::{
    Error, Request, Result, auth, conversation, extension, go_json, group, jssdk as jssdk_types, msg,
    relation, sdkws, third, user,
};
use rpc::Context;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Api, admin_login, answers, audit, envelope, jssdk, objects, openapi, operations, required, send_msg,
    status,
};

/// Whether a route looks at the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The token header is not looked at.
    Open,
    /// A good token; the service decides what it may.
    Token,
}

/// What a call takes of its user's budget.
pub(crate) struct Cost<Req> {
    /// Before it is looked at: what the dearest call of the route costs, one for most.
    fixed: u32,
    /// One more for every so many…
    per: Option<u32>,
    /// … of these.
    items: fn(&Req) -> usize,
}

impl<Req> Clone for Cost<Req> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Req> Copy for Cost<Req> {}

impl<Req> Cost<Req> {
    const ONE: Self = Self { fixed: 1, per: None, items: |_| 0 };

    fn by_size(&self, request: &Req) -> u32 {
        let items = u32::try_from((self.items)(request)).unwrap_or(u32::MAX);
        self.per.map_or(0, |per| items / per.max(1))
    }
}

pub(crate) fn parse<Req: DeserializeOwned>(body: &[u8]) -> Result<Req> {
    go_json::from_slice(body).map_err(|error| Error::args(format!("request body: {error}")))
}

/// The routes, and the types of those whose bodies are messages.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) router: Router<Api>,
    /// By path: full names of request and response.
    pub(crate) types: BTreeMap<&'static str, [String; 2]>,
    /// Routes whose token is not looked at.
    pub(crate) open: BTreeSet<&'static str>,
    /// What routes cost that cost more than one.
    pub(crate) costs: BTreeMap<&'static str, u32>,
    /// Of how many items of a list routes cost one more.
    pub(crate) costs_by_size: BTreeMap<&'static str, u32>,
}

impl Table {
    /// A route that is an RPC: JSON in, the call, JSON out.
    fn rpc<R>(mut self, path: &'static str, access: Access, cost: Cost<R>) -> Self
    where
        R: Request + DeserializeOwned,
        R::Response: Serialize,
    {
        if access == Access::Open {
            self.open.insert(path);
        }
        self = self.costs(path, cost.fixed);
        if let Some(per) = cost.per {
            self.costs_by_size.insert(path, per);
        }
        let list = required::list(path);
        let handler = async move |State(api): State<Api>,
                                  Extension(context): Extension<Context>,
                                  body: Bytes|
                    -> Response {
            let answer = async {
                let request: R = parse(&body)?;
                required::check(&body, list)?;
                api.callers.pay(&context, cost.by_size(&request))?;
                let request = request.encode_to_vec().into();
                let encoded = api.peers.call_encoded::<R>(&context, request).await?;
                let held = answers::room(&api.budgets.answers, encoded.len()).await?;
                let answer = R::Response::decode(encoded).map_err(|error| {
                    Error::internal(format!("{} returned an invalid response: {error}", R::METHOD))
                })?;
                Ok::<_, Error>((answer, held))
            };
            let (answer, held) = match answer.await {
                Ok((answer, held)) => (Ok(answer), held),
                Err(error) => (Err(error), None),
            };
            let code = answer.as_ref().err().map_or(0, |error| error.code.number());
            audit::note(&context, path, &body, code);
            answers::until_sent(envelope::answer_of_message(answer), held)
        };
        self.typed::<R, R::Response>(path, post(handler))
    }

    /// The base cost of a route.
    fn costs(mut self, path: &'static str, cost: u32) -> Self {
        if cost > 1 {
            self.costs.insert(path, cost);
        }
        self
    }

    /// The token of this path is not looked at.
    fn open(mut self, path: &'static str) -> Self {
        self.open.insert(path);
        self
    }

    /// A route whose bodies are messages.
    fn typed<Req: Name, Resp: Name>(mut self, path: &'static str, handler: MethodRouter<Api>) -> Self {
        self.types.insert(path, [Req::full_name(), Resp::full_name()]);
        self.route(path, handler)
    }

    /// Any other route; `openapi` contains hand-written descriptions of its bodies.
    fn route(mut self, path: &'static str, handler: MethodRouter<Api>) -> Self {
        self.router = self.router.route(path, handler);
        self
    }
}

macro_rules! routes {
    ($table:ident: $($path:literal => $request:ty
        $(, costs $cost:literal)? $(, every $per:literal of $list:ident)?;)*) => {
        $(
            #[allow(unused_mut, unused_assignments)]
            let cost = {
                let mut cost = Cost::<$request>::ONE;
                $(cost.fixed = $cost;)?
                $(cost.per = Some($per); cost.items = |request| request.$list.len();)?
                cost
            };
            let $table = $table.rpc::<$request>($path, Access::Token, cost);
        )*
    };
}

pub(crate) fn routes() -> Table {
    let table = Table::default()
        .typed::<auth::GetAdminTokenReq, auth::GetAdminTokenResp>(
            "/auth/get_admin_token",
            post(admin_login::handle),
        )
        .open("/auth/get_admin_token")
        .rpc::<auth::ParseTokenReq>("/auth/parse_token", Access::Open, Cost::ONE)
        .route("/msg/send_msg", post(send_msg::handle))
        .route("/msg/batch_send_msg", post(send_msg::batch))
        .route("/msg/send_business_notification", post(send_msg::business))
        .route("/msg/send_simple_msg", post(send_msg::simple))
        .route("/user/get_users_online_status", post(status::users_online))
        .route("/user/get_users_online_token_detail", post(status::token_detail))
        .typed::<jssdk_types::GetConversationsReq, jssdk_types::GetConversationsResp>(
            "/jssdk/get_conversations",
            post(jssdk::conversations),
        )
        .typed::<jssdk_types::GetActiveConversationsReq, jssdk_types::GetActiveConversationsResp>(
            "/jssdk/get_active_conversations",
            post(jssdk::active),
        )
        .costs("/jssdk/get_conversations", 10)
        .costs("/jssdk/get_active_conversations", 25)
        .route("/prometheus_discovery/{name}", get(operations::discovery))
        .route("/object/{*name}", get(objects::redirect))
        .typed::<third::InitiateMultipartUploadReq, third::InitiateMultipartUploadResp>(
            "/object/initiate_multipart_upload",
            objects::with_prefix::<third::InitiateMultipartUploadReq>(|request, prefix| {
                request.url_prefix = prefix
            }),
        )
        .typed::<third::CompleteMultipartUploadReq, third::CompleteMultipartUploadResp>(
            "/object/complete_multipart_upload",
            objects::with_prefix::<third::CompleteMultipartUploadReq>(|request, prefix| {
                request.url_prefix = prefix
            }),
        )
        .typed::<third::CompleteFormDataReq, third::CompleteFormDataResp>(
            "/object/complete_form_data",
            objects::with_prefix::<third::CompleteFormDataReq>(|request, prefix| request.url_prefix = prefix),
        )
        .route("/third/prometheus", get(operations::dashboards))
        .route("/config/get_config_list", post(operations::config_list))
        .route("/config/get_config", post(operations::config))
        .route("/config/get_enable_config_manager", post(operations::config_manager))
        .route("/config/set_config", post(operations::declared_elsewhere))
        .route("/config/reset_config", post(operations::declared_elsewhere))
        .route("/config/set_enable_config_manager", post(operations::declared_elsewhere))
        .route("/openapi.json", get(openapi::document))
        .route("/restart", post(operations::declared_elsewhere));
    routes! { table:
        "/auth/get_user_token" => auth::GetUserTokenReq;
        "/auth/force_logout" => auth::ForceLogoutReq;

        "/user/user_register" => user::UserRegisterReq;
        "/user/update_user_info" => user::UpdateUserInfoReq, costs 25;
        "/user/update_user_info_ex" => user::UpdateUserInfoExReq, costs 25;
        "/user/set_global_msg_recv_opt" => user::SetGlobalRecvMessageOptReq;
        "/user/get_users_info" => user::GetDesignateUsersReq, every 10 of user_i_ds;
        "/user/get_all_users_uid" => user::GetAllUserIdReq;
        "/user/account_check" => user::AccountCheckReq;
        "/user/get_users" => user::GetPaginationUsersReq;
        "/user/subscribe_users_status" => user::SubscribeOrCancelUsersStatusReq, every 10 of user_i_ds;
        "/user/get_subscribe_users_status" => user::GetSubscribeUsersStatusReq;
        "/user/process_user_command_add" => user::ProcessUserCommandAddReq;
        "/user/process_user_command_delete" => user::ProcessUserCommandDeleteReq;
        "/user/process_user_command_update" => user::ProcessUserCommandUpdateReq;
        "/user/process_user_command_get" => user::ProcessUserCommandGetReq;
        "/user/process_user_command_get_all" => user::ProcessUserCommandGetAllReq, costs 5;
        "/user/add_notification_account" => user::AddNotificationAccountReq;
        "/user/update_notification_account" => user::UpdateNotificationAccountInfoReq;
        "/user/search_notification_account" => user::SearchNotificationAccountReq;
        "/user/get_user_client_config" => user::GetUserClientConfigReq;
        "/user/set_user_client_config" => user::SetUserClientConfigReq;
        "/user/del_user_client_config" => user::DelUserClientConfigReq;
        "/user/page_user_client_config" => user::PageUserClientConfigReq;
        "/user/unregister_user" => extension::UnregisterUserReq;
        "/user/get_users_status" => user::GetUserStatusReq, every 10 of user_i_ds;

        "/friend/add_friend" => relation::ApplyToAddFriendReq;
        "/friend/add_friend_response" => relation::RespondFriendApplyReq;
        "/friend/delete_friend" => relation::DeleteFriendReq;
        "/friend/import_friend" => relation::ImportFriendReq;
        "/friend/is_friend" => relation::IsFriendReq;
        "/friend/update_friends" => relation::UpdateFriendsReq, every 10 of friend_user_i_ds;
        "/friend/set_friend_remark" => relation::SetFriendRemarkReq;
        "/friend/get_friend_list" => relation::GetPaginationFriendsReq, costs 5;
        "/friend/get_designated_friends" => relation::GetDesignatedFriendsReq, every 10 of friend_user_i_ds;
        "/friend/get_friend_id" => relation::GetFriendIDsReq, costs 10;
        "/friend/get_incremental_friends" => relation::GetIncrementalFriendsReq, costs 5;
        "/friend/get_full_friend_user_ids" => relation::GetFullFriendUserIDsReq, costs 10;
        "/friend/get_friend_apply_list" => relation::GetPaginationFriendsApplyToReq;
        "/friend/get_self_friend_apply_list" => relation::GetPaginationFriendsApplyFromReq;
        "/friend/get_self_unhandled_apply_count" => relation::GetSelfUnhandledApplyCountReq;
        "/friend/add_black" => relation::AddBlackReq;
        "/friend/remove_black" => relation::RemoveBlackReq;
        "/friend/get_black_list" => relation::GetPaginationBlacksReq, costs 5;
        "/friend/get_designated_friend_apply" => relation::GetDesignatedFriendsApplyReq;
        "/friend/get_specified_blacks" => relation::GetSpecifiedBlacksReq, every 10 of user_id_list;
        "/friend/get_incremental_blacks" => relation::GetIncrementalBlacksReq;
        "/friend/get_specified_friends_info" => relation::GetSpecifiedFriendsInfoReq, every 10 of user_id_list;

        "/group/create_group" => group::CreateGroupReq, costs 10, every 5 of member_user_i_ds;
        "/group/set_group_info_ex" => group::SetGroupInfoExReq, costs 10;
        "/group/set_group_info" => group::SetGroupInfoReq, costs 10;
        "/group/mute_group_member" => group::MuteGroupMemberReq;
        "/group/cancel_mute_group_member" => group::CancelMuteGroupMemberReq;
        "/group/mute_group" => group::MuteGroupReq;
        "/group/cancel_mute_group" => group::CancelMuteGroupReq;
        "/group/set_group_member_info" => group::SetGroupMemberInfoReq, every 1 of members;
        "/group/get_group_users_req_application_list" => group::GetGroupUsersReqApplicationListReq, every 10 of user_i_ds;
        "/group/get_specified_user_group_request_info" => group::GetSpecifiedUserGroupRequestInfoReq;
        "/group/get_group_abstract_info" => group::GetGroupAbstractInfoReq, every 1 of group_i_ds;
        "/group/get_groups" => group::GetGroupsReq;
        "/group/get_group_member_user_id" => group::GetGroupMemberUserIDsReq, costs 25;
        "/group/join_group" => group::JoinGroupReq;
        "/group/quit_group" => group::QuitGroupReq;
        "/group/kick_group" => group::KickGroupMemberReq, every 5 of kicked_user_i_ds;
        "/group/invite_user_to_group" => group::InviteUserToGroupReq, every 5 of invited_user_i_ds;
        "/group/dismiss_group" => group::DismissGroupReq, costs 25;
        "/group/transfer_group" => group::TransferGroupOwnerReq, costs 10;
        "/group/group_application_response" => group::GroupApplicationResponseReq;
        "/group/get_groups_info" => group::GetGroupsInfoReq, every 10 of group_i_ds;
        "/group/get_group_members_info" => group::GetGroupMembersInfoReq, every 10 of user_i_ds;
        "/group/get_group_member_list" => group::GetGroupMemberListReq, costs 5;
        "/group/get_joined_group_list" => group::GetJoinedGroupListReq, costs 5;
        "/group/get_recv_group_applicationList" => group::GetGroupApplicationListReq;
        "/group/get_user_req_group_applicationList" => group::GetUserReqApplicationListReq;
        "/group/get_group_application_unhandled_count" => group::GetGroupApplicationUnhandledCountReq;
        "/group/get_incremental_join_groups" => group::GetIncrementalJoinGroupReq, costs 5;
        "/group/get_incremental_group_members" => group::GetIncrementalGroupMemberReq, costs 5;
        "/group/get_incremental_group_members_batch" => group::BatchGetIncrementalGroupMemberReq, every 1 of req_list;
        "/group/get_full_group_member_user_ids" => group::GetFullGroupMemberUserIDsReq, costs 25;
        "/group/get_full_join_group_ids" => group::GetFullJoinGroupIDsReq, costs 5;

        "/conversation/get_sorted_conversation_list" => conversation::GetSortedConversationListReq, costs 25;
        "/conversation/delete_conversations" => conversation::DeleteConversationsReq, every 10 of conversation_i_ds;
        "/conversation/update_conversations_by_user" => conversation::UpdateConversationsByUserReq;
        "/conversation/get_conversation" => conversation::GetConversationReq;
        "/conversation/get_conversations" => conversation::GetConversationsReq, every 10 of conversation_i_ds;
        "/conversation/get_all_conversations" => conversation::GetAllConversationsReq, costs 25;
        "/conversation/get_owner_conversation" => conversation::GetOwnerConversationReq, costs 5;
        "/conversation/get_incremental_conversations" => conversation::GetIncrementalConversationReq, costs 5;
        "/conversation/get_full_conversation_ids" => conversation::GetFullOwnerConversationIDsReq, costs 10;
        "/conversation/set_conversations" => conversation::SetConversationsReq, every 5 of user_i_ds;
        "/conversation/get_pinned_conversation_ids" => conversation::GetPinnedConversationIDsReq;
        "/conversation/get_conversation_offline_push_user_ids" => conversation::GetConversationOfflinePushUserIDsReq, every 10 of user_i_ds;
        "/conversation/get_not_notify_conversation_ids" => conversation::GetNotNotifyConversationIDsReq;

        "/msg/search_msg" => msg::SearchMessageReq;
        "/msg/delete_msg_phsical_by_seq" => msg::DeleteMsgPhysicalBySeqReq;
        "/msg/delete_msg_physical" => msg::DeleteMsgPhysicalReq;
        "/msg/check_msg_is_send_success" => msg::GetSendMsgStatusReq;

        "/statistics/user/register" => user::UserRegisterCountReq;
        "/statistics/user/active" => msg::GetActiveUserReq;
        "/statistics/group/create" => group::GroupCreateCountReq;
        "/statistics/group/active" => msg::GetActiveGroupReq;

        "/object/part_limit" => third::PartLimitReq;
        "/object/part_size" => third::PartSizeReq;
        "/object/auth_sign" => third::AuthSignReq;
        "/object/access_url" => third::AccessUrlReq;
        "/object/initiate_form_data" => third::InitiateFormDataReq;

        "/third/logs/upload" => third::UploadLogsReq;
        "/third/logs/delete" => third::DeleteLogsReq;
        "/third/logs/search" => third::SearchLogsReq;

        "/msg/newest_seq" => sdkws::GetMaxSeqReq, costs 5;
        "/msg/pull_msg_by_seq" => sdkws::PullMessageBySeqsReq, every 5 of seq_ranges;
        "/msg/get_conversations_has_read_and_max_seq" => msg::GetConversationsHasReadAndMaxSeqReq, every 50 of conversation_i_ds;
        "/msg/mark_msgs_as_read" => msg::MarkMsgsAsReadReq, every 10 of seqs;
        "/msg/mark_conversation_as_read" => msg::MarkConversationAsReadReq;
        "/msg/set_conversation_has_read_seq" => msg::SetConversationHasReadSeqReq;
        "/msg/revoke_msg" => msg::RevokeMsgReq;
        "/msg/delete_msgs" => msg::DeleteMsgsReq, every 10 of seqs;
        "/msg/clear_conversation_msg" => msg::ClearConversationsMsgReq, every 5 of conversation_i_ds;
        "/msg/user_clear_all_msg" => msg::UserClearAllMsgReq, costs 25;
        "/msg/get_server_time" => msg::GetServerTimeReq;

        "/msg/edit_msg" => extension::EditMsgReq;
        "/msg/set_reaction" => extension::SetReactionReq;
        "/msg/get_reactions" => extension::GetReactionsReq, every 10 of seqs;
        "/msg/get_reaction_users" => extension::GetReactionUsersReq, costs 2;
        "/msg/get_group_msg_readers" => extension::GetGroupMsgReadersReq, costs 25;
        "/msg/search_own_msg" => extension::SearchOwnMsgReq, costs 20;

        "/third/fcm_update_token" => third::FcmUpdateTokenReq;
        "/third/set_app_badge" => third::SetAppBadgeReq;
        "/msg/modify_message" => extension::ModifyMessageReq;
        "/msg/mark_conversation_read" => extension::MarkConversationReadReq;
        "/msg/get_conversations_unread_count" => extension::GetConversationsUnreadCountReq, every 50 of conversation_i_ds;
        "/msg/clear_conversations_unread_count" => extension::ClearConversationsUnreadCountReq, every 5 of conversation_i_ds;
        "/msg/reset_conversation_unread" => extension::ResetConversationUnreadReq, every 5 of conversation_i_ds;
        "/friend/delete_friend_requests_from_user" => extension::DeleteFriendRequestsFromUserReq, every 10 of to_user_i_ds;
        "/friend/delete_friend_requests_to_user" => extension::DeleteFriendRequestsToUserReq, every 10 of from_user_i_ds;
        "/group/delete_group_requests_from_user" => extension::DeleteGroupRequestsFromUserReq, every 10 of group_i_ds;
        "/group/delete_group_requests_to_group" => extension::DeleteGroupRequestsToGroupReq, every 10 of user_i_ds;
        "/group/get_group_application_badge_count" => extension::GetGroupApplicationBadgeCountReq;
        "/group/clear_group_application_badge_count" => extension::ClearGroupApplicationBadgeCountReq;
        "/conversation/create_conversation_group" => extension::CreateConversationGroupReq;
        "/conversation/update_conversation_group" => extension::UpdateConversationGroupReq;
        "/conversation/delete_conversation_group" => extension::DeleteConversationGroupReq;
        "/conversation/get_conversation_groups" => extension::GetConversationGroupsReq;
        "/conversation/set_conversation_group_order" => extension::SetConversationGroupOrderReq;
        "/conversation/add_conversations_to_groups" => extension::AddConversationsToGroupsReq, every 10 of conversation_i_ds;
        "/conversation/remove_conversations_from_groups" => extension::RemoveConversationsFromGroupsReq, every 10 of conversation_i_ds;
        "/user/ban_user" => extension::BanUserReq;
        "/user/unban_user" => extension::UnbanUserReq;
        "/user/page_find_disable_users" => extension::PageFindDisableUsersReq;
    };
    table
}

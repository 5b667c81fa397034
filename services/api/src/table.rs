//! The route table.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    response::Response,
    routing::{MethodRouter, get, post},
};
use config::Service;
use prost::{Message, Name};
use protocol::{
    Error, Result, auth, conversation, extension, go_json, group, jssdk as jssdk_types, msg, relation, sdkws,
    third, user,
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
    fn rpc<Req, Resp>(
        mut self,
        path: &'static str,
        service: Service,
        method: &'static str,
        access: Access,
        cost: Cost<Req>,
    ) -> Self
    where
        Req: Message + Name + DeserializeOwned + 'static,
        Resp: Message + Name + Default + Serialize + 'static,
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
                let request: Req = parse(&body)?;
                required::check(&body, list)?;
                api.callers.pay(&context, cost.by_size(&request))?;
                let request = request.encode_to_vec().into();
                let encoded = api.peers.get(service).call_raw(&context, method, request).await?;
                let held = answers::room(&api.budgets.answers, encoded.len()).await?;
                let answer = Resp::decode(encoded).map_err(|error| {
                    Error::internal(format!("{method} returned an invalid response: {error}"))
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
        self.typed::<Req, Resp>(path, post(handler))
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
    ($table:ident: $($path:literal => $service:ident $method:literal $request:ty => $response:ty
        $(, costs $cost:literal)? $(, every $per:literal of $list:ident)?;)*) => {
        $(
            #[allow(unused_mut, unused_assignments)]
            let cost = {
                let mut cost = Cost::<$request>::ONE;
                $(cost.fixed = $cost;)?
                $(cost.per = Some($per); cost.items = |request| request.$list.len();)?
                cost
            };
            let $table = $table.rpc::<$request, $response>($path, Service::$service, $method, Access::Token, cost);
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
        .rpc::<auth::ParseTokenReq, auth::ParseTokenResp>(
            "/auth/parse_token",
            Service::Auth,
            "parseToken",
            Access::Open,
            Cost::ONE,
        )
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
            objects::with_prefix::<third::InitiateMultipartUploadReq, third::InitiateMultipartUploadResp>(
                "InitiateMultipartUpload",
                |request, prefix| request.url_prefix = prefix,
            ),
        )
        .typed::<third::CompleteMultipartUploadReq, third::CompleteMultipartUploadResp>(
            "/object/complete_multipart_upload",
            objects::with_prefix::<third::CompleteMultipartUploadReq, third::CompleteMultipartUploadResp>(
                "CompleteMultipartUpload",
                |request, prefix| request.url_prefix = prefix,
            ),
        )
        .typed::<third::CompleteFormDataReq, third::CompleteFormDataResp>(
            "/object/complete_form_data",
            objects::with_prefix::<third::CompleteFormDataReq, third::CompleteFormDataResp>(
                "CompleteFormData",
                |request, prefix| request.url_prefix = prefix,
            ),
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
        "/auth/get_user_token" => Auth "getUserToken" auth::GetUserTokenReq => auth::GetUserTokenResp;
        "/auth/force_logout" => Auth "forceLogout" auth::ForceLogoutReq => auth::ForceLogoutResp;

        "/user/user_register" => User "userRegister" user::UserRegisterReq => user::UserRegisterResp;
        "/user/update_user_info" => User "updateUserInfo" user::UpdateUserInfoReq => user::UpdateUserInfoResp, costs 25;
        "/user/update_user_info_ex" => User "updateUserInfoEx" user::UpdateUserInfoExReq => user::UpdateUserInfoExResp, costs 25;
        "/user/set_global_msg_recv_opt" => User "setGlobalRecvMessageOpt" user::SetGlobalRecvMessageOptReq => user::SetGlobalRecvMessageOptResp;
        "/user/get_users_info" => User "getDesignateUsers" user::GetDesignateUsersReq => user::GetDesignateUsersResp, every 10 of user_i_ds;
        "/user/get_all_users_uid" => User "getAllUserID" user::GetAllUserIdReq => user::GetAllUserIdResp;
        "/user/account_check" => User "accountCheck" user::AccountCheckReq => user::AccountCheckResp;
        "/user/get_users" => User "getPaginationUsers" user::GetPaginationUsersReq => user::GetPaginationUsersResp;
        "/user/subscribe_users_status" => User "subscribeOrCancelUsersStatus" user::SubscribeOrCancelUsersStatusReq => user::SubscribeOrCancelUsersStatusResp, every 10 of user_i_ds;
        "/user/get_subscribe_users_status" => User "getSubscribeUsersStatus" user::GetSubscribeUsersStatusReq => user::GetSubscribeUsersStatusResp;
        "/user/process_user_command_add" => User "processUserCommandAdd" user::ProcessUserCommandAddReq => user::ProcessUserCommandAddResp;
        "/user/process_user_command_delete" => User "processUserCommandDelete" user::ProcessUserCommandDeleteReq => user::ProcessUserCommandDeleteResp;
        "/user/process_user_command_update" => User "processUserCommandUpdate" user::ProcessUserCommandUpdateReq => user::ProcessUserCommandUpdateResp;
        "/user/process_user_command_get" => User "processUserCommandGet" user::ProcessUserCommandGetReq => user::ProcessUserCommandGetResp;
        "/user/process_user_command_get_all" => User "processUserCommandGetAll" user::ProcessUserCommandGetAllReq => user::ProcessUserCommandGetAllResp, costs 5;
        "/user/add_notification_account" => User "addNotificationAccount" user::AddNotificationAccountReq => user::AddNotificationAccountResp;
        "/user/update_notification_account" => User "updateNotificationAccountInfo" user::UpdateNotificationAccountInfoReq => user::UpdateNotificationAccountInfoResp;
        "/user/search_notification_account" => User "searchNotificationAccount" user::SearchNotificationAccountReq => user::SearchNotificationAccountResp;
        "/user/get_user_client_config" => User "getUserClientConfig" user::GetUserClientConfigReq => user::GetUserClientConfigResp;
        "/user/set_user_client_config" => User "setUserClientConfig" user::SetUserClientConfigReq => user::SetUserClientConfigResp;
        "/user/del_user_client_config" => User "delUserClientConfig" user::DelUserClientConfigReq => user::DelUserClientConfigResp;
        "/user/page_user_client_config" => User "pageUserClientConfig" user::PageUserClientConfigReq => user::PageUserClientConfigResp;
        "/user/unregister_user" => User "unregisterUser" extension::UnregisterUserReq => extension::UnregisterUserResp;
        "/user/get_users_status" => User "getUserStatus" user::GetUserStatusReq => user::GetUserStatusResp, every 10 of user_i_ds;

        "/friend/add_friend" => Relation "applyToAddFriend" relation::ApplyToAddFriendReq => relation::ApplyToAddFriendResp;
        "/friend/add_friend_response" => Relation "respondFriendApply" relation::RespondFriendApplyReq => relation::RespondFriendApplyResp;
        "/friend/delete_friend" => Relation "deleteFriend" relation::DeleteFriendReq => relation::DeleteFriendResp;
        "/friend/import_friend" => Relation "importFriends" relation::ImportFriendReq => relation::ImportFriendResp;
        "/friend/is_friend" => Relation "isFriend" relation::IsFriendReq => relation::IsFriendResp;
        "/friend/update_friends" => Relation "updateFriends" relation::UpdateFriendsReq => relation::UpdateFriendsResp, every 10 of friend_user_i_ds;
        "/friend/set_friend_remark" => Relation "setFriendRemark" relation::SetFriendRemarkReq => relation::SetFriendRemarkResp;
        "/friend/get_friend_list" => Relation "getPaginationFriends" relation::GetPaginationFriendsReq => relation::GetPaginationFriendsResp, costs 5;
        "/friend/get_designated_friends" => Relation "getDesignatedFriends" relation::GetDesignatedFriendsReq => relation::GetDesignatedFriendsResp, every 10 of friend_user_i_ds;
        "/friend/get_friend_id" => Relation "getFriendIDs" relation::GetFriendIDsReq => relation::GetFriendIDsResp, costs 10;
        "/friend/get_incremental_friends" => Relation "getIncrementalFriends" relation::GetIncrementalFriendsReq => relation::GetIncrementalFriendsResp, costs 5;
        "/friend/get_full_friend_user_ids" => Relation "getFullFriendUserIDs" relation::GetFullFriendUserIDsReq => relation::GetFullFriendUserIDsResp, costs 10;
        "/friend/get_friend_apply_list" => Relation "getPaginationFriendsApplyTo" relation::GetPaginationFriendsApplyToReq => relation::GetPaginationFriendsApplyToResp;
        "/friend/get_self_friend_apply_list" => Relation "getPaginationFriendsApplyFrom" relation::GetPaginationFriendsApplyFromReq => relation::GetPaginationFriendsApplyFromResp;
        "/friend/get_self_unhandled_apply_count" => Relation "getSelfUnhandledApplyCount" relation::GetSelfUnhandledApplyCountReq => relation::GetSelfUnhandledApplyCountResp;
        "/friend/add_black" => Relation "addBlack" relation::AddBlackReq => relation::AddBlackResp;
        "/friend/remove_black" => Relation "removeBlack" relation::RemoveBlackReq => relation::RemoveBlackResp;
        "/friend/get_black_list" => Relation "getPaginationBlacks" relation::GetPaginationBlacksReq => relation::GetPaginationBlacksResp, costs 5;
        "/friend/get_designated_friend_apply" => Relation "getDesignatedFriendsApply" relation::GetDesignatedFriendsApplyReq => relation::GetDesignatedFriendsApplyResp;
        "/friend/get_specified_blacks" => Relation "GetSpecifiedBlacks" relation::GetSpecifiedBlacksReq => relation::GetSpecifiedBlacksResp, every 10 of user_id_list;
        "/friend/get_incremental_blacks" => Relation "getIncrementalBlacks" relation::GetIncrementalBlacksReq => relation::GetIncrementalBlacksResp;
        "/friend/get_specified_friends_info" => Relation "GetSpecifiedFriendsInfo" relation::GetSpecifiedFriendsInfoReq => relation::GetSpecifiedFriendsInfoResp, every 10 of user_id_list;

        "/group/create_group" => Group "createGroup" group::CreateGroupReq => group::CreateGroupResp, costs 10, every 5 of member_user_i_ds;
        "/group/set_group_info_ex" => Group "setGroupInfoEx" group::SetGroupInfoExReq => group::SetGroupInfoExResp, costs 10;
        "/group/set_group_info" => Group "setGroupInfo" group::SetGroupInfoReq => group::SetGroupInfoResp, costs 10;
        "/group/mute_group_member" => Group "muteGroupMember" group::MuteGroupMemberReq => group::MuteGroupMemberResp;
        "/group/cancel_mute_group_member" => Group "cancelMuteGroupMember" group::CancelMuteGroupMemberReq => group::CancelMuteGroupMemberResp;
        "/group/mute_group" => Group "muteGroup" group::MuteGroupReq => group::MuteGroupResp;
        "/group/cancel_mute_group" => Group "cancelMuteGroup" group::CancelMuteGroupReq => group::CancelMuteGroupResp;
        "/group/set_group_member_info" => Group "setGroupMemberInfo" group::SetGroupMemberInfoReq => group::SetGroupMemberInfoResp, every 1 of members;
        "/group/get_group_users_req_application_list" => Group "getGroupUsersReqApplicationList" group::GetGroupUsersReqApplicationListReq => group::GetGroupUsersReqApplicationListResp, every 10 of user_i_ds;
        "/group/get_specified_user_group_request_info" => Group "getSpecifiedUserGroupRequestInfo" group::GetSpecifiedUserGroupRequestInfoReq => group::GetSpecifiedUserGroupRequestInfoResp;
        "/group/get_group_abstract_info" => Group "getGroupAbstractInfo" group::GetGroupAbstractInfoReq => group::GetGroupAbstractInfoResp, every 1 of group_i_ds;
        "/group/get_groups" => Group "getGroups" group::GetGroupsReq => group::GetGroupsResp;
        "/group/get_group_member_user_id" => Group "getGroupMemberUserIDs" group::GetGroupMemberUserIDsReq => group::GetGroupMemberUserIDsResp, costs 25;
        "/group/join_group" => Group "joinGroup" group::JoinGroupReq => group::JoinGroupResp;
        "/group/quit_group" => Group "quitGroup" group::QuitGroupReq => group::QuitGroupResp;
        "/group/kick_group" => Group "kickGroupMember" group::KickGroupMemberReq => group::KickGroupMemberResp, every 5 of kicked_user_i_ds;
        "/group/invite_user_to_group" => Group "inviteUserToGroup" group::InviteUserToGroupReq => group::InviteUserToGroupResp, every 5 of invited_user_i_ds;
        "/group/dismiss_group" => Group "dismissGroup" group::DismissGroupReq => group::DismissGroupResp, costs 25;
        "/group/transfer_group" => Group "transferGroupOwner" group::TransferGroupOwnerReq => group::TransferGroupOwnerResp, costs 10;
        "/group/group_application_response" => Group "groupApplicationResponse" group::GroupApplicationResponseReq => group::GroupApplicationResponseResp;
        "/group/get_groups_info" => Group "getGroupsInfo" group::GetGroupsInfoReq => group::GetGroupsInfoResp, every 10 of group_i_ds;
        "/group/get_group_members_info" => Group "getGroupMembersInfo" group::GetGroupMembersInfoReq => group::GetGroupMembersInfoResp, every 10 of user_i_ds;
        "/group/get_group_member_list" => Group "getGroupMemberList" group::GetGroupMemberListReq => group::GetGroupMemberListResp, costs 5;
        "/group/get_joined_group_list" => Group "getJoinedGroupList" group::GetJoinedGroupListReq => group::GetJoinedGroupListResp, costs 5;
        "/group/get_recv_group_applicationList" => Group "getGroupApplicationList" group::GetGroupApplicationListReq => group::GetGroupApplicationListResp;
        "/group/get_user_req_group_applicationList" => Group "getUserReqApplicationList" group::GetUserReqApplicationListReq => group::GetUserReqApplicationListResp;
        "/group/get_group_application_unhandled_count" => Group "getGroupApplicationUnhandledCount" group::GetGroupApplicationUnhandledCountReq => group::GetGroupApplicationUnhandledCountResp;
        "/group/get_incremental_join_groups" => Group "getIncrementalJoinGroup" group::GetIncrementalJoinGroupReq => group::GetIncrementalJoinGroupResp, costs 5;
        "/group/get_incremental_group_members" => Group "getIncrementalGroupMember" group::GetIncrementalGroupMemberReq => group::GetIncrementalGroupMemberResp, costs 5;
        "/group/get_incremental_group_members_batch" => Group "BatchGetIncrementalGroupMember" group::BatchGetIncrementalGroupMemberReq => group::BatchGetIncrementalGroupMemberResp, every 1 of req_list;
        "/group/get_full_group_member_user_ids" => Group "GetFullGroupMemberUserIDs" group::GetFullGroupMemberUserIDsReq => group::GetFullGroupMemberUserIDsResp, costs 25;
        "/group/get_full_join_group_ids" => Group "GetFullJoinGroupIDs" group::GetFullJoinGroupIDsReq => group::GetFullJoinGroupIDsResp, costs 5;

        "/conversation/get_sorted_conversation_list" => Conversation "GetSortedConversationList" conversation::GetSortedConversationListReq => conversation::GetSortedConversationListResp, costs 25;
        "/conversation/delete_conversations" => Conversation "DeleteConversations" conversation::DeleteConversationsReq => conversation::DeleteConversationsResp, every 10 of conversation_i_ds;
        "/conversation/update_conversations_by_user" => Conversation "UpdateConversationsByUser" conversation::UpdateConversationsByUserReq => conversation::UpdateConversationsByUserResp;
        "/conversation/get_conversation" => Conversation "GetConversation" conversation::GetConversationReq => conversation::GetConversationResp;
        "/conversation/get_conversations" => Conversation "GetConversations" conversation::GetConversationsReq => conversation::GetConversationsResp, every 10 of conversation_i_ds;
        "/conversation/get_all_conversations" => Conversation "GetAllConversations" conversation::GetAllConversationsReq => conversation::GetAllConversationsResp, costs 25;
        "/conversation/get_owner_conversation" => Conversation "GetOwnerConversation" conversation::GetOwnerConversationReq => conversation::GetOwnerConversationResp, costs 5;
        "/conversation/get_incremental_conversations" => Conversation "GetIncrementalConversation" conversation::GetIncrementalConversationReq => conversation::GetIncrementalConversationResp, costs 5;
        "/conversation/get_full_conversation_ids" => Conversation "GetFullOwnerConversationIDs" conversation::GetFullOwnerConversationIDsReq => conversation::GetFullOwnerConversationIDsResp, costs 10;
        "/conversation/set_conversations" => Conversation "SetConversations" conversation::SetConversationsReq => conversation::SetConversationsResp, every 5 of user_i_ds;
        "/conversation/get_pinned_conversation_ids" => Conversation "GetPinnedConversationIDs" conversation::GetPinnedConversationIDsReq => conversation::GetPinnedConversationIDsResp;
        "/conversation/get_conversation_offline_push_user_ids" => Conversation "GetConversationOfflinePushUserIDs" conversation::GetConversationOfflinePushUserIDsReq => conversation::GetConversationOfflinePushUserIDsResp, every 10 of user_i_ds;
        "/conversation/get_not_notify_conversation_ids" => Conversation "GetNotNotifyConversationIDs" conversation::GetNotNotifyConversationIDsReq => conversation::GetNotNotifyConversationIDsResp;

        "/msg/search_msg" => Msg "SearchMessage" msg::SearchMessageReq => msg::SearchMessageResp;
        "/msg/delete_msg_phsical_by_seq" => Msg "DeleteMsgPhysicalBySeq" msg::DeleteMsgPhysicalBySeqReq => msg::DeleteMsgPhysicalBySeqResp;
        "/msg/delete_msg_physical" => Msg "DeleteMsgPhysical" msg::DeleteMsgPhysicalReq => msg::DeleteMsgPhysicalResp;
        "/msg/check_msg_is_send_success" => Msg "GetSendMsgStatus" msg::GetSendMsgStatusReq => msg::GetSendMsgStatusResp;

        "/statistics/user/register" => User "userRegisterCount" user::UserRegisterCountReq => user::UserRegisterCountResp;
        "/statistics/user/active" => Msg "GetActiveUser" msg::GetActiveUserReq => msg::GetActiveUserResp;
        "/statistics/group/create" => Group "GroupCreateCount" group::GroupCreateCountReq => group::GroupCreateCountResp;
        "/statistics/group/active" => Msg "GetActiveGroup" msg::GetActiveGroupReq => msg::GetActiveGroupResp;

        "/object/part_limit" => Third "PartLimit" third::PartLimitReq => third::PartLimitResp;
        "/object/part_size" => Third "PartSize" third::PartSizeReq => third::PartSizeResp;
        "/object/auth_sign" => Third "AuthSign" third::AuthSignReq => third::AuthSignResp;
        "/object/access_url" => Third "AccessURL" third::AccessUrlReq => third::AccessUrlResp;
        "/object/initiate_form_data" => Third "InitiateFormData" third::InitiateFormDataReq => third::InitiateFormDataResp;

        "/third/logs/upload" => Third "UploadLogs" third::UploadLogsReq => third::UploadLogsResp;
        "/third/logs/delete" => Third "DeleteLogs" third::DeleteLogsReq => third::DeleteLogsResp;
        "/third/logs/search" => Third "SearchLogs" third::SearchLogsReq => third::SearchLogsResp;

        "/msg/newest_seq" => Msg "GetMaxSeq" sdkws::GetMaxSeqReq => sdkws::GetMaxSeqResp, costs 5;
        "/msg/pull_msg_by_seq" => Msg "PullMessageBySeqs" sdkws::PullMessageBySeqsReq => sdkws::PullMessageBySeqsResp, every 5 of seq_ranges;
        "/msg/get_conversations_has_read_and_max_seq" => Msg "GetConversationsHasReadAndMaxSeq" msg::GetConversationsHasReadAndMaxSeqReq => msg::GetConversationsHasReadAndMaxSeqResp, every 50 of conversation_i_ds;
        "/msg/mark_msgs_as_read" => Msg "MarkMsgsAsRead" msg::MarkMsgsAsReadReq => msg::MarkMsgsAsReadResp, every 10 of seqs;
        "/msg/mark_conversation_as_read" => Msg "MarkConversationAsRead" msg::MarkConversationAsReadReq => msg::MarkConversationAsReadResp;
        "/msg/set_conversation_has_read_seq" => Msg "SetConversationHasReadSeq" msg::SetConversationHasReadSeqReq => msg::SetConversationHasReadSeqResp;
        "/msg/revoke_msg" => Msg "RevokeMsg" msg::RevokeMsgReq => msg::RevokeMsgResp;
        "/msg/delete_msgs" => Msg "DeleteMsgs" msg::DeleteMsgsReq => msg::DeleteMsgsResp, every 10 of seqs;
        "/msg/clear_conversation_msg" => Msg "ClearConversationsMsg" msg::ClearConversationsMsgReq => msg::ClearConversationsMsgResp, every 5 of conversation_i_ds;
        "/msg/user_clear_all_msg" => Msg "UserClearAllMsg" msg::UserClearAllMsgReq => msg::UserClearAllMsgResp, costs 25;
        "/msg/get_server_time" => Msg "GetServerTime" msg::GetServerTimeReq => msg::GetServerTimeResp;

        "/msg/edit_msg" => Msg "EditMsg" extension::EditMsgReq => extension::EditMsgResp;
        "/msg/set_reaction" => Msg "SetReaction" extension::SetReactionReq => extension::SetReactionResp;
        "/msg/get_reactions" => Msg "GetReactions" extension::GetReactionsReq => extension::GetReactionsResp, every 10 of seqs;
        "/msg/get_reaction_users" => Msg "GetReactionUsers" extension::GetReactionUsersReq => extension::GetReactionUsersResp, costs 2;
        "/msg/get_group_msg_readers" => Msg "GetGroupMsgReaders" extension::GetGroupMsgReadersReq => extension::GetGroupMsgReadersResp, costs 25;
        "/msg/search_own_msg" => Msg "SearchOwnMsg" extension::SearchOwnMsgReq => extension::SearchOwnMsgResp, costs 20;

        "/msg/modify_message" => Msg "ModifyMessage" extension::ModifyMessageReq => extension::ModifyMessageResp;
        "/msg/mark_conversation_read" => Msg "MarkConversationRead" extension::MarkConversationReadReq => extension::MarkConversationReadResp;
        "/msg/get_conversations_unread_count" => Msg "GetConversationsUnreadCount" extension::GetConversationsUnreadCountReq => extension::GetConversationsUnreadCountResp, every 50 of conversation_i_ds;
        "/msg/clear_conversations_unread_count" => Msg "ClearConversationsUnreadCount" extension::ClearConversationsUnreadCountReq => extension::ClearConversationsUnreadCountResp, every 5 of conversation_i_ds;
        "/msg/reset_conversation_unread" => Msg "ResetConversationUnread" extension::ResetConversationUnreadReq => extension::ResetConversationUnreadResp, every 5 of conversation_i_ds;
        "/friend/delete_friend_requests_from_user" => Relation "deleteFriendRequestsFromUser" extension::DeleteFriendRequestsFromUserReq => extension::DeleteFriendRequestsFromUserResp, every 10 of to_user_i_ds;
        "/friend/delete_friend_requests_to_user" => Relation "deleteFriendRequestsToUser" extension::DeleteFriendRequestsToUserReq => extension::DeleteFriendRequestsToUserResp, every 10 of from_user_i_ds;
        "/group/delete_group_requests_from_user" => Group "deleteGroupRequestsFromUser" extension::DeleteGroupRequestsFromUserReq => extension::DeleteGroupRequestsFromUserResp, every 10 of group_i_ds;
        "/group/delete_group_requests_to_group" => Group "deleteGroupRequestsToGroup" extension::DeleteGroupRequestsToGroupReq => extension::DeleteGroupRequestsToGroupResp, every 10 of user_i_ds;
        "/group/get_group_application_badge_count" => Group "getGroupApplicationBadgeCount" extension::GetGroupApplicationBadgeCountReq => extension::GetGroupApplicationBadgeCountResp;
        "/group/clear_group_application_badge_count" => Group "clearGroupApplicationBadgeCount" extension::ClearGroupApplicationBadgeCountReq => extension::ClearGroupApplicationBadgeCountResp;
        "/conversation/create_conversation_group" => Conversation "CreateConversationGroup" extension::CreateConversationGroupReq => extension::CreateConversationGroupResp;
        "/conversation/update_conversation_group" => Conversation "UpdateConversationGroup" extension::UpdateConversationGroupReq => extension::UpdateConversationGroupResp;
        "/conversation/delete_conversation_group" => Conversation "DeleteConversationGroup" extension::DeleteConversationGroupReq => extension::DeleteConversationGroupResp;
        "/conversation/get_conversation_groups" => Conversation "GetConversationGroups" extension::GetConversationGroupsReq => extension::GetConversationGroupsResp;
        "/conversation/set_conversation_group_order" => Conversation "SetConversationGroupOrder" extension::SetConversationGroupOrderReq => extension::SetConversationGroupOrderResp;
        "/conversation/add_conversations_to_groups" => Conversation "AddConversationsToGroups" extension::AddConversationsToGroupsReq => extension::AddConversationsToGroupsResp, every 10 of conversation_i_ds;
        "/conversation/remove_conversations_from_groups" => Conversation "RemoveConversationsFromGroups" extension::RemoveConversationsFromGroupsReq => extension::RemoveConversationsFromGroupsResp, every 10 of conversation_i_ds;
        "/user/ban_user" => User "banUser" extension::BanUserReq => extension::BanUserResp;
        "/user/unban_user" => User "unbanUser" extension::UnbanUserReq => extension::UnbanUserResp;
        "/user/page_find_disable_users" => User "pageFindDisableUsers" extension::PageFindDisableUsersReq => extension::PageFindDisableUsersResp;

        "/third/fcm_update_token" => Third "FcmUpdateToken" third::FcmUpdateTokenReq => third::FcmUpdateTokenResp;
        "/third/set_app_badge" => Third "SetAppBadge" third::SetAppBadgeReq => third::SetAppBadgeResp;
    };
    table
}

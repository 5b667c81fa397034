//! The routes, one line each: path, who can call it, what it does, and its description in `/openapi.json`. `e2e/tests/lib/routes.mjs` reads
//! these lines too. Costs are requests of the caller's requests per second.

use protocol::{
    auth, conversation, extension, group, jssdk as jssdk_types, msg, relation, sdkws, third, user,
};

use crate::{
    admin_login, jssdk, objects, online_status,
    openapi::{self, bodies},
    operations,
    route::{Access, Does, Route, call, get, post},
    send_msg,
};

macro_rules! routes {
    ($($path:literal $access:ident => $does:expr, $description:literal;)*) => {
        vec![$(Does::route($does, $path, Access::$access, $description)),*]
    };
}

/// All routes.
pub(crate) fn all() -> Vec<Route> {
    routes! {
        "/user/user_register" Admin => call::<user::UserRegisterReq>().audited().needs("users"), "Create one or more users. Fails if any userID already exists.";
        "/user/update_user_info" User => call::<user::UpdateUserInfoReq>().audited().costs(25), "Deprecated profile update: plain-string fields, an empty string means \"leave unchanged\".";
        "/user/update_user_info_ex" User => call::<user::UpdateUserInfoExReq>().audited().costs(25), "Profile update with wrapper fields: absent/null means unchanged, present (even empty string) means set.";
        "/user/set_global_msg_recv_opt" User => call::<user::SetGlobalRecvMessageOptReq>().audited(), "Set the global do-not-disturb option of a user (0 receive, 1 do not receive, 2 receive without offline push).";
        "/user/get_users_info" User => call::<user::GetDesignateUsersReq>().needs("userIDs").every(10, |request| request.user_ids.len()), "Fetch profiles for a list of userIDs; unknown users are omitted.";
        "/user/get_all_users_uid" Admin => call::<user::GetAllUserIdReq>(), "Page through all userIDs.";
        "/user/account_check" Admin => call::<user::AccountCheckReq>().needs("checkUserIDs"), "Report for each userID whether it is registered.";
        "/user/get_users" Admin => call::<user::GetPaginationUsersReq>(), "Page through ordinary users (appMangerLevel 0 or 1), optionally filtered by userID and/or nickname.";
        "/user/get_users_online_status" Admin => post(online_status::users_online).described(bodies::users_online), "Aggregate live connections of the given users over all gateway instances. `token` is always empty: tokens allow impersonation.";
        "/user/get_users_online_token_detail" Admin => post(online_status::token_detail).described(bodies::platforms_online), "Per user, list the connected platforms and count the connections of each. `token` is always empty: tokens allow impersonation.";
        "/user/subscribe_users_status" User => call::<user::SubscribeOrCancelUsersStatusReq>().audited().needs("userIDs").every(10, |request| request.user_ids.len()), "Legacy presence subscription. The server accepts it and does nothing.";
        "/user/get_users_status" User => call::<user::GetUserStatusReq>().needs("userIDs").every(10, |request| request.user_ids.len()), "Read the stored presence of users (status 1 online / 0 offline, list of platform ids).";
        "/user/get_subscribe_users_status" User => call::<user::GetSubscribeUsersStatusReq>(), "Legacy; always answers an empty result.";
        "/user/process_user_command_add" User => call::<user::ProcessUserCommandAddReq>().audited(), "Store a per-user key/value style item identified by (userID, type, uuid).";
        "/user/process_user_command_delete" User => call::<user::ProcessUserCommandDeleteReq>().audited(), "Delete a stored item by (userID, type, uuid).";
        "/user/process_user_command_update" User => call::<user::ProcessUserCommandUpdateReq>().audited(), "Update value and/or ex of a stored item.";
        "/user/process_user_command_get" User => call::<user::ProcessUserCommandGetReq>(), "List stored items of one type.";
        "/user/process_user_command_get_all" User => call::<user::ProcessUserCommandGetAllReq>().costs(5), "List all stored items of the user.";
        "/user/add_notification_account" Admin => call::<user::AddNotificationAccountReq>().audited(), "Create a system account usable as sender of sessionType 4 messages.";
        "/user/update_notification_account" Admin => call::<user::UpdateNotificationAccountInfoReq>().audited(), "Change nickname and/or faceURL of a notification account (empty means unchanged).";
        "/user/search_notification_account" Admin => call::<user::SearchNotificationAccountReq>(), "Page notification accounts; keyword matches exact userID first, then nickname.";
        "/user/get_user_client_config" User => call::<user::GetUserClientConfigReq>(), "Read the key/value client configuration of a user (empty userID reads the global one).";
        "/user/set_user_client_config" Admin => call::<user::SetUserClientConfigReq>().audited(), "Upsert client-configuration entries; empty userID means global.";
        "/user/del_user_client_config" Admin => call::<user::DelUserClientConfigReq>().audited(), "Delete client-configuration keys.";
        "/user/page_user_client_config" Admin => call::<user::PageUserClientConfigReq>(), "Page client-configuration entries filtered by userID and key.";

        "/friend/delete_friend" User => call::<relation::DeleteFriendReq>().audited(), "Remove a friend from the owner side only (one-directional).";
        "/friend/get_friend_apply_list" User => call::<relation::GetPaginationFriendsApplyToReq>(), "Page friend requests received by the user, optionally filtered by handleResults.";
        "/friend/get_designated_friend_apply" User => call::<relation::GetDesignatedFriendsApplyReq>(), "Friend requests between two users, both directions.";
        "/friend/get_self_friend_apply_list" User => call::<relation::GetPaginationFriendsApplyFromReq>(), "Page friend requests sent by the user, optionally filtered by handleResults.";
        "/friend/get_friend_list" User => call::<relation::GetPaginationFriendsReq>().costs(5), "Page the friend list (pinned first, then by storage order).";
        "/friend/get_designated_friends" User => call::<relation::GetDesignatedFriendsReq>().needs("friendUserIDs").every(10, |request| request.friend_user_ids.len()), "Friend records for the given friend ids; missing ids produce an error 1004.";
        "/friend/add_friend" User => call::<relation::ApplyToAddFriendReq>().audited(), "Send a friend request.";
        "/friend/add_friend_response" User => call::<relation::RespondFriendApplyReq>().audited(), "Accept (handleResult 1) or refuse (-1) a received request.";
        "/friend/set_friend_remark" User => call::<relation::SetFriendRemarkReq>().audited(), "Set the remark of one friend.";
        "/friend/add_black" User => call::<relation::AddBlackReq>().audited(), "Block a user.";
        "/friend/get_black_list" User => call::<relation::GetPaginationBlacksReq>().costs(5), "Page the block list.";
        "/friend/get_specified_blacks" User => call::<relation::GetSpecifiedBlacksReq>().every(10, |request| request.user_id_list.len()), "Block-list entries for the given user ids.";
        "/friend/remove_black" User => call::<relation::RemoveBlackReq>().audited(), "Unblock a user.";
        "/friend/get_incremental_blacks" User => call::<relation::GetIncrementalBlacksReq>(), "Always refused (1001), because block lists have no versions: read them with /friend/get_black_list.";
        "/friend/import_friend" Admin => call::<relation::ImportFriendReq>().audited().needs("friendUserIDs"), "Create friendships in bulk without requests (addSource 1).";
        "/friend/is_friend" User => call::<relation::IsFriendReq>(), "Report for each direction whether the other user is in the friend list.";
        "/friend/get_friend_id" User => call::<relation::GetFriendIDsReq>().costs(10), "All friend userIDs of the user.";
        "/friend/get_specified_friends_info" User => call::<relation::GetSpecifiedFriendsInfoReq>().needs("userIDList").every(10, |request| request.user_id_list.len()), "For each user id: profile, friend record (or null), block record (or null).";
        "/friend/update_friends" User => call::<relation::UpdateFriendsReq>().audited().needs("friendUserIDs").every(10, |request| request.friend_user_ids.len()), "Set isPinned / remark / ex (wrapper fields) on several friends at once.";
        "/friend/get_incremental_friends" User => call::<relation::GetIncrementalFriendsReq>().costs(5), "Version-log based friend sync.";
        "/friend/get_full_friend_user_ids" User => call::<relation::GetFullFriendUserIDsReq>().costs(10), "Full list of friend ids with version; list omitted when idHash matches.";
        "/friend/get_self_unhandled_apply_count" User => call::<relation::GetSelfUnhandledApplyCountReq>(), "Count received, not yet handled friend requests newer than time (ms; 0 = all).";

        "/group/create_group" User => call::<group::CreateGroupReq>().audited().costs(10).every(5, |request| request.member_user_ids.len()), "Create a group with owner, admins and members.";
        "/group/set_group_info" User => call::<group::SetGroupInfoReq>().audited().costs(10), "Older group update: empty strings mean unchanged, numeric settings are wrappers.";
        "/group/set_group_info_ex" User => call::<group::SetGroupInfoExReq>().audited().costs(10), "Group update with wrappers (null = unchanged, value may be empty).";
        "/group/join_group" User => call::<group::JoinGroupReq>().audited(), "Apply to join (or join directly).";
        "/group/quit_group" User => call::<group::QuitGroupReq>().audited(), "Leave a group.";
        "/group/group_application_response" User => call::<group::GroupApplicationResponseReq>().audited(), "Accept (1) or refuse (-1) a join request identified by (groupID, fromUserID).";
        "/group/transfer_group" User => call::<group::TransferGroupOwnerReq>().audited().costs(10), "Hand the owner role to another member.";
        "/group/get_recv_group_applicationList" User => call::<group::GetGroupApplicationListReq>(), "Page join requests for groups the user manages (or for given groupIDs, each checked for owner/admin).";
        "/group/get_user_req_group_applicationList" User => call::<group::GetUserReqApplicationListReq>(), "Page join requests the user has sent.";
        "/group/get_group_users_req_application_list" User => call::<group::GetGroupUsersReqApplicationListReq>().needs("userIDs").every(10, |request| request.user_ids.len()), "Join requests of specific users for one group.";
        "/group/get_specified_user_group_request_info" User => call::<group::GetSpecifiedUserGroupRequestInfoReq>(), "Join request of one user for one group.";
        "/group/get_groups_info" User => call::<group::GetGroupsInfoReq>().needs("groupIDs").every(10, |request| request.group_ids.len()), "Group records by ids; unknown ids are omitted.";
        "/group/kick_group" User => call::<group::KickGroupMemberReq>().audited().needs("kickedUserIDs").every(5, |request| request.kicked_user_ids.len()), "Remove members.";
        "/group/get_group_members_info" User => call::<group::GetGroupMembersInfoReq>().needs("userIDs").every(10, |request| request.user_ids.len()), "Member records for given userIDs in one group (non-members are omitted).";
        "/group/get_group_member_list" User => call::<group::GetGroupMemberListReq>().costs(5), "Page members ordered by role (desc) then join time; keyword switches to a nickname search.";
        "/group/invite_user_to_group" User => call::<group::InviteUserToGroupReq>().audited().needs("invitedUserIDs").every(5, |request| request.invited_user_ids.len()), "Add users directly, or store join requests when needVerification is 1 and the caller is an ordinary member.";
        "/group/get_joined_group_list" User => call::<group::GetJoinedGroupListReq>().costs(5), "Page groups the user belongs to.";
        "/group/dismiss_group" User => call::<group::DismissGroupReq>().audited().costs(25), "Dismiss the group (status 2). deleteMember=true removes the member rows and emits no notification.";
        "/group/mute_group_member" User => call::<group::MuteGroupMemberReq>().audited(), "Mute one member for mutedSeconds.";
        "/group/cancel_mute_group_member" User => call::<group::CancelMuteGroupMemberReq>().audited(), "Unmute one member.";
        "/group/mute_group" User => call::<group::MuteGroupReq>().audited(), "Set group status to 3 (muted).";
        "/group/cancel_mute_group" User => call::<group::CancelMuteGroupReq>().audited(), "Set group status to 0.";
        "/group/set_group_member_info" User => call::<group::SetGroupMemberInfoReq>().audited().needs("members").every(1, |request| request.members.len()), "Update nickname/faceURL/roleLevel/ex (wrappers) of members.";
        "/group/get_group_abstract_info" User => call::<group::GetGroupAbstractInfoReq>().needs("groupIDs").every(1, |request| request.group_ids.len()), "Member count and member-list hash per group.";
        "/group/get_groups" Admin => call::<group::GetGroupsReq>(), "Page groups by (fuzzy) name, or one by id, with owner and member count.";
        "/group/get_group_member_user_id" User => call::<group::GetGroupMemberUserIDsReq>().costs(25), "All member userIDs of a group.";
        "/group/get_incremental_join_groups" User => call::<group::GetIncrementalJoinGroupReq>().costs(5), "Version-log based sync of joined groups.";
        "/group/get_incremental_group_members" User => call::<group::GetIncrementalGroupMemberReq>().costs(5), "Version-log based sync of one group's members.";
        "/group/get_incremental_group_members_batch" User => call::<group::BatchGetIncrementalGroupMemberReq>().every(1, |request| request.req_list.len()), "Same as above for several groups in one call.";
        "/group/get_full_group_member_user_ids" User => call::<group::GetFullGroupMemberUserIDsReq>().costs(25), "Full member id list with version; list omitted when idHash matches.";
        "/group/get_full_join_group_ids" User => call::<group::GetFullJoinGroupIDsReq>().costs(5), "Full list of joined group ids with version; list omitted when idHash matches.";
        "/group/get_group_application_unhandled_count" User => call::<group::GetGroupApplicationUnhandledCountReq>(), "Count unhandled join requests for groups the user manages, newer than time.";

        "/auth/get_admin_token" Open => post(admin_login::handle).messages::<auth::GetAdminTokenReq>(), "Issue an admin token (platform 10), valid for at most a day, against the API secret.";
        "/auth/get_user_token" Admin => call::<auth::GetUserTokenReq>().audited(), "Issue a token for (userID, platformID).";
        "/auth/parse_token" Open => call::<auth::ParseTokenReq>(), "Validate a token given in the body and return its claims.";
        "/auth/force_logout" Admin => call::<auth::ForceLogoutReq>().audited(), "Kick all connections of (userID, platformID) and mark all its tokens kicked.";

        "/third/prometheus" Open => get(operations::dashboards).answers(bodies::dashboards), "302 redirect to api.prometheus.grafanaURL. Through a proxy, for administrators only.";
        "/third/fcm_update_token" User => call::<third::FcmUpdateTokenReq>().audited(), "Store the FCM registration token of (account, platformID).";
        "/third/set_app_badge" User => call::<third::SetAppBadgeReq>().audited(), "Store the client unread badge counter used for iOS badges.";
        "/third/logs/upload" User => call::<third::UploadLogsReq>().audited(), "Register uploaded client log file URLs.";
        "/third/logs/delete" Admin => call::<third::DeleteLogsReq>().audited(), "Delete log records by id.";
        "/third/logs/search" Admin => call::<third::SearchLogsReq>(), "Page log records by keyword and time range (both 0 = since 2019).";

        "/object/part_limit" User => call::<third::PartLimitReq>(), "Storage engine multipart limits.";
        "/object/part_size" User => call::<third::PartSizeReq>(), "Part size the server would use for an object of the given size.";
        "/object/initiate_multipart_upload" User => post(objects::with_prefix::<third::InitiateMultipartUploadReq>).messages::<third::InitiateMultipartUploadReq>(), "Start an upload; answers an url directly when the content hash is already stored.";
        "/object/auth_sign" User => call::<third::AuthSignReq>(), "Signed part-upload requests for given part numbers.";
        "/object/complete_multipart_upload" User => post(objects::with_prefix::<third::CompleteMultipartUploadReq>).messages::<third::CompleteMultipartUploadReq>(), "Finish an upload; parts = md5 hex of every part in order.";
        "/object/access_url" User => call::<third::AccessUrlReq>(), "Signed download URL for a stored name; query may request an image thumbnail.";
        "/object/initiate_form_data" User => call::<third::InitiateFormDataReq>().audited(), "Signed browser form-post upload.";
        "/object/complete_form_data" User => post(objects::with_prefix::<third::CompleteFormDataReq>).messages::<third::CompleteFormDataReq>(), "Verify the form upload and register the object.";
        "/object/{*name}" Open => get(objects::redirect).answers(bodies::object_found).parameter(bodies::name_of_object), "302 redirect to a signed storage URL.";

        "/msg/newest_seq" User => call::<sdkws::GetMaxSeqReq>().costs(5), "Same as WebSocket 1001.";
        "/msg/search_msg" Admin => call::<msg::SearchMessageReq>(), "Search stored messages.";
        "/msg/send_msg" Admin => post(send_msg::handle).described(bodies::message), "Send one message on behalf of any user.";
        "/msg/send_business_notification" Admin => post(send_msg::business).described(bodies::business_notification), "Send a custom notification (contentType 2001).";
        "/msg/pull_msg_by_seq" User => call::<sdkws::PullMessageBySeqsReq>().every(5, |request| request.seq_ranges.len()), "Same as WebSocket 1002.";
        "/msg/revoke_msg" User => call::<msg::RevokeMsgReq>().audited(), "Revoke one message by (conversationID, seq).";
        "/msg/mark_msgs_as_read" User => call::<msg::MarkMsgsAsReadReq>().audited().needs("seqs").every(10, |request| request.seqs.len()), "Mark given seqs of a single chat read and advance hasReadSeq to the last element.";
        "/msg/mark_conversation_as_read" User => call::<msg::MarkConversationAsReadReq>().audited(), "Advance hasReadSeq (and mark single-chat messages read).";
        "/msg/get_conversations_has_read_and_max_seq" User => call::<msg::GetConversationsHasReadAndMaxSeqReq>().every(50, |request| request.conversation_ids.len()), "Same as WebSocket 1006.";
        "/msg/set_conversation_has_read_seq" User => call::<msg::SetConversationHasReadSeqReq>().audited(), "Raise hasReadSeq and notify self (2200).";
        "/msg/clear_conversation_msg" User => call::<msg::ClearConversationsMsgReq>().audited().needs("conversationIDs").every(5, |request| request.conversation_ids.len()), "Clear history of conversations for the user (or for everybody with deleteSyncOpt.isSyncOther).";
        "/msg/user_clear_all_msg" User => call::<msg::UserClearAllMsgReq>().audited().costs(25), "Clear history of all conversations of the user.";
        "/msg/delete_msgs" User => call::<msg::DeleteMsgsReq>().audited().needs("seqs").every(10, |request| request.seqs.len()), "Delete messages by seq for the user (or physically for everybody with deleteSyncOpt.isSyncOther).";
        "/msg/delete_msg_phsical_by_seq" Admin => call::<msg::DeleteMsgPhysicalBySeqReq>().audited(), "Physically delete messages by seq (path spelling is as in upstream).";
        "/msg/delete_msg_physical" Admin => call::<msg::DeleteMsgPhysicalReq>().audited().needs("conversationIDs"), "Physically delete messages older than `timestamp` seconds, up to the first younger one.";
        "/msg/batch_send_msg" Admin => post(send_msg::batch).described(bodies::batch), "Send the same message to many users (or to all).";
        "/msg/send_simple_msg" User => post(send_msg::simple).described(bodies::simple_message).parameter(bodies::key_of_chat), "Bot-style reply: markdown text into the conversation described by the key query parameter.";
        "/msg/check_msg_is_send_success" User => call::<msg::GetSendMsgStatusReq>(), "Status recorded by send_msg / send_simple_msg: 0 not exist, 1 sending, 2 success, 3 failed (only 2 is ever written).";
        "/msg/get_server_time" User => call::<msg::GetServerTimeReq>(), "Server time in ms.";

        "/conversation/get_sorted_conversation_list" User => call::<conversation::GetSortedConversationListReq>().costs(25), "Deprecated server-side sorted conversation list with last message and unread count.";
        "/conversation/get_all_conversations" User => call::<conversation::GetAllConversationsReq>().costs(25), "All conversations of the user.";
        "/conversation/get_conversation" User => call::<conversation::GetConversationReq>(), "One conversation.";
        "/conversation/get_conversations" User => call::<conversation::GetConversationsReq>().needs("conversationIDs").every(10, |request| request.conversation_ids.len()), "Conversations by ids (unknown ids are omitted).";
        "/conversation/set_conversations" User => call::<conversation::SetConversationsReq>().audited().needs("userIDs").every(5, |request| request.user_ids.len()), "Update conversation settings for the listed owners.";
        "/conversation/get_full_conversation_ids" User => call::<conversation::GetFullOwnerConversationIDsReq>().costs(10), "Full list of conversation ids with version; list omitted when idHash matches.";
        "/conversation/get_incremental_conversations" User => call::<conversation::GetIncrementalConversationReq>().costs(5), "Version-log based conversation sync.";
        "/conversation/get_owner_conversation" User => call::<conversation::GetOwnerConversationReq>().costs(5), "Page all conversations of the user.";
        "/conversation/get_conversation_offline_push_user_ids" User => call::<conversation::GetConversationOfflinePushUserIDsReq>().every(10, |request| request.user_ids.len()), "Returns which of the users in userIDs get offline pushes for this conversation: those whose recvMsgOpt there is 0.";
        "/conversation/get_not_notify_conversation_ids" User => call::<conversation::GetNotNotifyConversationIDsReq>(), "Conversation ids whose recvMsgOpt is 2 (receive without notification).";
        "/conversation/get_pinned_conversation_ids" User => call::<conversation::GetPinnedConversationIDsReq>(), "Pinned conversation ids.";
        "/conversation/delete_conversations" User => call::<conversation::DeleteConversationsReq>().audited().every(10, |request| request.conversation_ids.len()), "Delete conversations by ids, or those idle for needDeleteTime days (exactly one of both).";
        "/conversation/update_conversations_by_user" User => call::<conversation::UpdateConversationsByUserReq>().audited(), "Set ex on all conversations of the user.";

        "/statistics/user/register" Admin => call::<user::UserRegisterCountReq>(), "Registration counters for a range (ms): total, before start, per-day counts.";
        "/statistics/user/active" Admin => call::<msg::GetActiveUserReq>(), "Users ranked by number of messages sent in a range.";
        "/statistics/group/create" Admin => call::<group::GroupCreateCountReq>(), "Group creation counters for a range.";
        "/statistics/group/active" Admin => call::<msg::GetActiveGroupReq>(), "Groups ranked by number of messages in a range.";

        "/jssdk/get_conversations" User => post(jssdk::conversations).typed::<jssdk_types::GetConversationsReq, jssdk_types::GetConversationsResp>().costs(10), "Conversations by ids with last message, max and read seq, user/friend/group info and unread sum.";
        "/jssdk/get_active_conversations" User => post(jssdk::active).typed::<jssdk_types::GetActiveConversationsReq, jssdk_types::GetActiveConversationsResp>().costs(25), "Most recently active conversations (pinned first) with the same details.";

        "/prometheus_discovery/api" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the api instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/user" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the user instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/group" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the group instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/msg" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the msg instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/friend" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the friend instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/conversation" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the conversation instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/third" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the third instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/auth" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the auth instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/push" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the push instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/msg_gateway" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the msg_gateway instances. Through a proxy, for administrators only.";
        "/prometheus_discovery/msg_transfer" Open => get(operations::discovery).answers(bodies::targets), "Prometheus HTTP service-discovery list for the msg_transfer instances. Through a proxy, for administrators only.";

        "/config/get_config_list" Admin => post(operations::config_list).described(bodies::config_list), "Where the configuration comes from, the server version and the names of config files: only config.yaml.";
        "/config/get_config" Admin => post(operations::config).described(bodies::config), "The running configuration as JSON text, without its secrets. `configName` must be config.yaml.";
        "/config/set_config" Admin => post(operations::declared_elsewhere).described(bodies::nothing), "Always refused (500): the configuration is declared in the OpenIMCluster object, or in config.yaml outside of Kubernetes.";
        "/config/reset_config" Admin => post(operations::declared_elsewhere).described(bodies::nothing), "Always refused (500): the configuration is declared in the OpenIMCluster object, or in config.yaml outside of Kubernetes.";
        "/config/set_enable_config_manager" Admin => post(operations::declared_elsewhere).described(bodies::nothing), "Always refused (500): the configuration is declared in the OpenIMCluster object, or in config.yaml outside of Kubernetes.";
        "/config/get_enable_config_manager" Admin => post(operations::config_manager).described(bodies::config_manager), "Whether there is a configuration center: always false.";

        "/restart" Admin => post(operations::declared_elsewhere).described(bodies::nothing), "Always refused (500): pods restart by themselves when the OpenIMCluster object changes.";

        "/msg/edit_msg" User => call::<extension::EditMsgReq>().audited().beyond(), "Replace the content of the caller's own message (text, at-text, custom, quote, advanced text, markdown). Everybody in the chat gets the stored business notification `openim.messageEdited`; pulls return the new content.";
        "/msg/set_reaction" User => call::<extension::SetReactionReq>().audited().beyond(), "React to a message, or remove the reaction. Online users in the chat get the business notification `openim.reaction`.";
        "/msg/get_reactions" User => call::<extension::GetReactionsReq>().every(10, |request| request.seqs.len()).beyond(), "Count the reactions to up to 100 messages of a conversation, the most frequent first.";
        "/msg/get_reaction_users" User => call::<extension::GetReactionUsersReq>().costs(2).beyond(), "Page the users who reacted to a message, the latest first.";
        "/msg/get_group_msg_readers" User => call::<extension::GetGroupMsgReadersReq>().costs(25).beyond(), "Page the members who have read a message of a group, or who have not; for its sender, and the owner and administrators of the group. Groups of up to 10 000 members.";
        "/user/unregister_user" Admin => call::<extension::UnregisterUserReq>().audited().needs("userIDs").beyond(), "Erase users permanently: sessions end at once, and the data is deleted in small steps. The answer, also that of a repeated call, has the progress of each user.";
        "/msg/search_own_msg" User => call::<extension::SearchOwnMsgReq>().costs(20).beyond(), "Search the caller's messages: the newest of each conversation first, up to 5000 read per call; `cursor` continues.";
        "/msg/append_stream_msg" User => call::<extension::AppendStreamMsgReq>().beyond(), "Append packets to a stream, which a message of contentType 143 has begun; `end` sends the whole text as a message. For its sender and for back ends. Repeating a call appends nothing twice; a gap, another text at a position and an ended stream are refused (1002).";
        "/msg/get_stream_msg" User => call::<extension::GetStreamMsgReq>().costs(2).beyond(), "Read the packets of a stream that has not ended, from a position on: for readers that missed some and for writers that start again.";
        "/msg/get_stream_msgs" User => call::<extension::GetStreamMsgsReq>().costs(2).beyond(), "List the streams of a conversation that have not ended, the oldest first.";
        "/msg/modify_message" User => call::<extension::ModifyMessageReq>().audited().beyond(), "Replace the content of a message if it is still `oldContent`; for its sender and for back ends. Everybody in the chat gets the stored business notification `openim.messageEdited`; pulls return the new content.";
        "/msg/mark_conversation_read" User => call::<extension::MarkConversationReadReq>().audited().beyond(), "Raise a user's read position in a conversation. It never goes back. Only the user's own devices are notified, once nothing is unread any more.";
        "/msg/get_conversations_unread_count" User => call::<extension::GetConversationsUnreadCountReq>().every(50, |request| request.conversation_ids.len()).beyond(), "Count the unread messages of a user in conversations.";
        "/msg/clear_conversations_unread_count" User => call::<extension::ClearConversationsUnreadCountReq>().audited().every(5, |request| request.conversation_ids.len()).beyond(), "Mark conversations as read to their end; the user's own devices are notified.";
        "/msg/reset_conversation_unread" User => call::<extension::ResetConversationUnreadReq>().audited().every(5, |request| request.conversation_ids.len()).beyond(), "Set how many messages of conversations count as unread, for imports and corrections. This is the only route that can set a read position back; devices see it with their next synchronization.";
        "/friend/delete_friend_requests_from_user" User => call::<extension::DeleteFriendRequestsFromUserReq>().audited().every(10, |request| request.to_user_ids.len()).beyond(), "Delete friend requests that a user sent, from that user's list: the receivers keep theirs.";
        "/friend/delete_friend_requests_to_user" User => call::<extension::DeleteFriendRequestsToUserReq>().audited().every(10, |request| request.from_user_ids.len()).beyond(), "Delete friend requests that a user received, from that user's list: the senders keep theirs.";
        "/group/delete_group_requests_from_user" User => call::<extension::DeleteGroupRequestsFromUserReq>().audited().every(10, |request| request.group_ids.len()).beyond(), "Delete join requests that a user sent, from that user's list: the groups keep theirs.";
        "/group/delete_group_requests_to_group" User => call::<extension::DeleteGroupRequestsToGroupReq>().audited().every(10, |request| request.user_ids.len()).beyond(), "Delete join requests that a group received, from the lists of its owner and administrators: the applicants keep theirs.";
        "/group/get_group_application_badge_count" User => call::<extension::GetGroupApplicationBadgeCountReq>().beyond(), "Count the open join requests to the groups that a user owns or administers, made since the count was cleared.";
        "/group/clear_group_application_badge_count" User => call::<extension::ClearGroupApplicationBadgeCountReq>().audited().beyond(), "Clear that count; the requests stay.";
        "/conversation/create_conversation_group" User => call::<extension::CreateConversationGroupReq>().audited().beyond(), "Create a group of conversations (a folder). The owner's devices get the business notification `openim.conversationGroup`, as for every change of folders. Up to 100 per user, with 10 000 conversations in all.";
        "/conversation/update_conversation_group" User => call::<extension::UpdateConversationGroupReq>().audited().beyond(), "Rename, hide or extend a folder; absent fields stay unchanged.";
        "/conversation/delete_conversation_group" User => call::<extension::DeleteConversationGroupReq>().audited().beyond(), "Delete a folder; its conversations stay.";
        "/conversation/get_conversation_groups" User => call::<extension::GetConversationGroupsReq>().beyond(), "All folders of a user, or those that changed after `maxVersion`. `full` is true if the answer has all of them, which it always has after a deletion.";
        "/conversation/set_conversation_group_order" User => call::<extension::SetConversationGroupOrderReq>().audited().beyond(), "Set the order of folders.";
        "/conversation/add_conversations_to_groups" User => call::<extension::AddConversationsToGroupsReq>().audited().every(10, |request| request.conversation_ids.len()).beyond(), "Add every listed conversation to every listed folder.";
        "/conversation/remove_conversations_from_groups" User => call::<extension::RemoveConversationsFromGroupsReq>().audited().every(10, |request| request.conversation_ids.len()).beyond(), "Remove every listed conversation from every listed folder.";
        "/user/ban_user" Admin => call::<extension::BanUserReq>().audited().beyond(), "Ban users: their sessions end at once, and they get no token and cannot send until the ban is lifted. Messages to them are stored.";
        "/user/unban_user" Admin => call::<extension::UnbanUserReq>().audited().beyond(), "Lift bans; the users need new tokens.";
        "/user/page_find_disable_users" Admin => call::<extension::PageFindDisableUsersReq>().beyond(), "Page the banned (`status` 1) and unregistered (2) users, or both (0).";
        "/openapi.json" Open => get(openapi::document).answers(bodies::document).beyond(), "This description of the API (OpenAPI 3.1).";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_route_is_in_two_places_and_none_lacks_a_description() {
        let routes = all();
        let paths: BTreeSet<&str> = routes.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), routes.len());
        assert_eq!(routes.iter().filter(|route| !route.beyond).count(), 154, "upstream has 154");
        for route in &routes {
            let (path, description) = (route.path, route.description);
            assert!(description.len() > 10 && description.ends_with(['.', ')']), "{path}: {description}");
        }
        // Elsewhere in this crate a path stands for itself only in what decides about that one route.
        let elsewhere =
            [include_str!("route.rs"), include_str!("openapi.rs"), include_str!("openapi/bodies.rs")];
        for path in paths.iter().filter(|path| path.len() > 1) {
            let quoted = format!("\"{path}\"");
            let code = |source: &'static str| source.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(elsewhere.iter().all(|source| !code(source).contains(&quoted)), "{path}");
        }
    }

    #[test]
    fn all_routes_fit_into_one_router() {
        let routes = all();
        let router = axum::Router::<crate::Api>::new();
        // A path that is taken by another panics here.
        let router = routes.into_iter().fold(router, |router, route| router.route(route.path, route.handler));
        assert!(router.has_routes());
    }

    #[test]
    fn the_protocol_lists_the_same_routes() {
        let page = include_str!("../../../docs/protocol/rest.md");
        let listed = |line: &str| {
            let path = line.strip_prefix("| `")?.split('`').next()?.trim_start_matches("GET ");
            path.starts_with('/').then(|| path.to_owned())
        };
        let listed: BTreeSet<String> = page.lines().filter_map(listed).collect();
        let upstream = all().into_iter().filter(|route| !route.beyond);
        let here: BTreeSet<String> = upstream.map(|route| route.path.replace("{*name}", "*name")).collect();
        assert_eq!(here, listed);
    }

    #[test]
    fn each_change_by_an_administrator_is_recorded() {
        let calls =
            all().into_iter().filter(|route| matches!(route.bodies, crate::route::Bodies::Messages(_)));
        let (changing, reading): (Vec<Route>, Vec<Route>) = calls.partition(|route| route.audited);
        for word in [
            "set", "add", "delete", "remove", "update", "mute", "kick", "revoke", "clear", "dismiss",
            "logout", "register",
        ] {
            let statistics = |path: &str| path.starts_with("/statistics/");
            let missed = reading
                .iter()
                .map(|route| route.path)
                .find(|path| path.contains(word) && !statistics(path) && !path.contains("/get_"));
            assert_eq!(missed, None, "it {word}s");
        }
        for path in changing.iter().map(|route| route.path) {
            // A token that an administrator gets for a user is the power to act as that user.
            assert!(!path.contains("/get_") || path == "/auth/get_user_token", "{path}");
        }
        assert!(changing.len() > 40 && reading.len() > 60, "{} {}", changing.len(), reading.len());
    }

    #[test]
    fn every_list_that_a_request_needs_is_a_list_of_it() {
        let schemas: serde_json::Value = serde_json::from_str(protocol::JSON_SCHEMAS).unwrap();
        let mut needed = 0;
        for route in all() {
            let (Some(field), crate::route::Bodies::Messages([request, _])) = (route.needs, &route.bodies)
            else {
                continue;
            };
            let schema = &schemas[request]["properties"][field];
            let is_list = schema["type"].as_array().is_some_and(|kinds| kinds.contains(&"array".into()));
            assert!(is_list, "{} {field}", route.path);
            needed += 1;
        }
        assert_eq!(needed, 23);
    }
}

//! Every line of `testdata/go_json.jsonl` is read as Go has read it (made by e2e/tools/contract/go-json, which says how).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Name;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{base64_bytes, from_slice, to_text};
use crate::frame;

const CORPUS: &str = include_str!("../../testdata/go_json.jsonl");

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    /// Each byte as the character of its number.
    input: String,
    output: Option<Value>,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One field of each kind.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Sample {
    #[serde(rename = "userID", skip_serializing_if = "is_zero")]
    user_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    nickname: Option<String>,
    #[serde(rename = "isPinned", skip_serializing_if = "is_zero")]
    is_pinned: bool,
    #[serde(skip_serializing_if = "is_zero")]
    count: i32,
    #[serde(skip_serializing_if = "is_zero")]
    big: i64,
    #[serde(skip_serializing_if = "is_zero")]
    part: u32,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    ratio: f64,
    #[serde(skip_serializing_if = "is_zero")]
    small: f32,
    #[serde(with = "base64_bytes", skip_serializing_if = "is_zero")]
    content: Bytes,
    #[serde(rename = "groupIDs", skip_serializing_if = "is_zero")]
    group_ids: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    seqs: Vec<i64>,
    #[serde(skip_serializing_if = "is_zero")]
    inner: Option<Box<Sample>>,
    #[serde(skip_serializing_if = "is_zero")]
    items: Vec<Sample>,
    #[serde(skip_serializing_if = "is_zero")]
    options: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "is_zero")]
    counts: BTreeMap<i64, i32>,
    #[serde(skip_serializing_if = "is_zero")]
    named: BTreeMap<String, Sample>,
}

type Read = fn(&[u8]) -> Option<Value>;

fn read<T: DeserializeOwned + Serialize>(text: &[u8]) -> Option<Value> {
    let message: T = from_slice(text).ok()?;
    serde_json::from_str(&to_text(&message)).ok()
}

/// Whether two values are the same; Go writes 1 where Rust writes 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let found = |(key, value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(found)
        }
        _ => one == other,
    }
}

macro_rules! readers {
    ($($package:ident: $($request:ident),*;)*) => {
        [$($((crate::$package::$request::full_name(), read::<crate::$package::$request> as Read),)*)*]
    };
}

/// How each type of the corpus is read.
fn readers() -> BTreeMap<String, Read> {
    let requests = readers! {
        auth: ForceLogoutReq, GetAdminTokenReq, GetExistingTokenReq, GetUserTokenReq, InvalidateTokenReq, KickTokensReq, ParseTokenReq;
        conversation: ClearUserConversationMsgReq, ConversationReq, CreateGroupChatConversationsReq, CreateSingleChatConversationsReq, DeleteConversationsReq, GetAllConversationsReq, GetConversationIDsReq, GetConversationNotReceiveMessageUserIDsReq, GetConversationOfflinePushUserIDsReq, GetConversationReq, GetConversationsByConversationIdReq, GetConversationsNeedClearMsgReq, GetConversationsReq, GetFullOwnerConversationIDsReq, GetIncrementalConversationReq, GetNotNotifyConversationIDsReq, GetOwnerConversationReq, GetPinnedConversationIDsReq, GetRecvMsgNotNotifyUserIDsReq, GetSortedConversationListReq, GetUserConversationIDsHashReq, SetConversationMaxSeqReq, SetConversationMinSeqReq, SetConversationReq, SetConversationsReq, UpdateConversationReq, UpdateConversationsByUserReq;
        extension: AddConversationsToGroupsReq, AppendStreamMsgReq, BanUserReq, ClearConversationsUnreadCountReq, ClearGroupApplicationBadgeCountReq, CreateConversationGroupReq, DeleteConversationGroupReq, DeleteFriendRequestsFromUserReq, DeleteFriendRequestsToUserReq, DeleteGroupRequestsFromUserReq, DeleteGroupRequestsToGroupReq, EditMsgReq, GetConversationGroupsReq, GetConversationsUnreadCountReq, GetGroupApplicationBadgeCountReq, GetGroupMsgReadersReq, GetReactionUsersReq, GetReactionsReq, GetStreamMsgReq, GetStreamMsgsReq, MarkConversationReadReq, ModifyMessageReq, PageFindDisableUsersReq, RemoveConversationsFromGroupsReq, ResetConversationUnreadReq, SearchOwnMsgReq, SetConversationGroupOrderReq, SetReactionReq, UnbanUserReq, UnregisterUserReq, UpdateConversationGroupReq;
        group: BatchGetIncrementalGroupMemberReq, CancelMuteGroupMemberReq, CancelMuteGroupReq, CreateGroupReq, DismissGroupReq, GetFullGroupMemberUserIDsReq, GetFullJoinGroupIDsReq, GetGroupAbstractInfoReq, GetGroupAllMemberReq, GetGroupApplicationListReq, GetGroupApplicationUnhandledCountReq, GetGroupInfoCacheReq, GetGroupMemberCacheReq, GetGroupMemberListReq, GetGroupMemberReq, GetGroupMemberRoleLevelReq, GetGroupMemberUserIDsReq, GetGroupMembersCmsReq, GetGroupMembersInfoReq, GetGroupUsersReqApplicationListReq, GetGroupsInfoReq, GetGroupsReq, GetIncrementalGroupMemberReq, GetIncrementalJoinGroupReq, GetJoinedGroupListReq, GetSpecifiedUserGroupRequestInfoReq, GetUserInGroupMembersReq, GetUserReqApplicationListReq, GroupApplicationResponseReq, GroupCreateCountReq, InviteUserToGroupReq, JoinGroupReq, KickGroupMemberReq, MuteGroupMemberReq, MuteGroupReq, NotificationUserInfoUpdateReq, QuitGroupReq, SetGroupInfoExReq, SetGroupInfoReq, SetGroupMemberInfoReq, TransferGroupOwnerReq;
        jssdk: GetActiveConversationsReq, GetConversationsReq;
        msg: BatchSendMessageReq, ClearConversationsMsgReq, ClearMsgReq, DelMsgsReq, DeleteMsgPhysicalBySeqReq, DeleteMsgPhysicalReq, DeleteMsgsReq, DestructMsgsReq, GetActiveConversationReq, GetActiveGroupReq, GetActiveUserReq, GetConversationMaxSeqReq, GetConversationsHasReadAndMaxSeqReq, GetHasReadSeqsReq, GetLastMessageReq, GetLastMessageSeqByTimeReq, GetMaxAndMinSeqReq, GetMaxSeqsReq, GetMsgByConversationIDsReq, GetSendMsgStatusReq, GetSeqMessageReq, GetServerTimeReq, MarkConversationAsReadReq, MarkMsgsAsReadReq, RevokeMsgReq, SearchMessageReq, SendMsgReq, SendSimpleMsgReq, SetConversationHasReadSeqReq, SetSendMsgStatusReq, SetUserConversationMaxSeqReq, SetUserConversationMinSeqReq, SetUserConversationsMinSeqReq, UserClearAllMsgReq;
        msggateway: GetUsersOnlineStatusReq, KickUserOfflineReq, MultiTerminalLoginCheckReq, OnlineBatchPushOneMsgReq, OnlinePushMsgReq;
        push: DelUserPushTokenReq, PushMsgReq;
        relation: AddBlackReq, ApplyToAddFriendReq, DeleteFriendReq, GetDesignatedFriendsApplyReq, GetDesignatedFriendsReq, GetFriendIDsReq, GetFriendInfoReq, GetFullFriendUserIDsReq, GetIncrementalBlacksReq, GetIncrementalFriendsApplyFromReq, GetIncrementalFriendsApplyToReq, GetIncrementalFriendsReq, GetPaginationBlacksReq, GetPaginationFriendsApplyFromReq, GetPaginationFriendsApplyToReq, GetPaginationFriendsReq, GetSelfUnhandledApplyCountReq, GetSpecifiedBlacksReq, GetSpecifiedFriendsInfoReq, ImportFriendReq, IsBlackReq, IsFriendReq, NotificationUserInfoUpdateReq, RemoveBlackReq, RespondFriendApplyReq, SetFriendRemarkReq, UpdateFriendsReq;
        sdkws: GetMaxSeqReq, PullMessageBySeqsReq, SetAppBackgroundStatusReq;
        third: AccessUrlReq, AuthSignReq, CompleteFormDataReq, CompleteMultipartUploadReq, DeleteLogsReq, DeleteOutdatedDataReq, FcmUpdateTokenReq, InitiateFormDataReq, InitiateMultipartUploadReq, PartLimitReq, PartSizeReq, SearchLogsReq, SetAppBadgeReq, UploadLogsReq;
        user: AccountCheckReq, AddNotificationAccountReq, BatchSetConversationsReq, DelUserClientConfigReq, GetAllConversationsReq, GetAllOnlineUsersReq, GetAllUserIdReq, GetConversationReq, GetConversationsReq, GetDesignateUsersReq, GetGlobalRecvMessageOptReq, GetNotificationAccountReq, GetPaginationUsersReq, GetSubscribeUsersStatusReq, GetUserClientConfigReq, GetUserStatusReq, PageUserClientConfigReq, ProcessUserCommandAddReq, ProcessUserCommandDeleteReq, ProcessUserCommandGetAllReq, ProcessUserCommandGetReq, ProcessUserCommandUpdateReq, SearchNotificationAccountReq, SetConversationReq, SetGlobalRecvMessageOptReq, SetRecvMsgOptReq, SetUserClientConfigReq, SetUserOnlineStatusReq, SetUserStatusReq, SortQueryReq, SubscribeOrCancelUsersStatusReq, UpdateNotificationAccountInfoReq, UpdateUserInfoExReq, UpdateUserInfoReq, UserRegisterCountReq, UserRegisterReq;
    };
    let others =
        [("sample".to_owned(), read::<Sample> as Read), ("frame".to_owned(), read::<frame::Request>)];
    requests.into_iter().chain(others).collect()
}

#[test]
fn what_go_reads_is_read_the_same_and_what_it_refuses_is_refused() {
    let readers = readers();
    let mut seen = BTreeMap::new();
    let mut wrong = vec![];
    for text in CORPUS.lines() {
        let line: Line = serde_json::from_str(text).unwrap();
        let input: Vec<u8> = line.input.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
        let found = readers[&line.kind](&input);
        let agree = match (&found, &line.output) {
            (Some(found), Some(expected)) => same(found, expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        if !agree {
            wrong.push(format!("{}: {}\n  Go: {:?}\n  we: {found:?}", line.kind, line.input, line.output));
        }
        *seen.entry(line.kind).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert_eq!(seen.len(), readers.len(), "a type has no line in the corpus");
}

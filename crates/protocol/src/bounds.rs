//! Size limits of client data: the single source of these numbers. Services refuse longer data with 1001, and `/openapi.json` is
//! generated from the same constants.

use crate::check::MAX_ID_BYTES;

/// Ids that one call names, at most; also seqs and rows.
pub const ITEMS: usize = 1000;
/// A name or a title, in bytes.
pub const NAME_BYTES: usize = 1024;
/// A free text such as `ex`, an announcement, a picture's address, in bytes.
pub const TEXT_BYTES: usize = 64 << 10;
/// Texts of requests, remarks and reasons, in bytes.
pub const NOTE_BYTES: usize = 4096;
/// A key, a kind of content, in bytes.
pub const KEY_BYTES: usize = 256;

/// A message's record as a whole, encoded, in bytes. Kafka's brokers accept records of 1 048 588 bytes by default. Behind this
/// one come longer records of the same message: with its conversation and seq (about 200 bytes), with 500 users of 64 bytes for offline push
/// (33 kB). 400 kB are left. Hooks are longer, for their text is escaped, and are compressed.
pub const RECORD_BYTES: usize = 640 << 10;
/// A message's content, in bytes. Clients of upstream, which knows no bound but Kafka's, put merged messages and cards here.
pub const CONTENT_BYTES: usize = 512 << 10;
/// A client's own id of a message, in bytes.
pub const CLIENT_MSG_ID_BYTES: usize = 128;
/// Users that a message names with an @.
pub const AT_USERS: usize = 1000;
/// Options of a message; the contract knows eleven.
pub const OPTIONS: usize = 64;
/// The name of an option, in bytes.
pub const OPTION_BYTES: usize = 64;
/// A text of a note on a locked screen, in bytes; vendors take 4 kB at most.
pub const PUSH_BYTES: usize = 16 << 10;

/// New content of a message, in bytes.
pub const EDIT_BYTES: usize = 64 << 10;
/// The text of a stream, in bytes as JSON writes it: what ends as a message with its other fields fits into a record.
pub const STREAM_BYTES: usize = 256 << 10;
/// Packets of a stream.
pub const STREAM_PACKETS: i64 = 20_000;
/// A packet of a stream, in bytes.
pub const STREAM_PACKET_BYTES: usize = 16 << 10;
/// Streams of a conversation that have not ended.
pub const OPEN_STREAMS: usize = 20;
/// A reaction, in bytes.
pub const REACTION_BYTES: usize = 64;
/// Messages whose reactions one call asks for.
pub const REACTED_MESSAGES: usize = 100;
/// Messages that a search answers.
pub const FOUND: i32 = 100;
/// Files of one upload of logs.
pub const LOG_FILES: usize = 10;
/// Parts that one call has signed.
pub const SIGNED_PARTS: usize = 1000;
/// Conversations whose read positions one call asks for.
pub const READ_POSITIONS: usize = 5000;
/// Conversations that a page of the browser SDK asks for.
pub const ACTIVE_CONVERSATIONS: usize = 500;
/// Folders of conversations that a user has.
pub const CONVERSATION_GROUPS: usize = 100;
/// Users that one call bans or erases.
pub const DISABLED_USERS: usize = 100;
/// Entries of a page.
pub const PAGE: i32 = 1000;
/// Users or groups in a page that continues behind a key.
pub const LISTED: i32 = 100;

/// The bound of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A text of so many bytes.
    Bytes(usize),
    /// A list, or a map, of so many items.
    Items(usize),
    /// A number between these.
    Between(i32, i32),
}

use Bound::{Between, Bytes, Items};

const ID: Bound = Bytes(MAX_ID_BYTES);
const NAME: Bound = Bytes(NAME_BYTES);
const TEXT: Bound = Bytes(TEXT_BYTES);
const NOTE: Bound = Bytes(NOTE_BYTES);
const KEY: Bound = Bytes(KEY_BYTES);
const IDS: Bound = Items(ITEMS);

/// The fields of a message, each with its bound.
type Fields = &'static [(&'static str, Bound)];

/// Limits of requests' fields, by the full name of the message. Other fields are limited only by the body's size.
pub const FIELDS: &[(&str, Fields)] = &[
    ("openim.sdkws.RequestPagination", &[("showNumber", Between(1, PAGE))]),
    ("openim.sdkws.UserInfo", &[("userID", ID), ("nickname", NAME), ("faceURL", TEXT), ("ex", TEXT)]),
    ("openim.sdkws.UserInfoWithEx", &[("nickname", NAME), ("faceURL", TEXT), ("ex", TEXT)]),
    (
        "openim.sdkws.MsgData",
        &[
            ("clientMsgID", Bytes(CLIENT_MSG_ID_BYTES)),
            ("senderNickname", NAME),
            ("senderFaceURL", TEXT),
            ("attachedInfo", TEXT),
            ("ex", TEXT),
            ("atUserIDList", Items(AT_USERS)),
            ("options", Items(OPTIONS)),
        ],
    ),
    (
        "openim.sdkws.OfflinePushInfo",
        &[
            ("title", NAME),
            ("desc", Bytes(PUSH_BYTES)),
            ("ex", Bytes(PUSH_BYTES)),
            ("iOSPushSound", NAME),
            ("signalInfo", Bytes(PUSH_BYTES)),
        ],
    ),
    (
        "openim.sdkws.GroupInfo",
        &[
            ("groupID", ID),
            ("groupName", NAME),
            ("notification", TEXT),
            ("introduction", TEXT),
            ("faceURL", TEXT),
            ("ex", TEXT),
        ],
    ),
    (
        "openim.sdkws.GroupInfoForSet",
        &[
            ("groupName", NAME),
            ("notification", TEXT),
            ("introduction", TEXT),
            ("faceURL", TEXT),
            ("ex", TEXT),
        ],
    ),
    ("openim.user.userRegisterReq", &[("users", IDS)]),
    ("openim.user.accountCheckReq", &[("checkUserIDs", IDS)]),
    ("openim.user.getDesignateUsersReq", &[("userIDs", IDS)]),
    ("openim.user.getUserStatusReq", &[("userIDs", IDS)]),
    ("openim.user.processUserCommandAddReq", &[("uuid", KEY), ("value", TEXT), ("ex", TEXT)]),
    ("openim.user.processUserCommandUpdateReq", &[("uuid", KEY), ("value", TEXT), ("ex", TEXT)]),
    ("openim.user.processUserCommandDeleteReq", &[("uuid", KEY)]),
    ("openim.user.addNotificationAccountReq", &[("nickName", NAME), ("faceURL", TEXT)]),
    ("openim.user.updateNotificationAccountInfoReq", &[("nickName", NAME), ("faceURL", TEXT)]),
    ("openim.user.setUserClientConfigReq", &[("configs", IDS)]),
    ("openim.user.delUserClientConfigReq", &[("keys", IDS)]),
    ("openim.relation.applyToAddFriendReq", &[("reqMsg", NOTE), ("ex", TEXT)]),
    ("openim.relation.respondFriendApplyReq", &[("handleMsg", NOTE)]),
    ("openim.relation.importFriendReq", &[("friendUserIDs", IDS)]),
    ("openim.relation.getDesignatedFriendsReq", &[("friendUserIDs", IDS)]),
    ("openim.relation.updateFriendsReq", &[("friendUserIDs", IDS), ("remark", NOTE), ("ex", TEXT)]),
    ("openim.relation.setFriendRemarkReq", &[("remark", NOTE)]),
    ("openim.relation.addBlackReq", &[("ex", TEXT)]),
    ("openim.relation.getSpecifiedFriendsInfoReq", &[("userIDList", IDS)]),
    ("openim.relation.GetSpecifiedBlacksReq", &[("userIDList", IDS)]),
    ("openim.group.CreateGroupReq", &[("memberUserIDs", IDS), ("adminUserIDs", IDS)]),
    ("openim.group.GetGroupsInfoReq", &[("groupIDs", IDS)]),
    (
        "openim.group.SetGroupInfoExReq",
        &[
            ("groupName", NAME),
            ("notification", TEXT),
            ("introduction", TEXT),
            ("faceURL", TEXT),
            ("ex", TEXT),
        ],
    ),
    ("openim.group.SetGroupMemberInfo", &[("nickname", NAME), ("faceURL", TEXT), ("ex", TEXT)]),
    ("openim.group.JoinGroupReq", &[("reqMessage", NOTE), ("ex", TEXT)]),
    ("openim.group.GroupApplicationResponseReq", &[("handledMsg", NOTE)]),
    ("openim.group.InviteUserToGroupReq", &[("invitedUserIDs", IDS), ("reason", NOTE)]),
    ("openim.group.KickGroupMemberReq", &[("kickedUserIDs", IDS), ("reason", NOTE)]),
    ("openim.group.GetGroupMembersInfoReq", &[("userIDs", IDS)]),
    ("openim.group.GetGroupAbstractInfoReq", &[("groupIDs", IDS)]),
    ("openim.group.getGroupUsersReqApplicationListReq", &[("userIDs", IDS)]),
    ("openim.group.BatchGetIncrementalGroupMemberReq", &[("reqList", IDS)]),
    ("openim.conversation.ConversationReq", &[("attachedInfo", TEXT), ("ex", TEXT)]),
    ("openim.conversation.SetConversationsReq", &[("userIDs", IDS)]),
    ("openim.conversation.GetConversationsReq", &[("conversationIDs", IDS)]),
    ("openim.conversation.GetConversationOfflinePushUserIDsReq", &[("userIDs", IDS)]),
    ("openim.conversation.GetSortedConversationListReq", &[("conversationIDs", IDS)]),
    ("openim.conversation.DeleteConversationsReq", &[("conversationIDs", IDS)]),
    ("openim.conversation.UpdateConversationsByUserReq", &[("ex", TEXT)]),
    ("openim.third.InitiateMultipartUploadReq", &[("name", NAME), ("contentType", KEY), ("cause", KEY)]),
    ("openim.third.AuthSignReq", &[("partNumbers", Items(SIGNED_PARTS))]),
    ("openim.third.InitiateFormDataReq", &[("name", NAME), ("contentType", KEY), ("group", KEY)]),
    ("openim.third.FcmUpdateTokenReq", &[("fcmToken", NOTE)]),
    (
        "openim.third.UploadLogsReq",
        &[("fileURLs", Items(LOG_FILES)), ("appFramework", NOTE), ("version", NOTE), ("ex", NOTE)],
    ),
    ("openim.third.fileURL", &[("URL", NOTE), ("filename", NOTE)]),
    ("openim.third.DeleteLogsReq", &[("logIDs", IDS)]),
    ("openim.msg.MarkMsgsAsReadReq", &[("seqs", IDS)]),
    ("openim.msg.MarkConversationAsReadReq", &[("seqs", IDS)]),
    ("openim.msg.DeleteMsgsReq", &[("seqs", IDS)]),
    ("openim.msg.DeleteMsgPhysicalBySeqReq", &[("seqs", IDS)]),
    ("openim.msg.DeleteMsgPhysicalReq", &[("conversationIDs", IDS)]),
    ("openim.msg.ClearConversationsMsgReq", &[("conversationIDs", IDS)]),
    ("openim.msg.GetConversationsHasReadAndMaxSeqReq", &[("conversationIDs", Items(READ_POSITIONS))]),
    ("openim.extension.EditMsgReq", &[("content", Bytes(EDIT_BYTES))]),
    ("openim.extension.SetReactionReq", &[("reaction", Bytes(REACTION_BYTES))]),
    ("openim.extension.GetReactionsReq", &[("seqs", Items(REACTED_MESSAGES))]),
    (
        "openim.extension.SearchOwnMsgReq",
        &[("keyword", KEY), ("conversationIDs", IDS), ("count", Between(1, FOUND))],
    ),
    ("openim.extension.ModifyMessageReq", &[("newContent", Bytes(EDIT_BYTES))]),
    ("openim.extension.AppendStreamMsgReq", &[("packets", IDS), ("clientMsgID", Bytes(CLIENT_MSG_ID_BYTES))]),
    ("openim.extension.GetStreamMsgReq", &[("clientMsgID", Bytes(CLIENT_MSG_ID_BYTES))]),
    ("openim.extension.GetConversationsUnreadCountReq", &[("conversationIDs", IDS)]),
    ("openim.extension.ClearConversationsUnreadCountReq", &[("conversationIDs", IDS)]),
    ("openim.extension.ResetConversationUnreadReq", &[("conversationIDs", IDS)]),
    ("openim.extension.DeleteFriendRequestsFromUserReq", &[("toUserIDs", IDS)]),
    ("openim.extension.DeleteFriendRequestsToUserReq", &[("fromUserIDs", IDS)]),
    ("openim.extension.DeleteGroupRequestsFromUserReq", &[("groupIDs", IDS)]),
    ("openim.extension.DeleteGroupRequestsToGroupReq", &[("userIDs", IDS)]),
    ("openim.extension.BanUserReq", &[("userIDs", Items(DISABLED_USERS))]),
    ("openim.extension.UnbanUserReq", &[("userIDs", Items(DISABLED_USERS))]),
    ("openim.extension.PageFindDisableUsersReq", &[("userIDs", IDS), ("status", Between(0, 2))]),
    (
        "openim.extension.CreateConversationGroupReq",
        &[("name", NAME), ("ex", TEXT), ("conversationGroupType", Between(0, 1))],
    ),
    ("openim.extension.UpdateConversationGroupReq", &[("name", NAME), ("ex", TEXT)]),
    ("openim.extension.SetConversationGroupOrderReq", &[("orders", Items(CONVERSATION_GROUPS))]),
    (
        "openim.extension.AddConversationsToGroupsReq",
        &[("conversationIDs", IDS), ("conversationGroupIDs", Items(CONVERSATION_GROUPS))],
    ),
    (
        "openim.extension.RemoveConversationsFromGroupsReq",
        &[("conversationIDs", IDS), ("conversationGroupIDs", Items(CONVERSATION_GROUPS))],
    ),
    ("openim.jssdk.GetConversationsReq", &[("conversationIDs", Items(ACTIVE_CONVERSATIONS))]),
];

/// The bounds of a message's fields, where the message is not protobuf JSON (`/msg/send_msg` and similar).
pub const MESSAGE: Fields = &[
    ("sendID", ID),
    ("recvID", ID),
    ("groupID", ID),
    ("senderNickname", NAME),
    ("senderFaceURL", TEXT),
    ("ex", TEXT),
    ("recvIDs", IDS),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_bound_is_one_of_a_field_that_can_have_it() {
        let schemas: Value = serde_json::from_str(crate::JSON_SCHEMAS).unwrap();
        for (message, fields) in FIELDS {
            for (field, bound) in *fields {
                let schema = &schemas[message]["properties"][field];
                let schema = if schema["anyOf"].is_array() { &schema["anyOf"][0] } else { schema };
                let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
                let fits = match bound {
                    Bytes(_) => kind == Some("string"),
                    Items(_) => kind == Some("array") || kind == Some("object"),
                    Between(..) => kind == Some("integer"),
                };
                assert!(fits, "{message} {field}: {schema}");
            }
        }
    }
}

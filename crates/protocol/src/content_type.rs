//! Content types, session types and the other closed number sets of docs/protocol/numbers.md.

/// Session types (docs/protocol/numbers.md).
pub mod session {
    /// Single chat.
    pub const SINGLE: i32 = 1;
    /// Group chat (read diffusion).
    pub const GROUP: i32 = 3;
    /// A system account talking to a user.
    pub const NOTIFICATION: i32 = 4;
}

/// Message status (docs/protocol/numbers.md).
pub mod status {
    /// The client has not been told of success yet.
    pub const SENDING: i32 = 1;
    /// Stored.
    pub const SUCCESS: i32 = 2;
    /// Deleted for the reader, or a hole.
    pub const DELETED: i32 = 4;
}

/// `msgFrom`: written by a user.
pub const FROM_USER: i32 = 100;
/// `msgFrom`: written by the system.
pub const FROM_SYSTEM: i32 = 200;

/// A text.
pub const TEXT: i32 = 101;
/// Message kinds that the server itself treats specially.
pub const AT_TEXT: i32 = 106;
/// "The peer is typing": never stored.
pub const TYPING: i32 = 113;
/// A text that quotes another message.
pub const QUOTE: i32 = 114;
/// Text in markdown.
pub const MARKDOWN: i32 = 118;
/// A message that grows while its sender writes it; stored as [`TEXT`] or [`MARKDOWN`] when it ends (docs/protocol/streams.md).
pub const STREAM: i32 = 143;
/// OA notification of a system account.
pub const OA_NOTIFICATION: i32 = 1400;

/// The entry of `atUserIDList` that means everybody.
pub const AT_ALL: &str = "AtAllTag";

/// First number of the notification range; ordinary clients may not send from here on.
pub const NOTIFICATION_BEGIN: i32 = 1000;
/// Last number of the notification range.
pub const NOTIFICATION_END: i32 = 5000;

/// True for numbers only the servers send.
pub fn is_notification(content_type: i32) -> bool {
    (NOTIFICATION_BEGIN..=NOTIFICATION_END).contains(&content_type)
}

macro_rules! notifications {
    ($($name:ident = $number:literal;)*) => { $(#[allow(missing_docs)] pub const $name: i32 = $number;)* };
}
notifications! {
    FRIEND_APPROVED = 1201; FRIEND_REJECTED = 1202; FRIEND_APPLIED = 1203; FRIEND_DELETED = 1205; FRIEND_REMARK_SET = 1206;
    BLACK_ADDED = 1207; BLACK_DELETED = 1208; FRIEND_INFO_UPDATED = 1209; FRIENDS_INFO_UPDATE = 1210;
    CONVERSATION_CHANGED = 1300; USER_INFO_UPDATED = 1303; COMMAND_ADDED = 1305; COMMAND_DELETED = 1306; COMMAND_UPDATED = 1307;
    GROUP_CREATED = 1501; GROUP_INFO_SET = 1502; JOIN_APPLIED = 1503; MEMBER_QUIT = 1504; JOIN_ACCEPTED = 1505; JOIN_REJECTED = 1506;
    OWNER_TRANSFERRED = 1507; MEMBER_KICKED = 1508; MEMBER_INVITED = 1509; MEMBER_ENTERED = 1510; GROUP_DISMISSED = 1511;
    MEMBER_MUTED = 1512; MEMBER_UNMUTED = 1513; GROUP_MUTED = 1514; GROUP_UNMUTED = 1515;
    MEMBER_INFO_SET = 1516; MEMBER_SET_TO_ADMIN = 1517; MEMBER_SET_TO_ORDINARY = 1518; ANNOUNCEMENT_SET = 1519; GROUP_NAME_SET = 1520;
    PRIVATE_CHAT_SET = 1701; CONVERSATION_CLEARED = 1703; BUSINESS = 2001; REVOKED = 2101; DELETED = 2102; HAS_READ = 2200;
}

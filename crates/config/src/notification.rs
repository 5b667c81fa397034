//! System messages: which also appear in the chat, and which can notify an offline device (`notification.yaml`, or
//! `notification:` in config.yaml). Omitted settings follow the protocol (docs/protocol/notifications.md).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $($number:literal),+;)*) => {
        /// A notification that can be configured.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        #[allow(missing_docs)]
        pub enum NotificationKind { $($variant,)* }

        impl NotificationKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind of a key in the configuration.
            pub fn from_key(key: &str) -> Option<Self> {
                let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(key);
                Self::deserialize(text).ok()
            }

            /// The kind of a content type; others cannot be configured.
            pub fn of(content_type: i32) -> Option<Self> {
                match content_type { $($(| $number)+ => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    FriendApplicationApproved = 1201;
    FriendApplicationRejected = 1202;
    FriendApplicationAdded = 1203;
    FriendAdded = 1204;
    FriendDeleted = 1205;
    FriendRemarkSet = 1206;
    BlackAdded = 1207;
    BlackDeleted = 1208;
    FriendInfoUpdated = 1209, 1210;
    ConversationChanged = 1300, 1702;
    UserInfoUpdated = 1303;
    UserStatusChanged = 1304;
    GroupCreated = 1501;
    GroupInfoSet = 1502;
    JoinGroupApplication = 1503;
    MemberQuit = 1504;
    GroupApplicationAccepted = 1505;
    GroupApplicationRejected = 1506;
    GroupOwnerTransferred = 1507;
    MemberKicked = 1508;
    MemberInvited = 1509;
    MemberEnter = 1510;
    GroupDismissed = 1511;
    GroupMemberMuted = 1512;
    GroupMemberCancelMuted = 1513;
    GroupMuted = 1514;
    GroupCancelMuted = 1515;
    GroupMemberInfoSet = 1516;
    GroupMemberSetToAdmin = 1517;
    GroupMemberSetToOrdinaryUser = 1518;
    GroupInfoSetAnnouncement = 1519;
    GroupInfoSetName = 1520;
    ConversationSetPrivate = 1701;
}

/// Settings by notification.
pub type Notifications = BTreeMap<NotificationKind, NotificationSettings>;

/// Settings of a notification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NotificationSettings {
    /// Whether it also appears as a chat message. Default: as in the protocol.
    pub is_send_msg: Option<bool>,
    /// Notification of offline devices. Default: as in the protocol.
    pub offline_push: Option<NotificationPush>,
    /// Accepted for upstream's files: every configurable notification is delivered to online users and found by incremental sync.
    #[serde(skip_serializing)]
    pub reliability_level: Option<i32>,
    /// Accepted for upstream's files: only notifications that appear in the chat are counted as unread.
    #[serde(skip_serializing)]
    pub unread_count: Option<bool>,
}

/// Notification on offline devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NotificationPush {
    /// Whether to notify the device.
    pub enable: bool,
    /// Title; empty: derived from the kind of message.
    pub title: String,
    /// Text; empty: the title.
    pub desc: String,
    /// Passed to the app.
    pub ext: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_content_type() {
        for kind in NotificationKind::ALL {
            assert!((1201..=1702).any(|number| NotificationKind::of(number) == Some(*kind)), "{kind:?}");
        }
        assert_eq!(NotificationKind::of(2200), None);
        assert_eq!(NotificationKind::from_key("groupInfoSetName"), Some(NotificationKind::GroupInfoSetName));
        assert_eq!(NotificationKind::from_key("groupMade"), None);
    }
}

//! Webhooks: which exist, and their settings (`webhooks.yaml`, or `webhooks:` in config.yaml).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

macro_rules! hooks {
    ($($variant:ident = $key:literal, $command:literal;)*) => {
        /// A webhook of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Hook { $($variant,)* }

        impl Hook {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The key in the configuration.
            pub const fn key(self) -> &'static str { match self { $(Self::$variant => $key,)* } }

            /// The last part of the URL, and `callbackCommand` in the body.
            pub const fn command(self) -> &'static str { match self { $(Self::$variant => $command,)* } }

            /// The hook of a key.
            pub fn from_key(key: &str) -> Option<Self> { Self::ALL.iter().copied().find(|hook| hook.key() == key) }
        }
    };
}

hooks! {
    BeforeSendSingleMsg = "beforeSendSingleMsg", "callbackBeforeSendSingleMsgCommand";
    AfterSendSingleMsg = "afterSendSingleMsg", "callbackAfterSendSingleMsgCommand";
    BeforeSendGroupMsg = "beforeSendGroupMsg", "callbackBeforeSendGroupMsgCommand";
    AfterSendGroupMsg = "afterSendGroupMsg", "callbackAfterSendGroupMsgCommand";
    BeforeMsgModify = "beforeMsgModify", "callbackBeforeMsgModifyCommand";
    AfterMsgSaveDB = "afterMsgSaveDB", "callbackAfterMsgSaveDBCommand";
    AfterUserOnline = "afterUserOnline", "callbackAfterUserOnlineCommand";
    AfterUserOffline = "afterUserOffline", "callbackAfterUserOfflineCommand";
    AfterUserKickOff = "afterUserKickOff", "callbackAfterUserKickOffCommand";
    BeforeOfflinePush = "beforeOfflinePush", "callbackBeforeOfflinePushCommand";
    BeforeOnlinePush = "beforeOnlinePush", "callbackBeforeOnlinePushCommand";
    BeforeGroupOnlinePush = "beforeGroupOnlinePush", "callbackBeforeGroupOnlinePushCommand";
    BeforeAddFriend = "beforeAddFriend", "callbackBeforeAddFriendCommand";
    AfterAddFriend = "afterAddFriend", "callbackAfterAddFriendCommand";
    BeforeAddFriendAgree = "beforeAddFriendAgree", "callbackBeforeAddFriendAgreeCommand";
    AfterAddFriendAgree = "afterAddFriendAgree", "callbackAfterAddFriendAgreeCommand";
    AfterDeleteFriend = "afterDeleteFriend", "callbackAfterDeleteFriendCommand";
    BeforeSetFriendRemark = "beforeSetFriendRemark", "callbackBeforeSetFriendRemarkCommand";
    AfterSetFriendRemark = "afterSetFriendRemark", "callbackAfterSetFriendRemarkCommand";
    BeforeImportFriends = "beforeImportFriends", "callbackBeforeImportFriendsCommand";
    AfterImportFriends = "afterImportFriends", "callbackAfterImportFriendsCommand";
    BeforeAddBlack = "beforeAddBlack", "callbackBeforeAddBlackCommand";
    AfterRemoveBlack = "afterRemoveBlack", "callbackAfterRemoveBlackCommand";
    BeforeUpdateUserInfo = "beforeUpdateUserInfo", "callbackBeforeUpdateUserInfoCommand";
    AfterUpdateUserInfo = "afterUpdateUserInfo", "callbackAfterUpdateUserInfoCommand";
    BeforeUpdateUserInfoEx = "beforeUpdateUserInfoEx", "callbackBeforeUpdateUserInfoExCommand";
    AfterUpdateUserInfoEx = "afterUpdateUserInfoEx", "callbackAfterUpdateUserInfoExCommand";
    BeforeUserRegister = "beforeUserRegister", "callbackBeforeUserRegisterCommand";
    AfterUserRegister = "afterUserRegister", "callbackAfterUserRegisterCommand";
    BeforeCreateGroup = "beforeCreateGroup", "callbackBeforeCreateGroupCommand";
    AfterCreateGroup = "afterCreateGroup", "callbackAfterCreateGroupCommand";
    BeforeMemberJoinGroup = "beforeMemberJoinGroup", "callbackBeforeMembersJoinGroupCommand";
    BeforeSetGroupMemberInfo = "beforeSetGroupMemberInfo", "callbackBeforeSetGroupMemberInfoCommand";
    AfterSetGroupMemberInfo = "afterSetGroupMemberInfo", "callbackAfterSetGroupMemberInfoCommand";
    AfterQuitGroup = "afterQuitGroup", "callbackAfterQuitGroupCommand";
    AfterKickGroupMember = "afterKickGroupMember", "callbackAfterKickGroupCommand";
    AfterDismissGroup = "afterDismissGroup", "callbackAfterDisMissGroupCommand";
    BeforeApplyJoinGroup = "beforeApplyJoinGroup", "callbackBeforeJoinGroupCommand";
    AfterJoinGroup = "afterJoinGroup", "callbackAfterJoinGroupCommand";
    BeforeInviteUserToGroup = "beforeInviteUserToGroup", "callbackBeforeInviteJoinGroupCommand";
    AfterTransferGroupOwner = "afterTransferGroupOwner", "callbackAfterTransferGroupOwnerCommand";
    BeforeSetGroupInfo = "beforeSetGroupInfo", "callbackBeforeSetGroupInfoCommand";
    AfterSetGroupInfo = "afterSetGroupInfo", "callbackAfterSetGroupInfoCommand";
    BeforeSetGroupInfoEx = "beforeSetGroupInfoEx", "callbackBeforeSetGroupInfoExCommand";
    AfterSetGroupInfoEx = "afterSetGroupInfoEx", "callbackAfterSetGroupInfoExCommand";
    AfterGroupMsgRead = "afterGroupMsgRead", "callbackAfterGroupMsgReadCommand";
    AfterSingleMsgRead = "afterSingleMsgRead", "callbackAfterSingleMsgReadCommand";
    AfterRevokeMsg = "afterRevokeMsg", "callbackBeforeAfterMsgCommand";
    AfterGroupMsgRevoke = "afterGroupMsgRevoke", "";
    BeforeCreateSingleChatConversations = "beforeCreateSingleChatConversations", "callbackBeforeCreateSingleChatConversationsCommand";
    AfterCreateSingleChatConversations = "afterCreateSingleChatConversations", "callbackAfterCreateSingleChatConversationsCommand";
    BeforeCreateGroupChatConversations = "beforeCreateGroupChatConversations", "callbackBeforeCreateGroupChatConversationsCommand";
    AfterCreateGroupChatConversations = "afterCreateGroupChatConversations", "callbackAfterCreateGroupChatConversationsCommand";
}

/// Webhooks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhooks {
    /// Base URL of the receiver; a hook is posted to `<url>/<command>`. Empty: no hooks.
    pub url: String,
    /// Signs every call: header `x-openim-signature-v2: sha256=<HMAC-SHA256 in hexadecimal>` over the header `x-openim-timestamp`, the query
    /// without its `?` and the body, joined by dots; `x-openim-signature` covers only the body. Empty: no signature.
    pub signing_secret: String,
    /// Allow link-local receivers (169.254/16, fe80::/10).
    pub allow_link_local: bool,
    /// Settings by hook.
    #[serde(flatten)]
    pub hooks: BTreeMap<String, HookConfig>,
}

/// Settings of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HookConfig {
    /// Enabled.
    pub enable: bool,
    /// Timeout in seconds, 1 to 15.
    pub timeout: u64,
    /// Before hooks only: if the receiver does not answer, continue (true) or fail the operation (false).
    pub failed_continue: bool,
    /// Content types that do not call it.
    pub denied_types: Vec<i32>,
    /// Receivers (users or groups) that call it; empty: all.
    pub attention_ids: Vec<String>,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self { enable: false, timeout: 5, failed_continue: true, denied_types: vec![], attention_ids: vec![] }
    }
}

impl HookConfig {
    /// Timeout of the receiver.
    pub fn timeout_duration(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Metadata services of clouds that are not link-local.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address is one that no integrator's server has: link-local, a metadata service of a cloud, or nobody's.
pub fn is_forbidden(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => {
                v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
            }
            IpAddr::V6(v6) => match embedded(v6) {
                Some(v4) => is_forbidden(IpAddr::V4(v4)),
                None => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
            },
        }
}

/// The IPv4 address that an IPv6 one leads to: mapped and compatible (RFC 4291), by NAT64 (RFC 6052), by 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] if (high, low) != (0, 1) => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

impl Webhooks {
    /// The address of the receiver where the URL has one instead of a name.
    fn literal_address(&self) -> Option<IpAddr> {
        match Url::parse(&self.url).ok()?.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// The error, if any: the key below `webhooks`, and the problem.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let of_url = |text: &str| Some(("url".to_owned(), text.to_owned()));
        if !self.url.is_empty() && !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return of_url("must be an http:// or https:// URL, or empty");
        }
        if !self.allow_link_local && self.literal_address().is_some_and(is_forbidden) {
            return of_url(
                "must not name a link-local, metadata, multicast or unspecified address; allowLinkLocal permits it",
            );
        }
        for (key, hook) in &self.hooks {
            if Hook::from_key(key).is_none() {
                let problem = "is not a hook; the hooks are listed in config/webhooks.yaml";
                return Some((key.clone(), problem.into()));
            }
            if !(1..=15).contains(&hook.timeout) {
                return Some((format!("{key}.timeout"), "must be between 1 and 15 seconds".into()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_out_of_reach() {
        for (address, forbidden) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("0.0.0.0", true),
            ("224.0.0.1", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("fd00:ec2::254", true),
            ("fd20:ce::254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b::100.100.100.200", true),
            ("2002:a9fe:a9fe::1", true),
            ("::169.254.169.254", true),
            ("::", true),
            ("::1", false),
            ("127.0.0.1", false),
            ("64:ff9b::203.0.113.9", false),
            ("2002:cb00:7109::1", false),
            ("fd00:ec2::253", false),
            ("10.1.2.3", false),
            ("203.0.113.9", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_forbidden(address.parse().unwrap()), forbidden, "{address}");
        }
    }

    #[test]
    fn urls_with_forbidden_addresses_are_refused_unless_allowed() {
        for (url, refused) in [
            ("http://169.254.169.254/latest", true),
            ("http://0xa9fea9fe/", true),
            ("http://user@[fe80::1]:80/", true),
            ("http://hooks.example/", false),
            ("http://10.0.0.7:8080/", false),
        ] {
            let mut webhooks = Webhooks { url: url.into(), ..Default::default() };
            assert_eq!(webhooks.problem().is_some(), refused, "{url}");
            webhooks.allow_link_local = true;
            assert_eq!(webhooks.problem(), None, "{url}");
        }
    }
}

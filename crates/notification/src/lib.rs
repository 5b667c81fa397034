//! System messages. Each goes through the msg service like any other message, sent by a service, with the options of its kind
//! (docs/protocol/notifications.md, content-types.md).

use config::{NotificationKind, Notifications};
use model::options::{self, NotificationOptions};
use protocol::{
    Result,
    content_type::{self as kind, FROM_SYSTEM, session},
    go_json,
    msg::SendMsgReq,
    sdkws::{MsgData, NotificationElem, OfflinePushInfo},
};
use rpc::{Context, Peers};
use serde::Serialize;
use tracing::Instrument;

/// Who a notification goes to.
#[derive(Debug, Clone, Copy)]
pub enum To<'a> {
    /// One user.
    User(&'a str),
    /// All members of a group.
    Group(&'a str),
}

/// The options of a kind; others are plain: delivered to online users, not stored.
pub fn options_of(content_type: i32) -> NotificationOptions {
    let (also_chat, offline_push, stored) = match content_type {
        kind::FRIEND_APPROVED => (true, true, false),
        kind::FRIEND_REJECTED
        | kind::FRIEND_APPLIED
        | kind::JOIN_APPLIED
        | kind::JOIN_ACCEPTED
        | kind::JOIN_REJECTED => (false, true, false),
        kind::GROUP_CREATED
        | kind::MEMBER_QUIT
        | kind::OWNER_TRANSFERRED
        | kind::MEMBER_KICKED
        | kind::MEMBER_INVITED
        | kind::MEMBER_ENTERED
        | kind::GROUP_DISMISSED
        | kind::MEMBER_MUTED
        | kind::MEMBER_UNMUTED
        | kind::GROUP_MUTED
        | kind::GROUP_UNMUTED
        | kind::ANNOUNCEMENT_SET
        | kind::GROUP_NAME_SET
        | kind::PRIVATE_CHAT_SET => (true, false, false),
        kind::REVOKED | kind::DELETED | kind::HAS_READ => (false, false, true),
        _ => (false, false, false),
    };
    NotificationOptions { also_chat, offline_push, stored }
}

/// Applies the configuration to a notification's options; omitted settings stay.
pub fn configure(message: &mut MsgData, settings: &Notifications) {
    let Some(wanted) = NotificationKind::of(message.content_type).and_then(|kind| settings.get(&kind)) else {
        return;
    };
    let mut set = |key: &str, on| message.options.insert(key.to_owned(), on);
    if let Some(also_chat) = wanted.is_send_msg {
        set(options::IS_SEND_MSG, also_chat);
        set(options::UNREAD_COUNT, also_chat);
    }
    if let Some(push) = &wanted.offline_push {
        set(options::OFFLINE_PUSH, push.enable);
        let info = message.offline_push_info.get_or_insert_default();
        for (field, text) in
            [(&mut info.title, &push.title), (&mut info.desc, &push.desc), (&mut info.ex, &push.ext)]
        {
            if !text.is_empty() {
                field.clone_from(text);
            }
        }
    }
}

/// The message that carries `tips` from `sender`.
pub fn message<T: Serialize>(sender: &str, to: To<'_>, content_type: i32, tips: &T) -> MsgData {
    let (session_type, recv_id, group_id) = match to {
        To::User(user) => (session::SINGLE, user, ""),
        To::Group(group) => (session::GROUP, "", group),
    };
    let mut options = options_of(content_type);
    if recv_id == sender && content_type == kind::HAS_READ {
        // A receipt to oneself only moves one's other devices.
        options.stored = false;
    }
    let content = go_json::to_text(&NotificationElem { detail: go_json::to_text(tips) });
    MsgData {
        send_id: sender.to_owned(),
        recv_id: recv_id.to_owned(),
        group_id: group_id.to_owned(),
        client_msg_id: model::random_id(),
        session_type,
        msg_from: FROM_SYSTEM,
        content_type,
        content: content.into(),
        options: options.to_map(),
        offline_push_info: Some(OfflinePushInfo::default()),
        ..Default::default()
    }
}

/// Sends a notification; returns when it is accepted.
///
/// # Errors
/// As the msg service's send.
pub async fn send<T: Serialize>(
    peers: &Peers,
    context: &Context,
    sender: &str,
    to: To<'_>,
    content_type: i32,
    tips: &T,
) -> Result<()> {
    deliver(peers, context, message(sender, to, content_type, tips)).await
}

/// A business notification: what the SDKs hand to the application as it is, by its key.
#[derive(Serialize)]
struct Business<'a> {
    key: &'a str,
    data: String,
}

/// Sends a business notification with `data` as JSON; a stored one also reaches offline users. Returns when it is accepted.
///
/// # Errors
/// As the msg service's send.
pub async fn business<T: Serialize>(
    peers: &Peers,
    context: &Context,
    sender: &str,
    to: To<'_>,
    (key, data): (&str, &T),
    stored: bool,
) -> Result<()> {
    let mut message = message(sender, to, kind::BUSINESS, &Business { key, data: go_json::to_text(data) });
    message.options = NotificationOptions { stored, ..Default::default() }.to_map();
    deliver(peers, context, message).await
}

async fn deliver(peers: &Peers, context: &Context, message: MsgData) -> Result<()> {
    let request = SendMsgReq { msg_data: Some(message) };
    peers.call(&context.as_system(), &request).await?;
    Ok(())
}

/// [`send`] for an operation that is already done: a failure is logged, not returned, because the change itself holds and
/// clients find it by incremental sync.
pub async fn tell<T: Serialize>(
    peers: &Peers,
    context: &Context,
    sender: &str,
    to: To<'_>,
    content_type: i32,
    tips: &T,
) {
    tell_message(peers, context, message(sender, to, content_type, tips)).await;
}

/// [`tell`] for a notification that is not a chat message, though others of its kind are.
pub async fn tell_outside_chat<T: Serialize>(
    peers: &Peers,
    context: &Context,
    sender: &str,
    to: To<'_>,
    content_type: i32,
    tips: &T,
) {
    let mut message = message(sender, to, content_type, tips);
    message.options = NotificationOptions { also_chat: false, ..options_of(content_type) }.to_map();
    tell_message(peers, context, message).await;
}

async fn tell_message(peers: &Peers, context: &Context, message: MsgData) {
    let content_type = message.content_type;
    let span = tracing::error_span!("notification", operation_id = context.operation_id);
    if let Err(error) = deliver(peers, context, message).instrument(span.clone()).await {
        span.in_scope(|| tracing::warn!(content_type, %error, "notification.failed"));
    }
}

#[cfg(test)]
mod tests {
    use config::{NotificationPush, NotificationSettings};
    use protocol::sdkws::MarkAsReadTips;

    use super::*;

    #[test]
    fn the_detail_is_json_inside_json() {
        let tips = MarkAsReadTips { mark_as_read_user_id: "a".into(), has_read_seq: 7, ..Default::default() };
        let message = message("a", To::User("b"), kind::HAS_READ, &tips);
        let outer: serde_json::Value = serde_json::from_slice(&message.content).unwrap();
        let detail: serde_json::Value = serde_json::from_str(outer["detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail["markAsReadUserID"], "a");
        assert_eq!(detail["seqs"], serde_json::Value::Null);
        assert!(options::is_set(&message.options, options::HISTORY));
    }

    #[test]
    fn a_receipt_to_oneself_is_not_stored() {
        let message = message("a", To::User("a"), kind::HAS_READ, &MarkAsReadTips::default());
        assert!(!options::is_set(&message.options, options::HISTORY));
    }

    #[test]
    fn what_is_configured_travels_as_configured_and_the_rest_as_before() {
        let tips = MarkAsReadTips::default();
        let sent = |kind| message("a", To::Group("g"), kind, &tips);
        let push = NotificationPush { enable: true, title: "New group".into(), ..Default::default() };
        let settings = Notifications::from([(
            NotificationKind::GroupCreated,
            NotificationSettings { is_send_msg: Some(false), offline_push: Some(push), ..Default::default() },
        )]);
        let mut created = sent(kind::GROUP_CREATED);
        configure(&mut created, &settings);
        assert!(!options::is_set(&created.options, options::IS_SEND_MSG));
        assert!(!options::is_set(&created.options, options::UNREAD_COUNT));
        assert!(options::is_set(&created.options, options::OFFLINE_PUSH));
        assert_eq!(created.offline_push_info.unwrap().title, "New group");
        for other in [kind::MEMBER_QUIT, kind::HAS_READ] {
            let mut message = sent(other);
            let before = message.clone();
            configure(&mut message, &settings);
            assert_eq!(
                MsgData { client_msg_id: String::new(), ..message },
                MsgData { client_msg_id: String::new(), ..before }
            );
        }
    }

    /// `config/notification.yaml` documents the defaults.
    #[test]
    fn the_shipped_file_changes_nothing() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
        let text = std::fs::read_to_string(format!("{directory}/notification.yaml")).unwrap();
        let settings: Notifications = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(settings.len(), NotificationKind::ALL.len());
        let tips = MarkAsReadTips::default();
        for number in 1201..=1701 {
            let mut message = message("a", To::User("b"), number, &tips);
            let before = message.clone();
            configure(&mut message, &settings);
            assert_eq!(message, before, "{number}");
        }
    }
}

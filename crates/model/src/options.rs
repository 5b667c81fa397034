//! Per-message options (docs/protocol/content-types.md#options). A missing key means true.

use std::collections::BTreeMap;

use protocol::content_type as kind;

/// The options of a message.
pub type Options = BTreeMap<String, bool>;

macro_rules! keys { ($($name:ident = $text:literal, $doc:literal;)*) => { $(#[doc = $doc] pub const $name: &str = $text;)* }; }
keys! {
    HISTORY = "history", "Gets a seq and is stored.";
    PERSISTENT = "persistent", "Hint to clients: keep it.";
    OFFLINE_PUSH = "offlinePush", "Can notify an offline device.";
    UNREAD_COUNT = "unreadCount", "Counts as unread.";
    CONVERSATION_UPDATE = "conversationUpdate", "Becomes the latest message at receivers.";
    SENDER_SYNC = "senderSync", "Also goes to the sender's devices.";
    NOT_PRIVATE = "notPrivate", "False: burn after reading.";
    SENDER_CONVERSATION_UPDATE = "senderConversationUpdate", "Becomes the latest message at the sender.";
    REACTION_FROM_CACHE = "reactionFromCache", "Unused; part of the contract.";
    IS_NOT_NOTIFICATION = "isNotNotification", "False: belongs to the `n_` conversation.";
    IS_IMPORT = "isImport", "True: an administrator imports a message with its original time; not stored.";
    IS_SEND_MSG = "isSendMsg", "A notification that is also a chat message.";
}

/// Whether an option holds.
pub fn is_set(options: &Options, key: &str) -> bool {
    options.get(key).copied().unwrap_or(true)
}

/// The server's adjustments by content type at send time; an empty map stays empty (all true).
pub fn adjust_for_content_type(options: &mut Options, content_type: i32) {
    let off: &[&str] = match content_type {
        111 => &[UNREAD_COUNT, OFFLINE_PUSH],
        kind::HAS_READ => &[CONVERSATION_UPDATE, SENDER_CONVERSATION_UPDATE, UNREAD_COUNT, OFFLINE_PUSH],
        kind::TYPING => &[
            HISTORY,
            PERSISTENT,
            SENDER_SYNC,
            CONVERSATION_UPDATE,
            SENDER_CONVERSATION_UPDATE,
            UNREAD_COUNT,
            OFFLINE_PUSH,
        ],
        _ => return,
    };
    // A typing hint must never be stored, whatever the client says.
    if !options.is_empty() || content_type == kind::TYPING {
        options.extend(off.iter().map(|key| ((*key).to_owned(), false)));
    }
}

/// How a notification travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotificationOptions {
    /// Also appears as a chat message.
    pub also_chat: bool,
    /// Can notify an offline device.
    pub offline_push: bool,
    /// Gets a seq in the `n_` conversation and is stored.
    pub stored: bool,
}

impl NotificationOptions {
    /// The option map of docs/protocol/content-types.md#options: all false except senderSync, then what is asked for.
    pub fn to_map(self) -> Options {
        let mut options: Options = [
            (HISTORY, self.stored),
            (PERSISTENT, self.stored),
            (OFFLINE_PUSH, self.offline_push),
            (UNREAD_COUNT, self.also_chat),
            (CONVERSATION_UPDATE, false),
            (SENDER_SYNC, true),
            (NOT_PRIVATE, false),
            (SENDER_CONVERSATION_UPDATE, false),
            (REACTION_FROM_CACHE, false),
            (IS_NOT_NOTIFICATION, false),
        ]
        .into_iter()
        .map(|(key, on)| (key.to_owned(), on))
        .collect();
        options.insert(IS_SEND_MSG.to_owned(), self.also_chat);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_never_stored() {
        let mut options = Options::new();
        adjust_for_content_type(&mut options, kind::TYPING);
        assert!(!is_set(&options, HISTORY) && !is_set(&options, SENDER_SYNC));
    }

    #[test]
    fn an_ordinary_message_keeps_its_empty_map() {
        let mut options = Options::new();
        adjust_for_content_type(&mut options, 101);
        assert!(options.is_empty() && is_set(&options, HISTORY));
    }

    #[test]
    fn a_notification_says_that_it_is_one() {
        let map = NotificationOptions { also_chat: true, ..Default::default() }.to_map();
        assert!(
            !is_set(&map, IS_NOT_NOTIFICATION) && is_set(&map, IS_SEND_MSG) && is_set(&map, UNREAD_COUNT)
        );
        assert!(is_set(&map, SENDER_SYNC) && !is_set(&map, HISTORY));
    }
}

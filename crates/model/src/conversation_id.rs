//! Conversation ids (docs/protocol/conversations.md#ids).

use protocol::{content_type::session, sdkws::MsgData};

use crate::options;

fn pair(a: &str, b: &str) -> String {
    if a.as_bytes() <= b.as_bytes() { format!("{a}_{b}") } else { format!("{b}_{a}") }
}

/// `si_<a>_<b>`, user ids sorted by bytes.
pub fn single(a: &str, b: &str) -> String {
    format!("si_{}", pair(a, b))
}

/// `sg_<groupID>`.
pub fn group(group_id: &str) -> String {
    format!("sg_{group_id}")
}

/// `sn_<a>_<b>`: what an account of the operator tells a user, user ids sorted by bytes.
pub fn account(a: &str, b: &str) -> String {
    format!("sn_{}", pair(a, b))
}

/// The account that talks to `user` in a `sn_…` conversation; `None` when the id is none of `user`'s or leaves that open.
pub fn account_of<'a>(conversation_id: &'a str, user: &str) -> Option<&'a str> {
    let (a, b) = conversation_id.strip_prefix("sn_")?.split_once('_')?;
    match (a == user, b == user) {
        _ if a.is_empty() || b.is_empty() || b.contains('_') => None,
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    }
}

/// The notification conversation that belongs to a conversation: the part before the first `_` becomes `n`.
pub fn notification_of(conversation_id: &str) -> String {
    match conversation_id.split_once('_') {
        Some((_, rest)) => format!("n_{rest}"),
        None => format!("n_{conversation_id}"),
    }
}

/// A user's notifications to itself.
pub fn own_notifications(user_id: &str) -> String {
    format!("n_{user_id}_{user_id}")
}

/// True for `n_…`.
pub fn is_notification(conversation_id: &str) -> bool {
    conversation_id.starts_with("n_")
}

/// The group of a `sg_…` id.
pub fn group_of(conversation_id: &str) -> Option<&str> {
    conversation_id.strip_prefix("sg_")
}

/// The conversation a message belongs to, by its session type and options; `None` for an unknown session type.
pub fn of_message(message: &MsgData) -> Option<String> {
    let notification = !options::is_set(&message.options, options::IS_NOT_NOTIFICATION);
    let chat = match message.session_type {
        session::SINGLE => single(&message.send_id, &message.recv_id),
        session::GROUP => group(&message.group_id),
        session::NOTIFICATION => account(&message.send_id, &message.recv_id),
        _ => return None,
    };
    Some(if notification { notification_of(&chat) } else { chat })
}

/// Whether `user_id` is one of the two of a pair conversation (`si_`, `sn_`, `n_a_b`). Ids with `_` make the split
/// ambiguous, so the test is by prefix and suffix: no other user can own an id it rejects.
pub fn pair_contains(conversation_id: &str, user_id: &str) -> bool {
    let Some((_, rest)) = conversation_id.split_once('_') else { return false };
    let as_first = rest.strip_prefix(user_id).is_some_and(|tail| tail.len() > 1 && tail.starts_with('_'));
    let as_second = rest.strip_suffix(user_id).is_some_and(|head| head.len() > 1 && head.ends_with('_'));
    as_first || as_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_contract() {
        assert_eq!(single("b", "a"), "si_a_b");
        assert_eq!(single("A", "a"), "si_A_a");
        assert_eq!(notification_of("si_a_b"), "n_a_b");
        assert_eq!(notification_of("sg_77"), "n_77");
        assert_eq!(own_notifications("a"), "n_a_a");
    }

    #[test]
    fn a_message_without_options_is_a_chat_message() {
        let mut message = MsgData {
            send_id: "b".into(),
            recv_id: "a".into(),
            session_type: session::SINGLE,
            ..Default::default()
        };
        assert_eq!(of_message(&message).as_deref(), Some("si_a_b"));
        message.options.insert(options::IS_NOT_NOTIFICATION.into(), false);
        assert_eq!(of_message(&message).as_deref(), Some("n_a_b"));
        message.session_type = 2;
        assert_eq!(of_message(&message), None);
    }

    #[test]
    fn only_the_pair_is_contained() {
        assert!(pair_contains("si_a_b", "a") && pair_contains("si_a_b", "b") && pair_contains("n_a_a", "a"));
        for stranger in ["c", "", "a_", "si", "_b"] {
            assert!(!pair_contains("si_a_b", stranger), "{stranger}");
        }
        assert!(!pair_contains("n_12345", "12345"));
    }
}

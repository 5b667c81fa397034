//! Which conversations a message goes to (semantics.md 4.1). A notification that is also a chat message becomes two.

use model::{conversation_id as ids, options};
use protocol::sdkws::MsgData;

/// A message on its way to one conversation.
pub(crate) struct Outgoing {
    pub(crate) conversation: String,
    pub(crate) message: MsgData,
    /// Gets a seq and is written; otherwise it is only pushed, with seq 0.
    pub(crate) stored: bool,
}

/// Expands a batch, keeping its order.
pub(crate) fn expand(messages: Vec<MsgData>) -> Vec<Outgoing> {
    let mut outgoing = Vec::with_capacity(messages.len());
    for mut message in messages {
        let Some(conversation) = ids::of_message(&message) else {
            tracing::error!(session_type = message.session_type, "transfer.unknown_session_type");
            continue;
        };
        let notification = ids::is_notification(&conversation);
        let mut chat_copy = None;
        if notification && options::is_set(&message.options, options::IS_SEND_MSG) {
            let mut chat = message.clone();
            chat.options = [options::OFFLINE_PUSH, options::UNREAD_COUNT]
                .into_iter()
                .map(|key| (key.to_owned(), options::is_set(&message.options, key)))
                .collect();
            message.options.insert(options::OFFLINE_PUSH.to_owned(), false);
            message.options.insert(options::UNREAD_COUNT.to_owned(), false);
            chat_copy = ids::of_message(&chat).map(|conversation| Outgoing {
                conversation,
                message: chat,
                stored: true,
            });
        }
        let stored = options::is_set(&message.options, options::HISTORY);
        // The notification goes first: it makes clients fetch the group that the chat message is about.
        outgoing.push(Outgoing { conversation, message, stored });
        outgoing.extend(chat_copy);
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use model::options::NotificationOptions;
    use protocol::content_type::session;

    use super::*;

    fn group_message() -> MsgData {
        MsgData {
            send_id: "a".into(),
            group_id: "g".into(),
            session_type: session::GROUP,
            ..Default::default()
        }
    }

    #[test]
    fn a_chat_message_goes_to_its_conversation() {
        let outgoing = expand(vec![group_message()]);
        assert_eq!(
            (outgoing.len(), outgoing[0].conversation.as_str(), outgoing[0].stored),
            (1, "sg_g", true)
        );
    }

    #[test]
    fn a_notification_that_is_also_chat_becomes_two() {
        let options = NotificationOptions { also_chat: true, offline_push: true, stored: false }.to_map();
        let outgoing = expand(vec![MsgData { options, ..group_message() }]);
        let found: Vec<(&str, bool)> =
            outgoing.iter().map(|item| (item.conversation.as_str(), item.stored)).collect();
        assert_eq!(found, [("n_g", false), ("sg_g", true)]);
        assert!(options::is_set(&outgoing[1].message.options, options::OFFLINE_PUSH));
        assert!(options::is_set(&outgoing[1].message.options, options::HISTORY));
        assert!(!options::is_set(&outgoing[0].message.options, options::OFFLINE_PUSH));
    }
}

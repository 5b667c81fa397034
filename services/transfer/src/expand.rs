//! The conversations of a message (docs/protocol/messages.md#sequence-numbers). A notification that is also a chat message
//! becomes two.

use bytes::Bytes;
use model::{conversation_id as ids, options, sequencer::DedupKey};
use prost::Message;
use protocol::{content_type::status, sdkws::MsgData};
use store::messages::StoredMessage;

/// A message as it was accepted.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) message: MsgData,
    /// Of the request that sent it; none for records of a version that told the integrator itself.
    pub(crate) operation: Option<String>,
}

/// A message on its way to one conversation.
pub(crate) struct Outgoing {
    pub(crate) conversation: String,
    /// As it was accepted; a repeat becomes what is stored.
    pub(crate) message: MsgData,
    /// Gets a seq and is written; otherwise it is only pushed, with seq 0.
    pub(crate) stored: bool,
    /// See [`Accepted`]; only one of the two that a notification becomes has it.
    pub(crate) operation: Option<String>,
    /// Decided when it is placed.
    pub(crate) seq: i64,
    /// With its seq, as it is stored and pushed.
    pub(crate) encoded: Bytes,
    /// What is left to do.
    pub(crate) state: State,
}

/// By what a message is recognised that comes again.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// A client's retry is the same message.
    Stored(DedupKey),
    /// Only the same record is: a hint may be given again.
    Hint {
        /// Where it goes.
        conversation: String,
        /// Of the record.
        server_msg_id: String,
    },
}

/// What is left to do for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything.
    Open,
    /// It was revoked, edited or removed since it was stored: receivers see that when they pull, and must not get what it was.
    Changed,
    /// Nothing: the same message was handled to the end, or is handled in the same batch.
    Done,
}

/// Expands a batch, keeping its order.
pub(crate) fn expand(accepted: Vec<Accepted>) -> Vec<Outgoing> {
    let mut outgoing = Vec::with_capacity(accepted.len());
    for Accepted { mut message, operation } in accepted {
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
            chat_copy =
                ids::of_message(&chat).map(|conversation| Outgoing::new(conversation, chat, true, None));
        }
        let stored = options::is_set(&message.options, options::HISTORY);
        // The notification goes first: it makes clients fetch the group that the chat message is about.
        outgoing.push(Outgoing::new(conversation, message, stored, operation));
        outgoing.extend(chat_copy);
    }
    outgoing
}

impl Outgoing {
    fn new(conversation: String, message: MsgData, stored: bool, operation: Option<String>) -> Self {
        let (seq, encoded) = (0, Bytes::new());
        Self { conversation, message, stored, operation, seq, encoded, state: State::Open }
    }

    /// Under which it is stored once.
    pub(crate) fn key(&self) -> DedupKey {
        DedupKey {
            conversation: self.conversation.clone(),
            send_id: self.message.send_id.clone(),
            client_msg_id: self.message.client_msg_id.clone(),
        }
    }

    /// None: it cannot be distinguished from others.
    pub(crate) fn identity(&self) -> Option<Identity> {
        if self.stored {
            return Some(Identity::Stored(self.key()));
        }
        let server_msg_id = self.message.server_msg_id.clone();
        let conversation = self.conversation.clone();
        (!server_msg_id.is_empty()).then_some(Identity::Hint { conversation, server_msg_id })
    }

    /// Gives it a seq; 0 when it is not stored.
    pub(crate) fn place(&mut self, seq: i64) {
        // Only these two fields differ from what was accepted: set while it is encoded, so that nothing is copied.
        let accepted = (self.message.seq, self.message.status);
        self.message.seq = seq;
        if self.message.status == status::SENDING {
            self.message.status = status::SUCCESS;
        }
        self.encoded = self.message.encode_to_vec().into();
        (self.message.seq, self.message.status) = accepted;
        self.seq = seq;
    }

    /// It was stored before, perhaps with another body: everybody sees the one that is stored.
    pub(crate) fn become_stored(&mut self, stored: StoredMessage) {
        self.seq = stored.seq();
        if !stored.is_as_sent() {
            self.state = State::Changed;
        }
        self.encoded = stored.into_encoded();
        match MsgData::decode(self.encoded.clone()) {
            Ok(message) => self.message = message,
            // What is stored was encoded here.
            Err(error) => {
                tracing::error!(conversation = self.conversation, seq = self.seq, %error, "transfer.stored_undecodable");
                self.state = State::Changed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::options::NotificationOptions;
    use protocol::content_type::session;

    use super::*;

    fn accepted(message: MsgData) -> Accepted {
        Accepted { message, operation: Some("o".into()) }
    }

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
        let outgoing = expand(vec![accepted(group_message())]);
        assert_eq!(
            (outgoing.len(), outgoing[0].conversation.as_str(), outgoing[0].stored),
            (1, "sg_g", true)
        );
    }

    #[test]
    fn a_notification_that_is_also_chat_becomes_two() {
        let options = NotificationOptions { also_chat: true, offline_push: true, stored: false }.to_map();
        let outgoing = expand(vec![accepted(MsgData { options, ..group_message() })]);
        let found: Vec<(&str, bool)> =
            outgoing.iter().map(|item| (item.conversation.as_str(), item.stored)).collect();
        assert_eq!(found, [("n_g", false), ("sg_g", true)]);
        assert!(options::is_set(&outgoing[1].message.options, options::OFFLINE_PUSH));
        assert!(options::is_set(&outgoing[1].message.options, options::HISTORY));
        assert!(!options::is_set(&outgoing[0].message.options, options::OFFLINE_PUSH));
        assert_eq!(outgoing.iter().filter(|item| item.operation.is_some()).count(), 1, "told of once");
    }

    #[test]
    fn what_is_stored_has_its_seq_and_what_was_accepted_stays() {
        let message = MsgData { status: status::SENDING, content: "{}".into(), ..group_message() };
        let mut item = expand(vec![accepted(message.clone())]).remove(0);
        item.place(7);
        assert_eq!(item.message, message);
        let stored = MsgData::decode(item.encoded.clone()).unwrap();
        assert_eq!(stored, MsgData { seq: 7, status: status::SUCCESS, ..message });
    }

    #[test]
    fn a_hint_is_recognised_by_its_record_and_a_message_by_its_sender() {
        let identity = |server: &str, client: &str, stored: bool| {
            let options = [(options::HISTORY.to_owned(), stored)].into();
            let (server_msg_id, client_msg_id) = (server.to_owned(), client.to_owned());
            let message = MsgData { server_msg_id, client_msg_id, options, ..group_message() };
            expand(vec![accepted(message)]).remove(0).identity()
        };
        assert_eq!(identity("s1", "c", true), identity("s2", "c", true), "a retry");
        assert_eq!(identity("s1", "c", false), identity("s1", "c", false), "a record that is there twice");
        assert_ne!(identity("s1", "c", false), identity("s2", "c", false), "typing goes on");
        assert_eq!(identity("", "c", false), None);
    }

    #[test]
    fn a_retry_with_another_body_becomes_what_is_stored() {
        let message = |text: &str| MsgData { content: text.to_owned().into(), ..group_message() };
        let mut first = expand(vec![accepted(message("first"))]).remove(0);
        first.place(3);
        let document = StoredMessage::new(&first.key(), 3, &first.message, first.encoded.clone().into());
        let mut retry = expand(vec![accepted(message("second"))]).remove(0);
        retry.become_stored(document);
        assert_eq!((retry.seq, &retry.encoded, retry.state), (3, &first.encoded, State::Open));
        assert_eq!(retry.message.content, "first".as_bytes());
    }

    #[test]
    fn a_retry_of_what_was_removed_is_not_pushed() {
        let mut item = expand(vec![accepted(group_message())]).remove(0);
        let removed = StoredMessage::new(&item.key(), 3, &item.message, vec![]);
        item.become_stored(removed);
        assert_eq!((item.seq, item.state), (3, State::Changed));
    }
}

//! A message of contentType 143 begins a stream. The sender may write there, or it is refused like any other message.

use model::{conversation_id, options, sequencer::DedupKey};
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    bounds::{OPEN_STREAMS, STREAM_BYTES, STREAM_PACKET_BYTES},
    content_type::session,
    msg::SendMsgResp,
    sdkws::MsgData,
};
use rpc::Context;
use store::streams::Stream;

use super::{Content, SILENCE_MS};
use crate::{Messages, bounds};

impl Messages {
    /// Begins a stream; the same call again answers the same, without a second one.
    pub(crate) async fn begin_stream(&self, context: &Context, message: &mut MsgData) -> Result<SendMsgResp> {
        let content = check(message)?;
        self.permit(context, message).await?;
        let conversation = conversation_id::of_message(message)
            .ok_or_else(|| Error::args("a stream needs sessionType 1 or 3"))?;
        self.check_unused(context, &conversation, message).await?;
        let audience = match message.session_type {
            session::GROUP => self.store.member_count(&message.group_id).await?,
            _ => 2,
        };
        // A back end may name another time for a message; a stream is silent by our clock.
        let now = self.clock.now_ms();
        let by = (context.user_id(), context.caller.platform_id);
        let stream = Stream::new(&conversation, message, by, audience, (now, now + SILENCE_MS));
        let before = self.store.begin_stream(&stream).await?;
        let answer = |sent: i64| SendMsgResp {
            server_msg_id: message.server_msg_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
            send_time: sent,
            modify: None,
        };
        match before {
            None => {
                self.streams.notify(&stream, message, &content, 0, vec![]);
                Ok(answer(now))
            }
            Some(before) if before.sender == message.send_id => Ok(answer(before.begun)),
            Some(_) => Err(in_use(message)),
        }
    }

    /// The clientMsgID belongs to no message, and the conversation has room.
    async fn check_unused(&self, context: &Context, conversation: &str, message: &MsgData) -> Result<()> {
        let key = DedupKey {
            conversation: conversation.to_owned(),
            send_id: message.send_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
        };
        let known = self.store.stored_keys(std::slice::from_ref(&key)).await?.contains_key(&key);
        if known && self.store.stream(conversation, &message.client_msg_id).await?.is_none() {
            return Err(in_use(message));
        }
        // Users cannot take all the room: as much again is for back ends.
        let most = OPEN_STREAMS as u64 * if context.is_privileged() { 2 } else { 1 };
        if self.store.other_open_streams(conversation, &message.client_msg_id, most).await? >= most {
            return Err(Error::args(format!(
                "{conversation} has {most} streams that have not ended; end one first (end: true)"
            )));
        }
        Ok(())
    }
}

fn check(message: &MsgData) -> Result<Content> {
    let content = Content::parse(&message.content)?;
    protocol::check::at_most("content.content", &content.content, STREAM_PACKET_BYTES)?;
    if !options::is_set(&message.options, options::HISTORY) {
        return Err(Error::args(
            "a stream ends as a stored message: remove the option history=false (isOnlineOnly)",
        ));
    }
    bounds::check_record(message.encoded_len() + STREAM_BYTES)?;
    Ok(content)
}

fn in_use(message: &MsgData) -> Error {
    ErrorCode::DuplicateKey
        .with(format!("clientMsgID {} is that of another message; choose a new one", message.client_msg_id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_stream_must_be_stored_and_fit() {
        let message = |text: &str| MsgData {
            content: format!(r#"{{"type":"text","content":"{text}"}}"#).into_bytes().into(),
            ..Default::default()
        };
        assert!(check(&message("x")).is_ok());
        let unstored =
            MsgData { options: BTreeMap::from([(options::HISTORY.to_owned(), false)]), ..message("x") };
        assert!(check(&unstored).unwrap_err().detail.contains("history"));
        let long = check(&message(&"x".repeat(STREAM_PACKET_BYTES + 1))).unwrap_err();
        assert!(long.detail.contains("content.content") && long.detail.contains("16384"), "{long}");
        let large = MsgData { ex: "x".repeat(protocol::bounds::RECORD_BYTES - STREAM_BYTES), ..message("x") };
        assert!(check(&large).is_err());
    }
}

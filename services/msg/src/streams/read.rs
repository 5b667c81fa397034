//! What readers who missed something ask for, and writers that start again.

use model::{
    access::{self, Part},
    conversation_id as ids,
};
use protocol::{
    Error, Result,
    bounds::OPEN_STREAMS,
    check,
    content_type::session,
    extension::{GetStreamMsgReq, GetStreamMsgResp, GetStreamMsgsReq, GetStreamMsgsResp, OpenStream},
};
use rpc::Context;
use store::streams::Stream;

use super::{Content, SILENCE_MS, not_found};
use crate::Messages;

/// Whether the stream is one between the caller and another, or of a group: ids with `_` can make two pairs look the same.
fn is_party(context: &Context, stream: &Stream) -> bool {
    let Ok(message) = stream.message() else { return false };
    let user = context.user_id();
    context.is_privileged()
        || stream.closed.is_some()
        || message.session_type == session::GROUP
        || message.send_id == user
        || message.recv_id == user
}

impl Messages {
    /// A stream that the caller may read; to others it does not exist.
    pub(super) async fn readable_stream(
        &self,
        context: &Context,
        conversation: &str,
        client_msg_id: &str,
    ) -> Result<Stream> {
        let found = self.store.stream(conversation, client_msg_id).await?;
        let found = found.ok_or_else(|| not_found(conversation, client_msg_id))?;
        let is_own = found.sender == context.user_id();
        if is_own || self.reads_along(context, conversation).await? && is_party(context, &found) {
            return Ok(found);
        }
        Err(not_found(conversation, client_msg_id))
    }

    /// Whether the caller takes part in the conversation now: whoever has left a group sees nothing that is still being written.
    async fn reads_along(&self, context: &Context, conversation: &str) -> Result<bool> {
        if context.is_privileged() {
            return Ok(true);
        }
        let user = context.user_id();
        if ids::is_notification(conversation) {
            return Ok(false);
        }
        let member = match access::group_behind(conversation) {
            Some(group) => self.facts.member(group, user).await?.is_some(),
            None => false,
        };
        Ok(access::of(user, conversation, Part { member, closed: false }).is_some())
    }

    pub(crate) async fn get_stream(
        &self,
        context: &Context,
        request: GetStreamMsgReq,
    ) -> Result<GetStreamMsgResp> {
        check::non_empty("conversationID", &request.conversation_id)?;
        check::non_empty("clientMsgID", &request.client_msg_id)?;
        if request.start_index < 0 {
            return Err(Error::args("startIndex must be at least 0"));
        }
        let stream = self.readable_stream(context, &request.conversation_id, &request.client_msg_id).await?;
        let answer = GetStreamMsgResp {
            conversation_id: stream.conversation().to_owned(),
            client_msg_id: stream.client_msg_id().to_owned(),
            user_id: stream.sender.clone(),
            start_index: request.start_index,
            create_time: stream.begun,
            ..Default::default()
        };
        let packets = self.store.packets_from(&stream, request.start_index).await?;
        let last = self.store.last_block(&stream).await?;
        // Looked at after the packets: those of a stream that is open now were all there.
        let now = self.store.stream(stream.conversation(), stream.client_msg_id()).await?;
        let Some(now) = now else { return Err(not_found(stream.conversation(), stream.client_msg_id())) };
        if let Some(closed) = now.closed {
            return Ok(GetStreamMsgResp { end: true, ended: closed.how, next_index: closed.next, ..answer });
        }
        let message = stream.message().map_err(Error::internal)?;
        let content = Content::parse(&message.content)?;
        let next_index = match packets.len() {
            0 => last.as_ref().map_or(0, |last| last.next),
            some => request.start_index + some as i64,
        };
        Ok(GetStreamMsgResp {
            packets,
            next_index,
            deadline_time: last.as_ref().map_or(stream.begun, |last| last.time) + SILENCE_MS,
            r#type: content.becomes.name().to_owned(),
            content: content.content,
            ..answer
        })
    }

    pub(crate) async fn get_streams(
        &self,
        context: &Context,
        request: GetStreamMsgsReq,
    ) -> Result<GetStreamMsgsResp> {
        let conversation = &request.conversation_id;
        check::non_empty("conversationID", conversation)?;
        if !self.reads_along(context, conversation).await? {
            return Ok(GetStreamMsgsResp::default());
        }
        let streams = self.store.open_streams(conversation, 2 * OPEN_STREAMS as i64).await?;
        let own = streams.into_iter().filter(|stream| is_party(context, stream));
        let open = |stream: Stream| -> Result<OpenStream> {
            let message = stream.message().map_err(Error::internal)?;
            Ok(OpenStream {
                client_msg_id: stream.client_msg_id().to_owned(),
                user_id: stream.sender.clone(),
                create_time: stream.begun,
                r#type: Content::parse(&message.content)?.becomes.name().to_owned(),
            })
        };
        Ok(GetStreamMsgsResp { streams: own.map(open).collect::<Result<_>>()? })
    }
}

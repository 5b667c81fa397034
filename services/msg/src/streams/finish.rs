//! The end of a stream: its text is sent as an ordinary message. Whoever dies before that is done is followed by somebody who does it
//! again; the message has the clientMsgID of the stream, so it is stored once.

use std::time::Duration;

use futures::StreamExt;
use model::sequencer::DedupKey;
use notification::To;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    content_type::session,
    extension::StreamTips,
    internal::{EndStreamsReq, EndStreamsResp},
    sdkws::MsgData,
};
use rpc::Context;
use store::{
    DAY_MS,
    streams::{Block, Closed, Stream},
};
use tokio::time::Instant;

use super::{
    BLOCKS_STAY_MS, Content, EMPTY, INTERRUPTED_MS, REMEMBERED_MS, SENT, SILENCE_MS, notify::STREAM,
};
use crate::Messages;

/// Streams that are read at a time: as many of the largest as fit into a reading.
const AT_A_TIME: i64 = 32;
/// How long a call goes on; whoever calls waits for ten seconds.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// How many of them at once.
const AT_ONCE: usize = 16;
/// A message that cannot be sent for so long is given up, ms.
const GIVEN_UP_MS: i64 = DAY_MS;

impl Messages {
    /// Sends the text of a stream whose last block says that it has ended.
    pub(super) async fn end_stream(&self, operation_id: &str, stream: &Stream) -> Result<()> {
        let Some(last) = self.store.last_block(stream).await? else { return Ok(()) };
        let packets = self.store.packets_from(stream, 0).await?;
        // Looked at after the packets: those of a stream that is open now were all there.
        let now = self.store.stream(stream.conversation(), stream.client_msg_id()).await?;
        if now.is_none_or(|now| now.closed.is_some()) {
            return Ok(());
        }
        self.streams.forget(stream);
        let how = match self.send_text(operation_id, stream, &last, packets.concat()).await {
            Ok(how) => how,
            Err(error) if is_given_up(&error, last.time, self.clock.now_ms()) => {
                // An attempt whose answer was lost, or another process, may have sent it.
                if self.was_sent(stream).await? {
                    return self.close(stream, SENT, last.next).await;
                }
                self.notify_of_refusal(stream, last.next, error.shown()).await;
                self.close(stream, error.shown(), last.next).await?;
                return Err(error);
            }
            Err(error) => {
                // The end is stored; whoever looks for interrupted streams sends the message.
                tracing::warn!(conversation = stream.conversation(), %error, "stream.not_sent: retrying");
                return Ok(());
            }
        };
        self.close(stream, how, last.next).await
    }

    async fn was_sent(&self, stream: &Stream) -> Result<bool> {
        let key = DedupKey {
            conversation: stream.conversation().to_owned(),
            send_id: stream.sender.clone(),
            client_msg_id: stream.client_msg_id().to_owned(),
        };
        Ok(self.store.stored_keys(std::slice::from_ref(&key)).await?.contains_key(&key))
    }

    async fn close(&self, stream: &Stream, how: &str, next: i64) -> Result<()> {
        let now = self.clock.now_ms();
        let closed = Closed { how: how.to_owned(), next, at: now };
        Ok(self.store.close_stream(stream, &closed, now + BLOCKS_STAY_MS).await?)
    }

    async fn send_text(
        &self,
        operation_id: &str,
        stream: &Stream,
        last: &Block,
        packets: String,
    ) -> Result<&'static str> {
        let mut message = stream.message().map_err(Error::internal)?;
        let content = Content::parse(&message.content)?;
        let text = content.content + &packets;
        if text.is_empty() {
            return Ok(EMPTY);
        }
        message.content_type = content.becomes.content_type();
        message.content.clear();
        message.content = content.becomes.whole(&text, message.encoded_len()).into();
        // Clients show messages by time: this one comes when it is whole.
        message.send_time = last.time;
        let context = Context { operation_id: operation_id.to_owned(), ..self.began(stream) };
        self.hand_over(&context, &mut message).await?;
        Ok(SENT)
    }

    /// Whoever began the stream, for what is decided as it was then.
    fn began(&self, stream: &Stream) -> Context {
        if stream.begun_by.is_empty() {
            return Context::system(String::new());
        }
        Context::verified(&self.config, &stream.begun_by, stream.platform, String::new())
    }

    /// The same for an operation.
    pub(super) fn as_began(&self, context: &Context, stream: &Stream) -> Context {
        Context { operation_id: context.operation_id.clone(), ..self.began(stream) }
    }

    /// Notifies the readers of a stream that its message was refused.
    async fn notify_of_refusal(&self, stream: &Stream, next: i64, why: &str) {
        let Ok(message) = stream.message() else { return };
        let Ok(content) = Content::parse(&message.content) else { return };
        let tips =
            StreamTips { start_index: next, end: true, ended: why.to_owned(), ..tips_of(stream, &content) };
        let context = Context::system(model::random_id());
        let told = notification::business(
            &self.peers,
            &context,
            &stream.sender,
            readers(&message),
            (STREAM, &tips),
            false,
        );
        if let Err(error) = told.await {
            // Whoever asks for the stream gets to know, and a device that starts again does not show it.
            tracing::warn!(%error, "stream.refusal_not_notified");
        }
    }

    /// Looks after streams that are due: silent ones end, interrupted ones are completed, closed ones are forgotten.
    pub(crate) async fn end_streams(&self, context: &Context, _: EndStreamsReq) -> Result<EndStreamsResp> {
        context.require_system()?;
        let (until, mut count) = (Instant::now() + LOOK_FOR, 0);
        while Instant::now() < until {
            // Those that were looked at are due later, so the next reading has others.
            let due = self.store.due_streams(self.clock.now_ms(), AT_A_TIME).await?;
            if due.is_empty() {
                break;
            }
            count += due.len() as i64;
            futures::stream::iter(due)
                .for_each_concurrent(AT_ONCE, async |stream| {
                    if let Err(error) = self.look_after(&context.operation_id, &stream).await {
                        tracing::warn!(conversation = stream.conversation(), %error, "stream.not_ended");
                    }
                })
                .await;
        }
        Ok(EndStreamsResp { count })
    }

    async fn look_after(&self, operation_id: &str, stream: &Stream) -> Result<()> {
        let now = self.clock.now_ms();
        // Nobody else looks at it meanwhile; after a crash somebody does.
        if !self.store.put_off_stream(stream, stream.due, now + INTERRUPTED_MS).await? {
            return Ok(());
        }
        if let Some(closed) = &stream.closed {
            let forgotten_at = closed.at + REMEMBERED_MS;
            if forgotten_at <= now {
                return Ok(self.store.remove_stream(stream).await?);
            }
            self.store.remove_blocks(stream).await?;
            self.store.put_off_stream(stream, now + INTERRUPTED_MS, forgotten_at).await?;
            return Ok(());
        }
        let last = self.store.last_block(stream).await?;
        if last.as_ref().is_some_and(|last| last.end) {
            return self.end_stream(operation_id, stream).await;
        }
        let silent_at = last.as_ref().map_or(stream.begun, |last| last.time) + SILENCE_MS;
        if silent_at > now {
            // A moment ago it had another time: whoever is ending it now is not disturbed.
            self.store.put_off_stream(stream, now + INTERRUPTED_MS, silent_at).await?;
            return Ok(());
        }
        let (next, bytes) = last.map_or((0, 0), |last| (last.next, last.bytes));
        let end = Block::new(stream, next, vec![], bytes, now, true);
        if !self.store.append_block(&end).await? {
            // Its writer is back. It is looked at again.
            return Ok(());
        }
        tracing::info!(conversation = stream.conversation(), packets = next, "stream.ended_by_silence");
        self.end_stream(operation_id, stream).await
    }
}

/// Who reads a stream along.
pub(super) fn readers(message: &MsgData) -> To<'_> {
    match message.session_type {
        session::GROUP => To::Group(&message.group_id),
        _ => To::User(&message.recv_id),
    }
}

/// The notification about a stream, without packets.
pub(super) fn tips_of(stream: &Stream, content: &Content) -> StreamTips {
    StreamTips {
        conversation_id: stream.conversation().to_owned(),
        client_msg_id: stream.client_msg_id().to_owned(),
        user_id: stream.sender.clone(),
        r#type: content.becomes.name().to_owned(),
        content: content.content.clone(),
        ..Default::default()
    }
}

/// Whether nobody tries again: it was refused, or something other than an outage has kept it from being sent for a day.
fn is_given_up(error: &Error, ended: i64, now: i64) -> bool {
    is_final(error) || !error.unreachable && ended + GIVEN_UP_MS < now
}

/// Whether the same would be refused again.
fn is_final(error: &Error) -> bool {
    let may_pass =
        [ErrorCode::Internal, ErrorCode::TooManyRequests, ErrorCode::WebhookNetwork, ErrorCode::WebhookData];
    !error.unreachable && !may_pass.contains(&error.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_any_length_gives_nothing_up() {
        let late = 3 * DAY_MS;
        assert!(!is_given_up(&Error::unreachable("Kafka"), 0, late));
        assert!(!is_given_up(&Error::busy("msg"), 0, late));
        assert!(is_given_up(&Error::internal("decode"), 0, late));
        assert!(!is_given_up(&Error::internal("decode"), 0, 1));
        assert!(is_given_up(&ErrorCode::MutedInGroup.with("muted"), 0, 0));
    }

    #[test]
    fn a_failure_of_a_server_is_no_refusal() {
        for (error, expected) in [
            (ErrorCode::MutedInGroup.with("muted"), true),
            (ErrorCode::Callback.with("not today"), true),
            (Error::internal("Kafka"), false),
            (Error::unreachable("MongoDB"), false),
            (Error::busy("msg"), false),
            (ErrorCode::WebhookNetwork.with("no answer"), false),
        ] {
            assert_eq!(is_final(&error), expected, "{error}");
        }
    }
}

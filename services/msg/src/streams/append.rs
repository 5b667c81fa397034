//! Appending packets by position: what is there already is compared, what is new is stored, and a gap is refused with the position that
//! is expected. A writer without an answer sends the same again.

use std::sync::Arc;

use protocol::{
    Error, ErrorCode, Result,
    bounds::{CLIENT_MSG_ID_BYTES, ITEMS, STREAM_BYTES, STREAM_PACKET_BYTES, STREAM_PACKETS},
    check,
    content_type::session,
    extension::{AppendStreamMsgReq, AppendStreamMsgResp},
    sdkws::MsgData,
};
use rpc::Context;
use store::{
    groups::DISMISSED,
    streams::{Block, Closed, Stream},
};

use super::{
    INTERRUPTED_MS, bytes_in_json, elsewhere,
    known::{Open, Position},
};
use crate::Messages;

/// How often a position is looked at again because another writer was faster.
const TRIES: usize = 5;

impl Messages {
    pub(crate) async fn append_stream(
        &self,
        context: &Context,
        request: AppendStreamMsgReq,
    ) -> Result<AppendStreamMsgResp> {
        check_request(&request)?;
        let (conversation, id) = (&request.conversation_id, &request.client_msg_id);
        let known = self.streams.known.get(conversation, id);
        let own = known.filter(|open| context.require_self("sendID", &open.stream.sender).is_ok());
        let open = match own {
            Some(open) => open,
            None => {
                let stream = self.own_stream(context, conversation, id).await?;
                if let Some(closed) = &stream.closed {
                    return repeated(&request, closed).map(|()| AppendStreamMsgResp {});
                }
                let open = Arc::new(Open::new(stream)?);
                self.streams.known.put(open.clone());
                open
            }
        };
        if self.append(context, &open, &request).await? {
            self.streams.known.forget(&open.stream);
            self.end_stream(&context.operation_id, &open.stream).await?;
        }
        Ok(AppendStreamMsgResp {})
    }

    /// A stream of the caller, or any for an administrator.
    async fn own_stream(&self, context: &Context, conversation: &str, id: &str) -> Result<Stream> {
        let stream = self.readable_stream(context, conversation, id).await?;
        if context.require_self("sendID", &stream.sender).is_ok() {
            return Ok(stream);
        }
        Err(Error::no_permission("only the sender of a stream, or an administrator, may append to it"))
    }

    /// Whether the stream has ended with it.
    async fn append(&self, context: &Context, open: &Open, request: &AppendStreamMsgReq) -> Result<bool> {
        let mut expected = open.end().filter(|end| end.next == request.start_index);
        for _try in 0..TRIES {
            let at = match expected.take() {
                Some(at) => at,
                None => self.position(open).await?,
            };
            let known = self.known_of(&open.stream, request, at).await?;
            let fresh = &request.packets[known..];
            if at.has_ended {
                return if fresh.is_empty() { Ok(true) } else { Err(has_ended("", at.next)) };
            }
            if fresh.is_empty() && !request.end {
                return Ok(false);
            }
            if !fresh.is_empty() {
                self.ensure_group_lives(&open.message).await?;
                self.may_speak(&self.as_began(context, &open.stream), &open.message).await?;
            }
            let block = self.block(&open.stream, at, fresh, request.end)?;
            if self.store_block(open, &block).await? {
                if !block.end {
                    self.streams.notify(&open.stream, &open.message, &open.content, at.next, block.packets);
                }
                return Ok(block.end);
            }
        }
        Err(Error::unreachable("concurrent appends to this stream; send it again"))
    }

    /// A dismissed group keeps its members.
    async fn ensure_group_lives(&self, message: &MsgData) -> Result<()> {
        if message.session_type != session::GROUP {
            return Ok(());
        }
        let id = &message.group_id;
        match self.facts.group(id).await? {
            None => Err(ErrorCode::GroupNotFound.with(format!("no group {id}"))),
            Some(group) if group.status == DISMISSED => {
                Err(ErrorCode::Dismissed.with(format!("group {id} is dismissed")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Stores a block; `false` when another one is there.
    async fn store_block(&self, open: &Open, block: &Block) -> Result<bool> {
        if block.end {
            // Before the end is stored: whoever dies after it is found soon.
            let due = self.clock.now_ms() + INTERRUPTED_MS;
            self.store.hasten_stream(&open.stream, due).await?;
        }
        // Until it is known to be stored, nothing is known.
        open.set_end(None);
        let stored = self.store.append_block(block).await?;
        open.set_end(stored.then(|| Position::from(block)));
        Ok(stored)
    }

    /// How many of the packets the stream already has.
    async fn known_of(&self, stream: &Stream, request: &AppendStreamMsgReq, at: Position) -> Result<usize> {
        let start = request.start_index;
        if start > at.next {
            return Err(elsewhere(format!(
                "startIndex {start} leaves a gap: the next packet of this stream is {}",
                at.next
            )));
        }
        let known = usize::try_from(at.next - start).unwrap_or(usize::MAX).min(request.packets.len());
        if known == 0 {
            return Ok(0);
        }
        let stored = self.store.packets_from(stream, start).await?;
        let different =
            request.packets[..known].iter().zip(&stored).position(|(given, stored)| given != stored);
        match different {
            Some(which) => Err(elsewhere(format!(
                "packet {} differs from the one that is stored; packets cannot be changed, the next one is {}",
                start + which as i64,
                at.next
            ))),
            None => Ok(known),
        }
    }

    async fn position(&self, open: &Open) -> Result<Position> {
        let last = self.store.last_block(&open.stream).await?;
        Ok(last.as_ref().map_or_else(|| open.beginning(), Position::from))
    }

    fn block(&self, stream: &Stream, at: Position, fresh: &[String], end: bool) -> Result<Block> {
        let bytes = at.bytes + fresh.iter().map(|packet| bytes_in_json(packet) as i64).sum::<i64>();
        let remedy = "end this stream (end: true without packets) and begin another";
        if bytes > STREAM_BYTES as i64 {
            return Err(Error::args(format!(
                "packets: the text of a stream has at most {STREAM_BYTES} bytes as JSON; {remedy}"
            )));
        }
        let block = Block::new(stream, at.next, fresh.to_vec(), bytes, self.clock.now_ms(), end);
        if block.next > STREAM_PACKETS {
            return Err(Error::args(format!(
                "packets: a stream has at most {STREAM_PACKETS} packets; {remedy}, with longer packets"
            )));
        }
        Ok(block)
    }
}

fn check_request(request: &AppendStreamMsgReq) -> Result<()> {
    check::non_empty("conversationID", &request.conversation_id)?;
    check::non_empty("clientMsgID", &request.client_msg_id)?;
    check::at_most("clientMsgID", &request.client_msg_id, CLIENT_MSG_ID_BYTES)?;
    if request.start_index < 0 {
        return Err(Error::args("startIndex must be at least 0"));
    }
    if request.packets.len() > ITEMS {
        return Err(Error::args(format!("packets has more than {ITEMS} items; split the request")));
    }
    request
        .packets
        .iter()
        .try_for_each(|packet| check::at_most("an item of packets", packet, STREAM_PACKET_BYTES))
}

/// The answer to a call about a stream that is closed: what may be a repetition succeeded.
fn repeated(request: &AppendStreamMsgReq, closed: &Closed) -> Result<()> {
    let behind = request.start_index.saturating_add(request.packets.len() as i64);
    if closed.how != super::SENT && closed.how != super::EMPTY {
        return Err(elsewhere(format!("the stream has ended without a message: {}", closed.how)));
    }
    if behind > closed.next { Err(has_ended(&closed.how, closed.next)) } else { Ok(()) }
}

fn has_ended(how: &str, next: i64) -> Error {
    let how = if how.is_empty() { String::new() } else { format!(" ({how})") };
    elsewhere(format!("the stream has ended{how} with {next} packets; begin another"))
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;

    use super::*;

    fn request(start_index: i64, packets: &[&str], end: bool) -> AppendStreamMsgReq {
        AppendStreamMsgReq {
            conversation_id: "si_ann_bot".into(),
            client_msg_id: "1".into(),
            start_index,
            packets: packets.iter().map(|packet| (*packet).to_owned()).collect(),
            end,
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_named() {
        let long = "x".repeat(STREAM_PACKET_BYTES + 1);
        for (wrong, named) in [
            (
                AppendStreamMsgReq { conversation_id: String::new(), ..request(0, &[], true) },
                "conversationID",
            ),
            (AppendStreamMsgReq { client_msg_id: String::new(), ..request(0, &[], true) }, "clientMsgID"),
            (request(-1, &["a"], false), "startIndex"),
            (request(0, &["a"; ITEMS + 1], false), "packets has more than 1000"),
            (request(0, &[&long], false), "an item of packets"),
        ] {
            let error = check_request(&wrong).unwrap_err();
            assert!(error.code == ErrorCode::Args && error.detail.contains(named), "{error}");
        }
        assert!(check_request(&request(0, &["a"; ITEMS], true)).is_ok());
    }

    #[test]
    fn after_the_end_a_repetition_succeeds_and_anything_new_is_refused() {
        let closed = |how: &str| Closed { how: how.into(), next: 3, at: 0 };
        assert!(repeated(&request(0, &["a", "b", "c"], true), &closed(super::super::SENT)).is_ok());
        assert!(repeated(&request(3, &[], true), &closed(super::super::SENT)).is_ok());
        let error = repeated(&request(2, &["c", "d"], false), &closed(super::super::SENT)).unwrap_err();
        assert!(error.code == ErrorCode::NoPermission && error.detail.contains("3 packets"), "{error}");
        let refused = repeated(&request(0, &[], true), &closed("muted")).unwrap_err();
        assert!(refused.detail.contains("without a message: muted"), "{refused}");
    }
}

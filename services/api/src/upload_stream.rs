//! `PUT /msg/append_stream_msg`: a stream is written by one long upload. What arrives is appended a few times a second; the end of the
//! body ends the stream. If the connection breaks, what arrived is appended, and another upload continues behind it.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Query, State},
    http::HeaderMap,
    response::Response,
};
use http_body_util::BodyExt;
use protocol::{
    Error, ErrorCode, Result,
    bounds::{STREAM_PACKET_BYTES, STREAM_PACKETS},
    extension::{AppendStreamMsgReq, GetStreamMsgReq},
};
use rpc::Context;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{Api, envelope};

/// The one path whose bodies are not read into memory.
pub(crate) const PATH: &str = "/msg/append_stream_msg";
/// Between two appends.
const PAUSE: Duration = Duration::from_millis(200);
/// An upload of which nothing comes for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// How long an append is repeated while services do not answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Parameters {
    #[serde(default, rename = "conversationID")]
    conversation_id: String,
    #[serde(default, rename = "clientMsgID")]
    client_msg_id: String,
}

impl Parameters {
    /// Each from the query, or from a header.
    fn with(mut self, headers: &HeaderMap) -> Self {
        for (field, name) in
            [(&mut self.conversation_id, "conversationID"), (&mut self.client_msg_id, "clientMsgID")]
        {
            if field.is_empty() {
                let given = headers.get(name).and_then(|value| value.to_str().ok());
                given.unwrap_or_default().clone_into(field);
            }
        }
        self
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    /// Packets of the stream.
    #[serde(rename = "nextIndex")]
    next_index: i64,
}

/// Text as it arrives: characters may be cut anywhere.
#[derive(Debug, Default)]
struct Arriving {
    text: String,
    /// The beginning of a character.
    cut: Vec<u8>,
}

impl Arriving {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.cut.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.cut) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => {
                self.text.push_str(&String::from_utf8_lossy(&self.cut[..error.valid_up_to()]));
                return Err(Error::args("the body must be UTF-8 text"));
            }
        };
        self.text.push_str(&String::from_utf8_lossy(&self.cut[..whole]));
        self.cut.drain(..whole);
        Ok(())
    }

    /// What has arrived, in packets that are short enough.
    fn take(&mut self) -> Vec<String> {
        let mut packets = vec![];
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let (packet, after) = rest.split_at(rest.floor_char_boundary(STREAM_PACKET_BYTES));
            packets.push(packet.to_owned());
            rest = after;
        }
        self.text.clear();
        packets
    }

    fn has_room(&self) -> bool {
        self.text.len() < STREAM_PACKET_BYTES
    }
}

struct Upload<'a> {
    api: &'a Api,
    context: &'a Context,
    about: Parameters,
    next: i64,
}

pub(crate) async fn handle(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let about = parameters.with(&headers);
    let mut upload = Upload { api: &api, context: &context, about, next: 0 };
    let outcome = upload.run(body).await.map(|()| Answer { next_index: upload.next });
    let is_cut_short = outcome.is_err();
    let mut answer = envelope::answer_of(outcome);
    if is_cut_short {
        // The rest of the body is not read.
        answer
            .headers_mut()
            .insert(axum::http::header::CONNECTION, axum::http::HeaderValue::from_static("close"));
    }
    answer
}

impl Upload<'_> {
    async fn run(&mut self, mut body: Body) -> Result<()> {
        let request = GetStreamMsgReq {
            conversation_id: self.about.conversation_id.clone(),
            client_msg_id: self.about.client_msg_id.clone(),
            // Only the position is wanted.
            start_index: STREAM_PACKETS,
        };
        let stream = self.api.peers.call(self.context, &request).await?;
        if stream.end {
            return Err(Error::no_permission(format!(
                "the stream has ended ({}); begin another",
                stream.ended
            )));
        }
        self.next = stream.next_index;
        let mut arriving = Arriving::default();
        let mut due = None;
        loop {
            let at = due.unwrap_or_else(|| Instant::now() + IDLE);
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = sleep_until(at) => {
                    if due.take().is_none() {
                        return Err(self.broken("no data arrived for a minute"));
                    }
                    self.append(arriving.take(), false).await?;
                    continue;
                }
            };
            match frame {
                None => break,
                Some(Err(_gone)) => {
                    self.append(arriving.take(), false).await?;
                    return Err(self.broken("the connection was lost"));
                }
                Some(Ok(frame)) => {
                    let pushed = arriving.push(&frame.into_data().unwrap_or_else(|_trailers| Bytes::new()));
                    if let Err(error) = pushed {
                        self.append(arriving.take(), false).await?;
                        return Err(self.broken(&error.detail));
                    }
                    due.get_or_insert_with(|| Instant::now() + PAUSE);
                }
            }
            if !arriving.has_room() {
                due = None;
                self.append(arriving.take(), false).await?;
            }
        }
        if !arriving.cut.is_empty() {
            self.append(arriving.take(), false).await?;
            return Err(Error::args("the body ends within a character"));
        }
        self.append(arriving.take(), true).await
    }

    fn broken(&self, why: &str) -> Error {
        let next = self.next;
        Error::args(format!("{why}: {next} packets are stored; another upload continues after them"))
    }

    /// Repeated while nobody answers: the position makes that harmless.
    async fn append(&mut self, packets: Vec<String>, end: bool) -> Result<()> {
        if packets.is_empty() && !end {
            return Ok(());
        }
        let behind = self.next + packets.len() as i64;
        let request = AppendStreamMsgReq {
            conversation_id: self.about.conversation_id.clone(),
            client_msg_id: self.about.client_msg_id.clone(),
            start_index: self.next,
            packets,
            end,
        };
        let repeated = async {
            loop {
                match self.api.peers.call(self.context, &request).await {
                    Err(error) if error.unreachable || error.code == ErrorCode::Internal => {
                        sleep(PAUSE).await
                    }
                    done => return done.map(drop),
                }
            }
        };
        let late = || {
            Error::unreachable(
                "the packets may or may not be stored; read the stream before uploading the rest",
            )
        };
        timeout(PATIENCE, repeated).await.unwrap_or_else(|_late| Err(late()))?;
        self.next = behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_an_invalid_byte_is_not_lost() {
        let mut arriving = Arriving::default();
        assert!(arriving.push(b"good\xff").is_err());
        assert_eq!(arriving.take().concat(), "good");
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "größer 👍 größer";
        for size in 1..8 {
            let mut arriving = Arriving::default();
            for bytes in text.as_bytes().chunks(size) {
                arriving.push(bytes).unwrap();
            }
            assert!(arriving.cut.is_empty());
            assert_eq!(arriving.take().concat(), text);
        }
        assert!(Arriving::default().push(b"\xff").is_err());
    }

    #[test]
    fn what_arrives_is_cut_into_packets_that_are_short_enough() {
        let mut arriving = Arriving::default();
        let text = "ß".repeat(STREAM_PACKET_BYTES);
        arriving.push(b"x").unwrap();
        arriving.push(text.as_bytes()).unwrap();
        assert!(!arriving.has_room());
        let packets = arriving.take();
        assert!(packets.len() == 3 && packets.iter().all(|packet| packet.len() <= STREAM_PACKET_BYTES));
        assert_eq!(packets.concat(), format!("x{text}"));
        assert!(arriving.take().is_empty());
    }

    #[test]
    fn the_stream_is_named_in_the_query_or_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("conversationID", axum::http::HeaderValue::from_static("si_a_b"));
        headers.insert("clientMsgID", axum::http::HeaderValue::from_static("other"));
        let query = Parameters { client_msg_id: "1".into(), ..Parameters::default() };
        let about = query.with(&headers);
        assert_eq!((about.conversation_id.as_str(), about.client_msg_id.as_str()), ("si_a_b", "1"));
    }
}

//! A raw WebSocket client: gob and gzip like the SDK, one reader task, requests matched by msgIncr.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream::SplitSink};
use parking_lot::Mutex;
use prost::Message as _;
use protocol::{
    frame::{Codec, Encoding, Request, Response, command},
    msg::SendMsgResp,
    sdkws::{
        GetMaxSeqReq, GetMaxSeqResp, MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp, PushMessages,
        SeqRange,
    },
};
use tokio::{net::TcpStream, sync::oneshot, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use tokio_util::task::TaskTracker;

use crate::message::{Kind, Target, Wish};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Pending = Arc<Mutex<HashMap<String, oneshot::Sender<Response>>>>;

const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
const MAX_INFLATED: usize = 64 << 20;
/// Messages of a page.
const PAGE: i64 = 100;

/// An error reply: the server said no, and the code says why.
#[derive(Debug)]
pub struct Refused(pub i64, pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.0, self.1)
    }
}

impl std::error::Error for Refused {}

/// Where clients come in.
#[derive(Clone)]
pub struct Door {
    /// URLs of gateways; each connection takes the next one.
    gateways: Arc<[String]>,
    next: Arc<AtomicUsize>,
    /// TLS settings for `wss` URLs.
    connector: Option<Connector>,
}

impl Door {
    /// Of URLs of gateways, separated by commas.
    pub fn new(ws: &str, connector: Option<Connector>) -> Self {
        let gateways = ws.split(',').map(str::to_owned).collect();
        Self { gateways, next: Arc::default(), connector }
    }

    fn gateway(&self) -> &str {
        &self.gateways[self.next.fetch_add(1, Ordering::Relaxed) % self.gateways.len()]
    }
}

/// One connection.
pub struct Client {
    /// The user.
    pub user: String,
    encoding: Encoding,
    writer: Arc<tokio::sync::Mutex<SplitSink<Socket, Message>>>,
    pending: Pending,
    next: AtomicU64,
    closed: tokio_util::sync::CancellationToken,
}

/// Gateways cut connections that say nothing for 30 s.
const HEARTBEAT: Duration = Duration::from_secs(20);

impl Client {
    /// Connects and waits for the server's welcome; `pushed` gets every message that is pushed.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect(
        door: &Door,
        user: &str,
        token: &str,
        platform: i32,
        gzip: bool,
        tasks: &TaskTracker,
        pushed: impl Fn(&str, MsgData) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let compression = if gzip { "&compression=gzip" } else { "" };
        let (operation, ws) = (model::random_id(), door.gateway());
        let url = format!(
            "{ws}?sendID={user}&token={token}&platformID={platform}&operationID={operation}&isBackground=false&isMsgResp=true{compression}"
        );
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let connector = door.connector.clone();
        let dial = tokio_tungstenite::connect_async_tls_with_config(url, Some(config), true, connector);
        let (socket, _) = timeout(REQUEST_DEADLINE, dial).await.context("no handshake within 10 s")??;
        let (writer, mut reader) = socket.split();
        let welcome = timeout(REQUEST_DEADLINE, reader.next())
            .await?
            .context("closed before the handshake result")??;
        let welcome: serde_json::Value = serde_json::from_slice(&welcome.into_data())?;
        if welcome["errCode"] != 0 {
            bail!("refused: {welcome}");
        }
        let encoding = Encoding { codec: Codec::Gob, gzip };
        let pending = Pending::default();
        let closed = tokio_util::sync::CancellationToken::new();
        let (answers, ended) = (pending.clone(), closed.clone());
        tasks.spawn(async move {
            loop {
                let message = tokio::select! {
                    () = ended.cancelled() => break,
                    message = reader.next() => message,
                };
                let Some(Ok(message)) = message else { break };
                let Message::Binary(frame) = message else { continue };
                let Ok(response) = Response::decode(frame, encoding, MAX_INFLATED) else { break };
                if response.req_identifier == command::PUSH_MSG {
                    let Ok(push) = PushMessages::decode(response.data) else { break };
                    for (conversation, list) in push.msgs {
                        for message in list.msgs {
                            pushed(&conversation, message);
                        }
                    }
                } else if let Some(waiting) = answers.lock().remove(&response.msg_incr) {
                    let _gone = waiting.send(response);
                }
            }
            ended.cancel();
            answers.lock().clear();
        });
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        let (pings, ended) = (writer.clone(), closed.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => break,
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
                if pings.lock().await.send(Message::Ping(Default::default())).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { user: user.to_owned(), encoding, writer, pending, next: AtomicU64::new(1), closed })
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// A request with an id of its own, and that id.
    fn frame(&self, command: i64, request: &impl prost::Message) -> (String, Bytes) {
        let msg_incr = format!("{}_{}", self.user, self.next.fetch_add(1, Ordering::Relaxed));
        let request = Request {
            req_identifier: command,
            token: String::new(),
            send_id: self.user.clone(),
            operation_id: msg_incr.clone(),
            msg_incr: msg_incr.clone(),
            data: request.encode_to_vec().into(),
        };
        (msg_incr, request.encode(self.encoding))
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Refused`] when the server says no; anything else means that the outcome is unknown.
    pub async fn request<Req: prost::Message, Resp: prost::Message + Default>(
        &self,
        command: i64,
        request: &Req,
    ) -> anyhow::Result<Resp> {
        let (msg_incr, frame) = self.frame(command, request);
        let (sender, answer) = oneshot::channel();
        self.pending.lock().insert(msg_incr.clone(), sender);
        if self.closed.is_cancelled() {
            bail!("closed");
        }
        let answered = timeout(REQUEST_DEADLINE, async {
            self.writer.lock().await.send(Message::Binary(frame)).await?;
            Ok::<Response, anyhow::Error>(answer.await?)
        })
        .await;
        self.pending.lock().remove(&msg_incr);
        let response = answered.context("no answer within 10 s")??;
        if response.err_code != 0 {
            return Err(Refused(response.err_code, response.err_msg).into());
        }
        Ok(Resp::decode(response.data)?)
    }

    /// Sends a text.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn send_text(
        &self,
        to: Target<'_>,
        client_msg_id: &str,
        content: Bytes,
    ) -> anyhow::Result<SendMsgResp> {
        let wish = Wish { from: &self.user, to, client_msg_id, kind: Kind::Plain };
        self.send(&wish.message(content)).await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn send(&self, message: &MsgData) -> anyhow::Result<SendMsgResp> {
        self.request(command::SEND_MSG, message).await
    }

    /// Sends a message and ends the connection at once, without waiting for the answer: the outcome is unknown.
    pub async fn send_and_hang_up(&self, message: &MsgData) {
        let (_, frame) = self.frame(command::SEND_MSG, message);
        // Whether it went out is as unknown as what became of it.
        let _sent = timeout(REQUEST_DEADLINE, async {
            let mut writer = self.writer.lock().await;
            writer.send(Message::Binary(frame)).await?;
            writer.close().await
        })
        .await;
        self.close();
    }

    /// The newest seq of every conversation.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn newest(&self) -> anyhow::Result<GetMaxSeqResp> {
        self.request(command::GET_NEWEST_SEQ, &GetMaxSeqReq { user_id: self.user.clone() }).await
    }

    /// The messages of a conversation after `after` and up to `max`, in pages, in order.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn pull(&self, conversation: &str, after: i64, max: i64) -> anyhow::Result<Vec<MsgData>> {
        let mut all = Vec::new();
        let mut parts = Parts::new(after, max);
        while let Some((begin, end)) = parts.next() {
            let range =
                SeqRange { conversation_id: conversation.to_owned(), begin, end, num: end - begin + 1 };
            let request =
                PullMessageBySeqsReq { user_id: self.user.clone(), seq_ranges: vec![range], order: 0 };
            let mut answer: PullMessageBySeqsResp = self.request(command::PULL_BY_RANGE, &request).await?;
            // A page that has nothing may be left out.
            let page = answer.msgs.remove(conversation).unwrap_or_default().msgs;
            parts.came(begin, end, page.iter().map(|message| message.seq));
            all.extend(page);
        }
        all.sort_by_key(|message| message.seq);
        Ok(all)
    }
}

/// What has still to be asked for: ranges of at most a page. An answer is bounded in bytes and in time, so it may have only a part of its
/// range, and the rest is asked for again.
struct Parts(Vec<(i64, i64)>);

impl Parts {
    fn new(after: i64, max: i64) -> Self {
        let begins = (after + 1..=max).rev().filter(|begin| (begin - after - 1) % PAGE == 0);
        Self(begins.map(|begin| (begin, max.min(begin + PAGE - 1))).collect())
    }

    fn next(&mut self) -> Option<(i64, i64)> {
        self.0.pop()
    }

    /// An answer without a message ends its range.
    fn came(&mut self, begin: i64, end: i64, seqs: impl Iterator<Item = i64>) {
        let bounds = seqs.filter(|seq| (begin..=end).contains(seq)).fold(None, |bounds, seq| {
            let (lowest, highest) = bounds.unwrap_or((seq, seq));
            Some((lowest.min(seq), highest.max(seq)))
        });
        let Some((lowest, highest)) = bounds else { return };
        let rest = [(highest + 1, end), (begin, lowest - 1)];
        self.0.extend(rest.into_iter().filter(|(begin, end)| begin <= end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads from a server that has these seqs and gives `most` of a range at once.
    fn read(has: &[i64], max: i64, most: usize, newest_first: bool) -> (Vec<i64>, usize) {
        let (mut all, mut requests) = (vec![], 0);
        let mut parts = Parts::new(0, max);
        while let Some((begin, end)) = parts.next() {
            requests += 1;
            let mut page: Vec<i64> = has.iter().copied().filter(|seq| (begin..=end).contains(seq)).collect();
            if newest_first {
                page.reverse();
            }
            page.truncate(most);
            parts.came(begin, end, page.iter().copied());
            all.extend(page);
        }
        all.sort_unstable();
        (all, requests)
    }

    #[test]
    fn what_an_answer_has_no_room_for_is_asked_for_again() {
        let whole: Vec<i64> = (1..=250).collect();
        for newest_first in [true, false] {
            assert_eq!(read(&whole, 250, 100, newest_first), (whole.clone(), 3));
            assert_eq!(read(&whole, 250, 16, newest_first), (whole.clone(), 7 + 7 + 4));
        }
    }

    #[test]
    fn what_is_not_there_ends_the_reading() {
        assert_eq!(read(&[], 250, 100, true), (vec![], 3));
        let holes = [3, 5, 99, 100, 240];
        for newest_first in [true, false] {
            assert_eq!(read(&holes, 250, 1, newest_first).0, holes);
        }
    }
}

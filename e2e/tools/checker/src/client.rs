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

    /// The messages of a conversation after `after` and up to `max`, in pages.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn pull(&self, conversation: &str, after: i64, max: i64) -> anyhow::Result<Vec<MsgData>> {
        let mut all = Vec::new();
        let mut begin = after + 1;
        while begin <= max {
            let end = max.min(begin + PAGE - 1);
            let range =
                SeqRange { conversation_id: conversation.to_owned(), begin, end, num: end - begin + 1 };
            let request =
                PullMessageBySeqsReq { user_id: self.user.clone(), seq_ranges: vec![range], order: 0 };
            let mut answer: PullMessageBySeqsResp = self.request(command::PULL_BY_RANGE, &request).await?;
            // A page that has nothing may be left out.
            let page = answer.msgs.remove(conversation).unwrap_or_default().msgs;
            // A page is bounded in bytes too: what it has no room for is asked for again.
            let last = page.iter().map(|message| message.seq).max().filter(|last| *last >= begin);
            begin = last.unwrap_or(end) + 1;
            all.extend(page);
        }
        Ok(all)
    }
}

//! One connection, one task: reads one request at a time, writes responses and pushes as they come. Everything is limited:
//! frames, queue, buffers, rate, and every write has a deadline.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use budget::{Budget, Held, Pressure};
use bytes::Bytes;
use model::platform::Platform;
use origin::Bucket;
use protocol::frame::{Encoding, Request};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    listener::Gate,
    outbox::{Outbound, Why},
    registry::Connection,
    requests::{self, After, SMALL},
};

/// Silence after which a connection is closed (docs/protocol/websocket.md#time-and-size-limits).
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// Browsers do not ping by themselves.
const PING_PERIOD: Duration = Duration::from_secs(20);
/// A client that takes nothing of a frame for this long is cut.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked at whether a frame moves.
const LOOK: Duration = Duration::from_secs(1);
/// Longest correlation id of a request, in bytes: it is echoed whole.
const LONGEST_MSG_INCR: usize = 1024;

/// A request in progress. It is a task: it runs to completion even if the client disconnects.
type Answering = JoinHandle<(Bytes, After)>;

/// The socket of a connection.
pub(crate) struct Line {
    pub(crate) socket: WebSocket,
    pub(crate) gate: Arc<Gate>,
    pub(crate) cut: CancellationToken,
    /// Of all connections: the less is left of it, the sooner a slow client is cut.
    pub(crate) frames: Budget,
}

/// Text frames: only ping and pong exist.
#[derive(Serialize, Deserialize)]
struct TextFrame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    body: serde_json::Value,
}

/// Runs a connection until either side ends it, at the latest when its token expires (`ends`).
pub(crate) async fn run(gateway: &Arc<Gateway>, connection: &Arc<Connection>, ends: Instant, mut line: Line) {
    let mut answering: Option<Answering> = None;
    // Read, and not decoded before there is room for what it may become.
    let mut waiting: Option<Bytes> = None;
    let mut heard = Instant::now();
    let mut next_ping = heard + PING_PERIOD;
    let pings = connection.platform == Platform::WEB;
    // A second's worth at once.
    let mut rate = Bucket::new(gateway.config.gateway.requests_per_second, 1);
    loop {
        let silent = heard + READ_DEADLINE;
        let wake = if pings { next_ping.min(silent) } else { silent }.min(ends);
        let written = tokio::select! {
            biased;
            () = connection.cut.cancelled() => {
                gateway.metrics.cut.inc();
                tracing::info!(user = connection.user, "connection.cut: the client does not read");
                return;
            }
            answer = poll_answer(&mut answering) => {
                answering = None;
                let Some((frame, after)) = answer else { return };
                let _copy = copy(&gateway.budgets.frames, &frame);
                let sent = line.write(Message::Binary(frame)).await;
                if after == After::Close {
                    return;
                }
                sent
            }
            event = connection.outbox.take() => match event {
                Outbound::Frame(frame) => {
                    let _copy = copy(&gateway.budgets.queues, &frame);
                    line.write(Message::Binary(frame)).await
                }
                Outbound::Kick(frame) => {
                    line.write(Message::Binary(frame)).await;
                    line.close(close_code::POLICY, "replaced by a later login").await;
                    return;
                }
                Outbound::Close(Why::Restart) => {
                    line.close(close_code::RESTART, "gateway is shutting down; reconnect").await;
                    return;
                }
                Outbound::Close(Why::Missed) => {
                    line.close(close_code::AGAIN, "messages may be missing; reconnect").await;
                    return;
                }
            },
            () = tokio::time::sleep_until(wake) => {
                let now = Instant::now();
                if now >= ends {
                    line.close(close_code::POLICY, "the token has expired; log in again").await;
                    return;
                }
                if now >= silent {
                    return;
                }
                next_ping = now + PING_PERIOD;
                line.write(Message::Ping(Bytes::new())).await
            }
            // The next request is read when the last one is answered and the rate allows it.
            () = rate.ready(), if answering.is_none() && waiting.is_none() && !rate.is_open() => true,
            (frame, mut held) = with_room(&gateway.budgets.frames, &mut waiting, connection.encoding), if waiting.is_some() => {
                match Request::decode(frame, connection.encoding) {
                    Ok(request) if is_ours(connection, &request) => {
                        held.shrink_to(request.data.len());
                        rate.take(requests::cost(&request));
                        gateway.metrics.requests.inc();
                        let answer = requests::answer(gateway.clone(), connection.clone(), request, held);
                        answering = Some(gateway.tasks.spawn(answer));
                        true
                    }
                    Ok(request) => {
                        tracing::info!(user = connection.user, command = request.req_identifier, "connection.refused_request");
                        gateway.metrics.refused_frames.inc();
                        return;
                    }
                    Err(error) => {
                        tracing::info!(user = connection.user, %error, "connection.refused_frame");
                        gateway.metrics.refused_frames.inc();
                        return;
                    }
                }
            }
            message = line.socket.recv(), if answering.is_none() && waiting.is_none() && rate.is_open() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Binary(frame))) => {
                        waiting = Some(frame);
                        true
                    }
                    Some(Ok(Message::Text(text))) => {
                        rate.take(1.0);
                        match protocol::go_json::from_slice::<TextFrame>(text.as_bytes()) {
                            Ok(TextFrame { kind, body }) if kind == "ping" => {
                                let pong = protocol::go_json::to_text(&TextFrame { kind: "pong".into(), body });
                                line.write(Message::Text(pong.into())).await
                            }
                            Ok(TextFrame { kind, .. }) if kind == "pong" => true,
                            _ => return,
                        }
                    }
                    // The protocol layer answers pings.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                        rate.take(1.0);
                        true
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                }
            }
        };
        if !written {
            if connection.cut.is_cancelled() {
                gateway.metrics.cut.inc();
            }
            return;
        }
    }
}

/// The socket has a copy of a frame of its own until it is written.
fn copy(budget: &Budget, frame: &Bytes) -> Option<Held> {
    (frame.len() > SMALL).then(|| budget.hold(frame.len()))
}

/// The frame that waits, once there is room for what it may become.
async fn with_room(frames: &Budget, waiting: &mut Option<Bytes>, encoding: Encoding) -> (Bytes, Held) {
    let most = waiting.as_ref().map_or(0, |frame| encoding.largest_request(frame.len()));
    let held = if most <= SMALL { frames.nothing() } else { frames.wait(most).await };
    match waiting.take() {
        Some(frame) => (frame, held),
        None => pending().await,
    }
}

fn is_ours(connection: &Connection, request: &Request) -> bool {
    request.send_id == connection.user
        && requests::is_known(request.req_identifier)
        && request.msg_incr.len() <= LONGEST_MSG_INCR
}

/// The answer; `None` when its task was ended.
async fn poll_answer(answering: &mut Option<Answering>) -> Option<(Bytes, After)> {
    match answering {
        Some(task) => task.await.ok(),
        None => pending().await,
    }
}

impl Line {
    /// Writes a frame; `false` when the connection is lost, or its client took nothing of it for too long.
    pub(crate) async fn write(&mut self, message: Message) -> bool {
        let Self { socket, gate, cut, frames } = self;
        let bytes = if let Message::Binary(frame) = &message { frame.len() } else { 0 };
        let longest = || longest(bytes, frames.pressure());
        let sending = while_progress(socket.send(message), || gate.written(), longest);
        let sent = cut.run_until_cancelled(sending).await;
        matches!(sent, Some(Some(Ok(()))))
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        if self.write(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await {
            // Wait shortly for the peer's close, so that the last frames are not lost to a reset.
            let socket = &mut self.socket;
            let _closed =
                timeout(Duration::from_secs(2), async { while let Some(Ok(_)) = socket.recv().await {} })
                    .await;
        }
    }
}

/// How long one frame may take in all: a large one is held in memory meanwhile. Where there is room, the longest answer (1 MiB) must reach
/// the slowest client: it would ask for the same again.
fn longest(bytes: usize, pressure: Pressure) -> Duration {
    Duration::from_secs(match pressure {
        _ if bytes <= SMALL => 600,
        Pressure::Low => 600,
        Pressure::Some => 30,
        Pressure::High => 10,
        Pressure::Full | Pressure::Over => 2,
    })
}

/// Waits for `work` as long as `written` grows in every [`WRITE_DEADLINE`], at most for `longest`.
async fn while_progress<T>(
    work: impl Future<Output = T>,
    written: impl Fn() -> u64,
    longest: impl Fn() -> Duration,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let started = Instant::now();
    let (mut before, mut moved) = (written(), started);
    loop {
        if let Ok(done) = timeout(LOOK, work.as_mut()).await {
            return Some(done);
        }
        let now = written();
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        if moved.elapsed() >= WRITE_DEADLINE || started.elapsed() >= longest() {
            return None;
        }
    }
}

/// Whether pushes skip this connection: iOS in background hears through APNs.
pub(crate) fn sleeps(connection: &Connection) -> bool {
    connection.platform == Platform::IOS && connection.background.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use axum::{Router, extract::WebSocketUpgrade, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::service::tests;

    /// A client's ping, with an empty mask.
    const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];

    /// A client's socket whose handshake is sent; its connection ends after `life`.
    async fn connected(gateway: Arc<Gateway>, life: Duration) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let upgrade = async move |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async move |socket| {
                let ends = Instant::now() + life;
                let gate =
                    Arc::new(Gate::new([127, 0, 0, 1].into(), Arc::default(), gateway.metrics.clone()));
                let frames = gateway.budgets.frames.clone();
                let line = Line { socket, gate, cut: CancellationToken::new(), frames };
                run(&gateway, &tests::unregistered("u"), ends, line).await;
            })
        };
        // The runtime of the test ends it.
        #[expect(clippy::disallowed_methods, reason = "a server that lives as long as its test")]
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(upgrade))).await });
        let asked = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(asked.as_bytes()).await.unwrap();
        client
    }

    #[tokio::test]
    async fn a_connection_ends_when_its_token_expires_however_busy_it_is() {
        let mut client = connected(tests::gateway().0, Duration::from_millis(300)).await;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        let until_closed = async {
            while !String::from_utf8_lossy(&heard).contains("the token has expired") {
                client.write_all(&PING).await.unwrap();
                let size = client.read(&mut buffer).await.unwrap();
                assert_ne!(size, 0, "closed without a word: {heard:?}");
                heard.extend_from_slice(&buffer[..size]);
            }
        };
        timeout(Duration::from_secs(10), until_closed).await.unwrap();
    }

    #[tokio::test]
    async fn pings_cost_as_requests_do() {
        let gateway = tests::gateway().0;
        // What the bucket holds, and what flows in within two seconds.
        let pings = 3 * gateway.config.gateway.requests_per_second as usize;
        let mut client = connected(gateway, Duration::from_secs(300)).await;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        let began = std::time::Instant::now();
        client.write_all(&PING.repeat(pings)).await.unwrap();
        // Its pongs are two bytes each, behind the head of the handshake's answer.
        let answered = |heard: &[u8]| heard.windows(2).filter(|pair| *pair == [0x8a, 0]).count();
        while answered(&heard) < pings {
            let size = timeout(Duration::from_secs(60), client.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(size, 0, "closed after {} pongs", answered(&heard));
            heard.extend_from_slice(&buffer[..size]);
        }
        assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_waited_for_as_long_as_it_takes_something() {
        let taken = AtomicU64::new(0);
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(WRITE_DEADLINE * 9 / 10).await;
                taken.fetch_add(1, Ordering::Relaxed);
            }
            "sent"
        };
        let longest = || longest(SMALL + 1, Pressure::Low);
        assert_eq!(while_progress(slow, || taken.load(Ordering::Relaxed), longest).await, Some("sent"));
        let start = Instant::now();
        assert_eq!(while_progress(pending::<()>(), || taken.load(Ordering::Relaxed), longest).await, None);
        assert_eq!(start.elapsed(), WRITE_DEADLINE);
    }

    #[test]
    fn a_small_frame_is_waited_for_however_little_memory_is_left() {
        assert_eq!(longest(100, Pressure::Full), longest(100, Pressure::Low));
        assert!(longest(1 << 20, Pressure::Low) >= Duration::from_secs(300));
        assert_eq!(longest(1 << 20, Pressure::Full), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_trickles_is_not_waited_for_when_memory_is_short() {
        let taken = AtomicU64::new(0);
        let trickle = async {
            for _ in 0..1000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                taken.fetch_add(1, Ordering::Relaxed);
            }
        };
        let start = Instant::now();
        let sent =
            while_progress(trickle, || taken.load(Ordering::Relaxed), || longest(SMALL + 1, Pressure::Full))
                .await;
        assert_eq!(sent, None);
        assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

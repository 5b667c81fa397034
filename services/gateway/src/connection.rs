//! One connection, one task: reads a request at a time, writes answers and pushes as they come. Nothing here can grow without
//! bound: frames, queue, buffers, rate, and every write has a deadline.

use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures::FutureExt;
use model::platform::Platform;
use protocol::frame::Request;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    Gateway,
    registry::{Connection, Outbound},
    requests::{self, After},
};

/// Silence after which a connection is closed (websocket.md 6).
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// Browsers do not ping by themselves.
const PING_PERIOD: Duration = Duration::from_secs(20);
/// A client that takes longer to take a frame is cut.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

type Answering<'a> = Pin<Box<dyn Future<Output = (Bytes, After)> + Send + 'a>>;

/// Text frames: only ping and pong exist.
#[derive(Serialize, Deserialize)]
struct TextFrame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    body: serde_json::Value,
}

/// Runs a connection until either side ends it.
pub(crate) async fn run(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    mut socket: WebSocket,
    mut outbound: mpsc::Receiver<Outbound>,
) {
    let mut answering: Option<Answering<'_>> = None;
    let mut heard = Instant::now();
    let mut next_ping = heard + PING_PERIOD;
    let pings = connection.platform == Platform::WEB;
    let mut budget = Budget::new(gateway.config.gateway.requests_per_second);
    loop {
        let wake = if pings { next_ping.min(heard + READ_DEADLINE) } else { heard + READ_DEADLINE };
        let written = tokio::select! {
            biased;
            () = connection.cut.cancelled() => {
                gateway.metrics.cut.inc();
                tracing::info!(user = connection.user, "connection.cut: it does not read");
                return;
            }
            (frame, after) = poll_answer(&mut answering) => {
                answering = None;
                let sent = write(&mut socket, Message::Binary(frame)).await;
                if after == After::Close {
                    return;
                }
                sent
            }
            event = outbound.recv() => match event {
                Some(Outbound::Frame(frame)) => write(&mut socket, Message::Binary(frame)).await,
                Some(Outbound::Kick(frame)) => {
                    write(&mut socket, Message::Binary(frame)).await;
                    close(&mut socket, close_code::POLICY, "replaced by a later login").await;
                    return;
                }
                Some(Outbound::Close) => {
                    close(&mut socket, close_code::RESTART, "this gateway restarts; connect again").await;
                    return;
                }
                None => return,
            },
            () = tokio::time::sleep_until(wake) => {
                let now = Instant::now();
                if now >= heard + READ_DEADLINE {
                    return;
                }
                next_ping = now + PING_PERIOD;
                write(&mut socket, Message::Ping(Bytes::new())).await
            }
            // The next request is read when the last one is answered and the rate allows it.
            () = budget.ready(), if answering.is_none() && !budget.is_open() => true,
            message = socket.recv(), if answering.is_none() && budget.is_open() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Binary(frame))) => {
                        budget.take();
                        match Request::decode(frame, connection.encoding) {
                            Ok(request) if request.send_id == connection.user && requests::is_known(request.req_identifier) => {
                                gateway.metrics.requests.inc();
                                answering = Some(requests::answer(gateway, connection, request).boxed());
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
                    Some(Ok(Message::Text(text))) => {
                        budget.take();
                        match serde_json::from_str::<TextFrame>(&text) {
                            Ok(TextFrame { kind, body }) if kind == "ping" => {
                                let pong = protocol::go_json::to_text(&TextFrame { kind: "pong".into(), body });
                                write(&mut socket, Message::Text(pong.into())).await
                            }
                            Ok(TextFrame { kind, .. }) if kind == "pong" => true,
                            _ => return,
                        }
                    }
                    // The protocol layer answers pings.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => true,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                }
            }
        };
        if !written {
            return;
        }
    }
}

async fn poll_answer(answering: &mut Option<Answering<'_>>) -> (Bytes, After) {
    match answering {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn write(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE_DEADLINE, socket.send(message)).await, Ok(Ok(())))
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    if write(socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await {
        // Wait shortly for the peer's close, so that the last frames are not lost to a reset.
        let _closed =
            timeout(Duration::from_secs(2), async { while let Some(Ok(_)) = socket.recv().await {} }).await;
    }
}

/// A connection's request rate: a bucket of one second's worth.
struct Budget {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tokens: per_second, at: Instant::now() }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        self.tokens =
            (self.tokens + now.duration_since(self.at).as_secs_f64() * self.per_second).min(self.per_second);
        self.at = now;
    }

    fn take(&mut self) {
        self.refill();
        self.tokens -= 1.0;
    }

    fn is_open(&self) -> bool {
        self.tokens >= 1.0
    }

    async fn ready(&mut self) {
        while self.tokens < 1.0 {
            tokio::time::sleep(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second + 0.001)).await;
            self.refill();
        }
    }
}

/// Whether pushes skip this connection: iOS in background hears through APNs.
pub(crate) fn sleeps(connection: &Connection) -> bool {
    connection.platform == Platform::IOS && connection.background.load(Ordering::Relaxed)
}

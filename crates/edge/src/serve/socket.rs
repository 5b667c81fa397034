//! A client's socket that is closed when nothing moves on it for too long.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep, timeout_at},
};

/// Timeouts of the phases of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request to the end of its head; clients that come by themselves have it from the connection's start.
    pub(super) head: Duration,
    /// Between two requests: longer than proxies keep connections that they may use again.
    pub(super) idle: Duration,
    /// Without a byte that the client takes of an answer.
    pub(super) write: Duration,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Head { until: Instant },
    Answering,
    Idle { since: Instant },
}

/// What a connection is doing; shared by its socket and its requests.
#[derive(Clone)]
pub(super) struct Activity {
    phase: Arc<Mutex<Phase>>,
    changed: Arc<Notify>,
    patience: Patience,
}

/// A request that is being answered.
pub(super) struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle { since: Instant::now() });
    }
}

impl Activity {
    /// A proxy opens connections before it needs them, and may use one at the very moment at which it would be closed.
    pub(super) fn new(patience: Patience, by_proxy: bool) -> Self {
        let now = Instant::now();
        let phase =
            if by_proxy { Phase::Idle { since: now } } else { Phase::Head { until: now + patience.head } };
        Self { phase: Arc::new(Mutex::new(phase)), changed: Arc::default(), patience }
    }

    fn enter(&self, phase: Phase) {
        *self.phase() = phase;
        self.changed.notify_one();
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A head has come; until the guard is dropped the client waits for us.
    pub(super) fn answering(&self) -> Answering {
        self.enter(Phase::Answering);
        Answering(self.clone())
    }

    /// Whether the connection has been without a request for so long.
    pub(super) fn is_idle_for(&self, at_least: Duration) -> bool {
        matches!(*self.phase(), Phase::Idle { since } if since.elapsed() >= at_least)
    }

    fn came(&self) {
        let is_idle = matches!(*self.phase(), Phase::Idle { .. });
        if is_idle {
            self.enter(Phase::Head { until: Instant::now() + self.patience.head });
        }
    }

    /// Returns when a head or the next request has not come in time. Nobody else notices: a connection that waits is not polled.
    pub(super) async fn expired(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(deadline) = self.deadline() else {
                changed.await;
                continue;
            };
            if timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match *self.phase() {
            Phase::Head { until } => Some(until),
            Phase::Answering => None,
            Phase::Idle { since } => Some(since + self.patience.idle),
        }
    }
}

/// The socket. Writing fails when the client takes nothing for too long.
pub(super) struct Watched<S> {
    socket: S,
    activity: Activity,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S, activity: Activity) -> Self {
        Self { socket, activity, writing: None }
    }

    /// What writing has come to; an error when the client has taken nothing for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let patience = self.activity.patience.write;
        let sleep = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        sleep.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.came();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(context);
        self.written(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_shutdown(context);
        self.written(context, outcome)
    }
}

//! The listener: connections without a verified token are limited in time and number, and sockets per address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use config::Config;
use http::HeaderMap;
use origin::{Buckets, Place, Places, Proxies};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};

use crate::GatewayMetrics;

/// The head of the request must be here after this.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// And then the handshake must be done after this.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// An answer that says why not is on its way a little longer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Maximum sockets without a verified token.
const MOST_WAITING: usize = 4096;
/// Maximum of those per address.
const MOST_WAITING_OF_ADDRESS: usize = 512;
/// Seconds' worth of an address' handshakes at once: after a failure all of those behind it come back.
const BURST: u32 = 5;
/// Pause after the system refused another socket (for want of file descriptors, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How far the peer of a socket has come.
const SILENT: u8 = 0;
const ASKED: u8 = 1;
const VERIFIED: u8 = 2;

/// Limits per address; cheap to clone.
#[derive(Clone)]
pub(crate) struct Addresses {
    proxies: Proxies,
    open: Places,
    waiting: Places,
    handshakes: Buckets<IpAddr>,
}

/// Why an address is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// It has as many connections as it may.
    Connections,
    /// Too many recent attempts; it can retry in a second.
    Handshakes,
}

impl Addresses {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = &config.address_limits;
        Self {
            proxies: Proxies::new(config),
            open: Places::new(limits.connections),
            waiting: Places::new(MOST_WAITING_OF_ADDRESS),
            handshakes: Buckets::new(limits.handshakes_per_second, BURST),
        }
    }

    /// Where a handshake comes from.
    pub(crate) fn address(&self, gate: &Gate, headers: &HeaderMap) -> IpAddr {
        self.proxies.client(gate.peer, headers).address()
    }

    /// Counts a handshake, and the socket it came by where only the head says whose that is.
    ///
    /// # Errors
    /// When there are too many of its address.
    pub(crate) fn count(&self, gate: &Gate, headers: &HeaderMap) -> Result<(), Crowded> {
        let client = self.proxies.client(gate.peer, headers);
        let Some(address) = client.key() else { return Ok(()) };
        self.handshakes.take(&address, 1).map_err(|_exhausted| Crowded::Handshakes)?;
        let mut place = gate.place.lock();
        if place.is_none() {
            *place = Some(self.open.take(address).ok_or(Crowded::Connections)?);
        }
        Ok(())
    }
}

/// What is known of one socket, by those who read from it and by its handshake.
pub(crate) struct Gate {
    peer: IpAddr,
    progress: AtomicU8,
    written: AtomicU64,
    waiting: Arc<AtomicUsize>,
    /// Its address' own, for as long as it is open.
    place: Mutex<Option<Place>>,
    /// Its address' own, until its token is verified.
    waiting_place: Mutex<Option<Place>>,
    metrics: GatewayMetrics,
}

impl Gate {
    pub(crate) fn new(peer: IpAddr, waiting: Arc<AtomicUsize>, metrics: GatewayMetrics) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        metrics.waiting.inc();
        Self {
            peer,
            progress: AtomicU8::new(SILENT),
            written: AtomicU64::new(0),
            waiting,
            place: Mutex::default(),
            waiting_place: Mutex::default(),
            metrics,
        }
    }

    /// The head is here.
    pub(crate) fn asked(&self) {
        self.progress.fetch_max(ASKED, Ordering::AcqRel);
    }

    /// The token is good: from now on the connection's own limits hold.
    pub(crate) fn verified(&self) {
        if self.progress.swap(VERIFIED, Ordering::AcqRel) != VERIFIED {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.waiting.dec();
            drop(self.waiting_place.lock().take());
        }
    }

    /// Bytes that the peer's side of the network has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.verified();
    }
}

/// A handler's view of the socket that its request came by.
#[derive(Clone)]
pub(crate) struct Guest(pub(crate) Arc<Gate>);

impl Connected<IncomingStream<'_, Door>> for Guest {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.io().gate.clone())
    }
}

/// See the module.
pub(crate) struct Door {
    listener: TcpListener,
    waiting: Arc<AtomicUsize>,
    most: usize,
    addresses: Addresses,
    metrics: GatewayMetrics,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, addresses: Addresses, metrics: GatewayMetrics) -> Self {
        Self { listener, waiting: Arc::default(), most: MOST_WAITING, addresses, metrics }
    }

    /// The gate of one more socket, unless there are too many of all or of its address.
    fn admit(&self, peer: IpAddr) -> Option<Gate> {
        if self.waiting.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        let gate = Gate::new(peer, self.waiting.clone(), self.metrics.clone());
        // Of whom a proxy has brought the head tells more.
        if let Some(address) = self.addresses.proxies.peer(peer).key() {
            *gate.place.lock() = Some(self.addresses.open.take(address)?);
            *gate.waiting_place.lock() = Some(self.addresses.waiting.take(address)?);
        }
        Some(gate)
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "gateway.not_accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(gate) = self.admit(address.ip()) else {
                self.metrics.turned_away.inc();
                continue;
            };
            // Frames are small and somebody waits for each.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "gateway.nodelay_refused");
            }
            let gate = Arc::new(gate);
            let deadline = Some(Box::pin(tokio::time::sleep(HEAD_DEADLINE)));
            return (Visitor { stream, gate, deadline, has_asked: false }, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A socket that stops being read when its time is over and it has no verified token.
pub(crate) struct Visitor {
    stream: TcpStream,
    gate: Arc<Gate>,
    deadline: Option<Pin<Box<Sleep>>>,
    has_asked: bool,
}

impl Visitor {
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let progress = self.gate.progress.load(Ordering::Acquire);
        if progress == VERIFIED {
            self.deadline = None;
        }
        let Some(deadline) = self.deadline.as_mut() else { return false };
        if progress == ASKED && !self.has_asked {
            self.has_asked = true;
            deadline.as_mut().reset(Instant::now() + HANDSHAKE_DEADLINE + LAST_WORDS);
        }
        let late = deadline.as_mut().poll(context).is_ready();
        if late {
            self.gate.metrics.turned_away.inc();
        }
        late
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Visitor {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.gate.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn door_with(config: &Config) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Door::new(listener, Addresses::new(config), GatewayMetrics::default())
    }

    async fn door() -> Door {
        door_with(&Config::default()).await
    }

    /// One connection at a time of an address; loopback is trusted to tell addresses, or not.
    fn strict(trusts_loopback: bool) -> Config {
        let address_limits = config::AddressLimits { connections: 1, ..Default::default() };
        let trusted_proxies = (!trusts_loopback).then(Vec::new);
        Config { address_limits, trusted_proxies, ..Default::default() }
    }

    fn forwarded_for(address: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), address.parse().unwrap())])
    }

    async fn visit(door: &mut Door) -> (TcpStream, Visitor) {
        let address = door.local_addr().unwrap();
        let (peer, (visitor, _)) = tokio::join!(TcpStream::connect(address), door.accept());
        (peer.unwrap(), visitor)
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_let_go_and_who_has_a_token_stays() {
        let mut door = door().await;
        let start = Instant::now();
        let (_peer, mut silent) = visit(&mut door).await;
        assert!(silent.stream.nodelay().unwrap());
        let ended = silent.read_u8().await.unwrap_err();
        assert_eq!((ended.kind(), start.elapsed()), (io::ErrorKind::TimedOut, HEAD_DEADLINE));
        drop(silent);

        let (_peer, mut slow) = visit(&mut door).await;
        slow.gate.asked();
        assert_eq!(slow.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), HEAD_DEADLINE + HANDSHAKE_DEADLINE + LAST_WORDS);
        assert_eq!((door.metrics.turned_away.get(), door.metrics.waiting.get()), (2, 1));
        drop(slow);

        let (mut peer, mut verified) = visit(&mut door).await;
        verified.gate.asked();
        verified.gate.verified();
        assert_eq!(door.metrics.waiting.get(), 0);
        tokio::time::sleep(HEAD_DEADLINE * 100).await;
        peer.write_u8(7).await.unwrap();
        assert_eq!(verified.read_u8().await.unwrap(), 7);
        verified.write_all(b"abc").await.unwrap();
        assert_eq!(verified.gate.written(), 3);
    }

    #[tokio::test]
    async fn only_so_many_wait_at_a_time() {
        let mut door = door().await;
        door.most = 1;
        let (_peer, first) = visit(&mut door).await;
        let address = door.local_addr().unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            _ = door.accept() => panic!("nobody else is let in"),
            ended = second.read_u8() => assert!(ended.is_err()),
        }
        assert_eq!(door.metrics.turned_away.get(), 1);
        first.gate.verified();
        visit(&mut door).await;
        drop(first);
        assert_eq!((door.metrics.waiting.get(), door.waiting.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn an_address_has_only_so_many_sockets() {
        let mut door = door_with(&strict(false)).await;
        let (_peer, first) = visit(&mut door).await;
        let mut second = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        tokio::select! {
            _ = door.accept() => panic!("its address has one already"),
            ended = second.read_u8() => assert!(ended.is_err()),
        }
        assert_eq!(door.metrics.turned_away.get(), 1);
        // Whatever identity it claims.
        assert_eq!(door.addresses.count(&first.gate, &forwarded_for("203.0.113.9")), Ok(()));
        drop(first);
        visit(&mut door).await;
    }

    #[tokio::test]
    async fn behind_a_proxy_each_address_has_its_own() {
        let mut door = door_with(&strict(true)).await;
        let mut visitors = vec![];
        for _ in 0..4 {
            visitors.push(visit(&mut door).await.1);
        }
        let count = |which: usize, address: &str| {
            door.addresses.count(&visitors[which].gate, &forwarded_for(address))
        };
        assert_eq!(count(0, "203.0.113.9"), Ok(()));
        assert_eq!(
            count(1, "198.51.100.1, 203.0.113.9"),
            Err(Crowded::Connections),
            "what it made up is its own"
        );
        assert_eq!(count(2, "203.0.113.10"), Ok(()));
        assert_eq!(door.addresses.count(&visitors[3].gate, &HeaderMap::new()), Ok(()), "it may be everybody");
        visitors.remove(0);
        assert_eq!(door.addresses.count(&visitors[0].gate, &forwarded_for("203.0.113.9")), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_comes_too_often_waits() {
        let mut config = strict(true);
        config.address_limits.handshakes_per_second = 2;
        config.address_limits.connections = 0;
        let addresses = Addresses::new(&config);
        let gate = Gate::new(IpAddr::from([127, 0, 0, 1]), Arc::default(), GatewayMetrics::default());
        let count = |address: &str| addresses.count(&gate, &forwarded_for(address));
        assert_eq!((0..100).filter(|_| count("203.0.113.9").is_ok()).count(), 10);
        assert_eq!(count("203.0.113.9"), Err(Crowded::Handshakes));
        assert_eq!(count("203.0.113.10"), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(count("203.0.113.9"), Ok(()));
    }
}

//! Accepts connections and answers their requests. Connections that are idle, send their head slowly or do not read their
//! response are closed, and their number is limited.

mod ended;
mod socket;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use origin::{Places, Proxies};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use ended::Ended;
use socket::{Activity, Patience, Watched};

/// Envoy keeps connections that it may use again for an hour, nginx for a minute: ours are open for longer, so that no proxy sends a
/// request on one that is just being closed.
const IDLE: Duration = Duration::from_secs(65 * 60);
const PATIENCE: Patience =
    Patience { head: Duration::from_secs(10), idle: IDLE, write: Duration::from_secs(30) };
/// When the process is full, connections without a request for this long are closed.
const IDLE_WHEN_FULL: Duration = Duration::from_secs(10);
/// How often connections are answered that the process is full.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Most connections of a process: a few kilobytes each.
const MOST: usize = 20_000;

/// Maximum connections per address.
pub struct Addresses {
    /// Who may speak for others.
    pub proxies: Proxies,
    /// Connections in use.
    pub places: Places,
}

/// Serves until `stop`, then lets running requests finish.
///
/// # Errors
/// When the listener has no address.
pub async fn run(
    listener: TcpListener,
    router: Router,
    addresses: Addresses,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.local_addr()?;
    accept(listener, router, addresses, stop, PATIENCE, MOST).await;
    Ok(())
}

async fn accept(
    mut listener: TcpListener,
    router: Router,
    addresses: Addresses,
    stop: CancellationToken,
    patience: Patience,
    most: usize,
) {
    let (slots, tasks, full) = (Arc::new(Semaphore::new(most)), TaskTracker::new(), watch::Sender::new(()));
    let mut told = None;
    loop {
        let (socket, address) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        let place = match addresses.proxies.peer(address.ip()).key() {
            None => None,
            Some(key) => match addresses.places.take(key) {
                None => {
                    tracing::debug!(%address, "connection.too_many_of_address");
                    continue;
                }
                place => place,
            },
        };
        // Somebody waits for each answer, and they are small.
        let _nodelay = socket.set_nodelay(true);
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            // Each call wakes every connection: a refused one finds room or retries.
            if told.is_none_or(|told: Instant| told.elapsed() >= TELL_EVERY) {
                told = Some(Instant::now());
                tracing::warn!(most, "connections.full");
                full.send_replace(());
            }
            continue;
        };
        let activity = Activity::new(patience, place.is_none());
        let connection =
            connection(socket, Some(address), router.clone(), activity, full.subscribe(), stop.clone());
        tasks.spawn(async move {
            connection.await;
            drop((slot, place));
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Answers the requests of one connection, one after the other.
async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    address: Option<SocketAddr>,
    router: Router,
    activity: Activity,
    mut full: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let socket = TokioIo::new(Watched::new(socket, activity.clone()));
    let router = TowerToHyperService::new(router);
    let requests = activity.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        // Where it comes from, for handlers that ask.
        if let Some(address) = address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let answering = requests.answering();
        let ended = Ended::default();
        let answer = router.call(request.map(|body| ended.watch(body)));
        async move {
            let answer = answer.await;
            drop(answering);
            answer.map(|answer| ended.tell(answer))
        }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(socket, service));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                // Clients come and go as they like.
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection.ended");
                }
                return;
            }
            () = activity.expired() => {
                tracing::debug!("connection.silent");
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            Ok(()) = full.changed(), if !ending => {
                if activity.is_idle_for(IDLE_WHEN_FULL) {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use config::Config;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        net::TcpStream,
        time::sleep,
    };

    use super::*;

    /// Answers by the head alone.
    async fn early(_request: Request, _next: axum::middleware::Next) -> &'static str {
        "early"
    }

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    fn router() -> Router {
        Router::new()
            .route("/", get(async || "here"))
            .route("/slow", get(async || sleep(Duration::from_secs(40)).await))
            .route("/large", post(async || "x".repeat(1 << 20)))
            .route("/early", post(async || "late").layer(axum::middleware::from_fn(early)))
    }

    /// The client's end of a connection.
    fn line() -> DuplexStream {
        line_of(false)
    }

    fn line_of(by_proxy: bool) -> DuplexStream {
        let (client, server) = tokio::io::duplex(1024);
        let (full, stop) = (watch::Sender::new(()).subscribe(), CancellationToken::new());
        // The runtime of the test ends it.
        #[expect(clippy::disallowed_methods, reason = "a server that lives as long as its test")]
        tokio::spawn(connection(server, None, router(), Activity::new(PATIENCE, by_proxy), full, stop));
        client
    }

    /// As many as they like, for the tests come from here.
    fn addresses() -> Addresses {
        Addresses { proxies: Proxies::new(&Config::default()), places: Places::new(1) }
    }

    async fn answer(line: &mut (impl AsyncRead + Unpin)) -> String {
        let mut buffer = [0; 1024];
        let size = line.read(&mut buffer).await.unwrap_or(0);
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }

    /// Seconds until the server closes the connection.
    async fn closed_after(line: &mut DuplexStream) -> u64 {
        let started = Instant::now();
        let mut rest = vec![];
        let _read = line.read_to_end(&mut rest).await;
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_without_a_byte_is_closed() {
        assert_eq!(closed_after(&mut line()).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_a_proxy_opened_early_is_kept() {
        let mut line = line_of(true);
        sleep(Duration::from_secs(3_605)).await;
        line.write_all(ASK).await.unwrap();
        assert!(answer(&mut line).await.ends_with("here"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_off() {
        head_that_drips(line()).await;
        head_that_drips(line_of(true)).await;
    }

    async fn head_that_drips(mut line: DuplexStream) {
        let started = Instant::now();
        for byte in ASK.iter().chain(&[b'x'; 100]) {
            sleep(Duration::from_secs(1)).await;
            if line.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        let taken = started.elapsed().as_secs();
        assert!((10..=12).contains(&taken), "{taken} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_between_requests_for_longer_than_proxies_keep_theirs() {
        let mut line = line();
        for pause in [0, 70, 3_590, 3_605] {
            sleep(Duration::from_secs(pause)).await;
            line.write_all(ASK).await.unwrap();
            assert!(answer(&mut line).await.ends_with("here"), "after {pause} s");
        }
        let idle = closed_after(&mut line).await;
        assert_eq!(idle, IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_head_has_its_own_time() {
        let mut line = line();
        line.write_all(ASK).await.unwrap();
        assert!(answer(&mut line).await.ends_with("here"));
        sleep(Duration::from_secs(60)).await;
        line.write_all(&ASK[..5]).await.unwrap();
        assert_eq!(closed_after(&mut line).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_its_time_but_must_be_taken() {
        let mut patient = line();
        patient.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(answer(&mut patient).await.starts_with("HTTP/1.1 200"));
        let mut silent = line();
        silent.write_all(b"POST /large HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(31)).await;
        let mut taken = vec![];
        let _read = silent.read_to_end(&mut taken).await;
        assert!(taken.len() < 1 << 20, "{} bytes", taken.len());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_before_the_body_is_read_knows_that_the_connection_ends() {
        let mut line = line();
        line.write_all(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let kept = answer(&mut line).await;
        assert!(kept.ends_with("early") && !kept.contains("connection: close"), "{kept}");
        // A proxy sends the head, and the body a moment later.
        line.write_all(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        let told = answer(&mut line).await;
        assert!(told.ends_with("early") && told.contains("connection: close"), "{told}");
    }

    #[tokio::test]
    async fn a_full_process_takes_whoever_comes_when_others_have_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, router(), addresses(), stop.clone(), PATIENCE, 2));
        let mut lines = vec![];
        for _ in 0..2 {
            let mut line = TcpStream::connect(address).await.unwrap();
            line.write_all(ASK).await.unwrap();
            assert!(answer(&mut line).await.ends_with("here"));
            lines.push(line);
        }
        let mut refused = TcpStream::connect(address).await.unwrap();
        assert_eq!(answer(&mut refused).await, "");
        lines.pop();
        let mut answered = String::new();
        while !answered.ends_with("here") {
            let mut line = TcpStream::connect(address).await.unwrap();
            let _sent = line.write_all(ASK).await;
            answered = answer(&mut line).await;
        }
        drop(lines);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn an_address_has_only_so_many_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let nobody = Config { trusted_proxies: Some(vec![]), ..Default::default() };
        let addresses = Addresses { proxies: Proxies::new(&nobody), places: Places::new(1) };
        tasks.spawn(accept(listener, router(), addresses, stop.clone(), PATIENCE, 100));
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(ASK).await.unwrap();
        assert!(answer(&mut line).await.ends_with("here"));
        assert_eq!(answer(&mut TcpStream::connect(address).await.unwrap()).await, "");
        drop(line);
        let mut answered = String::new();
        while !answered.ends_with("here") {
            let mut line = TcpStream::connect(address).await.unwrap();
            let _sent = line.write_all(ASK).await;
            answered = answer(&mut line).await;
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_hundred_sockets_that_drip_do_not_hold_up_the_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let patience = Patience { head: Duration::from_millis(200), ..PATIENCE };
        tasks.spawn(accept(listener, router(), addresses(), stop.clone(), patience, 1000));
        let mut dripping = vec![];
        for _ in 0..100 {
            let mut line = TcpStream::connect(address).await.unwrap();
            line.write_all(&ASK[..3]).await.unwrap();
            dripping.push(line);
        }
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(ASK).await.unwrap();
        assert!(answer(&mut line).await.ends_with("here"));
        for line in &mut dripping {
            assert_eq!(answer(line).await, "");
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

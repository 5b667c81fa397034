//! Bodies in memory: bounded by size, by time and by what the process may hold of them. A server that answers without having read the
//! body must close the connection, and the next request that a proxy has already sent on it would fail: small bodies are therefore
//! always read.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use budget::{Budget, Held};
use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Largest body of a request without a good token, in bytes.
pub const OPEN: usize = 64 << 10;
/// Largest body of a user's request, in bytes.
pub const USER: usize = 1 << 20;
/// Bodies up to this are not counted, in bytes.
const SMALL: usize = 1 << 10;
/// Timeout of a body.
const PATIENCE: Duration = Duration::from_secs(15);

/// A body in memory, and what it takes of the budget.
pub struct Kept {
    /// All of it.
    pub bytes: Bytes,
    /// Given back when it is dropped.
    pub held: Held,
}

/// Reads a body of at most `limit` bytes into memory.
///
/// # Errors
/// When it is too large or late, when there is no room for it, or when it ends early.
pub async fn within(body: Body, limit: usize, budget: &Budget) -> Result<Kept, Refused> {
    timeout(PATIENCE, keep(body, limit, budget)).await.unwrap_or(Err(Refused::Late))
}

async fn keep(mut body: Body, limit: usize, budget: &Budget) -> Result<Kept, Refused> {
    let mut kept = BytesMut::new();
    let mut held = budget.nothing();
    while let Some(frame) = body.frame().await {
        // The client has gone, or does not keep to HTTP.
        let Ok(frame) = frame else { return Err(Refused::Broken) };
        let Ok(data) = frame.into_data() else { continue };
        let size = kept.len() + data.len();
        if size > limit {
            return Err(Refused::TooLarge { limit });
        }
        // Small requests are always accepted, so that status queries are answered.
        if size > SMALL {
            held.grow(size - held.bytes()).map_err(|_busy| Refused::Busy)?;
        }
        kept.extend_from_slice(&data);
    }
    Ok(Kept { bytes: kept.freeze(), held })
}

/// Answers a request without reading what its body says: it is passed over, so that the connection can go on.
pub async fn behind_its_body(body: Body, mut answer: Response) -> Response {
    let passed_over = timeout(PATIENCE, async {
        let mut body = http_body_util::Limited::new(body, OPEN);
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<_, axum::BoxError>(())
    });
    if !matches!(passed_over.await, Ok(Ok(()))) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Why a body was not read to its end. The rest of it never is, so the response closes the connection.
#[derive(Debug)]
pub enum Refused {
    /// It is longer than it may be.
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// It did not come in time.
    Late,
    /// There is no room for it now.
    Busy,
    /// The client has gone, or does not keep to HTTP.
    Broken,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        tracing::debug!(reason = ?self, "body.refused");
        let (status, text) = match self {
            Self::TooLarge { limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body must have at most {limit} bytes (administrators: api.maxBodyBytes)"),
            ),
            Self::Late => (
                StatusCode::REQUEST_TIMEOUT,
                format!("the body must arrive within {} seconds", PATIENCE.as_secs()),
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy; retry later".to_owned()),
            Self::Broken => {
                (StatusCode::BAD_REQUEST, "the body does not match its content length".to_owned())
            }
        };
        let mut answer = (status, [(header::CONNECTION, "close")], text).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{
        Router,
        extract::{Request, State},
        middleware::{self, Next},
        routing::post,
    };
    use futures::StreamExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::{Instant, sleep},
    };

    use super::*;

    /// One kibibyte every so often.
    fn dripping(pause: Duration, kibibytes: usize) -> Body {
        let parts = futures::stream::iter(0..kibibytes).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1024]))
        });
        Body::from_stream(parts)
    }

    async fn read_with(State(budget): State<Budget>, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        match keep(body, 1000, &budget).await {
            Ok(kept) => next.run(Request::from_parts(parts, Body::from(kept.bytes))).await,
            Err(refused) => refused.into_response(),
        }
    }

    async fn server() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let budget = Budget::new(1 << 20);
        let refused = async |request: Request| {
            behind_its_body(request.into_body(), StatusCode::UNAUTHORIZED.into_response()).await
        };
        let router = Router::new()
            .route("/early", post(async || "no body is needed"))
            .layer(middleware::from_fn_with_state(budget, read_with))
            .route("/refused", post(refused));
        // The runtime of the test ends it.
        #[expect(clippy::disallowed_methods, reason = "a server that lives as long as its test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        TcpStream::connect(address).await.unwrap()
    }

    async fn answer(line: &mut TcpStream) -> String {
        let mut buffer = [0; 4096];
        let size = line.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }

    async fn ask(line: &mut TcpStream, path: &str, size: usize) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n");
        line.write_all(head.as_bytes()).await.unwrap();
        // The body comes later than its head, as through a proxy.
        sleep(Duration::from_millis(50)).await;
        let _sent = line.write_all(&vec![b'x'; size]).await;
        answer(line).await
    }

    #[tokio::test]
    async fn a_connection_outlives_a_handler_that_wants_no_body() {
        let mut line = server().await;
        for _ in 0..3 {
            let answer = ask(&mut line, "/early", 600).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("no body is needed"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_connection_outlives_a_caller_who_is_refused_by_the_head() {
        let mut line = server().await;
        for _ in 0..3 {
            let answer = ask(&mut line, "/refused", 600).await;
            assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("connection: close"), "{answer}");
        }
        let answer = ask(&mut line, "/refused", OPEN + 1).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_and_the_end_of_the_connection_told() {
        let answer = ask(&mut server().await, "/early", 2000).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_late() {
        let budget = Budget::new(100 << 10);
        let started = Instant::now();
        let slow = keep(dripping(Duration::from_secs(1), 20), OPEN, &budget);
        assert!(timeout(PATIENCE, slow).await.is_err());
        assert_eq!(started.elapsed(), PATIENCE);
        assert_eq!(budget.used(), 0, "what came is given back");
        let in_time = keep(dripping(Duration::from_secs(1), 10), OPEN, &budget);
        assert_eq!(timeout(PATIENCE, in_time).await.unwrap().unwrap().bytes.len(), 10 << 10);
    }

    #[tokio::test]
    async fn bodies_over_the_budget_of_all_are_told_to_come_later() {
        let budget = Budget::new(10 << 10);
        let body = |kibibytes| keep(dripping(Duration::ZERO, kibibytes), OPEN, &budget);
        let held = body(7).await.unwrap();
        assert_eq!(budget.used(), 7 << 10);
        let refused = body(4).await.err().unwrap().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        assert!(body(3).await.is_ok());
        assert!(body(1).await.is_ok(), "small ones get through");
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}

//! Reads a request's body before anything is decided. A server that answers without having read the body closes the connection behind its
//! answer, and the next request that a proxy has sent on it meanwhile fails for nothing it did.

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Hands the request on with its body in memory; `limit` is its largest size in bytes.
pub(crate) async fn read(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match to_bytes(body, limit).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        // Too large, or the client has gone: the rest of it is never read, and whoever is there is told that this connection ends.
        Err(error) => {
            tracing::debug!(%error, "body.refused");
            let text = format!("the body must have at most {limit} bytes (api.maxBodyBytes)");
            (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")], text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn server() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/early", post(async || "no body is needed"))
            .layer(middleware::from_fn_with_state(1000_usize, read));
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

    #[tokio::test]
    async fn a_connection_outlives_a_handler_that_wants_no_body() {
        let mut line = server().await;
        for _ in 0..3 {
            line.write_all(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 600\r\n\r\n").await.unwrap();
            // The body comes later than its head, as through a proxy.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            line.write_all(&[b'x'; 600]).await.unwrap();
            let answer = answer(&mut line).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("no body is needed"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_and_the_end_of_the_connection_told() {
        let mut line = server().await;
        line.write_all(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n").await.unwrap();
        line.write_all(&[b'x'; 2000]).await.unwrap();
        let answer = answer(&mut line).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    }
}

#!/usr/bin/env bash
# hyper 1.12.0, HTTP/1 server: it answers before a request's body has come, says nothing of an end of the connection, and ends it.
#
# Expected: RFC 9112 9.6, a server that means to close sends "Connection: close" in its last answer (Go's net/http does so when it gives up on a body);
# or the rest of a short body is read and the connection goes on.
# Seen: a handler that answers by the head alone, and a body that comes in a packet of its own: the answer has no "connection" header, and the next
# request on the connection is never answered. Without a body, or with one that came together with its head, the connection goes on. A proxy that keeps
# connections (Envoy) puts its next client's request on it and answers that with 503, now and then.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
mkdir src
cat > Cargo.toml <<'END'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "0.1", features = ["tokio"] }
http-body-util = "0.1"
tokio = { version = "1", features = ["full"] }
END
cat > src/main.rs <<'END'
use std::{convert::Infallible, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}, time::sleep};

async fn by_the_head(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"answer"))))
}

async fn heard(line: &mut TcpStream) -> String {
    let mut buffer = [0; 1024];
    let size = line.read(&mut buffer).await.unwrap_or(0);
    String::from_utf8_lossy(&buffer[..size]).into_owned()
}

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let socket = hyper_util::rt::TokioIo::new(socket);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(socket, service_fn(by_the_head)));
        }
    });
    for (name, head, body) in [
        ("no body", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", ""),
        ("a body with its head", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody", ""),
        ("a body in its own packet", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n", "body"),
    ] {
        let mut line = TcpStream::connect(address).await.unwrap();
        line.set_nodelay(true).unwrap();
        line.write_all(head.as_bytes()).await.unwrap();
        let first = heard(&mut line).await;
        sleep(Duration::from_millis(200)).await;
        let _ = line.write_all(body.as_bytes()).await;
        let _ = line.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let second = heard(&mut line).await;
        println!("{name}: {}, {}, then {}", first.lines().next().unwrap_or("nothing"),
            if first.contains("connection: close") { "the end is told" } else { "no end is told" },
            second.lines().next().unwrap_or("the connection has ended"));
    }
}
END
cargo build -q
seen=$(target/debug/finding)
expected='no body: HTTP/1.1 200 OK, no end is told, then HTTP/1.1 200 OK
a body with its head: HTTP/1.1 200 OK, no end is told, then HTTP/1.1 200 OK
a body in its own packet: HTTP/1.1 200 OK, no end is told, then the connection has ended'
printf 'hyper 1.12.0, an answer by the head alone:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }

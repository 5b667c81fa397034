//! A vendor on this machine: records what it is sent and answers as told.

use std::sync::Arc;

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde_json::Value;

use crate::Device;

#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) version: String,
    headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) struct Answer(u16, Value);

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self(status, body)
    }
}

pub(crate) struct Server {
    address: String,
    recorded: Arc<Mutex<Vec<Recorded>>>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        let recorded = Arc::<Mutex<Vec<Recorded>>>::default();
        let (log, answer) = (recorded.clone(), Arc::new(answer));
        let handle = async move |request: Request| -> Response {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
            let item = Recorded {
                path: parts.uri.path().to_owned(),
                version: format!("{:?}", parts.version),
                headers: parts.headers,
                bytes: bytes.to_vec(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let Answer(status, body) = answer(&item);
            log.lock().push(item);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, axum::Json(body)).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle);
        // The runtime of the test ends it.
        #[expect(clippy::disallowed_methods, reason = "a server that lives as long as its test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, recorded }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.recorded.lock().clone()
    }
}

pub(crate) fn device(user: &str, platform: i32, token: &str) -> Device {
    Device { user: user.into(), platform, token: token.into(), badge: Some(3) }
}

pub(crate) fn temporary_file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("openim-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

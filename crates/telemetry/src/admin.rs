//! The admin port: `/metrics`, `/healthz`, `/readyz`, `/config` (which configuration is in force), and `/loglevel` to read
//! (GET) or change (PUT) the log level. Whoever reaches the port may read; whoever changes something proves that he knows the cluster's
//! secret, because the log level also decides about the audit log.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::IntoResponse,
    routing::get,
};
use config::{Config, Key, Purpose};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{LogLevel, SharedMetrics};

/// Whether the process wants traffic. It never depends on MongoDB, Redis or Kafka: restarting or removing a healthy process
/// because a dependency is down only makes it worse.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Serving, or not (starting, draining).
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether it is serving.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who can change something through the admin port.
#[derive(Clone)]
pub enum Changes {
    /// Nobody.
    Refused,
    /// Callers that send `authorization: Bearer <proof>`.
    With(AdminKey),
}

/// Derived from the cluster's secret for this one purpose (`config::Purpose::AdminPort`), in hexadecimal; one for each secret that is accepted.
#[derive(Clone)]
pub struct AdminKey(Vec<Key>);

impl AdminKey {
    /// The key of a cluster.
    pub fn of(config: &Config) -> Self {
        Self(config.keys(Purpose::AdminPort))
    }

    fn is_proven_by(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let given = given.and_then(|proof| hex::decode(proof.trim()).ok());
        // By their digests: how long it takes tells nothing of how much of them agrees.
        given.is_some_and(|proof| self.0.iter().any(|key| Sha256::digest(key) == Sha256::digest(&proof)))
    }
}

#[derive(Clone)]
struct Admin {
    metrics: SharedMetrics,
    readiness: Readiness,
    level: LogLevel,
    config: ConfigReport,
    changes: Changes,
}

/// What `/config` answers: which configuration is in force.
pub type ConfigReport = Arc<dyn Fn() -> String + Send + Sync>;

const FORBIDDEN: &str = "changing the log level needs a proof of the cluster's secret (CONTRIBUTING.md, Debugging), or log.level in the configuration";

/// Serves the admin port until `stop`.
///
/// # Errors
/// When the port cannot be bound.
pub async fn serve_admin(
    port: u16,
    metrics: SharedMetrics,
    readiness: Readiness,
    level: LogLevel,
    config: ConfigReport,
    changes: Changes,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = router(Admin { metrics, readiness, level, config, changes });
    let listener = crate::listen(port)?;
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/loglevel", get(read_level).put(change_level))
        .route("/config", get(config_report))
        .with_state(admin)
}

async fn metrics_text(State(admin): State<Admin>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _written = prometheus_client::encoding::text::encode(&mut text, &admin.metrics);
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving")
    }
}

async fn config_report(State(admin): State<Admin>) -> impl IntoResponse {
    ([("content-type", "application/json")], (admin.config)())
}

async fn read_level(State(admin): State<Admin>) -> String {
    admin.level.get()
}

async fn change_level(State(admin): State<Admin>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let proven = matches!(&admin.changes, Changes::With(key) if key.is_proven_by(&headers));
    if !proven {
        return (StatusCode::FORBIDDEN, FORBIDDEN.to_owned());
    }
    match admin.level.set(body.trim()) {
        Ok(()) => {
            tracing::info!(filter = body.trim(), "log.level_changed");
            (StatusCode::OK, "ok".to_owned())
        }
        Err(problem) => (StatusCode::BAD_REQUEST, problem),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const SECRET: &str = "a secret of the cluster";

    async fn put(address: std::net::SocketAddr, authorization: &str, level: &str) -> String {
        let mut line = TcpStream::connect(address).await.unwrap();
        let size = level.len();
        let request = format!(
            "PUT /loglevel HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}content-length: {size}\r\n\r\n{level}"
        );
        line.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn serve(level: &LogLevel, changes: Changes) -> std::net::SocketAddr {
        let admin = Admin {
            metrics: SharedMetrics::default(),
            readiness: Readiness::default(),
            level: level.clone(),
            config: Arc::new(String::new),
            changes,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The runtime of the test ends it.
        #[expect(clippy::disallowed_methods, reason = "a server that lives as long as its test")]
        tokio::spawn(async move { axum::serve(listener, router(admin)).await });
        address
    }

    /// As CONTRIBUTING.md computes it with openssl.
    fn bearer(secret: &str) -> String {
        format!("authorization: Bearer {}\r\n", hex::encode(Purpose::AdminPort.key(secret)))
    }

    #[tokio::test]
    async fn the_log_level_is_changed_by_who_proves_the_secret_and_by_nobody_else() {
        let (_layer, handle) = tracing_subscriber::reload::Layer::new("info".parse().unwrap());
        let level = LogLevel(handle);
        let config = Config { secret: SECRET.into(), ..Default::default() };
        let cluster = serve(&level, Changes::With(AdminKey::of(&config))).await;
        let nobody = serve(&level, Changes::Refused).await;
        for (address, proof) in [
            (cluster, String::new()),
            (cluster, bearer("the secret of another")),
            (cluster, "authorization: Bearer \r\n".into()),
            (cluster, format!("authorization: Bearer {SECRET}\r\n")),
            (nobody, bearer(SECRET)),
        ] {
            let answer = put(address, &proof, "off").await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{proof}: {answer}");
            assert_eq!(level.get(), "info");
        }
        let answer = put(cluster, &bearer(SECRET), "debug").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(level.get(), "debug");
    }
}

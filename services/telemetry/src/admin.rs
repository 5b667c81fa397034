//! The admin port: `/metrics`, `/healthz`, `/readyz`, `/config` (which configuration is in force), and `/loglevel` to read
//! (GET) or change (PUT) the log level.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
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

#[derive(Clone)]
struct Admin {
    metrics: SharedMetrics,
    readiness: Readiness,
    level: LogLevel,
    config: ConfigReport,
}

/// What `/config` answers: which configuration is in force.
pub type ConfigReport = Arc<dyn Fn() -> String + Send + Sync>;

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
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/loglevel", get(read_level).put(change_level))
        .route("/config", get(config_report))
        .with_state(Admin { metrics, readiness, level, config });
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
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

async fn change_level(State(admin): State<Admin>, body: String) -> impl IntoResponse {
    match admin.level.set(body.trim()) {
        Ok(()) => {
            tracing::info!(level = body.trim(), "log.level_changed");
            (StatusCode::OK, "ok".to_owned())
        }
        Err(problem) => (StatusCode::BAD_REQUEST, problem),
    }
}

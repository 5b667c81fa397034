//! Logs, metrics and the admin port that every process has.

mod admin;
mod process;

use std::sync::Arc;

pub use admin::{ConfigReport, Readiness, serve_admin};
pub use prometheus_client;
use prometheus_client::registry::Registry;
use tracing_subscriber::{
    EnvFilter, Registry as LogRegistry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Changes the log level of the running process.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, LogRegistry>);

impl LogLevel {
    /// Applies a filter such as `info` or `info,transfer=debug`.
    ///
    /// # Errors
    /// When the filter does not parse.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let parsed: EnvFilter = filter.parse().map_err(|error| format!("log level {filter:?}: {error}"))?;
        self.0.reload(parsed).map_err(|error| error.to_string())
    }

    /// The filter in force.
    pub fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }
}

/// Starts JSON logging to standard output.
///
/// # Errors
/// When the filter does not parse or logging was started before.
pub fn start_logging(filter: &str) -> anyhow::Result<LogLevel> {
    let (layer, handle) = reload::Layer::new(filter.parse::<EnvFilter>()?);
    tracing_subscriber::registry()
        .with(layer)
        .with(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
        )
        .try_init()?;
    Ok(LogLevel(handle))
}

/// The metrics registry while it is being filled; frozen when the admin port starts.
pub struct Metrics(pub Registry);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::ProcessCollector));
        Self(registry)
    }
}

/// A frozen registry.
pub type SharedMetrics = Arc<Registry>;

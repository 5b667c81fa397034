//! Logs, metrics and the admin port that every process has.

mod admin;
mod listen;
mod process;
mod traces;
mod written;

use std::sync::{Arc, Mutex};

pub use admin::{AdminKey, Changes, ConfigReport, Readiness, serve_admin};
use anyhow::Context;
pub use listen::listen;
pub use prometheus_client;
use prometheus_client::registry::Registry;
pub use traces::{TRACE_PARENT, Traces, continue_trace, trace_parent};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::{
    EnvFilter, Layer, Registry as LogRegistry, filter::filter_fn, fmt::writer::BoxMakeWriter,
    layer::SubscriberExt, reload, util::SubscriberInitExt,
};
pub use written::Written;

/// Changes the log level of the running process.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, LogRegistry>);

impl LogLevel {
    /// Applies a filter such as `info` or `info,openim_transfer=debug`.
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

/// Starts JSON logging, to standard output or to files of this process (`<name>.<date>.log`, the oldest removed), and the export of spans.
/// A line has the fields of the spans it is in beside its own.
///
/// # Errors
/// When the filter does not parse, the directory cannot be written, the collector's address is none, or logging was started before.
pub fn start_logging(
    log: &config::Log,
    traces: &config::Traces,
    name: &str,
) -> anyhow::Result<(LogLevel, Traces)> {
    let (layer, handle) = reload::Layer::new(log.level.parse::<EnvFilter>()?);
    let writer = if log.storage_location.is_empty() {
        BoxMakeWriter::new(std::io::stdout)
    } else {
        BoxMakeWriter::new(Mutex::new(files(log, name)?))
    };
    let traces = Traces::start(traces, name)?;
    // Requests of administrators are written to the audit log only.
    // What libraries say of themselves at finer levels belongs into no trace, the exporter's own calls above all.
    let spans = traces.tracer().map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(|of| *of.level() <= tracing::Level::INFO && of.target() != "audit"))
    });
    tracing_subscriber::registry().with(layer).with(lines(writer)).with(spans).try_init()?;
    Ok((LogLevel(handle), traces))
}

/// Lines of JSON. The fields of spans and `name`, that of the nearest one, stand beside those of the event, which has none of the same name.
fn lines<S, W>(writer: W) -> json_subscriber::fmt::Layer<S, W>
where
    S: tracing::Subscriber + for<'lookup> tracing_subscriber::registry::LookupSpan<'lookup>,
    W: for<'writer> tracing_subscriber::fmt::MakeWriter<'writer> + 'static,
{
    json_subscriber::fmt::layer()
        .flatten_event(true)
        .with_current_span(false)
        .flatten_span_list_on_top_level(true)
        .with_writer(writer)
}

fn files(log: &config::Log, name: &str) -> anyhow::Result<RollingFileAppender> {
    let rotation = if log.rotation_time == 1 { Rotation::HOURLY } else { Rotation::DAILY };
    RollingFileAppender::builder()
        .rotation(rotation)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(log.remain_rotation_count)
        .build(&log.storage_location)
        .with_context(|| format!("log.storageLocation: {}", log.storage_location))
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_are_named_by_service_and_the_oldest_go() {
        let directory = std::env::temp_dir().join(format!("openim-logs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for day in 1..=3 {
            std::fs::write(directory.join(format!("msg.2020-01-0{day}.log")), "old").unwrap();
        }
        std::fs::write(directory.join("auth.2020-01-01.log"), "another's").unwrap();
        let log = config::Log {
            level: "info".into(),
            storage_location: directory.display().to_string(),
            rotation_time: 24,
            remain_rotation_count: 2,
        };
        writeln!(files(&log, "msg").unwrap(), "new").unwrap();
        let mut names: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        std::fs::remove_dir_all(&directory).unwrap();
        let own = |name: &&String| name.starts_with("msg.");
        assert_eq!(names.iter().filter(own).count(), 2, "{names:?}");
        assert!(names.iter().filter(own).any(|name| !name.starts_with("msg.2020")), "{names:?}");
        assert!(names.contains(&"auth.2020-01-01.log".to_owned()), "{names:?}");
        let nowhere = config::Log { storage_location: "/proc/nowhere".into(), ..log };
        assert!(files(&nowhere, "msg").unwrap_err().to_string().contains("log.storageLocation"));
    }
}

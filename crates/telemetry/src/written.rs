//! The lines that a test's code logs.

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

static WHOLE_PROCESS: Once = Once::new();

/// Lines as processes write them, kept for a test to read.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// Keeps what this thread logs, at every level, until the guard is dropped.
    pub fn start() -> (Self, DefaultGuard) {
        // While one thread alone has a subscriber, a line that another thread comes to first is off for all threads from then on.
        WHOLE_PROCESS.call_once(|| {
            let _one_is_enough = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        });
        let written = Self::default();
        let writer = {
            let written = written.clone();
            move || written.clone()
        };
        let subscriber = tracing_subscriber::registry().with(crate::lines(writer));
        (written, tracing::subscriber::set_default(subscriber))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one line that has this message.
    ///
    /// # Panics
    /// When there is none, when there are several, and when the line has a field twice: readers of JSON do not agree on which one counts.
    pub fn only(&self, message: &str) -> Value {
        let text = String::from_utf8_lossy(&self.bytes()).into_owned();
        let read = |line: &str| Some((line.to_owned(), serde_json::from_str::<Value>(line).ok()?));
        let mut found: Vec<(String, Value)> =
            text.lines().filter_map(read).filter(|(_, line)| line["message"] == message).collect();
        assert_eq!(found.len(), 1, "lines with the message {message}: {text}");
        let (line, fields) = found.remove(0);
        for name in fields.as_object().into_iter().flatten().map(|(name, _)| name) {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name} stands twice: {line}");
        }
        fields
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_of_its_spans() {
        let (written, _until) = Written::start();
        tracing::error_span!("request", operation_id = "17", caller = "u1").in_scope(|| {
            tracing::error_span!("hook", operation_id = "18")
                .in_scope(|| tracing::warn!(tries = 2, "it.failed"));
        });
        tracing::info!("it.ended");
        let (failed, ended) = (written.only("it.failed"), written.only("it.ended"));
        assert_eq!(failed["level"], "WARN", "{failed}");
        assert_eq!((&failed["operation_id"], &failed["caller"]), (&"18".into(), &"u1".into()));
        assert_eq!(failed["tries"], 2, "the nearest span decides: {failed}");
        assert!(failed["timestamp"].is_string() && failed["target"].is_string(), "{failed}");
        assert_eq!(ended.get("operation_id"), None, "{ended}");
    }

    #[test]
    fn a_field_that_is_known_later_is_in_the_lines_after_it() {
        let (written, _until) = Written::start();
        let span = tracing::error_span!("request", operation_id = "17", caller = tracing::field::Empty);
        span.in_scope(|| tracing::info!("it.began"));
        span.record("caller", "u1");
        span.in_scope(|| tracing::info!("it.ended"));
        assert_eq!(written.only("it.began").get("caller"), None);
        assert_eq!(written.only("it.ended")["caller"], "u1");
    }

    #[test]
    #[should_panic(expected = "stands twice")]
    fn a_field_of_a_line_and_of_its_span_is_found() {
        let (written, _until) = Written::start();
        tracing::error_span!("request", tries = 1).in_scope(|| tracing::info!(tries = 2, "it.ended"));
        written.only("it.ended");
    }
}

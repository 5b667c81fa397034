//! Traces: the spans of requests, calls, batches, jobs and reconciles, sent to an OpenTelemetry collector when one is configured. Without
//! one a span costs what its fields cost: they stand in every log line inside it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header and the metadata key that carry a trace from one process to the next (W3C Trace Context).
pub const TRACE_PARENT: &str = "traceparent";
/// How long the collector may take for one batch of spans, and for the last one when the process ends.
const DEADLINE: Duration = Duration::from_secs(5);

static EXPORTS: AtomicBool = AtomicBool::new(false);

/// The export of this process's spans.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Connects lazily: a collector that is unavailable costs spans and a warning, never a request. Its queue is bounded.
    ///
    /// # Errors
    /// When the endpoint is not an address.
    pub(crate) fn start(config: &config::Traces, name: &str) -> anyhow::Result<Self> {
        if config.endpoint.is_empty() {
            return Ok(Self::default());
        }
        let mut exporter =
            SpanExporter::builder().with_tonic().with_endpoint(&config.endpoint).with_timeout(DEADLINE);
        if config.endpoint.starts_with("https:") {
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
        }
        let exporter = exporter.build().context("traces.endpoint")?;
        let share = 1.0 / f64::from(config.sample_one_in.max(1));
        // The caller's sampling decision applies to all spans of a request.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name(format!("openim-{name}")).build())
            .build();
        EXPORTS.store(true, Ordering::Relaxed);
        Ok(Self(Some(provider)))
    }

    pub(crate) fn tracer(&self) -> Option<SdkTracer> {
        self.0.as_ref().map(|provider| provider.tracer("openim"))
    }

    /// Sends what is still buffered, for a few seconds at most.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(DEADLINE)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "traces.not_sent");
        }
    }
}

/// What carries the current span's trace to another process, when traces are exported.
pub fn trace_parent() -> Option<String> {
    if !EXPORTS.load(Ordering::Relaxed) {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACE_PARENT)
}

/// Makes `span`, which nobody has entered yet, a part of the trace that [`trace_parent`] of another process named.
pub fn continue_trace(span: &Span, parent: Option<&str>) {
    let Some(parent) = parent.filter(|_| EXPORTS.load(Ordering::Relaxed)) else { return };
    let carrier = HashMap::from([(TRACE_PARENT.to_owned(), parent.to_owned())]);
    // A span that the filter of the log left out has no trace to continue.
    let _continued = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SpanData, SpanExporter as Exporter},
    };
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps the spans that have ended. The SDK has one behind a feature, with which everything above it would be compiled a second time.
    #[derive(Debug, Clone, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl Exporter for Ended {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_call_continues_the_trace_of_its_caller() {
        let exporter = Ended::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        EXPORTS.store(true, Ordering::Relaxed);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let parent = tracing::error_span!("request", operation_id = "17").in_scope(trace_parent);
            let call = tracing::error_span!("rpc", rpc = "msg/sendMsg");
            continue_trace(&call, parent.as_deref());
            call.in_scope(|| ());
            continue_trace(&tracing::error_span!("other"), Some("no trace"));
        });
        EXPORTS.store(false, Ordering::Relaxed);
        let spans = exporter.0.lock().unwrap().clone();
        let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        let (request, call, other) = (of("request"), of("rpc"), of("other"));
        assert_eq!(call.span_context.trace_id(), request.span_context.trace_id());
        assert_eq!(call.parent_span_id, request.span_context.span_id());
        assert_ne!(other.span_context.trace_id(), request.span_context.trace_id());
        let has = |key: &str, value: &str| {
            request.attributes.iter().any(|pair| pair.key.as_str() == key && pair.value.as_str() == value)
        };
        assert!(has("operation_id", "17"), "{:?}", request.attributes);
        assert_eq!(trace_parent(), None, "nothing is exported");
    }

    #[tokio::test]
    async fn without_an_endpoint_nothing_is_sent_and_a_wrong_one_is_refused() {
        let config = config::Traces::default();
        assert!(Traces::start(&config, "msg").unwrap().tracer().is_none());
        let wrong = config::Traces { endpoint: "http://not an address".into(), ..config };
        let refused = format!("{:#}", Traces::start(&wrong, "msg").unwrap_err());
        assert!(refused.contains("traces.endpoint"), "{refused}");
    }
}

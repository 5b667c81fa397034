//! `rpc_count` (docs/protocol/metrics.md) and the time calls take.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use protocol::internal::Reply;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    name: String,
    path: String,
    code: i32,
}

/// Calls that were answered.
#[derive(Clone)]
pub struct RpcMetrics {
    calls: Family<Labels, Counter>,
    unreachable: Counter,
    seconds: Histogram,
}

impl Default for RpcMetrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            unreachable: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
        }
    }
}

impl RpcMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("rpc_count", "Calls answered, by errCode", metrics.calls.clone());
        registry.register(
            "rpc_unreachable",
            "Calls that failed because a server or another service was unavailable",
            metrics.unreachable.clone(),
        );
        registry.register("rpc_seconds", "Time to answer a call", metrics.seconds.clone());
        metrics
    }

    /// Only services call, with methods they know: the labels are bounded.
    pub(crate) fn answered(&self, service: &str, method: &str, reply: &Reply, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let path = format!("/openim.{service}/{method}");
        let labels = Labels { name: service.to_owned(), path, code: reply.err_code };
        self.calls.get_or_create(&labels).inc();
        self.unreachable.inc_by(reply.unreachable.into());
    }
}

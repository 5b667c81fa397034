//! Counters of the transfer service.

use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Written messages and trouble.
#[derive(Clone)]
pub struct TransferMetrics {
    pub(crate) inserted: Counter,
    pub(crate) failed: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) undecodable: Counter,
    /// Seconds from a message's acceptance until it is stored.
    pub(crate) stored: Histogram,
}

impl Default for TransferMetrics {
    fn default() -> Self {
        Self {
            inserted: Counter::default(),
            failed: Counter::default(),
            conflicts: Counter::default(),
            undecodable: Counter::default(),
            stored: Histogram::new(exponential_buckets(0.002, 2.0, 15)),
        }
    }
}

impl TransferMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("msg_insert_mongo_success", "Messages written", metrics.inserted.clone());
        registry.register(
            "msg_insert_mongo_failed",
            "Batches that failed and were tried again",
            metrics.failed.clone(),
        );
        registry.register(
            "msg_insert_conflict",
            "Batches that met repeats or another owner",
            metrics.conflicts.clone(),
        );
        registry.register(
            "msg_stored_seconds",
            "Time from accepting a message to having it stored",
            metrics.stored.clone(),
        );
        registry.register("msg_undecodable", "Records that were not messages", metrics.undecodable.clone());
        metrics
    }
}

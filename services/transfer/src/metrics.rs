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
    /// Retries of what was handled a short while ago.
    pub(crate) repeats: Counter,
    /// Records that Kafka will never take.
    pub(crate) refused: Counter,
    /// Messages whose at-marks were not written.
    pub(crate) mentions_left_out: Counter,
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
            repeats: Counter::default(),
            refused: Counter::default(),
            mentions_left_out: Counter::default(),
            stored: Histogram::new(exponential_buckets(0.002, 2.0, 15)),
        }
    }
}

impl TransferMetrics {
    /// Counts messages whose at-marks were not made.
    pub fn mentions_left_out(&self) -> Counter {
        self.mentions_left_out.clone()
    }

    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("msg_insert_mongo_success", "Messages written", metrics.inserted.clone());
        registry.register(
            "msg_insert_mongo_failed",
            "Failed batches that were retried",
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
        registry.register(
            "msg_repeats",
            "Retries of messages that were handled shortly before",
            metrics.repeats.clone(),
        );
        registry.register(
            "msg_record_refused",
            "Records of stored messages that Kafka permanently rejects",
            metrics.refused.clone(),
        );
        registry.register(
            "msg_mentions_left_out",
            "Messages whose at-marks were not written",
            metrics.mentions_left_out.clone(),
        );
        registry.register("msg_undecodable", "Records that were not messages", metrics.undecodable.clone());
        metrics
    }
}

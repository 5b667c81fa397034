//! Counters of the transfer service.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Written messages and trouble.
#[derive(Clone, Default)]
pub struct TransferMetrics {
    pub(crate) inserted: Counter,
    pub(crate) failed: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) undecodable: Counter,
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
        registry.register("msg_undecodable", "Records that were not messages", metrics.undecodable.clone());
        metrics
    }
}

//! Counters with the protocol's names (docs/protocol/metrics.md).

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Accepted and refused messages.
#[derive(Clone, Default)]
pub struct MessageMetrics {
    pub(crate) single_accepted: Counter,
    pub(crate) single_refused: Counter,
    pub(crate) group_accepted: Counter,
    pub(crate) group_refused: Counter,
    pub(crate) reads: Counter,
}

impl MessageMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // OpenMetrics appends `_total`.
        registry.register(
            "single_chat_msg_process_success",
            "Single-chat messages accepted",
            metrics.single_accepted.clone(),
        );
        registry.register(
            "single_chat_msg_process_failed",
            "Single-chat messages refused",
            metrics.single_refused.clone(),
        );
        registry.register(
            "group_chat_msg_process_success",
            "Group messages accepted",
            metrics.group_accepted.clone(),
        );
        registry.register(
            "group_chat_msg_process_failed",
            "Group messages refused",
            metrics.group_refused.clone(),
        );
        registry.register(
            "msg_read_queries",
            "Queries to MongoDB for messages that were pulled, listed or searched",
            metrics.reads.clone(),
        );
        metrics
    }
}

/// How often a fact about a user or a group was known.
#[derive(Clone, Default)]
pub struct FactMetrics {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
}

impl FactMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("msg_fact_cache_hits", "Facts that were in the cache", metrics.hits.clone());
        registry.register("msg_fact_cache_misses", "Facts read from MongoDB", metrics.misses.clone());
        metrics
    }
}

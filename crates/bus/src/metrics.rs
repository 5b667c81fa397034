//! Metrics of consumers: how far they are behind, and how many records they handle at a time.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    topic: String,
    group: String,
}

/// By topic and consumer group, of the partitions that this process owns.
#[derive(Clone)]
pub struct ConsumerMetrics {
    lag: Family<Labels, Gauge>,
    batches: Family<Labels, Histogram, fn() -> Histogram>,
}

/// The metrics of one consumer.
#[derive(Clone)]
pub(crate) struct OfConsumer {
    /// Records that wait.
    pub(crate) lag: Gauge,
    /// Records of each batch.
    pub(crate) batches: Histogram,
}

/// Sizes of batches: 1 to 1024.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

impl Default for ConsumerMetrics {
    fn default() -> Self {
        Self { lag: Family::default(), batches: Family::new_with_constructor(sizes) }
    }
}

impl ConsumerMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "consumer_lag_records",
            "Records not handled yet (consumer lag)",
            metrics.lag.clone(),
        );
        registry.register(
            "consumer_batch_records",
            "Records that were handled together",
            metrics.batches.clone(),
        );
        metrics
    }

    pub(crate) fn of(&self, topic: &str, group: &str) -> OfConsumer {
        let labels = Labels { topic: topic.to_owned(), group: group.to_owned() };
        let (lag, batches) = (self.lag.get_or_create(&labels), self.batches.get_or_create(&labels));
        OfConsumer { lag: lag.clone(), batches: batches.clone() }
    }
}

//! Metrics of consumer lag.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    topic: String,
    group: String,
}

/// Records that wait, by topic and consumer group, of the partitions that this process owns.
#[derive(Clone, Default)]
pub struct ConsumerMetrics(Family<Labels, Gauge>);

impl ConsumerMetrics {
    /// Registers the metric.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "consumer_lag_records",
            "Records not handled yet (consumer lag)",
            metrics.0.clone(),
        );
        metrics
    }

    pub(crate) fn of(&self, topic: &str, group: &str) -> Gauge {
        self.0.get_or_create(&Labels { topic: topic.to_owned(), group: group.to_owned() }).clone()
    }
}

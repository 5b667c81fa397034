//! Delivery of after hooks: one record after the other, each until it is answered or a day old. The offset is committed after
//! that: dying on any line delivers again, never less.

use std::time::Duration;

use bus::{Batch, PartitionHandler};
use config::Hook;
use model::{Clock, SystemClock};
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::{Record, Webhooks};

/// After this time a record is given up, so that a receiver that is gone for good does not fill the queue.
const MAX_AGE_MS: i64 = 86_400_000;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counters of deliveries.
#[derive(Clone, Default)]
pub struct DeliveryMetrics {
    delivered: Counter,
    retried: Counter,
    given_up: Counter,
}

impl DeliveryMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("webhook_delivered", "After hooks that were answered", metrics.delivered.clone());
        registry.register(
            "webhook_retried",
            "Deliveries that failed and were tried again",
            metrics.retried.clone(),
        );
        registry.register(
            "webhook_given_up",
            "After hooks that nobody took for a day",
            metrics.given_up.clone(),
        );
        metrics
    }
}

/// The handler of a partition of the webhook topic.
#[derive(Clone)]
pub struct Deliveries {
    /// Where hooks go.
    pub webhooks: Webhooks,
    /// Counters.
    pub metrics: DeliveryMetrics,
}

impl PartitionHandler for Deliveries {
    async fn handle(&mut self, batch: Batch) {
        for (_, payload) in &batch.records {
            match serde_json::from_slice::<Record>(payload) {
                Ok(record) => self.deliver(&record).await,
                Err(error) => tracing::error!(%error, record = ?payload, "webhook.undecodable_record"),
            }
        }
    }
}

impl Deliveries {
    async fn deliver(&self, record: &Record) {
        // A hook that was switched off, or that this version does not know, is not delivered any more.
        let Some(hook) = Hook::from_key(&record.hook) else { return };
        let Some(config) = self.webhooks.settings(hook) else { return };
        let timeout = config.timeout_duration();
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = self
                .webhooks
                .post(hook, &record.query, &record.operation_id, record.body.clone(), timeout)
                .await;
            let Err(error) = sent else {
                self.metrics.delivered.inc();
                return;
            };
            if SystemClock.now_ms() - record.since > MAX_AGE_MS {
                tracing::error!(operation_id = record.operation_id, hook = record.hook, %error, "webhook.given_up");
                self.metrics.given_up.inc();
                return;
            }
            tracing::warn!(operation_id = record.operation_id, hook = record.hook, %error, retry_in = ?pause, "webhook.retried");
            self.metrics.retried.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

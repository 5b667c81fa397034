//! Delivery of after hooks: one record after the other, each until it is answered or a day old. What the receiver will never take does
//! not keep the others waiting: it is given up at once where no request can be made of it, and soon where just this one is refused.
//! The offset is committed after that: dying on any line delivers again, never less.

use std::time::Duration;

use bus::{Batch, PartitionHandler};
use config::Hook;
use model::{Clock, SystemClock};
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::{CallError, Record, Webhooks};

/// After this time a record is given up, so that a receiver that is gone for good does not fill the queue.
const MAX_AGE_MS: i64 = 86_400_000;
/// So often a record is sent that the receiver refuses for itself: half a minute with the pauses.
const MOST_REFUSALS: u32 = 8;
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
            "After hooks that cannot be sent, that the receiver refused or that nobody took for a day",
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
                Err(error) => tracing::error!(%error, bytes = payload.len(), "webhook.undecodable_record"),
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
        let mut refusals = 0;
        loop {
            let sent = self
                .webhooks
                .post(hook, &record.query, &record.operation_id, record.body.clone(), timeout)
                .await;
            let Err(error) = sent else {
                self.metrics.delivered.inc();
                return;
            };
            refusals += u32::from(matches!(error, CallError::Refused(_)));
            if is_hopeless(&error, refusals, SystemClock.now_ms() - record.since) {
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

/// Whether a record is given up after this failure.
fn is_hopeless(error: &CallError, refusals: u32, age_ms: i64) -> bool {
    matches!(error, CallError::Unsendable(_) | CallError::TooLong)
        || refusals >= MOST_REFUSALS
        || age_ms > MAX_AGE_MS
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::call::tests::receiver;

    #[test]
    fn a_bad_record_is_given_up_and_a_bad_receiver_is_waited_for() {
        let (unsendable, refused) =
            (CallError::Unsendable("no URL".into()), CallError::Refused(StatusCode::PAYLOAD_TOO_LARGE));
        assert!(is_hopeless(&unsendable, 0, 0) && is_hopeless(&CallError::TooLong, 0, 0));
        assert!(!is_hopeless(&refused, MOST_REFUSALS - 1, 0) && is_hopeless(&refused, MOST_REFUSALS, 0));
        for error in [CallError::NotTaken(StatusCode::BAD_GATEWAY), CallError::Network("no route".into())] {
            assert!(!is_hopeless(&error, 0, MAX_AGE_MS) && is_hopeless(&error, 0, MAX_AGE_MS + 1));
        }
    }

    #[tokio::test]
    async fn what_a_proxy_answers_is_tried_again_and_one_bad_record_lets_the_next_pass() {
        let url =
            receiver(&[("502 Bad Gateway", "{}"), ("503 Service Unavailable", "<html>"), ("200 OK", "{}")])
                .await;
        let hook = Hook::AfterSendSingleMsg;
        let settings = config::HookConfig { enable: true, ..Default::default() };
        let hooks = [(hook.key().to_owned(), settings)].into();
        let webhooks = config::Webhooks { url, hooks, ..Default::default() };
        let config = config::Config { webhooks, ..Default::default() };
        let webhooks = Webhooks::new(&config, None).unwrap();
        let deliveries = Deliveries { webhooks, metrics: DeliveryMetrics::default() };
        let record = |operation_id: &str| Record {
            hook: hook.key().to_owned(),
            operation_id: operation_id.to_owned(),
            query: String::new(),
            body: json!({}).to_string(),
            since: SystemClock.now_ms(),
        };
        deliveries.deliver(&record("\n\u{7f}")).await;
        deliveries.deliver(&record("next")).await;
        let DeliveryMetrics { delivered, retried, given_up } = deliveries.metrics;
        assert_eq!((delivered.get(), retried.get(), given_up.get()), (2, 2, 0));
    }
}

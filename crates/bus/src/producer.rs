//! The producer. It is idempotent and waits for all in-sync replicas: within [`DELIVERY_TIMEOUT`] the client's own retries
//! neither repeat nor reorder records. A record reported as failed may be in the log all the same, and is there twice if it is
//! sent again: every consumer must tolerate repeats.

use std::time::Duration;

use rdkafka::{
    ClientConfig, ClientContext,
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;

use crate::{BusError, client, partitions};

/// How long a caller waits for an acknowledgement. The record itself stays queued: a client that gave it up early would put it into the log
/// twice when the broker had stood still and was only late to acknowledge it.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a record is tried; Kafka's own default.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(300);
/// Memory limit of records waiting for an unavailable broker; beyond it callers wait, and get an error that Kafka does not answer.
const QUEUE_KBYTES: &str = "65536";

/// A record that Kafka will never take.
#[derive(Debug)]
pub struct Refused {
    /// Which of those that were sent.
    pub index: usize,
    /// Why.
    pub error: BusError,
}

/// Sees when a producer gives up for good.
#[derive(Clone, Default)]
struct Health {
    failed: CancellationToken,
}

impl ClientContext for Health {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::error!(reason, "producer.failed");
            self.failed.cancel();
        } else {
            tracing::warn!(%error, reason, "producer.trouble");
        }
    }
}

/// Where records go.
#[derive(Clone)]
enum Line {
    Kafka(Kafka),
    #[cfg(debug_assertions)]
    Memory(crate::memory::Line),
}

/// A client of the brokers.
#[derive(Clone)]
struct Kafka {
    producer: FutureProducer<Health>,
    health: Health,
}

/// Produces with acks=all, idempotently.
#[derive(Clone)]
pub struct Producer {
    line: Line,
    /// Keys are spread over so many partitions; none: over all that the topic has.
    within: Option<i32>,
}

fn settings(config: &config::Kafka) -> ClientConfig {
    let mut settings = client(config);
    settings
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "1")
        .set("compression.type", "none")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "8388608")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", QUEUE_KBYTES)
        .set("delivery.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
    settings
}

impl Kafka {
    /// Checks whether the failure of a record is that of the producer: not every permanent failure is reported otherwise.
    fn failure(&self, error: KafkaError) -> BusError {
        if self.producer.client().fatal_error().is_some() {
            self.health.failed.cancel();
        }
        error.into()
    }
}

impl Producer {
    /// Prepares a producer; it connects by itself.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn new(config: &config::Kafka) -> Result<Self, BusError> {
        Self::with(&settings(config))
    }

    /// [`Producer::new`] for long texts. Brokers measure what is sent: compressed, a text that was escaped twice is about as long as it was
    /// before.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn compressing(config: &config::Kafka) -> Result<Self, BusError> {
        Self::with(settings(config).set("compression.type", "gzip"))
    }

    fn with(settings: &ClientConfig) -> Result<Self, BusError> {
        let health = Health::default();
        let producer = settings.create_with_context(health.clone())?;
        Ok(Self { line: Line::Kafka(Kafka { producer, health }), within: None })
    }

    /// A producer to a log in memory, as one process sees it.
    #[cfg(debug_assertions)]
    pub fn in_memory(log: &crate::memory::Log, fates: std::sync::Arc<dyn faults::fate::Fates>) -> Self {
        Self { line: Line::Memory(crate::memory::Line { log: log.clone(), fates }), within: None }
    }

    /// Spreads keys over the first `partitions` of a topic, however many it has.
    pub fn within(mut self, partitions: i32) -> Self {
        self.within = Some(partitions);
        self
    }

    fn record<'a>(&self, topic: &'a str, key: &'a str, payload: &'a [u8]) -> FutureRecord<'a, str, [u8]> {
        let mut record = FutureRecord::to(topic).key(key).payload(payload);
        record.partition = self.within.map(|count| partitions::partition_of(key, count));
        record
    }

    /// Sends one record and waits until all in-sync replicas have it.
    ///
    /// # Errors
    /// When that was not confirmed in time: the record may or may not be there, now or later.
    pub async fn send(&self, topic: &str, key: &str, payload: &[u8]) -> Result<(), BusError> {
        let kafka = match &self.line {
            Line::Kafka(kafka) => kafka,
            #[cfg(debug_assertions)]
            Line::Memory(line) => return line.send(topic, key, payload, self.within).await,
        };
        let sending = kafka.producer.send(self.record(topic, key, payload), PATIENCE);
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(sent) => sent.map(|_| ()).map_err(|(error, _)| kafka.failure(error)),
            Err(_elapsed) => Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut).into()),
        }
    }

    /// Sends many records of one topic, pipelined, and waits for all. Those that Kafka will never take are returned: all others are there.
    ///
    /// # Errors
    /// The first failure that may pass; any of the records may or may not be there.
    pub async fn send_all(
        &self,
        topic: &str,
        records: &[(String, Vec<u8>)],
    ) -> Result<Vec<Refused>, BusError> {
        let mut refused = Vec::new();
        for index in self.pipeline(topic, records).await? {
            // What was sent in one piece is refused in one piece: each alone shows which it was.
            let alone = std::slice::from_ref(&records[index]);
            let sent = self.pipeline_outcomes(topic, alone).await.pop();
            match sent {
                Some(Err(error)) if error.is_refusal() => refused.push(Refused { index, error }),
                Some(Err(error)) => return Err(error),
                Some(Ok(())) | None => {}
            }
        }
        Ok(refused)
    }

    /// The records that were refused, alone or with their neighbours.
    async fn pipeline(&self, topic: &str, records: &[(String, Vec<u8>)]) -> Result<Vec<usize>, BusError> {
        let mut refused = Vec::new();
        for (index, outcome) in self.pipeline_outcomes(topic, records).await.into_iter().enumerate() {
            match outcome {
                Ok(()) => {}
                Err(error) if error.is_refusal() => refused.push(index),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    async fn pipeline_outcomes(
        &self,
        topic: &str,
        records: &[(String, Vec<u8>)],
    ) -> Vec<Result<(), BusError>> {
        let kafka = match &self.line {
            Line::Kafka(kafka) => kafka,
            #[cfg(debug_assertions)]
            Line::Memory(line) => {
                let mut outcomes = Vec::with_capacity(records.len());
                for (key, payload) in records {
                    outcomes.push(line.send(topic, key, payload, self.within).await);
                }
                return outcomes;
            }
        };
        let mut waiting = Vec::with_capacity(records.len());
        for (key, payload) in records {
            let mut record = self.record(topic, key, payload);
            let queued = loop {
                match kafka.producer.send_result(record) {
                    Ok(delivery) => break Ok(delivery),
                    Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                        record = back;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err((error, _)) => break Err(kafka.failure(error)),
                }
            };
            waiting.push(queued);
        }
        let mut outcomes = Vec::with_capacity(records.len());
        for queued in waiting {
            outcomes.push(match queued {
                Ok(delivery) => match delivery.await {
                    Ok(sent) => sent.map(|_| ()).map_err(|(error, _)| kafka.failure(error)),
                    Err(_canceled) => Err(KafkaError::Canceled.into()),
                },
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// Waits until the producer gives up for good, as when a broker lost what it had acknowledged: every later send fails.
    pub async fn failed(self) -> BusError {
        let kafka = match &self.line {
            Line::Kafka(kafka) => kafka,
            #[cfg(debug_assertions)]
            Line::Memory(_) => std::future::pending().await,
        };
        kafka.health.failed.cancelled().await;
        let reason = kafka.producer.client().fatal_error().map(|(_, reason)| reason);
        BusError::ProducerFailed(reason.unwrap_or_default())
    }

    /// Waits for records in flight, at shutdown.
    pub async fn flush(&self) {
        let producer = match &self.line {
            Line::Kafka(kafka) => kafka.producer.clone(),
            #[cfg(debug_assertions)]
            Line::Memory(_) => return,
        };
        let _flushed = tokio::task::spawn_blocking(move || producer.flush(PATIENCE)).await;
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, types::RDKafkaApiKey, types::RDKafkaRespErr};

    use super::*;

    const TOPIC: &str = "t";

    /// A broker that refuses what it is told to, and a producer that sends what comes within a moment in one piece.
    async fn mock() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Producer) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let config = config::Kafka { address: vec![cluster.bootstrap_servers()], ..Default::default() };
        let producer = Producer::with(settings(&config).set("linger.ms", "300")).unwrap();
        producer.send(TOPIC, "k", b"connected").await.unwrap();
        (cluster, producer)
    }

    fn records(count: usize) -> Vec<(String, Vec<u8>)> {
        (0..count).map(|number| ("k".to_owned(), vec![b'x'; number + 1])).collect()
    }

    #[tokio::test]
    async fn what_is_refused_with_its_neighbours_is_sent_alone() {
        let (cluster, producer) = mock().await;
        let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        // All three at first, then the first of them alone.
        cluster.request_errors(RDKafkaApiKey::Produce, &[too_large, too_large]);
        let refused = producer.send_all(TOPIC, &records(3)).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [0]);
        assert!(refused[0].error.is_refusal());
    }

    #[tokio::test]
    async fn what_is_longer_than_the_client_takes_does_not_stop_the_others() {
        let (_cluster, producer) = mock().await;
        let records = [("k".to_owned(), vec![0; 9 << 20]), ("k".to_owned(), vec![0; 10])];
        let refused = producer.send_all(TOPIC, &records).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [0]);
    }

    #[tokio::test]
    async fn a_producer_that_cannot_go_on_says_so() {
        let (cluster, producer) = mock().await;
        let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[lost]);
        assert!(producer.send(TOPIC, "k", b"x").await.is_err());
        let failed = tokio::time::timeout(Duration::from_secs(60), producer.failed()).await;
        assert!(matches!(failed, Ok(BusError::ProducerFailed(_))), "{failed:?}");
    }
}

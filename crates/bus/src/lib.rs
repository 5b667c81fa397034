//! Kafka. The producer is idempotent and waits for all in-sync replicas. Consumers read one partition each, commit explicitly and
//! only what is finished.

mod anew;
mod batch;
mod consumer;
mod error;
mod handled;
mod member;
#[cfg(debug_assertions)]
pub mod memory;
mod metrics;
mod partitions;
mod producer;
mod progress;
mod recent;

use std::time::Duration;

pub use batch::Batch;
pub use consumer::{Consumer, Order, PartitionHandler};
pub use error::BusError;
pub use handled::Handled;
pub use metrics::ConsumerMetrics;
use parking_lot::Mutex;
pub use partitions::Backlog;
pub use producer::{Producer, Refused};
use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
};
pub use recent::Recent;

/// Timeout of administrative calls.
const PATIENCE: Duration = Duration::from_secs(10);

fn client(config: &config::Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.address.join(",")).set("client.id", "openim");
    client.set("reconnect.backoff.max.ms", "2000").set("socket.keepalive.enable", "true");
    // Requests are written whole, and somebody waits for each.
    client.set("socket.nagle.disable", "true");
    let tls = &config.tls;
    let protocol = match (config.username.is_empty(), tls.enable_tls) {
        (true, false) => "PLAINTEXT",
        (true, true) => "SSL",
        (false, false) => "SASL_PLAINTEXT",
        (false, true) => "SASL_SSL",
    };
    client.set("security.protocol", protocol);
    if tls.enable_tls {
        for (name, value) in
            [("ssl.ca", &tls.ca_crt), ("ssl.certificate", &tls.client_crt), ("ssl.key", &tls.client_key)]
        {
            if value.contains("-----BEGIN") {
                client.set(format!("{name}.pem"), value);
            } else if !value.is_empty() {
                client.set(format!("{name}.location"), value);
            }
        }
        if tls.ca_crt.is_empty() {
            client.set("ssl.ca.location", authorities());
        }
        if !tls.client_key_pwd.is_empty() {
            client.set("ssl.key.password", &tls.client_key_pwd);
        }
        if tls.insecure_skip_verify {
            client.set("enable.ssl.certificate.verification", "false");
            client.set("ssl.endpoint.identification.algorithm", "none");
        }
    }
    if !config.username.is_empty() {
        client
            .set("sasl.mechanism", config.sasl_mechanism.as_str())
            .set("sasl.username", &config.username)
            .set("sasl.password", &config.password);
    }
    client
}

/// Where the system's authorities are: in the file that the environment names, or where systems keep them. librdkafka's own OpenSSL looks for them
/// where it was compiled.
fn authorities() -> String {
    let named = std::env::var("SSL_CERT_FILE").ok().filter(|path| std::path::Path::new(path).is_file());
    named.unwrap_or_else(|| "probe".into())
}

/// Creates topics that do not exist, and adds partitions to those that have fewer than they should; repeating it changes nothing.
///
/// # Errors
/// When Kafka cannot be reached or refuses.
pub async fn ensure_topics(config: &config::Kafka) -> Result<(), BusError> {
    // An administrating client says "timed out", whatever the reason.
    let settings = config.clone();
    let asked = tokio::task::spawn_blocking(move || ping(&settings, PATIENCE)).await;
    asked.map_err(|_stopped| rdkafka::error::KafkaError::Canceled)??;
    let admin: AdminClient<_> = client(config).create()?;
    let names = topics(config);
    let topics = names.map(|name| {
        let topic =
            NewTopic::new(name, config.partitions, TopicReplication::Fixed(config.replication_factor));
        // acks=all means all that are in sync: one alone must not do where there are three.
        if config.replication_factor >= 3 { topic.set("min.insync.replicas", "2") } else { topic }
    });
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let done = admin.create_topics(&topics, &options).await?;
    accepted(done, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)?;
    let wanted = usize::try_from(config.partitions).unwrap_or(0);
    let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
    let short = metadata.topics().iter().filter(|topic| {
        // One that was created in this moment may not be known yet: it has them all.
        let there = topic.partitions().len();
        names.iter().any(|name| *name == topic.name()) && (1..wanted).contains(&there)
    });
    let short: Vec<NewPartitions<'_>> = short.map(|topic| NewPartitions::new(topic.name(), wanted)).collect();
    if short.is_empty() {
        return Ok(());
    }
    for topic in &short {
        tracing::info!(topic = topic.topic_name, partitions = wanted, "topic.grows");
    }
    // Somebody else may have added them in between.
    let done = admin.create_partitions(&short, &options).await?;
    accepted(done, rdkafka::types::RDKafkaErrorCode::InvalidPartitions)
}

/// All topics were accepted, or refused with the code that means that there is nothing to do.
fn accepted(
    outcomes: Vec<rdkafka::admin::TopicResult>,
    nothing_to_do: rdkafka::types::RDKafkaErrorCode,
) -> Result<(), BusError> {
    for outcome in outcomes {
        if let Err((topic, code)) = outcome
            && code != nothing_to_do
        {
            tracing::warn!(topic, %code, "topic.refused");
            return Err(rdkafka::error::KafkaError::AdminOp(code).into());
        }
    }
    Ok(())
}

/// Keeps the last thing that went wrong between a client and the brokers.
#[derive(Default)]
struct Witness(Mutex<String>);

impl ClientContext for Witness {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            *self.0.lock() = message.to_owned();
        }
    }

    fn error(&self, _error: rdkafka::error::KafkaError, reason: &str) {
        *self.0.lock() = reason.to_owned();
    }
}

impl ConsumerContext for Witness {}

/// Where Kafka keeps what groups have finished.
const OFFSETS: &str = "__consumer_offsets";

/// The topics of a cluster.
fn topics(config: &config::Kafka) -> [&String; 4] {
    [&config.message_topic, &config.push_topic, &config.webhook_topic, &config.offline_topic]
}

/// Asks for the metadata of all topics; blocks up to `patience`. Returns how many partitions of our own have fewer copies in sync than they should:
/// those of others who use the same brokers are not our concern.
///
/// # Errors
/// When no broker answers.
pub fn ping(config: &config::Kafka, patience: Duration) -> Result<usize, BusError> {
    let mut settings = client(config);
    settings.set("group.id", "openim-probe");
    let consumer: BaseConsumer<Witness> = settings.create_with_context(Witness::default())?;
    let metadata = match consumer.fetch_metadata(None, patience) {
        Ok(metadata) => metadata,
        Err(error) => {
            // What was seen on the way is handed over here.
            let mut seen = String::new();
            for _ in 0..5 {
                let _event = consumer.poll(Duration::from_millis(100));
                seen = consumer.context().0.lock().clone();
                if !seen.is_empty() {
                    break;
                }
            }
            return Err(if seen.is_empty() { error.into() } else { BusError::Unreachable { error, seen } });
        }
    };
    let own = topics(config);
    let is_own = |name: &str| name == OFFSETS || own.iter().any(|topic| *topic == name);
    let topics = metadata.topics().iter().filter(|topic| is_own(topic.name()));
    let partitions = topics.flat_map(|topic| topic.partitions());
    Ok(partitions.filter(|partition| partition.isr().len() < partition.replicas().len()).count())
}

#[cfg(test)]
mod tests {
    use config::SaslMechanism;

    use super::*;

    #[test]
    fn the_client_is_told_how_to_log_in_and_whom_to_trust() {
        let tls = |ca: &str| config::ClientTls { enable_tls: true, ca_crt: ca.into(), ..Default::default() };
        let plain = client(&config::Kafka::default());
        assert_eq!(plain.get("security.protocol"), Some("PLAINTEXT"));
        assert_eq!((plain.get("sasl.mechanism"), plain.get("ssl.ca.location")), (None, None));
        let scram = client(&config::Kafka {
            username: "chat".into(),
            sasl_mechanism: SaslMechanism::ScramSha512,
            tls: tls(""),
            ..Default::default()
        });
        assert_eq!(scram.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(scram.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(scram.get("ssl.ca.location"), Some(authorities().as_str()));
        let own = client(&config::Kafka { tls: tls("/tls/ca.crt"), ..Default::default() });
        assert_eq!(own.get("ssl.ca.location"), Some("/tls/ca.crt"));
    }
}

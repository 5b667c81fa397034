//! Kafka. The producer is idempotent and waits for all in-sync replicas. Consumers read one partition each, commit explicitly and
//! only what is finished.

mod batch;
mod broker;
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
mod recreated;

use std::time::Duration;

pub use batch::Batch;
pub use broker::{Room, grant, groups, keep_room};
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

/// The topics of the services.
pub(crate) fn topics(config: &config::Kafka) -> [&str; 4] {
    [&config.message_topic, &config.push_topic, &config.webhook_topic, &config.offline_topic]
        .map(String::as_str)
}

/// Creates topics that do not exist, and adds partitions to those that have fewer than they should; repeating it changes nothing and
/// needs no right to create topics.
///
/// # Errors
/// When Kafka cannot be reached or refuses.
pub async fn ensure_topics(config: &config::Kafka) -> Result<(), BusError> {
    // An administrating client says "timed out", whatever the reason.
    let settings = config.clone();
    let asked = tokio::task::spawn_blocking(move || ping(&settings, PATIENCE)).await;
    let seen = asked.map_err(|_stopped| rdkafka::error::KafkaError::Canceled)??;
    let admin: AdminClient<_> = client(config).create()?;
    let names = topics(config);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let missing: Vec<NewTopic<'_>> = seen
        .missing
        .iter()
        .map(|name| {
            let topic =
                NewTopic::new(name, config.partitions, TopicReplication::Fixed(config.replication_factor));
            // acks=all means all that are in sync: one alone must not do where there are three.
            if config.replication_factor >= 3 { topic.set("min.insync.replicas", "2") } else { topic }
        })
        .collect();
    if !missing.is_empty() {
        let done = admin.create_topics(&missing, &options).await?;
        accepted(done, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)?;
    }
    let wanted = usize::try_from(config.partitions).unwrap_or(0);
    let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
    let short = metadata.topics().iter().filter(|topic| {
        // One that was created in this moment may not be known yet: it has them all.
        let there = topic.partitions().len();
        names.contains(&topic.name()) && (1..wanted).contains(&there)
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

/// Kafka's topic of committed offsets.
const OFFSETS: &str = "__consumer_offsets";

/// State of the topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Partitions of our own topics with fewer copies in sync than there should be; those of others are not our concern.
    pub short: usize,
    /// Topics of the services that do not exist.
    pub missing: Vec<String>,
}

/// Asks for the metadata of all topics; blocks up to `patience`.
///
/// # Errors
/// When no broker answers.
pub fn ping(config: &config::Kafka, patience: Duration) -> Result<Seen, BusError> {
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
    let is_own = |name: &str| name == OFFSETS || own.contains(&name);
    let ours = metadata.topics().iter().filter(|topic| is_own(topic.name()));
    let partitions = ours.flat_map(|topic| topic.partitions());
    let short = partitions.filter(|partition| partition.isr().len() < partition.replicas().len()).count();
    let is_there = |name: &str| {
        metadata.topics().iter().any(|topic| topic.name() == name && !topic.partitions().is_empty())
    };
    let missing = own.into_iter().filter(|name| !is_there(name)).map(str::to_owned).collect();
    Ok(Seen { short, missing })
}

#[cfg(test)]
mod tests {
    use config::SaslMechanism;
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn missing_topics_are_named() {
        let cluster = MockCluster::new(1).unwrap();
        let config = config::Kafka { address: vec![cluster.bootstrap_servers()], ..Default::default() };
        let missing = || ping(&config, PATIENCE).unwrap().missing;
        assert_eq!(missing(), topics(&config));
        for topic in &topics(&config)[..3] {
            cluster.create_topic(topic, 2, 1).unwrap();
        }
        assert_eq!(missing(), std::slice::from_ref(&config.offline_topic));
    }

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

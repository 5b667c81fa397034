//! How the services reach the backing servers: addresses, credentials, and the names that are theirs there. Pure.

use std::collections::BTreeMap;

use crds::{RedisMode, SaslMechanism};
use topology::Server;

use crate::model::{
    cluster::{Backing, Cluster, member_host},
    secret::{self, Account, key},
    workload::Rollout,
};

/// Secrets by name.
pub type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// The addresses and credentials the services use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connection string.
    pub mongo_uri: String,
    /// Database in MongoDB.
    pub mongo_database: String,
    /// host:port and password.
    pub redis: config::Redis,
    /// Brokers and user.
    pub kafka: config::Kafka,
}

/// Resolves the settings from the spec, the Secrets and the StatefulSets that are there.
pub fn settings(
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
    external: &Secrets,
    stateful_sets: &BTreeMap<String, Rollout>,
) -> Settings {
    let brokers = brokers(cluster, stateful_sets);
    let account = Account::in_use(credentials);
    let generated = |name: &str| credentials.get(name).cloned().unwrap_or_default();
    let of = |secret: &str, name: &str| {
        external.get(secret).and_then(|data| data.get(name)).cloned().unwrap_or_default()
    };
    let generated_tls = managed_tls(credentials);
    let tls = |enable_tls: bool, secret: &str| config::ClientTls {
        enable_tls,
        ca_crt: of(secret, "ca.crt"),
        client_crt: of(secret, "tls.crt"),
        client_key: of(secret, "tls.key"),
        ..Default::default()
    };
    let mongo_uri = match &cluster.mongodb {
        Backing::Managed(_) => generated(account.mongo_uri),
        Backing::External(external) => of(&external.secret_name, "uri"),
    };
    let mongo_database = match &cluster.mongodb {
        Backing::External(external) if !external.database.is_empty() => external.database.clone(),
        _ => config::Mongo::default().database,
    };
    let redis = match &cluster.redis {
        Backing::Managed(_) => config::Redis {
            tls: generated_tls.clone(),
            ..managed_redis(cluster, stateful_sets, generated(account.redis_password))
        },
        Backing::External(external) => {
            let listed = || external.address.split(',').map(|address| address.trim().to_owned());
            config::Redis {
                address: external.address.clone(),
                username: external.username.clone(),
                password: of(&external.secret_name, "password"),
                redis_mode: match external.mode {
                    RedisMode::Standalone => config::RedisMode::Standalone,
                    RedisMode::Sentinel => config::RedisMode::Sentinel,
                    RedisMode::Cluster => config::RedisMode::Cluster,
                },
                sentinel_mode: config::RedisSentinel {
                    master_name: external.master_name.clone(),
                    sentinels_addrs: listed().filter(|_| external.mode == RedisMode::Sentinel).collect(),
                    password: of(&external.secret_name, "sentinel-password"),
                },
                tls: tls(external.tls, &external.secret_name),
                prefix: prefix(external.prefix.as_ref(), credentials),
                ..Default::default()
            }
        }
    };
    let kafka = match &cluster.kafka {
        Backing::Managed(_) => config::Kafka {
            address: (0..brokers)
                .map(|broker| {
                    format!("{}:{}", member_host(cluster, Server::Kafka, broker), Server::Kafka.port())
                })
                .collect(),
            username: account.user.into(),
            password: generated(account.kafka_password),
            tls: generated_tls,
            replication_factor: brokers,
            ..Default::default()
        },
        Backing::External(external) => named(
            prefix(external.prefix.as_ref(), credentials),
            config::Kafka {
                address: external.address.clone(),
                username: of(&external.secret_name, "username"),
                password: of(&external.secret_name, "password"),
                sasl_mechanism: match external.sasl_mechanism {
                    None | Some(SaslMechanism::Plain) => config::SaslMechanism::Plain,
                    Some(SaslMechanism::ScramSha256) => config::SaslMechanism::ScramSha256,
                    Some(SaslMechanism::ScramSha512) => config::SaslMechanism::ScramSha512,
                },
                tls: tls(external.tls, &external.secret_name),
                replication_factor: external.replication_factor,
                ..Default::default()
            },
        ),
    };
    Settings { mongo_uri, mongo_database, redis, kafka }
}

/// Topics and consumer groups that begin with a prefix. Services of earlier versions know the keys of the topics, not the one of the groups.
fn named(prefix: String, kafka: config::Kafka) -> config::Kafka {
    let with = |name: &str| format!("{prefix}{name}");
    config::Kafka {
        message_topic: with(&kafka.message_topic),
        push_topic: with(&kafka.push_topic),
        webhook_topic: with(&kafka.webhook_topic),
        offline_topic: with(&kafka.offline_topic),
        group_prefix: prefix,
        ..kafka
    }
}

/// How managed Kafka and Redis are spoken to.
pub fn managed_tls(credentials: &BTreeMap<String, String>) -> config::ClientTls {
    config::ClientTls {
        enable_tls: secret::servers_speak_tls(credentials),
        ca_crt: credentials.get(key::AUTHORITY).cloned().unwrap_or_default(),
        ..Default::default()
    }
}

fn managed_redis(
    cluster: &Cluster,
    stateful_sets: &BTreeMap<String, Rollout>,
    password: String,
) -> config::Redis {
    let hosts = redis_hosts(cluster, stateful_sets);
    let address = format!("{}:{}", member_host(cluster, Server::Redis, 0), topology::redis::PORT);
    if hosts.len() == 1 {
        return config::Redis { address, password, ..Default::default() };
    }
    config::Redis {
        address,
        password: password.clone(),
        redis_mode: config::RedisMode::Sentinel,
        sentinel_mode: config::RedisSentinel {
            master_name: topology::redis::MASTER_NAME.into(),
            sentinels_addrs: hosts
                .iter()
                .map(|host| format!("{host}:{}", topology::redis::SENTINEL_PORT))
                .collect(),
            password,
        },
        ..Default::default()
    }
}

/// The servers of a managed Redis: a set with sentinels stays one, whatever the spec says by now, even if somebody scaled it manually.
pub fn redis_hosts(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> Vec<String> {
    let is_set = stateful_sets.get(&cluster.part(Server::Redis)).is_some_and(Rollout::has_sentinels);
    let members = match &cluster.redis {
        Backing::Managed(managed) => managed.replicas.max(if is_set { 3 } else { 1 }),
        Backing::External(_) => 0,
    };
    (0..members).map(|member| member_host(cluster, Server::Redis, member)).collect()
}

/// The brokers of a managed Kafka: as many as at its creation, whatever the spec says by now, even if somebody scaled it manually.
pub fn brokers(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> i32 {
    let live = stateful_sets.get(&cluster.part(Server::Kafka));
    match &cluster.kafka {
        // Only sets of three start their pods in parallel, and Kubernetes lets nobody change that.
        Backing::Managed(managed) => live.map_or(managed.brokers, |live| if live.parallel { 3 } else { 1 }),
        Backing::External(_) => 0,
    }
}

/// The prefix that a new cluster is given: no other cluster of this Kubernetes has it.
pub fn new_prefix(cluster: &Cluster) -> String {
    format!("{}.{}.", cluster.namespace, cluster.name)
}

/// What the names of a cluster begin with on an external server: what the spec says, or else what was decided when the cluster was created. Clusters
/// of earlier operators keep names without a prefix.
pub fn prefix(asked: Option<&String>, credentials: &BTreeMap<String, String>) -> String {
    asked.or_else(|| credentials.get(key::SHARED_PREFIX)).cloned().unwrap_or_default()
}

//! Asks the backing servers themselves, with the credentials of the services. Each answer comes within a few seconds.

use std::{collections::BTreeMap, time::Duration};

use crds::{Dependency, RedisMode};
use tokio::time::timeout;

use crate::{
    credentials::{self, USER, key, member_host},
    plan::Rollout,
    replica_set::{self, ReplicaSet},
    validate::{Backing, Cluster},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// The addresses and credentials the services use.
pub struct Settings {
    /// Connection string.
    pub mongo_uri: String,
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
    let generated = |name: &str| credentials.get(name).cloned().unwrap_or_default();
    let of = |secret: &str, name: &str| {
        external.get(secret).and_then(|data| data.get(name)).cloned().unwrap_or_default()
    };
    let mongo_uri = match &cluster.mongodb {
        Backing::Managed(_) => generated(key::MONGO_URI),
        Backing::External(external) => of(&external.secret_name, "uri"),
    };
    let redis = match &cluster.redis {
        Backing::Managed(_) => config::Redis {
            address: format!("{}:6379", member_host(cluster, "redis", 0)),
            password: generated(key::REDIS_PASSWORD),
            ..Default::default()
        },
        Backing::External(external) => {
            let listed = || external.address.split(',').map(|address| address.trim().to_owned());
            config::Redis {
                address: external.address.clone(),
                password: of(&external.secret_name, "password"),
                redis_mode: match external.mode {
                    RedisMode::Standalone => config::RedisMode::Standalone,
                    RedisMode::Sentinel => config::RedisMode::Sentinel,
                    RedisMode::Cluster => config::RedisMode::Cluster,
                },
                sentinel_mode: config::RedisSentinel {
                    master_name: external.master_name.clone(),
                    sentinels_addrs: listed().filter(|_| external.mode == RedisMode::Sentinel).collect(),
                    ..Default::default()
                },
                ..Default::default()
            }
        }
    };
    let kafka = match &cluster.kafka {
        Backing::Managed(_) => config::Kafka {
            address: (0..brokers)
                .map(|broker| format!("{}:9092", member_host(cluster, "kafka", broker)))
                .collect(),
            username: USER.into(),
            password: generated(key::KAFKA_PASSWORD),
            replication_factor: brokers,
            ..Default::default()
        },
        Backing::External(external) => config::Kafka {
            address: external.address.clone(),
            username: of(&external.secret_name, "username"),
            password: of(&external.secret_name, "password"),
            tls: config::KafkaTls {
                enable_tls: external.tls,
                ca_crt: of(&external.secret_name, "ca.crt"),
                client_crt: of(&external.secret_name, "tls.crt"),
                client_key: of(&external.secret_name, "tls.key"),
                ..Default::default()
            },
            replication_factor: external.replication_factor,
            ..Default::default()
        },
    };
    Settings { mongo_uri, redis, kafka }
}

/// The brokers of a managed Kafka: as many as it was made with, whatever the spec says by now and whoever scaled it by hand.
pub fn brokers(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> i32 {
    let live = stateful_sets.get(&cluster.part("kafka"));
    match &cluster.kafka {
        // Only sets of three start their pods in parallel, and Kubernetes lets nobody change that.
        Backing::Managed(managed) => live.map_or(managed.brokers, |live| if live.parallel { 3 } else { 1 }),
        Backing::External(_) => 0,
    }
}

// Each of these answers with what is not as it should be although the server answers, or nothing.

async fn mongodb(cluster: &Cluster, set: &ReplicaSet, uri: &str) -> Result<String, String> {
    if cluster.mongodb.is_managed() {
        return set.ensure().await;
    }
    replica_set::ask(uri, PATIENCE).await.map(|()| String::new())
}

async fn redis(settings: &config::Redis) -> Result<String, String> {
    let routes = routes::Routes::connect(settings).map_err(|error| error.to_string())?;
    Box::pin(routes.ping()).await.map(|()| String::new()).map_err(|error| error.to_string())
}

async fn kafka(settings: config::Kafka) -> Result<String, String> {
    let asked = tokio::task::spawn_blocking(move || bus::ping(&settings, PATIENCE)).await;
    let missing = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(if missing == 0 { String::new() } else { format!("{missing} partitions are short of a copy") })
}

fn outcome(
    name: &str,
    managed: bool,
    asked: Result<Result<String, String>, tokio::time::error::Elapsed>,
) -> Dependency {
    let (reachable, message) = match asked {
        Ok(Ok(remark)) => (true, remark),
        Ok(Err(problem)) => (false, problem.chars().take(300).collect()),
        Err(_elapsed) => (false, format!("no answer within {} s", PATIENCE.as_secs() + 1)),
    };
    Dependency { name: name.into(), managed, reachable, message }
}

/// Probes all three. A managed server without a ready pod is not asked.
pub async fn all(
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
    external: &Secrets,
    stateful_sets: &BTreeMap<String, Rollout>,
) -> Vec<Dependency> {
    let settings = settings(cluster, credentials, external, stateful_sets);
    let limit = PATIENCE + Duration::from_secs(1);
    let starting = |server: &str, managed: bool| -> Option<Dependency> {
        let ready = stateful_sets.get(&cluster.part(server)).is_some_and(|set| set.ready > 0);
        (managed && !ready).then(|| Dependency {
            name: server.into(),
            managed,
            reachable: false,
            message: "its pod is not ready yet".into(),
        })
    };
    let mongodb = async {
        let managed = cluster.mongodb.is_managed();
        match starting("mongodb", managed) {
            Some(waiting) => waiting,
            None => {
                let set = credentials::replica_set(cluster, credentials);
                outcome("mongodb", managed, timeout(limit, mongodb(cluster, &set, &settings.mongo_uri)).await)
            }
        }
    };
    let redis = async {
        let managed = cluster.redis.is_managed();
        match starting("redis", managed) {
            Some(waiting) => waiting,
            None => outcome("redis", managed, timeout(limit, redis(&settings.redis)).await),
        }
    };
    let kafka = async {
        let managed = cluster.kafka.is_managed();
        match starting("kafka", managed) {
            Some(waiting) => waiting,
            None => outcome("kafka", managed, timeout(limit, kafka(settings.kafka.clone())).await),
        }
    };
    let (mongodb, redis, kafka) = tokio::join!(mongodb, redis, kafka);
    vec![mongodb, redis, kafka]
}

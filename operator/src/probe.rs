//! Asks the backing servers themselves, with the credentials of the services. Each answer comes within a few seconds.

use std::{collections::BTreeMap, time::Duration};

use crds::{Dependency, RedisMode};
use tokio::time::timeout;

use crate::{
    credentials::{self, USER, key, member_host},
    plan::{Observed, Rollout},
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
        Backing::Managed(_) => managed_redis(cluster, stateful_sets, generated(key::REDIS_PASSWORD)),
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

fn managed_redis(
    cluster: &Cluster,
    stateful_sets: &BTreeMap<String, Rollout>,
    password: String,
) -> config::Redis {
    let hosts = redis_hosts(cluster, stateful_sets);
    let address = format!("{}:{}", member_host(cluster, "redis", 0), routes::set::PORT);
    if hosts.len() == 1 {
        return config::Redis { address, password, ..Default::default() };
    }
    config::Redis {
        address,
        password: password.clone(),
        redis_mode: config::RedisMode::Sentinel,
        sentinel_mode: config::RedisSentinel {
            master_name: routes::set::MASTER_NAME.into(),
            sentinels_addrs: hosts
                .iter()
                .map(|host| format!("{host}:{}", routes::set::SENTINEL_PORT))
                .collect(),
            password,
        },
        ..Default::default()
    }
}

/// The servers of a managed Redis: a set with sentinels stays one, whatever the spec says by now and whoever scaled it by hand.
pub fn redis_hosts(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> Vec<String> {
    let is_set = stateful_sets.get(&cluster.part("redis")).is_some_and(Rollout::has_sentinels);
    let members = match &cluster.redis {
        Backing::Managed(managed) => managed.replicas.max(if is_set { 3 } else { 1 }),
        Backing::External(_) => 0,
    };
    (0..members).map(|member| member_host(cluster, "redis", member)).collect()
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

async fn redis(
    settings: &config::Redis,
    hosts: &[String],
    master: &mut Option<i32>,
) -> Result<String, String> {
    let routes = routes::Routes::connect(settings).map_err(|error| error.to_string())?;
    if hosts.len() < 2 {
        return Box::pin(routes.ping()).await.map(|()| String::new()).map_err(|error| error.to_string());
    }
    let state = Box::pin(routes.set_state()).await.map_err(|error| error.to_string())?;
    *master = hosts.iter().position(|host| *host == state.master).map(|member| member as i32);
    let wanted = hosts.len() - 1;
    Ok(if state.replicas >= wanted {
        String::new()
    } else {
        format!("{} of {wanted} replicas follow the master", state.replicas)
    })
}

async fn kafka(settings: config::Kafka) -> Result<String, String> {
    let asked = tokio::task::spawn_blocking(move || bus::ping(&settings, PATIENCE)).await;
    let missing = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(if missing == 0 { String::new() } else { format!("{missing} partitions are short of a copy") })
}

/// Has the sentinels choose another master. What they refuse is asked for again in the next pass.
pub async fn fail_over(cluster: &Cluster, observed: &Observed) {
    let hosts = redis_hosts(cluster, &observed.stateful_sets);
    let password = observed.credentials.get(key::REDIS_PASSWORD).map_or("", String::as_str);
    match Box::pin(routes::set::fail_over(&hosts, password)).await {
        Ok(()) => tracing::info!(cluster = cluster.name, "redis.fails_over"),
        Err(error) => tracing::warn!(cluster = cluster.name, %error, "redis.failover_refused"),
    }
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

/// What the servers said.
#[derive(Debug, Default)]
pub struct Probed {
    /// Each of them.
    pub dependencies: Vec<Dependency>,
    /// The member of a managed Redis with sentinels that is the master.
    pub redis_master: Option<i32>,
}

/// Probes all three. A managed server without a ready pod is not asked.
pub async fn all(
    cluster: &Cluster,
    credentials: &BTreeMap<String, String>,
    external: &Secrets,
    stateful_sets: &BTreeMap<String, Rollout>,
) -> Probed {
    let settings = settings(cluster, credentials, external, stateful_sets);
    let hosts = redis_hosts(cluster, stateful_sets);
    let mut redis_master = None;
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
            None => {
                let asked = timeout(limit, redis(&settings.redis, &hosts, &mut redis_master)).await;
                outcome("redis", managed, asked)
            }
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
    Probed { dependencies: vec![mongodb, redis, kafka], redis_master }
}

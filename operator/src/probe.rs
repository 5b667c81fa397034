//! Probes the backing servers with the credentials of the services. Each probe takes at most a few seconds.

use std::{collections::BTreeMap, time::Duration};

use crds::{Dependency, RedisMode, SaslMechanism};
use tokio::time::timeout;

use crate::{
    application::Users,
    build::template,
    credentials::{self, Account, key, member_host},
    kafka_disk::DiskTasks,
    plan::{Observed, Rollout},
    replica_set::{self, ReplicaSet},
    shared,
    validate::{Backing, Cluster, amount},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

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
                prefix: shared::prefix(external.prefix.as_ref(), credentials),
                ..Default::default()
            }
        }
    };
    let kafka = match &cluster.kafka {
        Backing::Managed(_) => config::Kafka {
            address: (0..brokers)
                .map(|broker| format!("{}:9092", member_host(cluster, "kafka", broker)))
                .collect(),
            username: account.user.into(),
            password: generated(account.kafka_password),
            tls: generated_tls,
            replication_factor: brokers,
            ..Default::default()
        },
        Backing::External(external) => named(
            shared::prefix(external.prefix.as_ref(), credentials),
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
fn managed_tls(credentials: &BTreeMap<String, String>) -> config::ClientTls {
    config::ClientTls {
        enable_tls: credentials::servers_speak_tls(credentials),
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
    let address = format!("{}:{}", member_host(cluster, "redis", 0), presence::set::PORT);
    if hosts.len() == 1 {
        return config::Redis { address, password, ..Default::default() };
    }
    config::Redis {
        address,
        password: password.clone(),
        redis_mode: config::RedisMode::Sentinel,
        sentinel_mode: config::RedisSentinel {
            master_name: presence::set::MASTER_NAME.into(),
            sentinels_addrs: hosts
                .iter()
                .map(|host| format!("{host}:{}", presence::set::SENTINEL_PORT))
                .collect(),
            password,
        },
        ..Default::default()
    }
}

/// The servers of a managed Redis: a set with sentinels stays one, whatever the spec says by now, even if somebody scaled it manually.
pub fn redis_hosts(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> Vec<String> {
    let is_set = stateful_sets.get(&cluster.part("redis")).is_some_and(Rollout::has_sentinels);
    let members = match &cluster.redis {
        Backing::Managed(managed) => managed.replicas.max(if is_set { 3 } else { 1 }),
        Backing::External(_) => 0,
    };
    (0..members).map(|member| member_host(cluster, "redis", member)).collect()
}

/// The brokers of a managed Kafka: as many as at its creation, whatever the spec says by now, even if somebody scaled it manually.
pub fn brokers(cluster: &Cluster, stateful_sets: &BTreeMap<String, Rollout>) -> i32 {
    let live = stateful_sets.get(&cluster.part("kafka"));
    match &cluster.kafka {
        // Only sets of three start their pods in parallel, and Kubernetes lets nobody change that.
        Backing::Managed(managed) => live.map_or(managed.brokers, |live| if live.parallel { 3 } else { 1 }),
        Backing::External(_) => 0,
    }
}

/// What is wrong with a server although it answers; empty: nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Remarks {
    /// Copies or members that it lacks.
    message: String,
    /// The disk that is nearly full.
    disk: String,
}

impl From<String> for Remarks {
    fn from(message: String) -> Self {
        Self { message, ..Default::default() }
    }
}

async fn mongodb(
    set: Option<&ReplicaSet>,
    settings: &Settings,
    users: &Users,
    members: &mut Option<i32>,
    gone: &mut Option<String>,
) -> Result<Remarks, String> {
    let (remark, lacking) = match set {
        Some(managed) => {
            let seen = managed.ensure().await?;
            *members = Some(seen.members);
            users.ensure_in_mongodb(managed).await?;
            (seen.remark, managed.lacking_indexes().await?)
        }
        None => {
            (String::new(), replica_set::ask(&settings.mongo_uri, &settings.mongo_database, PATIENCE).await?)
        }
    };
    *gone = (!lacking.is_empty()).then(|| format!("MongoDB's unique indexes of {}", lacking.join(", ")));
    Ok(remark.into())
}

async fn redis(
    settings: &config::Redis,
    hosts: &[String],
    users: &Users,
    master: &mut Option<i32>,
) -> Result<Remarks, String> {
    let routes = presence::Routes::connect(settings).map_err(|error| error.to_string())?;
    if hosts.len() < 2 {
        Box::pin(routes.ping()).await.map_err(|error| error.to_string())?;
        return users.ensure_in_redis(hosts, &settings.tls).await.map(|()| Remarks::default());
    }
    let state = Box::pin(routes.set_state()).await.map_err(|error| error.to_string())?;
    *master = hosts.iter().position(|host| *host == state.master).map(|member| member as i32);
    let wanted = hosts.len() - 1;
    // An unavailable server reads the users from its configuration at start.
    let lack = users.ensure_in_redis(hosts, &settings.tls).await.err();
    let remark = if state.replicas >= wanted {
        lack.unwrap_or_default()
    } else {
        format!("{} of {wanted} replicas follow the master", state.replicas)
    };
    Ok(remark.into())
}

/// What the operator maintains in the managed Kafka.
struct ManagedKafka {
    /// Uid of the cluster.
    cluster: String,
    /// Bytes of the smallest volume.
    volume: u64,
    /// Whether the brokers know the services' accounts and have an authorizer.
    knows_users: bool,
}

async fn kafka(
    settings: config::Kafka,
    managed: Option<&ManagedKafka>,
    users: &Users,
    disks: &DiskTasks,
    gone: &mut Option<String>,
) -> Result<Remarks, String> {
    let asking = settings.clone();
    let asked = tokio::task::spawn_blocking(move || bus::ping(&asking, PATIENCE)).await;
    let seen = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    *gone = (!seen.missing.is_empty()).then(|| format!("Kafka's topics {}", seen.missing.join(", ")));
    let mut remarks = Remarks::default();
    if seen.short > 0 {
        remarks.message = format!("{} partitions are under-replicated", seen.short);
    }
    if let Some(managed) = managed {
        // Accounts come before what refers to them.
        if managed.knows_users {
            users.ensure_in_kafka(&settings).await?;
        }
        let (settings, volume) = (settings.clone(), managed.volume);
        let run = async move { bus::keep_room(&settings, volume).await };
        remarks.disk = disks.report(&managed.cluster, volume, run);
    }
    Ok(remarks)
}

/// Triggers a failover through the sentinels. If they refuse, the next reconcile retries.
pub async fn fail_over(cluster: &Cluster, observed: &Observed) {
    let hosts = redis_hosts(cluster, &observed.stateful_sets);
    let account = Account::in_use(&observed.credentials);
    let password = observed.credentials.get(account.redis_password).map_or("", String::as_str);
    let tls = managed_tls(&observed.credentials);
    match Box::pin(presence::set::fail_over(&hosts, password, &tls)).await {
        Ok(()) => tracing::info!(cluster = cluster.name, "redis.fails_over"),
        Err(error) => tracing::warn!(cluster = cluster.name, %error, "redis.failover_refused"),
    }
}

/// What the servers said.
#[derive(Debug, Default)]
pub struct Probed {
    /// Each of them.
    pub dependencies: Vec<Dependency>,
    /// The member of a managed Redis with sentinels that is the master.
    pub redis_master: Option<i32>,
    /// Members of the managed MongoDB's replica set.
    pub mongodb_members: Option<i32>,
    /// What the migration creates and they lack.
    pub gone: Vec<String>,
}

/// The target of a probe.
pub struct Target {
    settings: Settings,
    /// The managed MongoDB.
    set: Option<ReplicaSet>,
    redis_hosts: Vec<String>,
    kafka: Option<ManagedKafka>,
    /// As whom services speak to them.
    users: Users,
    /// Each server: run by the operator, and without a ready pod.
    servers: [Server; 3],
}

struct Server {
    name: &'static str,
    managed: bool,
    /// Why it is not asked: no pod of it serves.
    starting: Option<String>,
}

impl Target {
    /// The servers of a cluster.
    pub fn of(cluster: &Cluster, observed: &Observed) -> Self {
        let Observed { credentials, external, stateful_sets, .. } = observed;
        let server = |name: &'static str, managed: bool| {
            let live = stateful_sets.get(&cluster.part(name));
            let ready = live.is_some_and(|set| set.ready > 0);
            let seen = live.map(|set| set.trouble.as_str()).filter(|trouble| !trouble.is_empty());
            let seen = seen.unwrap_or("its pod is not ready yet");
            Server { name, managed, starting: (managed && !ready).then(|| seen.to_owned()) }
        };
        Self {
            settings: settings(cluster, credentials, external, stateful_sets),
            set: cluster.mongodb.is_managed().then(|| credentials::replica_set(cluster, credentials)),
            redis_hosts: redis_hosts(cluster, stateful_sets),
            kafka: managed_kafka(cluster, observed),
            users: Users::of(cluster, credentials),
            servers: [
                server("mongodb", cluster.mongodb.is_managed()),
                server("redis", cluster.redis.is_managed()),
                server("kafka", cluster.kafka.is_managed()),
            ],
        }
    }

    /// Asks all three. A managed server without a ready pod is not asked.
    pub async fn probe(&self, disks: &DiskTasks) -> Probed {
        let (mut redis_master, mut mongodb_members) = (None, None);
        let (mut no_indexes, mut no_topics) = (None, None);
        let [mongo, cache, queue] = &self.servers;
        let (mongo, cache, queue) = tokio::join!(
            mongo.ask(mongodb(
                self.set.as_ref(),
                &self.settings,
                &self.users,
                &mut mongodb_members,
                &mut no_indexes
            )),
            cache.ask(redis(&self.settings.redis, &self.redis_hosts, &self.users, &mut redis_master)),
            queue.ask(kafka(
                self.settings.kafka.clone(),
                self.kafka.as_ref(),
                &self.users,
                disks,
                &mut no_topics
            )),
        );
        let gone = no_indexes.into_iter().chain(no_topics).collect();
        Probed { dependencies: vec![mongo, cache, queue], redis_master, mongodb_members, gone }
    }
}

fn managed_kafka(cluster: &Cluster, observed: &Observed) -> Option<ManagedKafka> {
    let Backing::Managed(managed) = &cluster.kafka else { return None };
    let claims = observed.volumes.values().filter(|volume| volume.server == "kafka");
    let sizes = claims.filter_map(|volume| amount(&volume.storage));
    // Claims that do not exist yet will have the size in the spec.
    let smallest = sizes.min_by(f64::total_cmp).or_else(|| amount(&managed.server.storage));
    Some(ManagedKafka {
        cluster: cluster.owner.uid.clone(),
        volume: smallest.unwrap_or_default() as u64,
        knows_users: template::kafka_knows_users(cluster, observed),
    })
}

impl Server {
    async fn ask(&self, asking: impl Future<Output = Result<Remarks, String>>) -> Dependency {
        let limit = PATIENCE + Duration::from_secs(1);
        let short = |problem: &str| Remarks::from(problem.chars().take(300).collect::<String>());
        let (reachable, remarks) = if let Some(seen) = &self.starting {
            (false, short(seen))
        } else {
            match timeout(limit, asking).await {
                Ok(Ok(remarks)) => (true, remarks),
                Ok(Err(problem)) => (false, short(&problem)),
                Err(_elapsed) => (false, format!("no answer within {} s", limit.as_secs()).into()),
            }
        };
        let Remarks { message, disk } = remarks;
        Dependency { name: self.name.into(), managed: self.managed, reachable, message, disk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        validate::{tests::object, validate},
        volumes::Volume,
    };

    #[test]
    fn the_smallest_volume_counts_until_all_have_grown() {
        let cluster = validate(&object("kafka: {managed: {storage: 20Gi}}")).unwrap();
        let mut observed = Observed::default();
        let volume = |observed: &Observed| managed_kafka(&cluster, observed).unwrap().volume >> 30;
        assert_eq!(volume(&observed), 20);
        for (server, claim, storage) in
            [("kafka", "data-0", "20Gi"), ("kafka", "data-1", "10Gi"), ("redis", "data-2", "1Gi")]
        {
            let volume = Volume { server: server.into(), storage: storage.into() };
            observed.volumes.insert(claim.into(), volume);
        }
        assert_eq!(volume(&observed), 10);
        assert!(!managed_kafka(&cluster, &observed).unwrap().knows_users, "there are no brokers");
        let external = validate(&object("kafka: {external: {address: ['k:9092'], secretName: s}}")).unwrap();
        assert!(managed_kafka(&external, &observed).is_none());
    }
}

//! Probes the backing servers with the credentials of the services. Each probe takes at most a few seconds.

mod accounts;
pub mod kafka_disk;
pub mod passwords;
pub mod replica_set;

use std::time::Duration;

use crds::Dependency;
use planner::{
    connections::{Settings, managed_tls, redis_hosts, settings},
    credentials,
    model::{
        cluster::{Backing, Cluster},
        observed::Observed,
        quantity::amount,
        replica_set::{PATIENCE, ReplicaSet},
        secret::Account,
    },
    render::template,
};
use tokio::time::timeout;
use topology::Server;

use crate::probe::{accounts::Users, kafka_disk::DiskTasks, replica_set::Members};

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
            let seen = Members(managed).ensure().await?;
            *members = Some(seen.members);
            users.ensure_in_mongodb(managed).await?;
            (seen.remark, Members(managed).lacking_indexes().await?)
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
    match Box::pin(presence::sentinel_set::fail_over(&hosts, password, &tls)).await {
        Ok(()) => tracing::info!("redis.fails_over"),
        Err(error) => tracing::warn!(%error, "redis.failover_refused"),
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
    servers: [Probe; 3],
}

struct Probe {
    server: Server,
    managed: bool,
    /// Why it is not asked: no pod of it serves.
    starting: Option<String>,
    /// Why it is not whole although it answers: a pod of it does not serve.
    away: Option<String>,
}

impl Target {
    /// The servers of a cluster.
    pub fn of(cluster: &Cluster, observed: &Observed) -> Self {
        let Observed { credentials, external, stateful_sets, .. } = observed;
        let probe = |server: Server| {
            let managed = cluster.runs(server);
            let live = observed.stateful_set(cluster, server);
            let ready = live.is_some_and(|set| set.ready > 0);
            let seen = live.map(|set| set.trouble.as_str()).filter(|trouble| !trouble.is_empty());
            let seen = seen.unwrap_or("its pod is not ready yet");
            let away = live.filter(|set| managed && set.ready < set.desired).map(|set| {
                let trouble =
                    if set.trouble.is_empty() { String::new() } else { format!(": {}", set.trouble) };
                format!("{} of {} pods are ready{trouble}", set.ready, set.desired)
            });
            Probe { server, managed, starting: (managed && !ready).then(|| seen.to_owned()), away }
        };
        Self {
            settings: settings(cluster, credentials, external, stateful_sets),
            set: cluster.mongodb.is_managed().then(|| credentials::replica_set(cluster, credentials)),
            redis_hosts: redis_hosts(cluster, stateful_sets),
            kafka: managed_kafka(cluster, observed),
            users: Users::of(cluster, credentials),
            servers: [probe(Server::MongoDb), probe(Server::Redis), probe(Server::Kafka)],
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
    let claims = observed.volumes.values().filter(|volume| volume.server == Server::Kafka.name());
    let sizes = claims.filter_map(|volume| amount(&volume.storage));
    // Claims that do not exist yet will have the size in the spec.
    let smallest = sizes.min_by(f64::total_cmp).or_else(|| amount(&managed.server.storage));
    Some(ManagedKafka {
        cluster: cluster.owner.uid.clone(),
        volume: smallest.unwrap_or_default() as u64,
        knows_users: template::kafka_knows_users(cluster, observed),
    })
}

impl Probe {
    async fn ask(&self, asking: impl Future<Output = Result<Remarks, String>>) -> Dependency {
        let limit = PATIENCE + Duration::from_secs(1);
        let short = |problem: &str| Remarks::from(problem.chars().take(300).collect::<String>());
        let (reachable, remarks) = if let Some(seen) = &self.starting {
            (false, short(seen))
        } else {
            match timeout(limit, asking).await {
                Ok(Ok(remarks)) if remarks.message.is_empty() => {
                    let Remarks { disk, .. } = remarks;
                    (true, Remarks { disk, ..short(self.away.as_deref().unwrap_or_default()) })
                }
                Ok(Ok(remarks)) => (true, remarks),
                Ok(Err(problem)) => (false, short(&problem)),
                Err(_elapsed) => (false, format!("no answer within {} s", limit.as_secs()).into()),
            }
        };
        let Remarks { message, disk } = remarks;
        Dependency { name: self.server.to_string(), managed: self.managed, reachable, message, disk }
    }
}

#[cfg(test)]
mod tests {
    use planner::{model::volume::Volume, validate::validate};

    use super::*;
    use crate::tests::object;

    #[tokio::test]
    async fn a_server_with_a_pod_that_does_not_serve_is_not_whole() {
        let cluster = validate(&object("redis: {managed: {replicas: 3}}")).unwrap();
        let live = planner::model::workload::Rollout {
            desired: 3,
            ready: 2,
            trouble: "pod chat-redis-2: CrashLoopBackOff".into(),
            ..Default::default()
        };
        let stateful_sets = [(cluster.part(Server::Redis), live)].into();
        let target = Target::of(&cluster, &Observed { stateful_sets, ..Default::default() });
        let said = target.servers[1].ask(async { Ok(Remarks::default()) }).await;
        assert!(said.reachable && !said.is_well() && said.message.contains("CrashLoopBackOff"), "{said:?}");
    }

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

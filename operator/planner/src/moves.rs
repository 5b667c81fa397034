//! From managed to external servers and back. Services move one after the other, as with every change of their pods; this says in which order, what a
//! service has to wait for, and how long a server stays that the spec no longer has (docs/adr/0032-servers-stay-until-services-have-moved.md). Pure.

use std::collections::{BTreeMap, BTreeSet};

use crds::{Reason, VolumePolicy};
use jiff::SignedDuration;
use k8s_openapi::api::{apps::v1::DeploymentStrategy, core::v1::PodTemplateSpec};
use serde_json::Value;
use topology::{Component, Server, Service};

use crate::{
    connections,
    model::{
        assessment::{Left, Moves},
        cluster::Cluster,
        names::MOVED,
        observed::Observed,
        plan::{Blocker, Gate, Wanted},
        pod_template::config_maps,
        workload::Rollout,
    },
    rollout,
};

/// How old a consumer's count of what waits may be, and more.
const COUNTED_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// The settings of a template's pods.
struct Told {
    text: String,
    parsed: Value,
}

impl Told {
    /// `None`: they cannot be read.
    fn of(template: &PodTemplateSpec, observed: &Observed) -> Option<Self> {
        config_maps(template).into_iter().find_map(|name| {
            let found = observed.there.get(&("ConfigMap".to_owned(), name))?;
            let text = found.data["data"]["config.yaml"].as_str()?;
            Some(Self { text: text.to_owned(), parsed: serde_yaml_ng::from_str(text).ok()? })
        })
    }

    /// Whether they name another Kafka, or other topics, than the spec asks for.
    fn names_another_kafka(&self, wanted: &config::Kafka) -> bool {
        let kafka = &self.parsed["kafka"];
        let addresses = kafka["address"].as_array().cloned().unwrap_or_default();
        let same = |address: &Value| wanted.address.iter().any(|wanted| address == wanted);
        let prefix = kafka["groupPrefix"].as_str().unwrap_or_default();
        !addresses.is_empty() && (!addresses.iter().any(same) || prefix != wanted.group_prefix)
    }
}

impl Moves {
    /// The moves of a cluster, from its objects in the API server.
    pub fn of(cluster: &Cluster, observed: &Observed) -> Self {
        let told: BTreeMap<&str, Option<Told>> = observed
            .deployments
            .iter()
            .map(|(name, live)| (name.as_str(), Told::of(&live.template, observed)))
            .collect();
        let Observed { credentials, external, stateful_sets, .. } = observed;
        let wanted = connections::settings(cluster, credentials, external, stateful_sets).kafka;
        let is_behind = |service: &Service| {
            let told = told.get(cluster.part(service).as_str()).and_then(Option::as_ref);
            told.is_some_and(|told| told.names_another_kafka(&wanted))
        };
        let behind = Service::ALL.into_iter().filter(is_behind).collect();
        let is_used = |server: Server| {
            observed.deployments.iter().any(|(name, live)| {
                let told = told.get(name.as_str()).and_then(Option::as_ref);
                uses(cluster, server, &live.template, told)
            })
        };
        let left = left(cluster, observed).into_iter();
        Self { behind, left: left.map(|server| Left { server, is_used: is_used(server) }).collect() }
    }
}

/// Servers that are there and that the spec no longer has.
fn left(cluster: &Cluster, observed: &Observed) -> Vec<Server> {
    let is_left =
        |server: &Server| !cluster.runs(*server) && observed.stateful_set(cluster, *server).is_some();
    Server::ALL.into_iter().filter(is_left).collect()
}

/// Puts services in the order in which they go to another Kafka: who writes goes before who reads, so that what was written before is still read. All
/// pods of msg change at once: two records of one conversation never wait in two Kafkas at the same time.
pub fn in_order(moves: &Moves, mut wanted: Vec<Wanted>) -> Vec<Wanted> {
    let behind = &moves.behind;
    if behind.is_empty() {
        return wanted;
    }
    let place = |service: Service| match service {
        Service::Msg => 0,
        Service::Transfer => 2,
        Service::Push => 3,
        Service::Auth
        | Service::User
        | Service::Relation
        | Service::Conversation
        | Service::Group
        | Service::Third
        | Service::Gateway
        | Service::Api
        | Service::Cron => 1,
    };
    wanted.sort_by_key(|item| place(item.service));
    let msg = wanted.iter_mut().find(|item| item.service == Service::Msg && behind.contains(&item.service));
    if let Some(spec) = msg.and_then(|item| item.deployment.spec.as_mut()) {
        spec.strategy = Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    }
    wanted
}

/// Consumers that may not go to another Kafka yet, and why.
pub fn waits(cluster: &Cluster, observed: &Observed, moves: &Moves) -> BTreeMap<Service, String> {
    let behind = &moves.behind;
    let may = says(cluster, Server::Kafka, cluster.kafka.is_managed());
    let waiting = Service::CONSUMERS.into_iter().filter(|service| behind.contains(service) && !may);
    waiting
        .filter_map(|consumer| Some((consumer, still_reads(cluster, observed, behind, consumer)?)))
        .collect()
}

fn still_reads(
    cluster: &Cluster,
    observed: &Observed,
    behind: &BTreeSet<Service>,
    consumer: Service,
) -> Option<String> {
    let writes = |service: &Service| {
        *service != consumer && !(consumer == Service::Transfer && *service == Service::Push)
    };
    let has_moved = |service: Service| {
        let Some(live) = observed.deployment(cluster, service) else { return true };
        let long_ago = |at| observed.now.duration_since(at) >= COUNTED_WITHIN;
        !behind.contains(&service)
            && live.is_done()
            && !observed.leaving.contains(&Component::from(service))
            && live.progressed.is_none_or(long_ago)
    };
    let say = format!("annotate the cluster with {MOVED}=kafka={}", kind(cluster.kafka.is_managed()));
    if let Some(writer) = Service::ALL.into_iter().filter(writes).find(|service| !has_moved(*service)) {
        return Some(format!(
            "it still reads what {writer} writes to the old Kafka; if it is the same Kafka under another address, {say}"
        ));
    }
    match observed.load.get(&consumer) {
        Some(Some(pods)) if !pods.is_empty() => {
            let records: i64 = pods.values().sum();
            (records > 0).then(|| {
                format!(
                    "{records} records are still in the old Kafka: wait; or, if it is the same Kafka \
                     under another address or they can be given up, {say}"
                )
            })
        }
        _ => Some(format!(
            "no pod reports how many records are still in the old Kafka: start its pods, or give the records up \
             and {say}"
        )),
    }
}

fn kind(is_managed: bool) -> &'static str {
    if is_managed { "managed" } else { "external" }
}

/// Whether a person has said that what a server held is already there.
fn says(cluster: &Cluster, server: Server, is_managed: bool) -> bool {
    let word = format!("{server}={}", kind(is_managed));
    cluster.moved.split(',').any(|said| said.trim() == word)
}

/// Whether the pods of a template use the managed MongoDB; `None`: they have no MongoDB.
fn uses_managed_mongodb(cluster: &Cluster, template: &PodTemplateSpec) -> Option<bool> {
    let containers = template.spec.iter().flat_map(|pod| &pod.containers);
    let variables = containers.flat_map(|container| container.env.iter().flatten());
    let mut uris = variables.filter(|variable| variable.name == "IMENV_MONGO_URI");
    let secret = uris.next()?.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(secret.name == cluster.credentials())
}

/// Why no service may be changed: it would run without the data.
pub fn held(cluster: &Cluster, observed: &Observed) -> Option<Gate> {
    let is_managed = cluster.mongodb.is_managed();
    let elsewhere =
        |live: &Rollout| uses_managed_mongodb(cluster, &live.template).is_some_and(|used| used != is_managed);
    if says(cluster, Server::MongoDb, is_managed) || !observed.deployments.values().any(elsewhere) {
        return None;
    }
    let (from, to) = if is_managed {
        ("the external one", "the managed one")
    } else {
        ("the managed one", "the external one")
    };
    Some(Gate {
        reason: Reason::AwaitingApproval,
        message: format!(
            "spec.mongodb names another MongoDB, and all data is in {from}: stop the services, copy the data to {to} (kubectl openim backup and restore), then annotate the cluster with {MOVED}=mongodb={}, or set spec.mongodb back",
            kind(is_managed)
        ),
    })
}

/// Servers that the spec no longer has and that stay for now, and what a person has to say for them to be removed.
pub fn kept(cluster: &Cluster, observed: &Observed, moves: &Moves) -> (BTreeSet<String>, Vec<Blocker>) {
    let (mut kept, mut blockers) = (BTreeSet::new(), Vec::new());
    for Left { server, is_used: used } in moves.left.iter().cloned() {
        let reachable =
            observed.dependencies.iter().any(|other| other.name == server.name() && other.reachable);
        let settled = observed.deployments.values().all(Rollout::is_done) && observed.leaving.is_empty();
        let deletes = cluster.spec.volumes == VolumePolicy::Delete && server != Server::Redis;
        let needs_word = server == Server::MongoDb || deletes;
        let word = !needs_word || says(cluster, server, false);
        if reachable && settled && !used && word {
            continue;
        }
        kept.insert(server.to_string());
        if reachable && settled && !used {
            let lost = if deletes { "its volumes would be deleted with it" } else { "it holds the old data" };
            let message = format!(
                "StatefulSet {} is no longer used and is kept, {lost}: annotate the cluster with {MOVED}={server}=external to have it removed",
                cluster.part(server)
            );
            blockers.push(rollout::blocker(server, Reason::AwaitingApproval, message));
        }
    }
    (kept, blockers)
}

/// Whether a template refers to a managed server. Settings that cannot be read may refer to it.
fn uses(cluster: &Cluster, server: Server, template: &PodTemplateSpec, told: Option<&Told>) -> bool {
    if server == Server::MongoDb {
        return uses_managed_mongodb(cluster, template) == Some(true);
    }
    let host = format!(".{}.{}.svc", cluster.part(server), cluster.namespace);
    told.is_none_or(|told| told.text.contains(&host))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::apps::v1::Deployment;
    use kube_core::{DynamicObject, ResourceExt};

    use super::*;
    use crate::{
        credentials,
        model::plan::Plan,
        plan::plan,
        validate::{tests::object, validate},
    };

    const EXTERNAL_KAFKA: &str = "kafka: {external: {address: ['kafka.data.svc:9092'], prefix: ''}}";
    const EXTERNAL_MONGODB: &str = "mongodb: {external: {secretName: mongo}}";

    fn cluster(spec: &str, moved: &str) -> Cluster {
        let mut object = object(spec);
        object.metadata.annotations = Some([(MOVED.to_owned(), moved.to_owned())].into());
        validate(&object).unwrap()
    }

    /// A cluster, and controllers of Kubernetes that do their work at once.
    struct World {
        observed: Observed,
        changed: Vec<String>,
    }

    impl World {
        /// Everything runs as a spec asks.
        fn running(spec: &str) -> Self {
            let cluster = cluster(spec, "");
            let uri = BTreeMap::from([("uri".to_owned(), "mongodb://m/".to_owned())]);
            let mut world = Self {
                observed: Observed {
                    credentials: credentials::complete(&cluster, BTreeMap::new()),
                    external: [("mongo".to_owned(), uri)].into(),
                    dependencies: well(),
                    now: Timestamp::constant(1000, 0),
                    ..Default::default()
                },
                changed: vec![],
            };
            for (server, asked) in crate::servers::all_asked(&cluster, &world.observed) {
                let asked = Some(asked);
                let live = Rollout { asked, settled: true, ..done(Default::default()) };
                world.observed.stateful_sets.insert(cluster.part(server), live);
            }
            world.pass(&cluster);
            world.pass(&cluster);
            assert!(plan(&cluster, &world.observed).changes.is_empty());
            world.changed.clear();
            world
        }

        fn pass(&mut self, cluster: &Cluster) -> Plan {
            let plan = plan(cluster, &self.observed);
            for object in &plan.apply {
                let kind = object.types.clone().unwrap_or_default().kind;
                match kind.as_str() {
                    "Job" => _ = self.observed.finished_jobs.insert(object.name_any()),
                    "Deployment" => self.take(object),
                    _ => {}
                }
                self.observed.there.insert((kind, object.name_any()), object.clone());
            }
            plan
        }

        fn take(&mut self, object: &DynamicObject) {
            let name = object.name_any();
            let read: Deployment = serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap();
            let template = read.spec.unwrap().template;
            let before = self.observed.deployments.get(&name);
            if before.is_some_and(|before| before.template != template) {
                self.changed.push(name.trim_start_matches("chat-").to_owned());
            }
            self.observed.deployments.insert(name, done(template));
        }

        fn waiting(&mut self, records: i64) {
            let pods = || Some(BTreeMap::from([("pod".to_owned(), records)]));
            self.observed.load = Service::CONSUMERS.map(|service| (service, pods())).into();
        }
    }

    fn well() -> Vec<crds::Dependency> {
        let of = |name: &str| crds::Dependency { name: name.into(), reachable: true, ..Default::default() };
        ["mongodb", "redis", "kafka"].map(of).to_vec()
    }

    fn done(template: PodTemplateSpec) -> Rollout {
        Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, template, ..Default::default() }
    }

    #[test]
    fn backups_stay_those_of_the_database_that_holds_the_data() {
        let own = "backup: {schedule: '0 3 * * *', objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}}";
        let mut world = World::running(own);
        world.pass(&cluster(own, ""));
        let plan = world.pass(&cluster(&format!("{own}\n{EXTERNAL_MONGODB}"), ""));
        let is_cron_job =
            |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == "CronJob");
        let job = plan.apply.iter().find(is_cron_job).unwrap();
        let env = &job.data["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"];
        let uri = env.as_array().unwrap().iter().find(|item| item["name"] == "IMENV_MONGO_URI").unwrap();
        assert_eq!(uri["valueFrom"]["secretKeyRef"]["name"], "chat-credentials");
    }

    #[test]
    fn a_server_stays_while_a_template_refers_to_it_or_its_replacement_is_away() {
        let mut world = World::running("{}");
        let wanted = cluster(EXTERNAL_KAFKA, "");
        world.waiting(0);
        world.observed.dependencies[2].reachable = false;
        let plan = world.pass(&wanted);
        assert!(plan.kept.contains("kafka") && world.changed.is_empty(), "an address that does not answer");
        world.observed.dependencies[2].reachable = true;
        let mut passes = 0;
        loop {
            let plan = world.pass(&wanted);
            if !plan.kept.contains("kafka") {
                break;
            }
            passes += 1;
            assert!(passes < 40, "{:?}", plan.blockers);
        }
        assert_eq!(world.changed.len(), Service::ALL.len(), "all had moved: {:?}", world.changed);
        assert!(plan_of(&world, &wanted).blockers.is_empty());
    }

    fn plan_of(world: &World, cluster: &Cluster) -> Plan {
        plan(cluster, &world.observed)
    }

    #[test]
    fn who_writes_to_kafka_moves_before_who_reads_and_that_when_nothing_is_left() {
        let mut world = World::running("{}");
        let wanted = cluster(EXTERNAL_KAFKA, "");
        world.waiting(7);
        for _ in 0..30 {
            world.pass(&wanted);
        }
        assert_eq!((world.changed.first().map(String::as_str), world.changed.len()), (Some("msg"), 10));
        let plan = world.pass(&wanted);
        let told = &plan.blockers[0];
        assert_eq!((told.component.as_str(), told.reason.as_str()), ("transfer", "ConsumerLag"));
        assert!(told.message.starts_with("7 records are still in the old Kafka"), "{}", told.message);
        assert!(plan.kept.contains("kafka"));
        // Nobody knows.
        world.observed.load.clear();
        world.pass(&wanted);
        assert_eq!(world.changed.len(), 10);
        // An old pod may still write.
        world.waiting(0);
        world.observed.leaving = [Component::from(Service::Msg)].into();
        world.pass(&wanted);
        assert_eq!(world.changed.len(), 10);
        world.observed.leaving.clear();
        // What was counted before the last old pod was gone says nothing.
        world.observed.deployments.get_mut("chat-msg").unwrap().progressed =
            Some(Timestamp::constant(990, 0));
        world.pass(&wanted);
        assert_eq!(world.changed.len(), 10);
        world.observed.now = Timestamp::constant(1100, 0);
        world.pass(&wanted);
        assert_eq!(world.changed.last().map(String::as_str), Some("transfer"));
        world.pass(&wanted);
        assert_eq!(world.changed.last().map(String::as_str), Some("push"));
    }

    #[test]
    fn all_pods_of_msg_go_to_another_kafka_at_once() {
        let mut world = World::running("{}");
        world.pass(&cluster(EXTERNAL_KAFKA, ""));
        let msg = &world.observed.there[&("Deployment".to_owned(), "chat-msg".to_owned())];
        assert_eq!(msg.data["spec"]["strategy"]["type"], "Recreate");
    }

    #[test]
    fn nothing_runs_without_its_messages() {
        let mut world = World::running("{}");
        let plan = world.pass(&cluster(EXTERNAL_MONGODB, ""));
        let gate = plan.gate.unwrap();
        assert!(gate.message.contains("openim.io/moved=mongodb=external"), "{}", gate.message);
        assert!(world.changed.is_empty() && plan.kept.contains("mongodb"));
        assert!(!plan.apply.iter().any(|object| object.types.as_ref().is_some_and(|of| of.kind == "Job")));
        let back = world.pass(&cluster("{}", ""));
        assert!(back.gate.is_none() && world.changed.is_empty() && back.changes.is_empty());
        let told = cluster(EXTERNAL_MONGODB, "mongodb=external");
        for _ in 0..30 {
            world.pass(&told);
        }
        assert!(world.changed.len() > 5 && plan_of(&world, &told).kept.is_empty());
        world.observed.stateful_sets.remove("chat-mongodb");
        let way_back = cluster("{}", "mongodb=external");
        assert!(
            plan_of(&world, &way_back).gate.unwrap().message.contains("mongodb=managed"),
            "the word was for one way"
        );
    }

    #[test]
    fn volumes_are_deleted_by_explicit_word_alone() {
        let spec = format!("volumes: Delete\n{EXTERNAL_KAFKA}");
        let mut world = World::running("volumes: Delete");
        world.waiting(0);
        let wanted = cluster(&spec, "");
        for _ in 0..30 {
            world.pass(&wanted);
        }
        let plan = plan_of(&world, &wanted);
        assert!(
            plan.kept.contains("kafka") && plan.blockers[0].message.contains("volumes"),
            "{:?}",
            plan.blockers
        );
        assert!(plan_of(&world, &cluster(&spec, "redis=external, kafka=external")).kept.is_empty());
    }
}

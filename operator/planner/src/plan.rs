//! The planner: `plan(cluster, observed)` decides which objects must exist and which can be applied now. Pure: no client, no
//! clock.

use crds::Reason;
use jiff::SignedDuration;
use kube_core::DynamicObject;
use topology::{Extra, Server};

use crate::{
    accepted, authority_rotation,
    certificates::{Renewal, Urgency},
    connections, console,
    hold::hold,
    model::{
        assessment::Assessment,
        cluster::{Backing, Cluster},
        observed::Observed,
        plan::{Blocker, Gate, Plan},
        pod_template::config_maps,
        workload::Rollout,
    },
    moves, render,
    rollout::{self, Permissions},
    rotation, scaling, secret_rotation, servers, shared, tls_switch, volumes, window,
};

/// Plans a cluster: backing servers, then the migration, then the services one after the other. A gate holds back new pods and changes
/// of pod templates; it never takes away what runs, and scaling and repairs go on.
pub fn plan(cluster: &Cluster, observed: &Observed) -> Plan {
    plan_with(cluster, observed, Assessment::of(cluster, observed))
}

/// [`plan`] for a cluster that is already assessed.
pub fn plan_with(cluster: &Cluster, observed: &Observed, assessment: Assessment) -> Plan {
    let settings = render::settings::Settings::of(cluster, observed);
    let services = render::services::objects(cluster, &settings, observed, &assessment);
    let console = render::console::objects(cluster, &settings, observed, &assessment.certificates.current);
    let new_console = console.as_ref().map(|console| &console.wanted);
    let id = window::plan_id(&services.wanted, new_console, &assessment.desired_settings());
    let held = hold(cluster, &assessment.running, &id, observed.now);
    let renewal = |held: Option<&Gate>| Renewal::of(cluster, observed, &assessment.certificates, held);
    let urgency = renewal(held.as_ref()).urgency;
    let servers = servers::decide(cluster, observed, &assessment.servers, held.is_some(), urgency);
    let mut apply = render::backing::objects(cluster, observed, &servers.made_of);
    if urgency == Urgency::Expired {
        render::backing::change_all_members(&mut apply);
    }
    render::availability::spare_copies(&mut apply, &observed.dependencies);
    let mut plan = Plan { id, apply, ..Default::default() };
    plan.apply.extend(render::settings::objects(cluster, &settings));

    let waiting: Vec<String> = observed
        .dependencies
        .iter()
        .filter(|dependency| !dependency.reachable)
        .map(|dependency| format!("{}: {}", dependency.name, dependency.message))
        .collect();
    if !observed.missing_secrets.is_empty() {
        plan.gate =
            Some(Gate { reason: Reason::DependencyNotReady, message: observed.missing_secrets.join("; ") });
    } else if observed.dependencies.is_empty() || !waiting.is_empty() {
        let message =
            if waiting.is_empty() { "waiting for the backing servers".into() } else { waiting.join("; ") };
        plan.gate = Some(Gate { reason: Reason::DependencyNotReady, message });
    }

    let names_taken = shared::taken(cluster, observed);
    // What runs already goes on: only a person can tell which of the two has to change.
    if let Some(taken) = names_taken.as_ref().filter(|_| observed.deployments.is_empty()) {
        plan.gate = Some(Gate { reason: Reason::NamesTaken, message: taken.message.clone() });
    }
    if plan.gate.is_none() {
        plan.gate.clone_from(&assessment.without_data);
    }
    let name = render::migration::due(cluster, &settings, observed);
    let job = render::migration::job(cluster, &settings, &name);
    let migrated = observed.finished_jobs.contains(&name);
    let was_there = name != render::migration::name(cluster, &settings);
    // A version that may not run yet must not change the data either. What it created before is created again immediately.
    let wait = held.is_some() && rollout::differs(cluster, &services.wanted, observed) && !was_there;
    if plan.gate.is_some() || wait && !migrated {
        plan.later.push(job);
    } else if migrated {
        plan.apply.push(job);
    } else {
        let (gate, goes_on) = migrating(observed, &name, was_there);
        plan.gate = Some(gate);
        // One that was given up is removed, and created again by the pass after that.
        plan.apply.extend(goes_on.then_some(job));
    }

    let gate = plan.gate.clone().or(held.clone());
    let permissions = Permissions {
        create: plan.gate.is_none() && migrated,
        renewal: renewal(gate.as_ref()),
        held: gate,
        behind: scaling::behind(cluster, observed),
        waits: moves::waits(cluster, observed, &assessment.moves),
        running: assessment.running.clone(),
    };
    let wanted = moves::in_order(&assessment.moves, services.wanted);
    let decision = rollout::decide(cluster, wanted, observed, &permissions);
    let (named, routes, host_taken, console) = match console {
        Some(made) => {
            let live = observed.deployments.get(&cluster.part(Extra::Console));
            let decided = console::decide(made.wanted, live, &decision, &permissions);
            (made.names, made.others, made.taken, decided)
        }
        None => Default::default(),
    };
    let (now, later) = (&decision.apply, &decision.later);
    plan.apply.extend(services.names);
    plan.apply.extend(now.iter().map(render::dynamic));
    plan.later.extend(later.iter().map(render::dynamic));
    plan.apply.extend(named);
    plan.apply.extend(console.apply.as_ref().map(render::dynamic));
    plan.later.extend(console.later.as_ref().map(render::dynamic));
    plan.apply.extend(services.others);
    plan.apply.extend(routes);
    plan.apply.extend(render::network::policies(cluster, observed));
    let monitoring = cluster.spec.monitoring.as_ref();
    plan.apply.extend(monitoring.map(|wanted| render::monitoring::pod_monitor(cluster, wanted)));
    let backups = render::backup::cron_job(cluster, &settings, observed, &assessment.running);
    let moved = assessment.without_data.is_some();
    let behind = backups.as_ref().filter(|_| moved || wait);
    let kept = behind.and_then(|wanted| render::backup::as_it_runs(wanted, observed));
    // Before services run there is nothing to back up, and a database that they do not use is not theirs.
    let is_early = assessment.running.is_empty() || moved && kept.is_none();
    let when = if is_early { &mut plan.later } else { &mut plan.apply };
    when.extend(kept.or(backups));
    let settled = decision.changes.is_empty()
        && console.change.is_none()
        && decision.later.is_empty()
        && observed.deployments.values().all(Rollout::is_done);
    plan.kept_config =
        settled.then(|| observed.deployments.values().flat_map(|live| config_maps(&live.template)).collect());
    plan.changes = servers.changes;
    plan.changes.extend(decision.changes);
    let console_waits = console.change.is_some() && !console.started;
    let console_starts = console.change.clone().filter(|_| console.started);
    plan.changes.extend(console.change);
    plan.started = servers.started.or(decision.started).or(console_starts);
    plan.blockers = decision.blockers;
    plan.blockers.extend(console.blocker);
    plan.blockers.extend(servers.blockers);
    let (kept, unused) = moves::kept(cluster, observed, &assessment.moves);
    plan.kept = kept;
    plan.blockers.extend(unused);
    if let Some(gate) =
        held.clone().filter(|gate| (servers.waits || console_waits) && !names(&plan.blockers, gate.reason))
    {
        plan.blockers.insert(0, rollout::blocker("", gate.reason, gate.message));
    }
    plan.changes.extend(rotation::pending(cluster, observed));
    plan.changes.extend(secret_rotation::pending(cluster, observed));
    plan.changes.extend(authority_rotation::pending(cluster, observed));
    plan.changes.extend(tls_switch::pending(cluster, observed));
    plan.blockers.extend(names_taken.filter(|_| !observed.deployments.is_empty()));
    plan.blockers.extend(assessment.taken.values().cloned());
    plan.blockers.extend(host_taken);
    plan.blockers.extend(accepted::refused(cluster, observed));
    plan.blockers.extend(tls_switch::refused(cluster, observed));
    plan.blockers.extend(fixed_brokers(cluster, observed));
    plan.blockers.extend(fixed_replicas(cluster, observed));
    plan.blockers.extend(volumes::fixed_class(cluster, observed));
    let (grow, too_large) = volumes::growth(cluster, observed);
    plan.grow = grow;
    plan.fail_over = render::backing::master_is_next(cluster, observed);
    plan.deletion_costs = scaling::deletion_costs(cluster, observed, &assessment);
    plan.blockers.extend(too_large);
    let is_whole = observed.gone.is_empty() || !migrated || plan.gate.is_some();
    plan.blockers.extend((!is_whole).then(|| still_gone(observed, &name)));
    plan.hold = held;
    plan.assessment = assessment;
    plan
}

/// What of a plan is done for a cluster whose newest spec cannot be carried out: what is there is kept as it is to be.
pub fn repairs(mut plan: Plan, observed: &Observed) -> Plan {
    let is_new_server = |object: &DynamicObject| {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        let name = object.metadata.name.clone().unwrap_or_default();
        kind == "StatefulSet" && !observed.there.contains_key(&(kind.to_owned(), name))
    };
    plan.apply.retain(|object| !is_new_server(object));
    plan.grow.clear();
    plan.repairs_only = true;
    plan
}

/// Deployments that somebody has deleted while the newest spec may not be rolled out come back as the last good spec made them, with the settings
/// that they mount: a hold delays changes, not repairs.
pub fn restore_deleted(plan: &mut Plan, before: &Cluster, observed: &Observed) {
    let key = |object: &DynamicObject| {
        let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
        (kind, object.metadata.name.clone().unwrap_or_default())
    };
    let lost: Vec<_> = plan.later.iter().map(key).filter(|(kind, _)| kind == "Deployment").collect();
    if plan.hold.is_none() || plan.gate.is_some() || lost.is_empty() {
        return;
    }
    let planned: Vec<_> = plan.apply.iter().map(key).collect();
    let good = self::plan(before, observed);
    let is_needed = |object: &DynamicObject| {
        let key = key(object);
        lost.contains(&key) || key.0 == "ConfigMap" && !planned.contains(&key)
    };
    let restored: Vec<DynamicObject> = good.apply.into_iter().chain(good.later).filter(is_needed).collect();
    plan.later.retain(|object| !restored.iter().any(|other| key(other) == key(object)));
    plan.apply.extend(restored);
}

/// How long a migration that was given up rests before it is retried.
const MIGRATION_RESTS: SignedDuration = SignedDuration::from_mins(5);

/// What services wait for until the migration is through, and whether its Job stays.
fn migrating(observed: &Observed, job: &str, was_there: bool) -> (Gate, bool) {
    let seen = observed.failed_jobs.get(job).map(String::as_str);
    let Some(since) = observed.given_up.get(job) else {
        let again = seen.map_or_else(String::new, |seen| format!("; it failed and will be retried: {seen}"));
        let what = "creating topics, indexes and administrators";
        let what = match (was_there, observed.gone.join(", ")) {
            (false, _) => what.to_owned(),
            (true, gone) if gone.is_empty() => format!("{what} again"),
            (true, gone) => format!("{gone} are missing: {what} again"),
        };
        let message = format!("{what} (Job {job}){again}");
        return (Gate { reason: Reason::Migrating, message }, true);
    };
    let message = format!(
        "topics, indexes and administrators could not be created (Job {job}): {}; retried every {} minutes",
        seen.unwrap_or("its pods failed"),
        MIGRATION_RESTS.as_mins()
    );
    let rests = observed.now.duration_since(*since) < MIGRATION_RESTS;
    (Gate { reason: Reason::MigrationFailed, message }, rests)
}

/// What is missing although the last of several Jobs has made it.
fn still_gone(observed: &Observed, job: &str) -> Blocker {
    Blocker {
        component: String::new(),
        reason: Reason::MigrationFailed,
        message: format!(
            "{} are missing again, and Job {job} was the last of several that created them: find out what removes them, then delete the Job to have \
             them created",
            observed.gone.join(", ")
        ),
    }
}

fn names(blockers: &[Blocker], reason: Reason) -> bool {
    blockers.iter().any(|blocker| blocker.reason == reason)
}

/// The number of brokers is immutable.
fn fixed_brokers(cluster: &Cluster, observed: &Observed) -> Option<Blocker> {
    let Backing::Managed(wanted) = &cluster.kafka else { return None };
    let there = connections::brokers(cluster, &observed.stateful_sets);
    (there != wanted.brokers).then(|| Blocker {
        component: Server::Kafka.to_string(),
        reason: Reason::InvalidSpec,
        message: format!(
            "spec.kafka.managed.brokers is {}, but the cluster was created with {there}: restore the \
             previous number, or create a cluster with another name",
            wanted.brokers
        ),
    })
}

/// A Redis with sentinels keeps them.
fn fixed_replicas(cluster: &Cluster, observed: &Observed) -> Option<Blocker> {
    let Backing::Managed(wanted) = &cluster.redis else { return None };
    let live = observed.stateful_set(cluster, Server::Redis)?;
    (live.has_sentinels() && live.desired > wanted.replicas).then(|| Blocker {
        component: Server::Redis.to_string(),
        reason: Reason::InvalidSpec,
        message: format!(
            "spec.redis.managed.replicas is {}, but the set has {} with Sentinel and cannot shrink: \
             restore the previous number",
            wanted.replicas, live.desired
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crds::Dependency;
    use jiff::Timestamp;
    use kube_core::ResourceExt;
    use proptest::prelude::*;
    use topology::Service;

    use super::*;
    use crate::{
        credentials,
        model::door,
        validate::{tests::object, validate},
    };

    fn observed(cluster: &Cluster, reachable: [bool; 3], migrated: bool) -> Observed {
        let mut observed = Observed {
            credentials: credentials::complete(cluster, BTreeMap::new()),
            dependencies: ["mongodb", "redis", "kafka"]
                .into_iter()
                .zip(reachable)
                .map(|(name, reachable)| Dependency {
                    name: name.into(),
                    managed: true,
                    reachable,
                    message: "down".into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        if migrated {
            let settings = render::settings::Settings::of(cluster, &observed);
            observed.finished_jobs.insert(render::migration::name(cluster, &settings));
        }
        observed
    }

    fn open_names(plan: &Plan) -> Vec<String> {
        plan.apply.iter().map(|object| format!("{}/{}", kind(object), object.name_any())).collect()
    }

    fn kind(object: &DynamicObject) -> &str {
        object.types.as_ref().map_or("", |types| types.kind.as_str())
    }

    #[test]
    fn the_console_comes_after_the_services_and_is_part_of_the_plan() {
        let cluster = validate(&object("{version: 1.0.0, console: {}}")).unwrap();
        let ready = observed(&cluster, [true; 3], true);
        let made = plan(&cluster, &ready);
        let names = open_names(&made);
        let place = |name: &str| names.iter().position(|other| other == name).unwrap();
        assert!(place("Deployment/chat-console") > place("Deployment/chat-cron"), "{names:?}");
        assert!(place("Deployment/chat-console") > place("RoleBinding/chat-console"), "{names:?}");
        let early = plan(&cluster, &observed(&cluster, [true, true, false], true));
        assert!(!open_names(&early).contains(&"Deployment/chat-console".to_owned()));
        let without = validate(&object("version: 1.0.0")).unwrap();
        assert_ne!(made.id, plan(&without, &ready).id, "it needs an approval of its own");
    }

    #[test]
    fn lost_topics_and_indexes_are_created_again() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed = observed(&cluster, [true; 3], true);
        let first = observed.finished_jobs.first().unwrap().clone();
        let seen = |observed: &Observed| {
            let plan = plan(&cluster, observed);
            let jobs: Vec<String> =
                plan.objects().filter(|object| kind(object) == "Job").map(ResourceExt::name_any).collect();
            (jobs, plan.gate.map(|gate| (gate.reason, gate.message)))
        };
        assert_eq!(seen(&observed), (vec![first.clone()], None));
        observed.gone = vec!["Kafka's topics toRedis, toPush".to_owned()];
        let second = format!("{first}-2");
        let (jobs, gate) = seen(&observed);
        let (reason, message) = gate.unwrap();
        assert_eq!((jobs, reason), (vec![second.clone()], Reason::Migrating));
        assert!(message.starts_with("Kafka's topics toRedis, toPush are missing: creating"), "{message}");
        assert!(message.contains(&second), "{message}");
        // Also while nothing may be changed: nothing new comes of it.
        let mut paused = cluster.clone();
        paused.spec.rollout.paused = true;
        observed.deployments.insert("chat-msg".into(), Rollout::default());
        let open = plan(&paused, &observed);
        assert!(open_names(&open).contains(&format!("Job/{second}")), "{:?}", open_names(&open));
        observed.deployments.clear();
        // It is there, and what it makes is seen before it has ended.
        observed.gone.clear();
        let job = DynamicObject { types: None, metadata: Default::default(), data: Default::default() };
        observed.there.insert(("Job".into(), second.clone()), job);
        let (jobs, gate) = seen(&observed);
        assert_eq!((jobs, gate.map(|(reason, _)| reason)), (vec![second.clone()], Some(Reason::Migrating)));
        observed.finished_jobs.insert(second.clone());
        assert_eq!(seen(&observed), (vec![second.clone()], None), "the one of before is removed");
        observed.finished_jobs.remove(&first);
        observed.gone = vec!["MongoDB's unique indexes of messages".to_owned()];
        assert_eq!(seen(&observed).0, [format!("{first}-3")]);
    }

    #[test]
    fn what_no_further_job_creates_is_reported() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed = observed(&cluster, [true; 3], true);
        let first = observed.finished_jobs.first().unwrap().clone();
        observed.finished_jobs.insert(format!("{first}-5"));
        observed.gone = vec!["Kafka's topics toPush".to_owned()];
        let plan = plan(&cluster, &observed);
        let [told] = plan.blockers.as_slice() else { panic!("{:?}", plan.blockers) };
        assert_eq!(told.reason, Reason::MigrationFailed);
        assert!(told.message.contains(&format!("{first}-5")), "{}", told.message);
    }

    #[test]
    fn a_service_that_is_deleted_while_changes_are_held_comes_back_as_it_was() {
        let before = validate(&object("version: 1.0.0")).unwrap();
        let held = validate(&object("{version: 1.1.0, rollout: {paused: true}}")).unwrap();
        let mut observed = observed(&before, [true; 3], true);
        let live =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Msg) {
            observed.deployments.insert(before.part(service), live.clone());
        }
        let mut waiting = plan(&held, &observed);
        restore_deleted(&mut waiting, &before, &observed);
        let is_msg =
            |object: &&DynamicObject| kind(object) == "Deployment" && object.name_any() == "chat-msg";
        let msg = waiting.apply.iter().find(is_msg).expect("it comes back");
        let image = msg.data["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
        assert!(image.ends_with(":1.0.0"), "{image}");
        assert!(waiting.later.iter().all(|object| object.name_any() != "chat-msg"));
    }

    #[test]
    fn services_wait_for_servers_and_migration() {
        let cluster = validate(&object("{}")).unwrap();
        let waiting = plan(&cluster, &observed(&cluster, [true, false, true], true));
        assert!(
            !open_names(&waiting)
                .iter()
                .any(|name| name.starts_with("Deployment/") || name.starts_with("Job/"))
        );
        assert_eq!(waiting.gate.as_ref().unwrap().message, "redis: down");
        let migrating = plan(&cluster, &observed(&cluster, [true; 3], false));
        assert!(open_names(&migrating).iter().any(|name| name.starts_with("Job/")));
        assert_eq!(migrating.gate.unwrap().reason, Reason::Migrating);
        let all = plan(&cluster, &observed(&cluster, [true; 3], true));
        assert_eq!((all.gate, all.later.len()), (None, 0));
    }

    #[test]
    fn no_pod_is_evicted_of_a_server_that_lacks_a_copy() {
        let cluster =
            validate(&object("{kafka: {managed: {brokers: 3}}, redis: {managed: {replicas: 3}}}")).unwrap();
        let mut observed = observed(&cluster, [true; 3], true);
        observed.dependencies.iter_mut().for_each(|server| server.message.clear());
        let budgets = |observed: &Observed| -> Vec<(String, serde_json::Value)> {
            let plan = plan(&cluster, observed);
            let budgets = plan.objects().filter(|object| kind(object) == "PodDisruptionBudget");
            let all =
                budgets.map(|budget| (budget.name_any(), budget.data["spec"]["maxUnavailable"].clone()));
            all.filter(|(name, _)| ["chat-kafka", "chat-redis", "chat-msg"].contains(&name.as_str()))
                .collect()
        };
        assert!(budgets(&observed).iter().all(|(_, most)| *most == 1));
        observed.dependencies[2].message = "3 partitions are under-replicated".into();
        let most: BTreeMap<String, serde_json::Value> = budgets(&observed).into_iter().collect();
        assert_eq!(
            (&most["chat-kafka"], &most["chat-redis"], &most["chat-msg"]),
            (&serde_json::json!(0), &serde_json::json!(1), &serde_json::json!(1))
        );
    }

    #[test]
    fn an_invalid_spec_takes_nothing_away_and_what_is_there_is_kept() {
        let cluster = validate(&object("{}")).unwrap();
        let observed = observed(&cluster, [true; 3], true);
        let repairs = repairs(plan(&cluster, &observed), &observed);
        assert!(repairs.repairs_only);
        let names = open_names(&repairs);
        assert!(names.contains(&"Service/chat-msg".to_owned()), "one that somebody deleted comes back");
        assert!(
            !names.iter().any(|name| name.starts_with("StatefulSet/")),
            "no server is created: {names:?}"
        );
    }

    #[test]
    fn a_migration_that_was_given_up_is_told_of_and_tried_again_after_a_while() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed = observed(&cluster, [true; 3], false);
        let job = render::migration::name(&cluster, &render::settings::Settings::of(&cluster, &observed));
        observed
            .failed_jobs
            .insert(job.clone(), "pod chat-migrate-1: exit code 1: topic: not authorized".into());
        observed.given_up.insert(job.clone(), Timestamp::constant(1000, 0));
        let mut at = |second: i64| {
            observed.now = Timestamp::constant(second, 0);
            let plan = plan(&cluster, &observed);
            let gate = plan.gate.clone().unwrap();
            assert_eq!(gate.reason, Reason::MigrationFailed);
            assert!(gate.message.contains("not authorized"), "{}", gate.message);
            // What the plan does not have is removed.
            plan.objects().any(|object| object.name_any() == job)
        };
        assert!(at(1001) && at(1299), "its pods are there to be read");
        assert!(!at(1300));
        observed.given_up.clear();
        let anew = plan(&cluster, &observed);
        assert!(
            open_names(&anew).contains(&format!("Job/{job}"))
                && anew.gate.unwrap().reason == Reason::Migrating
        );
    }

    #[test]
    fn a_second_default_cluster_has_no_ingress_until_the_first_is_gone() {
        let first = door::Neighbour {
            kind: "OpenIMCluster".into(),
            name: "first".into(),
            namespace: "a".into(),
            created: Some(Timestamp::UNIX_EPOCH),
            wants: vec![door::Door {
                kind: door::Kind::Ingress,
                at: String::new(),
                listener: String::new(),
                host: String::new(),
            }],
            has: vec![],
            shared: vec![],
        };
        let mut object = object("{}");
        object.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::constant(60, 0)));
        let cluster = validate(&object).unwrap();
        let mut observed = observed(&cluster, [true; 3], true);
        observed.neighbours = vec![first];
        let waiting = plan(&cluster, &observed);
        assert!(waiting.objects().all(|object| kind(object) != "Ingress"), "one that was made is removed");
        let [blocker] = waiting.blockers.as_slice() else { panic!("{:?}", waiting.blockers) };
        assert_eq!(blocker.reason, Reason::HostTaken);
        observed.neighbours.clear();
        let alone = plan(&cluster, &observed);
        assert!(open_names(&alone).contains(&"Ingress/chat".to_owned()) && alone.blockers.is_empty());
    }

    #[test]
    fn names_of_what_the_longest_name_gives_are_labels() {
        let mut object = object("{}");
        object.metadata.name = Some("n".repeat(crds::MAX_NAME));
        let cluster = validate(&object).unwrap();
        for object in plan(&cluster, &observed(&cluster, [true; 3], true)).objects() {
            // Pods of a StatefulSet have a label with its name and a hash of ten letters.
            let most = if kind(object) == "StatefulSet" { 63 - 11 } else { 63 };
            assert!(object.name_any().len() <= most, "{}/{}", kind(object), object.name_any());
        }
    }

    #[test]
    fn sentinels_that_are_there_are_kept_and_told_of() {
        let cluster = validate(&object("{}")).unwrap();
        let mut observed = observed(&cluster, [true; 3], true);
        let pod =
            serde_json::json!({ "spec": { "containers": [{ "name": crate::model::names::SENTINEL }] } });
        let template = serde_json::from_value(pod).unwrap();
        let live = Rollout { desired: 3, template, ..Default::default() };
        observed.stateful_sets.insert("chat-redis".into(), live);
        let told = plan(&cluster, &observed).blockers;
        assert!(
            told.iter().any(|blocker| blocker.message.contains("replicas is 1, but the set has 3")),
            "{told:?}"
        );
        let three = validate(&object("redis: {managed: {replicas: 3}}")).unwrap();
        assert_eq!(fixed_replicas(&three, &observed), None);
    }

    #[test]
    fn a_gate_never_takes_away_what_runs() {
        let cluster = validate(&object("{}")).unwrap();
        let waiting = plan(&cluster, &observed(&cluster, [false; 3], false));
        for service in Service::ALL {
            let name = cluster.part(service);
            assert!(
                waiting.objects().any(|object| kind(object) == "Deployment" && object.name_any() == name),
                "{name}"
            );
        }
    }

    #[test]
    fn an_upgrade_of_the_services_leaves_the_servers_alone() {
        let old = validate(&object("version: 1.0.0")).unwrap();
        let new = validate(&object("version: 2.0.0")).unwrap();
        let mut observed = observed(&old, [true; 3], true);
        observed
            .stateful_sets
            .insert(old.part("mongodb"), Rollout { init_image: old.image.clone(), ..Default::default() });
        let sets = |plan: Plan| -> Vec<serde_json::Value> {
            let of_kind = plan.objects().filter(|object| kind(object) == "StatefulSet");
            of_kind.map(|object| serde_json::to_value(object).unwrap()).collect()
        };
        assert_eq!(sets(plan(&old, &observed)), sets(plan(&new, &observed)));
    }

    #[test]
    fn no_secret_is_outside_secrets() {
        let cluster = validate(&object("{}")).unwrap();
        let observed = observed(&cluster, [true; 3], true);
        let plan = plan(&cluster, &observed);
        for (name, value) in observed.credentials.iter().filter(|(_, value)| value.len() > 8) {
            for object in plan.objects().filter(|object| kind(object) != "Secret") {
                let text = serde_json::to_string(object).unwrap();
                assert!(
                    !text.contains(value.as_str()),
                    "{name} shows in {}/{}",
                    kind(object),
                    object.name_any()
                );
            }
        }
    }

    fn any_spec() -> impl Strategy<Value = String> {
        (0..5_i32, 0..5_i32, any::<bool>(), any::<bool>(), any::<bool>(), "[a-z]{0,8}").prop_map(
            |(gateway, msg, ingress, external_mongo, external_kafka, host)| {
                let mongo = if external_mongo { "external: {secretName: m}" } else { "managed: {}" };
                let kafka = if external_kafka {
                    "external: {address: ['k:9092']}"
                } else {
                    "managed: {storage: 5Gi}"
                };
                format!(
                    "services: {{gateway: {{replicas: {gateway}}}, msg: {{replicas: {msg}}}}}\n\
                     ingress: {{enabled: {ingress}, host: '{host}'}}\n\
                     mongodb: {{{mongo}}}\nkafka: {{{kafka}}}\n"
                )
            },
        )
    }

    proptest! {
        #[test]
        fn plans_are_deterministic_owned_and_unique(spec in any_spec(), reachable: [bool; 3],
            migrated: bool) {
            let cluster = validate(&object(&spec)).unwrap();
            let observed = observed(&cluster, reachable, migrated);
            let (first, second) = (plan(&cluster, &observed), plan(&cluster, &observed));
            let values = |plan: &Plan| serde_json::to_value([&plan.apply, &plan.later]).unwrap();
            prop_assert_eq!(values(&first), values(&second));
            prop_assert_eq!(first.gate.is_none(), first.later.is_empty());
            let mut names = BTreeSet::new();
            for object in first.objects() {
                prop_assert!(names.insert((kind(object).to_owned(), object.name_any())), "twice: {}", object.name_any());
                prop_assert_eq!(object.metadata.namespace.as_deref(), Some("team"));
                prop_assert_eq!(object.owner_references().len(), 1);
                prop_assert!(object.name_any().len() <= 63);
            }
        }

        /// A failing server must not change a single pod template.
        #[test]
        fn a_failing_dependency_restarts_nothing(spec in any_spec(), reachable: [bool; 3]) {
            let cluster = validate(&object(&spec)).unwrap();
            let templates = |plan: &Plan| -> Vec<serde_json::Value> {
                plan.objects().filter(|object| kind(object) == "Deployment").map(|object| object.data.clone()).collect()
            };
            let well = plan(&cluster, &observed(&cluster, [true; 3], true));
            // The credentials are the same ones.
            let mut failing = observed(&cluster, reachable, true);
            let healthy = observed(&cluster, [true; 3], true);
            failing.credentials.clone_from(&healthy.credentials);
            let a = plan(&cluster, &healthy);
            prop_assert_eq!(templates(&a), templates(&plan(&cluster, &failing)));
            prop_assert_eq!(templates(&a).len(), templates(&well).len());
        }
    }
}

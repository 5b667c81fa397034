//! One service after the other: which Deployments get their new pod template in this reconcile, which keep theirs, and why. Pure.

use std::{collections::BTreeMap, fmt::Display};

use crds::{Change, OnFailure, Reason};
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStrategy},
    core::v1::PodTemplateSpec,
};
use topology::Service;

use crate::{
    certificates::{Renewal, Urgency, noted_as},
    model::{
        cluster::Cluster,
        names::{BUILT_BY, CERTIFICATE, CONFIG_HASH, FAILED_REASON, FAILED_REVISION},
        observed::Observed,
        plan::{Blocker, Gate, Wanted},
        pod_template::{annotation, image, partitions_of, revision_of, template_of, version_of},
        workload::Rollout,
    },
    render::template,
    version,
};

const LONGEST_REASON: usize = 600;

/// What follows for this pass.
#[derive(Debug, Default)]
pub struct Decision {
    /// Deployments to apply.
    pub apply: Vec<Deployment>,
    /// Those that may not be created yet.
    pub later: Vec<Deployment>,
    /// Pending changes.
    pub changes: Vec<Change>,
    /// The one of them that this pass begins.
    pub started: Option<Change>,
    /// What holds it up.
    pub blockers: Vec<Blocker>,
}

/// What is allowed in this reconcile.
pub struct Permissions {
    /// Whether missing Deployments can be created.
    pub create: bool,
    /// Why no template may change, if so.
    pub held: Option<Gate>,
    /// Consumers that must catch up before another service is changed, and how many records wait for each.
    pub behind: Vec<(Service, i64)>,
    /// Services that may not go to another server yet, and why.
    pub waits: BTreeMap<Service, String>,
    /// The lowest running version: what older pods would go back to must be able to follow it.
    pub running: String,
    /// Whether pods may be restarted for their certificates, if for nothing else.
    pub renewal: Renewal,
}

/// Where old and new pods must not run at the same time: all old ones are removed first.
fn one_way(mut deployment: Deployment, live: &Rollout) -> Deployment {
    let changes = partitions_of(template_of(&deployment)) != partitions_of(&live.template);
    let changing = live.recreates && !live.is_done();
    if let Some(spec) = deployment.spec.as_mut().filter(|_| changes || changing) {
        spec.strategy = Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    }
    deployment
}

pub(crate) fn with_template(mut deployment: Deployment, template: &PodTemplateSpec) -> Deployment {
    if let Some(spec) = deployment.spec.as_mut() {
        spec.template = template.clone();
    }
    deployment
}

fn with_failure(mut deployment: Deployment, revision: &str, reason: &str) -> Deployment {
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    deployment
        .metadata
        .annotations
        .get_or_insert_with(BTreeMap::new)
        .extend([(FAILED_REVISION.to_owned(), revision.to_owned()), (FAILED_REASON.to_owned(), reason)]);
    deployment
}

pub(crate) fn reason(live: &PodTemplateSpec, wanted: &PodTemplateSpec) -> String {
    let mut reasons = Vec::new();
    if version_of(live) != version_of(wanted) {
        reasons.push(format!("version {} to {}", version_of(live), version_of(wanted)));
    } else if image(live) != image(wanted) {
        reasons.push(format!("image {} to {}", image(live), image(wanted)));
    }
    if annotation(live, CONFIG_HASH) != annotation(wanted, CONFIG_HASH) {
        reasons.push("configuration".to_owned());
    }
    let (before, after) = (partitions_of(live), partitions_of(wanted));
    if before != after {
        reasons.push(format!("{before} to {after} partitions (all pods at once)"));
    }
    let (before, after) = (template::of(live), template::of(wanted));
    if before != after {
        reasons.push(format!("newer template (revision {before} to {after})"));
    }
    let (before, after) = (annotation(live, CERTIFICATE), annotation(wanted, CERTIFICATE));
    if before != after && (reasons.is_empty() || !before.is_empty()) {
        reasons.push(RENEWED.to_owned());
    }
    if reasons.is_empty() {
        reasons.push("pod settings".to_owned());
    }
    reasons.join(", ")
}

/// Why pods are restarted that get only other certificates.
pub(crate) const RENEWED: &str = "certificate";

/// Whether services run with other settings than they are to have.
pub(crate) fn differs(cluster: &Cluster, wanted: &[Wanted], observed: &Observed) -> bool {
    wanted.iter().any(|item| {
        let live = observed.deployment(cluster, item.service);
        live.is_some_and(|live| revision_of(&live.template) != revision_of(template_of(&item.deployment)))
    })
}

pub(crate) fn blocker(component: impl Display, reason: Reason, message: String) -> Blocker {
    Blocker { component: component.to_string(), reason, message }
}

pub(crate) fn seen(live: &Rollout) -> String {
    let trouble = if live.trouble.is_empty() { String::new() } else { format!(": {}", live.trouble) };
    format!("{} of {} pods are ready{trouble}", live.ready, live.desired)
}

/// Why the gateways cannot be changed now, if so: draining a pod would force more reconnects per second than allowed.
fn too_crowded(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let budget = cluster.spec.rollout.reconnects_per_second;
    let drain = i64::from(cluster.spec.config.gateway_drain_seconds).max(1);
    let load = observed.load.get(&Service::Gateway)?.as_ref()?;
    let (pod, count) = load.iter().max_by_key(|(_, count)| **count)?;
    (budget > 0 && *count > budget * drain).then(|| {
        format!(
            "{pod} has {count} connections: draining it would force {} reconnects per second, limit \
             {budget}: wait until fewer clients are connected, or raise spec.rollout.reconnectsPerSecond",
            count / drain
        )
    })
}

/// Decides. A service whose new pods do not serve stops all changes of templates, until it is changed itself.
pub fn decide(
    cluster: &Cluster,
    wanted: Vec<Wanted>,
    observed: &Observed,
    permissions: &Permissions,
) -> Decision {
    let mut decision = Decision::default();
    // Services that have their new template and do not serve with it, and those that were rolled back.
    for item in &wanted {
        let Some(live) = observed.deployment(cluster, item.service) else { continue };
        let revision = revision_of(template_of(&item.deployment));
        if live.failed_revision == revision {
            let message = format!(
                "the new pods {}; the old pods keep serving: edit the spec, or restore the previous spec.version",
                live.failed_reason
            );
            decision.blockers.push(blocker(item.service, Reason::RolloutFailed, message));
        } else if revision_of(&live.template) == revision && !live.is_done() {
            let gate = if live.stuck { Reason::RolloutFailed } else { Reason::RollingOut };
            decision.blockers.push(blocker(item.service, gate, seen(live)));
        }
    }
    // Only services already on the desired revision: an edit that reverts the change must not be blocked by what it fixes. The one changed last is the
    // likeliest cause; services that it calls, or that call it, fail with it.
    let failing = wanted.iter().rev().find_map(|item| {
        let live = observed.deployment(cluster, item.service)?;
        let changed = revision_of(&live.template) == revision_of(template_of(&item.deployment));
        let calls = observed.calls.get(&item.service).filter(|_| changed)?;
        Some((item.service, calls.too_many(cluster.spec.rollout.max_error_percent)?, *calls))
    });
    // What is older than all that run may not know their data any more.
    let may_go_back_to = |before: &PodTemplateSpec| {
        cluster.spec.rollout.on_failure == OnFailure::RollBack
            && version::upgrade_problem(&permissions.running, version_of(before)).is_none()
    };
    // Their counters tell of the time with the cause too: after one went back the others are looked at by a person.
    let rolled_back = decision.blockers.iter().any(|blocker| blocker.reason == Reason::RolloutFailed);
    let crowded = too_crowded(cluster, observed);
    let mut may_change = permissions.held.is_none() && decision.blockers.is_empty() && failing.is_none();
    // One that is still on its way to what was wanted before, or does not serve as it is: it goes first, and alone.
    let first_that = |is: fn(&Rollout) -> bool| {
        let mut services = wanted.iter().map(|item| item.service);
        services.find(|service| observed.deployment(cluster, *service).is_some_and(is))
    };
    let first = first_that(|live| !live.current || live.updated < live.total)
        .or_else(|| first_that(|live| !live.is_done()));
    // When all are done and have what is wanted it served, and what fails later has other reasons.
    let unfinished = first.is_some() || differs(cluster, &wanted, observed);
    let culprit = failing.filter(|_| permissions.create && !rolled_back && unfinished);
    let Renewal { current, urgency } = &permissions.renewal;
    // A service that was rolled back waits for an edit; a certificate does not.
    let mut may_renew = match urgency {
        Urgency::Held => false,
        Urgency::InTurn => decision.blockers.is_empty() && failing.is_none(),
        Urgency::Soon | Urgency::Expired => true,
    };
    let mut others_wait = false;
    for item in wanted {
        let Some(live) = observed.deployment(cluster, item.service) else {
            let list = if permissions.create { &mut decision.apply } else { &mut decision.later };
            list.push(item.deployment);
            continue;
        };
        let new = template_of(&item.deployment);
        let revision = revision_of(new).to_owned();
        let in_time = permissions.behind.is_empty()
            || first == Some(item.service)
            || permissions.behind.iter().any(|(behind, _)| *behind == item.service);
        let in_budget = item.service != Service::Gateway || crowded.is_none();
        let has_turn =
            !permissions.waits.contains_key(&item.service) && first.is_none_or(|first| first == item.service);
        let late = current.is_late(&live.template);
        let fits = has_turn && in_time && in_budget;
        let renews = late
            && may_renew
            && match urgency {
                Urgency::Held | Urgency::InTurn => fits,
                Urgency::Soon => first.is_none_or(|first| first == item.service),
                Urgency::Expired => true,
            };
        let differs = revision_of(&live.template) != revision;
        let renewed = || {
            let (component, reason) = (item.service.to_string(), RENEWED.to_owned());
            Change { component, reason, pods: live.desired }
        };
        others_wait |= differs || late && !renews && *urgency == Urgency::Held;
        decision.changes.extend((late && !differs).then(renewed));
        if !differs && !renews {
            let failed = if live.stuck {
                Some(format!("did not become ready ({})", seen(live)))
            } else {
                culprit.filter(|(service, ..)| *service == item.service).map(|(_, percent, calls)| {
                    let most = cluster.spec.rollout.max_error_percent;
                    format!(
                        "failed {} of {} calls ({percent} %, limit {most} %)",
                        calls.failed, calls.answered
                    )
                })
            };
            let deployment = match (&live.before, failed) {
                (Some(before), Some(reason)) if may_go_back_to(before) => {
                    with_failure(with_template(item.deployment, before), &revision, &reason)
                }
                _ if annotation(&live.template, BUILT_BY) == annotation(new, BUILT_BY) => {
                    let same = noted_as(new.clone(), &live.template);
                    with_template(item.deployment, &same)
                }
                _ => with_template(item.deployment, &live.template),
            };
            decision.apply.push(one_way(deployment, live));
            continue;
        }
        if differs {
            let reason = reason(&live.template, new);
            decision.changes.push(Change { component: item.service.to_string(), reason, pods: live.desired });
        }
        let failed = live.failed_revision == revision;
        if differs && may_change && fits {
            may_change = false;
            may_renew &= *urgency == Urgency::Expired;
            decision.started = decision.changes.last().cloned();
            decision.apply.push(one_way(item.deployment, live));
        } else {
            let mut kept = live.template.clone();
            if renews {
                may_change = false;
                may_renew &= *urgency == Urgency::Expired;
                decision.started = Some(renewed());
                kept = current.noted(kept);
            }
            let mut held = with_template(item.deployment, &kept);
            if failed {
                held = with_failure(held, &revision, &live.failed_reason);
            }
            decision.apply.push(one_way(held, live));
        }
    }
    let waits = decision.started.is_none() && decision.blockers.is_empty() && permissions.held.is_none();
    if let Some((service, records)) =
        permissions.behind.first().filter(|_| waits && !decision.changes.is_empty())
    {
        let message = format!(
            "consumer lag is {records} records, limit {}: wait, or raise spec.rollout.maxLag",
            cluster.spec.rollout.max_lag
        );
        decision.blockers.push(blocker(service, Reason::ConsumerLag, message));
    }
    if let Some((service, reason)) = permissions.waits.first_key_value().filter(|_| waits) {
        decision.blockers.push(blocker(service, Reason::ConsumerLag, reason.clone()));
    }
    if let Some((service, percent, calls)) = failing.filter(|_| waits && !decision.changes.is_empty()) {
        let message = format!(
            "its new pods failed {} of {} calls ({percent} %, limit {} %): revert the change, or raise spec.rollout.maxErrorPercent",
            calls.failed, calls.answered, cluster.spec.rollout.max_error_percent
        );
        decision.blockers.push(blocker(service, Reason::ErrorRate, message));
    }
    let waits = decision.started.is_none() && decision.blockers.is_empty() && permissions.held.is_none();
    if let Some(message) = crowded.filter(|_| waits && !decision.changes.is_empty()) {
        decision.blockers.push(blocker(Service::Gateway, Reason::ReconnectBudget, message));
    }
    if let Some(held) = permissions.held.as_ref().filter(|_| others_wait) {
        decision.blockers.insert(0, blocker("", held.reason, held.message.clone()));
    }
    decision
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        credentials,
        model::{assessment::Assessment, measured::Calls},
        render, scaling,
        validate::{tests::object, validate},
    };

    /// A cluster in which the controllers of Kubernetes do their work at once.
    struct World {
        observed: Observed,
        /// Versions and settings whose pods never become ready.
        broken: fn(Service, &PodTemplateSpec) -> bool,
        /// Services changed so far, in order.
        changed: Vec<Service>,
    }

    impl World {
        fn new(broken: fn(Service, &PodTemplateSpec) -> bool) -> Self {
            let cluster = validate(&object("{}")).unwrap();
            let observed = Observed {
                credentials: credentials::complete(&cluster, BTreeMap::new()),
                ..Default::default()
            };
            Self { observed, broken, changed: vec![] }
        }

        fn wanted(&self, cluster: &Cluster) -> Vec<Wanted> {
            let settings = render::settings::Settings::of(cluster, &self.observed);
            let assessment = Assessment::of(cluster, &self.observed);
            render::services::objects(cluster, &settings, &self.observed, &assessment).wanted
        }

        fn permissions(&self, cluster: &Cluster, held: Option<Gate>) -> Permissions {
            Permissions {
                create: true,
                held,
                behind: scaling::behind(cluster, &self.observed),
                waits: BTreeMap::new(),
                running: version::running(cluster, &self.observed),
                renewal: Renewal::default(),
            }
        }

        /// One pass of the operator, then of the Deployment controllers.
        fn pass(&mut self, cluster: &Cluster, held: Option<Gate>) -> Decision {
            let decision =
                decide(cluster, self.wanted(cluster), &self.observed, &self.permissions(cluster, held));
            for deployment in &decision.apply {
                let name = deployment.metadata.name.clone().unwrap_or_default();
                let service = Service::ALL.into_iter().find(|service| cluster.part(service) == name).unwrap();
                let notes = deployment.metadata.annotations.clone().unwrap_or_default();
                let note = |key: &str| notes.get(key).cloned().unwrap_or_default();
                let spec = deployment.spec.clone().unwrap_or_default();
                let desired = spec.replicas.unwrap_or(1);
                let before = self.observed.deployments.get(&name).cloned();
                let mut live = before.clone().unwrap_or_default();
                if before.as_ref().is_some_and(|before| before.template != spec.template) {
                    self.changed.push(service);
                }
                (live.failed_revision, live.failed_reason) = (note(FAILED_REVISION), note(FAILED_REASON));
                let bad = (self.broken)(service, &spec.template);
                live.recreates =
                    spec.strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"));
                (live.current, live.desired, live.total) = (true, desired, desired);
                live.stuck = bad;
                live.before = before
                    .filter(|before| !before.stuck && before.template != spec.template)
                    .map(|before| before.template)
                    .or(live.before);
                (live.ready, live.updated) = (desired, if bad { 0 } else { desired });
                live.template = spec.template;
                self.observed.deployments.insert(name, live);
            }
            decision
        }

        fn versions(&self) -> Vec<&str> {
            self.observed.deployments.values().map(|live| version_of(&live.template)).collect()
        }
    }

    fn cluster(spec: &str) -> Cluster {
        validate(&object(spec)).unwrap()
    }

    #[test]
    fn services_are_changed_one_after_the_other_in_order() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        assert!(world.changed.is_empty(), "all are created at once");
        for passed in 0..Service::ALL.len() {
            let decision = world.pass(&cluster("version: 1.1.0"), None);
            assert_eq!(world.changed, Service::ALL[..=passed]);
            assert_eq!(decision.changes.len(), Service::ALL.len() - passed);
            assert_eq!(decision.started.unwrap().reason, "version 1.0.0 to 1.1.0");
        }
        assert!(world.pass(&cluster("version: 1.1.0"), None).changes.is_empty());
    }

    #[test]
    fn the_next_service_waits_until_consumers_have_caught_up() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        let load =
            |records: i64| BTreeMap::from([(Service::Transfer, Some([("pod".to_owned(), records)].into()))]);
        world.observed.load = load(10_001);
        let decision = world.pass(&cluster("version: 1.1.0"), None);
        assert!(decision.started.is_none_or(|change| change.component == "transfer"));
        let decision = world.pass(&cluster("version: 1.1.0"), None);
        assert_eq!(world.changed, [Service::Transfer], "it may be what mends it");
        let [blocker] = decision.blockers.as_slice() else { panic!("{:?}", decision.blockers) };
        assert_eq!((blocker.component.as_str(), blocker.reason.as_str()), ("transfer", "ConsumerLag"));
        assert!(blocker.message.starts_with("consumer lag is 10001 records"), "{}", blocker.message);
        world.observed.load = load(10_000);
        assert!(world.pass(&cluster("version: 1.1.0"), None).started.is_some());
        world.observed.load = load(1_000_000);
        let whatever = cluster("{version: 1.1.0, rollout: {maxLag: 0}}");
        assert!(world.pass(&whatever, None).started.is_some());
        world.observed.load = [(Service::Transfer, None)].into();
        assert!(world.pass(&cluster("version: 1.1.0"), None).started.is_some(), "not known");
    }

    #[test]
    fn new_pods_that_fail_calls_are_rolled_back_and_those_they_fail_with_are_not() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        world.pass(&cluster("version: 1.1.0"), None);
        world.pass(&cluster("version: 1.1.0"), None);
        assert_eq!(world.changed, [Service::Auth, Service::User]);
        let calls = Calls { answered: 100, failed: 11 };
        world.observed.calls = [(Service::Auth, calls), (Service::User, calls)].into();
        let mut waits = world.permissions(&cluster("{}"), None);
        waits.create = false;
        let wanted = world.wanted(&cluster("version: 1.1.0"));
        let decision = decide(&cluster("version: 1.1.0"), wanted, &world.observed, &waits);
        assert!(
            decision.apply.iter().all(|item| item
                .metadata
                .annotations
                .as_ref()
                .is_none_or(|notes| !notes.contains_key(FAILED_REVISION))),
            "a server is away: that is the cause"
        );
        for _ in 0..5 {
            world.pass(&cluster("version: 1.1.0"), None);
        }
        assert_eq!(
            world.changed,
            [Service::Auth, Service::User, Service::User],
            "there, and back, and nothing more"
        );
        let decision = world.pass(&cluster("version: 1.1.0"), None);
        let [blocker] = decision.blockers.as_slice() else { panic!("{:?}", decision.blockers) };
        assert_eq!((blocker.component.as_str(), blocker.reason.as_str()), ("user", "RolloutFailed"));
        assert!(blocker.message.starts_with("the new pods failed 11 of 100 calls"), "{}", blocker.message);
        world.observed.calls.clear();
        for _ in 0..Service::ALL.len() + 1 {
            world.pass(&cluster("version: 1.1.1"), None);
        }
        assert!(world.versions().iter().all(|version| *version == "1.1.1"));
    }

    #[test]
    fn nothing_goes_back_behind_the_data() {
        for (before, goes_back) in [("1.0.0", false), ("1.1.0", true)] {
            let mut world = World::new(|_, _| false);
            world.pass(&cluster("version: 1.1.0"), None);
            world.pass(&cluster("version: 1.1.1"), None);
            let auth = world.observed.deployments.get_mut("chat-auth").unwrap();
            let older = auth.before.as_mut().unwrap().spec.as_mut().unwrap();
            older.containers[0].image = Some(format!("openim-server:{before}"));
            world.observed.calls = [(Service::Auth, Calls { answered: 100, failed: 11 })].into();
            let decision = world.pass(&cluster("version: 1.1.1"), None);
            assert_eq!(version_of(&world.observed.deployments["chat-auth"].template) == before, goes_back);
            assert!(goes_back || decision.blockers[0].reason == Reason::ErrorRate, "{:?}", decision.blockers);
        }
    }

    #[test]
    fn new_pods_that_fail_calls_stop_the_change_until_it_is_taken_back() {
        let mut world = World::new(|_, _| false);
        let stop = |version: &str| cluster(&format!("{{version: {version}, rollout: {{onFailure: Stop}}}}"));
        world.pass(&stop("1.0.0"), None);
        world.pass(&stop("1.1.0"), None);
        assert_eq!(world.changed, [Service::Auth]);
        world.observed.calls = [(Service::Auth, Calls { answered: 100, failed: 11 })].into();
        let decision = world.pass(&stop("1.1.0"), None);
        let [blocker] = decision.blockers.as_slice() else { panic!("{:?}", decision.blockers) };
        assert_eq!((blocker.component.as_str(), blocker.reason.as_str()), ("auth", "ErrorRate"));
        assert!(blocker.message.contains("failed 11 of 100 calls (11 %, limit 10 %)"), "{}", blocker.message);
        assert_eq!(world.changed, [Service::Auth]);
        assert_eq!(world.pass(&cluster("version: 1.0.0"), None).started.unwrap().component, "auth");
        let whatever = cluster("{version: 1.1.0, rollout: {maxErrorPercent: 100}}");
        assert!(world.pass(&whatever, None).started.is_some());
    }

    #[test]
    fn gateways_that_would_send_too_many_elsewhere_wait() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        let connections =
            |count: i64| BTreeMap::from([(Service::Gateway, Some([("pod".to_owned(), count)].into()))]);
        world.observed.load = connections(1001);
        let wanted = cluster("{version: 1.1.0, rollout: {reconnectsPerSecond: 100}}");
        for _ in 0..Service::ALL.len() {
            world.pass(&wanted, None);
        }
        let decision = world.pass(&wanted, None);
        assert!(
            !world.changed.contains(&Service::Gateway) && world.changed.contains(&Service::Cron),
            "{:?}",
            world.changed
        );
        assert_eq!(decision.blockers[0].reason, Reason::ReconnectBudget);
        assert!(
            decision.blockers[0].message.contains("would force 100 reconnects per second"),
            "{:?}",
            decision.blockers
        );
        world.observed.load = connections(1000);
        assert_eq!(world.pass(&wanted, None).started.unwrap().component, "gateway");
    }

    #[test]
    fn an_image_by_its_digest_has_the_version_of_its_tag() {
        let mut world = World::new(|_, _| false);
        let digest = format!("sha256:{}", "a".repeat(64));
        world.pass(
            &cluster(&format!(
                "{{version: 1.0.0, image: {{repository: 'host:5000/a', digest: '{digest}'}}}}"
            )),
            None,
        );
        assert!(world.versions().iter().all(|version| *version == "1.0.0"), "{:?}", world.versions());
        let image = image(&world.observed.deployments["chat-msg"].template);
        assert_eq!(image, format!("host:5000/a:1.0.0@{digest}"));
    }

    #[test]
    fn pods_that_spread_conversations_differently_never_run_together() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        let more = cluster("{version: 1.0.0, config: {kafkaPartitions: 12}}");
        let mut seen = vec![];
        for _ in 0..Service::ALL.len() {
            let started = world.pass(&more, None).started.unwrap();
            if world.observed.deployments[&more.part(&started.component)].recreates {
                seen.push(format!("{}: {}", started.component, started.reason));
            }
        }
        assert_eq!(seen, ["msg: configuration, 8 to 12 partitions (all pods at once)"]);
        assert!(!world.observed.deployments["chat-msg"].recreates, "the next change is a rolling one again");
        // While old pods exist, every change must wait for them.
        world.pass(&cluster("{version: 1.0.0, config: {kafkaPartitions: 8}}"), None);
        for _ in 0..Service::ALL.len() {
            world.pass(&cluster("{version: 1.0.0, config: {kafkaPartitions: 8}}"), None);
        }
        let msg = world.observed.deployments.get_mut("chat-msg").unwrap();
        (msg.recreates, msg.ready) = (true, 0);
        world.pass(&cluster("{version: 1.0.1, config: {kafkaPartitions: 8}}"), None);
        let msg = &world.observed.deployments["chat-msg"];
        assert!(msg.recreates && version_of(&msg.template) == "1.0.1");
    }

    #[test]
    fn the_next_service_waits_until_the_one_before_serves() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        world.pass(&cluster("version: 1.1.0"), None);
        world.observed.deployments.get_mut("chat-auth").unwrap().ready = 0;
        let wanted = world.wanted(&cluster("version: 1.1.0"));
        let permissions = world.permissions(&cluster("{}"), None);
        let decision = decide(&cluster("version: 1.1.0"), wanted, &world.observed, &permissions);
        assert!(decision.started.is_none());
        assert_eq!(decision.blockers[0].message, "0 of 1 pods are ready");
    }

    #[test]
    fn a_failing_first_pod_is_rolled_back_once_and_stops_the_rest() {
        let mut world = World::new(|service, template| {
            service == Service::Conversation && version_of(template) == "1.1.0"
        });
        world.pass(&cluster("version: 1.0.0"), None);
        for _ in 0..20 {
            world.pass(&cluster("version: 1.1.0"), None);
        }
        // There, and back; the three before it keep the new version.
        assert_eq!(
            world.changed,
            [Service::Auth, Service::User, Service::Relation, Service::Conversation, Service::Conversation]
        );
        assert_eq!(world.versions().iter().filter(|version| **version == "1.1.0").count(), 3);
        let decision = world.pass(&cluster("version: 1.1.0"), None);
        assert_eq!((decision.blockers.len(), decision.blockers[0].reason.as_str()), (1, "RolloutFailed"));
        // A mended version goes through, and one that goes back too.
        for _ in 0..20 {
            world.pass(&cluster("version: 1.1.1"), None);
        }
        assert!(world.versions().iter().all(|version| *version == "1.1.1"));
        assert!(world.observed.deployments.values().all(|live| live.failed_revision.is_empty()));
    }

    #[test]
    fn stop_leaves_the_failing_pods_for_somebody_to_look_at() {
        let mut world =
            World::new(|service, template| service == Service::Auth && version_of(template) == "1.1.0");
        world.pass(&cluster("version: 1.0.0"), None);
        for _ in 0..5 {
            world.pass(&cluster("{version: 1.1.0, rollout: {onFailure: Stop}}"), None);
        }
        assert_eq!(world.changed, [Service::Auth]);
    }

    #[test]
    fn held_changes_are_told_and_scaling_goes_on() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("version: 1.0.0"), None);
        let gate = Gate { reason: Reason::Paused, message: "paused".into() };
        let wanted = cluster("{version: 1.1.0, services: {msg: {replicas: 3}}}");
        let decision = world.pass(&wanted, Some(gate));
        assert!(world.changed.is_empty());
        assert_eq!(world.observed.deployments["chat-msg"].desired, 3);
        assert_eq!(decision.changes.len(), Service::ALL.len());
        assert_eq!(
            (decision.blockers[0].reason.as_str(), decision.blockers[0].component.as_str()),
            ("Paused", "")
        );
    }

    #[test]
    fn a_template_of_another_operator_is_kept_until_it_changes_anyway() {
        let mut world = World::new(|_, _| false);
        world.pass(&cluster("{}"), None);
        for live in world.observed.deployments.values_mut() {
            let notes = live.template.metadata.as_mut().unwrap().annotations.as_mut().unwrap();
            notes.insert(BUILT_BY.into(), "0.0.1".into());
            live.template.spec.as_mut().unwrap().hostname = Some("of-the-old-operator".into());
        }
        let before = world.observed.deployments.clone();
        for _ in 0..3 {
            world.pass(&cluster("{}"), None);
        }
        assert!(world.observed.deployments == before);
        for _ in 0..20 {
            world.pass(&cluster("config: {multiLoginPolicy: 4}"), None);
        }
        assert!(world.observed.deployments.values().all(|live| {
            annotation(&live.template, BUILT_BY) == crate::model::names::VERSION
                && live.template.spec.as_ref().unwrap().hostname.is_none()
        }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..Default::default() })]

        /// Whatever is asked for in whatever order: at most one template changes per pass, and it converges.
        #[test]
        fn never_two_at_a_time_and_it_converges(edits in prop::collection::vec((0..4_u8, 4..6_u8, 1..4_i32, any::<bool>()), 1..12)) {
            let mut world = World::new(|_, _| false);
            let spec = |(minor, policy, replicas, _): (u8, u8, i32, bool)| format!(
                "{{version: 1.{minor}.0, config: {{multiLoginPolicy: {policy}}}, services: {{push: {{replicas: {replicas}}}}}}}"
            );
            for edit in &edits {
                let before = world.changed.len();
                let gate = edit.3.then(|| Gate { reason: Reason::Paused, message: "paused".into() });
                let paused = gate.is_some();
                world.pass(&cluster(&spec(*edit)), gate);
                prop_assert!(world.changed.len() <= before + usize::from(!paused));
            }
            let last = cluster(&spec(edits[edits.len() - 1]));
            for _ in 0..=Service::ALL.len() {
                world.pass(&last, None);
            }
            let settled = world.pass(&last, None);
            prop_assert!(settled.changes.is_empty() && settled.blockers.is_empty());
            let wanted = world.wanted(&last);
            for item in wanted {
                prop_assert_eq!(&world.observed.deployments[&last.part(item.service)].template, template_of(&item.deployment));
            }
        }
    }
}

//! The status, from the plan and the observed state, with the previous conditions for their transition times. Pure.

use std::collections::BTreeMap;

use crds::{Component, Endpoints, GoodSpec, OpenIMClusterStatus, Reason, condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use topology::{Extra, Service};

use crate::{
    authority_rotation, backups,
    model::{
        cluster::Cluster,
        door,
        observed::Observed,
        plan::{Blocker, Gate, Plan},
        pod_template::version_of,
    },
    render::{settings::live_revision, template},
    secret_rotation, shared,
};

/// One sentence and reason for all conditions.
struct Verdict {
    ready: bool,
    available: bool,
    progressing: bool,
    stalled: bool,
    degraded: bool,
    reason: Reason,
    message: String,
}

fn conditions(verdict: &Verdict, generation: i64, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let entry = |kind: &str, on: bool| {
        let status = if on { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == kind && old.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.as_str().to_owned(),
            message: verdict.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: same.map_or(Time(now), |old| old.last_transition_time.clone()),
        }
    };
    vec![
        entry(condition::READY, verdict.ready),
        entry(condition::AVAILABLE, verdict.available),
        entry(condition::PROGRESSING, verdict.progressing),
        entry(condition::STALLED, verdict.stalled),
        entry(condition::DEGRADED, verdict.degraded),
    ]
}

/// Backups that do not succeed: the services run and the spec is carried out, so that only this condition says so.
fn overdue(conditions: &mut [Condition], before: &[Condition], message: &str, now: Timestamp) {
    let Some(degraded) = conditions.iter_mut().find(|entry| entry.type_ == condition::DEGRADED) else {
        return;
    };
    let same = before.iter().find(|old| old.type_ == condition::DEGRADED && old.status == "True");
    degraded.status = "True".into();
    degraded.reason = Reason::BackupOverdue.as_str().into();
    degraded.message = sentence(message);
    degraded.last_transition_time = same.map_or(Time(now), |old| old.last_transition_time.clone());
}

/// The status of a cluster whose spec cannot be carried out. Running pods keep running.
pub fn invalid(
    generation: i64,
    reason: Reason,
    message: &str,
    before: &OpenIMClusterStatus,
    now: Timestamp,
) -> OpenIMClusterStatus {
    let was = |kind: &str| before.conditions.iter().any(|old| old.type_ == kind && old.status == "True");
    let verdict = Verdict {
        ready: false,
        available: was(condition::AVAILABLE),
        // The rights may be extended: it is retried.
        progressing: reason == Reason::Refused,
        stalled: reason != Reason::Refused,
        degraded: was(condition::DEGRADED),
        reason,
        message: message.to_owned(),
    };
    OpenIMClusterStatus {
        observed_generation: generation,
        message: message.to_owned(),
        conditions: conditions(&verdict, generation, &before.conditions, now),
        ..before.clone()
    }
}

/// The status of a cluster that is cared for by the last spec with which everything ran, because the newest cannot be carried out.
pub fn overruled(
    status: OpenIMClusterStatus,
    message: &str,
    before: &OpenIMClusterStatus,
    now: Timestamp,
) -> OpenIMClusterStatus {
    let is = |kind: &str| status.conditions.iter().any(|entry| entry.type_ == kind && entry.status == "True");
    let verdict = Verdict {
        degraded: is(condition::DEGRADED),
        message: message.to_owned(),
        ..needs_an_edit(is(condition::AVAILABLE), Reason::InvalidSpec, message)
    };
    let gate = Reason::InvalidSpec.as_str().into();
    OpenIMClusterStatus {
        message: message.to_owned(),
        conditions: conditions(&verdict, status.observed_generation, &before.conditions, now),
        blockers: vec![crds::Blocker { component: String::new(), gate, message: message.to_owned() }],
        plan: vec![],
        plan_id: String::new(),
        history: before.history.clone(),
        live_config: before.live_config.clone(),
        ..status
    }
}

/// Nothing happens until somebody edits something.
fn needs_an_edit(available: bool, reason: Reason, message: &str) -> Verdict {
    let message = sentence(message);
    Verdict { ready: false, available, progressing: false, stalled: true, degraded: false, reason, message }
}

/// All pods are as they are to be, and yet the spec is not carried out.
fn left_over(available: bool, blocker: &Blocker) -> Verdict {
    let need_an_edit = [Reason::HostTaken, Reason::NamesTaken, Reason::InvalidSpec, Reason::MigrationFailed];
    let edit = Some(blocker.reason).filter(|reason| need_an_edit.contains(reason));
    let message = with_end(&blocker.message);
    let reason = edit.unwrap_or(Reason::DependencyNotReady);
    Verdict {
        ready: false,
        available,
        progressing: edit.is_none(),
        stalled: edit.is_some(),
        degraded: false,
        reason,
        message,
    }
}

/// Why applying a plan stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was not done, and why.
    pub message: String,
    /// The reason in the conditions, if it needs attention.
    pub reason: Reason,
    /// Nothing happens until somebody edits something.
    pub needs_an_edit: bool,
    /// The API server will go on refusing.
    pub is_refusal: bool,
}

/// The status when applying stopped: what `status` says is not so yet.
pub fn failed(
    status: OpenIMClusterStatus,
    failure: &Failure,
    before: &OpenIMClusterStatus,
    now: Timestamp,
) -> OpenIMClusterStatus {
    let is = |kind: &str| status.conditions.iter().any(|entry| entry.type_ == kind && entry.status == "True");
    let message = with_end(&failure.message);
    let mut conditions = status.conditions.clone();
    if failure.needs_an_edit || failure.is_refusal {
        let verdict = Verdict {
            degraded: is(condition::DEGRADED),
            progressing: failure.is_refusal,
            stalled: failure.needs_an_edit,
            ..needs_an_edit(is(condition::AVAILABLE), failure.reason, &message)
        };
        conditions = self::conditions(&verdict, status.observed_generation, &before.conditions, now);
    }
    for entry in &mut conditions {
        entry.message.clone_from(&message);
    }
    OpenIMClusterStatus { message, conditions, ..status }
}

/// The console, if the cluster is to have one.
fn console(cluster: &Cluster, observed: &Observed) -> Option<Component> {
    let asked = cluster.console()?;
    let live = observed.deployments.get(&cluster.part(Extra::Console)).cloned().unwrap_or_default();
    Some(Component {
        name: Extra::Console.to_string(),
        desired: asked.replicas,
        ready: live.ready,
        updated: live.updated,
        version: version_of(&live.template).to_owned(),
    })
}

/// Its name, while its pods are not as they are to be.
fn unfinished_console(cluster: &Cluster, observed: &Observed) -> Option<&'static str> {
    let asked = cluster.console()?;
    let live = observed.deployments.get(&cluster.part(Extra::Console));
    let is_done = live.is_some_and(|live| live.is_done() && live.desired == asked.replicas);
    (!is_done).then_some(Extra::Console.name())
}

/// The status of a cluster. `written`: this reconcile changed objects, so the observed state is older.
pub fn of(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    written: bool,
    before: &OpenIMClusterStatus,
    now: Timestamp,
) -> OpenIMClusterStatus {
    let mut components: Vec<Component> = Service::ALL
        .into_iter()
        .map(|service| {
            let rollout = observed.deployment(cluster, service).cloned().unwrap_or_default();
            Component {
                name: service.to_string(),
                desired: plan.assessment.scale(service).replicas,
                ready: rollout.ready,
                updated: rollout.updated,
                version: version_of(&rollout.template).to_owned(),
            }
        })
        .collect();
    // Messages do not need the console.
    let available = components.iter().all(|component| component.ready > 0 || component.desired == 0);
    components.extend(console(cluster, observed));
    let mut unfinished: Vec<&str> = Service::ALL
        .into_iter()
        .filter(|service| {
            let (found, scale) = (observed.deployment(cluster, *service), plan.assessment.scale(*service));
            !found.is_some_and(|live| live.is_done() && live.desired == scale.replicas)
        })
        .map(Service::name)
        .collect();
    unfinished.extend(unfinished_console(cluster, observed));
    let ready: i32 = components.iter().map(|component| component.ready.min(component.desired)).sum();
    let desired: i32 = components.iter().map(|component| component.desired).sum();
    let waiting = |reason: Reason, message: String| Verdict {
        ready: false,
        available,
        progressing: true,
        stalled: false,
        degraded: false,
        reason,
        message,
    };
    let coming: Vec<&str> = plan.changes.iter().map(|change| change.component.as_str()).collect();
    // What is under way is waited for now.
    let is_under_way = |name: &&str| plan.blockers.iter().any(|blocker| blocker.component == *name);
    let later: Vec<&str> = coming.iter().copied().filter(|name| !is_under_way(name)).collect();
    let then = if later.is_empty() { String::new() } else { format!(" Then: {}.", later.join(", ")) };
    let stopped = plan.blockers.iter().find_map(|blocker| {
        let reasons = [
            Reason::UpgradeRefused,
            Reason::Paused,
            Reason::AwaitingApproval,
            Reason::OutsideWindow,
            Reason::ConsumerLag,
            Reason::ErrorRate,
            Reason::ReconnectBudget,
            Reason::RolloutFailed,
        ];
        reasons.contains(&blocker.reason).then_some((blocker.reason, blocker))
    });
    // While a cluster is created its servers are on their way.
    let degraded = lacking(observed).filter(|_| !observed.deployments.is_empty());
    let verdict = match (&plan.gate, stopped) {
        _ if !plan.refused.is_empty() => {
            let first = &plan.refused[0];
            let by_rights = first.reason == Reason::Refused;
            let reason = if by_rights { Reason::Refused } else { Reason::InvalidSpec };
            needs_an_edit(available, reason, &first.message)
        }
        (Some(gate), _) if [Reason::NamesTaken, Reason::MigrationFailed].contains(&gate.reason) => {
            needs_an_edit(available, gate.reason, &gate.message)
        }
        (Some(gate), _) => waiting(gate.reason, sentence(&gate.message)),
        (None, Some((reason, blocker))) => {
            let about =
                if blocker.component.is_empty() { String::new() } else { format!("{}: ", blocker.component) };
            let pending =
                if coming.is_empty() { String::new() } else { format!(" Pending: {}.", coming.join(", ")) };
            Verdict {
                progressing: [Reason::ConsumerLag, Reason::ReconnectBudget].contains(&reason),
                // Those that are wanted end by themselves or by a word; the others need an edit.
                stalled: [Reason::UpgradeRefused, Reason::RolloutFailed, Reason::ErrorRate].contains(&reason),
                ..waiting(reason, format!("{about}{}{pending}", with_end(&blocker.message)))
            }
        }
        (None, None) if written || !unfinished.is_empty() || !coming.is_empty() => {
            let seen =
                plan.blockers.first().map(|blocker| format!("{}: {}", blocker.component, blocker.message));
            let now = seen.unwrap_or_else(|| {
                if unfinished.is_empty() {
                    "changes to be observed".to_owned()
                } else {
                    unfinished.join(", ")
                }
            });
            waiting(
                Reason::RollingOut,
                format!("{ready} of {desired} pods are ready; waiting for {now}.{then}"),
            )
        }
        (None, None) if !observed.behind.is_empty() => {
            let said = |(pod, problem): (&String, &String)| {
                if problem.is_empty() { pod.clone() } else { format!("{pod} ({problem})") }
            };
            let pods: Vec<String> = observed.behind.iter().take(3).map(said).collect();
            let message = format!(
                "{} pods have not applied spec.config yet: {}{}.",
                observed.behind.len(),
                pods.join(", "),
                if observed.behind.len() > pods.len() { ", …" } else { "" },
            );
            waiting(Reason::Configuring, message)
        }
        (None, None) if !plan.blockers.is_empty() => left_over(available, &plan.blockers[0]),
        (None, None) if degraded.is_some() => Verdict {
            progressing: false,
            ..waiting(Reason::Degraded, sentence(degraded.as_deref().unwrap_or_default()))
        },
        (None, None) => Verdict {
            ready: true,
            available,
            progressing: false,
            stalled: false,
            degraded: false,
            reason: Reason::Running,
            message: format!("All {desired} pods run version {}.", cluster.version),
        },
    };
    let verdict = Verdict { degraded: degraded.is_some(), ..verdict };
    let backup = backups::status(cluster, observed, before.backup.as_ref(), now);
    let mut conditions = conditions(&verdict, cluster.generation, &before.conditions, now);
    if let Some(backup) = backup.as_ref().filter(|backup| backup.overdue && !verdict.degraded) {
        overdue(&mut conditions, &before.conditions, &backup.message, now);
    }
    OpenIMClusterStatus {
        observed_generation: cluster.generation,
        pods: format!("{ready}/{desired}"),
        version: plan.assessment.running.clone(),
        conditions,
        message: verdict.message,
        components,
        plan: plan.changes.clone(),
        plan_id: if plan.changes.is_empty() { String::new() } else { plan.id.clone() },
        older_templates: template::behind(cluster, observed),
        blockers: blockers(plan),
        secrets: secret_rotation::told(cluster, &observed.credentials),
        certificates: authority_rotation::status(cluster, observed, &plan.assessment),
        signed_calls: cluster.signed_calls || observed.signing == Some(true),
        live_config: if verdict.ready { live_revision(cluster) } else { before.live_config.clone() },
        dependencies: observed.dependencies.clone(),
        shared: shared::used(cluster, observed),
        backup,
        endpoints: endpoints(cluster, &plan.assessment.taken),
        history: history(cluster, verdict.ready, &before.history, now),
        proof: before.proof.clone(),
    }
}

/// What the backing servers lack, in one line.
fn lacking(observed: &Observed) -> Option<String> {
    let unwell = observed.dependencies.iter().filter(|dependency| !dependency.is_well());
    let said: Vec<String> = unwell
        .map(|dependency| {
            let problem = dependency.problem();
            let message = if problem.is_empty() { "does not answer" } else { &problem };
            format!("{}: {message}", dependency.name)
        })
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// The part of the status that the operator applies: the proof belongs to the plugin.
pub fn applied(status: &OpenIMClusterStatus) -> OpenIMClusterStatus {
    OpenIMClusterStatus { proof: None, ..status.clone() }
}

/// Specs that are remembered.
const REMEMBERED: usize = 5;
/// Bytes of all of them: the API server stores objects of up to 1.5 MB.
const MOST_BYTES: usize = 256 << 10;

/// Remembers a spec when everything runs with it; one that is remembered already moves to the front.
fn history(cluster: &Cluster, ready: bool, before: &[GoodSpec], now: Timestamp) -> Vec<GoodSpec> {
    let spec = serde_json::to_string(&cluster.spec).unwrap_or_default();
    if !ready || before.first().is_some_and(|newest| newest.spec == spec) {
        return before.to_vec();
    }
    let newest =
        GoodSpec { generation: cluster.generation, version: cluster.version.clone(), since: Time(now), spec };
    let older = before.iter().filter(|older| older.spec != newest.spec).cloned().collect::<Vec<_>>();
    let mut room = MOST_BYTES;
    let all = std::iter::once(newest).chain(older).take(REMEMBERED).enumerate();
    all.take_while(|(index, good)| {
        let fits = *index == 0 || good.spec.len() <= room;
        room = room.saturating_sub(good.spec.len());
        fits
    })
    .map(|(_, good)| good)
    .collect()
}

fn blockers(plan: &Plan) -> Vec<crds::Blocker> {
    let is_named = |gate: &Gate| {
        plan.blockers.iter().any(|blocker| blocker.reason == gate.reason && blocker.component.is_empty())
    };
    let gate = plan.gate.as_ref().filter(|gate| !is_named(gate)).map(|gate| crds::Blocker {
        component: String::new(),
        gate: gate.reason.as_str().into(),
        message: gate.message.clone(),
    });
    let of = |blockers: &[Blocker]| blockers.iter().map(crds::Blocker::from).collect::<Vec<_>>();
    of(&plan.refused).into_iter().chain(gate).chain(of(&plan.blockers)).collect()
}

fn with_end(message: &str) -> String {
    if message.ends_with('.') { message.to_owned() } else { format!("{message}.") }
}

fn sentence(message: &str) -> String {
    let mut text = message.to_owned();
    if let Some(first) = text.get(0..1).map(str::to_uppercase) {
        text.replace_range(0..1, &first);
    }
    with_end(&text)
}

fn endpoints(cluster: &Cluster, taken: &BTreeMap<door::Kind, Blocker>) -> Endpoints {
    let (ingress, routes) = (&cluster.spec.ingress, &cluster.spec.gateway_api);
    let routes = routes.as_ref().filter(|_| !taken.contains_key(&door::Kind::Route));
    let ours = ingress.enabled && !taken.contains_key(&door::Kind::Ingress);
    let by_ingress =
        (ours && !ingress.host.is_empty()).then_some((&ingress.host, !ingress.tls_secret_name.is_empty()));
    let by_route = routes.and_then(|routes| Some((routes.hostnames.first()?, routes.tls)));
    let Some((host, tls)) = by_ingress.or(by_route) else {
        let namespace = &cluster.namespace;
        return Endpoints {
            api: format!("http://{}.{namespace}.svc:10002", cluster.part("api-http")),
            ws: format!("ws://{}.{namespace}.svc:10001", cluster.part("gateway-ws")),
        };
    };
    let secure = if tls { "s" } else { "" };
    Endpoints { api: format!("http{secure}://{host}"), ws: format!("ws{secure}://{host}/msg_gateway") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{assessment::Assessment, workload::Rollout},
        plan::plan,
        validate::{tests::object, validate},
    };

    /// The status with a plan that rests on what is observed.
    fn of(
        cluster: &Cluster,
        observed: &Observed,
        plan: &Plan,
        written: bool,
        before: &OpenIMClusterStatus,
        now: Timestamp,
    ) -> OpenIMClusterStatus {
        let plan = Plan { assessment: Assessment::of(cluster, observed), ..plan.clone() };
        super::of(cluster, observed, &plan, written, before, now)
    }

    fn is_true(status: &OpenIMClusterStatus, kind: &str) -> bool {
        status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
    }

    #[test]
    fn large_specs_leave_room_for_the_status() {
        let mut remembered = Vec::new();
        for round in 0..6 {
            let mut cluster = validate(&object("{}")).unwrap();
            let note = format!("{round}{}", "x".repeat(100 << 10));
            cluster.spec.pods.annotations.insert("note".into(), note);
            remembered = history(&cluster, true, &remembered, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(remembered.len(), 2);
        assert!(remembered[0].spec.contains("\"5xx"), "the newest is kept");
    }

    proptest! {
        /// Ready is only said of the newest generation, with every pod new and serving and no gate closed.
        #[test]
        fn ready_is_never_said_too_early(
            ready in prop::collection::vec(0..2_i32, 12), current: bool, reachable: bool, migrated: bool, written: bool
        ) {
            let cluster = validate(&object("{}")).unwrap();
            let mut observed = Observed { credentials: crate::credentials::complete(&cluster, BTreeMap::new()), ..Default::default() };
            for (service, ready) in Service::ALL.iter().zip(&ready) {
                let settings = crate::render::settings::Settings::of(&cluster, &observed);
                let wanted = crate::render::services::objects(&cluster, &settings, &observed, &Assessment::of(&cluster, &observed)).wanted;
                let item = wanted.into_iter().find(|item| item.service == *service).unwrap();
                let template = item.deployment.spec.unwrap().template;
                let rollout = Rollout { current, desired: 1, ready: *ready, updated: *ready, total: 1, template, ..Default::default() };
                observed.deployments.insert(cluster.part(service), rollout);
            }
            observed.dependencies = vec![crds::Dependency { name: "redis".into(), managed: true, reachable, message: if reachable { "" } else { "no" }.into(), ..Default::default() }];
            if migrated {
                let settings = crate::render::settings::Settings::of(&cluster, &observed);
                observed.finished_jobs.insert(crate::render::migration::name(&cluster, &settings));
            }
            let plan = plan(&cluster, &observed);
            let status = of(&cluster, &observed, &plan, written, &OpenIMClusterStatus::default(), Timestamp::UNIX_EPOCH);
            let all = ready.iter().all(|ready| *ready == 1) && current && reachable && migrated && !written;
            prop_assert_eq!(is_true(&status, condition::READY), all);
            prop_assert!(is_true(&status, condition::READY) != is_true(&status, condition::PROGRESSING));
            prop_assert_eq!(status.observed_generation, cluster.generation);
            for condition in &status.conditions {
                prop_assert_eq!(condition.observed_generation, Some(cluster.generation));
                prop_assert!(condition.message.ends_with('.'));
            }
        }
    }

    #[test]
    fn a_console_that_is_not_ready_leaves_the_cluster_available() {
        let cluster = validate(&object("console: {}")).unwrap();
        let done =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        let mut deployments: std::collections::BTreeMap<_, _> =
            Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect();
        deployments.insert(cluster.part(Extra::Console), Rollout { ready: 0, ..done });
        let observed = Observed { deployments, ..Default::default() };
        let status = of(
            &cluster,
            &observed,
            &Plan::default(),
            false,
            &OpenIMClusterStatus::default(),
            Timestamp::UNIX_EPOCH,
        );
        let console = status.components.last().unwrap();
        assert_eq!((console.name.as_str(), console.desired, console.ready), ("console", 1, 0));
        assert!(is_true(&status, condition::AVAILABLE) && !is_true(&status, condition::READY));
        assert!(status.message.contains("waiting for console"), "{}", status.message);
    }

    #[test]
    fn a_server_whose_pods_are_replaced_is_waited_for() {
        let cluster = validate(&object("{}")).unwrap();
        let done =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        let deployments = Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect();
        let observed = Observed { deployments, ..Default::default() };
        let change = |server: &str| crds::Change { component: server.into(), ..Default::default() };
        let reason = Reason::RollingOut;
        let message = "1 of 3 pods updated, 2 ready".into();
        let plan = Plan {
            changes: vec![change("kafka"), change("redis")],
            blockers: vec![Blocker { component: "kafka".into(), reason, message }],
            ..Default::default()
        };
        let none = OpenIMClusterStatus::default();
        let status = of(&cluster, &observed, &plan, false, &none, Timestamp::UNIX_EPOCH);
        assert!(!is_true(&status, condition::READY));
        assert_eq!(
            status.message,
            "12 of 12 pods are ready; waiting for kafka: 1 of 3 pods updated, 2 ready. Then: redis."
        );
    }

    /// All pods run, and this holds the plan up.
    fn said(plan: &Plan) -> OpenIMClusterStatus {
        let cluster = validate(&object("{ingress: {host: chat.example.org}}")).unwrap();
        let done =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        let deployments = Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect();
        let observed = Observed { deployments, ..Default::default() };
        of(&cluster, &observed, plan, false, &OpenIMClusterStatus::default(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_cluster_with_an_invalid_spec_is_told_of_and_not_remembered() {
        let before = OpenIMClusterStatus {
            history: vec![],
            live_config: "before".into(),
            observed_generation: 1,
            ..Default::default()
        };
        let cared_for = said(&Plan::default());
        assert!(is_true(&cared_for, condition::READY) && !cared_for.history.is_empty());
        let status = overruled(cared_for, "spec.kafka: wrong", &before, Timestamp::UNIX_EPOCH);
        assert!(is_true(&status, condition::STALLED) && !is_true(&status, condition::READY));
        assert!(is_true(&status, condition::AVAILABLE), "what runs is looked at");
        assert_eq!(status.message, "spec.kafka: wrong");
        assert_eq!((status.history, status.live_config.as_str()), (vec![], "before"));
        assert_eq!(status.blockers[0].gate, "InvalidSpec");
    }

    #[test]
    fn a_refusal_of_the_api_server_is_the_reason_that_is_told() {
        let none = OpenIMClusterStatus::default();
        let of = |is_refusal: bool| {
            let message = "Service/chat-msg: no right".to_owned();
            let failure = Failure { message, reason: Reason::Refused, needs_an_edit: false, is_refusal };
            failed(said(&Plan::default()), &failure, &none, Timestamp::UNIX_EPOCH)
        };
        let status = of(true);
        assert_eq!(status.conditions[0].reason, "Refused");
        assert!(is_true(&status, condition::PROGRESSING) && !is_true(&status, condition::READY));
        assert_eq!(status.message, "Service/chat-msg: no right.");
        assert_ne!(of(false).conditions[0].reason, "Refused");
        let unread = invalid(2, Reason::Refused, "reading: no right", &none, Timestamp::UNIX_EPOCH);
        assert!(!is_true(&unread, condition::STALLED) && !is_true(&unread, condition::READY));
    }

    #[test]
    fn a_lost_copy_degrades_a_cluster_that_serves() {
        let cluster = validate(&object("{}")).unwrap();
        let done =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        let mut observed = Observed {
            deployments: Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect(),
            dependencies: vec![crds::Dependency {
                name: "kafka".into(),
                managed: true,
                reachable: true,
                message: "3 partitions are under-replicated".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let none = OpenIMClusterStatus::default();
        let said = |observed: &Observed| {
            of(&cluster, observed, &Plan::default(), false, &none, Timestamp::UNIX_EPOCH)
        };
        let status = said(&observed);
        assert!(is_true(&status, condition::DEGRADED) && is_true(&status, condition::AVAILABLE));
        assert!(!is_true(&status, condition::READY) && !is_true(&status, condition::STALLED));
        assert_eq!(status.message, "Kafka: 3 partitions are under-replicated.");
        observed.dependencies[0].message.clear();
        observed.dependencies[0].disk = "the disk of kafka-0 is 85 % full".into();
        assert_eq!(said(&observed).message, "Kafka: the disk of kafka-0 is 85 % full.");
        observed.dependencies[0].disk.clear();
        let status = said(&observed);
        assert!(is_true(&status, condition::READY) && !is_true(&status, condition::DEGRADED));
    }

    #[test]
    fn overdue_backups_degrade_a_cluster_that_stays_ready() {
        let own = "objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}";
        let cluster = validate(&object(&format!("backup: {{{own}, schedule: '30 2 * * *'}}"))).unwrap();
        let done =
            Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
        let deployments = Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect();
        let observed = Observed { deployments, ..Default::default() };
        let at = |hours: i64| Timestamp::from_second(hours * 3600).unwrap();
        let said = |before: &OpenIMClusterStatus, hours: i64| {
            of(&cluster, &observed, &Plan::default(), false, before, at(hours))
        };
        let first = said(&OpenIMClusterStatus::default(), 0);
        assert!(is_true(&first, condition::READY) && !is_true(&first, condition::DEGRADED));
        let late = said(&first, 72);
        assert!(is_true(&late, condition::READY) && is_true(&late, condition::DEGRADED));
        let degraded = late.conditions.iter().find(|entry| entry.type_ == condition::DEGRADED).unwrap();
        assert_eq!(degraded.reason, "BackupOverdue");
        assert!(
            degraded.message.starts_with("No scheduled backup has succeeded in two periods"),
            "{}",
            degraded.message
        );
        let since = |status: &OpenIMClusterStatus| {
            let entry = status.conditions.iter().find(|entry| entry.type_ == condition::DEGRADED);
            entry.unwrap().last_transition_time.0
        };
        assert_eq!(since(&said(&late, 80)), at(72), "it is told since when");
    }

    #[test]
    fn ready_is_not_said_while_something_of_the_spec_is_not_carried_out() {
        let held = |gate: Reason| {
            let blocker = Blocker { component: "ingress".into(), reason: gate, message: "taken".into() };
            said(&Plan { blockers: vec![blocker], ..Default::default() })
        };
        assert!(is_true(&said(&Plan::default()), condition::READY));
        for (gate, stalled) in
            [(Reason::HostTaken, true), (Reason::InvalidSpec, true), (Reason::DependencyNotReady, false)]
        {
            let status = held(gate);
            assert!(
                !is_true(&status, condition::READY) && is_true(&status, condition::AVAILABLE),
                "{gate:?}"
            );
            assert_eq!(is_true(&status, condition::STALLED), stalled, "{gate:?}");
            assert_eq!(
                (status.message.as_str(), status.conditions[0].reason.as_str()),
                ("taken.", gate.as_str())
            );
        }
    }

    #[test]
    fn what_the_api_server_refuses_is_said_before_everything_that_follows_from_it() {
        let refused = Blocker {
            component: "mongodb".into(),
            reason: Reason::InvalidSpec,
            message: "the API server rejects StatefulSet/chat-mongodb: spec.x: Unsupported value".into(),
        };
        let gate = Some(Gate { reason: Reason::DependencyNotReady, message: "mongodb: down".into() });
        let status = said(&Plan { refused: vec![refused], gate, ..Default::default() });
        assert!(is_true(&status, condition::STALLED));
        assert_eq!(status.conditions[0].reason, "InvalidSpec");
        assert_eq!(
            status.message,
            "The API server rejects StatefulSet/chat-mongodb: spec.x: Unsupported value."
        );
        assert_eq!(status.blockers.len(), 2);
    }

    #[test]
    fn an_error_is_told_in_one_sentence_in_every_condition() {
        let before = OpenIMClusterStatus::default();
        let of = |message: &str, reason: Reason, needs_an_edit: bool| {
            let failure =
                Failure { message: message.into(), reason, needs_an_edit, is_refusal: !needs_an_edit };
            failed(said(&Plan::default()), &failure, &before, Timestamp::UNIX_EPOCH)
        };
        let status = of("Deployment/chat-auth exists", Reason::InvalidSpec, true);
        assert!(is_true(&status, condition::STALLED) && !is_true(&status, condition::READY));
        assert!(status.conditions.iter().all(|entry| entry.message == status.message));
        let status = of("Deployment/chat-auth: exceeded quota", Reason::Refused, false);
        assert_eq!(status.message, "Deployment/chat-auth: exceeded quota.");
        assert!(!is_true(&status, condition::STALLED));
    }

    #[test]
    fn what_ran_is_remembered_once_and_newest_first() {
        let mut remembered = Vec::new();
        let of = |replicas: i32| {
            validate(&object(&format!("services: {{msg: {{replicas: {replicas}}}}}"))).unwrap()
        };
        for replicas in [1, 2, 2, 1, 3, 4, 5, 6] {
            remembered = history(&of(replicas), true, &remembered, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(history(&of(9), false, &remembered, Timestamp::UNIX_EPOCH), remembered);
        let specs: Vec<crds::OpenIMClusterSpec> =
            remembered.iter().map(|good| serde_json::from_str(&good.spec).unwrap()).collect();
        let replicas: Vec<i32> = specs.iter().map(|spec| spec.services.msg.replicas).collect();
        assert_eq!(replicas, [6, 5, 4, 3, 1]);
    }

    #[test]
    fn a_proof_is_carried_along_and_never_applied() {
        let proof = crds::Proof {
            time: Time(Timestamp::UNIX_EPOCH),
            from_version: "1.0.0".into(),
            to_version: "1.1.0".into(),
            seconds: 60,
            acknowledged: 1000,
            lost: 0,
            doubled: 0,
            reordered: 0,
            other: 0,
            longest_gap_millis: 900,
        };
        let before = OpenIMClusterStatus { proof: Some(proof.clone()), ..Default::default() };
        let after = invalid(2, Reason::InvalidSpec, "wrong", &before, Timestamp::UNIX_EPOCH);
        assert_eq!(after.proof, Some(proof.clone()));
        assert!(serde_json::to_value(applied(&after)).unwrap().get("proof").is_none());
        let cluster = validate(&object("{}")).unwrap();
        let seen =
            of(&cluster, &Observed::default(), &Plan::default(), false, &before, Timestamp::UNIX_EPOCH);
        assert_eq!(seen.proof, Some(proof));
    }

    #[test]
    fn transition_times_only_move_with_the_status() {
        let before = invalid(
            1,
            Reason::InvalidSpec,
            "spec.kafka: wrong",
            &OpenIMClusterStatus::default(),
            Timestamp::UNIX_EPOCH,
        );
        let later = invalid(2, Reason::InvalidSpec, "spec.redis: wrong", &before, Timestamp::now());
        assert_eq!(later.conditions[3].last_transition_time, before.conditions[3].last_transition_time);
        assert!(is_true(&later, condition::STALLED) && !is_true(&later, condition::READY));
    }
}

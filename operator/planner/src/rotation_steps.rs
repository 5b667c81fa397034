//! The steps in which passwords, secrets and certificates are rotated, and when the next one may be taken. Pure.

use std::collections::BTreeMap;

use crds::Reason;

use crate::model::{cluster::Cluster, observed::Observed, plan::Plan, secret::key, workload::Rollout};

/// What comes next: for passwords, which the servers check, as for secrets, which the services do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// New ones are created; servers and services start to accept both.
    Begin,
    /// Both are accepted everywhere: the new ones are used from now on.
    Switch,
    /// The new ones are used everywhere: the others are to be refused.
    Finish,
    /// They are refused everywhere.
    End,
}

/// The step that comes next, whenever it can be taken. The Secret says with `done` which rotation what is in use is of, and with `next` which
/// one has begun; `both` are there between the first step and the third.
pub(crate) fn step_due(
    data: &BTreeMap<String, String>,
    [done, next]: [&str; 2],
    wanted: &str,
    both: bool,
) -> Option<Step> {
    let done = data.get(done).map_or("", String::as_str);
    match data.get(next) {
        Some(next) if both && next != done => Some(Step::Switch),
        Some(_) if both => Some(Step::Finish),
        Some(_) => Some(Step::End),
        None => (wanted != done && !data.is_empty()).then_some(Step::Begin),
    }
}

/// A cluster that never ran has nothing to rotate. Requesting a rotation in the spec counts as approval.
pub(crate) fn may_begin(cluster: &Cluster, plan: &Plan) -> bool {
    let hold = plan.hold.as_ref();
    !cluster.ran.is_empty() && hold.is_none_or(|hold| hold.reason == Reason::AwaitingApproval)
}

/// Nothing is going on but changes of these components, which no pods are replaced for.
pub(crate) fn still(observed: &Observed, plan: &Plan, components: &[&str]) -> bool {
    plan.gate.is_none()
        && plan.later.is_empty()
        && plan.changes.iter().all(|change| components.contains(&change.component.as_str()))
        && observed.deployments.values().all(Rollout::is_done)
}

/// Whether the Secret is on its way to something else than the change whose key this is: passwords, secrets, the authority and TLS are changed one
/// after the other.
pub(crate) fn others_are_under_way(data: &BTreeMap<String, String>, own: &str) -> bool {
    let all =
        [key::NEXT_ROTATION, key::NEXT_SECRET_ROTATION, key::NEXT_AUTHORITY_ROTATION, key::TLS_TRANSITION];
    all.into_iter().any(|name| name != own && data.contains_key(name))
}

/// Jobs whose pods run, with what they read when they started.
pub(crate) fn running_jobs(observed: &Observed) -> impl Iterator<Item = String> {
    let jobs = observed.there.iter().filter(|((kind, _), job)| {
        kind == "Job" && job.data["status"]["active"].as_i64().is_some_and(|active| active > 0)
    });
    jobs.map(|((_, name), _)| format!("Job {name}"))
}

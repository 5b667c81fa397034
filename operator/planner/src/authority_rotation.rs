//! Replaces the certificate authority, one step per reconcile: everybody trusts both, then all certificates are of the new one, then the old one is
//! dropped (docs/adr/0036-certificates.md). Each step is one write of the Secret and begins when every pod has read what the step before wrote: pods
//! that start or crash meanwhile read the Secret as it is, so two pods are never more than one step apart, and neighbouring steps accept each other.

use std::collections::BTreeMap;

use crds::{Certificates, Change};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rcgen::Error;

use crate::{
    authority::{add_next, drop_old, end_of, has_next, issue_by_next, trusted},
    certificates::AUTHORITY_URGENT,
    credentials::server_names,
    model::{
        assessment::Assessment,
        cluster::Cluster,
        observed::Observed,
        plan::Plan,
        secret::{key, servers_speak_tls, services_speak_tls},
    },
    rotation_steps::{Step, may_begin, others_are_under_way, running_jobs},
};

/// Named so among the changes.
pub(crate) const COMPONENT: &str = "certificates";
/// An authority is replaced this long before it expires: what it issues is valid for a year.
const REPLACED_BEFORE: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

type Data = BTreeMap<String, String>;

/// Whether a replacement has begun and is not through.
pub fn is_under_way(data: &Data) -> bool {
    data.contains_key(key::NEXT_AUTHORITY_ROTATION)
}

/// When the authority that issues expires.
fn end(data: &Data) -> Option<Timestamp> {
    trusted(data).first().and_then(|authority| end_of(authority))
}

/// The rotation that the spec asks for and that is not done, or that the authority's age demands, or that its key is lost.
fn is_wanted(cluster: &Cluster, observed: &Observed) -> bool {
    let data = &observed.credentials;
    let done = data.get(key::AUTHORITY_ROTATION).map_or("", String::as_str);
    done != cluster.spec.certificate_rotation
        || !data.contains_key(key::AUTHORITY_KEY)
        || end(data).is_some_and(|end| end - REPLACED_BEFORE <= observed.now)
}

/// The step that comes next, whenever it can be taken.
fn due(cluster: &Cluster, observed: &Observed) -> Option<Step> {
    let data = &observed.credentials;
    if !services_speak_tls(cluster, data) {
        return None;
    }
    if !is_under_way(data) {
        return is_wanted(cluster, observed).then_some(Step::Begin);
    }
    Some(match trusted(data).len() {
        _ if has_next(data) => Step::Switch,
        0 | 1 => Step::End,
        _ => Step::Finish,
    })
}

/// The authority among the changes that are to come.
pub fn pending(cluster: &Cluster, observed: &Observed) -> Option<Change> {
    let reason = match due(cluster, observed)? {
        // They wait for every pending change, so it must not be one yet.
        Step::Begin if others_are_under_way(&observed.credentials, key::NEXT_AUTHORITY_ROTATION) => {
            return None;
        }
        Step::Begin => "creating a new authority",
        Step::Switch => "all pods are to trust the new authority too",
        Step::Finish => "all pods are to use certificates of the new authority",
        Step::End => "all pods are to drop the old authority",
    };
    Some(Change { component: COMPONENT.into(), reason: reason.to_owned(), pods: 0 })
}

/// What has not read the Secret as it is now, or is not there to be asked. Pods that are ending count: they still make calls.
fn waits_for(observed: &Observed, assessment: &Assessment) -> Vec<String> {
    let mut all: Vec<String> = assessment.certificates.late.iter().map(ToString::to_string).collect();
    all.extend(observed.leaving.iter().map(|component| format!("pods of {component} that are terminating")));
    all.extend(running_jobs(observed));
    let unwell = observed.dependencies.iter().filter(|dependency| !dependency.has_all_copies());
    all.extend(unwell.map(|dependency| dependency.name.clone()));
    all.extend(assessment.moves.any().then(|| "the move to another server".to_owned()));
    all
}

/// Whether one may begin. An authority that expires within a year does not wait for the end of a pause.
fn begins(cluster: &Cluster, observed: &Observed, plan: &Plan) -> bool {
    let data = &observed.credentials;
    let is_urgent = end(data).is_some_and(|end| end - AUTHORITY_URGENT <= observed.now);
    let may = may_begin(cluster, plan) || is_urgent && !cluster.ran.is_empty();
    may && !others_are_under_way(data, key::NEXT_AUTHORITY_ROTATION)
}

/// The step to take now.
pub fn next(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Option<Step> {
    let step = due(cluster, observed)?;
    let may = step != Step::Begin || begins(cluster, observed, plan);
    let all_have_read = !observed.dependencies.is_empty() && waits_for(observed, &plan.assessment).is_empty();
    (may && all_have_read).then_some(step)
}

/// The data of the Secret after a step.
///
/// # Errors
/// If the certificates in it are unreadable because somebody edited them.
pub fn taken(cluster: &Cluster, data: &Data, step: Step, now: Timestamp) -> Result<Data, Error> {
    let mut data = data.clone();
    match step {
        Step::Begin => {
            add_next(&cluster.name, &mut data, now)?;
            let wanted = cluster.spec.certificate_rotation.clone();
            data.insert(key::NEXT_AUTHORITY_ROTATION.to_owned(), wanted);
        }
        Step::Switch => {
            let names = servers_speak_tls(&data).then(|| server_names(cluster));
            issue_by_next(&cluster.name, names, &mut data, now)?;
            let rotation = data.get(key::NEXT_AUTHORITY_ROTATION).cloned().unwrap_or_default();
            data.insert(key::AUTHORITY_ROTATION.to_owned(), rotation);
        }
        Step::Finish => drop_old(&mut data),
        Step::End => _ = data.remove(key::NEXT_AUTHORITY_ROTATION),
    }
    Ok(data)
}

/// Where it stands.
fn told(cluster: &Cluster, observed: &Observed, assessment: &Assessment) -> String {
    let data = &observed.credentials;
    let now = match due(cluster, observed) {
        None if data.contains_key(key::AUTHORITY_ROTATION) => return "done".to_owned(),
        None => return String::new(),
        Some(Step::Begin) => return "waiting until no other change is in progress".to_owned(),
        Some(Step::Switch) => "both authorities are trusted, the old one issues",
        Some(Step::Finish) => "both authorities are trusted, the new one issues",
        Some(Step::End) => "only the new authority is trusted",
    };
    match waits_for(observed, assessment) {
        late if late.is_empty() => now.to_owned(),
        late => format!("{now}; waiting for {}", late.join(", ")),
    }
}

/// The certificates for the status.
pub fn status(cluster: &Cluster, observed: &Observed, assessment: &Assessment) -> Option<Certificates> {
    let ends = assessment.certificates.ends?;
    Some(Certificates {
        authority_expires: Time(ends.authority),
        earliest_expires: Time(ends.earliest),
        rotation: told(cluster, observed, assessment),
    })
}

#[cfg(test)]
mod tests;

//! Switches TLS between the services on in a running cluster, one step per reconcile: all services accept both, then all of them encrypt their calls,
//! then they accept no others (docs/adr/0036-certificates.md). Only with external servers: the managed Redis and Kafka cannot accept both on one port.

use std::collections::BTreeMap;

use crds::{Change, InternalTls, Reason};
use jiff::Timestamp;
use semver::Version;
use topology::Service;

use crate::{
    authority::complete,
    model::{
        cluster::Cluster,
        names::VERSION,
        observed::Observed,
        plan::{Blocker, Plan},
        secret::{key, services_speak_tls, tls_transition},
        workload::Rollout,
    },
    rotation_steps::{may_begin, others_are_under_way, running_jobs},
    version,
};

/// Named so among the changes and the blockers.
const COMPONENT: &str = "internalTLS";

type Data = BTreeMap<String, String>;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Certificates are created; all services are to accept both.
    Accept,
    /// All services accept both: they are to encrypt their calls.
    Call,
    /// All calls are encrypted: the others are to be refused.
    Require,
}

/// Whether some services may not have the last step's settings.
pub fn is_under_way(data: &Data) -> bool {
    tls_transition(data).is_some()
}

/// A cluster that has run without TLS, and whose spec asks for it.
fn is_asked(cluster: &Cluster, data: &Data) -> bool {
    cluster.spec.internal_tls == Some(InternalTls::Required)
        && !data.is_empty()
        && !services_speak_tls(cluster, data)
}

fn due(cluster: &Cluster, observed: &Observed) -> Option<Step> {
    let data = &observed.credentials;
    match tls_transition(data) {
        Some("accept") => Some(Step::Call),
        Some(_) => Some(Step::Require),
        None => (is_asked(cluster, data) && problem(cluster, observed).is_none()).then_some(Step::Accept),
    }
}

/// Why it cannot be switched on in this cluster.
fn problem(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let managed: Vec<&str> = cluster.servers().into_iter().map(|(server, _)| server.name()).collect();
    if !managed.is_empty() {
        return Some(format!(
            "spec.internalTLS is Required, but the cluster was created without TLS and runs {} itself, \
             and Redis and Kafka cannot accept encrypted and unencrypted connections on one port \
             meanwhile: remove it, or create a cluster with another name and restore a backup",
            managed.join(", ")
        ));
    }
    let running = version::running(cluster, observed);
    let parsed = (Version::parse(&running).ok()?, Version::parse(VERSION).ok()?);
    (parsed.0 < parsed.1).then(|| {
        format!(
            "spec.internalTLS is Required, but the cluster was created without TLS and runs version \
             {running}, which cannot switch it on: set spec.version to {VERSION} first"
        )
    })
}

/// That it cannot be switched on.
pub fn refused(cluster: &Cluster, observed: &Observed) -> Option<Blocker> {
    let message = problem(cluster, observed).filter(|_| is_asked(cluster, &observed.credentials))?;
    Some(Blocker { component: COMPONENT.into(), reason: Reason::InvalidSpec, message })
}

/// TLS among the changes that are to come.
pub fn pending(cluster: &Cluster, observed: &Observed) -> Option<Change> {
    let reason = match due(cluster, observed)? {
        // They wait for every pending change, so it must not be one yet.
        Step::Accept if others_are_under_way(&observed.credentials, key::TLS_TRANSITION) => return None,
        Step::Accept => "creating certificates",
        Step::Call => "all services are to accept encrypted calls too",
        Step::Require => "all services are to encrypt their calls; then they refuse others",
    };
    Some(Change { component: COMPONENT.into(), reason: reason.to_owned(), pods: 0 })
}

/// The step to take now: every pod has the settings of the previous one, also those that are terminating.
pub fn next(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Option<Step> {
    let step = due(cluster, observed)?;
    let may = step != Step::Accept
        || may_begin(cluster, plan) && !others_are_under_way(&observed.credentials, key::TLS_TRANSITION);
    let has_pods = |name: &str| Service::from_name(name).is_some() || name == topology::Extra::Console.name();
    let none_changes = !plan.changes.iter().any(|change| has_pods(&change.component));
    let all_have = plan.gate.is_none()
        && plan.later.is_empty()
        && none_changes
        && observed.leaving.is_empty()
        && running_jobs(observed).next().is_none()
        && observed.deployments.values().all(Rollout::is_done);
    (may && all_have).then_some(step)
}

/// The data of the Secret after a step.
///
/// # Errors
/// If no certificate can be issued.
pub fn taken(cluster: &Cluster, data: &Data, step: Step, now: Timestamp) -> Result<Data, rcgen::Error> {
    let mut data = data.clone();
    match step {
        Step::Accept => {
            complete(&cluster.name, &mut data, now)?;
            data.insert(key::TLS_TRANSITION.to_owned(), "accept".to_owned());
            // A new authority is what a rotation would bring.
            let rotation = Some(&cluster.spec.certificate_rotation).filter(|rotation| !rotation.is_empty());
            data.extend(rotation.map(|rotation| (key::AUTHORITY_ROTATION.to_owned(), rotation.clone())));
        }
        Step::Call => _ = data.insert(key::TLS_TRANSITION.to_owned(), "call".to_owned()),
        Step::Require => _ = data.remove(key::TLS_TRANSITION),
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        credentials,
        plan::plan,
        render::settings::Settings,
        rotation::tests::settled,
        validate::{tests::object, validate},
    };

    const SERVERS: &str = "mongodb: {external: {secretName: m}}\nredis: {external: {address: 'r:1'}}\n\
        kafka: {external: {address: ['k:1'], secretName: k}}\n";

    fn cluster(spec: &str) -> Cluster {
        let mut cluster = validate(&object(spec)).unwrap();
        cluster.ran = cluster.version.clone();
        cluster
    }

    fn step(cluster: &Cluster, observed: &Observed) -> Option<Step> {
        next(cluster, observed, &plan(cluster, observed))
    }

    fn told(cluster: &Cluster, data: &Data) -> Value {
        let observed = Observed { credentials: data.clone(), ..Default::default() };
        let yaml = Settings::of(cluster, &observed).config_yaml;
        serde_yaml_ng::from_str::<Value>(&yaml).unwrap()["internalTLS"].clone()
    }

    #[test]
    fn services_accept_both_then_encrypt_then_refuse_the_others() {
        let wanted = cluster(&format!("{SERVERS}internalTLS: Required"));
        let mut data = credentials::complete(&wanted, Data::new());
        assert_eq!(told(&wanted, &data), Value::Null);
        for (expected, settings) in [
            (Step::Accept, json!({"enable": true, "transition": "accept"})),
            (Step::Call, json!({"enable": true, "transition": "call"})),
            (Step::Require, json!({"enable": true})),
        ] {
            let observed = settled(&wanted, data.clone());
            assert_eq!(step(&wanted, &observed), Some(expected));
            let mut ending = observed.clone();
            ending.leaving.insert(Service::Gateway.into());
            assert_eq!(step(&wanted, &ending), None, "a pod is terminating");
            data = taken(&wanted, &data, expected, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(told(&wanted, &data), settings);
            let changing = Observed { credentials: data.clone(), ..observed };
            assert_eq!(step(&wanted, &changing), None, "the services are not changed yet");
            let services = plan(&wanted, &changing).changes.iter().filter(|change| change.pods > 0).count();
            assert_eq!(services, 12, "after {expected:?}");
        }
        let observed = settled(&wanted, data.clone());
        assert_eq!((step(&wanted, &observed), pending(&wanted, &observed)), (None, None));
        assert_eq!(data.keys().filter(|name| name.starts_with("servers-tls")).count(), 0);
    }

    #[test]
    fn it_is_refused_with_managed_servers_and_with_services_that_do_not_know_how() {
        let refusal = |cluster: &Cluster| {
            let data = credentials::complete(cluster, Data::new());
            let observed = settled(cluster, data);
            assert_eq!((due(cluster, &observed), pending(cluster, &observed)), (None, None));
            refused(cluster, &observed).map(|blocker| blocker.message)
        };
        let managed = refusal(&cluster("internalTLS: Required")).unwrap();
        assert!(managed.contains("created without TLS and runs mongodb, redis, kafka itself"), "{managed}");
        let old = refusal(&cluster(&format!("{SERVERS}internalTLS: Required\nversion: 0.0.1"))).unwrap();
        assert!(old.contains("set spec.version to"), "{old}");
        assert_eq!(refusal(&cluster(SERVERS)), None);
        assert_eq!(refusal(&cluster("internalTLS: Disabled")), None);
    }
}

//! Implements `kubectl openim doctor`: problems, risks and fixes. Pure.

use std::{collections::BTreeMap, fmt::Write};

use crds::{OpenIMCluster, Reason, condition};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ContainerStatus, Pod},
};
use kube::ResourceExt;
use planner::{
    model::cluster::{Backing, Cluster},
    render::labels::COMPONENT,
    validate,
};
use topology::{Server, Service};

/// A leader renews every few seconds; after this time it is considered gone.
const RENEWED_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// A pod that was restarted more often has a reason.
const RESTARTS: i32 = 3;
/// Services that clients notice at once.
const FRONT: [Service; 5] = [Service::Gateway, Service::Api, Service::Msg, Service::Transfer, Service::Push];

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Broken now.
    Broken,
    /// It works until something happens.
    Risk,
}

/// Something to know, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// What was observed.
    pub seen: String,
    /// How to fix it.
    pub advice: String,
}

fn broken(seen: String, advice: &str) -> Finding {
    Finding { severity: Severity::Broken, seen, advice: advice.to_owned() }
}

fn risk(seen: String, advice: &str) -> Finding {
    Finding { severity: Severity::Risk, seen, advice: advice.to_owned() }
}

fn about_the_operator(cluster: &OpenIMCluster, lease: Option<&Lease>, now: Timestamp) -> Option<Finding> {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| now.duration_since(time.0));
    let advice = "kubectl get pods -n openim-system; without the operator everything keeps running, but \
         nothing is changed or repaired";
    match renewed {
        None => Some(broken("no operator has ever held the leader lease".into(), advice)),
        Some(ago) if ago > RENEWED_WITHIN => {
            Some(broken(format!("the operator has not renewed its lease for {} s", ago.as_secs()), advice))
        }
        Some(_) => {
            let seen = cluster.status.as_ref().map(|status| status.observed_generation);
            (seen != cluster.metadata.generation).then(|| {
                broken(
                    "the operator has not observed the newest spec".into(),
                    "wait a few seconds; if it persists, check the operator's log: does it watch this \
                     namespace?",
                )
            })
        }
    }
}

/// What helps, by the reason that the status gives.
fn advice(reason: &str) -> &'static str {
    let reasons = [
        (Reason::Paused, "set spec.rollout.paused to false"),
        (Reason::AwaitingApproval, "kubectl openim approve NAME"),
        (Reason::OutsideWindow, "wait for the window, or remove spec.rollout.windows"),
        (
            Reason::ConsumerLag,
            "wait, add transfer pods (spec.services.transfer), or raise spec.rollout.maxLag",
        ),
        (Reason::ErrorRate, "kubectl openim logs NAME --problems, then kubectl openim rollback NAME"),
        (
            Reason::ReconnectBudget,
            "wait until fewer clients are connected, or raise spec.rollout.reconnectsPerSecond",
        ),
        (Reason::RolloutFailed, "edit the spec, or kubectl openim rollback NAME"),
        (Reason::UpgradeRefused, "set spec.version to the version in the message"),
        (
            Reason::HostTaken,
            "set a different host (spec.ingress.host), or remove the holder named in the message",
        ),
        (Reason::NamesTaken, "set the prefix or database named in the message"),
        (Reason::CredentialsGone, "restore the Secret from a backup of the namespace"),
        (Reason::MigrationFailed, "fix what the message names; the migration is retried by itself"),
        (Reason::Degraded, "bring back the member or copy named in the message"),
        (Reason::Refused, "change the rights, quota or admission policy that the message names"),
        (Reason::InvalidSpec, "fix the field named in the message"),
        (Reason::DependencyNotReady, "see the server below; running pods are not restarted because of it"),
        (Reason::Migrating, "see kubectl logs of the Job named in the message"),
    ];
    let known = reasons.into_iter().find(|(known, _)| known.as_str() == reason);
    known.map_or("wait; the message names what makes no progress", |(_, advice)| advice)
}

fn about_the_status(cluster: &OpenIMCluster) -> Vec<Finding> {
    let status = cluster.status.clone().unwrap_or_default();
    let mut found = vec![];
    let ready = status.conditions.iter().find(|entry| entry.type_ == condition::READY);
    if let Some(ready) = ready.filter(|ready| ready.status != "True") {
        found.push(broken(format!("not ready: {}", ready.message), advice(&ready.reason)));
    }
    for server in &status.dependencies {
        if !server.reachable {
            let helps = if server.managed {
                "see kubectl openim logs NAME --service with this server; its volume may be full"
            } else {
                "check its address and Secret in the spec, and whether a NetworkPolicy blocks it"
            };
            found.push(broken(format!("{} does not answer: {}", server.name, server.message), helps));
        } else if !server.is_well() {
            found.push(risk(
                format!("{}: {}", server.name, server.problem()),
                "wait until it has caught up before taking anything down",
            ));
        }
    }
    if let Some(backup) = status.backup.filter(|backup| !backup.message.is_empty()) {
        let told = format!("scheduled backups: {}", backup.message);
        let helps = "kubectl get jobs,events, and kubectl openim backup NAME once it is fixed";
        found.push(if backup.overdue { broken(told, helps) } else { risk(told, helps) });
    }
    found
}

/// From here on a renewal should long have restarted the pods; and an authority should long have been replaced.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(21 * 24);
const AUTHORITY_EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(365 * 24);

fn about_certificates(cluster: &OpenIMCluster, now: Timestamp) -> Vec<Finding> {
    let Some(certificates) = cluster.status.as_ref().and_then(|status| status.certificates.as_ref()) else {
        return vec![];
    };
    let (earliest, authority) = (certificates.earliest_expires.0, certificates.authority_expires.0);
    let mut found = vec![];
    let advice =
        "see status.blockers of the cluster: its pods could not be restarted with the new certificate";
    if earliest <= now {
        found.push(broken(format!("a certificate of internalTLS expired at {earliest}"), advice));
    } else if earliest - EXPIRES_SOON <= now {
        found.push(risk(format!("a certificate of internalTLS expires at {earliest}"), advice));
    }
    if authority - AUTHORITY_EXPIRES_SOON <= now {
        found.push(risk(
            format!("the certificate authority of internalTLS expires at {authority}"),
            "see status.certificates.rotation of the cluster: it names what its replacement waits for",
        ));
    }
    found
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

/// The section of the spec with a component's resources and scheduling.
fn section(component: &str) -> String {
    if Server::from_name(component).is_some() {
        format!("spec.{component}.managed")
    } else if component == topology::Extra::Console.name() {
        "spec.console".to_owned()
    } else {
        format!("spec.services.{component}")
    }
}

fn about_pods(pods: &[Pod]) -> Vec<Finding> {
    let mut found = vec![];
    for pod in pods {
        let name = pod.name_any();
        let section = section(pod.labels().get(COMPONENT).map_or("", String::as_str));
        for container in containers(pod) {
            let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let killed = last.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"));
            if killed {
                found.push(broken(
                    format!("{name} was OOM-killed: it exceeded its memory limit"),
                    &format!("raise {section}.resources.memoryLimit"),
                ));
            } else if container.restart_count > RESTARTS {
                found.push(broken(
                    format!("{name} was restarted {} times", container.restart_count),
                    "see kubectl logs --previous of the pod",
                ));
            }
        }
        let unscheduled = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        for entry in unscheduled.filter(|entry| entry.type_ == "PodScheduled" && entry.status == "False") {
            found.push(broken(
                format!("{name} cannot be scheduled: {}", entry.message.clone().unwrap_or_default()),
                &format!("add nodes, or reduce {section}.resources and .pods"),
            ));
        }
    }
    found
}

fn about_the_spec(cluster: &Cluster) -> Vec<Finding> {
    let mut found = vec![];
    let alone: Vec<&str> = FRONT
        .into_iter()
        .filter(|service| {
            let wanted = cluster.service(*service);
            wanted.autoscaling.as_ref().map_or(wanted.replicas, |scaling| scaling.min_replicas) == 1
        })
        .map(Service::name)
        .collect();
    if !alone.is_empty() {
        found.push(risk(
            format!("one pod each: {}", alone.join(", ")),
            "set spec.services.*.replicas to 2: such a service is unavailable while its node is drained",
        ));
    }
    let single = [
        (
            matches!(&cluster.mongodb, Backing::Managed(managed) if managed.members == 1),
            Server::MongoDb,
            "spec.mongodb.managed.members: 3, or an external replica set",
        ),
        (
            matches!(&cluster.kafka, Backing::Managed(managed) if managed.brokers == 1),
            Server::Kafka,
            "spec.kafka.managed.brokers: 3 in a new cluster, or an external Kafka",
        ),
    ];
    for (is_single, server, helps) in single {
        if is_single {
            found.push(risk(format!("{server} is one server: its volume is the only copy"), helps));
        }
    }
    let partitions = cluster.spec.config.kafka_partitions;
    for service in Service::CONSUMERS {
        let wanted = cluster.service(service);
        let most = wanted.autoscaling.as_ref().map_or(wanted.replicas, |scaling| scaling.max_replicas);
        if most > partitions {
            found.push(risk(
                format!(
                    "{service} can have {most} pods, but Kafka's topics have only {partitions} partitions"
                ),
                "pods beyond the number of partitions stay idle: lower the number",
            ));
        }
    }
    let ingress = &cluster.spec.ingress;
    if ingress.enabled && ingress.tls_secret_name.is_empty() {
        found.push(risk(
            "the Ingress has no certificate".into(),
            "set spec.ingress.tlsSecretName, unless TLS is terminated earlier: tokens and messages are \
             sent unencrypted",
        ));
    }
    if cluster.spec.object_storage.is_none() {
        found.push(risk(
            "there is no object storage".into(),
            "set spec.objectStorage: clients cannot send pictures and files",
        ));
    }
    found.extend(about_backups(cluster));
    found.extend(about_the_schedule(cluster));
    found
}

/// Backups that somebody has to think of are not made.
fn about_the_schedule(cluster: &Cluster) -> Option<Finding> {
    let backup = cluster.spec.backup.clone().unwrap_or_default();
    if backup.schedule.is_empty() {
        return Some(risk(
            "no backups are scheduled".into(),
            "set spec.backup.schedule, unless something else runs kubectl openim backup NAME regularly",
        ));
    }
    let seen = "scheduled backups are suspended".to_owned();
    backup.suspend.then(|| risk(seen, "set spec.backup.suspend to false when whatever required it is over"))
}

/// Anyone with write access to users' files can delete backups in the same bucket, and often read them.
fn about_backups(cluster: &Cluster) -> Option<Finding> {
    let own = cluster.spec.backup.as_ref().and_then(|backup| backup.object_storage.as_ref());
    let files = cluster.spec.object_storage.as_ref()?;
    match own {
        None if !files.cdn_prefix.is_empty() => Some(risk(
            "no backup can be written: the bucket of users' files is public (cdnPrefix)".into(),
            "set spec.backup.objectStorage to another bucket with separate credentials",
        )),
        Some(own) if own.bucket != files.bucket || own.endpoint != files.endpoint => {
            (own.secret_name == files.secret_name).then(|| {
                risk(
                    "the services have the credentials of the backup bucket".into(),
                    "use a separate Secret in spec.backup.objectStorage: a compromised service must not \
                     be able to delete backups",
                )
            })
        }
        _ => Some(risk(
            "backups share a bucket with users' files".into(),
            "set spec.backup.objectStorage to another bucket with separate credentials",
        )),
    }
}

/// Looks at everything; the worst first.
pub fn examine(cluster: &OpenIMCluster, pods: &[Pod], lease: Option<&Lease>, now: Timestamp) -> Vec<Finding> {
    let mut found: Vec<Finding> = about_the_operator(cluster, lease, now).into_iter().collect();
    found.extend(about_the_status(cluster));
    found.extend(about_certificates(cluster, now));
    found.extend(about_pods(pods));
    if let Ok(valid) = validate::validate(cluster) {
        found.extend(about_the_spec(&valid));
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

/// A number with its noun, for example "1 warning".
fn number(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The findings as text.
pub fn report(name: &str, found: &[Finding]) -> String {
    let mut out = String::new();
    let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let (wrong, risks) = (count(Severity::Broken), count(Severity::Risk));
    _ = match (wrong, risks) {
        (0, 0) => writeln!(out, "✔ {name}: healthy"),
        (0, _) => writeln!(out, "✔ {name}: healthy, {}", number(risks, "warning")),
        _ => writeln!(out, "✖ {name}: {}, {}", number(wrong, "problem"), number(risks, "warning")),
    };
    let mut by_advice: BTreeMap<(Severity, &str), Vec<&str>> = BTreeMap::new();
    for finding in found {
        by_advice.entry((finding.severity, &finding.advice)).or_default().push(&finding.seen);
    }
    for ((severity, advice), seen) in by_advice {
        let mark = if severity == Severity::Broken { '✖' } else { '!' };
        for what in seen {
            _ = writeln!(out, "  {mark} {what}");
        }
        _ = writeln!(out, "      → {}", advice.replace("NAME", name));
    }
    out
}

#[cfg(test)]
mod tests {
    use crds::{Certificates, Dependency, OpenIMClusterStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::tests::object;

    const SOUND: &str = "services: {gateway: {replicas: 2}, api: {replicas: 2}, msg: {replicas: 2}, transfer: {replicas: 2}, push: {replicas: 2}}\n\
        mongodb: {external: {secretName: m}}\nkafka: {managed: {brokers: 3}}\ningress: {host: chat.example.org, tlsSecretName: t}\n\
        objectStorage: {endpoint: 'http://s3', bucket: b, secretName: s}\n\
        backup: {objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: t}, schedule: '30 2 * * *'}";

    fn healthy(spec: &str) -> OpenIMCluster {
        let mut cluster = object(spec);
        cluster.metadata.generation = Some(2);
        cluster.status = Some(OpenIMClusterStatus { observed_generation: 2, ..Default::default() });
        cluster
    }

    fn lease(second: i64) -> Lease {
        serde_json::from_value(json!({ "metadata": {}, "spec": { "renewTime": Timestamp::from_second(second).unwrap().to_string() } })).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    fn seen(cluster: &OpenIMCluster, pods: &[Pod]) -> String {
        report("chat", &examine(cluster, pods, Some(&lease(995)), now()))
    }

    #[test]
    fn certificates_that_were_not_renewed_are_reported() {
        let day = |count: i64| Timestamp::from_second(count * 86_400).unwrap();
        let mut cluster = healthy(SOUND);
        let mut see = |earliest: i64, authority: i64| {
            let certificates = Certificates {
                authority_expires: Time(day(authority)),
                earliest_expires: Time(day(earliest)),
                rotation: String::new(),
            };
            cluster.status.as_mut().unwrap().certificates = Some(certificates);
            let found = about_certificates(&cluster, day(100));
            found.into_iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!(see(122, 466), []);
        assert_eq!(see(121, 466), [Severity::Risk]);
        assert_eq!(see(100, 466), [Severity::Broken]);
        assert_eq!(see(122, 465), [Severity::Risk]);
    }

    #[test]
    fn backups_that_share_a_bucket_are_told() {
        let seen_with = |files: &str, backup: &str| {
            let shared = SOUND
                .split("\nbackup:")
                .next()
                .unwrap()
                .replace("bucket: b,", &format!("bucket: b, {files}"));
            seen(&healthy(&format!("{shared}\n{backup}")), &[])
        };
        let own = |bucket: &str, secret: &str| {
            format!(
                "backup: {{objectStorage: {{endpoint: 'http://s3', bucket: {bucket}, secretName: {secret}}}, \
                 schedule: '30 2 * * *'}}"
            )
        };
        let shared = seen_with("", "");
        assert!(shared.contains("backups share a bucket with users' files"), "{shared}");
        assert!(seen_with("", &own("b", "t")).contains("backups share a bucket"));
        assert!(seen_with("cdnPrefix: 'https://cdn',", "").contains("no backup can be written"));
        assert!(seen_with("", &own("safe", "s")).contains("the services have the credentials"));
        assert!(!seen_with("cdnPrefix: 'https://cdn',", &own("safe", "t")).contains("backup"));
    }

    #[test]
    fn a_sound_cluster_has_nothing_to_say() {
        assert_eq!(seen(&healthy(SOUND), &[]), "✔ chat: healthy\n");
    }

    #[test]
    fn what_may_go_wrong_is_said_with_what_helps() {
        let said = seen(&healthy("services: {push: {replicas: 9}}"), &[]);
        assert!(said.starts_with("✔ chat: healthy, 7 warnings\n"), "{said}");
        for expected in [
            "one pod each: gateway, api, msg, transfer\n",
            "mongodb is one server",
            "kafka is one server",
            "push can have 9 pods, but Kafka's topics have only 8",
            "the Ingress has no certificate",
            "there is no object storage",
            "→ set spec.objectStorage:",
            "no backups are scheduled",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn backups_that_fail_or_rest_are_told() {
        let mut cluster =
            healthy(&SOUND.replace("schedule: '30 2 * * *'", "schedule: '30 2 * * *', suspend: true"));
        assert!(seen(&cluster, &[]).contains("! scheduled backups are suspended"));
        let status = cluster.status.as_mut().unwrap();
        status.backup =
            serde_json::from_value(json!({ "message": "Job chat-backup-1 failed: full" })).unwrap();
        assert!(seen(&cluster, &[]).contains("! scheduled backups: Job chat-backup-1 failed: full"));
        cluster.status.as_mut().unwrap().backup.as_mut().unwrap().overdue = true;
        assert!(seen(&cluster, &[]).contains("✖ scheduled backups: Job chat-backup-1 failed: full"));
    }

    #[test]
    fn what_is_broken_comes_first() {
        let mut cluster = healthy(SOUND);
        let status = cluster.status.as_mut().unwrap();
        status.conditions = serde_json::from_value(
            json!([{ "type": "Ready", "status": "False", "reason": "AwaitingApproval",
            "message": "plan 5 waits", "lastTransitionTime": "2026-01-01T00:00:00Z" }]),
        )
        .unwrap();
        status.dependencies = vec![Dependency {
            name: "redis".into(),
            managed: true,
            reachable: false,
            message: "refused".into(),
            ..Default::default()
        }];
        let pod = |component: &str, restarts: i32, reason: &str| -> Pod {
            serde_json::from_value(json!({ "metadata": { "name": format!("chat-{component}-1"), "labels": { COMPONENT: component } }, "status": {
                "containerStatuses": [{ "name": component, "image": "", "imageID": "", "ready": true, "restartCount": restarts,
                    "lastState": { "terminated": { "exitCode": 137, "reason": reason } } }],
            } })).unwrap()
        };
        let mut pods = vec![pod("msg", 1, "OOMKilled"), pod("msg", 4, "Error"), pod("msg", 3, "Error")];
        pods.push(pod("mongodb", 1, "OOMKilled"));
        let said = seen(&cluster, &pods);
        assert!(said.starts_with("✖ chat: 5 problems, 0 warnings\n"), "{said}");
        for expected in [
            "not ready: plan 5 waits",
            "→ kubectl openim approve chat",
            "redis does not answer: refused",
            "chat-msg-1 was OOM-killed",
            "→ raise spec.services.msg.resources.memoryLimit",
            "→ raise spec.mongodb.managed.resources.memoryLimit",
            "chat-msg-1 was restarted 4 times",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn an_operator_that_is_away_is_said() {
        let cluster = healthy(SOUND);
        let examined = |lease: Option<&Lease>| report("chat", &examine(&cluster, &[], lease, now()));
        assert!(examined(None).contains("no operator has ever held the leader lease"));
        assert!(examined(Some(&lease(900))).contains("has not renewed its lease for 100 s"));
        let mut edited = healthy(SOUND);
        edited.metadata.generation = Some(3);
        assert!(seen(&edited, &[]).contains("has not observed the newest spec"));
    }
}

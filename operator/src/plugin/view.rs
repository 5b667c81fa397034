//! Output of `kubectl openim`. Pure.

use std::fmt::Write;

use crds::{BackupStatus, Change, OpenIMCluster, OpenIMClusterSpec, Proof, condition};
use kube::ResourceExt;
use planner::{model::plan::Plan, version};

use crate::apply::Applied;

fn mark(good: bool) -> &'static str {
    if good { "✔" } else { "✖" }
}

/// The last branch of a tree is drawn differently.
fn branches(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    _ = writeln!(out, "{title}");
    for (index, line) in lines.iter().enumerate() {
        let branch = if index + 1 == lines.len() { "└─" } else { "├─" };
        _ = writeln!(out, "  {branch} {line}");
    }
}

fn with_component(component: &str, message: &str) -> String {
    if component.is_empty() { message.to_owned() } else { format!("{component}: {message}") }
}

/// The result of a proof, in one sentence.
pub fn proof(proof: &Proof) -> String {
    let versions = if proof.from_version == proof.to_version {
        format!("version {}", proof.to_version)
    } else {
        format!("version {} to {}", proof.from_version, proof.to_version)
    };
    let counts = [
        ("lost", proof.lost),
        ("duplicated", proof.doubled),
        ("reordered", proof.reordered),
        ("other anomalies", proof.other),
    ];
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!(
        "{} {versions}, {} s, {} messages acknowledged: {}; longest gap {:.1} s",
        mark(proof.holds()),
        proof.seconds,
        proof.acknowledged,
        counts.join(", "),
        proof.longest_gap_millis as f64 / 1000.0
    )
}

/// The state of scheduled backups.
fn backups(backup: &BackupStatus) -> Vec<String> {
    let last = backup.last_success.as_ref().map_or("none yet".to_owned(), |last| {
        let megabytes = last.bytes as f64 / 1e6;
        format!("{} {}, {} documents, {megabytes:.1} MB", last.time.0, last.name, last.documents)
    });
    let next = backup.next.as_ref().map_or("suspended".to_owned(), |next| next.0.to_string());
    let mut lines =
        vec![format!("{} {:<13} {last}", mark(!backup.overdue), "last"), format!("  {:<13} {next}", "next")];
    if !backup.message.is_empty() {
        lines.push(format!("✖ {}", backup.message));
    }
    lines
}

/// A cluster as a tree.
pub fn tree(cluster: &OpenIMCluster) -> String {
    let mut out = String::new();
    let name = format!("{} in {}", cluster.name_any(), cluster.namespace().unwrap_or_default());
    let seen = cluster.status.as_ref().filter(|status| status.observed_generation > 0);
    let Some(status) = seen else {
        return format!(
            "{name}: no operator has processed it yet; is openim-operator running and watching this namespace?\n"
        );
    };
    let ready =
        status.conditions.iter().any(|entry| entry.type_ == condition::READY && entry.status == "True");
    _ = writeln!(out, "{} {name}: {}", mark(ready), status.message);
    if Some(status.observed_generation) != cluster.metadata.generation {
        _ = writeln!(out, "  The operator has not observed the newest edit yet.");
    }
    let services: Vec<String> = status
        .components
        .iter()
        .map(|service| {
            let good = service.ready >= service.desired && service.updated >= service.desired;
            let pods = format!("{}/{}", service.ready, service.desired);
            format!("{} {:<13} {pods:<6} {}", mark(good), service.name, service.version)
        })
        .collect();
    branches(&mut out, "Services", &services);
    let servers: Vec<String> = status
        .dependencies
        .iter()
        .map(|server| {
            let whose = if server.managed { "managed" } else { "external" };
            let line =
                format!("{} {:<13} {whose}  {}", mark(server.reachable), server.name, server.problem());
            line.trim_end().to_owned()
        })
        .collect();
    branches(&mut out, "Servers", &servers);
    let changes: Vec<String> =
        status.plan.iter().map(|change| format!("{:<13} {}", change.component, change.reason)).collect();
    branches(&mut out, "Pending changes", &changes);
    let blockers: Vec<String> =
        status.blockers.iter().map(|blocker| with_component(&blocker.component, &blocker.message)).collect();
    branches(&mut out, "Blocked by", &blockers);
    if let Some(backup) = &status.backup {
        branches(&mut out, "Scheduled backups", &backups(backup));
    }
    if !status.older_templates.is_empty() {
        let names = status.older_templates.join(", ");
        _ = writeln!(out, "Older pod templates, updated with the next change: {names}");
    }
    let endpoints = [("REST", &status.endpoints.api), ("WebSocket", &status.endpoints.ws)];
    let endpoints: Vec<String> = endpoints
        .into_iter()
        .filter(|(_, url)| !url.is_empty())
        .map(|(name, url)| format!("{name:<13} {url}"))
        .collect();
    branches(&mut out, "Clients connect to", &endpoints);
    let proved: Vec<String> =
        status.proof.iter().map(|seen| format!("{}, until {}", proof(seen), seen.time.0)).collect();
    branches(&mut out, "Proved", &proved);
    out
}

/// The specs that a cluster ran with.
pub fn history(cluster: &OpenIMCluster) -> String {
    let mut out = format!("{:<11} {:<12} SINCE\n", "GENERATION", "VERSION");
    for good in cluster.status.iter().flat_map(|status| &status.history) {
        _ = writeln!(out, "{:<11} {:<12} {}", good.generation, good.version, good.since.0);
    }
    out
}

/// The spec to restore: of a generation, or the newest that differs from the current one.
///
/// # Errors
/// When there is none, or its version cannot follow the one that runs.
pub fn earlier(cluster: &OpenIMCluster, generation: Option<i64>) -> Result<(i64, OpenIMClusterSpec), String> {
    let status = cluster.status.clone().unwrap_or_default();
    for good in &status.history {
        let spec: OpenIMClusterSpec = serde_json::from_str(&good.spec)
            .map_err(|error| format!("generation {}: {error}", good.generation))?;
        if generation.map_or(spec != cluster.spec, |wanted| wanted == good.generation) {
            return match version::upgrade_problem(&status.version, &good.version) {
                Some(problem) => Err(problem),
                None => Ok((good.generation, spec)),
            };
        }
    }
    Err("no other spec found; `kubectl openim history` lists the recorded ones".into())
}

/// The services whose pods are replaced.
pub fn changes(changes: &[Change]) -> String {
    let pods: Vec<String> = changes
        .iter()
        .map(|change| format!("{:<13} pods: {:<4} {}", change.component, change.pods, change.reason))
        .collect();
    let mut out = String::new();
    branches(&mut out, "Replaced pods, one service or server after the other", &pods);
    out
}

/// What a spec would do; `applied` is what the API server would take.
pub fn preview(name: &str, plan: &Plan, applied: &Applied) -> String {
    let mut out = format!("Plan for {name}\n");
    out.push_str(&changes(&plan.changes));
    let replaced =
        |what: &String| plan.changes.iter().any(|change| what.ends_with(&format!("-{}", change.component)));
    let written: Vec<String> = applied
        .written
        .iter()
        .filter(|what| {
            !(["Deployment/", "StatefulSet/"].iter().any(|kind| what.starts_with(kind)) && replaced(what))
        })
        .cloned()
        .collect();
    branches(&mut out, "Applied immediately", &written);
    branches(&mut out, "Removed", &applied.deleted);
    let blockers: Vec<String> = plan
        .blockers
        .iter()
        .chain(&applied.refused)
        .map(|blocker| with_component(&blocker.component, &blocker.message))
        .collect();
    branches(&mut out, "Blocked by", &blockers);
    if plan.changes.is_empty() && written.is_empty() && applied.deleted.is_empty() && blockers.is_empty() {
        out.push_str("Nothing changes.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use crds::{Component, Dependency, OpenIMClusterStatus};
    use serde_json::json;

    use super::*;
    use crate::tests::object;

    #[test]
    fn a_cluster_is_a_tree() {
        let mut cluster = object("{}");
        cluster.metadata.generation = Some(3);
        assert!(tree(&cluster).contains("no operator has processed it"));
        cluster.status = Some(OpenIMClusterStatus {
            observed_generation: 2,
            message: "1 of 2 pods are ready.".into(),
            components: vec![
                Component { name: "auth".into(), desired: 1, ready: 1, updated: 1, version: "1.0.0".into() },
                Component { name: "msg".into(), desired: 1, ready: 0, updated: 1, version: "1.0.0".into() },
            ],
            dependencies: vec![Dependency {
                name: "redis".into(),
                managed: true,
                reachable: false,
                message: "down".into(),
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_eq!(
            tree(&cluster),
            "✖ chat in team: 1 of 2 pods are ready.\n  The operator has not observed the newest edit yet.\nServices\n  \
             ├─ ✔ auth          1/1    1.0.0\n  └─ ✖ msg           0/1    1.0.0\nServers\n  └─ ✖ redis         managed  down\n"
        );
    }

    #[test]
    fn scheduled_backups_are_a_branch() {
        let mut cluster = object("{}");
        let said = |cluster: &mut OpenIMCluster, backup: serde_json::Value| {
            let backup = serde_json::from_value(backup).unwrap();
            cluster.status = Some(OpenIMClusterStatus {
                observed_generation: 1,
                backup: Some(backup),
                ..Default::default()
            });
            tree(cluster)
        };
        let last =
            json!({ "time": "2026-11-30T03:00:00Z", "name": "b1", "documents": 3, "bytes": 1_200_000 });
        let good = said(&mut cluster, json!({ "lastSuccess": last, "next": "2026-12-01T03:00:00Z" }));
        assert!(good.contains("├─ ✔ last          2026-11-30T03:00:00Z b1, 3 documents, 1.2 MB"), "{good}");
        assert!(good.contains("└─   next          2026-12-01T03:00:00Z"), "{good}");
        let bad = said(&mut cluster, json!({ "overdue": true, "message": "Job x failed" }));
        assert!(bad.contains("✖ last          none yet") && bad.contains("next          suspended"), "{bad}");
        assert!(bad.contains("└─ ✖ Job x failed"), "{bad}");
    }

    #[test]
    fn the_way_back_is_the_newest_spec_that_ran_and_may_follow() {
        let mut cluster = object("version: 1.1.0");
        assert!(earlier(&cluster, None).unwrap_err().contains("no other spec"));
        let good = |generation: i64, version: &str| crds::GoodSpec {
            generation,
            version: version.into(),
            since: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            spec: serde_json::to_string(&object(&format!("version: {version}")).spec).unwrap(),
        };
        cluster.status = Some(OpenIMClusterStatus {
            version: "1.1.0".into(),
            history: vec![good(7, "1.1.0"), good(5, "1.1.1"), good(2, "1.0.0")],
            ..Default::default()
        });
        let (generation, spec) = earlier(&cluster, None).unwrap();
        assert_eq!((generation, spec.version.as_str()), (5, "1.1.1"));
        assert!(earlier(&cluster, Some(2)).unwrap_err().contains("is a downgrade"));
        assert!(earlier(&cluster, Some(3)).unwrap_err().contains("no other spec"));
        assert_eq!(history(&cluster).lines().count(), 4);
    }

    #[test]
    fn a_preview_says_what_is_replaced_and_what_is_only_written() {
        let change = Change { component: "auth".into(), reason: "configuration".into(), pods: 2 };
        let plan = Plan { changes: vec![change], ..Default::default() };
        let applied = Applied {
            written: vec!["Deployment/chat-auth".into(), "ConfigMap/chat-config".into()],
            deleted: vec!["Ingress/chat".into()],
            ..Default::default()
        };
        let said = preview("chat", &plan, &applied);
        assert!(said.contains("auth          pods: 2    configuration"), "{said}");
        assert!(
            said.contains("└─ ConfigMap/chat-config") && !said.contains("Deployment/chat-auth"),
            "{said}"
        );
        assert!(said.contains("Removed\n  └─ Ingress/chat"), "{said}");
        assert_eq!(
            preview("chat", &Plan::default(), &Applied::default()),
            "Plan for chat\nNothing changes.\n"
        );
    }
}

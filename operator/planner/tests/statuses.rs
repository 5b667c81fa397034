//! What tools of others read of a cluster's status. The objects are written to a file, which e2e/tools/gitops gives to these tools' own code.
//! `GOLDEN=write` writes it anew.

use std::collections::BTreeMap;

use crds::{BackupStatus, Change, OpenIMCluster, OpenIMClusterStatus, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use planner::{
    model::{
        assessment::Assessment,
        cluster::Cluster,
        observed::Observed,
        plan::{Blocker, Gate, Plan},
        workload::Rollout,
    },
    plan::plan,
    status,
    validate::validate,
};
use serde_json::{Value, json};
use topology::Service;

fn object() -> OpenIMCluster {
    let mut object = OpenIMCluster::new("chat", Default::default());
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("0000-1111".into());
    object.metadata.generation = Some(3);
    object
}

/// All services run.
fn all_done(cluster: &Cluster) -> Observed {
    let done = Rollout { current: true, desired: 1, ready: 1, updated: 1, total: 1, ..Default::default() };
    let deployments = Service::ALL.iter().map(|service| (cluster.part(service), done.clone())).collect();
    Observed { deployments, ..Default::default() }
}

/// Something waits for a reason.
fn held(reason: Reason) -> Plan {
    Plan {
        changes: vec![Change { component: "msg".into(), ..Default::default() }],
        blockers: vec![Blocker { component: "msg".into(), reason, message: "it is so".into() }],
        ..Default::default()
    }
}

fn statuses() -> BTreeMap<&'static str, Value> {
    let cluster = validate(&object()).expect("a good object");
    let before = OpenIMClusterStatus::default();
    let now = Timestamp::UNIX_EPOCH;
    let of = |observed: &Observed, plan: &Plan, written: bool| {
        let plan = Plan { assessment: Assessment::of(&cluster, observed), ..plan.clone() };
        json!(status::of(&cluster, observed, &plan, written, &before, now))
    };
    let nothing = Observed { now, ..Default::default() };
    let done = all_done(&cluster);
    let gate = Gate { reason: Reason::DependencyNotReady, message: "kafka does not answer".into() };
    let all_run = of(&done, &Plan::default(), false);
    let mut edited_since = all_run.clone();
    edited_since["observedGeneration"] = json!(2);
    // Everything runs, and since the last backup two were due.
    let spec = "backup: {objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}, schedule: '30 2 * * *'}";
    let mut scheduled = object();
    scheduled.spec = serde_yaml_ng::from_str(spec).expect("a spec");
    let with_backups = validate(&scheduled).expect("a good object");
    let since = BackupStatus {
        schedule: "30 2 * * * Etc/UTC".into(),
        since: Some(Time(now - SignedDuration::from_hours(72))),
        ..Default::default()
    };
    let run = Plan { assessment: Assessment::of(&with_backups, &done), ..Default::default() };
    let unsaved = OpenIMClusterStatus { backup: Some(since), ..Default::default() };
    let overdue = json!(status::of(&with_backups, &done, &run, false, &unsaved, now));
    let taken = Plan { changes: vec![], ..held(Reason::HostTaken) };
    [
        // As the definition has it.
        ("new", json!({"observedGeneration": 0})),
        ("begun", of(&nothing, &plan(&cluster, &nothing), true)),
        ("waits for a server", of(&done, &Plan { gate: Some(gate), ..Default::default() }, false)),
        ("rolls out", of(&done, &held(Reason::RollingOut), false)),
        ("waits for consumers", of(&done, &held(Reason::ConsumerLag), false)),
        ("all run", all_run),
        ("edited since", edited_since),
        ("backups are overdue", overdue),
        ("paused", of(&done, &held(Reason::Paused), false)),
        ("awaits approval", of(&done, &held(Reason::AwaitingApproval), false)),
        ("outside its window", of(&done, &held(Reason::OutsideWindow), false)),
        ("a rollout failed", of(&done, &held(Reason::RolloutFailed), false)),
        ("its host is taken", of(&done, &taken, false)),
        (
            "its spec is wrong",
            json!(status::invalid(3, Reason::InvalidSpec, "spec.kafka: set either", &before, now)),
        ),
    ]
    .into()
}

#[test]
fn the_statuses_that_tools_of_others_are_tested_with_are_those_of_this_operator() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/statuses.json");
    let objects: BTreeMap<&str, Value> = statuses()
        .into_iter()
        .map(|(name, status)| {
            let mut object = json!(object());
            object["status"] = status;
            (name, object)
        })
        .collect();
    let text = format!("{}\n", serde_json::to_string_pretty(&objects).expect("JSON"));
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(path, &text).expect("the file is written");
    }
    let written = std::fs::read_to_string(path).expect("GOLDEN=write makes it");
    assert!(
        written == text,
        "{path} is stale: run this test with GOLDEN=write, then `go test` in e2e/tools/gitops"
    );
}

//! A new operator alone restarts nothing: the revisions of the services and the templates of the servers, for specs that exist, are what
//! operators before made of them. There is a file for each revision of the templates (operator/planner/src/render/template.rs); a cluster whose pods
//! have one keeps exactly that. A difference here restarts the pods of everybody who installs the next operator: put it behind a new revision.
//! `GOLDEN=write cargo test -p openim-planner --test golden` writes the file of a revision that is not there yet, or is not released.

use std::collections::BTreeMap;

use crds::{OpenIMCluster, OpenIMClusterSpec};
use kube_core::ResourceExt;
use planner::{
    credentials,
    model::{
        asked::{self, Asked},
        cluster::{Backing, Cluster},
        names::{BUILT_BY, REVISION},
        observed::Observed,
        secret::{FIRST, SECOND, key},
        workload::Rollout,
    },
    plan::plan,
    render::template::{NEWEST, TEMPLATE},
    servers,
    validate::validate,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use topology::Service;

fn file(revision: u32) -> String {
    format!("{}/tests/golden/pods-{revision}.json", env!("CARGO_MANIFEST_DIR"))
}

type Pods = BTreeMap<String, String>;

fn golden(revision: u32) -> BTreeMap<String, Pods> {
    let text = std::fs::read_to_string(file(revision)).expect("GOLDEN=write makes it");
    serde_json::from_str(&text).expect("pods by spec")
}

/// Specs that exist.
const SPECS: [(&str, &str); 3] = [
    ("empty", "version: 1.0.0"),
    (
        "rich",
        r"
version: 1.2.3
image: {repository: registry.example.org/chat, pullPolicy: Always}
services:
  gateway: {replicas: 3, resources: {cpuRequest: 200m, memoryRequest: 128Mi, memoryLimit: 2Gi}, env: {RUST_BACKTRACE: '1'}}
  msg: {autoscaling: {minReplicas: 2, maxReplicas: 9}}
mongodb: {managed: {members: 3, storage: 20Gi}}
redis: {managed: {storage: 2Gi, image: 'mirror/redis:8'}}
kafka: {managed: {brokers: 3, storage: 20Gi, storageClass: fast}}
ingress: {host: chat.example.org, tlsSecretName: tls}
config: {multiLoginPolicy: 4, kafkaPartitions: 16, gatewayDrainSeconds: 30, notifications: {groupCreated: {isSendMsg: false}}}
objectStorage: {endpoint: 'http://s3:9000', bucket: files, secretName: s3}
webhooks: {url: 'https://example.org/hook', hooks: {beforeSendSingleMsg: {}}, signingSecretName: sign}
offlinePush: {secretName: push}
pods: {nodeSelector: {pool: chat}, priorityClassName: high, tolerations: [{key: chat, operator: Exists}], spread: Required, annotations: {team: chat}}
rollout: {soakSeconds: 10, onFailure: Stop}
",
    ),
    (
        "external",
        r"
version: 1.0.0
mongodb: {external: {secretName: mongo}}
redis: {external: {address: 'redis:6379', secretName: redis}}
kafka: {external: {address: ['kafka-0:9092', 'kafka-1:9092'], secretName: kafka, replicationFactor: 3}}
",
    ),
];

fn secrets() -> BTreeMap<String, BTreeMap<String, String>> {
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), format!("the {name}"))).collect();
    [
        ("mongo", of(&["uri"])),
        ("redis", of(&["password"])),
        ("kafka", of(&["username", "password"])),
        ("s3", of(&["accessKeyID", "secretAccessKey"])),
        ("sign", of(&["secret"])),
        ("push", of(&["push.yaml"])),
    ]
    .map(|(name, data)| (name.to_owned(), data))
    .into()
}

fn cluster_of(spec: &str) -> Cluster {
    let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).expect("a spec");
    let mut object = OpenIMCluster::new("chat", spec);
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("0000-1111".into());
    validate(&object).expect("a valid spec")
}

/// What is there of a cluster that was never rolled out.
fn observed(cluster: &Cluster) -> Observed {
    let known = [FIRST, SECOND].into_iter().flat_map(|account| account.passwords());
    let known = known.filter(|name| !name.ends_with("-b"));
    let known = known.chain([key::SECRET, key::MONGO_KEYFILE, key::KAFKA_CLUSTER_ID]);
    let known = known.map(|name| (name.to_owned(), format!("generated {name}"))).collect();
    Observed {
        credentials: credentials::complete(cluster, known),
        external: secrets(),
        operator_namespace: "openim-system".into(),
        ..Default::default()
    }
}

/// The templates of Deployments and StatefulSets by name.
fn templates(cluster: &Cluster, observed: &Observed) -> BTreeMap<String, Value> {
    plan(cluster, observed)
        .objects()
        .filter(|object| {
            let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
            ["Deployment", "StatefulSet"].contains(&kind)
        })
        .map(|object| (object.name_any(), object.data["spec"]["template"].clone()))
        .collect()
}

/// By Deployment its revision, by StatefulSet the hash of its template.
fn pods(cluster: &Cluster, observed: &Observed) -> Pods {
    let said = |template: Value| {
        let revision = template["metadata"]["annotations"]["openim.io/revision"].as_str().map(str::to_owned);
        revision.unwrap_or_else(|| hex::encode(Sha256::digest(template.to_string()))[..10].to_owned())
    };
    templates(cluster, observed).into_iter().map(|(name, template)| (name, said(template))).collect()
}

/// The same cluster when everything runs with templates of a revision, as an operator of the time made them.
fn running(cluster: &Cluster, revision: u32, pods: &Pods) -> Observed {
    let mut observed = observed(cluster);
    let live = Rollout {
        current: true,
        settled: true,
        desired: 1,
        ready: 1,
        updated: 1,
        total: 1,
        ..Default::default()
    };
    for service in Service::ALL {
        let name = cluster.part(service);
        let mut live = live.clone();
        let annotations = [
            (REVISION.to_owned(), pods[&name].clone()),
            (TEMPLATE.to_owned(), revision.to_string()),
            // By the same program, so that it is rendered and not kept as it is.
            (BUILT_BY.to_owned(), planner::model::names::VERSION.to_owned()),
        ];
        live.template.metadata.get_or_insert_default().annotations = Some(annotations.into());
        observed.deployments.insert(name, live);
    }
    let has_brokers = matches!(&cluster.kafka, Backing::Managed(managed) if managed.brokers > 1);
    for (server, asked) in servers::all_asked(cluster, &observed) {
        let asked = Some(Asked { template: revision, ..asked });
        let live = Rollout { asked, parallel: has_brokers, ..live.clone() };
        observed.stateful_sets.insert(cluster.part(server), live);
    }
    observed
}

#[test]
fn a_new_operator_alone_restarts_nothing() {
    let newest: BTreeMap<String, Pods> = SPECS
        .map(|(name, spec)| {
            let cluster = cluster_of(spec);
            (name.to_owned(), pods(&cluster, &observed(&cluster)))
        })
        .into();
    assert!(newest["empty"].len() >= 15 && newest["external"].len() == 12, "{newest:?}");
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(file(NEWEST), format!("{}\n", serde_json::to_string_pretty(&newest).unwrap()))
            .unwrap();
    }
    assert_eq!(newest, golden(NEWEST), "new clusters are made of this");
    for revision in asked::FIRST..=NEWEST {
        let golden = golden(revision);
        for (name, spec) in SPECS {
            let cluster = cluster_of(spec);
            let observed = running(&cluster, revision, &golden[name]);
            assert_eq!(pods(&cluster, &observed), golden[name], "pods of revision {revision}, spec {name:?}");
            assert!(plan(&cluster, &observed).changes.is_empty(), "revision {revision}, spec {name:?}");
        }
    }
}

#[test]
fn a_console_restarts_nothing_else() {
    for revision in asked::FIRST..=NEWEST {
        let golden = golden(revision);
        for (name, spec) in SPECS {
            let mut cluster = cluster_of(spec);
            let observed = running(&cluster, revision, &golden[name]);
            cluster.spec.console = Some(crds::Console::default());
            let mut found = pods(&cluster, &observed);
            assert!(found.remove("chat-console").is_some(), "spec {name:?}");
            assert_eq!(found, golden[name], "pods of revision {revision}, spec {name:?}");
            assert!(plan(&cluster, &observed).changes.is_empty(), "revision {revision}, spec {name:?}");
        }
    }
}

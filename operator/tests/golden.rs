//! A new operator alone restarts nothing: the revisions of the services and the templates of the servers, for specs that exist, are what
//! operators before made of them. A difference here restarts the pods of everybody who installs the next operator. Avoid it (a new field of the
//! spec that is left out is not written: `skip_serializing_if`); where it must be, say so in the release notes and write the file anew with
//! `GOLDEN=write cargo test -p operator --test golden`.

use std::collections::BTreeMap;

use crds::{OpenIMCluster, OpenIMClusterSpec};
use kube::ResourceExt;
use operator::{
    credentials::{self, FIRST, key},
    plan::{Observed, plan},
    validate::validate,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pods.json");

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

/// By Deployment its revision, by StatefulSet the hash of its template.
fn pods(spec: &str) -> BTreeMap<String, String> {
    let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).expect("a spec");
    let mut object = OpenIMCluster::new("chat", spec);
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("0000-1111".into());
    let cluster = validate(&object).expect("a valid spec");
    let known = [
        key::SECRET,
        FIRST.mongo_password,
        key::MONGO_KEYFILE,
        FIRST.redis_password,
        FIRST.kafka_password,
        key::KAFKA_CLUSTER_ID,
    ];
    let known = known.into_iter().map(|name| (name.to_owned(), format!("generated {name}"))).collect();
    let observed = Observed {
        credentials: credentials::complete(&cluster, known),
        external: secrets(),
        operator_namespace: "openim-system".into(),
        ..Default::default()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    plan(&cluster, &observed)
        .objects()
        .filter_map(|object| {
            let template = &object.data["spec"]["template"];
            let said = match object.types.as_ref()?.kind.as_str() {
                "Deployment" => text(&template["metadata"]["annotations"]["openim.io/revision"]),
                "StatefulSet" => hex::encode(Sha256::digest(template.to_string()))[..10].to_owned(),
                _ => return None,
            };
            Some((object.name_any(), said))
        })
        .collect()
}

#[test]
fn a_new_operator_alone_restarts_nothing() {
    let made: BTreeMap<&str, BTreeMap<String, String>> = SPECS.map(|(name, spec)| (name, pods(spec))).into();
    assert!(made["empty"].len() >= 15 && made["external"].len() == 12, "{made:?}");
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(FILE, format!("{}\n", serde_json::to_string_pretty(&made).unwrap())).unwrap();
    }
    let golden: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    for (name, pods) in made {
        assert_eq!(pods, golden[name], "pods of the spec {name:?} would be restarted");
    }
}

//! The managed servers: a StatefulSet of one and a headless Service each. Credentials come from the generated Secret by reference or
//! as files, never as arguments.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec},
        core::v1::{
            Container, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec,
            SecretVolumeSource, Service, ServicePort, ServiceSpec, Volume, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube::api::DynamicObject;

use super::{
    dynamic,
    labels::{metadata, pod_labels, pod_selector},
    pods::{
        container_security, empty_dir, from_secret, mount, pod_security, port, resources, tcp_probe, value,
    },
};
use crate::{
    credentials::{USER, key, member_host},
    plan::Observed,
    validate::{Backing, Cluster},
};
use crds::{Managed, VolumePolicy};

const MONGODB_IMAGE: &str = "docker.io/library/mongo:8";
const REDIS_IMAGE: &str = "docker.io/library/redis:8";
const KAFKA_IMAGE: &str = "docker.io/apache/kafka:4.1.1";
const MONGODB_USER: i64 = 999;
const REDIS_USER: i64 = 999;
const KAFKA_USER: i64 = 1000;

/// All objects of the managed servers.
pub fn objects(cluster: &Cluster, observed: &Observed) -> Vec<DynamicObject> {
    let mut objects = Vec::new();
    if let Backing::Managed(managed) = &cluster.mongodb {
        objects.push(dynamic(&headless(cluster, "mongodb", 27017)));
        // The helper's image stays what it was: an upgrade of the services must not restart the database.
        let live = observed.stateful_sets.get(&cluster.part("mongodb"));
        let helper = live.map(|set| set.init_image.as_str()).filter(|image| !image.is_empty());
        objects.push(dynamic(&mongodb(cluster, managed, helper.unwrap_or(&cluster.image))));
    }
    if let Backing::Managed(managed) = &cluster.redis {
        objects.push(dynamic(&headless(cluster, "redis", 6379)));
        objects.push(dynamic(&redis(cluster, managed)));
    }
    if let Backing::Managed(managed) = &cluster.kafka {
        objects.push(dynamic(&headless(cluster, "kafka", 9092)));
        objects.push(dynamic(&kafka(cluster, managed)));
    }
    objects
}

fn or_default(image: &str, default: &str) -> String {
    if image.is_empty() { default.to_owned() } else { image.to_owned() }
}

fn headless(cluster: &Cluster, server: &str, number: i32) -> Service {
    let port = ServicePort {
        name: Some(server.into()),
        port: number,
        target_port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".into()),
        ..Default::default()
    };
    Service {
        metadata: metadata(cluster, &cluster.part(server), server),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            selector: Some(pod_labels(cluster, server)),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![port]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn stateful_set(
    cluster: &Cluster,
    server: &str,
    user: i64,
    container: Container,
    init: Option<Container>,
    volumes: Vec<Volume>,
    managed: &Managed,
) -> StatefulSet {
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(pod_labels(cluster, server)),
            ..Default::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: (!managed.storage_class.is_empty()).then(|| managed.storage_class.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(managed.storage.clone()))])),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let when_deleted = match cluster.spec.volumes {
        VolumePolicy::Retain => "Retain",
        VolumePolicy::Delete => "Delete",
    };
    StatefulSet {
        metadata: metadata(cluster, &cluster.part(server), server),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(cluster.part(server)),
            selector: pod_selector(cluster, server),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(when_deleted.into()),
                when_scaled: Some("Retain".into()),
            }),
            volume_claim_templates: Some(vec![claim]),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(cluster, server)),
                    ..Default::default()
                }),
                spec: Some(PodSpec {
                    init_containers: init.map(|init| vec![init]),
                    containers: vec![container],
                    volumes: Some(volumes),
                    security_context: Some(pod_security(user)),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    termination_grace_period_seconds: Some(60),
                    ..Default::default()
                }),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A volume with one key of the generated Secret.
fn secret_file(cluster: &Cluster, name: &str, item: &str) -> Volume {
    let items = vec![KeyToPath { key: item.into(), path: item.into(), ..Default::default() }];
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(cluster.credentials()),
            items: Some(items),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn server(name: &str, image: String, number: u16) -> Container {
    Container {
        name: name.into(),
        image: Some(image),
        image_pull_policy: Some("IfNotPresent".into()),
        ports: Some(vec![port(name, number)]),
        readiness_probe: Some(tcp_probe(number, 3, 3)),
        liveness_probe: Some(tcp_probe(number, 10, 12)),
        security_context: Some(container_security()),
        ..Default::default()
    }
}

fn mongodb(cluster: &Cluster, managed: &Managed, helper_image: &str) -> StatefulSet {
    let words = [
        "mongod",
        "--bind_ip_all",
        "--dbpath",
        "/data/db",
        "--replSet",
        "rs0",
        "--keyFile",
        "/keys/mongo-keyfile",
    ];
    let mut container = server("mongodb", or_default(&managed.image, MONGODB_IMAGE), 27017);
    container.args = Some(words.into_iter().map(str::to_owned).collect());
    container.env = Some(vec![
        value("MONGO_INITDB_ROOT_USERNAME", USER),
        from_secret("MONGO_INITDB_ROOT_PASSWORD", &cluster.credentials(), key::MONGO_PASSWORD),
    ]);
    container.resources = Some(resources("100m", "256Mi", "2Gi"));
    container.volume_mounts = Some(vec![
        mount("data", "/data/db", false),
        mount("keys", "/keys", true),
        mount("tmp", "/tmp", false),
    ]);
    // mongod wants a key file that only its own user can read; a mounted Secret cannot be that.
    let init = Container {
        name: "key-file".into(),
        image: Some(helper_image.to_owned()),
        image_pull_policy: Some(cluster.spec.image.pull_policy.as_str().into()),
        args: Some(
            ["copy-key", "/secret/mongo-keyfile", "/keys/mongo-keyfile"]
                .into_iter()
                .map(str::to_owned)
                .collect(),
        ),
        volume_mounts: Some(vec![mount("secret", "/secret", true), mount("keys", "/keys", false)]),
        security_context: Some(container_security()),
        resources: Some(resources("10m", "16Mi", "64Mi")),
        ..Default::default()
    };
    let volumes =
        vec![secret_file(cluster, "secret", key::MONGO_KEYFILE), empty_dir("keys"), empty_dir("tmp")];
    stateful_set(cluster, "mongodb", MONGODB_USER, container, Some(init), volumes, managed)
}

fn redis(cluster: &Cluster, managed: &Managed) -> StatefulSet {
    let mut container = server("redis", or_default(&managed.image, REDIS_IMAGE), 6379);
    container.command = Some(vec!["redis-server".into(), "/etc/redis/redis.conf".into()]);
    container.resources = Some(resources("50m", "32Mi", "1Gi"));
    container.volume_mounts = Some(vec![
        mount("config", "/etc/redis", true),
        mount("data", "/data", false),
        mount("tmp", "/tmp", false),
    ]);
    let volumes = vec![secret_file(cluster, "config", key::REDIS_CONF), empty_dir("tmp")];
    stateful_set(cluster, "redis", REDIS_USER, container, None, volumes, managed)
}

fn kafka(cluster: &Cluster, managed: &Managed) -> StatefulSet {
    let advertised = format!("CLIENT://{}:9092", member_host(cluster, "kafka"));
    let mut container = server("kafka", or_default(&managed.image, KAFKA_IMAGE), 9092);
    container.env = Some(vec![
        value("KAFKA_NODE_ID", "1"),
        value("KAFKA_PROCESS_ROLES", "broker,controller"),
        value("KAFKA_LISTENERS", "CLIENT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"),
        value("KAFKA_ADVERTISED_LISTENERS", &advertised),
        value("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        value("KAFKA_INTER_BROKER_LISTENER_NAME", "CLIENT"),
        value("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        value("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@127.0.0.1:9093"),
        value("KAFKA_SASL_ENABLED_MECHANISMS", "PLAIN"),
        value("KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL", "PLAIN"),
        from_secret(
            "KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG",
            &cluster.credentials(),
            key::KAFKA_JAAS,
        ),
        value("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        value("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "10"),
        value("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        value("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        value("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        value("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        value("KAFKA_MESSAGE_MAX_BYTES", "8388608"),
        value("KAFKA_LOG_DIRS", "/var/lib/kafka/data/logs"),
        value("KAFKA_HEAP_OPTS", "-Xmx384m -Xms256m"),
        from_secret("CLUSTER_ID", &cluster.credentials(), key::KAFKA_CLUSTER_ID),
    ]);
    container.resources = Some(resources("200m", "512Mi", "2Gi"));
    container.volume_mounts = Some(vec![
        mount("data", "/var/lib/kafka/data", false),
        mount("tmp", "/tmp", false),
        mount("config", "/opt/kafka/config", false),
        mount("logs", "/opt/kafka/logs", false),
    ]);
    let volumes = vec![empty_dir("tmp"), empty_dir("config"), empty_dir("logs")];
    stateful_set(cluster, "kafka", KAFKA_USER, container, None, volumes, managed)
}

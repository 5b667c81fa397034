//! The managed servers: a StatefulSet of one or three pods and a headless Service each. Credentials come from the generated Secret by
//! reference or as files, never as arguments.

use std::collections::BTreeMap;

use crds::{Dependency, Managed, ManagedKafka, ManagedRedis, VolumePolicy};
use k8s_openapi::{
    api::{
        apps::v1::{
            RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy,
            StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            Container, EnvVar, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec,
            PodSecurityContext, PodSpec, PodTemplateSpec, SecretVolumeSource, Service, ServicePort,
            ServiceSpec, Volume, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube_core::DynamicObject;
use topology::Server;

use crate::{
    accounts,
    connections::{brokers, redis_hosts},
    credentials::mongodb_pods,
    model::{
        asked::Asked,
        certificates::mark_of,
        cluster::{Backing, Cluster, member_host},
        names::{ASKED, CERTIFICATE, SENTINEL},
        observed::Observed,
        pod_template,
        quantity::amount,
        secret::{Account, FIRST, SECOND, TLS_DIR, key, servers_speak_tls},
        workload::Rollout,
    },
    render::{
        availability::{budget, spread},
        dynamic,
        labels::{metadata, pod_labels, pod_selector},
        pods::{
            SERVER_DISK, bounded, container_security, empty_dir, from_field, from_secret, mount, placed,
            pod_security, port, resources, tcp_probe, value,
        },
        template,
    },
};

/// Annotation of the pod templates of servers: names the passwords that they take, once these were changed.
const PASSWORDS: &str = "openim.io/passwords";
/// Probes, ten seconds apart, until a server that does not listen is restarted.
const STARTS_WITHIN: i32 = 360;
const MONGODB_USER: i64 = 999;
const REDIS_USER: i64 = 999;
const KAFKA_USER: i64 = 1000;

/// All objects of the managed servers, with pod settings from `made_of`.
pub fn objects(
    cluster: &Cluster,
    observed: &Observed,
    made_of: &BTreeMap<Server, Asked>,
) -> Vec<DynamicObject> {
    let mut objects = Vec::new();
    if let (Backing::Managed(managed), Some(asked)) = (&cluster.mongodb, made_of.get(&Server::MongoDb)) {
        objects.push(dynamic(&headless(cluster, Server::MongoDb)));
        let members = mongodb_pods(cluster, observed);
        if members > 1 {
            objects.push(dynamic(&budget(cluster, Server::MongoDb)));
        }
        let mut set = mongodb(cluster, &managed.server, asked, observed);
        as_set(cluster, &mut set, Server::MongoDb, members, asked, observed);
        encrypt(cluster, &mut set, asked);
        objects.push(dynamic(&set));
    }
    if let (Backing::Managed(managed), Some(asked)) = (&cluster.redis, made_of.get(&Server::Redis)) {
        objects.push(dynamic(&headless(cluster, Server::Redis)));
        let hosts = redis_hosts(cluster, &observed.stateful_sets);
        if hosts.len() > 1 {
            objects.push(dynamic(&budget(cluster, Server::Redis)));
        }
        let mut set = redis(cluster, managed, asked, &hosts, observed);
        mark_passwords(&mut set, Server::Redis, observed);
        encrypt(cluster, &mut set, asked);
        objects.push(dynamic(&set));
    }
    if let (Backing::Managed(managed), Some(asked)) = (&cluster.kafka, made_of.get(&Server::Kafka)) {
        objects.push(dynamic(&headless(cluster, Server::Kafka)));
        let brokers = brokers(cluster, &observed.stateful_sets);
        if brokers > 1 {
            objects.push(dynamic(&budget(cluster, Server::Kafka)));
        }
        let mut set = kafka(cluster, managed, asked, brokers, observed);
        mark_passwords(&mut set, Server::Kafka, observed);
        encrypt(cluster, &mut set, asked);
        objects.push(dynamic(&set));
    }
    objects
}

/// The helper's image stays the same until something else about the server changes: an upgrade of the services must not restart the servers, and
/// the image of the first day may be gone from its registry.
fn helper(
    cluster: &Cluster,
    server: Server,
    observed: &Observed,
    asked: &Asked,
    words: Vec<String>,
) -> Container {
    let is_kept = |set: &&Rollout| set.asked.as_ref().is_none_or(|had| had == asked);
    let live = observed.stateful_set(cluster, server).filter(is_kept);
    let image = live.map(|set| set.init_image.as_str()).filter(|image| !image.is_empty());
    Container {
        image: Some(image.unwrap_or_else(|| running_image(cluster, observed)).to_owned()),
        image_pull_policy: Some(cluster.spec.image.pull_policy.as_str().into()),
        args: Some(words),
        security_context: Some(container_security()),
        resources: Some(bounded(resources("10m", "16Mi", "64Mi"), asked.template, SERVER_DISK)),
        ..Default::default()
    }
}

/// The image that services run now, which is known to start; the one that is asked for where none runs yet.
fn running_image<'a>(cluster: &'a Cluster, observed: &'a Observed) -> &'a str {
    let of = |service: topology::Service| {
        let live = observed.deployment(cluster, service).filter(|live| live.is_done() && live.ready > 0)?;
        Some(pod_template::image(&live.template)).filter(|image| !image.is_empty())
    };
    topology::Service::ALL.into_iter().find_map(of).unwrap_or(&cluster.image)
}

fn headless(cluster: &Cluster, server: Server) -> Service {
    let number = i32::from(server.port());
    let port = ServicePort {
        name: Some(server.to_string()),
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

/// The settings of a managed server's pods.
struct Parts<'a> {
    server: Server,
    user: i64,
    container: Container,
    init: Option<Container>,
    volumes: Vec<Volume>,
    managed: &'a Managed,
    asked: &'a Asked,
}

fn stateful_set(cluster: &Cluster, parts: Parts<'_>, observed: &Observed) -> StatefulSet {
    let live = observed.stateful_set(cluster, parts.server).and_then(|live| live.claims.clone());
    let Parts { server, user, container, init, volumes, managed, asked } = parts;
    let mut metadata = metadata(cluster, &cluster.part(server), server);
    if let Ok(text) = serde_json::to_string(asked) {
        metadata.annotations.get_or_insert_default().insert(ASKED.to_owned(), text);
    }
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
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(cluster.part(server)),
            selector: pod_selector(cluster, server),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(when_deleted.into()),
                when_scaled: Some("Retain".into()),
            }),
            volume_claim_templates: Some(live.unwrap_or_else(|| vec![claim])),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(cluster, server)),
                    annotations: (!asked.pods.annotations.is_empty()).then(|| asked.pods.annotations.clone()),
                    ..Default::default()
                }),
                spec: Some(PodSpec {
                    init_containers: init.map(|init| vec![init]),
                    containers: vec![container],
                    volumes: Some(volumes),
                    security_context: Some(PodSecurityContext {
                        fs_group_change_policy: (asked.template >= template::KEPT_OWNERS)
                            .then(|| "OnRootMismatch".into()),
                        ..pod_security(user, &asked.pods)
                    }),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    termination_grace_period_seconds: Some(60),
                    ..placed(&asked.pods)
                }),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A volume with keys of the generated Secret, each under a name of its own.
fn secret_files(cluster: &Cluster, name: &str, files: &[(&str, &str)]) -> Volume {
    let item = |(key, path): &(&str, &str)| KeyToPath {
        key: (*key).into(),
        path: (*path).into(),
        ..Default::default()
    };
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(cluster.credentials()),
            items: Some(files.iter().map(item).collect()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A volume with one key of the generated Secret.
fn secret_file(cluster: &Cluster, name: &str, item: &str) -> Volume {
    secret_files(cluster, name, &[(item, item)])
}

/// Identifies the passwords that a server reads at start. The initial ones have no name, so that existing servers need no restart.
fn passwords(server: Server, credentials: &BTreeMap<String, String>) -> Option<String> {
    let used = Account::in_use(credentials);
    let changed = *used != FIRST || used.other().exists(credentials);
    let read = match server {
        Server::Redis => accounts::without_redis_lines(credentials.get(key::REDIS_CONF)?),
        Server::Kafka => accounts::without_kafka_users(credentials.get(key::KAFKA_JAAS)?),
        // Its users are made by request, while it runs.
        Server::MongoDb => return None,
    };
    changed.then(|| mark_of(&read))
}

/// Names a text in an annotation.
fn annotate(template: &mut PodTemplateSpec, name: &str, value: String) {
    let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
    annotations.insert(name.to_owned(), value);
}

/// New pods when they are to take other passwords.
fn mark_passwords(set: &mut StatefulSet, server: Server, observed: &Observed) {
    if let (Some(spec), Some(mark)) = (&mut set.spec, passwords(server, &observed.credentials)) {
        annotate(&mut spec.template, PASSWORDS, mark);
    }
}

/// Whether all pods of the managed servers use the current Secret, and all servers are healthy.
pub(crate) fn take_passwords(cluster: &Cluster, observed: &Observed) -> bool {
    let made = |server: Server| {
        observed
            .stateful_set(cluster, server)
            .filter(|live| live.current && live.settled && live.ready >= live.desired && live.desired > 0)
    };
    let takes = |server: Server| {
        made(server).is_some_and(|live| {
            let annotations = live.template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref());
            let mark = annotations.and_then(|annotations| annotations.get(PASSWORDS));
            mark == passwords(server, &observed.credentials).as_ref()
        })
    };
    let well =
        !observed.dependencies.is_empty() && observed.dependencies.iter().all(Dependency::has_all_copies);
    well && (!cluster.mongodb.is_managed() || made(Server::MongoDb).is_some())
        && (!cluster.redis.is_managed() || takes(Server::Redis))
        && (!cluster.kafka.is_managed() || takes(Server::Kafka))
}

/// Gives all containers of a server the certificate, and new pods when it is renewed.
fn encrypt(cluster: &Cluster, set: &mut StatefulSet, asked: &Asked) {
    if asked.certificate.is_empty() {
        return;
    }
    let Some(template) = set.spec.as_mut().map(|spec| &mut spec.template) else { return };
    annotate(template, CERTIFICATE, asked.certificate.clone());
    let Some(pod) = &mut template.spec else { return };
    let files = [
        (key::SERVERS_CERTIFICATE, "server.crt"),
        (key::SERVERS_KEY, "server.key"),
        (key::SERVERS_PEM, "server.pem"),
        (key::AUTHORITY, "ca.crt"),
    ];
    pod.volumes.get_or_insert_default().push(secret_files(cluster, "tls", &files));
    for container in pod.containers.iter_mut().chain(pod.init_containers.iter_mut().flatten()) {
        container.volume_mounts.get_or_insert_default().push(mount("tls", TLS_DIR, true));
    }
}

fn server(name: &str, asked: &Asked, number: u16) -> Container {
    let limits = &asked.resources;
    Container {
        name: name.into(),
        image: Some(asked.image.clone()),
        resources: Some(bounded(
            resources(&limits.cpu_request, &limits.memory_request, &limits.memory_limit),
            asked.template,
            SERVER_DISK,
        )),
        image_pull_policy: Some("IfNotPresent".into()),
        ports: Some(vec![port(name, number)]),
        // Recovery after a crash takes as long as the data requires, and starts again if it is killed.
        startup_probe: (asked.template >= template::OWN_SECRETS)
            .then(|| tcp_probe(number, 10, STARTS_WITHIN)),
        readiness_probe: Some(tcp_probe(number, 3, 3)),
        liveness_probe: Some(tcp_probe(number, 10, 12)),
        security_context: Some(container_security()),
        ..Default::default()
    }
}

/// Whether pods are asked at addresses of IPv6, of which mongod must be told; where there are none it does not start with that word.
fn by_ipv6(cluster: &Cluster, observed: &Observed) -> bool {
    let service = observed.there.get(&("Service".to_owned(), cluster.part(Server::MongoDb)));
    observed.ipv6 || service.is_some_and(|service| service.data["spec"]["ipFamilies"][0] == "IPv6")
}

/// For temporary files.
fn scratch(asked: &Asked) -> Volume {
    empty_dir("tmp", asked.template, "512Mi")
}

/// For small files written when the pod starts.
fn small_dir(name: &str, asked: &Asked) -> Volume {
    empty_dir(name, asked.template, "64Mi")
}

fn mongodb(cluster: &Cluster, managed: &Managed, asked: &Asked, observed: &Observed) -> StatefulSet {
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
    let account = Account::in_use(&observed.credentials);
    let mut container = server(Server::MongoDb.name(), asked, Server::MongoDb.port());
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if asked.template >= template::KEPT_OWNERS && by_ipv6(cluster, observed) {
        words.push("--ipv6".into());
    }
    if servers_speak_tls(&observed.credentials) {
        let file = |name: &str| format!("{TLS_DIR}/{name}");
        words.extend(["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates"].map(Into::into));
        words.extend(["--tlsCertificateKeyFile".into(), file("server.pem")]);
        words.extend(["--tlsCAFile".into(), file("ca.crt")]);
    }
    container.args = Some(words);
    container.env = Some(vec![
        value("MONGO_INITDB_ROOT_USERNAME", account.user),
        from_secret("MONGO_INITDB_ROOT_PASSWORD", &cluster.credentials(), account.mongo_password),
    ]);
    container.volume_mounts = Some(vec![
        mount("data", "/data/db", false),
        mount("keys", "/keys", true),
        mount("tmp", "/tmp", false),
    ]);
    // mongod wants a key file that only its own user can read; a mounted Secret cannot be that.
    let words = ["copy-key", "/secret/mongo-keyfile", "/keys/mongo-keyfile"].map(str::to_owned).to_vec();
    let init = Container {
        name: "key-file".into(),
        volume_mounts: Some(vec![mount("secret", "/secret", true), mount("keys", "/keys", false)]),
        ..helper(cluster, Server::MongoDb, observed, asked, words)
    };
    let volumes =
        vec![secret_file(cluster, "secret", key::MONGO_KEYFILE), small_dir("keys", asked), scratch(asked)];
    let server = Parts {
        server: Server::MongoDb,
        user: MONGODB_USER,
        container,
        init: Some(init),
        volumes,
        managed,
        asked,
    };
    stateful_set(cluster, server, observed)
}

/// One server, or several with a sentinel each.
/// How much Redis may store: it refuses writes above that, and without a limit it would be killed, load the same data and be killed again. The
/// rest is for connections, replicas and the copy that is made while the log is rewritten.
fn redis_memory(asked: &Asked) -> Vec<String> {
    let limit = amount(&asked.resources.memory_limit).filter(|_| asked.template >= template::REDIS_MEMORY);
    limit.map_or_else(Vec::new, |limit| vec!["--maxmemory".into(), format!("{:.0}", limit * 0.75)])
}

fn redis(
    cluster: &Cluster,
    managed: &ManagedRedis,
    asked: &Asked,
    hosts: &[String],
    observed: &Observed,
) -> StatefulSet {
    let mut container = server(Server::Redis.name(), asked, Server::Redis.port());
    let mut command = vec!["redis-server".to_owned(), "/etc/redis/redis.conf".to_owned()];
    command.extend(redis_memory(asked));
    container.command = Some(command);
    let is_set = hosts.len() > 1;
    container.volume_mounts = Some(vec![
        mount("config", "/etc/redis", !is_set),
        mount("data", "/data", false),
        mount("tmp", "/tmp", false),
    ]);
    let managed = &managed.server;
    let parts = |container, init, volumes| Parts {
        server: Server::Redis,
        user: REDIS_USER,
        container,
        init,
        volumes,
        managed,
        asked,
    };
    if !is_set {
        let volumes = vec![secret_file(cluster, "config", key::REDIS_CONF), scratch(asked)];
        return stateful_set(cluster, parts(container, None, volumes), observed);
    }
    let host = format!("$(POD_NAME).{}.{}.svc", cluster.part(Server::Redis), cluster.namespace);
    let words = ["redis-member", "--host", &host, "--hosts", &hosts.join(","), "--to", "/etc/redis"];
    let files = ["--password-file", "/password/redis-password", "--base", "/base/redis.conf"];
    let words = words.into_iter().chain(files).map(str::to_owned).collect();
    let init = Container {
        name: "member".into(),
        env: Some(vec![from_field("POD_NAME", "metadata.name")]),
        volume_mounts: Some(vec![
            mount("base", "/base", true),
            mount("password", "/password", true),
            mount("config", "/etc/redis", false),
        ]),
        ..helper(cluster, Server::Redis, observed, asked, words)
    };
    let password = Account::in_use(&observed.credentials).redis_password;
    let volumes = vec![
        secret_file(cluster, "base", key::REDIS_CONF),
        secret_files(cluster, "password", &[(password, "redis-password")]),
        small_dir("config", asked),
        scratch(asked),
    ];
    let mut set = stateful_set(cluster, parts(container, Some(init), volumes), observed);
    let mut sentinel = server(SENTINEL, asked, topology::redis::SENTINEL_PORT);
    sentinel.command =
        Some(vec!["redis-server".into(), "/etc/redis/sentinel.conf".into(), "--sentinel".into()]);
    sentinel.resources = Some(bounded(resources("10m", "16Mi", "128Mi"), asked.template, SERVER_DISK));
    sentinel.volume_mounts = Some(vec![mount("config", "/etc/redis", false), mount("tmp", "/tmp", false)]);
    if let Some(pod) = set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) {
        pod.containers.push(sentinel);
    }
    as_set(cluster, &mut set, Server::Redis, hosts.len() as i32, asked, observed);
    set
}

/// Whether the member of Redis that is to be changed next is the master: another one must take over first.
pub(crate) fn master_is_next(cluster: &Cluster, observed: &Observed) -> bool {
    let live = observed.stateful_set(cluster, Server::Redis);
    let members = redis_hosts(cluster, &observed.stateful_sets).len() as i32;
    let Some(live) = live.filter(|live| members > 1 && live.has_sentinels()) else { return false };
    let next = changeable_from(Some(live), members, in_sync(observed, Server::Redis));
    next < live.partition && observed.redis_master == Some(next)
}

/// A broker that is its own controller.
fn alone(cluster: &Cluster, protocol: &str, asked: &Asked) -> Vec<EnvVar> {
    // The authorizer needs to know who connects, even where only the broker itself can.
    let controller = if has_authorizer(asked) { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
    let mut identity = vec![
        value("KAFKA_NODE_ID", "1"),
        value("KAFKA_LISTENERS", "CLIENT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"),
        value(
            "KAFKA_ADVERTISED_LISTENERS",
            &format!("CLIENT://{}:9092", member_host(cluster, Server::Kafka, 0)),
        ),
        value("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", &format!("CLIENT:{protocol},CONTROLLER:{controller}")),
        value("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@127.0.0.1:9093"),
        value("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        value("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        value("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ];
    if has_authorizer(asked) {
        identity.extend(controller_login(cluster));
    }
    identity
}

/// Login of brokers and controllers at the controllers.
fn controller_login(cluster: &Cluster) -> [EnvVar; 2] {
    let variable = "KAFKA_LISTENER_NAME_CONTROLLER_PLAIN_SASL_JAAS_CONFIG";
    [
        value("KAFKA_SASL_MECHANISM_CONTROLLER_PROTOCOL", "PLAIN"),
        from_secret(variable, &cluster.credentials(), key::KAFKA_JAAS),
    ]
}

fn has_authorizer(asked: &Asked) -> bool {
    asked.template >= template::OWN_KAFKA_USER
}

/// The accounts of the brokers, which the migration and the operator use too, can do everything; the operator grants the services their rights
/// (`application`).
fn authorizer() -> [EnvVar; 4] {
    [
        value("KAFKA_AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        value("KAFKA_SUPER_USERS", &format!("User:{};User:{}", FIRST.user, SECOND.user)),
        // Segments that the operator emptied are soon deleted (docs/adr/0029-disk-of-kafka.md).
        value("KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS", "30000"),
        // No garbage collector log, which takes up to a gigabyte.
        value("EXTRA_ARGS", "-name kafkaServer"),
    ]
}

/// One of several brokers that are all controllers too. Every record is kept by all of three; two copies acknowledge it.
fn member(cluster: &Cluster, brokers: i32, protocol: &str) -> Vec<EnvVar> {
    let voters: Vec<String> = (0..brokers)
        .map(|broker| format!("{broker}@{}:9093", member_host(cluster, Server::Kafka, broker)))
        .collect();
    let host = format!("$(POD_NAME).{}.{}.svc", cluster.part(Server::Kafka), cluster.namespace);
    let copies = brokers.to_string();
    let [mechanism, login] = controller_login(cluster);
    vec![
        from_field("POD_NAME", "metadata.name"),
        from_field("KAFKA_NODE_ID", "metadata.labels['apps.kubernetes.io/pod-index']"),
        value("KAFKA_LISTENERS", "CLIENT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093"),
        value("KAFKA_ADVERTISED_LISTENERS", &format!("CLIENT://{host}:9092")),
        value("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", &format!("CLIENT:{protocol},CONTROLLER:{protocol}")),
        value("KAFKA_CONTROLLER_QUORUM_VOTERS", &voters.join(",")),
        mechanism,
        login,
        // A broker that is gone must not hold up its partitions for longer than senders wait.
        value("KAFKA_BROKER_SESSION_TIMEOUT_MS", "6000"),
        value("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "1000"),
        value("KAFKA_DEFAULT_REPLICATION_FACTOR", &copies),
        value("KAFKA_MIN_INSYNC_REPLICAS", "2"),
        value("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", &copies),
        value("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", &copies),
        value("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "2"),
    ]
}

/// The most that a broker's heap may grow to: half of what the pod requests. The rest is for the files that the system keeps in memory.
fn heap(asked: &Asked) -> String {
    let half = amount(&asked.resources.memory_request).unwrap_or_default() / 2.0 / 1024_f64.powi(2);
    format!("-Xmx{:.0}m -Xms256m", half.clamp(384.0, 6144.0).floor())
}

fn kafka(
    cluster: &Cluster,
    managed: &ManagedKafka,
    asked: &Asked,
    brokers: i32,
    observed: &Observed,
) -> StatefulSet {
    let mut container = server(Server::Kafka.name(), asked, Server::Kafka.port());
    let encrypted = servers_speak_tls(&observed.credentials);
    let protocol = if encrypted { "SASL_SSL" } else { "SASL_PLAINTEXT" };
    let identity =
        if brokers == 1 { alone(cluster, protocol, asked) } else { member(cluster, brokers, protocol) };
    if brokers > 1 {
        container.ports.get_or_insert_default().push(port("controller", 9093));
    }
    container.env = Some(identity);
    container.env.get_or_insert_default().extend([
        value("KAFKA_PROCESS_ROLES", "broker,controller"),
        value("KAFKA_INTER_BROKER_LISTENER_NAME", "CLIENT"),
        value("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        value("KAFKA_SASL_ENABLED_MECHANISMS", "PLAIN"),
        value("KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL", "PLAIN"),
        from_secret(
            "KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG",
            &cluster.credentials(),
            key::KAFKA_JAAS,
        ),
        value("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "10"),
        value("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        value("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        value("KAFKA_MESSAGE_MAX_BYTES", "8388608"),
        value("KAFKA_LOG_DIRS", "/var/lib/kafka/data/logs"),
        value("KAFKA_HEAP_OPTS", &heap(asked)),
        from_secret("CLUSTER_ID", &cluster.credentials(), key::KAFKA_CLUSTER_ID),
    ]);
    if has_authorizer(asked) {
        container.env.get_or_insert_default().extend(authorizer());
    }
    if encrypted {
        container.env.get_or_insert_default().extend([
            value("KAFKA_SSL_KEYSTORE_TYPE", "PEM"),
            value("KAFKA_SSL_KEYSTORE_LOCATION", &format!("{TLS_DIR}/server.pem")),
            value("KAFKA_SSL_TRUSTSTORE_TYPE", "PEM"),
            value("KAFKA_SSL_TRUSTSTORE_LOCATION", &format!("{TLS_DIR}/ca.crt")),
        ]);
    }
    container.volume_mounts = Some(vec![
        mount("data", "/var/lib/kafka/data", false),
        mount("tmp", "/tmp", false),
        mount("config", "/opt/kafka/config", false),
        mount("logs", "/opt/kafka/logs", false),
    ]);
    let logs = empty_dir("logs", asked.template, "1Gi");
    let volumes = vec![scratch(asked), small_dir("config", asked), logs];
    let managed = &managed.server;
    let parts =
        Parts { server: Server::Kafka, user: KAFKA_USER, container, init: None, volumes, managed, asked };
    let mut object = stateful_set(cluster, parts, observed);
    as_set(cluster, &mut object, Server::Kafka, brokers, asked, observed);
    if brokers > 1
        && let Some(spec) = &mut object.spec
    {
        // No broker serves before a majority of the controllers runs.
        spec.pod_management_policy = Some("Parallel".into());
    }
    object
}

/// Several members, over hosts and zones, changed one at a time.
fn as_set(
    cluster: &Cluster,
    object: &mut StatefulSet,
    server: Server,
    members: i32,
    asked: &Asked,
    observed: &Observed,
) {
    let Some(spec) = object.spec.as_mut().filter(|_| members > 1) else { return };
    let live = observed.stateful_set(cluster, server);
    spec.replicas = Some(members);
    let mut partition = changeable_from(live, members, in_sync(observed, server));
    if server == Server::Redis {
        match live {
            // A single server becomes the first of a set: its new members come first, they copy from it.
            Some(live) if !live.has_sentinels() => partition = 0,
            Some(live) if master_is_next(cluster, observed) => partition = live.partition,
            _ => {}
        }
    }
    // What does not serve may be mended by the newest template at once. The controller would begin with the last pod, which may be one that serves.
    let mends = live.is_some_and(|live| live.current && !live.settled && !live.broken.is_empty());
    spec.update_strategy = Some(if mends {
        StatefulSetUpdateStrategy { type_: Some("OnDelete".into()), rolling_update: None }
    } else {
        let rolling_update =
            RollingUpdateStatefulSetStrategy { partition: Some(partition), ..Default::default() };
        StatefulSetUpdateStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(rolling_update),
        }
    });
    if let Some(pod) = &mut spec.template.spec {
        pod.topology_spread_constraints = spread(cluster, server, asked.pods.spread);
    }
}

/// Lets all members of each server change: where they refuse each other, none of them has anything to wait for.
pub(crate) fn change_all_members(objects: &mut [DynamicObject]) {
    for object in objects {
        if let Some(strategy) = object.data.pointer_mut("/spec/updateStrategy") {
            let all = StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateStatefulSetStrategy {
                    partition: Some(0),
                    ..Default::default()
                }),
            };
            *strategy = serde_json::json!(all);
        }
    }
}

/// Every copy is there, by what the server itself says.
fn in_sync(observed: &Observed, server: Server) -> bool {
    observed
        .dependencies
        .iter()
        .any(|dependency| dependency.name == server.name() && dependency.has_all_copies())
}

/// The first ordinal whose pod may get a new template. Members are changed one at a time, from the last, each only while all the others
/// serve and every partition has all its copies; between two changes none may.
fn changeable_from(live: Option<&Rollout>, members: i32, in_sync: bool) -> i32 {
    // While the set replaced none by itself there was no partition: it begins anew.
    let kept = |live: &Rollout| if live.on_delete { members } else { live.partition.clamp(0, members) };
    match live {
        Some(live) if live.current && !live.settled => {
            if in_sync && live.ready >= members && !live.on_delete {
                let next = live.old.last().copied().unwrap_or(members - live.updated - 1);
                next.clamp(0, members)
            } else {
                kept(live)
            }
        }
        // What was decided in the pass before is on its way.
        Some(live) if !live.current => kept(live),
        // New members are of the newest template; those that are there wait.
        Some(live) if live.desired < members => live.desired,
        _ => members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::complete,
        servers::all_asked,
        validate::{tests::object, validate},
    };

    /// A StatefulSet's controller in small: it replaces the highest old pod from the partition on, when all others serve.
    #[derive(Clone)]
    struct Set {
        new: [bool; 3],
        ready: [bool; 3],
        partition: i32,
    }

    impl Set {
        fn observed(&self) -> Rollout {
            let count = |pods: &[bool]| pods.iter().filter(|yes| **yes).count() as i32;
            Rollout {
                current: true,
                desired: 3,
                ready: count(&self.ready),
                updated: count(&self.new),
                total: 3,
                partition: self.partition,
                settled: count(&self.new) == 3 && count(&self.ready) == 3,
                ..Default::default()
            }
        }

        fn step(&mut self) {
            for pod in (0..3).rev() {
                if !self.ready[pod] {
                    self.ready[pod] = true;
                    self.new[pod] = pod as i32 >= self.partition;
                    return;
                }
                if pod as i32 >= self.partition && !self.new[pod] {
                    self.ready[pod] = false;
                    return;
                }
            }
        }
    }

    #[test]
    fn a_pod_that_cannot_come_up_gets_what_mends_it_and_those_that_serve_wait() {
        let cluster = validate(&object("kafka: {managed: {brokers: 3}}")).unwrap();
        let strategy = |live: Rollout| {
            let stateful_sets = BTreeMap::from([(cluster.part(Server::Kafka), live)]);
            let observed = Observed { stateful_sets, ..Default::default() };
            let objects = objects(&cluster, &observed, &all_asked(&cluster, &observed));
            let set = objects.iter().find(|object| {
                object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet")
                    && object.metadata.name.as_deref() == Some("chat-kafka")
            });
            set.unwrap().data["spec"]["updateStrategy"].clone()
        };
        let live = Rollout {
            current: true,
            parallel: true,
            desired: 3,
            total: 3,
            ready: 2,
            partition: 3,
            old: [0, 1, 2].into(),
            broken: [1].into(),
            ..Default::default()
        };
        assert_eq!(strategy(live.clone()), serde_json::json!({ "type": "OnDelete" }));
        let back = Rollout {
            ready: 3,
            updated: 1,
            old: [0, 2].into(),
            broken: [].into(),
            on_delete: true,
            partition: 0,
            ..live
        };
        assert_eq!(strategy(back.clone())["rollingUpdate"]["partition"], 3, "the others one after the other");
        let on = Rollout { on_delete: false, partition: 3, ..back };
        assert_eq!(changeable_from(Some(&on), 3, true), 2, "not counted from those that are new");
    }

    #[test]
    fn new_members_are_made_of_the_newest_template() {
        let alone = Rollout {
            current: true,
            settled: true,
            desired: 1,
            ready: 1,
            updated: 1,
            total: 1,
            ..Default::default()
        };
        assert_eq!(changeable_from(Some(&alone), 3, true), 1, "the one that is there waits");
        let grown = Rollout { desired: 3, ready: 3, updated: 3, total: 3, ..alone };
        assert_eq!(changeable_from(Some(&grown), 3, true), 3);
    }

    #[test]
    fn a_server_that_is_changed_anyway_gets_a_helper_that_can_be_pulled() {
        let cluster = validate(&object("mongodb: {managed: {resources: {memoryLimit: 8Gi}}}")).unwrap();
        let of = |cluster: &Cluster| all_asked(cluster, &Observed::default())[&Server::MongoDb].clone();
        let image = |asked: Asked| {
            let init_image = "gone.example.org/s:0.1.0".to_owned();
            let live = Rollout { asked: Some(asked), init_image, ..Default::default() };
            let stateful_sets = [("chat-mongodb".to_owned(), live)].into();
            let observed = Observed { stateful_sets, ..Default::default() };
            pod(&cluster, &observed, "chat-mongodb")["initContainers"][0]["image"].clone()
        };
        assert_eq!(image(of(&cluster)), "gone.example.org/s:0.1.0", "nothing else is changed");
        assert_eq!(image(of(&validate(&object("{}")).unwrap())), cluster.image.as_str());
    }

    #[test]
    fn brokers_are_changed_one_at_a_time_and_only_in_sync() {
        // Every broker is short of copies for a while after it came back.
        for lag in 0..4 {
            let mut set = Set { new: [false; 3], ready: [true; 3], partition: 3 };
            let mut catching_up = 0;
            let mut passes = 0;
            while !set.observed().settled {
                let away = set.ready.iter().filter(|ready| !**ready).count();
                assert!(away <= 1, "{away} brokers are away");
                catching_up = if away > 0 { lag } else { (catching_up - 1).max(0) };
                let before = set.clone();
                let in_sync = away == 0 && catching_up == 0;
                set.partition = changeable_from(Some(&set.observed()), 3, in_sync);
                set.step();
                let taken = (0..3).any(|pod| before.ready[pod] && !set.ready[pod]);
                assert!(!taken || in_sync, "a broker was taken while copies were missing");
                passes += 1;
                assert!(passes < 100, "it never ends");
            }
            set.partition = changeable_from(Some(&set.observed()), 3, true);
            assert_eq!(set.partition, 3, "the next template waits again");
        }
    }

    #[test]
    fn a_broker_that_does_not_come_back_stops_the_change() {
        let set = Set { new: [false, false, true], ready: [true, true, false], partition: 2 };
        assert_eq!(changeable_from(Some(&set.observed()), 3, true), 2);
        assert_eq!(changeable_from(Some(&set.observed()), 3, false), 2);
    }

    #[test]
    fn redis_refuses_writes_before_its_container_is_killed() {
        let redis = |spec: &str| {
            let cluster = validate(&object(spec)).unwrap();
            let made_of = all_asked(&cluster, &Observed::default());
            let credentials = complete(&cluster, BTreeMap::new());
            let observed = Observed { credentials, ..Default::default() };
            let command = |template: u32| {
                let mut made_of = made_of.clone();
                made_of.get_mut(&Server::Redis).unwrap().template = template;
                let all = objects(&cluster, &observed, &made_of);
                let set = all.iter().find(|object| {
                    object.metadata.name.as_deref() == Some("chat-redis")
                        && object.data["spec"]["template"].is_object()
                });
                let command = &set.unwrap().data["spec"]["template"]["spec"]["containers"][0]["command"];
                serde_json::from_value::<Vec<String>>(command.clone()).unwrap()
            };
            assert_eq!(command(template::REDIS_MEMORY - 1).len(), 2, "what runs is not restarted");
            command(template::NEWEST)[2..].join(" ")
        };
        assert_eq!(redis("{}"), "--maxmemory 805306368");
        let large = "redis: {managed: {replicas: 3, resources: {memoryRequest: 4Gi, memoryLimit: 8Gi}}}";
        assert_eq!(redis(large), "--maxmemory 6442450944");
    }

    fn redis_set(ready: i32, updated: i32, partition: i32) -> Rollout {
        let mut template = PodTemplateSpec::default();
        let container = |name: &str| Container { name: name.into(), ..Default::default() };
        template.spec =
            Some(PodSpec { containers: vec![container("redis"), container(SENTINEL)], ..Default::default() });
        let settled = updated == 3;
        Rollout {
            current: true,
            desired: 3,
            ready,
            updated,
            total: 3,
            partition,
            settled,
            template,
            ..Default::default()
        }
    }

    fn partition_of(cluster: &Cluster, observed: &Observed) -> i32 {
        let objects = objects(cluster, observed, &all_asked(cluster, observed));
        let set = objects.iter().find(|object| {
            object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet")
                && object.metadata.name.as_deref() == Some("chat-redis")
        });
        set.unwrap().data["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap() as i32
    }

    #[test]
    fn the_master_of_redis_is_changed_only_after_another_took_over() {
        let cluster = validate(&object("redis: {managed: {replicas: 3}}")).unwrap();
        let dependency = |message: &str| crds::Dependency {
            name: "redis".into(),
            managed: true,
            reachable: true,
            message: message.into(),
            ..Default::default()
        };
        let mut observed =
            Observed { credentials: complete(&cluster, BTreeMap::new()), ..Default::default() };
        let mut see = |live: Rollout, master: i32, message: &str| {
            observed.stateful_sets = BTreeMap::from([(cluster.part(Server::Redis), live)]);
            observed.redis_master = Some(master);
            observed.dependencies = vec![dependency(message)];
            (partition_of(&cluster, &observed), master_is_next(&cluster, &observed))
        };
        assert_eq!(see(redis_set(3, 0, 3), 0, ""), (2, false));
        assert_eq!(see(redis_set(3, 0, 3), 2, ""), (3, true), "the master waits");
        assert_eq!(see(redis_set(3, 1, 2), 0, "1 of 2 replicas follow the master"), (2, false));
        assert_eq!(see(redis_set(3, 2, 1), 0, ""), (1, true));
        assert_eq!(see(redis_set(3, 2, 1), 2, ""), (0, false));
        assert_eq!(see(redis_set(3, 3, 0), 2, ""), (3, false), "the next change waits again");
        let alone = Rollout {
            desired: 1,
            ready: 1,
            updated: 1,
            total: 1,
            current: true,
            settled: true,
            ..Default::default()
        };
        assert_eq!(see(alone, 0, ""), (0, false), "a single server grows at once");
        let unseen = Rollout { current: false, ..redis_set(1, 0, 0) };
        assert_eq!(see(unseen, 0, ""), (0, false), "its new members are not made of the template of before");
    }

    fn replicas(cluster: &Cluster, observed: &Observed, name: &str) -> Option<serde_json::Value> {
        let objects = objects(cluster, observed, &all_asked(cluster, observed));
        let set = objects.iter().find(|object| {
            object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet")
                && object.metadata.name.as_deref() == Some(name)
        });
        set.map(|set| set.data["spec"]["replicas"].clone())
    }

    #[test]
    fn servers_get_the_memory_and_the_place_that_are_asked_for() {
        let cluster = validate(&object(
            "kafka: {managed: {brokers: 3, resources: {cpuRequest: '2', memoryRequest: 4Gi}, pods: \
             {nodeSelector: {disk: fast}, spread: Required, annotations: {team: chat}}}}\n\
             mongodb: {managed: {resources: {memoryLimit: 8Gi}}}\n\
             pods: {nodeSelector: {pool: chat}, spread: Disabled}",
        ))
        .unwrap();
        let objects = objects(&cluster, &Observed::default(), &all_asked(&cluster, &Observed::default()));
        let template = |name: &str| {
            let is_it = |object: &&DynamicObject| {
                object.metadata.name.as_deref() == Some(name)
                    && object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet")
            };
            objects.iter().find(is_it).unwrap().data["spec"]["template"].clone()
        };
        let (kafka, mongodb) = (template("chat-kafka"), template("chat-mongodb"));
        let broker = &kafka["spec"]["containers"][0];
        assert_eq!(
            broker["resources"]["requests"],
            serde_json::json!({ "cpu": "2", "memory": "4Gi", "ephemeral-storage": "0" })
        );
        assert_eq!(broker["resources"]["limits"]["memory"], "4Gi");
        assert!(broker["env"].to_string().contains("-Xmx2048m -Xms256m"), "{}", broker["env"]);
        assert_eq!(kafka["spec"]["nodeSelector"], serde_json::json!({ "disk": "fast" }));
        assert_eq!(kafka["metadata"]["annotations"]["team"], "chat");
        let spread = &kafka["spec"]["topologySpreadConstraints"][0];
        assert_eq!(spread["whenUnsatisfiable"], "DoNotSchedule");
        assert_eq!(mongodb["spec"]["containers"][0]["resources"]["limits"]["memory"], "8Gi");
        assert!(mongodb["spec"]["nodeSelector"].is_null(), "spec.pods is for services");
    }

    fn pod(cluster: &Cluster, observed: &Observed, name: &str) -> serde_json::Value {
        let objects = objects(cluster, observed, &all_asked(cluster, observed));
        let is_it = |object: &&DynamicObject| {
            object.metadata.name.as_deref() == Some(name)
                && object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet")
        };
        objects.iter().find(is_it).unwrap().data["spec"]["template"]["spec"].clone()
    }

    #[test]
    fn mongodb_is_told_of_ipv6_where_pods_have_it_first() {
        let cluster = validate(&object("{}")).unwrap();
        let says_ipv6 = |observed: &Observed| {
            let args = pod(&cluster, observed, "chat-mongodb")["containers"][0]["args"].to_string();
            args.contains("\"--ipv6\"")
        };
        assert!(!says_ipv6(&Observed::default()));
        assert!(says_ipv6(&Observed { ipv6: true, ..Default::default() }));
        for (families, wanted) in [(["IPv6", "IPv4"], true), (["IPv4", "IPv6"], false)] {
            let service = serde_json::from_value(serde_json::json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "chat-mongodb" },
                "spec": { "ipFamilies": families },
            }));
            let there = [(("Service".to_owned(), "chat-mongodb".to_owned()), service.unwrap())].into();
            assert_eq!(says_ipv6(&Observed { there, ..Default::default() }), wanted);
        }
    }

    #[test]
    fn pods_run_as_whom_admission_chooses_where_that_is_asked_for() {
        for (spec, user) in
            [("{}", Some(999)), ("pods: {user: Fixed}", Some(999)), ("pods: {user: Assigned}", None)]
        {
            let cluster = validate(&object(spec)).unwrap();
            let security = pod(&cluster, &Observed::default(), "chat-redis")["securityContext"].clone();
            for field in ["runAsUser", "runAsGroup", "fsGroup"] {
                assert_eq!(security[field].as_i64(), user, "{spec}: {field}");
            }
            assert_eq!(
                (&security["runAsNonRoot"], &security["fsGroupChangePolicy"]),
                (&true.into(), &"OnRootMismatch".into())
            );
        }
    }

    #[test]
    fn a_replica_set_grows() {
        let three = validate(&object("mongodb: {managed: {members: 3}}")).unwrap();
        let one = validate(&object("{}")).unwrap();
        let live = Rollout { desired: 7, current: true, settled: true, ..Default::default() };
        let mut observed = Observed {
            credentials: complete(&one, BTreeMap::new()),
            stateful_sets: BTreeMap::from([(one.part(Server::MongoDb), live)]),
            ..Default::default()
        };
        let pods = |cluster: &Cluster, observed: &Observed| replicas(cluster, observed, "chat-mongodb");
        assert_eq!(pods(&one, &observed), Some(1.into()), "a hand's seven are not followed");
        observed.credentials = complete(&three, observed.credentials);
        assert_eq!(pods(&three, &observed), Some(3.into()));
    }

    #[test]
    fn the_number_of_brokers_is_what_there_is() {
        let cluster = validate(&object("kafka: {managed: {brokers: 3}}")).unwrap();
        let live = Rollout { desired: 7, current: true, settled: true, ..Default::default() };
        let observed = Observed {
            stateful_sets: BTreeMap::from([(cluster.part(Server::Kafka), live)]),
            ..Default::default()
        };
        assert_eq!(brokers(&cluster, &BTreeMap::new()), 3);
        assert_eq!(brokers(&cluster, &observed.stateful_sets), 1);
        let blockers = crate::plan::plan(&cluster, &observed).blockers;
        assert!(blockers.iter().any(|blocker| blocker.message.contains("spec.kafka.managed.brokers")));
        assert_eq!(
            replicas(&cluster, &observed, "chat-kafka"),
            Some(1.into()),
            "a hand that scaled it to seven is not followed"
        );
        assert_eq!(replicas(&cluster, &Observed::default(), "chat-kafka"), Some(3.into()));
    }
}

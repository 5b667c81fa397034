//! Turns the spec into facts that the builders can rely on. Pure. The API server checks most of this too; it is checked again
//! here because objects may predate a rule.

use std::collections::BTreeMap;

use crds::{
    ExternalKafka, ExternalRedis, Managed, ManagedKafka, ManagedRedis, OpenIMCluster, OpenIMClusterSpec,
    Resources,
};
use kube_core::{Resource, ResourceExt};
use topology::{Server, Service};

use crate::{
    affinity::affinity,
    backups,
    model::{
        cluster::{Backing, Cluster, service_of, service_of_mut},
        names::{self, NEW_CREDENTIALS},
        quantity::amount,
        secret::key,
    },
    servers, window,
};

/// Why a spec cannot be carried out: the field and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field.
    pub field: String,
    /// The problem and the remedy.
    pub problem: String,
}

/// Managed unless an external server is named; naming both is a mistake.
fn backing<M: Clone + Default, E: Clone>(
    field: &str,
    managed: &Option<M>,
    external: &Option<E>,
) -> Result<Backing<M, E>, Invalid> {
    match (managed, external) {
        (Some(_), Some(_)) => Err(Invalid {
            field: field.to_owned(),
            problem: "set either managed or external, not both".into(),
        }),
        (_, Some(external)) => Ok(Backing::External(external.clone())),
        (managed, None) => Ok(Backing::Managed(managed.clone().unwrap_or_default())),
    }
}

fn quantity(field: String, text: &str) -> Result<f64, Invalid> {
    let problem = || format!("{text:?} is not a quantity; write for example 100m, 64Mi or 10Gi");
    amount(text).ok_or_else(|| Invalid { field, problem: problem() })
}

/// Checks requests and limits; the limit of the memory in bytes.
fn resources(field: &str, wanted: &Resources) -> Result<f64, Invalid> {
    quantity(format!("{field}.cpuRequest"), &wanted.cpu_request)?;
    let request = quantity(format!("{field}.memoryRequest"), &wanted.memory_request)?;
    let limit = quantity(format!("{field}.memoryLimit"), &wanted.memory_limit)?;
    if request > limit {
        return Err(Invalid {
            field: format!("{field}.memoryRequest"),
            problem: format!(
                "{} is more than memoryLimit, {}: raise the limit, or request less",
                wanted.memory_request, wanted.memory_limit
            ),
        });
    }
    Ok(limit)
}

/// Why the API server would refuse a label.
fn label_problem(name: &str, value: &str) -> Option<String> {
    let is_word = |text: &str| {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
        ends && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    let (prefix, short) = name.split_once('/').unwrap_or(("", name));
    if short.is_empty() || short.len() > 63 || !is_word(short) || prefix.len() > 253 || !is_word(prefix) {
        return Some("is not a label name; write for example release or example.com/team".into());
    }
    (value.len() > 63 || !is_word(value)).then(|| {
        format!(
            "{value:?} is not a label value: at most 63 letters, digits, -, _ and ., a letter or \
             digit at both ends"
        )
    })
}

/// Checks how clients come in.
fn ways_in(spec: &OpenIMClusterSpec) -> Result<(), Invalid> {
    let refuse = |field: &str, problem: &str| Err(Invalid { field: field.into(), problem: problem.into() });
    let remedy = "is not a host name: write for example chat.example.org or *.example.org, in lower case";
    let ingress = &spec.ingress;
    if !ingress.host.is_empty() && !is_host(&ingress.host) {
        return refuse("spec.ingress.host", remedy);
    }
    if ingress.enabled && ingress.host.is_empty() && !ingress.tls_secret_name.is_empty() {
        return refuse(
            "spec.ingress.tlsSecretName",
            "tlsSecretName needs a host: set spec.ingress.host, or remove tlsSecretName",
        );
    }
    let hosts = spec.gateway_api.iter().flat_map(|routes| &routes.hostnames);
    match hosts.enumerate().find(|(_, host)| !is_host(host)) {
        Some((index, _)) => refuse(&format!("spec.gatewayAPI.hostnames[{index}]"), remedy),
        None => Ok(()),
    }
}

/// Checks the console.
fn console(spec: &OpenIMClusterSpec) -> Result<(), Invalid> {
    let Some(asked) = &spec.console else { return Ok(()) };
    let refuse = |field: &str, problem: &str| {
        Err(Invalid { field: format!("spec.console.{field}"), problem: problem.into() })
    };
    resources("spec.console.resources", &asked.resources)?;
    if let Some(Err(problem)) = asked.pods.as_ref().and_then(|pods| pods.affinity.as_ref()).map(affinity) {
        return refuse("pods.affinity", &problem);
    }
    let host = &asked.host;
    if !host.is_empty() && (!is_host(host) || host.starts_with('*')) {
        return refuse("host", "is not a host name: write for example console.example.org, in lower case");
    }
    let routed = spec.gateway_api.iter().flat_map(|routes| &routes.hostnames);
    if !host.is_empty() && routed.chain([&spec.ingress.host]).any(|other| other == host) {
        return refuse("host", "is the host of the clients: the console needs one of its own");
    }
    if host.is_empty() && !asked.tls_secret_name.is_empty() {
        return refuse("tlsSecretName", "needs a host: set spec.console.host, or remove tlsSecretName");
    }
    let roles = &asked.roles;
    let mut names: Vec<&String> =
        roles.administrators.iter().chain(&roles.support).chain(&roles.read_only).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => refuse("roles", &format!("lists {} twice: everybody has one role", pair[0])),
        None => Ok(()),
    }
}

/// Checks the URL of webhooks.
fn receiver(spec: &OpenIMClusterSpec) -> Result<(), Invalid> {
    let Some(hooks) = &spec.webhooks else { return Ok(()) };
    let refuse =
        |problem: &str| Err(Invalid { field: "spec.webhooks.url".into(), problem: problem.to_owned() });
    match (hooks.url.is_empty(), hooks.url_secret_name.is_empty()) {
        (true, true) => return refuse("is required; or name a Secret with the key url in urlSecretName"),
        (false, false) => return refuse("set either url or urlSecretName, not both"),
        _ => {}
    }
    let authority = hooks.url.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return refuse(
            "contains a user or password, which everyone who can read this object can see: put the URL into the key url of a Secret and name that in urlSecretName",
        );
    }
    Ok(())
}

/// The repository of an image, without tag and digest.
fn repository(image: &str) -> &str {
    let named = image.split_once('@').map_or(image, |(named, _digest)| named);
    let last = named.rfind('/').map_or(0, |slash| slash + 1);
    named[last..].find(':').map_or(named, |colon| &named[..last + colon])
}

/// Checks that the images are of repositories that whoever runs the operator allows: an entry is one, or with a slash at its end all that
/// are below it. No entry: all.
///
/// # Errors
/// The first field that names another one.
pub fn images(cluster: &Cluster, allowed: &[String]) -> Result<(), Invalid> {
    let servers = cluster.servers().into_iter().map(|(server, managed)| {
        (format!("spec.{server}.managed.image"), servers::image(server, managed).to_owned())
    });
    let all = [("spec.image.repository".to_owned(), cluster.image.clone())];
    let may = |image: &str| {
        let found = repository(image);
        allowed
            .iter()
            .any(|entry| if entry.ends_with('/') { found.starts_with(entry) } else { found == entry })
    };
    match all.into_iter().chain(servers).find(|(_, image)| !allowed.is_empty() && !may(image)) {
        None => Ok(()),
        Some((field, image)) => Err(Invalid {
            field,
            problem: format!(
                "{image} is not from an allowed repository: use an image of {}, or extend allowedRepositories of the operator's chart",
                allowed.join(", ")
            ),
        }),
    }
}

/// A name as in DNS, in small letters, perhaps with a star for its first part.
fn is_host(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 253
        && text.strip_prefix("*.").unwrap_or(text).split('.').all(|part| {
            !part.is_empty() && part.bytes().all(is_inside) && !part.starts_with('-') && !part.ends_with('-')
        })
}

/// A broker needs at least this much memory.
const LEAST_FOR_KAFKA: &str = "512Mi";

/// Checks what all managed servers have.
fn server(name: Server, managed: &Managed) -> Result<(), Invalid> {
    let field = |field: &str| format!("spec.{name}.managed.{field}");
    quantity(field("storage"), &managed.storage)?;
    let limit = resources(
        &field("resources"),
        &servers::resources(name, &managed.resources.clone().unwrap_or_default()),
    )?;
    if name == Server::Kafka && Some(limit) < amount(LEAST_FOR_KAFKA) {
        return Err(Invalid {
            field: field("resources.memoryLimit"),
            problem: format!("a broker needs at least {LEAST_FOR_KAFKA}: raise the limit"),
        });
    }
    match managed.pods.as_ref().and_then(|pods| pods.affinity.as_ref()).map(affinity) {
        Some(Err(problem)) => Err(Invalid { field: field("pods.affinity"), problem }),
        _ => Ok(()),
    }
}

/// Checks how external servers are logged in to.
fn logins(
    redis: &Backing<ManagedRedis, ExternalRedis>,
    kafka: &Backing<ManagedKafka, ExternalKafka>,
) -> Result<(), Invalid> {
    let refuse = |field: &str, problem: &str| Err(Invalid { field: field.into(), problem: problem.into() });
    match redis {
        Backing::External(redis) if !redis.username.is_empty() && redis.secret_name.is_empty() => {
            return refuse(
                "spec.redis.external.username",
                "needs a password: name a Secret with the key password in secretName",
            );
        }
        _ => {}
    }
    match kafka {
        Backing::External(kafka) if kafka.sasl_mechanism.is_some() && kafka.secret_name.is_empty() => refuse(
            "spec.kafka.external.saslMechanism",
            "needs a user: name a Secret with the keys username and password in secretName",
        ),
        _ => Ok(()),
    }
}

/// Why backups would be read by everybody.
fn public_backups(spec: &OpenIMClusterSpec, backup: &crds::Backup) -> Option<String> {
    let (own, files) = (backup.object_storage.as_ref()?, spec.object_storage.as_ref()?);
    let same = own.bucket == files.bucket
        && own.endpoint.trim_end_matches('/') == files.endpoint.trim_end_matches('/');
    (same && !files.cdn_prefix.is_empty()).then(|| {
        format!(
            "bucket {} is public (spec.objectStorage.cdnPrefix), and so would backups be: use another bucket",
            own.bucket
        )
    })
}

/// Checks when backups are made, and that they have a place.
fn scheduled_backups(spec: &OpenIMClusterSpec, backup: &crds::Backup) -> Result<(), Invalid> {
    let refuse = |field: &str, problem: String| Err(Invalid { field: field.to_owned(), problem });
    if backup.keep.is_some_and(|keep| !(1..=366).contains(&keep)) {
        return refuse("spec.backup.keep", "must be between 1 and 366".into());
    }
    match backups::calendar(backup) {
        Err((field, problem)) => return refuse(field, problem),
        Ok(None) => return Ok(()),
        Ok(Some(_)) => {}
    }
    match (&backup.object_storage, &spec.object_storage) {
        (None, None) => refuse(
            "spec.backup.schedule",
            "backups need an object storage: set spec.backup.objectStorage".into(),
        ),
        (None, Some(files)) if !files.cdn_prefix.is_empty() => refuse(
            "spec.backup.schedule",
            "the bucket of spec.objectStorage is public (cdnPrefix), and so would backups be: set \
             spec.backup.objectStorage to another bucket"
                .into(),
        ),
        _ => Ok(()),
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn image_of(spec: &OpenIMClusterSpec, version: &str) -> String {
    let digest = &spec.image.digest;
    let at = if digest.is_empty() { String::new() } else { format!("@{digest}") };
    format!("{}:{version}{at}", spec.image.repository)
}

/// A cluster whose status was lost, as after its object was recreated beside retained volumes: what ran last is known by the generated Secret.
pub fn with_what_ran(mut cluster: Cluster, credentials: &BTreeMap<String, String>) -> Cluster {
    if let Some(ran) = credentials.get(key::RAN).filter(|_| cluster.ran.is_empty()) {
        cluster.ran.clone_from(ran);
        if cluster.spec.version.is_empty() {
            cluster.version.clone_from(ran);
            cluster.image = image_of(&cluster.spec, ran);
        }
    }
    cluster
}

/// Checks a cluster.
///
/// # Errors
/// The first thing that cannot work.
pub fn validate(object: &OpenIMCluster) -> Result<Cluster, Invalid> {
    let name = object.name_any();
    let refuse = |field: &str, problem: String| Err(Invalid { field: field.to_owned(), problem });
    if let Some(problem) = crds::name_problem(&name) {
        return refuse("metadata.name", problem);
    }
    let Some(owner) = object.controller_owner_ref(&()) else {
        return refuse("metadata.uid", "the object has not been stored yet".into());
    };
    let spec = object.spec.clone();
    for service in Service::ALL {
        resources(&format!("spec.services.{service}.resources"), &service_of(&spec, service).resources)?;
        if let Some(given) = service_of(&spec, service).pods.as_ref().and_then(|pods| pods.affinity.as_ref())
            && let Err(problem) = affinity(given)
        {
            return refuse(&format!("spec.services.{service}.pods.affinity"), problem);
        }
        if let Some(scaling) = &service_of(&spec, service).autoscaling
            && scaling.min_replicas > scaling.max_replicas
        {
            return refuse(
                &format!("spec.services.{service}.autoscaling"),
                "minReplicas must not be more than maxReplicas".into(),
            );
        }
        if let Some(scaling) = &service_of(&spec, service).autoscaling {
            let field = |name: &str| format!("spec.services.{service}.autoscaling.{name}");
            if scaling.connections.is_some() && service != Service::Gateway {
                return refuse(&field("connections"), "only the gateway has connections: remove it".into());
            }
            if scaling.lag.is_some() && !service.reads_kafka() {
                return refuse(&field("lag"), "only transfer and push read from Kafka: remove it".into());
            }
            if scaling.lag.is_some_and(|lag| lag < 1) || scaling.connections.is_some_and(|count| count < 1) {
                return refuse(&field("lag or connections"), "must be at least 1".into());
            }
        }
    }
    if let Some(Err(problem)) = spec.pods.affinity.as_ref().map(affinity) {
        return refuse("spec.pods.affinity", problem);
    }
    if spec.rollout.deadline_seconds <= spec.rollout.soak_seconds {
        return refuse("spec.rollout.deadlineSeconds", "must be more than soakSeconds".into());
    }
    for (index, opening) in spec.rollout.windows.iter().enumerate() {
        if window::time_of_day(&opening.start).is_none() {
            return refuse(
                &format!("spec.rollout.windows[{index}].start"),
                format!("{:?} is not a time of day; write for example \"02:30\" (UTC)", opening.start),
            );
        }
    }
    if ![0, 1, 4, 5].contains(&spec.config.multi_login_policy) {
        return refuse("spec.config.multiLoginPolicy", "must be 0, 1, 4 or 5".into());
    }
    if let Some(problem) = config::log_level_problem(&spec.config.log_level) {
        return refuse("spec.config.logLevel", problem);
    }
    if let Some(problem) = spec.config.trusted_proxies.as_deref().and_then(config::proxies_problem) {
        return refuse("spec.config.trustedProxies", problem);
    }
    if let Some(problem) = config::origins_problem(&spec.config.allowed_origins) {
        return refuse("spec.config.allowedOrigins", problem);
    }
    for name in spec.config.notifications.keys() {
        if config::NotificationKind::from_key(name).is_none() {
            return refuse(
                &format!("spec.config.notifications.{name}"),
                "is not an OpenIM notification, see config/notification.yaml".into(),
            );
        }
    }
    for (name, value) in spec.monitoring.iter().flat_map(|wanted| &wanted.labels) {
        if let Some(problem) = label_problem(name, value) {
            return refuse(&format!("spec.monitoring.labels.{name}"), problem);
        }
    }
    ways_in(&spec)?;
    console(&spec)?;
    receiver(&spec)?;
    let mongodb = backing("spec.mongodb", &spec.mongodb.managed, &spec.mongodb.external)?;
    let redis = backing("spec.redis", &spec.redis.managed, &spec.redis.external)?;
    let kafka = backing("spec.kafka", &spec.kafka.managed, &spec.kafka.external)?;
    if let Backing::External(external) = &kafka
        && external.address.is_empty()
    {
        return refuse("spec.kafka.external.address", "must name at least one host:port".into());
    }
    logins(&redis, &kafka)?;
    if let Backing::Managed(managed) = &mongodb {
        server(Server::MongoDb, &managed.server)?;
        if ![1, 3, 5].contains(&managed.members) {
            return refuse(
                "spec.mongodb.managed.members",
                format!("{} is not supported: set 1, 3 or 5", managed.members),
            );
        }
    }
    if let Backing::Managed(managed) = &redis {
        server(Server::Redis, &managed.server)?;
        if ![1, 3].contains(&managed.replicas) {
            return refuse(
                "spec.redis.managed.replicas",
                format!("{} is not supported: set 1 or 3", managed.replicas),
            );
        }
    }
    if let Backing::Managed(managed) = &kafka {
        server(Server::Kafka, &managed.server)?;
        if ![1, 3].contains(&managed.brokers) {
            return refuse(
                "spec.kafka.managed.brokers",
                format!("{} is not supported: set 1 or 3", managed.brokers),
            );
        }
    }
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    if let Some(storage) = &spec.object_storage {
        let urls = [("endpoint", &storage.endpoint), ("externalEndpoint", &storage.external_endpoint)];
        for (name, text) in urls {
            if !is_url(text) && (name == "endpoint" || !text.is_empty()) {
                return refuse(
                    &format!("spec.objectStorage.{name}"),
                    "must be an http:// or https:// URL".into(),
                );
            }
        }
    }
    if let Some(reason) = spec.backup.as_ref().and_then(|backup| public_backups(&spec, backup)) {
        return refuse("spec.backup.objectStorage", reason);
    }
    if let Some(backup) = &spec.backup {
        scheduled_backups(&spec, backup)?;
    }
    if let Some(webhooks) = &spec.webhooks {
        if webhooks.url_secret_name.is_empty() && !is_url(&webhooks.url) {
            return refuse("spec.webhooks.url", "must be an http:// or https:// URL".into());
        }
        for (name, settings) in &webhooks.hooks {
            if config::Hook::from_key(name).is_none() {
                return refuse(
                    &format!("spec.webhooks.hooks.{name}"),
                    "is not an OpenIM webhook, see config/webhooks.yaml".into(),
                );
            }
            if !(1..=15).contains(&settings.timeout) {
                return refuse(
                    &format!("spec.webhooks.hooks.{name}.timeout"),
                    "must be between 1 and 15 seconds".into(),
                );
            }
        }
    }
    if spec.password_rotation.len() > 64 {
        return refuse("spec.passwordRotation", "is longer than 64 characters: a date is enough".into());
    }
    if spec.secret_rotation.len() > 64 {
        return refuse("spec.secretRotation", "is longer than 64 characters: a date is enough".into());
    }
    if spec.secret_overlap_hours.is_some_and(|hours| !(0..=720).contains(&hours)) {
        return refuse("spec.secretOverlapHours", "must be between 0 and 720".into());
    }
    let managed = mongodb.is_managed() || redis.is_managed() || kafka.is_managed();
    if !spec.password_rotation.is_empty() && !managed {
        return refuse(
            "spec.passwordRotation",
            "there is no managed server: change the passwords of your servers, then their Secrets, and \
             remove the field"
                .into(),
        );
    }
    let running = object.status.as_ref().map_or("", |status| status.version.as_str());
    let version = [spec.version.as_str(), running, crate::model::names::VERSION]
        .into_iter()
        .find(|text| !text.is_empty());
    let version = version.unwrap_or_default().to_owned();
    if !spec.image.digest.is_empty() && !is_digest(&spec.image.digest) {
        return refuse("spec.image.digest", "must be sha256: and 64 hexadecimal digits, or empty".into());
    }
    let image = image_of(&spec, &version);
    Ok(Cluster {
        namespace: object.namespace().unwrap_or_else(|| "default".into()),
        generation: object.metadata.generation.unwrap_or(0),
        created: object.creation_timestamp().map(|time| time.0),
        owner,
        image,
        version,
        approved_plan: object.annotations().get(names::APPROVED).cloned().unwrap_or_default(),
        new_credentials: object.annotations().get(NEW_CREDENTIALS).cloned().unwrap_or_default(),
        moved: object.annotations().get(names::MOVED).cloned().unwrap_or_default(),
        changing: object.status.as_ref().is_none_or(|status| {
            Some(status.observed_generation) != object.metadata.generation || !status.plan.is_empty()
        }),
        shared: object.status.as_ref().map_or_else(Vec::new, |status| status.shared.clone()),
        ran: running.to_owned(),
        signed_calls: object
            .status
            .as_ref()
            .is_none_or(|status| status.signed_calls || status.version.is_empty()),
        taken_over: object.status.as_ref().map_or_else(String::new, |status| status.live_config.clone()),
        mongodb,
        redis,
        kafka,
        name,
        spec,
    })
}

/// The last spec with which everything ran, in the size that is asked for now: what a cluster is cared for by while the newest cannot be carried out.
/// Its images were allowed once, and nothing new comes of it.
pub fn last_good(object: &OpenIMCluster) -> Option<Cluster> {
    let mut before = object.clone();
    before.spec = serde_json::from_str(&object.status.as_ref()?.history.first()?.spec).ok()?;
    before.spec.rollout.paused = true;
    for service in Service::ALL {
        service_of_mut(&mut before.spec, service).replicas = service_of(&object.spec, service).replicas;
    }
    let (had, asked) = (&mut before.spec.mongodb, &object.spec.mongodb);
    let members = asked.managed.as_ref().map_or(1, |managed| managed.members);
    let differs = had.managed.as_ref().map_or(1, |managed| managed.members) != members;
    if had.external.is_none() && asked.external.is_none() && differs && [1, 3, 5].contains(&members) {
        had.managed.get_or_insert_default().members = members;
    }
    validate(&before).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn object(spec: &str) -> OpenIMCluster {
        let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).unwrap();
        let mut object = OpenIMCluster::new("chat", spec);
        object.metadata.namespace = Some("team".into());
        object.metadata.uid = Some("0000-1111".into());
        object.metadata.generation = Some(3);
        object
    }

    #[test]
    fn a_wrong_edit_takes_no_pod_away_and_what_ran_is_cared_for() {
        let spec = |text: &str| serde_json::to_string(&object(text).spec).unwrap();
        let good = crds::GoodSpec {
            generation: 1,
            version: "1.0.0".into(),
            since: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            spec: spec("{version: 1.0.0, services: {msg: {replicas: 2}}}"),
        };
        let mut wrong = object(
            "{version: 1.1.0, services: {msg: {replicas: 10}}, mongodb: {managed: {members: 3}}, ingress: {host: A}}",
        );
        wrong.status = Some(crds::OpenIMClusterStatus { history: vec![good], ..Default::default() });
        assert!(validate(&wrong).is_err());
        let cared = last_good(&wrong).unwrap();
        assert_eq!((cared.version.as_str(), cared.service(Service::Msg).replicas), ("1.0.0", 10));
        let Backing::Managed(mongodb) = &cared.mongodb else { panic!() };
        assert!(mongodb.members == 3 && cared.spec.rollout.paused);
    }

    #[test]
    fn an_empty_spec_is_a_small_cluster() {
        let cluster = validate(&object("{}")).unwrap();
        assert_eq!(
            cluster.image,
            format!("ghcr.io/openim-cluster/openim-server:{}", crate::model::names::VERSION)
        );
        assert!(cluster.mongodb.is_managed() && cluster.redis.is_managed() && cluster.kafka.is_managed());
    }

    #[test]
    fn a_schedule_that_cannot_be_carried_out_is_named_with_its_field() {
        let own = "objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}";
        let files =
            |more: &str| format!("objectStorage: {{endpoint: 'http://s3', bucket: b, secretName: s{more}}}");
        let daily = "schedule: '0 3 * * *'";
        for (spec, field, problem) in [
            (format!("backup: {{{own}, schedule: '0 3 * *'}}"), "spec.backup.schedule", "five fields"),
            (
                format!("backup: {{{own}, schedule: '0 25 * * *'}}"),
                "spec.backup.schedule",
                "the hour goes from",
            ),
            (
                format!("backup: {{{own}, {daily}, timeZone: Moon}}"),
                "spec.backup.timeZone",
                "not a time zone",
            ),
            (format!("backup: {{{own}, {daily}, keep: 0}}"), "spec.backup.keep", "between 1 and 366"),
            (format!("backup: {{{daily}}}"), "spec.backup.schedule", "need an object storage"),
            (
                format!("{}\nbackup: {{{daily}}}", files(", cdnPrefix: 'https://c'")),
                "spec.backup.schedule",
                "public",
            ),
        ] {
            let found = validate(&object(&spec)).unwrap_err();
            assert!(found.field == field && found.problem.contains(problem), "{spec}: {found}");
        }
        for spec in [
            format!("backup: {{{own}, {daily}, timeZone: Europe/Berlin, keep: 1, suspend: true}}"),
            format!("{}\nbackup: {{{daily}}}", files("")),
        ] {
            assert!(validate(&object(&spec)).is_ok(), "{spec}");
        }
    }

    #[test]
    fn a_newer_operator_alone_upgrades_nothing() {
        let mut running = object("{}");
        running.status = Some(crds::OpenIMClusterStatus { version: "0.0.9".into(), ..Default::default() });
        assert_eq!(validate(&running).unwrap().version, "0.0.9");
    }

    #[test]
    fn what_ran_is_known_when_the_status_is_lost() {
        let credentials = BTreeMap::from([(key::RAN.to_owned(), "0.0.9".to_owned())]);
        let cluster = with_what_ran(validate(&object("{}")).unwrap(), &credentials);
        assert_eq!((cluster.ran.as_str(), cluster.version.as_str()), ("0.0.9", "0.0.9"));
        assert!(cluster.image.ends_with("openim-server:0.0.9"), "{}", cluster.image);
        let asked = with_what_ran(validate(&object("version: 0.2.0")).unwrap(), &credentials);
        assert_eq!(
            (asked.ran.as_str(), asked.version.as_str()),
            ("0.0.9", "0.2.0"),
            "which is checked against it"
        );
        let mut running = object("{}");
        running.status = Some(crds::OpenIMClusterStatus { version: "0.1.0".into(), ..Default::default() });
        assert_eq!(with_what_ran(validate(&running).unwrap(), &credentials).ran, "0.1.0");
    }

    #[test]
    fn a_name_that_services_cannot_have_is_told_of() {
        let mut dotted = object("{}");
        dotted.metadata.name = Some("chat.prod".into());
        let told = validate(&dotted).unwrap_err();
        assert_eq!(told.field, "metadata.name");
        assert!(told.problem.contains("no dot"), "{told}");
    }

    #[test]
    fn null_is_what_is_not_given() {
        for given in [
            "null",
            "{nodeAffinity: null}",
            "{podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}",
        ] {
            validate(&object(&format!(
                "{{pods: {{affinity: {given}}}, ingress: {{host: '*.example.org', tlsSecretName: c}}}}"
            )))
            .unwrap();
        }
    }

    #[test]
    fn a_receiver_with_a_secret_in_its_address_stands_in_a_secret() {
        for fine in
            ["{url: 'https://x/@me?a=@'}", "{urlSecretName: hook}", "{url: 'http://x', urlSecretName: null}"]
        {
            assert_eq!(
                validate(&object(&format!("webhooks: {fine}"))).err().map(|error| error.to_string()),
                None
            );
        }
        let refused = validate(&object("webhooks: {url: 'https://me:hunter2@x'}")).unwrap_err().to_string();
        assert!(refused.contains("urlSecretName") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn only_images_that_the_operator_may_run_are_run() {
        let allowed = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        let theirs = "image: {repository: 'r.example.org:5000/im/server'}\nmongodb: {managed: {image: 'mirror/mongo:8'}}\n\
                      redis: {managed: {image: 'mirror/redis@sha256:0'}}\nkafka: {managed: {image: mirror/kafka}}";
        let cluster = validate(&object(theirs)).unwrap();
        for enough in [
            &[][..],
            &["r.example.org:5000/im/server", "mirror/mongo", "mirror/redis", "mirror/kafka"],
            &["r.example.org:5000/", "mirror/"],
        ] {
            assert_eq!(images(&cluster, &allowed(enough)), Ok(()), "{enough:?}");
        }
        for (few, field) in [
            (&["mirror/"][..], "spec.image.repository"),
            (&["r.example.org:5000/im", "mirror/"], "spec.image.repository"),
            (&["r.example.org:5000/", "mirror/mongo", "mirror/kafka"], "spec.redis.managed.image"),
        ] {
            let refused = images(&cluster, &allowed(few)).unwrap_err();
            assert!(refused.field == field && refused.problem.contains("allowedRepositories"), "{refused}");
        }
        let defaults = validate(&object("{}")).unwrap();
        let refused = images(&defaults, &[repository(&defaults.image).to_owned()]).unwrap_err();
        assert_eq!(refused.field, "spec.mongodb.managed.image");
    }

    #[test]
    fn mistakes_name_their_field() {
        for (spec, field) in [
            ("kafka: {managed: {}, external: {address: [a:1]}}", "spec.kafka"),
            ("kafka: {external: {address: []}}", "spec.kafka.external.address"),
            (
                "kafka: {external: {address: ['k:1'], saslMechanism: PLAIN}}",
                "spec.kafka.external.saslMechanism",
            ),
            ("redis: {external: {address: 'r:1', username: chat}}", "spec.redis.external.username"),
            ("kafka: {managed: {brokers: 2}}", "spec.kafka.managed.brokers"),
            ("mongodb: {managed: {members: 2}}", "spec.mongodb.managed.members"),
            ("mongodb: {managed: {storage: lots}}", "spec.mongodb.managed.storage"),
            ("redis: {managed: {storage: lots}}", "spec.redis.managed.storage"),
            ("redis: {managed: {replicas: 2}}", "spec.redis.managed.replicas"),
            ("redis: {managed: {resources: {cpuRequest: fast}}}", "spec.redis.managed.resources.cpuRequest"),
            (
                "mongodb: {managed: {resources: {memoryRequest: 4Gi, memoryLimit: 3.5Gi}}}",
                "spec.mongodb.managed.resources.memoryRequest",
            ),
            (
                "kafka: {managed: {resources: {memoryRequest: 100Mi, memoryLimit: 500Mi}}}",
                "spec.kafka.managed.resources.memoryLimit",
            ),
            ("kafka: {managed: {pods: {affinity: {podAfinity: {}}}}}", "spec.kafka.managed.pods.affinity"),
            (
                "services: {api: {resources: {memoryRequest: 2G}}}",
                "spec.services.api.resources.memoryRequest",
            ),
            ("image: {digest: latest}", "spec.image.digest"),
            ("pods: {affinity: {nodeAffinity: 3}}", "spec.pods.affinity"),
            ("services: {api: {pods: {affinity: {nodeAfinity: {}}}}}", "spec.services.api.pods.affinity"),
            (
                "services: {api: {autoscaling: {maxReplicas: 2, connections: 5}}}",
                "spec.services.api.autoscaling.connections",
            ),
            ("services: {msg: {autoscaling: {maxReplicas: 2, lag: 5}}}", "spec.services.msg.autoscaling.lag"),
            (
                "services: {gateway: {resources: {cpuRequest: fast}}}",
                "spec.services.gateway.resources.cpuRequest",
            ),
            ("objectStorage: {endpoint: 'minio:9000', secretName: s}", "spec.objectStorage.endpoint"),
            ("webhooks: {url: 'http://x', hooks: {beforeLunch: {}}}", "spec.webhooks.hooks.beforeLunch"),
            ("webhooks: {}", "spec.webhooks.url"),
            ("webhooks: {url: 'https://x/', urlSecretName: hook}", "spec.webhooks.url"),
            ("webhooks: {url: 'https://me:secret@example.org/hook?a=b'}", "spec.webhooks.url"),
            ("webhooks: {url: 'https://me@example.org'}", "spec.webhooks.url"),
            ("config: {notifications: {groupMade: {}}}", "spec.config.notifications.groupMade"),
            (
                "services: {api: {autoscaling: {minReplicas: 3, maxReplicas: 2}}}",
                "spec.services.api.autoscaling",
            ),
            ("rollout: {soakSeconds: 60, deadlineSeconds: 60}", "spec.rollout.deadlineSeconds"),
            ("ingress: {host: Chat.example.org}", "spec.ingress.host"),
            ("ingress: {host: chat_1.example.org}", "spec.ingress.host"),
            ("ingress: {tlsSecretName: cert}", "spec.ingress.tlsSecretName"),
            (
                "gatewayAPI: {parentRefs: [{name: g}], hostnames: [a.b, 'a..b']}",
                "spec.gatewayAPI.hostnames[1]",
            ),
            ("config: {logLevel: verbose}", "spec.config.logLevel"),
            ("config: {multiLoginPolicy: 3}", "spec.config.multiLoginPolicy"),
        ] {
            assert_eq!(validate(&object(spec)).unwrap_err().field, field);
        }
    }
}

//! config.yaml as the operator writes it: a sparse form of [`config::Config`]. Keys that came later are `None` and omitted where they
//! have their default, because services of an earlier version refuse what they do not know. Secrets are not in it (`secrets`).

use std::collections::BTreeMap;

use config::{RedisMode, SaslMechanism};
use crds::{AddressLimits, NotificationSettings, Traces, WebhookSettings};
use serde::Serialize;

use crate::{connections, model::cluster::Cluster};

/// The file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigFile {
    #[serde(rename = "adminUserIDs")]
    admin_user_ids: Vec<String>,
    multi_login: MultiLogin,
    #[serde(skip_serializing_if = "Option::is_none")]
    mongo: Option<Mongo>,
    pub redis: Redis,
    pub kafka: Kafka,
    discovery: Discovery,
    object: Object,
    webhooks: Webhooks,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_proxies: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_limits: Option<AddressLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traces: Option<Traces>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_origins: Vec<String>,
    #[serde(rename = "internalTLS", skip_serializing_if = "Option::is_none")]
    internal_tls: Option<InternalTls>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notification: BTreeMap<String, NotificationSettings>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MultiLogin {
    policy: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    logout_revokes: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Mongo {
    database: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Redis {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_mode: Option<RedisMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_mode: Option<SentinelMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentinelMode {
    master_name: String,
    sentinels_addrs: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Tls {
    #[serde(rename = "enableTLS")]
    enable_tls: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kafka {
    address: Vec<String>,
    username: String,
    partitions: i32,
    replication_factor: i32,
    #[serde(flatten)]
    names: Option<KafkaNames>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
}

/// With a prefix, all of them are written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KafkaNames {
    group_prefix: String,
    message_topic: String,
    push_topic: String,
    webhook_topic: String,
    offline_topic: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    enable: &'static str,
    service_prefix: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(skip_serializing_if = "Option::is_none")]
    enable: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes_per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3: Option<S3>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct S3 {
    endpoint: String,
    external_endpoint: String,
    bucket: String,
    region: String,
    path_style: bool,
    cdn_prefix: String,
}

#[derive(Debug, Default, Serialize)]
struct Webhooks {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(flatten)]
    hooks: BTreeMap<String, Hook>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    enable: bool,
    timeout: u64,
    failed_continue: bool,
    denied_types: Vec<i32>,
    attention_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct InternalTls {
    enable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    transition: Option<String>,
}

impl ConfigFile {
    /// The settings of a cluster. `encrypted`: its services use TLS among themselves, or `transition` says how far they are.
    pub fn of(
        cluster: &Cluster,
        servers: &connections::Settings,
        encrypted: bool,
        transition: Option<&str>,
    ) -> Self {
        let wanted = &cluster.spec.config;
        let limits = wanted.address_limits.clone();
        let database = &servers.mongo_database;
        Self {
            admin_user_ids: wanted.admin_user_ids.clone(),
            multi_login: MultiLogin {
                policy: wanted.multi_login_policy,
                logout_revokes: wanted.logout_revokes.then_some(true),
            },
            mongo: (*database != config::Mongo::default().database)
                .then(|| Mongo { database: database.clone() }),
            redis: Redis::of(&servers.redis),
            kafka: Kafka::of(&servers.kafka, wanted.kafka_partitions),
            discovery: Discovery { enable: "kubernetes", service_prefix: format!("{}-", cluster.name) },
            object: cluster.spec.object_storage.as_ref().map(Object::of).unwrap_or_default(),
            webhooks: cluster.spec.webhooks.as_ref().map(Webhooks::of).unwrap_or_default(),
            trusted_proxies: wanted.trusted_proxies.clone(),
            address_limits: limits.filter(|limits| *limits != AddressLimits::default()),
            traces: wanted.traces.clone(),
            allowed_origins: wanted.allowed_origins.clone(),
            internal_tls: encrypted
                .then(|| InternalTls { enable: true, transition: transition.map(str::to_owned) }),
            notification: wanted.notifications.clone(),
        }
    }

    /// As services read it, with its keys in alphabetical order.
    pub fn to_yaml(&self) -> String {
        serde_yaml_ng::to_string(&serde_json::json!(self)).unwrap_or_default()
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Tls {
    fn of(tls: &config::ClientTls) -> Option<Self> {
        tls.enable_tls.then_some(Self { enable_tls: true })
    }
}

impl Redis {
    fn of(redis: &config::Redis) -> Self {
        let mode = Some(redis.redis_mode).filter(|mode| *mode != RedisMode::Standalone);
        let sentinels = &redis.sentinel_mode;
        Self {
            address: redis.address.clone(),
            username: given(&redis.username),
            prefix: given(&redis.prefix),
            redis_mode: mode,
            sentinel_mode: mode.map(|_| SentinelMode {
                master_name: sentinels.master_name.clone(),
                sentinels_addrs: sentinels.sentinels_addrs.clone(),
            }),
            tls: Tls::of(&redis.tls),
        }
    }
}

impl Kafka {
    fn of(kafka: &config::Kafka, partitions: i32) -> Self {
        Self {
            address: kafka.address.clone(),
            username: kafka.username.clone(),
            partitions,
            replication_factor: kafka.replication_factor,
            names: given(&kafka.group_prefix).map(|group_prefix| KafkaNames {
                group_prefix,
                message_topic: kafka.message_topic.clone(),
                push_topic: kafka.push_topic.clone(),
                webhook_topic: kafka.webhook_topic.clone(),
                offline_topic: kafka.offline_topic.clone(),
            }),
            tls: Tls::of(&kafka.tls),
            sasl_mechanism: Some(kafka.sasl_mechanism).filter(|used| *used != SaslMechanism::Plain),
        }
    }
}

impl Object {
    fn of(storage: &crds::ObjectStorage) -> Self {
        Self {
            enable: Some("s3"),
            expire_days: Some(storage.expire_days),
            max_bytes: Some(storage.max_bytes).filter(|most| *most != crds::gibibyte()),
            max_bytes_per_day: Some(storage.max_bytes_per_day)
                .filter(|most| *most != crds::hundred_gibibytes()),
            s3: Some(S3 {
                endpoint: storage.endpoint.clone(),
                external_endpoint: storage.external_endpoint.clone(),
                bucket: storage.bucket.clone(),
                region: storage.region.clone(),
                path_style: storage.path_style,
                cdn_prefix: storage.cdn_prefix.clone(),
            }),
        }
    }
}

impl Webhooks {
    fn of(wanted: &crds::Webhooks) -> Self {
        let hook = |settings: &WebhookSettings| Hook {
            enable: true,
            timeout: settings.timeout,
            failed_continue: settings.failed_continue,
            denied_types: settings.denied_types.clone(),
            attention_ids: settings.attention_ids.clone(),
        };
        let hooks = wanted.hooks.iter().map(|(name, settings)| (name.clone(), hook(settings)));
        Self { url: given(&wanted.url), hooks: hooks.collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::{tests::object, validate};

    fn cluster(spec: &str) -> (Cluster, connections::Settings) {
        let cluster = validate(&object(spec)).unwrap();
        let none = BTreeMap::new();
        let servers = connections::settings(&cluster, &none, &BTreeMap::new(), &BTreeMap::new());
        (cluster, servers)
    }

    fn yaml(value: &Value) -> String {
        serde_yaml_ng::to_string(value).unwrap()
    }

    #[test]
    fn what_nobody_asked_for_is_left_out() {
        let (cluster, servers) = cluster("{}");
        let expected = json!({
            "adminUserIDs": cluster.spec.config.admin_user_ids,
            "multiLogin": { "policy": 1 },
            "redis": { "address": "chat-redis-0.chat-redis.team.svc:6379" },
            "kafka": {
                "address": ["chat-kafka-0.chat-kafka.team.svc:9092"],
                "username": servers.kafka.username,
                "partitions": cluster.spec.config.kafka_partitions,
                "replicationFactor": 1,
            },
            "discovery": { "enable": "kubernetes", "servicePrefix": "chat-" },
            "object": {},
            "webhooks": {},
        });
        assert_eq!(ConfigFile::of(&cluster, &servers, false, None).to_yaml(), yaml(&expected));
    }

    const RICH: &str = r"
mongodb: {external: {secretName: mongo, database: other}}
redis:
  external: {address: 'r:6379', secretName: redis, username: u, tls: true, mode: sentinel, masterName: m, prefix: 'x.'}
kafka:
  external: {address: ['k:9092'], secretName: kafka, tls: true, saslMechanism: SCRAM-SHA-512, prefix: 'x.'}
objectStorage: {endpoint: 'http://s3', bucket: files, secretName: s3, maxBytes: 7, maxBytesPerDay: 0}
webhooks: {url: 'http://x', hooks: {beforeSendSingleMsg: {timeout: 3}}}
config:
  multiLoginPolicy: 4
  logoutRevokes: true
  trustedProxies: [10.0.0.0/8]
  addressLimits: {connections: 7}
  traces: {endpoint: 'http://collector:4317'}
  allowedOrigins: ['https://chat.example']
  notifications: {groupCreated: {isSendMsg: false}}
";

    /// Byte for byte: the ConfigMap is named by a hash of the file, and pods name the ConfigMap.
    #[test]
    fn what_is_asked_for_is_written_as_ever() {
        let (cluster, servers) = cluster(RICH);
        let wanted = &cluster.spec.config;
        let storage = cluster.spec.object_storage.clone().unwrap();
        let hooks = cluster.spec.webhooks.clone().unwrap().hooks;
        let failed_continue = hooks["beforeSendSingleMsg"].failed_continue;
        let expected = json!({
            "adminUserIDs": wanted.admin_user_ids,
            "multiLogin": { "policy": 4, "logoutRevokes": true },
            "mongo": { "database": "other" },
            "redis": {
                "address": "r:6379",
                "username": "u",
                "prefix": "x.",
                "redisMode": "sentinel",
                "sentinelMode": {
                    "masterName": "m",
                    "sentinelsAddrs": servers.redis.sentinel_mode.sentinels_addrs,
                },
                "tls": { "enableTLS": true },
            },
            "kafka": {
                "address": ["k:9092"],
                "username": servers.kafka.username,
                "partitions": wanted.kafka_partitions,
                "replicationFactor": servers.kafka.replication_factor,
                "groupPrefix": "x.",
                "messageTopic": servers.kafka.message_topic,
                "pushTopic": servers.kafka.push_topic,
                "webhookTopic": servers.kafka.webhook_topic,
                "offlineTopic": servers.kafka.offline_topic,
                "tls": { "enableTLS": true },
                "saslMechanism": "SCRAM-SHA-512",
            },
            "discovery": { "enable": "kubernetes", "servicePrefix": "chat-" },
            "object": {
                "enable": "s3",
                "expireDays": storage.expire_days,
                "maxBytes": 7,
                "maxBytesPerDay": 0,
                "s3": {
                    "endpoint": "http://s3",
                    "externalEndpoint": storage.external_endpoint,
                    "bucket": "files",
                    "region": storage.region,
                    "pathStyle": storage.path_style,
                    "cdnPrefix": storage.cdn_prefix,
                },
            },
            "webhooks": {
                "url": "http://x",
                "beforeSendSingleMsg": {
                    "enable": true,
                    "timeout": 3,
                    "failedContinue": failed_continue,
                    "deniedTypes": [],
                    "attentionIds": [],
                },
            },
            "trustedProxies": ["10.0.0.0/8"],
            "addressLimits": wanted.address_limits,
            "traces": wanted.traces,
            "allowedOrigins": ["https://chat.example"],
            "notification": wanted.notifications,
            "internalTLS": { "enable": true, "transition": "call" },
        });
        let file = ConfigFile::of(&cluster, &servers, true, Some("call"));
        assert_eq!(file.to_yaml(), yaml(&expected));
    }
}

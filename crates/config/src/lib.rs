//! The one configuration file, `config.yaml`: parsed and checked before anything binds. Every key has a default except the
//! secret. `IMENV_<PATH>` overrides a key (`mongo.uri` is `IMENV_MONGO_URI`). `webhooks.yaml` and `notification.yaml` beside it hold
//! what may as well stand below `webhooks:` and `notification:`. `config.schema.json` describes the file to editors;
//! docs/protocol/configuration.md has upstream's keys.

mod accounts;
mod clients;
mod console;
mod environment;
mod files;
mod hooks;
mod keys;
mod live;
mod locate;
mod notification;
mod push;
mod secrets;

use std::path::Path;

pub use accounts::{Accounts, Codes, LiveKit, Mail, MailSecurity, Sms};
pub use clients::{AddressLimits, origins_problem, proxies_problem};
pub use console::{Console, ConsoleKubernetes, ConsoleRoles};
use figment::{
    Figment,
    providers::{Format, Serialized, Yaml},
};
pub use files::ConfigError;
pub use hooks::{Hook, HookConfig, Webhooks, is_forbidden};
pub use keys::{Key, Purpose};
pub use live::{LIVE_FILE, Live, LiveLog, LiveSettings, Taken, revision};
pub use notification::{NotificationKind, NotificationPush, NotificationSettings, Notifications};
pub use push::{ApnsPush, FcmPush, GetuiPush, JpushPush, Push, PushVendor, WebPush};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use topology::Service;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Signs tokens and authenticates the services to each other. No default: at least 16 characters.
    pub secret: String,
    /// The secret that `/auth/get_admin_token` requires, for back ends; it cannot sign tokens. At least 16 characters;
    /// empty: `secret`.
    pub api_secret: String,
    /// During a rotation: another secret that is accepted for calls and tokens, the next or the old one.
    pub other_secret: String,
    /// During a rotation: another secret that `/auth/get_admin_token` accepts.
    pub other_api_secret: String,
    /// Formerly signed tokens, which are accepted until they expire. Only for the auth service.
    pub token_secret: String,
    /// Refuse unsigned calls of older services. Default: yes, except with `discovery.enable: kubernetes`, where the operator
    /// sets it when the last of them is gone (docs/adr/0018-keys.md).
    pub signed_calls_only: Option<bool>,
    /// Users with administrator rights, created at start.
    #[serde(rename = "adminUserIDs")]
    pub admin_user_ids: Vec<String>,
    /// See [`MultiLogin`].
    pub multi_login: MultiLogin,
    /// Validity of user tokens in days, 1 to 3650.
    pub token_expire_days: u32,
    /// Only friends of the receiver can send to them.
    pub friend_verify: bool,
    /// Days after which messages are removed; 0 keeps them forever.
    pub retain_days: u32,
    /// Whether new group members see older messages.
    pub history_for_new_members: bool,
    /// Allow `_`, `/` and white space in ids of new users and of groups created by administrators, for existing directories. Consequence:
    /// conversation ids join ids with `_`, so two pairs of users (`a` with `b_c`, `a_b` with `c`), or a group and a pair, can have one
    /// conversation id. Each still sees only its own messages, but they share seqs, unread counts and clearing for everybody.
    #[serde(rename = "allowAmbiguousIDs")]
    pub allow_ambiguous_ids: bool,
    /// Log settings.
    pub log: Log,
    /// Traces for an OpenTelemetry collector.
    pub traces: Traces,
    /// MongoDB.
    pub mongo: Mongo,
    /// Redis.
    pub redis: Redis,
    /// Kafka.
    pub kafka: Kafka,
    /// How services find each other.
    pub discovery: Discovery,
    /// etcd, for `discovery.enable: etcd`.
    pub etcd: Etcd,
    /// TLS between the services.
    #[serde(rename = "internalTLS")]
    pub internal_tls: InternalTls,
    /// Networks of proxies whose `X-Forwarded-For` is trusted: addresses or CIDRs. Default: this host, and in Kubernetes the private networks,
    /// which contain ingress controllers and pods. Clients that connect without a proxy must not come from one of these.
    pub trusted_proxies: Option<Vec<String>>,
    /// See [`AddressLimits`].
    pub address_limits: AddressLimits,
    /// Origins of web pages that can use the API and the WebSocket, such as `https://chat.example.com`; `*`: any. Clients other than browsers
    /// are not affected.
    pub allowed_origins: Vec<String>,
    /// REST.
    pub api: Api,
    /// WebSocket.
    pub gateway: Gateway,
    /// Kafka to MongoDB.
    pub transfer: Transfer,
    /// Offline push.
    pub push: Push,
    /// Uploaded files.
    pub object: Object,
    /// Backups.
    pub backup: Backup,
    /// The account service.
    pub accounts: Accounts,
    /// The console.
    pub console: Console,
    /// Calls to the integrator's back end; also the content of `webhooks.yaml`.
    pub webhooks: Webhooks,
    /// System messages; also the content of `notification.yaml`.
    pub notification: Notifications,
    /// Port of `/metrics`, `/healthz`, `/readyz`, `/loglevel`, `/config`.
    pub admin_port: u16,
    /// First port of the RPC services; each service adds its own offset.
    pub rpc_base_port: u16,
}

/// Multi-login.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MultiLogin {
    /// 0 any, 1 one per platform, 4 one per platform class, 5 PC plus one.
    pub policy: i32,
    /// Tokens kept per platform under policy 0.
    pub max_num_one_end: usize,
    /// Logging out revokes the token. Otherwise only the push token is deleted, as with upstream, and the token can be used
    /// again.
    pub logout_revokes: bool,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,openim_transfer=debug`.
    pub level: String,
    /// Directory of log files; empty: standard output. A change needs a restart.
    pub storage_location: String,
    /// Hours per file: 1 or 24. A change needs a restart.
    pub rotation_time: u32,
    /// Files kept per service, 1 to 1000. A change needs a restart.
    pub remain_rotation_count: usize,
}

/// Traces: requests, calls between services, batches and jobs as spans, for an OpenTelemetry collector. A change needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Traces {
    /// Address of the collector's OTLP receiver over gRPC, such as `http://collector:4317`; empty: no traces are sent.
    pub endpoint: String,
    /// Trace one of this many requests, at least 1.
    pub sample_one_in: u32,
}

/// MongoDB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mongo {
    /// Connection string, with credentials.
    pub uri: String,
    /// Database name.
    pub database: String,
    /// Connections per process.
    pub max_pool_size: u32,
}

/// Redis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Redis {
    /// `host:port`; for a cluster some of its nodes, separated by commas. Ignored with `sentinel`.
    pub address: String,
    /// ACL user; empty for the default user.
    pub username: String,
    /// Password; empty for none.
    pub password: String,
    /// Database number; clusters only have 0.
    pub db: i64,
    /// Prefix of keys and channels. Clusters that share a Redis need different prefixes.
    pub prefix: String,
    /// `standalone`, `sentinel` or `cluster`.
    pub redis_mode: RedisMode,
    /// For `sentinel`.
    pub sentinel_mode: RedisSentinel,
    /// TLS to the servers and sentinels.
    pub tls: ClientTls,
}

/// See [`Redis::redis_mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// The current master of a Sentinel set.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

/// Where the sentinels are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RedisSentinel {
    /// Name of the master known to the sentinels.
    pub master_name: String,
    /// `host:port` of sentinels.
    pub sentinels_addrs: Vec<String>,
    /// Password of the sentinels themselves; empty for none.
    pub password: String,
}

/// Kafka.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port` of brokers.
    pub address: Vec<String>,
    /// User; empty for none.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// How the user logs in.
    pub sasl_mechanism: SaslMechanism,
    /// TLS to the brokers.
    pub tls: ClientTls,
    /// Prefix of consumer groups. Clusters that share a Kafka need different prefixes, and different topics.
    pub group_prefix: String,
    /// Topic of accepted messages.
    pub message_topic: String,
    /// Topic of stored messages.
    pub push_topic: String,
    /// Topic of queued webhooks.
    pub webhook_topic: String,
    /// Topic of offline push.
    pub offline_topic: String,
    /// Partitions in use; missing ones are created.
    pub partitions: i32,
    /// Replication factor of created topics.
    pub replication_factor: i32,
}

/// How a user logs in to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// The password is sent.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// Both sides prove that they know the password.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer digest.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// As Kafka calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// TLS to a server. A certificate or key is the name of a file, or the PEM text itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientTls {
    /// Use TLS.
    #[serde(rename = "enableTLS")]
    pub enable_tls: bool,
    /// Trusted certificate authorities; empty: those of the system.
    pub ca_crt: String,
    /// Client certificate; empty: none.
    pub client_crt: String,
    /// Its key.
    pub client_key: String,
    /// Password of the key; empty: none. Only for Kafka.
    pub client_key_pwd: String,
    /// Do not verify certificates: only for experiments.
    pub insecure_skip_verify: bool,
}

impl ClientTls {
    /// The PEM text of one of the fields.
    ///
    /// # Errors
    /// When it names a file that cannot be read.
    pub fn pem(field: &str) -> std::io::Result<Vec<u8>> {
        if field.contains("-----BEGIN") {
            return Ok(field.as_bytes().to_vec());
        }
        std::fs::read(field).map_err(|error| std::io::Error::new(error.kind(), format!("{field}: {error}")))
    }

    fn problem(&self) -> Option<(&'static str, &'static str)> {
        (self.client_crt.is_empty() != self.client_key.is_empty())
            .then_some(("tls.clientCrt", "and clientKey belong together"))
    }
}

/// Mutual TLS between services: both sides present a certificate of the same authority, for the name `openim.internal`. All services of
/// a cluster use it, or none; `transition` leads from one to the other.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InternalTls {
    /// Use TLS.
    pub enable: bool,
    /// The authority's certificate: a file name, or the PEM text itself.
    pub ca_crt: String,
    /// The certificate of the services.
    pub crt: String,
    /// Its key.
    pub key: String,
    /// While the services of a running cluster change to TLS; see [`TlsTransition`].
    pub transition: TlsTransition,
}

/// How services that are already running change to TLS: all of them to `accept`, then all to `call`, then to `none` with TLS enabled. Services in
/// neighbouring steps understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TlsTransition {
    /// Calls are encrypted, and no others are accepted.
    #[default]
    None,
    /// Encrypted and unencrypted calls are accepted; calls are not encrypted yet.
    Accept,
    /// Encrypted and unencrypted calls are accepted; calls are encrypted.
    Call,
}

/// The name in the certificates of the services.
pub const INTERNAL_NAME: &str = "openim.internal";

/// How services find each other.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Discovery {
    /// `static`, `kubernetes` or `etcd`.
    pub enable: DiscoveryKind,
    /// For `kubernetes`: service names are `<prefix><service>`, resolved as headless services.
    pub service_prefix: String,
    /// For `static`: the host where all services run.
    pub host: String,
    /// For `etcd`: where other services reach this process; empty: 127.0.0.1.
    pub advertise_host: String,
}

/// etcd.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Etcd {
    /// `host:port` of members.
    pub address: Vec<String>,
    /// Services are registered below this key.
    pub root_directory: String,
    /// User; empty for none.
    pub username: String,
    /// Password.
    pub password: String,
}

/// See [`Discovery::enable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DiscoveryKind {
    /// One host.
    Static,
    /// Headless services.
    Kubernetes,
    /// Every process registers itself.
    Etcd,
}

/// REST.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Api {
    /// Port of the REST API.
    pub open_im_api_port: u16,
    /// Maximum request body of an administrator, in bytes. Users can send up to 1 MiB, callers without a valid token 64 KiB.
    pub max_body_bytes: usize,
    /// Requests per second and user, which is also the burst size; more are answered with 429. 0: no limit. Administrators are not limited.
    pub requests_per_second: u32,
    /// See [`Prometheus`].
    pub prometheus: Prometheus,
}

/// Dashboards.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Prometheus {
    /// Redirect target of `GET /third/prometheus`; empty: none.
    #[serde(rename = "grafanaURL")]
    pub grafana_url: String,
}

/// Uploaded files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Object {
    /// `s3`, or `none`: uploads are refused.
    pub enable: ObjectKind,
    /// Base URL of this API in URLs of objects; empty: as the client called it.
    #[serde(rename = "apiURL")]
    pub api_url: String,
    /// Maximum size of an object, in bytes.
    pub max_bytes: u64,
    /// Maximum bytes that a user can upload per UTC day; 0: no limit.
    pub max_bytes_per_day: u64,
    /// Days after which objects uploaded for one of `deleteTypes` are removed; 0 keeps them forever.
    pub expire_days: u32,
    /// Upload causes (`cause`) of objects that expire.
    pub delete_types: Vec<String>,
    /// The storage.
    pub s3: ObjectStorage,
}

/// Backups; used only by `openim-server backup` and `restore`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backup {
    /// Encrypts and signs backups: any text of at least 32 characters, for example from `openssl rand -hex 32`. Nobody can restore
    /// without it: keep a copy outside of the cluster.
    pub key: String,
    /// Storage of backups; without an endpoint: `object.s3`, unless that has a `cdnPrefix`.
    pub s3: ObjectStorage,
}

/// Whether there is an object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ObjectKind {
    /// No.
    #[default]
    None,
    /// Any S3-compatible one.
    S3,
}

/// An S3-compatible object storage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ObjectStorage {
    /// URL that the services use.
    pub endpoint: String,
    /// URL that clients use; empty: the same.
    pub external_endpoint: String,
    /// Bucket; created if it does not exist.
    pub bucket: String,
    /// Region.
    pub region: String,
    /// Access key.
    #[serde(rename = "accessKeyID")]
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    /// Session token of temporary credentials; empty for none.
    pub session_token: String,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Public base URL of a content delivery network in front of the bucket; empty: signed URLs.
    pub cdn_prefix: String,
}

/// WebSocket.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Gateway {
    /// Port of the WebSocket gateway.
    pub port: u16,
    /// Address at which other services reach this gateway's RPC port; empty: `discovery.advertiseHost`.
    pub advertise_host: String,
    /// Connections per process.
    pub max_connections: usize,
    /// Maximum bytes of outgoing frames queued for a slow client before it is disconnected.
    pub send_queue_bytes: usize,
    /// Seconds over which a stopping gateway closes its connections.
    pub drain_seconds: u64,
    /// Requests per second and connection; beyond that it is slowed down.
    pub requests_per_second: u32,
}

/// Kafka to MongoDB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Transfer {
    /// Maximum messages of a partition per batch.
    pub batch_size: usize,
}

impl Kafka {
    /// The name in Kafka of a consumer group.
    pub fn group(&self, name: &str) -> String {
        format!("{}{name}", self.group_prefix)
    }
}

impl Redis {
    /// The key that cannot be as it is, and why.
    fn problem(&self) -> Option<(&'static str, &'static str)> {
        match self.redis_mode {
            RedisMode::Sentinel if self.sentinel_mode.sentinels_addrs.is_empty() => {
                Some(("sentinelMode.sentinelsAddrs", "must name at least one host:port"))
            }
            RedisMode::Sentinel if self.sentinel_mode.master_name.is_empty() => {
                Some(("sentinelMode.masterName", "must name the master"))
            }
            RedisMode::Cluster if self.db != 0 => Some(("db", "must be 0: clusters have no other database")),
            _ if self.prefix.contains(['{', '}']) => {
                Some(("prefix", "must have no braces: they decide on which node of a cluster a key is"))
            }
            _ if !self.tls.client_key_pwd.is_empty() => {
                Some(("tls.clientKeyPwd", "is supported only for Kafka: use a key without a password"))
            }
            _ => self.tls.problem(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            secret: String::new(),
            api_secret: String::new(),
            other_secret: String::new(),
            other_api_secret: String::new(),
            token_secret: String::new(),
            signed_calls_only: None,
            admin_user_ids: vec!["imAdmin".into()],
            multi_login: MultiLogin::default(),
            token_expire_days: 90,
            friend_verify: false,
            retain_days: 365,
            history_for_new_members: true,
            allow_ambiguous_ids: false,
            log: Log::default(),
            traces: Traces::default(),
            mongo: Mongo::default(),
            redis: Redis::default(),
            kafka: Kafka::default(),
            discovery: Discovery::default(),
            etcd: Etcd::default(),
            internal_tls: InternalTls::default(),
            trusted_proxies: None,
            address_limits: AddressLimits::default(),
            allowed_origins: vec!["*".into()],
            api: Api::default(),
            gateway: Gateway::default(),
            transfer: Transfer::default(),
            push: Push::default(),
            object: Object::default(),
            backup: Backup::default(),
            accounts: Accounts::default(),
            console: Console::default(),
            webhooks: Webhooks::default(),
            notification: Notifications::default(),
            admin_port: 12000,
            rpc_base_port: 10100,
        }
    }
}

macro_rules! defaults {
    ($($type:ty { $($field:ident: $value:expr),* $(,)? })*) => {
        $(impl Default for $type { fn default() -> Self { Self { $($field: $value),* } } })*
    };
}
defaults! {
    Traces { endpoint: String::new(), sample_one_in: 100 }
    MultiLogin { policy: 1, max_num_one_end: 30, logout_revokes: false }
    Log { level: "info".into(), storage_location: String::new(), rotation_time: 24, remain_rotation_count: 2 }
    Mongo { uri: "mongodb://127.0.0.1:27017".into(), database: "openim_v3".into(), max_pool_size: 50 }
    Redis {
        address: "127.0.0.1:6379".into(), username: String::new(), password: String::new(), db: 0, prefix: String::new(),
        redis_mode: RedisMode::Standalone, sentinel_mode: RedisSentinel::default(), tls: ClientTls::default(),
    }
    RedisSentinel { master_name: "redis-master".into(), sentinels_addrs: vec![], password: String::new() }
    Kafka {
        address: vec!["127.0.0.1:9092".into()], username: String::new(), password: String::new(), sasl_mechanism: SaslMechanism::Plain, tls: ClientTls::default(),
        group_prefix: String::new(), message_topic: "toTransfer".into(), push_topic: "toPush".into(), webhook_topic: "toWebhook".into(), offline_topic: "toOfflinePush".into(), partitions: 8, replication_factor: 1,
    }
    Discovery {
        enable: DiscoveryKind::Static, service_prefix: String::new(), host: "127.0.0.1".into(), advertise_host: String::new()
    }
    Etcd { address: vec!["127.0.0.1:2379".into()], root_directory: "openim".into(), username: String::new(), password: String::new() }
    Object {
        enable: ObjectKind::None, api_url: String::new(), max_bytes: 1 << 30, max_bytes_per_day: 100 << 30, expire_days: 0,
        delete_types: ["msg-picture", "msg-file", "msg-voice", "msg-video", "msg-video-snapshot", "sdklog"].map(String::from).to_vec(),
        s3: ObjectStorage::default()
    }
    ObjectStorage {
        endpoint: String::new(), external_endpoint: String::new(), bucket: "openim".into(), region: "us-east-1".into(),
        access_key_id: String::new(), secret_access_key: String::new(), session_token: String::new(), path_style: true,
        cdn_prefix: String::new()
    }
    Api { open_im_api_port: 10002, max_body_bytes: 16 << 20, requests_per_second: 500, prometheus: Prometheus::default() }
    Gateway {
        port: 10001, advertise_host: String::new(), max_connections: 100_000, send_queue_bytes: 2 << 20, drain_seconds: 10,
        requests_per_second: 200,
    }
    Transfer { batch_size: 1000 }
}

impl Config {
    /// Reads `<directory>/config.yaml`, `live.yaml`, `webhooks.yaml`, `notification.yaml` and the environment.
    ///
    /// # Errors
    /// When a key is unknown, a value has the wrong type, or a value cannot work; the message names the file, the line and the key.
    pub fn load(directory: &Path) -> Result<Self, ConfigError> {
        Self::from_figment(files::read(directory, Figment::from(Serialized::defaults(Self::default())))?)
            .map_err(|error| error.located(directory))
    }

    /// The configuration that a process would read from the text of a config.yaml and variables, to validate generated ones.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of(yaml: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        Self::with_variables(defaults.merge(Yaml::string(yaml)), variables)
    }

    fn from_figment(figment: Figment) -> Result<Self, ConfigError> {
        Self::with_variables(figment, environment::variables())
    }

    fn with_variables(
        figment: Figment,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config: Self =
            environment::merge(figment, variables).extract().map_err(|error| ConfigError::parse(&error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: &str| Err(ConfigError::value(key, problem));
        if let Some((key, problem)) = self.secrets_problem() {
            return refuse(key, problem);
        }
        if self.admin_user_ids.is_empty() {
            return refuse("adminUserIDs", "must name at least one user");
        }
        if ![0, 1, 4, 5].contains(&self.multi_login.policy) {
            return refuse("multiLogin.policy", "must be 0, 1, 4 or 5");
        }
        if let Some(problem) = log_level_problem(&self.log.level) {
            return refuse("log.level", &problem);
        }
        let collector = &self.traces.endpoint;
        if !collector.is_empty()
            && !["http://", "https://"].iter().any(|scheme| collector.starts_with(scheme))
        {
            return refuse(
                "traces.endpoint",
                "must begin with http:// or https://, such as http://collector:4317",
            );
        }
        if self.traces.sample_one_in == 0 {
            return refuse(
                "traces.sampleOneIn",
                "must be at least 1: 1 traces every request, 100 one of a hundred",
            );
        }
        let tls = &self.internal_tls;
        for (key, value) in [("caCrt", &tls.ca_crt), ("crt", &tls.crt), ("key", &tls.key)] {
            if tls.enable && value.is_empty() {
                return refuse(&format!("internalTLS.{key}"), "is required with internalTLS.enable");
            }
        }
        if ![1, 24].contains(&self.log.rotation_time) {
            return refuse("log.rotationTime", "must be 1 or 24 hours");
        }
        if !(1..=1000).contains(&self.log.remain_rotation_count) {
            return refuse("log.remainRotationCount", "must be between 1 and 1000");
        }
        if !(1..=3650).contains(&self.token_expire_days) {
            return refuse("tokenExpireDays", "must be between 1 and 3650");
        }
        if let Some((key, problem)) = self.redis.problem() {
            return refuse(&format!("redis.{key}"), problem);
        }
        if let Some((key, problem)) = self.kafka.tls.problem() {
            return refuse(&format!("kafka.{key}"), problem);
        }
        if self.kafka.address.is_empty() {
            return refuse("kafka.address", "must name at least one host:port");
        }
        if self.kafka.partitions < 1 {
            return refuse("kafka.partitions", "must be at least 1");
        }
        if self.discovery.enable == DiscoveryKind::Etcd && self.etcd.address.is_empty() {
            return refuse("etcd.address", "must name at least one host:port");
        }
        if let Some(problem) = self.trusted_proxies.as_deref().and_then(proxies_problem) {
            return refuse("trustedProxies", &problem);
        }
        if let Some(problem) = origins_problem(&self.allowed_origins) {
            return refuse("allowedOrigins", &problem);
        }
        if self.transfer.batch_size == 0 {
            return refuse("transfer.batchSize", "must be at least 1");
        }
        if let Some((key, problem)) = self.webhooks.problem() {
            return refuse(&format!("webhooks.{key}"), &problem);
        }
        if let Some((key, problem)) = self.accounts.problem(&self.mongo.database) {
            return refuse(&format!("accounts.{key}"), &problem);
        }
        if let Some((key, problem)) = self.console.problem() {
            return refuse(&format!("console.{key}"), &problem);
        }
        if self.object.enable == ObjectKind::S3 {
            let s3 = &self.object.s3;
            if self.object.max_bytes == 0 {
                return refuse("object.maxBytes", "must be at least 1");
            }
            let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
            if !is_url(&s3.endpoint) {
                return refuse("object.s3.endpoint", "must be an http:// or https:// URL");
            }
            if !s3.external_endpoint.is_empty() && !is_url(&s3.external_endpoint) {
                return refuse("object.s3.externalEndpoint", "must be an http:// or https:// URL, or empty");
            }
            if s3.bucket.is_empty() {
                return refuse("object.s3.bucket", "must name a bucket");
            }
            if s3.access_key_id.is_empty() || s3.secret_access_key.is_empty() {
                return refuse("object.s3.accessKeyID", "and secretAccessKey are required");
            }
        }
        Ok(())
    }

    /// The RPC port of a service.
    pub fn rpc_port(&self, service: Service) -> u16 {
        self.rpc_base_port + service.rpc_offset()
    }

    /// Where other services reach this process's instance of a service.
    pub fn rpc_address(&self, service: Service) -> String {
        match self.gateway.advertise_host.as_str() {
            host if service == Service::Gateway && !host.is_empty() => {
                host_port(host, self.rpc_port(service))
            }
            _ => self.advertised(self.rpc_port(service)),
        }
    }

    /// Where others reach a port of this process.
    pub fn advertised(&self, port: u16) -> String {
        let host = self.discovery.advertise_host.as_str();
        host_port(if host.is_empty() { "127.0.0.1" } else { host }, port)
    }

    /// Whether a user is a configured administrator.
    pub fn is_admin(&self, user_id: &str) -> bool {
        self.admin_user_ids.iter().any(|id| id == user_id)
    }
}

/// Joins a host and a port; an IPv6 address gets brackets.
fn host_port(host: &str, port: u16) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The error of a log level or filter, if any. A filter such as `verbose` would be interpreted as a module's name and silence everything.
pub fn log_level_problem(filter: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let wrong = filter.split(',').find(|part| {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
        !LEVELS.contains(&level.trim())
    })?;
    Some(format!("{wrong:?} is not one of {}, or module=level", LEVELS.join(", ")))
}

fn key_paths(value: &serde_json::Value, prefix: &str) -> Vec<String> {
    let serde_json::Value::Object(map) = value else { return vec![prefix.to_owned()] };
    map.iter()
        .flat_map(|(key, child)| {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            key_paths(child, &path)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use figment::providers::{Format, Yaml};

    fn parse(yaml: &str) -> Result<Config, ConfigError> {
        Config::from_figment(Figment::from(Serialized::defaults(Config::default())).merge(Yaml::string(yaml)))
    }

    #[test]
    fn a_secret_is_all_that_is_needed() {
        let config = parse("secret: 0123456789abcdef").unwrap();
        assert_eq!(config.api.open_im_api_port, 10002);
        assert_eq!(config.rpc_port(Service::Auth), 10102);
    }

    #[test]
    fn an_address_of_ipv6_can_be_told_from_its_port() {
        for (host, address) in [
            ("10.0.0.7", "10.0.0.7:10100"),
            ("fd00::7", "[fd00::7]:10100"),
            ("[fd00::7]", "[fd00::7]:10100"),
            ("gateway-0.example", "gateway-0.example:10100"),
        ] {
            let config = parse(&format!(
                "secret: 0123456789abcdef\ngateway: {{advertiseHost: '{host}'}}\ndiscovery: \
                 {{advertiseHost: '{host}'}}"
            ))
            .unwrap();
            assert_eq!(config.rpc_address(Service::Gateway), address);
            assert_eq!(config.advertised(10100), address);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, expected) in [
            ("secret: short", "secret"),
            ("secret: 0123456789abcdef\napiSecret: short", "apiSecret: must have at least 16"),
            ("secret: 0123456789abcdef\notherSecret: aaaaaaaaaaaaaaaa", "otherSecret: is not a secret"),
            ("secret: 0123456789abcdef\nmultiLogin: {policy: 3}", "multiLogin.policy"),
            ("secret: 0123456789abcdef\nmongo: {url: x}", "url"),
            ("secret: 0123456789abcdef\nlog: {level: verbose}", "log.level"),
            ("secret: 0123456789abcdef\nlog: {level: 'info,transfer=loud'}", "transfer=loud"),
            ("secret: 0123456789abcdef\napi: {openImApiPort: many}", "openImApiPort"),
            (
                "secret: 0123456789abcdef\ntrustedProxies: [proxy.example]",
                "trustedProxies: \"proxy.example\"",
            ),
            ("secret: 0123456789abcdef\nallowedOrigins: ['https://a.example/']", "allowedOrigins"),
            ("secret: 0123456789abcdef\nlog: {rotationTime: 5}", "log.rotationTime: must be 1 or 24"),
            (
                "secret: 0123456789abcdef\ntraces: {endpoint: 'collector:4317'}",
                "traces.endpoint: must begin with http://",
            ),
            ("secret: 0123456789abcdef\ntraces: {sampleOneIn: 0}", "traces.sampleOneIn: must be at least 1"),
            ("secret: 0123456789abcdef\ndiscovery: {enable: etcd}\netcd: {address: []}", "etcd.address"),
            ("secret: 0123456789abcdef\nkafka: {saslMechanism: GSSAPI}", "`PLAIN`, `SCRAM-SHA-256`"),
            ("secret: 0123456789abcdef\ndiscovery: {enable: zookeeper}", "`static`, `kubernetes`, `etcd`"),
            ("secret: 0123456789abcdef\nredis: {prefix: '{a}'}", "redis.prefix"),
            ("secret: 0123456789abcdef\nnotification: {groupMade: {}}", "groupCreated"),
            ("secret: 0123456789abcdef\nnotification: {groupCreated: {offlinePush: {on: true}}}", "enable"),
        ] {
            let message = parse(yaml).unwrap_err().to_string();
            assert!(message.contains(expected), "{yaml}: {message}");
        }
    }

    /// config/ as it is shipped.
    fn shipped(name: &str) -> String {
        std::fs::read_to_string(format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let documented: serde_json::Value =
            Figment::from(Yaml::string(&shipped("config.yaml"))).extract().unwrap();
        let mut defaults = serde_json::to_value(Config::default()).unwrap();
        for elsewhere in ["secret", "webhooks", "notification"] {
            defaults.as_object_mut().unwrap().remove(elsewhere);
        }
        assert_eq!(documented, defaults);
        for (name, key) in [("webhooks.yaml", "webhooks"), ("notification.yaml", "notification")] {
            let file: serde_json::Value = Figment::from(Yaml::string(&shipped(name))).extract().unwrap();
            let config = parse(&format!("secret: 0123456789abcdef\n{key}: {file}")).unwrap();
            match key {
                "webhooks" => {
                    // One has a key and is never called.
                    let called = Hook::ALL.iter().filter(|hook| !hook.command().is_empty()).count();
                    assert_eq!(config.webhooks.hooks.len(), called);
                }
                _ => assert_eq!(config.notification.len(), NotificationKind::ALL.len()),
            }
        }
    }

    #[test]
    fn the_schema_is_the_one_of_these_types() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap() + "\n";
        assert!(schema == shipped("config.schema.json"), "stale: run `make generate`");
    }

    #[test]
    fn every_key_has_an_environment_name_of_its_own() {
        let paths = key_paths(&serde_json::to_value(Config::default()).unwrap(), "");
        let mut names: Vec<String> =
            paths.iter().map(|path| path.replace('.', "_").to_ascii_lowercase()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(paths.contains(&"api.openImApiPort".to_owned()));
    }
}

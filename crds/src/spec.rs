//! What a user asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// An OpenIM messaging cluster: gateway, API, transfer, push and RPC services with their MongoDB, Redis and Kafka.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "openim.io",
    version = "v1alpha1",
    kind = "OpenIMCluster",
    plural = "openimclusters",
    singular = "openimcluster",
    shortname = "oim",
    category = "all",
    namespaced,
    status = "crate::OpenIMClusterStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.pods"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.internalTLS) || has(oldSelf.internalTLS) || self.internalTLS == 'Required'",
    "message": "internalTLS was left out when the cluster was created: leave it out, or make a cluster with another name"
}]))]
pub struct OpenIMClusterSpec {
    /// Version of the services, the tag of their image. Empty: the version that runs, at first the operator's own; a newer operator
    /// alone upgrades nothing.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Where the service image comes from.
    pub image: Image,
    /// The services.
    pub services: Services,
    /// MongoDB: the truth.
    pub mongodb: MongoDb,
    /// Redis: routes and presence; may be lost at any time.
    pub redis: Redis,
    /// Kafka: accepted messages on their way.
    pub kafka: Kafka,
    /// Object storage for uploads; without it uploads are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<ObjectStorage>,
    /// Where and how backups are kept. Left out: in the bucket of objectStorage, with a key that the operator makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Calls to your back end before and after operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Webhooks>,
    /// Push vendors for receivers that are offline; without them nobody is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_push: Option<OfflinePush>,
    /// How clients come in.
    pub ingress: IngressSpec,
    /// How clients come in by the Gateway API, beside the Ingress or in its place (`ingress.enabled: false`).
    #[serde(rename = "gatewayAPI", skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApi>,
    /// Have the Prometheus operator scrape the services: a PodMonitor. Left out: none; the pods have the `prometheus.io` annotations in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Settings of the services.
    pub config: ServiceConfig,
    /// How changes reach the pods.
    pub rollout: RolloutPolicy,
    /// Where and how the pods of the services run.
    pub pods: Pods,
    /// Who may connect to the pods.
    pub network_policies: NetworkPolicies,
    /// As [`InternalTls`] says.
    #[serde(rename = "internalTLS", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "services with and without TLS do not understand each other: set it back, or make a cluster with another name"
    }]))]
    pub internal_tls: Option<InternalTls>,
    /// What happens to volumes when the cluster is deleted.
    pub volumes: VolumePolicy,
    /// Any text, for example the date. Another one gives the managed MongoDB, Redis and Kafka new passwords: they take both while the
    /// services change over, then the ones of before are refused.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub password_rotation: String,
    /// Any text, for example the date. Another one gives the cluster another secret, which signs tokens and calls, and another API secret: all
    /// services take both, then use the new ones, then refuse those of before. Tokens of before stay good until they expire.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub secret_rotation: String,
    /// Hours for which the secrets of before are accepted once the new ones are in use, so that back ends take the new API secret: 0 to 720,
    /// 24 if left out; 0 where the old ones are in wrong hands.
    #[schemars(range(min = 0, max = 720))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_overlap_hours: Option<i32>,
}

/// Whether services encrypt what they say to each other and to the managed servers. Decided when a cluster is created; left out: a new
/// cluster does, and one that exists stays as it was made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalTls {
    /// Calls are authenticated by the cluster's secret, and not encrypted.
    Disabled,
    /// Calls are encrypted, and both sides show a certificate of the cluster's own authority. The managed servers speak TLS alone, with a
    /// certificate of the same authority. The operator makes and renews them.
    Required,
}

/// Who may connect to the pods; needs a network plugin that enforces NetworkPolicies.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkPolicies {
    /// Managed servers: this cluster's pods and the operator. Services: this cluster's pods, and everybody on the ports for clients and
    /// metrics. A NetworkPolicy of your own lets more in.
    #[default]
    Restricted,
    /// No policies are made.
    Disabled,
}

/// Services are changed one after the other; the next one waits until the pods of the one before serve.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutPolicy {
    /// Nothing that restarts pods is done; `status.plan` says what would be. Scaling and repairs go on.
    pub paused: bool,
    /// Seconds that a new pod must serve before an old one goes.
    #[schemars(range(min = 0, max = 3600))]
    pub soak_seconds: i32,
    /// Seconds without progress after which a change of a service has failed. More than soakSeconds.
    #[schemars(range(min = 10, max = 7200))]
    pub deadline_seconds: i32,
    /// What then happens while pods of before still serve; and what happens to the service that was changed last when its new pods fail too
    /// many calls.
    pub on_failure: OnFailure,
    /// The next service is changed when no more records than this wait in Kafka for transfer, and for push; 0: whatever waits. Transfer and push
    /// themselves may be changed while they are behind.
    #[schemars(range(min = 0, max = 1000000000))]
    pub max_lag: i64,
    /// The next service is changed while no more than this part of the calls that new pods of the ones before answered failed inside, in percent;
    /// 100: whatever fails. Each method counts as often as it was called on the pods of before, and what failed there already does not count. See onFailure.
    #[schemars(range(min = 0, max = 100))]
    pub max_error_percent: i64,
    /// The gateways are changed while none has more connections than it can close at this rate while it drains
    /// (`config.gatewayDrainSeconds`); 0: whatever they have.
    #[schemars(range(min = 0, max = 1000000))]
    pub reconnects_per_second: i64,
    /// When changes that restart pods may begin; always when there is none. One service that is being changed is finished after a window
    /// has closed. What needs no restart, scaling, repairs and rolling back go on at any time.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub windows: Vec<Window>,
    /// Whether changes that restart pods need somebody's approval.
    pub approval: Approval,
}

/// A maintenance window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Days on which it opens; every day when left out.
    #[serde(default)]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it opens, UTC, for example "02:30".
    #[schemars(length(min = 5, max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it is open.
    #[schemars(range(min = 10, max = 1440))]
    pub minutes: i32,
}

/// A day of the week.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Whether a plan needs approval.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// No: an edit is approval enough.
    #[default]
    Automatic,
    /// Pods are restarted when the annotation `openim.io/approved-plan` names `status.planID` (`kubectl openim approve`).
    Required,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            paused: false,
            soak_seconds: 2,
            deadline_seconds: 300,
            on_failure: OnFailure::default(),
            max_lag: 10_000,
            max_error_percent: 10,
            reconnects_per_second: 0,
            windows: vec![],
            approval: Approval::default(),
        }
    }
}

/// What happens to a service whose new pods do not become ready, or fail too many calls.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It gets back the template of the pods of before; the services after it are not touched.
    #[default]
    RollBack,
    /// It stays as it is, for somebody to look at; the services after it are not touched.
    Stop,
}

/// Scheduling and labels of the services' pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Pods {
    /// More annotations.
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Nodes must have these labels.
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// Priority class; empty: the default one.
    #[schemars(length(max = 253))]
    pub priority_class_name: String,
    /// Secrets for pulling the image.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub image_pull_secrets: Vec<String>,
    /// How strictly the pods of a service are spread over hosts and zones.
    pub spread: Spread,
    /// Affinity to nodes and pods, as in the `spec.affinity` of a Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<AnyObject>,
}

/// Templates write null for what is not given.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An object of Kubernetes that the operator checks.
pub type AnyObject = BTreeMap<String, serde_json::Value>;

/// Kubernetes' own schema would be repeated for each service.
fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "maxProperties": 3 })
}

/// What is different for the pods of one component; what is left out is as in `spec.pods`, for servers as Kubernetes has it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentPods {
    /// More annotations; services have those of `spec.pods` too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Nodes must have these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that are tolerated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Priority class; empty: the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// How strictly the pods are spread over hosts and zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Affinity to nodes and pods, as in the `spec.affinity` of a Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<AnyObject>,
}

/// How strictly pods are spread.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// As evenly as the nodes allow.
    #[default]
    Preferred,
    /// A pod that would make it uneven stays pending.
    Required,
    /// As the scheduler likes.
    Disabled,
}

/// An image without its tag.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Repository of the service image.
    #[schemars(length(min = 1, max = 256))]
    pub repository: String,
    /// Digest of the image of `spec.version`, sha256:…: exactly this image runs, whatever the tag comes to mean. Empty: by tag. Change it together
    /// with `spec.version`.
    #[schemars(length(max = 71), regex(pattern = "^(sha256:[0-9a-f]{64})?$"))]
    pub digest: String,
    /// When kubelets pull it.
    pub pull_policy: PullPolicy,
}

/// When kubelets pull an image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always ask the registry.
    Always,
    /// Only when the node lacks it.
    #[default]
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// The Kubernetes name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self {
            repository: "ghcr.io/openim-cluster/openim-server".into(),
            digest: String::new(),
            pull_policy: PullPolicy::default(),
        }
    }
}

/// Every service of the cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Services {
    /// WebSocket connections.
    pub gateway: Service,
    /// REST.
    pub api: Service,
    /// Kafka to MongoDB.
    pub transfer: Service,
    /// Delivery to gateways.
    pub push: Service,
    /// Tokens.
    pub auth: Service,
    /// Users.
    pub user: Service,
    /// Friends and black lists.
    pub relation: Service,
    /// Groups.
    pub group: Service,
    /// Conversations.
    pub conversation: Service,
    /// Messages.
    pub msg: Service,
    /// Device tokens and object storage.
    pub third: Service,
    /// Retention.
    pub cron: Service,
}

/// One service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Pods, 0 to 200.
    #[schemars(range(min = 0, max = 200))]
    pub replicas: i32,
    /// Chooses the replicas by load; `replicas` then counts only at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Requests and limits of a pod.
    pub resources: Resources,
    /// More environment variables, for example RUST_BACKTRACE. Those that the operator sets cannot be changed.
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Where and how its pods run, where that differs from `spec.pods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ComponentPods>,
}

/// Between how many pods, and by what. By CPU use a HorizontalPodAutoscaler decides, which needs a metrics server; by connections or lag the
/// operator does, which needs nothing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.minReplicas <= self.maxReplicas", "message": "minReplicas must not be more than maxReplicas"
}, {
    "rule": "!(has(self.connections) && has(self.lag))", "message": "set either connections or lag, not both"
}]))]
pub struct Autoscaling {
    /// Fewest pods.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 200))]
    pub min_replicas: i32,
    /// Most pods. Transfer and push use at most one per Kafka partition.
    #[schemars(range(min = 1, max = 200))]
    pub max_replicas: i32,
    /// Wanted CPU use, in percent of the CPU request; counts where neither connections nor lag is set.
    #[serde(default = "seventy")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_percent: i32,
    /// For the gateway: connections that one pod is to have. The emptiest pod goes first when there are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub connections: Option<i32>,
    /// For transfer and push: records in Kafka that may wait for one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub lag: Option<i64>,
    /// By connections or lag: seconds after a change of their number before a pod is taken away.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 86400))]
    pub scale_down_delay_seconds: i32,
}

fn five_minutes() -> i32 {
    300
}

fn one() -> i32 {
    1
}

fn seventy() -> i32 {
    70
}

impl Default for Service {
    fn default() -> Self {
        Self {
            replicas: 1,
            autoscaling: None,
            resources: Resources::default(),
            env: BTreeMap::new(),
            pods: None,
        }
    }
}

/// Requests and limits, as Kubernetes quantities.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// CPU request, for example 100m.
    #[schemars(length(max = 20))]
    pub cpu_request: String,
    /// Memory request, for example 64Mi.
    #[schemars(length(max = 20))]
    pub memory_request: String,
    /// Memory limit, for example 1Gi.
    #[schemars(length(max = 20))]
    pub memory_limit: String,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu_request: "20m".into(), memory_request: "48Mi".into(), memory_limit: "1Gi".into() }
    }
}

/// Size and image of a managed server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Managed {
    /// Size of the persistent volume. Can grow where the storage class lets volumes expand; cannot shrink.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi|Ti)$"))]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "quantity(self).compareTo(quantity(oldSelf)) >= 0", "message": "volumes cannot shrink: set the size back"
    }]))]
    pub storage: String,
    /// Storage class; empty: the cluster's default. Decided when the server is made.
    #[schemars(length(max = 253))]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf", "message": "volumes stay in the storage class that they were made in: set it back"
    }]))]
    pub storage_class: String,
    /// Image, with tag; empty: the one this operator was tested with.
    #[schemars(length(max = 256))]
    pub image: String,
    /// Requests and limits of each server. MongoDB's cache follows its limit, Kafka's heap its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ServerResources>,
    /// Where and how the pods of the server run. Of `spec.pods` only `imagePullSecrets`, and `spread` where it is left out here, count for servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ComponentPods>,
}

impl Default for Managed {
    fn default() -> Self {
        Self {
            storage: "10Gi".into(),
            storage_class: String::new(),
            image: String::new(),
            resources: None,
            pods: None,
        }
    }
}

/// Requests and limits of a managed server, as Kubernetes quantities.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerResources {
    /// CPU request; left out: 100m for MongoDB, 50m for Redis, 200m for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub cpu_request: Option<String>,
    /// Memory request; left out: 256Mi for MongoDB, 32Mi for Redis, 512Mi for Kafka, whose heap may grow to half of it, from 384Mi to 6Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub memory_request: Option<String>,
    /// Memory limit; left out: 2Gi for MongoDB and Kafka, 1Gi for Redis, or the request where that is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub memory_limit: Option<String>,
}

/// MongoDB: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.managed) && has(self.external))", "message": "set either managed or external, not both"
}]))]
pub struct MongoDb {
    /// Servers that the operator runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedMongoDb>,
    /// A server that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMongoDb>,
}

/// A MongoDB that the operator runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedMongoDb {
    /// 1, 3 of which one may be away, or 5 of which two may. Members are added and taken away one by one; the volumes of those that are taken
    /// away stay.
    #[schemars(extend("enum" = [1, 3, 5]))]
    pub members: i32,
    /// Size and image of each member.
    #[serde(flatten)]
    pub server: Managed,
}

impl Default for ManagedMongoDb {
    fn default() -> Self {
        Self { members: 1, server: Managed::default() }
    }
}

/// A MongoDB replica set that exists.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMongoDb {
    /// Secret whose key `uri` holds the connection string.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Redis: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.managed) && has(self.external))", "message": "set either managed or external, not both"
}]))]
pub struct Redis {
    /// Servers that the operator runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
    /// A server that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
}

/// A Redis that the operator runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.replicas >= oldSelf.replicas",
    "message": "replicas cannot be taken away from a set with Sentinel: set the number back"
}]))]
pub struct ManagedRedis {
    /// 1, or 3 with a sentinel each: when the master is lost another one takes over. Can grow, not shrink.
    #[schemars(extend("enum" = [1, 3]))]
    pub replicas: i32,
    /// Size and image of each server.
    #[serde(flatten)]
    pub server: Managed,
}

impl Default for ManagedRedis {
    fn default() -> Self {
        Self { replicas: 1, server: Managed::default() }
    }
}

/// A Redis that exists.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.mode != 'sentinel' || self.masterName != ''",
    "message": "masterName is required where mode is sentinel: it is the name of the master among the sentinels"
}]))]
pub struct ExternalRedis {
    /// host:port; of a cluster some nodes, or the sentinels, separated by commas.
    #[schemars(length(min = 3, max = 1024))]
    pub address: String,
    /// What is at the address: one server, the sentinels of a set, or nodes of a Redis Cluster.
    #[serde(default)]
    pub mode: RedisMode,
    /// With `sentinel`: the name of the master.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub master_name: String,
    /// Secret with the key `password`, and with `tls` `ca.crt` (the system's authorities without it), `tls.crt` and `tls.key` (no client certificate
    /// without them); empty for none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// Speak TLS to the servers, and to the sentinels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub tls: bool,
}

/// How a Redis is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// The master that sentinels name.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

/// Kafka: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.managed) && has(self.external))", "message": "set either managed or external, not both"
}]))]
pub struct Kafka {
    /// Brokers that the operator runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedKafka>,
    /// Brokers that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
}

/// A Kafka that the operator runs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.brokers == oldSelf.brokers",
    "message": "the number of brokers is decided when a cluster is created: set it back, or make a cluster with another name"
}]))]
pub struct ManagedKafka {
    /// 1, or 3 that keep every record threefold and go on while one of them is away. Cannot be changed later.
    #[schemars(extend("enum" = [1, 3]))]
    pub brokers: i32,
    /// Size and image of each broker.
    #[serde(flatten)]
    pub server: Managed,
}

impl Default for ManagedKafka {
    fn default() -> Self {
        Self { brokers: 1, server: Managed::default() }
    }
}

/// Kafka brokers that exist.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafka {
    /// host:port of brokers.
    #[schemars(length(min = 1, max = 64), inner(length(min = 3, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub address: Vec<String>,
    /// Secret with the keys `username` and `password` for SASL/PLAIN, and with `tls` `ca.crt` (the system's authorities without it), `tls.crt` and
    /// `tls.key` (no client certificate without them); empty for none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// Speak TLS to the brokers.
    #[serde(default)]
    pub tls: bool,
    /// Replicas of the topics that are created, 1 to 7.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 7))]
    pub replication_factor: i32,
}

fn three() -> i32 {
    3
}

/// The default of `objectStorage.maxBytes`, also of the services themselves.
pub const fn gibibyte() -> u64 {
    1 << 30
}

/// The default of `objectStorage.maxBytesPerDay`, also of the services themselves.
pub const fn hundred_gibibytes() -> u64 {
    100 << 30
}

/// An S3-compatible object storage that exists.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStorage {
    /// URL that the services use, for example http://minio.storage.svc:9000.
    #[schemars(length(min = 8, max = 256), regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// URL that clients use; empty: the same.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub external_endpoint: String,
    /// Bucket; created when it does not exist.
    #[serde(default = "openim_bucket")]
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Region.
    #[serde(default = "first_region")]
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// endpoint/bucket/key instead of bucket.endpoint/key.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// Public base URL of a content delivery network in front of the bucket; empty: signed addresses.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub cdn_prefix: String,
    /// Secret with the keys `accessKeyID` and `secretAccessKey`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Days after which files sent in messages are removed; 0 keeps them for ever.
    #[serde(default)]
    #[schemars(range(max = 36500))]
    pub expire_days: u32,
    /// Largest file that a user may upload, in bytes.
    #[serde(default = "gibibyte")]
    #[schemars(range(min = 1, max = 52_428_800_000_000_i64))]
    pub max_bytes: u64,
    /// Bytes that a user may upload in a day (UTC); 0: any.
    #[serde(default = "hundred_gibibytes")]
    #[schemars(range(max = 1_000_000_000_000_000_i64))]
    pub max_bytes_per_day: u64,
}

/// Backups. Only the Jobs that write and read them get what is said here; another value restarts nothing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Backup {
    /// A bucket of their own, with credentials of its own: who can read or overwrite the files of users cannot touch them. Needed where
    /// objectStorage has a cdnPrefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<BackupStorage>,
    /// Secret whose key `key` backups are encrypted and signed with, at least 32 characters. Empty: `backup-key` of the Secret that the
    /// operator makes (NAME-credentials). Without the key nobody restores: keep a copy where the cluster is not.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub key_secret_name: String,
}

/// An S3-compatible object storage that exists, for backups alone.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorage {
    /// URL that the Jobs use.
    #[schemars(length(min = 8, max = 256), regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// Bucket; created when it does not exist.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Region.
    #[serde(default = "first_region")]
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// endpoint/bucket/key instead of bucket.endpoint/key.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// Secret with the keys `accessKeyID` and `secretAccessKey`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Webhooks of the OpenIM contract.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Webhooks {
    /// Base URL of the receiver; a hook is posted to url/command. One with a user, password or key in it belongs into urlSecretName.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 1024), regex(pattern = "^(https?://.*)?$"))]
    pub url: String,
    /// Secret whose key `url` holds the base URL, instead of `url`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 253))]
    pub url_secret_name: String,
    /// Secret whose key `secret` signs every call (header x-openim-signature-v2 over time, query and body); empty: no signature.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub signing_secret_name: String,
    /// The hooks that are on, by name, for example beforeSendSingleMsg.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub hooks: BTreeMap<String, WebhookSettings>,
}

/// Settings of a webhook.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookSettings {
    /// Seconds the receiver may take.
    #[schemars(range(min = 1, max = 15))]
    pub timeout: u64,
    /// When the receiver does not answer: go on, or fail the operation. Before hooks only.
    pub failed_continue: bool,
    /// Content types that do not trigger it.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub denied_types: Vec<i32>,
    /// Receivers (users or groups) that trigger it; empty: all.
    #[schemars(length(max = 1024), inner(length(max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub attention_ids: Vec<String>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { timeout: 5, failed_continue: true, denied_types: vec![], attention_ids: vec![] }
    }
}

/// Push vendors: FCM, APNs, browsers (Web Push), JPush, Getui.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OfflinePush {
    /// Secret whose key `push.yaml` holds the `push` section of config.yaml, credentials included. The files it names, such as a
    /// service account's key, are keys of the same Secret and stand in /push.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

fn openim_bucket() -> String {
    "openim".into()
}

fn first_region() -> String {
    "us-east-1".into()
}

fn yes() -> bool {
    true
}

/// How clients come in: `/msg_gateway` is the WebSocket, everything else the REST API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.tlsSecretName == '' || self.host != ''",
    "message": "a certificate is for a host: set host, or remove tlsSecretName"
}]))]
pub struct IngressSpec {
    /// Create an Ingress.
    pub enabled: bool,
    /// Host name, in small letters; empty: all that nobody else names. One host of an ingress class is one cluster's: where another object that the
    /// operator sees has it, no Ingress is made, and the status says whose it is.
    #[schemars(
        length(max = 253),
        regex(pattern = "^((\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
    )]
    pub host: String,
    /// Ingress class; empty: the default one.
    #[schemars(
        length(max = 253),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
    )]
    pub class_name: String,
    /// Secret with the certificate of the host; empty: no TLS.
    #[schemars(
        length(max = 253),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
    )]
    pub tls_secret_name: String,
    /// More annotations for the ingress controller.
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

impl Default for IngressSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            host: String::new(),
            class_name: String::new(),
            tls_secret_name: String::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// An HTTPRoute on Gateways that exist: `/msg_gateway` is the WebSocket, everything else the REST API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// The Gateways.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names, in small letters; empty: any that the listeners take. As for an Ingress, one host of a listener is one cluster's.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^((\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")), extend("x-kubernetes-list-type" = "atomic"))]
    pub hostnames: Vec<String>,
    /// The listeners speak TLS: what `status.endpoints` says.
    #[serde(default)]
    pub tls: bool,
}

/// A Gateway, or one of its listeners.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; empty: the cluster's.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the listener; empty: all.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub section_name: String,
}

/// The PodMonitor of a cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitoring {
    /// More labels of the PodMonitor: those by which your Prometheus selects, for example `release: prometheus`.
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
    /// Seconds between two scrapes.
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: i32,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { labels: BTreeMap::new(), interval_seconds: 30 }
    }
}

/// Settings of the services; what is not here has the default of config.yaml. Running pods take over those that are marked *Live*; a
/// change of the others restarts pods, one service after the other.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceConfig {
    /// error, warn, info, debug, trace, or a filter such as info,openim_transfer=debug. Live.
    #[schemars(length(min = 1, max = 256))]
    pub log_level: String,
    /// Users with administrator rights.
    #[serde(rename = "adminUserIDs")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub admin_user_ids: Vec<String>,
    /// 0 any, 1 one token per platform, 4 one per platform class, 5 PC plus one.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self in [0, 1, 4, 5]", "message": "must be 0, 1, 4 or 5"}]))]
    pub multi_login_policy: i32,
    /// A client that logs out ends its token too; otherwise it may log in again with it, as with upstream.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub logout_revokes: bool,
    /// Services before signed calls run, or are to run again: calls that only they make are taken. Set it before spec.version goes back to
    /// such a version, and remove it after. Live.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub legacy_calls: bool,
    /// Validity of user tokens in days; those of administrators live a day at most. Live.
    #[schemars(range(min = 1, max = 3650))]
    pub token_expire_days: u32,
    /// The receiver of a message must have the sender as a friend. Live.
    pub friend_verify: bool,
    /// New users may have ids with `_`, `/` or white space, as existing directories may need. The price: two pairs of users, or a group and a pair,
    /// can then share a conversation id, its seqs, its unread count and what is cleared for everybody; messages stay apart. Live.
    #[serde(
        rename = "allowAmbiguousIDs",
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub allow_ambiguous_ids: bool,
    /// Days after which messages are removed; 0 keeps them for ever. Live.
    #[schemars(range(max = 36500))]
    pub retain_days: u32,
    /// Networks of proxies whose `X-Forwarded-For` is believed, as addresses or CIDRs; left out: all private ones, where Ingress controllers and pods
    /// are. Give your own where clients come from such a network, `[]` where they come without a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub trusted_proxies: Option<Vec<String>>,
    /// What one client address may do; left out: as in config/config.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_limits: Option<AddressLimits>,
    /// Traces for an OpenTelemetry collector: requests, calls between services, batches and jobs as spans; left out: none are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Origins of web pages that may use the cluster from a browser, such as `https://chat.example.com`; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_origins: Vec<String>,
    /// Seconds over which a stopping gateway spreads its closes. A change restarts the gateways alone.
    #[schemars(range(max = 540))]
    pub gateway_drain_seconds: u32,
    /// Kafka partitions that are used; topics that have fewer get more. A change replaces all pods of msg at once, so that no message overtakes one
    /// that was sent before: senders wait for some seconds.
    #[schemars(range(min = 1, max = 1024))]
    pub kafka_partitions: i32,
    /// How system messages travel, by name, for example groupCreated; what is not here stays as in config/notification.yaml.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    #[schemars(extend("maxProperties" = 64))]
    pub notifications: BTreeMap<String, NotificationSettings>,
}

/// Where traces are sent.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Traces {
    /// Address of the collector's OTLP receiver over gRPC, such as `http://collector.observability:4317`.
    #[schemars(length(min = 8, max = 512), regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// One of how many requests is traced; 1: every request.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sample_one_in: u32,
}

fn hundred() -> u32 {
    100
}

/// What one client address may do in each process; of IPv6 a /64 counts as one, and no proxy that is trusted does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressLimits {
    /// REST requests per second, five times as many at once; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// WebSocket handshakes per second, five times as many at once; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub handshakes_per_second: Option<u32>,
    /// Connections at a time, of REST and of the WebSocket each; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub connections: Option<u32>,
}

/// How a system message travels.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationSettings {
    /// It appears as a chat message too; left out: as in config/notification.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_send_msg: Option<bool>,
    /// What an offline device shows; left out: as in config/notification.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_push: Option<NotificationPush>,
}

/// What an offline device shows of a system message.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationPush {
    /// Wake the device.
    pub enable: bool,
    /// Title; empty: one that says what kind of message there is.
    #[schemars(length(max = 256))]
    pub title: String,
    /// Text; empty: the title.
    #[schemars(length(max = 1024))]
    pub desc: String,
    /// Handed to the app.
    #[schemars(length(max = 4096))]
    pub ext: String,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            log_level: "info".into(),
            admin_user_ids: vec!["imAdmin".into()],
            multi_login_policy: 1,
            logout_revokes: false,
            legacy_calls: false,
            token_expire_days: 90,
            friend_verify: false,
            allow_ambiguous_ids: false,
            retain_days: 365,
            trusted_proxies: None,
            address_limits: None,
            traces: None,
            allowed_origins: vec![],
            gateway_drain_seconds: 10,
            kafka_partitions: 8,
            notifications: BTreeMap::new(),
        }
    }
}

/// What happens to volumes when the cluster is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumePolicy {
    /// Volumes and the credentials that open them stay; a new cluster of the same name takes them over.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

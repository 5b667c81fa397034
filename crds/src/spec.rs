//! The spec of a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Console;

/// An OpenIM messaging cluster: gateway, API, transfer, push and RPC services with their MongoDB, Redis and Kafka.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    crates(kube_core = "kube_core"),
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
    "message": "internalTLS was omitted when the cluster was created: omit it, or create a cluster with another name"
}, {
    "rule": "!has(self.backup) || !has(self.backup.schedule) || self.backup.schedule == '' || has(self.backup.objectStorage) || has(self.objectStorage)",
    "message": "backup.schedule needs an object storage: set backup.objectStorage"
}]))]
pub struct OpenIMClusterSpec {
    /// Version of the services, which is the tag of their image. Empty: the running version, initially the operator's own; upgrading the
    /// operator does not upgrade the services.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Image of the services.
    pub image: Image,
    /// The services.
    pub services: Services,
    /// MongoDB: the permanent data.
    pub mongodb: MongoDb,
    /// Redis: routes and presence; can be lost at any time.
    pub redis: Redis,
    /// Kafka: accepted messages in flight.
    pub kafka: Kafka,
    /// Object storage for uploads; without it uploads are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<ObjectStorage>,
    /// Storage and encryption of backups. If omitted: the bucket of objectStorage, with a key that the operator generates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Pages for administrators in a browser. If omitted: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
    /// Calls to your back end before and after operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Webhooks>,
    /// Push vendors for offline receivers; without them, offline users are not notified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_push: Option<OfflinePush>,
    /// Ingress for client traffic.
    pub ingress: IngressSpec,
    /// Gateway API route for client traffic, in addition to the Ingress or instead of it (`ingress.enabled: false`).
    #[serde(rename = "gatewayAPI", skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApi>,
    /// Create a PodMonitor for the Prometheus operator. If omitted: none; the pods always have the `prometheus.io` annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Settings of the services.
    pub config: ServiceConfig,
    /// How changes are rolled out.
    pub rollout: RolloutPolicy,
    /// Scheduling, labels and annotations of the services' pods.
    pub pods: Pods,
    /// Whether NetworkPolicies restrict access to the pods.
    pub network_policies: NetworkPolicies,
    /// Encryption between services and to the managed servers, see [`InternalTls`].
    #[serde(rename = "internalTLS", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf || self == 'Required'",
        "message": "internalTLS is immutable: restore the previous value, or create a cluster with another name"
    }]))]
    pub internal_tls: Option<InternalTls>,
    /// What happens to volumes when the cluster is deleted.
    pub volumes: VolumePolicy,
    /// Any text, for example the date. Changing it rotates the passwords of the managed MongoDB, Redis and Kafka: both passwords work
    /// while the services change over, then the old ones are refused.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub password_rotation: String,
    /// Any text, for example the date. Changing it rotates the cluster's secret, which signs tokens and calls, and the API secret: all services
    /// accept both, then use the new ones, then refuse the old ones. Existing user tokens stay valid until they expire.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub secret_rotation: String,
    /// Hours for which the old secrets are accepted once the new ones are in use, so that back ends can switch to the new API secret: 0 to 720,
    /// 24 if omitted; 0 if the old ones have leaked.
    #[schemars(range(min = 0, max = 720))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_overlap_hours: Option<i32>,
    /// Any text, for example the date. Changing it replaces the certificate authority of internalTLS and all certificates: all pods first trust both
    /// authorities, then use certificates of the new one, then stop trusting the old one. Otherwise this happens two years before the authority
    /// expires.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub certificate_rotation: String,
}

/// Whether traffic between services and to the managed servers is encrypted. If omitted, a new cluster encrypts, and an existing one stays as it was
/// created. A running cluster whose servers are all external can change to `Required`, without an interruption; otherwise it is fixed at creation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalTls {
    /// Calls are authenticated with the cluster's secret, but not encrypted.
    Disabled,
    /// Calls use mutual TLS with certificates of the cluster's own authority. The managed servers accept only TLS, with a
    /// certificate of the same authority. The operator issues and renews the certificates.
    Required,
}

/// Whether NetworkPolicies restrict access to the pods; needs a network plugin that enforces them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkPolicies {
    /// Managed servers accept this cluster's pods and the operator; services accept this cluster's pods, and everybody on the ports for clients and
    /// metrics. Add your own NetworkPolicies to allow more.
    #[default]
    Restricted,
    /// No policies are created.
    Disabled,
}

/// Rollout settings. Services are changed one after the other; the next one waits until the pods of the previous one are ready.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutPolicy {
    /// Hold everything that restarts pods; `status.plan` shows what is pending. Scaling and repairs continue.
    pub paused: bool,
    /// Seconds that a new pod must be ready before an old one is removed.
    #[schemars(range(min = 0, max = 3600))]
    pub soak_seconds: i32,
    /// Seconds without progress after which a change of a service has failed. Must be greater than soakSeconds.
    #[schemars(range(min = 10, max = 7200))]
    pub deadline_seconds: i32,
    /// What to do with a service whose new pods do not become ready or fail too many calls (of several, the one changed last): roll back, or stop
    /// for inspection.
    pub on_failure: OnFailure,
    /// Maximum Kafka consumer lag of transfer, and of push, before the next service is changed; 0: no limit. Transfer and push themselves
    /// can be changed while they lag behind.
    #[schemars(range(min = 0, max = 1000000000))]
    pub max_lag: i64,
    /// Maximum error rate, in percent, of already updated services before the next one is updated; 100: no limit. Each method is weighted by
    /// how often it was called on the old pods, and failures that already occurred there do not count. See onFailure.
    #[schemars(range(min = 0, max = 100))]
    pub max_error_percent: i64,
    /// Maximum reconnects per second caused by a draining gateway: gateways are changed only while none has more connections than it can close
    /// at this rate (`config.gatewayDrainSeconds`); 0: no limit.
    #[schemars(range(min = 0, max = 1000000))]
    pub reconnects_per_second: i64,
    /// When changes that restart pods can start; without windows: always. A service in progress is finished after a window
    /// has closed. Changes without restarts, scaling, repairs and rollbacks happen at any time.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub windows: Vec<Window>,
    /// Whether changes that restart pods need approval.
    pub approval: Approval,
}

/// A maintenance window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Days on which it opens; if omitted, every day.
    #[serde(default)]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// Opening time, UTC, for example "02:30".
    #[schemars(length(min = 5, max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// Minutes for which it is open.
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
    /// Changes start without approval.
    #[default]
    Automatic,
    /// Changes start when the annotation `openim.io/approved-plan` equals `status.planID` (`kubectl openim approve`).
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

/// What to do with a service whose new pods do not become ready or fail too many calls.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Restore the template of the old pods; later services are not changed.
    #[default]
    RollBack,
    /// Leave it for inspection; later services are not changed.
    Stop,
}

/// Scheduling and labels of the services' pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Pods {
    /// Additional annotations.
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Nodes must have these labels.
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerated taints.
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
    /// User id of the pods, including those of the managed servers. If omitted: `Fixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<PodUser>,
}

/// User id of pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodUser {
    /// The user that the image expects.
    Fixed,
    /// Assigned by the platform, as OpenShift does for each namespace. On other platforms the images of the managed servers do not start then.
    Assigned,
}

/// Templates write null for absent values.
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

/// Overrides for the pods of one component; omitted fields are as in `spec.pods`, for servers Kubernetes' defaults.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentPods {
    /// Additional annotations; services also have those of `spec.pods`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Nodes must have these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Tolerated taints.
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
    /// A pod that would make the distribution uneven stays pending.
    Required,
    /// Left to the scheduler.
    Disabled,
}

/// An image without its tag.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Repository of the service image.
    #[schemars(length(min = 1, max = 256))]
    pub repository: String,
    /// Digest (sha256:…) of the image of `spec.version`, which pins the image whatever the tag refers to. Empty: use the tag. Change it together
    /// with `spec.version`.
    #[schemars(length(max = 71), regex(pattern = "^(sha256:[0-9a-f]{64})?$"))]
    pub digest: String,
    /// Image pull policy.
    pub pull_policy: PullPolicy,
}

/// Image pull policy.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always ask the registry.
    Always,
    /// Only if the node does not have it.
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
    /// WebSocket connections of clients.
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
    /// Friends and block lists.
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
    /// Scale by load; `replicas` is then only the initial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Resource requests and limits of a pod.
    pub resources: Resources,
    /// Additional environment variables, for example RUST_BACKTRACE. Those set by the operator cannot be overridden.
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Overrides of `spec.pods` for this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ComponentPods>,
}

/// Range and metric of autoscaling. CPU usage is handled by a HorizontalPodAutoscaler, which needs a metrics server; connections and lag by the
/// operator, without prerequisites.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.minReplicas <= self.maxReplicas", "message": "minReplicas must not be more than maxReplicas"
}, {
    "rule": "!(has(self.connections) && has(self.lag))", "message": "set either connections or lag, not both"
}]))]
pub struct Autoscaling {
    /// Minimum number of pods.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 200))]
    pub min_replicas: i32,
    /// Maximum number of pods. Transfer and push use at most one per Kafka partition.
    #[schemars(range(min = 1, max = 200))]
    pub max_replicas: i32,
    /// Target CPU usage, in percent of the CPU request; used if neither connections nor lag is set.
    #[serde(default = "seventy")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_percent: i32,
    /// Gateway only: target connections per pod. When scaling down, the pod with the fewest is removed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub connections: Option<i32>,
    /// Transfer and push only: target Kafka consumer lag per pod, in records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub lag: Option<i64>,
    /// Connections or lag only: seconds to wait after a change of the number of pods before removing one.
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
    /// Size of the persistent volume. Can grow if the storage class allows expansion. Volumes cannot shrink: the status names one that is larger.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi|Ti)$"))]
    pub storage: String,
    /// Storage class; empty: the cluster's default. Fixed when the server is created.
    #[schemars(length(max = 253))]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf", "message": "the storage class is immutable: restore the previous value"
    }]))]
    pub storage_class: String,
    /// Image, with tag; empty: the one that this operator was tested with.
    #[schemars(length(max = 256))]
    pub image: String,
    /// Resource requests and limits of each server. MongoDB's cache size follows the memory limit, Kafka's heap size the memory request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ServerResources>,
    /// Scheduling and annotations of the server's pods. Of `spec.pods`, servers use only `imagePullSecrets`, and `spread` if it is omitted here.
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
    /// CPU request; if omitted: 100m for MongoDB, 50m for Redis, 200m for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub cpu_request: Option<String>,
    /// Memory request; if omitted: 256Mi for MongoDB, 32Mi for Redis, 512Mi for Kafka, whose heap can grow to half of it, from 384Mi to 6Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub memory_request: Option<String>,
    /// Memory limit; if omitted: 2Gi for MongoDB and Kafka, 1Gi for Redis, or the request if that is higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub memory_limit: Option<String>,
}

/// Rules of a server: managed or external, and what `managed` (BLOCK) must contain when it is added or removed, because a server without the block has the
/// block's defaults.
fn server_rules(comes: &str, goes: &str) -> serde_json::Value {
    let fits = |block: &str, compared: &str, also: &str| {
        let also = also.replace("BLOCK", block);
        format!(
            "{block}.storageClass == '' && quantity({block}.storage).compareTo(quantity('10Gi')) {compared} 0{also}"
        )
    };
    let (comes, goes) = (fits("self.managed", ">=", comes), fits("oldSelf.managed", "<=", goes));
    serde_json::json!([{
        "rule": "!(has(self.managed) && has(self.external))",
        "message": "set either managed or external, not both",
    }, {
        "rule": format!("has(oldSelf.managed) || has(oldSelf.external) || !has(self.managed) || ({comes})"),
        "message": "the server was created with the defaults of managed: omit storageClass and fields that are fixed at creation, and set storage to at least 10Gi",
    }, {
        "rule": format!("has(self.managed) || has(self.external) || !has(oldSelf.managed) || ({goes})"),
        "message": "without managed the server would get its defaults, which it cannot change to: keep the previous values",
    }])
}

/// MongoDB: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = server_rules("", "")))]
pub struct MongoDb {
    /// Run by the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedMongoDb>,
    /// An existing server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMongoDb>,
}

/// A MongoDB run by the operator.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedMongoDb {
    /// 1, 3 (tolerates one failure) or 5 (tolerates two). Members are added and removed one by one; the volumes of removed members are
    /// kept.
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

/// An existing MongoDB replica set.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMongoDb {
    /// Secret whose key `uri` holds the connection string.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Name of the database; empty: `openim_v3`. Clusters that share a MongoDB need different databases. A change moves no data.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 63), regex(pattern = "^[A-Za-z0-9_-]*$"))]
    pub database: String,
}

/// Redis: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = server_rules("", " && BLOCK.replicas == 1")))]
pub struct Redis {
    /// Run by the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
    /// An existing server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
}

/// A Redis run by the operator.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.replicas >= oldSelf.replicas",
    "message": "replicas cannot be removed from a Sentinel set: restore the previous number"
}]))]
pub struct ManagedRedis {
    /// 1, or 3 with a sentinel each: if the master is lost, another one takes over. Can grow, not shrink.
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

/// An existing Redis.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.mode != 'sentinel' || self.masterName != ''",
    "message": "masterName is required if mode is sentinel: the name of the master known to the sentinels"
}, {
    "rule": "!has(self.username) || self.username == '' || self.secretName != ''",
    "message": "username needs a password: name a Secret with the key password in secretName"
}]))]
pub struct ExternalRedis {
    /// host:port; for a cluster some of its nodes, for sentinel the sentinels, separated by commas.
    #[schemars(length(min = 3, max = 1024))]
    pub address: String,
    /// Kind of the address: one server, the sentinels of a set, or nodes of a Redis Cluster.
    #[serde(default)]
    pub mode: RedisMode,
    /// For `sentinel`: the name of the master.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub master_name: String,
    /// User name; its password is in the Secret. Empty: Redis' default user.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 253))]
    pub username: String,
    /// Secret with the key `password`, for mode `sentinel` optionally `sentinel-password` (if the sentinels have their own), and for `tls` optionally
    /// `ca.crt` (default: the system's authorities), `tls.crt` and `tls.key` (client certificate); empty: none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// Use TLS for the servers and sentinels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub tls: bool,
    /// Prefix of keys and channels. Default: `NAMESPACE.NAME.`, or none in clusters that earlier operators created. Clusters that share a Redis need
    /// different prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = "^[A-Za-z0-9._:-]*$"))]
    pub prefix: Option<String>,
}

/// How a Redis is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// The master of a Sentinel set.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

/// Kafka: `managed` (the default) or `external`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = server_rules(" && BLOCK.brokers == 1", " && BLOCK.brokers == 1")))]
pub struct Kafka {
    /// Run by the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedKafka>,
    /// Existing brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
}

/// A Kafka run by the operator.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.brokers == oldSelf.brokers",
    "message": "the number of brokers is immutable: restore the previous value, or create a cluster with another name"
}]))]
pub struct ManagedKafka {
    /// 1, or 3, which keep three copies of every record and tolerate one failure. Cannot be changed later.
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

/// How services log in to an external Kafka.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password is sent.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Both sides prove that they know the password.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer digest.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Existing Kafka brokers.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.saslMechanism) || self.secretName != ''",
    "message": "saslMechanism needs a user: name a Secret with the keys username and password in secretName"
}]))]
pub struct ExternalKafka {
    /// host:port of brokers.
    #[schemars(length(min = 1, max = 64), inner(length(min = 3, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub address: Vec<String>,
    /// Secret with the keys `username` and `password`, and for `tls` optionally `ca.crt` (default: the system's authorities), `tls.crt` and `tls.key`
    /// (client certificate); empty: none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// SASL mechanism for the user in the Secret; Strimzi and Amazon MSK use SCRAM-SHA-512. If omitted: PLAIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// Use TLS for the brokers.
    #[serde(default)]
    pub tls: bool,
    /// Replication factor of created topics, 1 to 7.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 7))]
    pub replication_factor: i32,
    /// Prefix of topics and consumer groups. Default: `NAMESPACE.NAME.`, or none in clusters that earlier operators created. Clusters that share a
    /// Kafka need different prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = "^[A-Za-z0-9._-]*$"))]
    pub prefix: Option<String>,
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

/// An existing S3-compatible object storage.
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
    /// Bucket; created if it does not exist.
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
    /// Public base URL of a content delivery network in front of the bucket; empty: signed URLs.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub cdn_prefix: String,
    /// Secret with the keys `accessKeyID` and `secretAccessKey`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Days after which files sent in messages are removed; 0 keeps them forever.
    #[serde(default)]
    #[schemars(range(max = 36500))]
    pub expire_days: u32,
    /// Maximum size of an uploaded file, in bytes.
    #[serde(default = "gibibyte")]
    #[schemars(range(min = 1, max = 52_428_800_000_000_i64))]
    pub max_bytes: u64,
    /// Maximum bytes that a user can upload per day (UTC); 0: no limit.
    #[serde(default = "hundred_gibibytes")]
    #[schemars(range(max = 1_000_000_000_000_000_i64))]
    pub max_bytes_per_day: u64,
}

/// Backups. Only the Jobs that back up and restore use these settings; changing them restarts nothing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Backup {
    /// A separate bucket with separate credentials, so that access to users' files does not include backups. Required if
    /// objectStorage has a cdnPrefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<BackupStorage>,
    /// Secret whose key `key` encrypts and signs backups, at least 32 characters. Empty: `backup-key` of the generated Secret
    /// (NAME-credentials). Nobody can restore without the key: keep a copy outside of the cluster.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub key_secret_name: String,
    /// When backups are made, as five fields of cron: minute, hour, day of the month, month, day of the week. Empty: only
    /// `kubectl openim backup` makes one.
    #[schemars(length(max = 100), extend("x-kubernetes-validations" = [{
        "rule": "self == '' || self.matches('^ *[^ ]+( +[^ ]+){4} *$')",
        "message": "must have five fields: minute, hour, day of the month, month, day of the week; for example \"30 2 * * *\""
    }]))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub schedule: String,
    /// Time zone of the schedule, for example Europe/Berlin. Empty: UTC.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub time_zone: String,
    /// How many scheduled backups to keep; older ones are deleted after the next success. If omitted: 7. Backups made with
    /// `kubectl openim backup` are never deleted.
    #[schemars(range(min = 1, max = 366))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u16>,
    /// Whether scheduled backups are paused. Existing backups are kept.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub suspend: bool,
}

impl Backup {
    /// How many scheduled backups are kept: never none.
    pub fn kept(&self) -> u16 {
        self.keep.unwrap_or(7).max(1)
    }
}

/// An existing S3-compatible object storage, only for backups.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorage {
    /// URL that the Jobs use.
    #[schemars(length(min = 8, max = 256), regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// Bucket; created if it does not exist.
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

/// OpenIM webhooks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Webhooks {
    /// Base URL of the receiver; a hook is posted to url/command. Put a URL with a user, password or key into urlSecretName instead.
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
    /// Enabled hooks by name, for example beforeSendSingleMsg.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub hooks: BTreeMap<String, WebhookSettings>,
}

/// Settings of a webhook.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookSettings {
    /// Timeout in seconds.
    #[schemars(range(min = 1, max = 15))]
    pub timeout: u64,
    /// Before hooks only: whether to continue, instead of failing the operation, if the receiver does not answer.
    pub failed_continue: bool,
    /// Content types that do not call it.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub denied_types: Vec<i32>,
    /// Receivers (users or groups) that call it; empty: all.
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
    /// Secret whose key `push.yaml` holds the `push` section of config.yaml, including credentials. Files that it names, such as a
    /// service account's key, are keys of the same Secret and are mounted in /push.
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

/// Ingress for client traffic: `/msg_gateway` is the WebSocket, everything else the REST API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.tlsSecretName == '' || self.host != ''",
    "message": "tlsSecretName needs host: set host, or remove tlsSecretName"
}]))]
pub struct IngressSpec {
    /// Create an Ingress.
    pub enabled: bool,
    /// Host name, in lower case; empty: all hosts not named elsewhere. Each host of an ingress class belongs to one cluster: if another object that
    /// the operator can see uses it, no Ingress is created, and the status names the holder.
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
    /// Additional annotations for the ingress controller.
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

/// An HTTPRoute on existing Gateways: `/msg_gateway` is the WebSocket, everything else the REST API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// The Gateways.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names, in lower case; empty: any that the listeners accept. As for an Ingress, each host of a listener belongs to one cluster.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^((\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")), extend("x-kubernetes-list-type" = "atomic"))]
    pub hostnames: Vec<String>,
    /// Whether the listeners use TLS; determines `status.endpoints`.
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
    /// Namespace of the Gateway; empty: the cluster's.
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
    /// Additional labels of the PodMonitor that your Prometheus selects, for example `release: prometheus`.
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

/// Settings of the services; everything else has the default of config.yaml. Running pods apply those marked *Live*; a
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
    /// Logging out revokes the token; otherwise the token can be used again, as with upstream.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub logout_revokes: bool,
    /// Accept the unsigned calls of older services. Set it before changing spec.version back to a version without signed
    /// calls, and remove it afterwards. Live.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub legacy_calls: bool,
    /// Validity of user tokens in days; administrators' tokens are valid for at most one day. Live.
    #[schemars(range(min = 1, max = 3650))]
    pub token_expire_days: u32,
    /// Only friends of the receiver can send to them. Live.
    pub friend_verify: bool,
    /// Allow `_`, `/` and white space in new ids, for existing directories. Consequence: two pairs of users, or a group and a pair,
    /// can then share a conversation id with its seqs, unread count and clearing for everybody; messages stay separate. Live.
    #[serde(
        rename = "allowAmbiguousIDs",
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub allow_ambiguous_ids: bool,
    /// Days after which messages are removed; 0 keeps them forever. Live.
    #[schemars(range(max = 36500))]
    pub retain_days: u32,
    /// Networks of proxies whose `X-Forwarded-For` is trusted, as addresses or CIDRs; if omitted: all private ones, which contain ingress controllers
    /// and pods. Set your own if clients connect from such a network, `[]` if they connect without a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub trusted_proxies: Option<Vec<String>>,
    /// Limits per client address; if omitted: as in config/config.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_limits: Option<AddressLimits>,
    /// Traces for an OpenTelemetry collector: requests, calls between services, batches and jobs as spans; if omitted: none are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Origins of web pages that can use the cluster, such as `https://chat.example.com`; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_origins: Vec<String>,
    /// Seconds over which a stopping gateway closes its connections. A change restarts only the gateways.
    #[schemars(range(max = 540))]
    pub gateway_drain_seconds: u32,
    /// Kafka partitions in use; missing ones are created. A change replaces all msg pods at once, so that no message overtakes an
    /// earlier one: senders wait for some seconds.
    #[schemars(range(min = 1, max = 1024))]
    pub kafka_partitions: i32,
    /// Delivery of system messages by name, for example groupCreated; others stay as in config/notification.yaml.
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
    /// One in this many requests is traced; 1: every request.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sample_one_in: u32,
}

fn hundred() -> u32 {
    100
}

/// Limits per client address and process; an IPv6 /64 counts as one address, and trusted proxies are exempt.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressLimits {
    /// REST requests per second, with bursts of five times as many; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// WebSocket handshakes per second, with bursts of five times as many; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub handshakes_per_second: Option<u32>,
    /// Concurrent connections, for REST and WebSocket each; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub connections: Option<u32>,
}

/// Delivery of a system message.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationSettings {
    /// Whether it also appears as a chat message; if omitted: as in config/notification.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_send_msg: Option<bool>,
    /// Notification on offline devices; if omitted: as in config/notification.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_push: Option<NotificationPush>,
}

/// Notification of a system message on offline devices.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationPush {
    /// Whether to notify the device.
    pub enable: bool,
    /// Title; empty: derived from the kind of message.
    #[schemars(length(max = 256))]
    pub title: String,
    /// Text; empty: the title.
    #[schemars(length(max = 1024))]
    pub desc: String,
    /// Passed to the app.
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
    /// Keep volumes and the credentials that open them; a new cluster of the same name reuses them.
    #[default]
    Retain,
    /// Delete them.
    Delete,
}

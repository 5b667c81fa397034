//! What the operator says about a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Types of conditions.
pub mod condition {
    /// All of the newest spec runs and serves.
    pub const READY: &str = "Ready";
    /// Work is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// Every service has a pod that serves, whatever is under way.
    pub const AVAILABLE: &str = "Available";
    /// The spec cannot be carried out as it is; only an edit helps.
    pub const STALLED: &str = "Stalled";
}

/// Reasons of conditions; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Everything runs.
    Running,
    /// A backing server is not up yet or does not answer.
    DependencyNotReady,
    /// Topics, indexes and administrators are being created.
    Migrating,
    /// Pods of services are starting or being replaced.
    RollingOut,
    /// Running pods are taking over settings.
    Configuring,
    /// Changes wait because `spec.rollout.paused` is set.
    Paused,
    /// Changes wait for somebody's approval.
    AwaitingApproval,
    /// Changes wait for a maintenance window.
    OutsideWindow,
    /// Changes wait until transfer and push have caught up.
    ConsumerLag,
    /// Changes wait because new pods of a service fail too many calls.
    ErrorRate,
    /// Changes wait because the gateways would send too many clients elsewhere at once.
    ReconnectBudget,
    /// New pods of a service did not become ready.
    RolloutFailed,
    /// `spec.version` cannot follow the version that runs.
    UpgradeRefused,
    /// Another object has the host, or all hosts, that clients are to come in by.
    HostTaken,
    /// The spec is wrong.
    InvalidSpec,
    /// The spec is fine.
    Valid,
}

impl Reason {
    /// The text in conditions and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::Migrating => "Migrating",
            Self::RollingOut => "RollingOut",
            Self::Configuring => "Configuring",
            Self::Paused => "Paused",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::OutsideWindow => "OutsideWindow",
            Self::ConsumerLag => "ConsumerLag",
            Self::ErrorRate => "ErrorRate",
            Self::ReconnectBudget => "ReconnectBudget",
            Self::RolloutFailed => "RolloutFailed",
            Self::UpgradeRefused => "UpgradeRefused",
            Self::HostTaken => "HostTaken",
            Self::InvalidSpec => "InvalidSpec",
            Self::Valid => "Valid",
        }
    }
}

/// The state of a cluster, as last observed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenIMClusterStatus {
    /// The generation of the spec that all of this is about.
    pub observed_generation: i64,
    /// One sentence.
    pub message: String,
    /// Ready and wanted pods of services, as "12/12".
    pub pods: String,
    /// The lowest version that runs.
    pub version: String,
    /// Ready, Available, Progressing, Stalled.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Each service.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<Component>,
    /// What is still to be changed, in order.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["component"]))]
    pub plan: Vec<Change>,
    /// Names the plan, for its approval; empty without one.
    #[serde(rename = "planID")]
    pub plan_id: String,
    /// Services and managed servers whose pods are of an older template than this operator makes. Nothing restarts them for it: the next
    /// change of each brings the newest.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub older_templates: Vec<String>,
    /// What holds the plan up.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub blockers: Vec<Blocker>,
    /// Where a change of the secrets stands (spec.secretRotation); empty: there was none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secrets: String,
    /// All pods sign their calls: those of services before that are refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signed_calls: bool,
    /// Names the live settings that all pods have taken over.
    pub live_config: String,
    /// Each backing server, as a real probe saw it.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub dependencies: Vec<Dependency>,
    /// Where clients connect.
    pub endpoints: Endpoints,
    /// Specs with which everything ran, newest first, at most five: `kubectl openim rollback` goes back to one.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<GoodSpec>,
    /// What the last `kubectl openim prove` found; written by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Messages of test users, sent through a change of the cluster, and what became of them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// When it ended.
    pub time: Time,
    /// The version that ran when it began.
    pub from_version: String,
    /// The version that ran when it ended.
    pub to_version: String,
    /// Seconds of sending.
    pub seconds: i64,
    /// Messages that the cluster acknowledged.
    pub acknowledged: i64,
    /// Acknowledged and not there.
    pub lost: i64,
    /// There twice.
    pub doubled: i64,
    /// In another order than they were sent.
    pub reordered: i64,
    /// Other promises that were broken: gaps, messages that an open connection was not told of, readers who see different ones.
    pub other: i64,
    /// The longest time between two acknowledgements of a sender, in milliseconds.
    pub longest_gap_millis: i64,
}

impl Proof {
    /// No promise was broken.
    pub fn holds(&self) -> bool {
        self.lost + self.doubled + self.reordered + self.other == 0
    }
}

/// A spec with which everything ran.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GoodSpec {
    /// metadata.generation then.
    pub generation: i64,
    /// The version that ran.
    pub version: String,
    /// When everything first ran with it.
    pub since: Time,
    /// The spec, as JSON.
    pub spec: String,
}

/// A service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Name of the service.
    pub name: String,
    /// Wanted pods.
    pub desired: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Version of the pods; the old one until all are new.
    pub version: String,
}

/// A change that restarts pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Name of the service or managed server.
    pub component: String,
    /// Why, for example "version 0.1.0 to 0.2.0".
    pub reason: String,
    /// Pods that are replaced.
    pub pods: i32,
}

/// Something that must happen before the plan goes on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// The service or backing server; empty: the whole cluster.
    pub component: String,
    /// Reason of the conditions: DependencyNotReady, Migrating, RollingOut, Paused, AwaitingApproval, OutsideWindow, ConsumerLag, ErrorRate, ReconnectBudget, RolloutFailed, UpgradeRefused, HostTaken, InvalidSpec.
    pub gate: String,
    /// What is seen, and what to do about it.
    pub message: String,
}

/// A backing server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// mongodb, redis or kafka.
    pub name: String,
    /// Run by the operator.
    pub managed: bool,
    /// It answered with the services' own credentials.
    pub reachable: bool,
    /// What went wrong, empty when nothing.
    pub message: String,
}

impl Dependency {
    /// It answered, and nothing is wrong with it.
    pub fn is_well(&self) -> bool {
        self.reachable && self.message.is_empty()
    }
}

/// Where clients connect, as far as the Ingress tells.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoints {
    /// REST.
    pub api: String,
    /// WebSocket.
    pub ws: String,
}

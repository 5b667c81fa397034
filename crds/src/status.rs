//! The status of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Types of conditions.
pub mod condition {
    /// Everything in the newest spec is running and ready.
    pub const READY: &str = "Ready";
    /// Work is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// Every service has at least one ready pod.
    pub const AVAILABLE: &str = "Available";
    /// The spec cannot be carried out; an edit is needed.
    pub const STALLED: &str = "Stalled";
    /// A backing server is unavailable, or lacks a copy or a member: the next failure can be an outage. Or scheduled backups do not succeed
    /// (`BackupOverdue`): the next loss can be for good.
    pub const DEGRADED: &str = "Degraded";
}

/// Reasons of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Everything is running.
    Running,
    /// A backing server is starting or does not answer.
    DependencyNotReady,
    /// Topics, indexes and administrators are being created.
    Migrating,
    /// Topics, indexes and administrators could not be created; retried after a while.
    MigrationFailed,
    /// Pods of services are starting or being replaced.
    RollingOut,
    /// Running pods are applying settings.
    Configuring,
    /// A backing server lacks a copy or a member.
    Degraded,
    /// No scheduled backup has succeeded in two periods.
    BackupOverdue,
    /// Changes wait because `spec.rollout.paused` is set.
    Paused,
    /// Changes wait for approval.
    AwaitingApproval,
    /// Changes wait for a maintenance window.
    OutsideWindow,
    /// Changes wait until transfer and push have caught up.
    ConsumerLag,
    /// Changes wait because new pods of a service fail too many calls.
    ErrorRate,
    /// Changes wait because draining a gateway would force too many reconnects.
    ReconnectBudget,
    /// New pods of a service did not become ready.
    RolloutFailed,
    /// `spec.version` cannot follow the running version.
    UpgradeRefused,
    /// Another object uses the ingress host, or all hosts.
    HostTaken,
    /// Another cluster uses the same names on an external server.
    NamesTaken,
    /// The API server rejects a request of the operator: rights, a quota or an admission policy.
    Refused,
    /// The Secret with the generated credentials was deleted, and something needs it.
    CredentialsGone,
    /// The spec is invalid.
    InvalidSpec,
    /// The spec is valid.
    Valid,
}

impl Reason {
    /// The text in conditions and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::Migrating => "Migrating",
            Self::MigrationFailed => "MigrationFailed",
            Self::RollingOut => "RollingOut",
            Self::Configuring => "Configuring",
            Self::Degraded => "Degraded",
            Self::BackupOverdue => "BackupOverdue",
            Self::Paused => "Paused",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::OutsideWindow => "OutsideWindow",
            Self::ConsumerLag => "ConsumerLag",
            Self::ErrorRate => "ErrorRate",
            Self::ReconnectBudget => "ReconnectBudget",
            Self::RolloutFailed => "RolloutFailed",
            Self::UpgradeRefused => "UpgradeRefused",
            Self::HostTaken => "HostTaken",
            Self::NamesTaken => "NamesTaken",
            Self::Refused => "Refused",
            Self::CredentialsGone => "CredentialsGone",
            Self::InvalidSpec => "InvalidSpec",
            Self::Valid => "Valid",
        }
    }
}

/// The state of a cluster, as last observed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenIMClusterStatus {
    /// Generation of the spec that this status describes.
    pub observed_generation: i64,
    /// Human-readable summary.
    pub message: String,
    /// Ready and desired pods of the services, as "12/12".
    pub pods: String,
    /// Lowest running version.
    pub version: String,
    /// Ready, Available, Progressing, Stalled, Degraded.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Each service.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<Component>,
    /// Pending changes, in order.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["component"]))]
    pub plan: Vec<Change>,
    /// Id of the plan, for its approval; empty if there is none.
    #[serde(rename = "planID")]
    pub plan_id: String,
    /// Services and managed servers whose pods have an older template than this operator generates. They are not restarted for it: the
    /// next change of each applies the newest.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub older_templates: Vec<String>,
    /// What blocks the plan.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub blockers: Vec<Blocker>,
    /// Progress of the secret rotation (spec.secretRotation); empty: none so far.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secrets: String,
    /// Certificates of internalTLS; omitted without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// All pods sign their calls; unsigned calls of older services are refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signed_calls: bool,
    /// Hash of the live settings that all pods have applied.
    pub live_config: String,
    /// Each backing server, as probed.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub dependencies: Vec<Dependency>,
    /// The external servers that this cluster uses: for each, its kind and a digest of an address and of the names used there (database, topics,
    /// keys). Two clusters with the same entry would take each other's records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub shared: Vec<String>,
    /// Scheduled backups; omitted without spec.backup.schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<crate::BackupStatus>,
    /// Where clients connect.
    pub endpoints: Endpoints,
    /// Specs that were fully rolled out, newest first, at most five: `kubectl openim rollback` restores one.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<GoodSpec>,
    /// Result of the last `kubectl openim prove`, which writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// The certificates of internalTLS, which the operator issues and renews.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// When the certificate authority expires. It is replaced two years before, or when spec.certificateRotation changes.
    pub authority_expires: Time,
    /// When the first certificate expires that a service or managed server uses. Certificates are renewed two months before; pods are then
    /// restarted, without waiting for approval, and in the last month also outside of windows and while the rollout is paused.
    pub earliest_expires: Time,
    /// Progress of the replacement of the authority (spec.certificateRotation); empty: none so far.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rotation: String,
}

/// Messages of test users sent during a change of the cluster, and whether they arrived.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// When it ended.
    pub time: Time,
    /// Running version at the start.
    pub from_version: String,
    /// Running version at the end.
    pub to_version: String,
    /// Seconds of sending.
    pub seconds: i64,
    /// Messages that the cluster acknowledged.
    pub acknowledged: i64,
    /// Acknowledged but missing.
    pub lost: i64,
    /// Stored twice.
    pub doubled: i64,
    /// In a different order than sent.
    pub reordered: i64,
    /// Other violated guarantees: gaps, messages not pushed to an open connection, readers that see different messages.
    pub other: i64,
    /// The longest time between two acknowledgements of a sender, in milliseconds.
    pub longest_gap_millis: i64,
}

impl Proof {
    /// No guarantee was violated.
    pub fn holds(&self) -> bool {
        self.lost + self.doubled + self.reordered + self.other == 0
    }
}

/// A spec that was fully rolled out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GoodSpec {
    /// metadata.generation at that time.
    pub generation: i64,
    /// Version.
    pub version: String,
    /// When it was first fully rolled out.
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
    /// Desired pods.
    pub desired: i32,
    /// Ready pods.
    pub ready: i32,
    /// Pods with the newest template.
    pub updated: i32,
    /// Version of the pods; the old one until all are updated.
    pub version: String,
}

/// A change that restarts pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Name of the service or managed server.
    pub component: String,
    /// Reason, for example "version 0.1.0 to 0.2.0".
    pub reason: String,
    /// Number of replaced pods.
    pub pods: i32,
}

/// Something that must happen before the plan continues.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// The service or backing server; empty: the whole cluster.
    pub component: String,
    /// Reason of the conditions: DependencyNotReady, Migrating, MigrationFailed, RollingOut, Degraded, Paused, AwaitingApproval, OutsideWindow, ConsumerLag, ErrorRate, ReconnectBudget, RolloutFailed, UpgradeRefused, HostTaken, NamesTaken, Refused, InvalidSpec.
    pub gate: String,
    /// What was observed, and what to do about it.
    pub message: String,
}

/// A backing server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// mongodb, redis or kafka.
    pub name: String,
    /// Whether the operator runs it.
    pub managed: bool,
    /// Whether it answered, with the services' own credentials.
    pub reachable: bool,
    /// Why it does not answer, or which copies or members it lacks; empty if nothing is wrong.
    pub message: String,
    /// Which disk is nearly full; empty if none is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub disk: String,
}

impl Dependency {
    /// Whether it answered, lacks no copy of its data and has room for more.
    pub fn is_well(&self) -> bool {
        self.has_all_copies() && self.disk.is_empty()
    }

    /// Whether it answered and lacks no copy of its data. A disk that is nearly full is no missing copy.
    pub fn has_all_copies(&self) -> bool {
        self.reachable && self.message.is_empty()
    }

    /// Everything that is wrong with it, in one line; empty if nothing is.
    pub fn problem(&self) -> String {
        let parts = [self.message.as_str(), self.disk.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// Where clients connect, derived from the Ingress.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoints {
    /// REST.
    pub api: String,
    /// WebSocket.
    pub ws: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_a_problem_and_no_missing_copy() {
        let healthy = Dependency { name: "kafka".into(), reachable: true, ..Default::default() };
        assert!(healthy.is_well() && healthy.has_all_copies() && healthy.problem().is_empty());
        let full = Dependency { disk: "kafka-0 is 85 % full".into(), ..healthy.clone() };
        assert!(!full.is_well() && full.has_all_copies());
        // Which words a message has decides nothing.
        let short = Dependency { message: "the disk of a member is away".into(), ..full.clone() };
        assert!(!short.is_well() && !short.has_all_copies());
        assert_eq!(short.problem(), "the disk of a member is away; kafka-0 is 85 % full");
        assert!(!Dependency { reachable: false, ..healthy }.has_all_copies());
    }

    #[test]
    fn a_status_of_an_older_operator_is_read_and_an_empty_field_is_not_written() {
        let old = r#"{"name":"kafka","managed":true,"reachable":true,"message":""}"#;
        let read: Dependency = serde_json::from_str(old).unwrap();
        assert!(read.is_well());
        assert!(!serde_json::to_string(&read).unwrap().contains("disk"));
    }
}

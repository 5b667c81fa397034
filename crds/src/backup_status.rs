//! What the status says of scheduled backups.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scheduled backups (spec.backup.schedule).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStatus {
    /// The schedule and time zone in effect.
    pub schedule: String,
    /// When this schedule came into effect, or was last resumed; omitted while backups are suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the next backup begins; omitted while they are suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// The newest backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<BackupSuccess>,
    /// The newest failure; omitted if none is newer than the newest backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<BackupFailure>,
    /// No backup has succeeded in two periods of the schedule.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// What is wrong with backups; empty if nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A backup that was written.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupSuccess {
    /// When it began: it holds what had been written by then.
    pub time: Time,
    /// Name, for `kubectl openim restore`; empty if its pod was gone before the operator read it.
    pub name: String,
    /// Number of documents.
    pub documents: i64,
    /// Bytes in the bucket.
    pub bytes: i64,
}

/// A backup that was not written.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BackupFailure {
    /// When it ended.
    pub time: Time,
    /// The Job.
    pub job: String,
    /// The error of the program, or why Kubernetes stopped it.
    pub message: String,
}

//! Replica numbers that were set with `kubectl scale` or by a user's autoscaler.

use crds::OpenIMServiceStatus;

/// An OpenIMService as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its replicas.
    pub replicas: i32,
    /// The cluster's spec when it followed that.
    pub of_spec: Option<i32>,
    /// For edits of exactly this state.
    pub resource_version: Option<String>,
    /// Its status.
    pub status: OpenIMServiceStatus,
}

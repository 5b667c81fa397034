//! The recorded settings of a managed server's pods.

use crds::{Pods, Resources};
use serde::{Deserialize, Serialize};

/// What the spec asks of the pods of a server, defaults filled in.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The image.
    pub image: String,
    /// Requests and limits.
    pub resources: Resources,
    /// Where and how the pods run.
    pub pods: Pods,
    /// Names the certificate; empty: they speak no TLS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// The revision of the template; what operators before wrote has the first.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub template: u32,
}

/// Of templates that were made before there were revisions.
pub const FIRST: u32 = 1;

/// For `serde`: an absent value is the first revision.
pub(crate) fn first() -> u32 {
    FIRST
}

/// For `serde`: the first revision is not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_first(revision: &u32) -> bool {
    *revision == FIRST
}

//! Revisions of pod templates, and what changed in them. A running service or server keeps its revision, rendered byte for byte,
//! until something else about it changes; that change brings the newest one, gated like any other. So a new operator restarts
//! nothing, and its template fixes still reach every cluster (docs/adr/0019-template-revisions.md).

use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::{
    plan::Observed,
    rollout::annotation,
    validate::{Cluster, SERVICES},
};

/// Annotation of the pod templates of services: their revision; missing: the first.
pub const TEMPLATE: &str = "openim.io/template";

/// Of templates that were made before there were revisions.
pub const FIRST: u32 = 1;
/// From this revision on each service gets only its own secrets, of accounts with only the rights that it needs, and servers have a startup probe.
pub const OWN_SECRETS: u32 = 2;
/// From this revision on Kubernetes changes the owner of a server's files only if the volume does not have it yet, instead of at every start.
pub const KEPT_OWNERS: u32 = 3;
/// The revision of new pods.
pub const NEWEST: u32 = KEPT_OWNERS;

/// The revision of a service's template. One of a newer operator is as good as our newest.
pub fn of(template: &PodTemplateSpec) -> u32 {
    annotation(template, TEMPLATE).parse().unwrap_or(FIRST).min(NEWEST)
}

/// For `serde`: an absent value is the first revision.
pub(crate) fn first() -> u32 {
    FIRST
}

/// For `serde`: the first revision is not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_first(revision: &u32) -> bool {
    *revision == FIRST
}

/// The services and managed servers that have an older template than new ones get.
pub fn behind(cluster: &Cluster, observed: &Observed) -> Vec<String> {
    let services = SERVICES.into_iter().filter(|service| {
        observed.deployments.get(&cluster.part(service)).is_some_and(|live| of(&live.template) < NEWEST)
    });
    let servers = cluster.servers().into_iter().map(|(server, _)| server).filter(|server| {
        let live = observed.stateful_sets.get(&cluster.part(server));
        live.is_some_and(|live| live.asked.as_ref().map_or(FIRST, |asked| asked.template) < NEWEST)
    });
    services.chain(servers).map(str::to_owned).collect()
}

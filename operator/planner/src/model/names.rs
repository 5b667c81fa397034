//! Names that are part of the interface to Kubernetes and to people: the field manager, annotations, containers.

/// The field manager of everything this operator applies.
pub const MANAGER: &str = "openim-operator";

/// The version of the operator, and the default version of the services.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Annotation of pod templates: changes with the user's settings, but not with the operator's version.
pub const REVISION: &str = "openim.io/revision";

/// Annotation of pod templates: the operator that made them. A template of another operator is kept as it is until it changes anyway.
pub const BUILT_BY: &str = "openim.io/built-by";

/// Annotation of Deployments: the revision that was rolled back, so that it is not tried again.
pub const FAILED_REVISION: &str = "openim.io/failed-revision";

/// Annotation of Deployments: what was observed then.
pub const FAILED_REASON: &str = "openim.io/failed-reason";

/// Annotation of pod templates: changes with config.yaml and the secrets.
pub const CONFIG_HASH: &str = "openim.io/config-hash";

/// Annotation of pod templates: names the certificates of the cluster's own authority that its pods read when they start.
pub const CERTIFICATE: &str = "openim.io/certificate";

/// Annotation of the pod templates of msg: among how many partitions they spread conversations. Pods with two numbers must not send at the
/// same time (docs/adr/0012-partitions.md).
pub const PARTITIONS: &str = "openim.io/kafka-partitions";

/// Annotation of Deployments: when the number of pods was last changed by load.
pub const SCALED_AT: &str = "openim.io/scaled-at";

/// Annotation of StatefulSets: what the spec asked when their pod template was made.
pub const ASKED: &str = "openim.io/asked";

/// Annotation of clusters, by which a person says that what a server held is where the services will be: `mongodb=external`, several with commas.
pub const MOVED: &str = "openim.io/moved";

/// Annotation of an `OpenIMCluster`: the plan that somebody approved.
pub const APPROVED: &str = "openim.io/approved-plan";

/// Annotation of clusters: a time of the last hour (RFC 3339), at which a person gave up what only the old credentials open.
pub const NEW_CREDENTIALS: &str = "openim.io/new-credentials";

/// The container with the sentinel.
pub(crate) const SENTINEL: &str = "sentinel";

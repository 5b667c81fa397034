//! Labels and metadata of everything a cluster owns.

use std::{collections::BTreeMap, fmt::Display};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::model::cluster::Cluster;

/// Names the cluster an object belongs to.
pub const CLUSTER: &str = "openim.io/cluster";
/// Names the part of the cluster an object belongs to.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Selects everything of a cluster.
pub fn selector(cluster: &str) -> String {
    format!("{CLUSTER}={cluster}")
}

/// Selects the pods of a part of a cluster, and what Kubernetes makes for them.
pub fn component_selector(cluster: &str, component: impl Display) -> String {
    format!("{CLUSTER}={cluster},{COMPONENT}={component}")
}

/// Selects the pods of several parts of a cluster.
pub fn components_selector(cluster: &str, components: &[impl Display]) -> String {
    let components: Vec<String> = components.iter().map(ToString::to_string).collect();
    format!("{CLUSTER}={cluster},{COMPONENT} in ({})", components.join(","))
}

/// Selects everything of all clusters, for watches.
pub fn any_cluster() -> &'static str {
    CLUSTER
}

pub(crate) fn labels(cluster: &Cluster, component: impl Display) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "openim"),
        ("app.kubernetes.io/instance", cluster.name.as_str()),
        ("app.kubernetes.io/managed-by", crate::model::names::MANAGER),
        (CLUSTER, cluster.name.as_str()),
        (COMPONENT, component.to_string().as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The labels that pods are selected by: they never change.
pub(crate) fn pod_labels(cluster: &Cluster, component: impl Display) -> BTreeMap<String, String> {
    [(CLUSTER.to_owned(), cluster.name.clone()), (COMPONENT.to_owned(), component.to_string())].into()
}

pub(crate) fn pod_selector(cluster: &Cluster, component: impl Display) -> LabelSelector {
    LabelSelector { match_labels: Some(pod_labels(cluster, component)), ..Default::default() }
}

pub fn metadata(cluster: &Cluster, name: &str, component: impl Display) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels(cluster, component)),
        owner_references: Some(vec![cluster.owner.clone()]),
        ..Default::default()
    }
}

//! The PodMonitor of a cluster.

use crds::Monitoring;
use kube_core::{DynamicObject, TypeMeta};
use serde_json::json;

use crate::{
    model::cluster::Cluster,
    render::labels::{CLUSTER, COMPONENT, metadata},
};

/// Type of the Prometheus operator's PodMonitor.
pub fn pod_monitor_type() -> TypeMeta {
    TypeMeta { api_version: "monitoring.coreos.com/v1".into(), kind: "PodMonitor".into() }
}

/// The services of a cluster: its backing servers have no such port.
pub(crate) fn pod_monitor(cluster: &Cluster, wanted: &Monitoring) -> DynamicObject {
    let mut metadata = metadata(cluster, &cluster.name, "monitoring");
    let labels = metadata.labels.get_or_insert_default();
    for (name, value) in &wanted.labels {
        // Those by which we know the object are not to be taken from it.
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let interval = format!("{}s", wanted.interval_seconds);
    DynamicObject {
        types: Some(pod_monitor_type()),
        metadata,
        data: json!({ "spec": {
            "selector": { "matchLabels": { CLUSTER: cluster.name } },
            "podTargetLabels": [CLUSTER, COMPONENT],
            "podMetricsEndpoints": [{ "port": "admin", "path": "/metrics", "interval": interval }],
        } }),
    }
}

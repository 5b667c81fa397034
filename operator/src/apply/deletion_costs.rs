//! Which gateways Kubernetes removes first when it scales down.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use planner::{
    model::{cluster::Cluster, names::MANAGER},
    render::labels,
};
use topology::Service;

use crate::observe::pods;

/// Kubernetes removes the pods with the least of it first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Tells Kubernetes which gateways to spare.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn prefer(client: &Client, cluster: &Cluster, costs: &BTreeMap<String, i64>) -> kube::Result<()> {
    if costs.is_empty() {
        return Ok(());
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let gateways = labels::component_selector(&cluster.name, Service::Gateway);
    let known: BTreeMap<String, String> = api
        .list_metadata(&ListParams::default().labels(&gateways))
        .await?
        .into_iter()
        .filter_map(|pod| Some((pod.name_any(), pod.annotations().get(DELETION_COST)?.clone())))
        .collect();
    // A field manager of its own: what else is said of the pods stays.
    let manager = format!("{MANAGER}-scaling");
    for (pod, cost) in costs {
        let cost = cost.to_string();
        if known.get(pod) != Some(&cost) {
            pods::annotate(client, cluster, &manager, pod, (DELETION_COST, &cost)).await?;
        }
    }
    Ok(())
}

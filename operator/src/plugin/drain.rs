//! Implements `kubectl openim drain`.

use std::time::Duration;

use anyhow::{Context, ensure};
use crds::{Dependency, OpenIMCluster};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{EvictParams, ListParams},
};
use planner::render::labels;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A pod that is evicted must be replaced in this time.
const PATIENCE: Duration = Duration::from_secs(900);

/// Whether every service and managed server has all the pods that it should have.
fn is_whole(cluster: &OpenIMCluster) -> bool {
    let status = cluster.status.clone().unwrap_or_default();
    Some(status.observed_generation) == cluster.metadata.generation
        && status.components.iter().all(|service| service.ready >= service.desired)
        && status.dependencies.iter().all(Dependency::is_well)
}

/// Evicts the pods of a cluster from a node, or one pod, one after the other: each within its disruption budget, each only when the
/// previous one is replaced. Gateways hand over their connections as they stop.
///
/// # Errors
/// What did not work, and which pod was not replaced in time.
pub async fn drain(
    client: Client,
    namespace: &str,
    name: &str,
    node: Option<&str>,
    pod: Option<&str>,
) -> anyhow::Result<()> {
    let clusters: Api<OpenIMCluster> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut found = pods.list(&ListParams::default().labels(&labels::selector(name))).await?.items;
    found.retain(|item| {
        let phase = item.status.as_ref().and_then(|status| status.phase.as_deref());
        let here = item.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        phase == Some("Running")
            && node.is_none_or(|node| here == Some(node))
            && pod.is_none_or(|pod| item.name_any() == pod)
    });
    if let Some(node) = node {
        let nodes: Api<Node> = Api::all(client.clone());
        let cordoned = nodes.get(node).await?.spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        if !cordoned {
            println!(
                "Node {node} is schedulable: run `kubectl cordon {node}` first, or pods may return to it."
            );
        }
    }
    ensure!(!found.is_empty(), "no matching running pods found for {name} in namespace {namespace}");
    let count = found.len();
    for (number, item) in found.iter().enumerate() {
        let evicted = item.name_any();
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match pods.evict(&evicted, &EvictParams::default()).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                // Its disruption budget: others of its service are away.
                Err(kube::Error::Api(status)) if status.code == 429 && tokio::time::Instant::now() < end => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(error).with_context(|| evicted.clone()),
            }
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let gone = pods.get_opt(&evicted).await?.is_none_or(|now| now.uid() != item.uid());
            if gone && is_whole(&clusters.get(name).await?) {
                break;
            }
            ensure!(
                tokio::time::Instant::now() < end,
                "{evicted} was evicted but not replaced: see `kubectl openim doctor {name}`"
            );
        }
        println!("{}/{count} {evicted} is replaced", number + 1);
    }
    Ok(())
}

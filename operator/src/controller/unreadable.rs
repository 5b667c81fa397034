//! Clusters that cannot be parsed: a field has a value that this operator does not know, for example after it was downgraded.

use crds::{OpenIMCluster, OpenIMClusterStatus, Reason};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams},
    core::{DeserializeGuard, DynamicObject, error_boundary::InvalidObject},
};
use planner::{model::names::MANAGER, status};

use crate::observe::scope;

/// Reports in the status of a cluster why it cannot be parsed, unless the status already says so.
///
/// # Errors
/// If the API server refuses or is unavailable.
pub async fn tell(client: &Client, broken: &InvalidObject) -> kube::Result<()> {
    let (name, namespace) = (name_of(broken), broken.metadata.namespace.as_deref().unwrap_or_default());
    let kind = scope::resource(&kube::api::TypeMeta::resource::<OpenIMCluster>());
    let raw: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    // By a list: the operator has no right to get single clusters.
    let this = ListParams::default().fields(&format!("metadata.name={name}"));
    let Some(found) = raw.list(&this).await?.items.into_iter().next() else { return Ok(()) };
    let generation = broken.metadata.generation.unwrap_or(0);
    let message = format!(
        "operator {} cannot parse this object: {}: correct the field, or upgrade the operator",
        planner::model::names::VERSION,
        broken.error
    );
    let said = &found.data["status"];
    if said["observedGeneration"] == generation && said["message"] == message {
        return Ok(());
    }
    let before: OpenIMClusterStatus = serde_json::from_value(said.clone()).unwrap_or_default();
    let after = status::invalid(generation, Reason::InvalidSpec, &message, &before, Timestamp::now());
    let patch = serde_json::json!({
        "apiVersion": OpenIMCluster::api_version(&()), "kind": OpenIMCluster::kind(&()),
        "status": status::applied(&after),
    });
    let parameters = PatchParams::apply(&format!("{MANAGER}-status")).force();
    // The response cannot be parsed either.
    let guarded: Api<DeserializeGuard<OpenIMCluster>> = Api::namespaced(client.clone(), namespace);
    guarded.patch_status(name, &parameters, &Patch::Apply(&patch)).await.map(|_| ())
}

fn name_of(broken: &InvalidObject) -> &str {
    broken.metadata.name.as_deref().unwrap_or_default()
}

//! Reads and writes the OpenIMService objects of a cluster.

use std::collections::BTreeMap;

use crds::{OpenIMService, OpenIMServiceSpec};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use planner::{
    manual_scale::{scalable, status},
    model::{
        assessment::Assessment, cluster::Cluster, manual_scale::Held, names::MANAGER, observed::Observed,
    },
    render::labels,
};
use serde_json::json;
use topology::Service;

/// Annotation: the replicas in the cluster's spec when the object followed it.
const OF_SPEC: &str = "openim.io/spec-replicas";

fn api(client: &Client, cluster: &Cluster) -> Api<OpenIMService> {
    Api::namespaced(client.clone(), &cluster.namespace)
}

/// The objects of a cluster, by name.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn read(client: &Client, cluster: &Cluster) -> kube::Result<BTreeMap<String, Held>> {
    let ours = ListParams::default().labels(&labels::selector(&cluster.name));
    let listed = api(client, cluster).list(&ours).await?;
    let owned = listed
        .into_iter()
        .filter(|item| item.owner_references().iter().any(|owner| owner.uid == cluster.owner.uid));
    let held = owned.map(|item| {
        let of_spec = item.annotations().get(OF_SPEC).and_then(|text| text.parse().ok());
        let held = Held {
            replicas: item.spec.replicas,
            of_spec,
            resource_version: item.resource_version(),
            status: item.status.clone().unwrap_or_default(),
        };
        (item.name_any(), held)
    });
    Ok(held.collect())
}

/// Makes, updates and removes them. An edit that somebody makes meanwhile wins: the next pass sees it.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn write(
    client: &Client,
    cluster: &Cluster,
    observed: &Observed,
    assessment: &Assessment,
) -> kube::Result<()> {
    let api = api(client, cluster);
    for service in Service::ALL {
        let name = cluster.part(service);
        let held = observed.manual_scale.get(&name);
        let written = match held {
            Some(held) if !scalable(cluster, service) => {
                let exactly = Preconditions { resource_version: held.resource_version.clone(), uid: None };
                let parameters = DeleteParams { preconditions: Some(exactly), ..Default::default() };
                api.delete(&name, &parameters).await.map(drop)
            }
            _ if !scalable(cluster, service) => Ok(()),
            None => {
                let mut object = OpenIMService::new(
                    &name,
                    OpenIMServiceSpec { replicas: assessment.scale(service).replicas },
                );
                object.metadata = labels::metadata(cluster, &name, service);
                object
                    .annotations_mut()
                    .insert(OF_SPEC.into(), cluster.service(service).replicas.to_string());
                api.create(&PostParams { field_manager: Some(MANAGER.into()), ..Default::default() }, &object)
                    .await
                    .map(drop)
            }
            Some(held) if held.of_spec != Some(cluster.service(service).replicas) => {
                let of_spec = cluster.service(service).replicas;
                let patch = json!({
                    "metadata": {
                        "resourceVersion": held.resource_version,
                        "annotations": { OF_SPEC: of_spec.to_string() },
                    },
                    "spec": { "replicas": of_spec },
                });
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
            }
            Some(held) => {
                let now = status(cluster, service, observed);
                if held.status == now {
                    continue;
                }
                let patch = json!({
                    "apiVersion": OpenIMService::api_version(&()), "kind": OpenIMService::kind(&()), "status": now,
                });
                let parameters = PatchParams::apply(&format!("{MANAGER}-status")).force();
                api.patch_status(&name, &parameters, &Patch::Apply(&patch)).await.map(drop)
            }
        };
        match written {
            // Somebody was faster, or it is gone: the next pass looks again.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            other => other?,
        }
    }
    Ok(())
}

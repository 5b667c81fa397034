//! The OpenIMService objects: replica numbers set with `kubectl scale` or by a user's autoscaler. The most recent edit wins: the
//! object remembers the number in the cluster's spec, and follows the spec when that changes.

use std::collections::BTreeMap;

use crds::{OpenIMService, OpenIMServiceSpec, OpenIMServiceStatus};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use crate::{
    MANAGER,
    build::labels,
    plan::Observed,
    rollout::version_of,
    scaling,
    validate::{Cluster, SERVICES},
};

/// Annotation: the replicas in the cluster's spec when the object followed it.
const OF_SPEC: &str = "openim.io/spec-replicas";

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

/// Cron has nothing to share.
fn scalable(cluster: &Cluster, service: &str) -> bool {
    service != "cron" && cluster.service(service).autoscaling.is_none()
}

/// The pods of a service that is not scaled by load: as the last edit says.
pub fn replicas(cluster: &Cluster, service: &str, observed: &Observed) -> i32 {
    let of_spec = cluster.service(service).replicas;
    match observed.by_hand.get(&cluster.part(service)) {
        Some(held) if scalable(cluster, service) && held.of_spec == Some(of_spec) => {
            held.replicas.clamp(0, 200)
        }
        _ => of_spec,
    }
}

fn status(cluster: &Cluster, service: &str, observed: &Observed) -> OpenIMServiceStatus {
    let selector = labels::component_selector(&cluster.name, service);
    observed.deployments.get(&cluster.part(service)).map_or_else(
        || OpenIMServiceStatus { selector: selector.clone(), ..Default::default() },
        |live| OpenIMServiceStatus {
            replicas: live.total,
            ready: live.ready,
            selector: selector.clone(),
            version: version_of(&live.template).to_owned(),
        },
    )
}

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
pub async fn write(client: &Client, cluster: &Cluster, observed: &Observed) -> kube::Result<()> {
    let api = api(client, cluster);
    for service in SERVICES {
        let name = cluster.part(service);
        let held = observed.by_hand.get(&name);
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
                    OpenIMServiceSpec { replicas: scaling::scale(cluster, service, observed).replicas },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::{tests::object, validate};

    fn replicas_of(spec: &str, held: Option<(i32, Option<i32>)>) -> i32 {
        let cluster = validate(&object(spec)).unwrap();
        let mut observed = Observed::default();
        if let Some((replicas, of_spec)) = held {
            observed.by_hand.insert(cluster.part("msg"), Held { replicas, of_spec, ..Default::default() });
        }
        scaling::scale(&cluster, "msg", &observed).replicas
    }

    #[test]
    fn the_last_edit_counts() {
        let spec = "services: {msg: {replicas: 2}}";
        assert_eq!(replicas_of(spec, None), 2);
        assert_eq!(replicas_of(spec, Some((5, Some(2)))), 5, "scaled by hand");
        assert_eq!(replicas_of(spec, Some((5, Some(1)))), 2, "the spec was edited since");
        assert_eq!(replicas_of(spec, Some((900, Some(2)))), 200);
        let scaled = "services: {msg: {autoscaling: {maxReplicas: 3}}}";
        assert_eq!(replicas_of(scaled, Some((5, Some(1)))), 1, "what scales by load is left alone");
    }

    #[test]
    fn the_selector_is_that_of_the_pods() {
        let cluster = validate(&object("{}")).unwrap();
        let said = status(&cluster, "msg", &Observed::default()).selector;
        let pods = labels::pod_labels(&cluster, "msg");
        let mut wanted: Vec<String> = pods.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut said: Vec<String> = said.split(',').map(str::to_owned).collect();
        wanted.sort();
        said.sort();
        assert_eq!(said, wanted);
    }
}

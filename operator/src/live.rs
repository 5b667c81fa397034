//! Configuration that reaches running pods: which pods have taken it over, and the nudge that makes kubelets hand it on at once.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    MANAGER,
    build::{labels, services::ADMIN_PORT},
    validate::{Cluster, SERVICES},
};

/// A pod that does not answer in this time has not taken anything over yet.
const PATIENCE: Duration = Duration::from_secs(2);
const AT_A_TIME: usize = 20;
/// Annotation of pods: kubelets look at a pod's volumes at once when its annotations change, else within a minute or two.
const NUDGE: &str = "openim.io/live-config";

#[derive(Deserialize)]
struct Taken {
    revision: String,
    problem: String,
}

/// Pods of the services that have not taken over `revision`, and what they say.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn behind(
    client: &Client,
    cluster: &Cluster,
    revision: &str,
) -> kube::Result<BTreeMap<String, String>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let components =
        format!("{},{} in ({})", labels::selector(&cluster.name), labels::COMPONENT, SERVICES.join(","));
    let pods = api.list(&ListParams::default().labels(&components)).await?;
    let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap_or_default();
    let asked = pods.into_iter().filter(serves).map(|pod| {
        let (http, name) = (http.clone(), pod.name_any());
        async move {
            let address = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            let answer = async {
                http.get(format!("http://{host}:{ADMIN_PORT}/config")).send().await?.json::<Taken>().await
            };
            match answer.await {
                Ok(taken) if taken.revision == revision => None,
                Ok(taken) => Some((name, taken.problem)),
                Err(error) => Some((name, error.without_url().to_string())),
            }
        }
    });
    Ok(futures::stream::iter(asked)
        .buffer_unordered(AT_A_TIME)
        .filter_map(futures::future::ready)
        .collect()
        .await)
}

/// Only pods that serve: one that is starting reads the newest files anyway, one that is going needs nothing.
fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Makes the kubelets of these pods look.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn nudge(
    client: &Client,
    cluster: &Cluster,
    pods: &BTreeMap<String, String>,
    revision: &str,
) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let patch =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "annotations": { NUDGE: revision } } });
    for name in pods.keys() {
        match api.patch_metadata(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            patched => drop(patched?),
        }
    }
    Ok(())
}

//! Pods of the services: what they say on their admin port, and annotations that say something to them or to Kubernetes.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use crate::{
    build::{labels, services::ADMIN_PORT},
    validate::Cluster,
};

/// A pod that does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
const AT_A_TIME: usize = 20;

/// What a pod said.
pub(crate) struct Answer {
    pub(crate) pod: String,
    pub(crate) service: String,
    /// The name of the ReplicaSet that made the pod.
    pub(crate) made_by: String,
    /// The body, or why there is none.
    pub(crate) said: Result<String, String>,
}

/// Asks every pod of these services that serves: one that is starting or going is left out.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub(crate) async fn ask(
    client: &Client,
    cluster: &Cluster,
    services: &[&str],
    path: &str,
) -> kube::Result<Vec<Answer>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let theirs = labels::components_selector(&cluster.name, services);
    let pods = api.list(&ListParams::default().labels(&theirs)).await?;
    let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap_or_default();
    let asked = pods.into_iter().filter(serves).map(|pod| {
        let http = http.clone();
        async move {
            let (name, service) = (pod.name_any(), pod.labels().get(labels::COMPONENT).cloned());
            let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
            let made_by = owner.map(|owner| owner.name.clone()).unwrap_or_default();
            let address = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            let answer = async {
                http.get(format!("http://{host}:{ADMIN_PORT}{path}"))
                    .send()
                    .await?
                    .error_for_status()?
                    .text()
                    .await
            };
            let said = answer.await.map_err(|error| error.without_url().to_string());
            Answer { pod: name, service: service.unwrap_or_default(), made_by, said }
        }
    });
    Ok(futures::stream::iter(asked).buffer_unordered(AT_A_TIME).collect().await)
}

/// Sets an annotation of a pod; one that is gone needs none. Each `manager` owns what it says alone.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub(crate) async fn annotate(
    client: &Client,
    cluster: &Cluster,
    manager: &str,
    pod: &str,
    (key, value): (&str, &str),
) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let patch = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "annotations": { key: value } } });
    match api.patch_metadata(pod, &PatchParams::apply(manager).force(), &Patch::Apply(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map(drop),
    }
}

/// Evicts a pod, within its disruption budget, if it is still this one. What the API server refuses now is asked for again in the next pass.
pub(crate) async fn evict(client: &Client, cluster: &Cluster, pod: &str, uid: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let this_one = Preconditions { uid: Some(uid.to_owned()), ..Default::default() };
    let delete_options = Some(DeleteParams { preconditions: Some(this_one), ..Default::default() });
    match api.evict(pod, &EvictParams { delete_options, ..Default::default() }).await {
        Ok(_) => tracing::info!(cluster = cluster.name, pod, "server.replaced"),
        Err(error) => tracing::warn!(cluster = cluster.name, pod, %error, "server.not_replaced"),
    }
}

pub(crate) fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

//! Pods of the services: what they report on their admin port, and annotations for them or for Kubernetes. Anybody can put labels
//! on a pod: one is asked only if a ReplicaSet of the cluster's own Deployments created it.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, Preconditions},
};
use planner::{
    model::{cluster::Cluster, observed::There},
    render::{labels, services::ADMIN_PORT},
};
use serde_json::json;
use topology::Service;

/// A pod that does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
const AT_A_TIME: usize = 20;
/// More than any pod has to say.
const LONGEST: usize = 4 << 20;

/// Annotation of ReplicaSets: the newest has the highest number.
pub(crate) const SET_NUMBER: &str = "deployment.kubernetes.io/revision";

/// Which of the ReplicaSets of a Deployment it is, counted from 1.
pub(crate) fn set_number(set: &ReplicaSet) -> i64 {
    set.annotations().get(SET_NUMBER).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// What a pod said.
pub(crate) struct Answer {
    pub(crate) pod: String,
    /// `None`: not one of the services that this version knows.
    pub(crate) service: Option<Service>,
    /// The name of the ReplicaSet that made the pod.
    pub(crate) made_by: String,
    /// The body, or why there is none.
    pub(crate) said: Result<String, String>,
}

/// Asks every ready pod of these services: starting or terminating ones are skipped. `there` has the Deployments.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub(crate) async fn ask(
    client: &Client,
    cluster: &Cluster,
    there: &There,
    services: &[Service],
    path: &str,
) -> kube::Result<Vec<Answer>> {
    Ok(ask_all(client, cluster, there, services, path).await?.0)
}

/// [`ask`], and the number of skipped pods.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_all(
    client: &Client,
    cluster: &Cluster,
    there: &There,
    services: &[Service],
    path: &str,
) -> kube::Result<(Vec<Answer>, usize)> {
    let theirs = ListParams::default().labels(&labels::components_selector(&cluster.name, services));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), &cluster.namespace);
    let (pods, sets) = tokio::try_join!(pods.list(&theirs), sets.list_metadata(&theirs))?;
    let deployments = uids_owned_by(
        &[cluster.owner.uid.clone()].into(),
        there.iter().filter(|((kind, _), _)| kind == "Deployment").map(|(_, object)| object),
    );
    let sets = uids_owned_by(&deployments, &sets.items);
    let ours =
        pods.items.into_iter().filter(|pod| made_by(pod).is_some_and(|owner| sets.contains(&owner.uid)));
    let (serving, others): (Vec<Pod>, Vec<Pod>) = ours.partition(serves);
    let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap_or_default();
    let asked = serving.into_iter().map(|pod| {
        let http = http.clone();
        async move {
            let service = pod.labels().get(labels::COMPONENT).and_then(|name| Service::from_name(name));
            let name = pod.name_any();
            let made_by = made_by(&pod).map(|owner| owner.name.clone()).unwrap_or_default();
            let address = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            let said = get(&http, &format!("http://{host}:{ADMIN_PORT}{path}")).await;
            Answer { pod: name, service, made_by, said }
        }
    });
    Ok((futures::stream::iter(asked).buffer_unordered(AT_A_TIME).collect().await, others.len()))
}

fn made_by<K: ResourceExt>(object: &K) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// The uids of those that one of the owners made.
fn uids_owned_by<'a, K: ResourceExt + 'a>(
    owners: &BTreeSet<String>,
    objects: impl IntoIterator<Item = &'a K>,
) -> BTreeSet<String> {
    let theirs = objects.into_iter().filter(|object| {
        let owner = made_by(*object);
        owner.is_some_and(|owner| owners.contains(&owner.uid))
    });
    theirs.filter_map(ResourceExt::uid).collect()
}

/// What a pod answers, if that is not too long to be true.
async fn get(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let problem = |error: reqwest::Error| error.without_url().to_string();
    let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(problem)?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(problem)? {
        if body.len() + part.len() > LONGEST {
            return Err(format!("the answer is longer than {} MiB", LONGEST >> 20));
        }
        body.extend_from_slice(&part);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Sets an annotation of a pod; one that is gone needs none. Each `manager` owns only its own annotation.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub(crate) async fn annotate(
    client: &Client,
    cluster: &Cluster,
    manager: &str,
    pod: &str,
    (key, value): (&str, &str),
) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    // Not applied: that would create a pod that is gone, for which there is no right.
    let parameters = PatchParams { field_manager: Some(manager.to_owned()), ..Default::default() };
    match api.patch_metadata(pod, &parameters, &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map(drop),
    }
}

/// Evicts a pod, within its disruption budget, if it is still this one. What the API server rejects now is asked for again in the next pass.
pub(crate) async fn evict(client: &Client, cluster: &Cluster, pod: &str, uid: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let this_one = Preconditions { uid: Some(uid.to_owned()), ..Default::default() };
    let delete_options = Some(DeleteParams { preconditions: Some(this_one), ..Default::default() });
    match api.evict(pod, &EvictParams { delete_options, ..Default::default() }).await {
        Ok(_) => tracing::info!(pod, "server.replaced"),
        Err(error) => tracing::warn!(pod, %error, "server.not_replaced"),
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn a_label_alone_makes_no_pod_of_ours() {
        let of = |name: &str, owner: Option<&str>, controller: bool| -> Pod {
            let owners = owner.map(|uid| json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid, "controller": controller }]));
            serde_json::from_value(
                json!({ "metadata": { "name": name, "uid": name, "ownerReferences": owners } }),
            )
            .unwrap()
        };
        let pods = [
            of("ours", Some("set"), true),
            of("theirs", Some("other"), true),
            of("none", None, true),
            of("said", Some("set"), false),
        ];
        assert_eq!(uids_owned_by(&["set".to_owned()].into(), &pods), BTreeSet::from(["ours".to_owned()]));
    }

    /// One answer of so many bytes, without end when `None`.
    async fn answered(bytes: Option<usize>) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let server = async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _read = peer.read(&mut request).await;
            let length = bytes.map_or_else(String::new, |bytes| format!("content-length: {bytes}\r\n"));
            let mut sent = peer.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes()).await;
            let mut left = bytes.unwrap_or(usize::MAX);
            while left > 0 && sent.is_ok() {
                let part = left.min(1 << 16);
                sent = peer.write_all(&vec![b'x'; part]).await;
                left -= part;
            }
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        tokio::select! {
            said = get(&http, &url) => said,
            () = async { server.await; std::future::pending().await } => Err("unreachable".into()),
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        assert_eq!(answered(Some(LONGEST)).await.unwrap().len(), LONGEST);
        assert!(answered(Some(LONGEST + 1)).await.unwrap_err().contains("longer than 4 MiB"));
        assert!(answered(None).await.unwrap_err().contains("longer than 4 MiB"));
    }
}

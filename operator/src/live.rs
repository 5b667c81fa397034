//! Configuration that reaches running pods: which pods have taken it over, and the nudge that makes kubelets hand it on at once.

use std::collections::BTreeMap;

use kube::Client;
use serde::Deserialize;

use crate::{
    MANAGER,
    apply::There,
    pods,
    validate::{Cluster, SERVICES},
};

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
    there: &There,
    revision: &str,
) -> kube::Result<BTreeMap<String, String>> {
    // One that is starting reads the newest files anyway, one that is going needs nothing.
    let answers = pods::ask(client, cluster, there, &SERVICES, "/config").await?;
    let problem = |said: Result<String, String>| match said.map(|text| serde_json::from_str::<Taken>(&text)) {
        Ok(Ok(taken)) if taken.revision == revision => None,
        Ok(Ok(taken)) => Some(taken.problem),
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error),
    };
    let behind = answers.into_iter().filter_map(|answer| Some((answer.pod, problem(answer.said)?)));
    Ok(behind.collect())
}

/// Makes the kubelets of these pods look.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn nudge(
    client: &Client,
    cluster: &Cluster,
    behind: &BTreeMap<String, String>,
    revision: &str,
) -> kube::Result<()> {
    for name in behind.keys() {
        pods::annotate(client, cluster, MANAGER, name, (NUDGE, revision)).await?;
    }
    Ok(())
}

//! Live settings: which pods have applied them, and the annotation that makes kubelets deliver them at once.

use std::collections::BTreeMap;

use kube::Client;
use planner::model::{cluster::Cluster, names::MANAGER, observed::There};
use serde::Deserialize;
use topology::Service;

use crate::observe::pods;

/// Annotation of pods: kubelets look at a pod's volumes at once when its annotations change, else within a minute or two.
const NUDGE: &str = "openim.io/live-config";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    revision: String,
    problem: String,
    #[serde(default)]
    signs_calls: bool,
}

/// Pods of the services that have not applied `revision`, and their answers.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn behind(
    client: &Client,
    cluster: &Cluster,
    there: &There,
    revision: &str,
) -> kube::Result<BTreeMap<String, String>> {
    // One that is starting reads the newest files anyway, one that is going needs nothing.
    let answers = pods::ask(client, cluster, there, &Service::ALL, "/config").await?;
    let problem = |said: Result<String, String>| match said.map(|text| serde_json::from_str::<Taken>(&text)) {
        Ok(Ok(taken)) if taken.revision == revision => None,
        Ok(Ok(taken)) => Some(taken.problem),
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error),
    };
    let behind = answers.into_iter().filter_map(|answer| Some((answer.pod, problem(answer.said)?)));
    Ok(behind.collect())
}

/// Whether all pods of the services sign their calls; `None` while one does not answer, is starting or has not quite gone.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn signing(client: &Client, cluster: &Cluster, there: &There) -> kube::Result<Option<bool>> {
    let (asked, others) = pods::ask_all(client, cluster, there, &Service::ALL, "/config").await?;
    Ok(all_sign(others > 0, asked.into_iter().map(|answer| answer.said.ok())))
}

fn all_sign(others: bool, answers: impl Iterator<Item = Option<String>>) -> Option<bool> {
    let said = |text: Option<String>| Some(serde_json::from_str::<Taken>(&text?).ok()?.signs_calls);
    let said: Vec<Option<bool>> = answers.map(said).collect();
    if said.contains(&Some(false)) {
        return Some(false);
    }
    (!others && !said.is_empty() && !said.contains(&None)).then_some(true)
}

/// Makes the kubelets of these pods look.
///
/// # Errors
/// When the API server rejects or cannot be reached.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_calls_are_given_up_when_every_pod_has_said_that_it_signs() {
        let (new, old) =
            (r#"{"revision":"","problem":"","signsCalls":true}"#, r#"{"revision":"","problem":""}"#);
        let of = |others, answers: &[Option<&str>]| {
            all_sign(others, answers.iter().map(|text| text.map(str::to_owned)))
        };
        assert_eq!(of(false, &[Some(new), Some(new)]), Some(true));
        assert_eq!(of(false, &[Some(new), Some(old)]), Some(false));
        assert_eq!(of(false, &[Some(new), None]), None, "one does not answer");
        assert_eq!(of(true, &[Some(new)]), None, "a gateway is draining");
        assert_eq!(of(false, &[]), None);
    }
}

//! How many of the calls that new pods answer fail: what decides whether the next service may be changed too. Pure, but for [`measure`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    build::labels::selector,
    dereference::set_number,
    plan::Observed,
    pods,
    validate::{Cluster, SERVICES},
};

/// What a ReplicaSet's pods count that is older has nothing to do with this change; nor has what moved pods of before count.
const NEW: SignedDuration = SignedDuration::from_mins(30);
/// Fewer calls say nothing.
const FEWEST: i64 = 50;
/// The counters of answers by errCode.
const COUNTERS: [&str; 2] = ["rpc_count_total{", "api_count_total{"];
/// Those of the answers that failed because a server or another service did not answer.
const UNREACHABLE: [&str; 2] = ["rpc_unreachable_total ", "api_unreachable_total "];
/// The errCode of what failed inside.
const FAILED: &str = "code=\"500\"";

/// Calls that new pods of a service answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All, but for those that failed because something else did not answer.
    pub answered: i64,
    /// Those that failed inside.
    pub failed: i64,
}

impl Calls {
    /// The part that failed, in percent, when it is more than `most`.
    pub fn too_many(self, most: i64) -> Option<i64> {
        let percent = self.failed * 100 / self.answered.max(1);
        (self.answered >= FEWEST && self.failed * 100 > most * self.answered).then_some(percent)
    }

    fn of(metrics: &str) -> Self {
        let mut calls = Self::default();
        for line in metrics.lines() {
            let is = |names: [&str; 2]| names.iter().any(|name| line.starts_with(name));
            let Some((labels, value)) = line.rsplit_once(' ') else { continue };
            let value = || value.parse::<f64>().unwrap_or(0.0) as i64;
            if is(COUNTERS) {
                calls.answered += value();
                calls.failed += if labels.contains(FAILED) { value() } else { 0 };
            } else if is(UNREACHABLE) {
                calls.answered -= value();
                calls.failed -= value();
            }
        }
        calls
    }
}

/// ReplicaSets that a change made a short time ago; the first of a Deployment changed nothing.
fn fresh(sets: &[ReplicaSet], now: Timestamp) -> BTreeSet<String> {
    let is_fresh = |set: &&ReplicaSet| {
        let made = set.metadata.creation_timestamp.as_ref();
        set_number(set) > 1 && made.is_some_and(|made| now.duration_since(made.0) < NEW)
    };
    sets.iter().filter(is_fresh).map(ResourceExt::name_any).collect()
}

/// The calls of each service's new pods, while services are being changed.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn measure(
    client: &Client,
    cluster: &Cluster,
    observed: &Observed,
) -> kube::Result<BTreeMap<String, Calls>> {
    let mut calls: BTreeMap<String, Calls> = BTreeMap::new();
    if !cluster.changing || cluster.spec.rollout.max_error_percent >= 100 || observed.deployments.is_empty() {
        return Ok(calls);
    }
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), &cluster.namespace).list(&ours).await?;
    let fresh = fresh(&sets.items, observed.now);
    if fresh.is_empty() {
        return Ok(calls);
    }
    for answer in pods::ask(client, cluster, &SERVICES, "/metrics").await? {
        let new = fresh.contains(&answer.made_by);
        // One that does not answer is the business of its probes.
        let Some(metrics) = answer.said.ok().filter(|_| new) else { continue };
        let of_pod = Calls::of(&metrics);
        let of_service = calls.entry(answer.service).or_default();
        of_service.answered += of_pod.answered;
        of_service.failed += of_pod.failed;
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::dereference::SET_NUMBER;

    #[test]
    fn pods_that_only_moved_are_not_new() {
        let now = Timestamp::constant(100_000, 0);
        let set = |name: &str, number: i64, minutes: i64| {
            let mut set = ReplicaSet::default();
            set.metadata.name = Some(name.into());
            set.metadata.creation_timestamp =
                Some(Time(now.checked_sub(SignedDuration::from_mins(minutes)).unwrap()));
            set.annotations_mut().insert(SET_NUMBER.into(), number.to_string());
            set
        };
        let sets = [set("first", 1, 2), set("old", 2, 40), set("new", 3, 2)];
        assert_eq!(fresh(&sets, now), BTreeSet::from(["new".to_owned()]));
    }

    #[test]
    fn what_failed_inside_counts_and_what_was_refused_does_not() {
        let metrics = "# HELP rpc_count Calls answered, by errCode.\n\
            rpc_count_total{name=\"msg\",path=\"/openim.msg/sendMsg\",code=\"0\"} 60\n\
            rpc_count_total{name=\"msg\",path=\"/openim.msg/sendMsg\",code=\"500\"} 30\n\
            rpc_count_total{name=\"msg\",path=\"/openim.msg/sendMsg\",code=\"1302\"} 10\n\
            rpc_seconds_count 100\n";
        let calls = Calls::of(metrics);
        assert_eq!(calls, Calls { answered: 100, failed: 30 });
        assert_eq!((calls.too_many(29), calls.too_many(30)), (Some(30), None));
        let while_kafka_was_away = format!("{metrics}rpc_unreachable_total 30\n");
        assert_eq!(Calls::of(&while_kafka_was_away), Calls { answered: 70, failed: 0 });
        assert_eq!(Calls { answered: FEWEST - 1, failed: FEWEST - 1 }.too_many(10), None, "too few to say");
    }
}

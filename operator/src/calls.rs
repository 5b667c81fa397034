//! How many of the calls that new pods answer fail: what decides whether the next service may be changed too. Pure, but for [`measure`].

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::Client;

use crate::{
    plan::Observed,
    pods,
    validate::{Cluster, SERVICES},
};

/// What older pods count may have failed long before this change.
const NEW: SignedDuration = SignedDuration::from_mins(30);
/// Fewer calls say nothing.
const FEWEST: i64 = 50;
/// The counters of answers by errCode.
const COUNTERS: [&str; 2] = ["rpc_count_total{", "api_count_total{"];
/// The errCode of what failed inside.
const FAILED: &str = "code=\"500\"";

/// Calls that new pods of a service answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All.
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
        for line in metrics.lines().filter(|line| COUNTERS.iter().any(|name| line.starts_with(name))) {
            let Some((labels, value)) = line.rsplit_once(' ') else { continue };
            let value = value.parse::<f64>().unwrap_or(0.0) as i64;
            calls.answered += value;
            calls.failed += if labels.contains(FAILED) { value } else { 0 };
        }
        calls
    }
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
    for answer in pods::ask(client, cluster, &SERVICES, "/metrics").await? {
        let new = answer.since.is_some_and(|since| observed.now.duration_since(since) < NEW);
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
    use super::*;

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
        assert_eq!(Calls { answered: FEWEST - 1, failed: FEWEST - 1 }.too_many(10), None, "too few to say");
    }
}

//! The error rate of calls to new pods, which decides whether the next service can be changed. Pure, except for [`measure`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, Client, ResourceExt, api::ListParams};
use parking_lot::Mutex;
use planner::{
    model::{
        cluster::Cluster,
        measured::{Calls, FEWEST},
        observed::Observed,
    },
    render::labels::selector,
};
use topology::Service;

use crate::observe::pods::{self, set_number};

/// What a ReplicaSet's pods count that is older has nothing to do with this change; nor have calls counted by old pods.
const NEW: SignedDuration = SignedDuration::from_mins(30);
/// The counters of answers by errCode.
const COUNTERS: [&str; 2] = ["rpc_count_total{", "api_count_total{"];
/// Answers that failed because a server or another service was unavailable.
const UNREACHABLE: [&str; 2] = ["rpc_unreachable_total ", "api_unreachable_total "];
/// The errCode, and that of what failed inside.
const CODE: &str = "code=\"";
const FAILED: &str = "code=\"500\"";
/// Fewer calls of a method count as if there were so many.
const FEW: i64 = 10;

/// What new pods answered, and how much more of it failed than of the old pods' calls.
fn compared(new: &Tally, before: Option<&Tally>) -> Calls {
    let all = new.all();
    let Some(before) = before.filter(|before| before.all().answered >= FEWEST) else { return all };
    let counted: i64 = before.methods.values().map(|calls| calls.answered).sum();
    let expected: f64 = before
        .methods
        .iter()
        .map(|(method, calls)| {
            let more = (new.failing(method) - before.failing(method)).max(0.0);
            calls.answered as f64 / counted as f64 * more
        })
        .sum();
    Calls { failed: (expected * all.answered as f64).round() as i64, ..all }
}

/// The counters of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    /// By the labels of a counter but for the errCode.
    methods: BTreeMap<String, Calls>,
    /// How many failed because something else did not answer, of all methods.
    unreachable: i64,
}

impl Tally {
    fn add(&mut self, metrics: &str) {
        for line in metrics.lines() {
            let is = |names: [&str; 2]| names.iter().any(|name| line.starts_with(name));
            let Some((labels, value)) = line.rsplit_once(' ') else { continue };
            let value = || value.parse::<f64>().unwrap_or(0.0) as i64;
            if is(COUNTERS) {
                let method = labels.split_once(CODE).map_or(labels, |(before, _)| before);
                let calls = self.methods.entry(method.to_owned()).or_default();
                calls.answered += value();
                calls.failed += if labels.contains(FAILED) { value() } else { 0 };
            } else if is(UNREACHABLE) {
                self.unreachable += value();
            }
        }
    }

    fn all(&self) -> Calls {
        let sum = |of: fn(&Calls) -> i64| self.methods.values().map(of).sum::<i64>() - self.unreachable;
        Calls { answered: sum(|calls| calls.answered), failed: sum(|calls| calls.failed) }
    }

    /// The part of the calls of a method that failed inside.
    fn failing(&self, method: &str) -> f64 {
        let Some(calls) = self.methods.get(method) else { return 0.0 };
        let failed: i64 = self.methods.values().map(|calls| calls.failed).sum();
        // Which method met what did not answer is not counted: all alike.
        let inside = 1.0 - self.unreachable as f64 / failed.max(1) as f64;
        // Of a few calls one more or less says little.
        calls.failed as f64 * inside.clamp(0.0, 1.0) / calls.answered.max(FEW) as f64
    }
}

/// What the old pods had counted when a change began, by the uid of the cluster and by service: they are gone when the new ones are looked at.
#[derive(Default)]
pub struct Before(Mutex<HashMap<String, BTreeMap<Service, Tally>>>);

impl Before {
    fn is_known(&self, cluster: &str) -> bool {
        self.0.lock().contains_key(cluster)
    }

    fn of(&self, cluster: &str, service: Service) -> Option<Tally> {
        self.0.lock().get(cluster)?.get(&service).cloned()
    }

    fn remember(&self, cluster: &str, counted: BTreeMap<Service, Tally>) {
        self.0.lock().entry(cluster.to_owned()).or_default().extend(counted);
    }

    fn forget(&self, cluster: &str) {
        self.0.lock().remove(cluster);
    }

    /// The other clusters are gone.
    pub(crate) fn keep(&self, clusters: &HashSet<String>) {
        self.0.lock().retain(|cluster, _| clusters.contains(cluster));
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
/// When the API server rejects or cannot be reached.
pub async fn measure(
    client: &Client,
    cluster: &Cluster,
    observed: &Observed,
    before: &Before,
) -> kube::Result<BTreeMap<Service, Calls>> {
    let uid = cluster.owner.uid.as_str();
    if !cluster.changing || cluster.spec.rollout.max_error_percent >= 100 || observed.deployments.is_empty() {
        before.forget(uid);
        return Ok(BTreeMap::new());
    }
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), &cluster.namespace).list(&ours).await?;
    let fresh = fresh(&sets.items, observed.now);
    if fresh.is_empty() && before.is_known(uid) {
        return Ok(BTreeMap::new());
    }
    let (mut new, mut old) = (BTreeMap::<Service, Tally>::new(), BTreeMap::<Service, Tally>::new());
    for answer in pods::ask(client, cluster, &observed.there, &Service::ALL, "/metrics").await? {
        // One that does not answer is the business of its probes.
        let (Ok(metrics), Some(service)) = (answer.said, answer.service) else { continue };
        let counted = if fresh.contains(&answer.made_by) { &mut new } else { &mut old };
        counted.entry(service).or_default().add(&metrics);
    }
    before.remember(uid, old);
    let judged = new.into_iter().map(|(service, counted)| {
        let calls = compared(&counted, before.of(uid, service).as_ref());
        (service, calls)
    });
    Ok(judged.collect())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::observe::pods::SET_NUMBER;

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
        let of = |metrics: &str| compared(&tally(metrics), None);
        let calls = of(metrics);
        assert_eq!(calls, Calls { answered: 100, failed: 30 });
        assert_eq!((calls.too_many(29), calls.too_many(30)), (Some(30), None));
        let while_kafka_was_away = format!("{metrics}rpc_unreachable_total 30\n");
        assert_eq!(of(&while_kafka_was_away), Calls { answered: 70, failed: 0 });
        assert_eq!(Calls { answered: FEWEST - 1, failed: FEWEST - 1 }.too_many(10), None, "too few to say");
    }

    fn tally(metrics: &str) -> Tally {
        let mut tally = Tally::default();
        tally.add(metrics);
        tally
    }

    /// Counters of msg: of each method what went well, and what failed.
    fn counted(methods: &[(&str, i64, i64)]) -> Tally {
        let line = |method: &str, code: i32, count: i64| {
            format!("rpc_count_total{{name=\"msg\",path=\"/openim.msg/{method}\",code=\"{code}\"}} {count}\n")
        };
        let lines =
            methods.iter().map(|(method, well, failed)| line(method, 0, *well) + &line(method, 500, *failed));
        tally(&lines.collect::<String>())
    }

    #[test]
    fn errors_that_anybody_can_ask_for_are_no_reason_to_go_back() {
        let before = counted(&[("sendMsg", 9_000, 9), ("pull", 1_000, 0), ("odd", 1, 0)]);
        let judged = |new: &[(&str, i64, i64)]| compared(&counted(new), Some(&before)).too_many(10);
        assert_eq!(judged(&[("sendMsg", 100, 0), ("odd", 0, 5_000)]), None, "one user calls what fails");
        assert_eq!(judged(&[("sendMsg", 100, 0), ("unknown", 0, 5_000)]), None, "nobody called it before");
        assert_eq!(
            judged(&[("sendMsg", 0, 100), ("pull", 100, 0)]),
            Some(90),
            "half of the calls, most of the users"
        );
        assert_eq!(judged(&[("sendMsg", 60, 40), ("pull", 20, 0)]), Some(35));
        assert_eq!(judged(&[("sendMsg", 0, 1), ("pull", 60, 0)]), None, "once is no proof");
        // What failed before fails on.
        let before = counted(&[("sendMsg", 500, 0), ("odd", 0, 500)]);
        assert_eq!(
            compared(&counted(&[("sendMsg", 99, 1), ("odd", 0, 900)]), Some(&before)).too_many(10),
            None
        );
        // Old pods with few calls prove nothing.
        let few = counted(&[("sendMsg", 3, 0)]);
        assert_eq!(compared(&counted(&[("odd", 0, 100)]), Some(&few)).too_many(10), Some(100));
    }
}

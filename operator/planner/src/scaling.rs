//! The number of pods of a service: from the spec, from a HorizontalPodAutoscaler, or by load. And which gateway is removed first
//! when scaling down. Pure, except for [`measure`] and [`prefer`].

use std::collections::BTreeMap;

use crds::Autoscaling;
use jiff::SignedDuration;
use topology::Service;

use crate::{
    manual_scale,
    model::{
        assessment::{Assessment, Scale},
        cluster::Cluster,
        observed::Observed,
    },
};

/// A pod is removed only if the others stay below this percentage of their target, so that it is not needed again at once.
const ROOM_PERCENT: i64 = 80;

/// What one pod is to have, if the operator scales by that.
pub fn target(scaling: &Autoscaling) -> Option<i64> {
    scaling.connections.map(i64::from).or(scaling.lag)
}

/// Whether Kubernetes scales this service by CPU.
pub(crate) fn by_cpu(scaling: &Autoscaling) -> bool {
    target(scaling).is_none()
}

/// The pods a service is to have.
pub fn scale(cluster: &Cluster, service: Service, observed: &Observed) -> Scale {
    let wanted = cluster.service(service);
    let live = observed.deployment(cluster, service);
    let Some(scaling) = &wanted.autoscaling else {
        return Scale { replicas: manual_scale::replicas(cluster, service, observed), changed: None };
    };
    let now = live.map_or(wanted.replicas, |live| live.desired);
    let fewest = scaling.min_replicas;
    let most = scaling.max_replicas.max(fewest);
    let current = now.clamp(fewest, most);
    let kept = Scale { replicas: current, changed: live.and_then(|live| live.scaled_at) };
    match (target(scaling), live, observed.load.get(&service)) {
        (Some(target), Some(live), Some(Some(load))) if current == now => {
            let sum: i64 = load.values().sum();
            let needed = |percent: i64| {
                let each = target * percent;
                let pods = ((sum * 100 + each - 1) / each).clamp(i64::from(fewest), i64::from(most));
                i32::try_from(pods).unwrap_or(most)
            };
            let rested = kept.changed.is_none_or(|changed| {
                let rest = SignedDuration::from_secs(i64::from(scaling.scale_down_delay_seconds));
                observed.now.duration_since(changed) >= rest
            });
            let replicas = if needed(100) > current {
                needed(100)
            } else if needed(ROOM_PERCENT) < current && rested && live.is_done() {
                current - 1
            } else {
                return kept;
            };
            Scale { replicas, changed: Some(observed.now) }
        }
        _ => kept,
    }
}

/// The consumers for which more waits than may while services are changed, and how much.
pub fn behind(cluster: &Cluster, observed: &Observed) -> Vec<(Service, i64)> {
    let most = cluster.spec.rollout.max_lag;
    let waiting = |service: Service| {
        let load = observed.load.get(&service)?.as_ref()?;
        let sum: i64 = load.values().sum();
        (most > 0 && sum > most).then_some((service, sum))
    };
    Service::CONSUMERS.into_iter().filter_map(waiting).collect()
}

/// The pod-deletion-cost of a gateway: its connections, rounded while it is updated all the time, so that little is written.
pub fn deletion_costs(
    cluster: &Cluster,
    observed: &Observed,
    assessment: &Assessment,
) -> BTreeMap<String, i64> {
    let Some(Some(load)) = observed.load.get(&Service::Gateway) else { return BTreeMap::new() };
    let live = observed.deployment(cluster, Service::Gateway).map_or(0, |live| live.desired);
    if assessment.scale(Service::Gateway).replicas < live {
        return load.clone();
    }
    // A HorizontalPodAutoscaler asks nobody before it takes one away.
    if cluster.service(Service::Gateway).autoscaling.as_ref().is_some_and(by_cpu) {
        return load.iter().map(|(pod, count)| (pod.clone(), (count + 1).ilog2().into())).collect();
    }
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::workload::Rollout,
        validate::{tests::object, validate},
    };
    use jiff::Timestamp;

    fn cluster(service: Service, scaling: &str) -> Cluster {
        validate(&object(&format!("services: {{{service}: {{autoscaling: {scaling}}}}}"))).unwrap()
    }

    fn observed(service: Service, pods: i32, each: &[i64], second: i64) -> Observed {
        let live = Rollout {
            current: true,
            desired: pods,
            ready: pods,
            updated: pods,
            total: pods,
            ..Default::default()
        };
        let load = each.iter().enumerate().map(|(index, value)| (format!("pod-{index}"), *value)).collect();
        Observed {
            deployments: [(format!("chat-{service}"), live)].into(),
            load: [(service, Some(load))].into(),
            now: Timestamp::from_second(second).unwrap(),
            ..Default::default()
        }
    }

    const BY_CONNECTIONS: &str =
        "{minReplicas: 1, maxReplicas: 5, connections: 100, scaleDownDelaySeconds: 60}";

    #[test]
    fn more_connections_than_the_pods_are_to_have_make_more_pods_at_once() {
        let wanted = cluster(Service::Gateway, BY_CONNECTIONS);
        let pods = |each: &[i64]| {
            scale(&wanted, Service::Gateway, &observed(Service::Gateway, each.len() as i32, each, 0)).replicas
        };
        assert_eq!(pods(&[100]), 1);
        assert_eq!(pods(&[101]), 2);
        assert_eq!(pods(&[340]), 4);
        assert_eq!(pods(&[9000]), 5, "at most so many");
        assert_eq!(pods(&[90, 90]), 2, "90 each is too much for one");
        assert_eq!(pods(&[40, 41]), 2, "one alone would be almost full");
        assert_eq!(pods(&[40, 40]), 1);
    }

    #[test]
    fn pods_go_one_at_a_time_after_a_rest_while_all_serve() {
        let wanted = cluster(
            Service::Transfer,
            "{minReplicas: 1, maxReplicas: 8, lag: 1000, scaleDownDelaySeconds: 60}",
        );
        let mut idle = observed(Service::Transfer, 4, &[0, 0, 0, 0], 1000);
        assert_eq!(scale(&wanted, Service::Transfer, &idle).replicas, 3);
        let live = idle.deployments.get_mut("chat-transfer").unwrap();
        live.scaled_at = Timestamp::from_second(950).ok();
        assert_eq!(scale(&wanted, Service::Transfer, &idle).replicas, 4, "50 s ago");
        idle.now = Timestamp::from_second(1010).unwrap();
        assert_eq!(scale(&wanted, Service::Transfer, &idle), Scale { replicas: 3, changed: Some(idle.now) });
        idle.deployments.get_mut("chat-transfer").unwrap().ready = 3;
        assert_eq!(scale(&wanted, Service::Transfer, &idle).replicas, 4, "one does not serve");
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        let wanted = cluster(Service::Gateway, BY_CONNECTIONS);
        let mut blind = observed(Service::Gateway, 3, &[0, 0, 0], 0);
        blind.load = [(Service::Gateway, None)].into();
        assert_eq!(scale(&wanted, Service::Gateway, &blind).replicas, 3);
        blind.load.clear();
        assert_eq!(scale(&wanted, Service::Gateway, &blind).replicas, 3);
    }

    #[test]
    fn the_emptiest_gateway_costs_least() {
        let fewer = validate(&object("services: {gateway: {replicas: 1}}")).unwrap();
        let deletion_costs = |cluster: &Cluster, observed: Observed| {
            super::deletion_costs(cluster, &observed, &Assessment::of(cluster, &observed))
        };
        let costs = deletion_costs(&fewer, observed(Service::Gateway, 2, &[70, 3], 0));
        assert_eq!(costs, [("pod-0".to_owned(), 70), ("pod-1".to_owned(), 3)].into());
        assert!(deletion_costs(&fewer, observed(Service::Gateway, 1, &[70], 0)).is_empty(), "nobody goes");
        let by_cpu = cluster(Service::Gateway, "{minReplicas: 1, maxReplicas: 5}");
        let coarse = deletion_costs(&by_cpu, observed(Service::Gateway, 2, &[1000, 1010], 0));
        assert_eq!(coarse.values().collect::<Vec<_>>(), [&9, &9], "little is written while little changes");
    }

    proptest! {
        /// Whatever the load does, the number stays within its bounds, and comes to rest when the load does.
        #[test]
        fn it_comes_to_rest(start in 1..10_i32, sum in 0..3000_i64, fewest in 1..4_i32, more in 0..6_i32) {
            let wanted = cluster(Service::Gateway, &format!("{{minReplicas: {fewest}, maxReplicas: {}, connections: 100, scaleDownDelaySeconds: 0}}", fewest + more));
            let (mut pods, mut changes) = (start, 0);
            for second in 0..30 {
                let each: Vec<i64> = (0..pods).map(|index| sum / i64::from(pods) + i64::from(index == 0) * (sum % i64::from(pods))).collect();
                let next = scale(&wanted, Service::Gateway, &observed(Service::Gateway, pods, &each, second)).replicas;
                prop_assert!((fewest..=fewest + more).contains(&next));
                if second > 20 && next != pods {
                    changes += 1;
                }
                pods = next;
            }
            prop_assert_eq!(changes, 0);
            prop_assert!(i64::from(pods) * 100 >= sum || pods == fewest + more);
        }
    }
}

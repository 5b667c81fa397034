//! What the pods of the services that are scaled or paced by it have to do: connections of gateways, records that wait for consumers.

use std::collections::BTreeMap;

use kube::Client;
use planner::{
    manual_scale,
    model::{assessment::Moves, cluster::Cluster, measured::Load, observed::Observed},
    scaling::target,
};
use topology::Service;

use crate::observe::pods;

fn metric(service: Service) -> &'static str {
    if service == Service::Gateway { "gateway_connections" } else { "consumer_lag_records" }
}

/// Services whose load must be known for this pass.
fn of_interest(cluster: &Cluster, observed: &Observed, moves: &Moves) -> Vec<Service> {
    let interesting = |&service: &Service| {
        let wanted = cluster.service(service);
        let live = observed.deployment(cluster, service).map_or(0, |live| live.desired);
        let paces_changes = cluster.changing && cluster.spec.rollout.max_lag > 0 && service.reads_kafka();
        let has_budget =
            cluster.changing && cluster.spec.rollout.reconnects_per_second > 0 && service == Service::Gateway;
        paces_changes
            || moves.between_kafkas() && service.reads_kafka()
            || has_budget
            || match &wanted.autoscaling {
                Some(scaling) => target(scaling).is_some() || service == Service::Gateway,
                None => {
                    service == Service::Gateway && manual_scale::replicas(cluster, service, observed) < live
                }
            }
    };
    Service::ALL.into_iter().filter(interesting).collect()
}

/// The sum of a metric over its labels in Prometheus' text format.
fn sum_of(metrics: &str, name: &str) -> i64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with(['{', ' ']);
        is_it.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).flatten()
    };
    metrics.lines().filter_map(value).sum::<f64>() as i64
}

/// What the pods of the services that are scaled by it have to do.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn measure(
    client: &Client,
    cluster: &Cluster,
    observed: &Observed,
    moves: &Moves,
) -> kube::Result<BTreeMap<Service, Load>> {
    let services = of_interest(cluster, observed, moves);
    let mut load: BTreeMap<Service, Load> =
        services.iter().map(|service| (*service, Some(BTreeMap::new()))).collect();
    if services.is_empty() {
        return Ok(load);
    }
    for answer in pods::ask(client, cluster, &observed.there, &services, "/metrics").await? {
        let Some(service) = answer.service else { continue };
        let Some(of_service) = load.get_mut(&service) else { continue };
        match answer.said {
            Ok(metrics) => {
                let value = sum_of(&metrics, metric(service));
                of_service.as_mut().map(|pods| pods.insert(answer.pod, value));
            }
            // What is not known is neither much nor little.
            Err(_) => *of_service = None,
        }
    }
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE consumer_lag_records gauge\nconsumer_lag_records{topic=\"a b\",group=\"g\"} 3\nconsumer_lag_records{topic=\"c\"} 4\nconsumer_lag_records_other 9\ngateway_connections 17\n";
        assert_eq!((sum_of(text, "consumer_lag_records"), sum_of(text, "gateway_connections")), (7, 17));
    }
}

//! The OpenIMService objects: replica numbers set with `kubectl scale` or by a user's autoscaler. The most recent edit wins: the
//! object remembers the number in the cluster's spec, and follows the spec when that changes.

use crds::OpenIMServiceStatus;
use topology::Service;

use crate::{
    model::{cluster::Cluster, observed::Observed, pod_template::version_of},
    render::labels,
};

/// Cron has nothing to share.
pub fn scalable(cluster: &Cluster, service: Service) -> bool {
    service != Service::Cron && cluster.service(service).autoscaling.is_none()
}

/// The pods of a service that is not scaled by load: as the last edit says.
pub fn replicas(cluster: &Cluster, service: Service, observed: &Observed) -> i32 {
    let of_spec = cluster.service(service).replicas;
    match observed.manual_scale.get(&cluster.part(service)) {
        Some(held) if scalable(cluster, service) && held.of_spec == Some(of_spec) => {
            held.replicas.clamp(0, 200)
        }
        _ => of_spec,
    }
}

pub fn status(cluster: &Cluster, service: Service, observed: &Observed) -> OpenIMServiceStatus {
    let selector = labels::component_selector(&cluster.name, service);
    observed.deployment(cluster, service).map_or_else(
        || OpenIMServiceStatus { selector: selector.clone(), ..Default::default() },
        |live| OpenIMServiceStatus {
            replicas: live.total,
            ready: live.ready,
            selector: selector.clone(),
            version: version_of(&live.template).to_owned(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::manual_scale::Held,
        scaling,
        validate::{tests::object, validate},
    };

    fn replicas_of(spec: &str, held: Option<(i32, Option<i32>)>) -> i32 {
        let cluster = validate(&object(spec)).unwrap();
        let mut observed = Observed::default();
        if let Some((replicas, of_spec)) = held {
            observed
                .manual_scale
                .insert(cluster.part("msg"), Held { replicas, of_spec, ..Default::default() });
        }
        scaling::scale(&cluster, Service::Msg, &observed).replicas
    }

    #[test]
    fn the_last_edit_counts() {
        let spec = "services: {msg: {replicas: 2}}";
        assert_eq!(replicas_of(spec, None), 2);
        assert_eq!(replicas_of(spec, Some((5, Some(2)))), 5, "scaled by hand");
        assert_eq!(replicas_of(spec, Some((5, Some(1)))), 2, "the spec was edited since");
        assert_eq!(replicas_of(spec, Some((900, Some(2)))), 200);
        let scaled = "services: {msg: {autoscaling: {maxReplicas: 3}}}";
        assert_eq!(replicas_of(scaled, Some((5, Some(1)))), 1, "what scales by load is left alone");
    }

    #[test]
    fn the_selector_is_that_of_the_pods() {
        let cluster = validate(&object("{}")).unwrap();
        let said = status(&cluster, Service::Msg, &Observed::default()).selector;
        let pods = labels::pod_labels(&cluster, "msg");
        let mut wanted: Vec<String> = pods.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut said: Vec<String> = said.split(',').map(str::to_owned).collect();
        wanted.sort();
        said.sort();
        assert_eq!(said, wanted);
    }
}

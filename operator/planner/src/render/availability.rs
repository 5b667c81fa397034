//! Availability during node maintenance: disruption budgets, spread, autoscalers.

use std::fmt::Display;

use crds::{Dependency, Spread};
use k8s_openapi::{
    api::{
        autoscaling::v2::{
            CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
            MetricTarget, ResourceMetricSource,
        },
        core::v1::TopologySpreadConstraint,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube_core::{DynamicObject, ResourceExt};
use serde_json::json;
use topology::Service;

use crate::{
    model::cluster::Cluster,
    render::labels::{COMPONENT, metadata, pod_selector},
    scaling,
};

/// At most one pod of a component can be evicted at a time.
pub(crate) fn budget(cluster: &Cluster, component: impl Display + Copy) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(cluster, &cluster.part(component), component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(pod_selector(cluster, component)),
            // A pod that does not serve anyway must not keep its node from being drained.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Has no pod evicted of a server that lacks a copy or a member already. Its port says nothing of that: a drained node would take the next copy as
/// soon as the previous one listens again.
pub(crate) fn spare_copies(objects: &mut [DynamicObject], dependencies: &[Dependency]) {
    let lacks =
        |server: &str| dependencies.iter().any(|known| known.name == server && !known.has_all_copies());
    for object in objects {
        let is_budget = object.types.as_ref().is_some_and(|types| types.kind == "PodDisruptionBudget");
        if is_budget && object.labels().get(COMPONENT).is_some_and(|server| lacks(server)) {
            object.data["spec"]["maxUnavailable"] = json!(0);
        }
    }
}

pub(crate) fn autoscaler(cluster: &Cluster, service: Service) -> Option<HorizontalPodAutoscaler> {
    let scaling = cluster.service(service).autoscaling.as_ref().filter(|scaling| scaling::by_cpu(scaling))?;
    let cpu = MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(scaling.cpu_percent),
                ..Default::default()
            },
        }),
        ..Default::default()
    };
    Some(HorizontalPodAutoscaler {
        metadata: metadata(cluster, &cluster.part(service), service),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name: cluster.part(service),
            },
            min_replicas: Some(scaling.min_replicas),
            max_replicas: scaling.max_replicas,
            metrics: Some(vec![cpu]),
            ..Default::default()
        }),
        ..Default::default()
    })
}

pub(crate) fn spread(
    cluster: &Cluster,
    component: impl Display + Copy,
    how: Spread,
) -> Option<Vec<TopologySpreadConstraint>> {
    let when_unsatisfiable = match how {
        Spread::Disabled => return None,
        Spread::Preferred => "ScheduleAnyway",
        Spread::Required => "DoNotSchedule",
    };
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.into(),
        when_unsatisfiable: when_unsatisfiable.into(),
        label_selector: Some(pod_selector(cluster, component)),
        // Pods of one revision are spread among themselves, or a rollout would end uneven.
        match_label_keys: Some(vec!["pod-template-hash".into()]),
        ..Default::default()
    };
    Some(vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")])
}

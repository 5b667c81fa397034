//! Pieces of pods: security, probes, volumes, environment.

use std::collections::BTreeMap;

use crds::{PodUser, Pods};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
        LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe, ResourceRequirements,
        SeccompProfile, SecretKeySelector, SecurityContext, TCPSocketAction, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use crate::{affinity::affinity, render::template, secret_rotation};

/// The "restricted" pod security standard, as the user that the image was made for, unless admission is to choose one.
pub(crate) fn pod_security(user: i64, pods: &Pods) -> PodSecurityContext {
    let user = (pods.user != Some(PodUser::Assigned)).then_some(user);
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..Default::default() }),
        ..Default::default()
    }
}

/// Where a pod may run, how important it is, and what its images are pulled with.
pub(crate) fn placed(pods: &Pods) -> PodSpec {
    let secrets = pods.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        node_selector: (!pods.node_selector.is_empty()).then(|| pods.node_selector.clone()),
        tolerations: (!pods.tolerations.is_empty()).then(|| pods.tolerations.clone()),
        priority_class_name: (!pods.priority_class_name.is_empty()).then(|| pods.priority_class_name.clone()),
        affinity: pods.affinity.as_ref().and_then(|given| affinity(given).ok()),
        image_pull_secrets: (!pods.image_pull_secrets.is_empty()).then(|| secrets.collect()),
        ..Default::default()
    }
}

pub(crate) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: i32::from(number),
        protocol: Some("TCP".into()),
        ..Default::default()
    }
}

pub(crate) fn http_probe(path: &str, port: u16, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(i32::from(port)),
            ..Default::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(3),
        ..Default::default()
    }
}

pub(crate) fn tcp_probe(port: u16, period: i32, failures: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(i32::from(port)), ..Default::default() }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(3),
        ..Default::default()
    }
}

pub(crate) fn resources(cpu: &str, memory: &str, limit: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", cpu), ("memory", memory)])),
        limits: Some(quantities(&[("memory", limit)])),
        ..Default::default()
    }
}

/// Limit on what a container of a service writes to the node's disk: its logs, which the kubelet rotates.
pub(crate) const SERVICE_DISK: &str = "1Gi";
/// The same for a server, including scratch files.
pub(crate) const SERVER_DISK: &str = "2Gi";

/// Adds the limit on local disk, in templates that have one. Nothing is requested, so that nodes that do not report their disk can run the pod
/// too.
pub(crate) fn bounded(
    mut resources: ResourceRequirements,
    template: u32,
    disk: &str,
) -> ResourceRequirements {
    if template >= template::OWN_KAFKA_USER {
        let name = "ephemeral-storage";
        resources.limits.get_or_insert_default().insert(name.into(), Quantity(disk.into()));
        resources.requests.get_or_insert_default().insert(name.into(), Quantity("0".into()));
    }
    resources
}

pub(crate) fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), ..Default::default() }
}

pub(crate) fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    // Keys that exist only during a rotation are removed while old pods may still restart.
    let optional = secret_rotation::comes_and_goes(key).then_some(true);
    let selector = SecretKeySelector { name: secret.into(), key: key.into(), optional };
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource { secret_key_ref: Some(selector), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn from_field(name: &str, path: &str) -> EnvVar {
    let selector = ObjectFieldSelector { field_path: path.into(), api_version: Some("v1".into()) };
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource { field_ref: Some(selector), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    let read_only = read_only.then_some(true);
    VolumeMount { name: name.into(), mount_path: path.into(), read_only, ..Default::default() }
}

/// A directory that is deleted with the pod. In templates with limits, a pod that fills it is evicted before the node runs out of disk.
pub(crate) fn empty_dir(name: &str, template: u32, limit: &str) -> Volume {
    let size_limit = (template >= template::OWN_KAFKA_USER).then(|| Quantity(limit.into()));
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit, ..Default::default() }),
        ..Default::default()
    }
}

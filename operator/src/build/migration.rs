//! The Job that creates topics, indexes and administrators before services of a version run. Its name holds what it depends on, so
//! it runs once for each.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::DynamicObject;
use sha2::{Digest, Sha256};

use super::{
    dynamic,
    labels::{metadata, pod_labels},
    pods::{pod_security, resources},
    services::{SERVICE_USER, config_volume, container},
    settings::Settings,
};
use crate::validate::Cluster;

/// The Job's name for these settings.
pub fn name(cluster: &Cluster, settings: &Settings) -> String {
    let digest = hex::encode(Sha256::digest(format!("{} {}", cluster.image, settings.hash)));
    format!("{}-{}", cluster.part("migrate"), &digest[..8])
}

/// The Job.
pub fn job(cluster: &Cluster, settings: &Settings) -> DynamicObject {
    let mut container = container(cluster, settings, "migrate");
    container.resources = Some(resources("20m", "48Mi", "256Mi"));
    let job = Job {
        metadata: metadata(cluster, &name(cluster, settings), "migrate"),
        spec: Some(JobSpec {
            backoff_limit: Some(20),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(cluster, "migrate")),
                    ..Default::default()
                }),
                spec: Some(PodSpec {
                    containers: vec![container],
                    restart_policy: Some("OnFailure".into()),
                    volumes: Some(vec![config_volume(cluster, settings)]),
                    security_context: Some(pod_security(SERVICE_USER)),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    ..Default::default()
                }),
            },
            ..Default::default()
        }),
        ..Default::default()
    };
    dynamic(&job)
}

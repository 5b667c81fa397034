//! The Job that creates topics, indexes and administrators before services of a version run: its name holds what it depends on, so it
//! runs once for each. And Jobs that a person asked for.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Container, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::DynamicObject;
use sha2::{Digest, Sha256};

use super::{
    dynamic,
    labels::{metadata, pod_labels},
    pods::{placed, pod_security, resources},
    services::{SERVICE_USER, config_volume, container},
    settings::Settings,
    template,
};
use crate::validate::Cluster;

/// The Job's name for these settings.
pub fn name(cluster: &Cluster, settings: &Settings) -> String {
    let digest = hex::encode(Sha256::digest(format!("{} {}", cluster.image, settings.hash)));
    format!("{}-{}", cluster.part("migrate"), &digest[..8])
}

/// The Job.
pub fn job(cluster: &Cluster, settings: &Settings) -> DynamicObject {
    let container = container(cluster, settings, "migrate", template::NEWEST);
    let job = once(cluster, settings, &name(cluster, settings), container, 20);
    dynamic(&job)
}

/// A Job of a service's image that runs until it succeeds.
fn once(cluster: &Cluster, settings: &Settings, name: &str, mut container: Container, tries: i32) -> Job {
    let component = container.name.clone();
    container.resources = Some(resources("20m", "48Mi", "256Mi"));
    Job {
        metadata: metadata(cluster, name, &component),
        spec: Some(JobSpec {
            backoff_limit: Some(tries),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(cluster, &component)),
                    ..Default::default()
                }),
                spec: Some(PodSpec {
                    containers: vec![container],
                    restart_policy: Some("OnFailure".into()),
                    volumes: Some(vec![config_volume(cluster, settings)]),
                    security_context: Some(pod_security(SERVICE_USER)),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    ..placed(&cluster.spec.pods)
                }),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A Job that a person asked for (`backup`, `restore`): words for the program. It is not the operator's to remove.
pub fn asked_for(
    cluster: &Cluster,
    settings: &Settings,
    name: &str,
    component: &str,
    words: Vec<String>,
) -> Job {
    let mut container = container(cluster, settings, component, template::NEWEST);
    container.args = Some(words);
    // What failed is for the person to read, who runs it again.
    let mut job = once(cluster, settings, name, container, 0);
    job.metadata.owner_references = None;
    if let Some(spec) = &mut job.spec {
        spec.ttl_seconds_after_finished = Some(86_400);
        // What it said stays to be read.
        if let Some(pod) = &mut spec.template.spec {
            pod.restart_policy = Some("Never".into());
        }
    }
    job
}

//! What a pod template says: its image, version, revision and configuration.

use crds::ServiceConfig;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};

use crate::model::names::{PARTITIONS, REVISION};

pub(crate) fn annotation<'a>(template: &'a PodTemplateSpec, key: &str) -> &'a str {
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    annotations.and_then(|annotations| annotations.get(key)).map_or("", String::as_str)
}

/// The revision of a template; empty: none.
pub fn revision_of(template: &PodTemplateSpec) -> &str {
    annotation(template, REVISION)
}

pub(crate) fn template_of(deployment: &Deployment) -> &PodTemplateSpec {
    static NONE: std::sync::LazyLock<PodTemplateSpec> = std::sync::LazyLock::new(PodTemplateSpec::default);
    deployment.spec.as_ref().map_or(&NONE, |spec| &spec.template)
}

/// The image of the first container; empty: none.
pub(crate) fn image(template: &PodTemplateSpec) -> &str {
    let pod = template.spec.as_ref();
    pod.and_then(|pod| pod.containers.first()?.image.as_deref()).unwrap_or_default()
}

/// The tag of the image; the whole image when it has none.
pub fn version_of(template: &PodTemplateSpec) -> &str {
    let image = image(template);
    let image = image.split_once('@').map_or(image, |(named, _digest)| named);
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

/// Among how many partitions the pods spread conversations, if they do.
pub fn partitions_of(template: &PodTemplateSpec) -> String {
    match annotation(template, PARTITIONS) {
        "" => ServiceConfig::default().kafka_partitions.to_string(),
        known => known.to_owned(),
    }
}

/// Names of the ConfigMaps that a template mounts.
pub fn config_maps(template: &PodTemplateSpec) -> Vec<String> {
    let volumes = template.spec.as_ref().and_then(|pod| pod.volumes.as_ref());
    let projected =
        volumes.into_iter().flatten().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
    projected.flatten().filter_map(|source| Some(source.config_map.as_ref()?.name.clone())).collect()
}

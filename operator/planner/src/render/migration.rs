//! The Job that creates topics, indexes and administrators before services of a version run: its name contains what it depends
//! on, so it runs once for each, and once more, with a number, if something it created is missing. And the Jobs of plugin commands.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube_core::DynamicObject;
use sha2::{Digest, Sha256};
use topology::Component;

use crate::{
    model::{cluster::Cluster, observed::Observed, secret::key},
    render::{
        dynamic,
        labels::{metadata, pod_labels},
        pods::{SERVICE_DISK, bounded, from_secret, placed, pod_security, resources},
        services::{SERVICE_USER, config_volume, container},
        settings::Settings,
        template,
    },
};

/// Key of `spec.backup.keySecretName`.
pub const OWN_KEY: &str = "key";
/// Keys of `spec.backup.objectStorage.secretName`.
pub const STORAGE_KEYS: [&str; 2] = ["accessKeyID", "secretAccessKey"];

/// The Job's name for these settings.
pub fn name(cluster: &Cluster, settings: &Settings) -> String {
    let digest = hex::encode(Sha256::digest(format!("{} {}", cluster.image, settings.migration_hash)));
    format!("{}-{}", cluster.part("migrate"), &digest[..8])
}

/// Jobs of the same settings: what is still missing after so many is not created by another.
const MOST: u32 = 5;
/// Tries until Kubernetes gives the migration up, in about ten minutes; the operator creates it again after a while.
const TRIES: i32 = 6;

/// Name of the Job for these settings: the last existing one, or one more if something it created is missing.
pub fn due(cluster: &Cluster, settings: &Settings, observed: &Observed) -> String {
    let first = name(cluster, settings);
    let number = |job: &String| match job.strip_prefix(&first)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse::<u32>().ok(),
    };
    let named = |number: u32| if number == 1 { first.clone() } else { format!("{first}-{number}") };
    let there = observed.there.keys().filter(|(kind, _)| kind == "Job").map(|(_, name)| name);
    let last = there.chain(&observed.finished_jobs).filter_map(number).max().unwrap_or(1);
    let again = last < MOST && !observed.gone.is_empty() && observed.finished_jobs.contains(&named(last));
    named(if again { last.saturating_add(1) } else { last })
}

/// The Job with a name.
pub fn job(cluster: &Cluster, settings: &Settings, name: &str) -> DynamicObject {
    let container = container(cluster, settings, topology::Job::Migrate, template::NEWEST);
    let mut job = once(cluster, settings, name, container, TRIES);
    // Pods that failed stay until the Job is removed: what they said is told.
    if let Some(pod) = job.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) {
        pod.restart_policy = Some("Never".into());
    }
    dynamic(&job)
}

/// A Job of a service's image that runs until it succeeds.
fn once(cluster: &Cluster, settings: &Settings, name: &str, mut container: Container, tries: i32) -> Job {
    let component = container.name.clone();
    container.resources = Some(bounded(resources("20m", "48Mi", "256Mi"), template::NEWEST, SERVICE_DISK));
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
                    security_context: Some(pod_security(SERVICE_USER, &cluster.spec.pods)),
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

/// Settings of only these Jobs: the backup storage and its key. In the environment and not in the configuration file, which all services share.
fn of_backups(cluster: &Cluster) -> Vec<EnvVar> {
    let backup = cluster.spec.backup.clone().unwrap_or_default();
    let mut environment = vec![if backup.key_secret_name.is_empty() {
        from_secret("IMENV_BACKUP_KEY", &cluster.credentials(), key::BACKUP_KEY)
    } else {
        from_secret("IMENV_BACKUP_KEY", &backup.key_secret_name, OWN_KEY)
    }];
    let Some(storage) = backup.object_storage else { return environment };
    let plain = [
        ("ENDPOINT", storage.endpoint),
        ("BUCKET", storage.bucket),
        ("REGION", storage.region),
        ("PATHSTYLE", storage.path_style.to_string()),
    ];
    environment.extend(plain.map(|(name, value)| EnvVar {
        name: format!("IMENV_BACKUP_S3_{name}"),
        value: Some(value),
        ..Default::default()
    }));
    for item in STORAGE_KEYS {
        let name = format!("IMENV_BACKUP_S3_{}", item.to_ascii_uppercase());
        environment.push(from_secret(&name, &storage.secret_name, item));
    }
    environment
}

/// A Job that a person asked for (`backup`, `restore`): words for the program. It is not the operator's to remove.
pub fn asked_for(
    cluster: &Cluster,
    settings: &Settings,
    name: &str,
    component: Component,
    words: Vec<String>,
) -> Job {
    let mut container = container(cluster, settings, component, template::NEWEST);
    container.args = Some(words);
    container.env.get_or_insert_default().extend(of_backups(cluster));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::{tests::object, validate};

    fn environment(spec: &str) -> Vec<(String, String)> {
        let cluster = validate(&object(spec)).unwrap();
        let settings = Settings::of(&cluster, &Observed::default());
        let job = asked_for(
            &cluster,
            &settings,
            "chat-backup-1",
            topology::Job::Backup.into(),
            vec!["backup".into()],
        );
        let pod = job.spec.unwrap().template.spec.unwrap();
        let all = pod.containers[0].env.clone().unwrap();
        let shown = |variable: EnvVar| {
            let of_secret = variable.value_from.and_then(|from| from.secret_key_ref);
            let value = of_secret.map(|of| format!("{}/{}", of.name, of.key)).or(variable.value);
            (variable.name, value.unwrap_or_default())
        };
        all.into_iter().map(shown).filter(|(name, _)| name.starts_with("IMENV_BACKUP")).collect()
    }

    #[test]
    fn only_these_jobs_hear_of_the_bucket_for_backups() {
        let own =
            "backup: {keySecretName: k, objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}}";
        let told = environment(own);
        let expected = [
            ("IMENV_BACKUP_KEY", "k/key"),
            ("IMENV_BACKUP_S3_ENDPOINT", "http://s3"),
            ("IMENV_BACKUP_S3_BUCKET", "safe"),
            ("IMENV_BACKUP_S3_REGION", "us-east-1"),
            ("IMENV_BACKUP_S3_PATHSTYLE", "true"),
            ("IMENV_BACKUP_S3_ACCESSKEYID", "s/accessKeyID"),
            ("IMENV_BACKUP_S3_SECRETACCESSKEY", "s/secretAccessKey"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let generated = [("IMENV_BACKUP_KEY".to_owned(), "chat-credentials/backup-key".to_owned())];
        assert_eq!(environment("{}"), generated);
        let (with, without) = (validate(&object(own)).unwrap(), validate(&object("{}")).unwrap());
        let settings = |cluster| Settings::of(cluster, &Observed::default());
        assert_eq!(settings(&with), settings(&without), "no service is told, or restarted");
    }
}

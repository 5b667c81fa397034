//! Implements `kubectl openim backup` and `restore`: the operator itself knows only the shape of their Jobs.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use crds::{OpenIMCluster, OpenIMService};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, Secret},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams},
};
use planner::{
    credentials,
    model::{backup_run::BACKUP, cluster::Cluster, secret::key},
    render::{
        labels,
        migration::{self, OWN_KEY, STORAGE_KEYS},
        settings::Settings,
    },
    validate,
};
use serde_json::json;
use topology::Service;

use crate::observe;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The services must stop in this time.
const PATIENCE: Duration = Duration::from_secs(900);

/// A cluster and its pods' settings, read with the user's rights.
async fn of(client: &Client, namespace: &str, name: &str) -> anyhow::Result<(Cluster, Settings)> {
    let object: OpenIMCluster = Api::namespaced(client.clone(), namespace).get(name).await?;
    let cluster = validate::validate(&object)?;
    let observed = observe::read_as_it_is(client, &cluster, "").await?;
    let settings = Settings::of(&cluster, &observed);
    let backup = cluster.spec.backup.clone().unwrap_or_default();
    ensure!(
        cluster.spec.object_storage.is_some() || backup.object_storage.is_some(),
        "neither spec.backup.objectStorage nor spec.objectStorage is set: backups need an object storage"
    );
    let mut needed: Vec<(&str, &str, &str)> = vec![];
    if let Some(storage) = &backup.object_storage {
        let field = "spec.backup.objectStorage.secretName";
        needed.extend(STORAGE_KEYS.map(|item| (field, storage.secret_name.as_str(), item)));
    }
    let generated = cluster.credentials();
    needed.push(match backup.key_secret_name.as_str() {
        "" => ("the generated credentials", generated.as_str(), key::BACKUP_KEY),
        own => ("spec.backup.keySecretName", own, OWN_KEY),
    });
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for (field, secret, item) in needed {
        let found = secrets.get_opt(secret).await?.map(|found| credentials::text(&found));
        ensure!(
            found.is_some_and(|data| data.contains_key(item)),
            "{field}: the Secret {secret} has no key {item}; {}",
            if item == key::BACKUP_KEY { "upgrade the operator, which creates it" } else { "create it" }
        );
    }
    Ok((cluster, settings))
}

/// Why no backup can be written: the bucket is public.
fn public(cluster: &Cluster) -> Option<&'static str> {
    let own = cluster.spec.backup.as_ref().and_then(|backup| backup.object_storage.as_ref());
    let files = cluster.spec.object_storage.as_ref()?;
    (own.is_none() && !files.cdn_prefix.is_empty()).then_some(
        "the bucket of spec.objectStorage is public (cdnPrefix), and so would backups be: set \
         spec.backup.objectStorage to another bucket",
    )
}

/// The time, as names can have it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dt%H-%M-%S").to_string()
}

/// The time, and what nobody guesses.
fn new_name() -> String {
    format!("{}-{}", now(), hex::encode(rand::random::<[u8; 8]>()))
}

/// Runs a Job with these arguments to its end; returns its last output.
async fn run(
    client: &Client,
    cluster: &Cluster,
    settings: &Settings,
    kind: topology::Job,
    words: Vec<String>,
) -> anyhow::Result<String> {
    let namespace = cluster.namespace.as_str();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let name = format!("{}-{}", cluster.part(kind), now());
    let job = migration::asked_for(cluster, settings, &name, kind.into(), words);
    jobs.create(&PostParams::default(), &job).await.with_context(|| format!("creating the Job {name}"))?;
    println!("Job {name} started; it keeps running if you interrupt this command.");
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let status = jobs.get(&name).await?.status.unwrap_or_default();
        let ended = |what: &str| {
            status.conditions.iter().flatten().any(|entry| entry.type_ == what && entry.status == "True")
        };
        if !ended("Complete") && !ended("Failed") {
            continue;
        }
        let of_job = ListParams::default().labels(&format!("job-name={name}"));
        let mut found = pods.list(&of_job).await?.items;
        found.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let last = found.last().context("its pod has been deleted")?;
        let tail = LogParams { tail_lines: Some(1), ..Default::default() };
        let said = pods.logs(&last.name_any(), &tail).await?.trim().to_owned();
        ensure!(ended("Complete"), "the Job {name} failed: {said}");
        return Ok(said);
    }
}

/// Writes a backup.
///
/// # Errors
/// What did not work.
pub async fn backup(
    client: Client,
    namespace: &str,
    name: &str,
    backup: Option<String>,
) -> anyhow::Result<()> {
    let (cluster, settings) = of(&client, namespace, name).await?;
    if let Some(reason) = public(&cluster) {
        bail!("{reason}");
    }
    let backup = backup.unwrap_or_else(new_name);
    let words = ["backup", "--config", "/config", &backup].map(str::to_owned).to_vec();
    println!("{}", run(&client, &cluster, &settings, topology::Job::Backup, words).await?);
    Ok(())
}

/// Sets the pods of all services; the numbers before.
async fn scale(
    client: &Client,
    cluster: &Cluster,
    to: impl Fn(&str) -> Option<i32>,
) -> anyhow::Result<Vec<(String, i32)>> {
    let services: Api<OpenIMService> = Api::namespaced(client.clone(), &cluster.namespace);
    let mut before = vec![];
    for service in services.list(&ListParams::default().labels(&labels::selector(&cluster.name))).await? {
        let name = service.name_any();
        if let Some(replicas) = to(&name) {
            let patch = json!({ "spec": { "replicas": replicas } });
            services.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        before.push((name, service.spec.replicas));
    }
    Ok(before)
}

/// A backup that is being written would hold a part of what is restored.
async fn ensure_no_backup(client: &Client, cluster: &Cluster) -> anyhow::Result<()> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &cluster.namespace);
    let selector = labels::component_selector(&cluster.name, BACKUP);
    let all = jobs.list(&ListParams::default().labels(&selector)).await?.items;
    if let Some(job) = all.iter().find(|job| !is_over(job)) {
        bail!("the Job {} is writing a backup: wait until it has ended, or delete it", job.name_any());
    }
    Ok(())
}

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Remove what the database holds.
    pub replace: bool,
    /// How many sequence numbers to skip in every conversation.
    pub advance: i64,
    /// Also accept unencrypted, unsigned backups.
    pub unsealed: bool,
}

/// Fills the database from a backup, with the services stopped meanwhile.
///
/// # Errors
/// What did not work.
pub async fn restore(
    client: Client,
    namespace: &str,
    name: &str,
    backup: &str,
    how: How,
) -> anyhow::Result<()> {
    let (cluster, settings) = of(&client, namespace, name).await?;
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Cron) {
        ensure!(
            cluster.service(service).autoscaling.is_none(),
            "spec.services.{service}.autoscaling: remove it during the restore, because the services must stop"
        );
    }
    ensure_no_backup(&client, &cluster).await?;
    let before = scale(&client, &cluster, |_| Some(0)).await?;
    println!("Stopping services…");
    let serving: Vec<Service> =
        Service::ALL.into_iter().filter(|service| *service != Service::Cron).collect();
    let theirs = labels::components_selector(name, &serving);
    let outcome = async {
        until_gone(&client, namespace, &theirs).await?;
        // The operator lets none begin while the Job of a restore exists.
        ensure_no_backup(&client, &cluster).await?;
        let mut words: Vec<String> = ["restore", "--config", "/config", backup].map(str::to_owned).to_vec();
        words.push(format!("--advance={}", how.advance));
        words.extend(how.replace.then(|| "--replace".to_owned()));
        words.extend(how.unsealed.then(|| "--unsealed".to_owned()));
        run(&client, &cluster, &settings, topology::Job::Restore, words).await
    }
    .await;
    // Whatever came of it, they serve again.
    scale(&client, &cluster, |service| {
        before.iter().find(|(name, _)| name == service).map(|(_, replicas)| *replicas)
    })
    .await
    .context("the services are stopped: start them with kubectl scale openimservice")?;
    println!("{}", outcome?);
    println!("Starting services; `kubectl openim status {name}` shows their progress.");
    Ok(())
}

async fn until_gone(client: &Client, namespace: &str, selector: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = pods.list(&ListParams::default().labels(selector)).await?.items;
        if left.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            bail!("{} pods have not stopped, the first is {}", left.len(), left[0].name_any());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a Job has ended: one that has no pod at the moment may get another.
fn is_over(job: &Job) -> bool {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|entry| ["Complete", "Failed"].contains(&entry.type_.as_str()) && entry.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_between_two_tries_is_not_over() {
        let job = |status: serde_json::Value| serde_json::from_value(json!({ "status": status })).unwrap();
        assert!(!is_over(&job(json!({}))));
        assert!(!is_over(&job(json!({ "active": 0, "failed": 1 }))));
        assert!(is_over(&job(json!({ "conditions": [{ "type": "Failed", "status": "True" }] }))));
    }
}

//! What `kubectl openim backup` and `restore` do: the operator knows nothing of it but its Jobs' shape.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use crds::{OpenIMCluster, OpenIMService};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    build::{labels, migration, settings::Settings},
    dereference,
    validate::{self, Cluster, SERVICES},
};

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The services must stop in this time.
const PATIENCE: Duration = Duration::from_secs(900);

/// A cluster and what its pods are told, read with the rights of the person.
async fn of(client: &Client, namespace: &str, name: &str) -> anyhow::Result<(Cluster, Settings)> {
    let object: OpenIMCluster = Api::namespaced(client.clone(), namespace).get(name).await?;
    let cluster = validate::validate(&object)?;
    let observed = dereference::read_as_it_is(client, &cluster, "").await?;
    let settings = Settings::of(&cluster, &observed);
    ensure!(
        cluster.spec.object_storage.is_some(),
        "spec.objectStorage is not set: backups are kept in the object storage"
    );
    Ok((cluster, settings))
}

/// The time, as names can have it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dt%H-%M-%S").to_string()
}

/// Runs a Job with these words for the program, the first of which names what it does, to its end; what it said last.
async fn run(
    client: &Client,
    cluster: &Cluster,
    settings: &Settings,
    words: Vec<String>,
) -> anyhow::Result<String> {
    let namespace = cluster.namespace.as_str();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let verb = words.first().cloned().unwrap_or_default();
    let name = format!("{}-{}", cluster.part(&verb), now());
    let job = migration::asked_for(cluster, settings, &name, &verb, words);
    jobs.create(&PostParams::default(), &job).await.with_context(|| format!("creating the Job {name}"))?;
    println!("Job {name} runs; it goes on when this command is ended.");
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
        let last = found.last().context("its pod is gone")?;
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
    let backup = backup.unwrap_or_else(now);
    let words = ["backup", "--config", "/config", &backup].map(str::to_owned).to_vec();
    println!("{}", run(&client, &cluster, &settings, words).await?);
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

/// Fills the database from a backup, with the services stopped meanwhile.
///
/// # Errors
/// What did not work.
pub async fn restore(
    client: Client,
    namespace: &str,
    name: &str,
    backup: &str,
    replace: bool,
    advance: i64,
) -> anyhow::Result<()> {
    let (cluster, settings) = of(&client, namespace, name).await?;
    for service in SERVICES.into_iter().filter(|service| *service != "cron") {
        ensure!(
            cluster.service(service).autoscaling.is_none(),
            "spec.services.{service}.autoscaling: remove it while the data is restored, the services must stop for it"
        );
    }
    let before = scale(&client, &cluster, |_| Some(0)).await?;
    println!("The services stop.");
    let serving: Vec<&str> = SERVICES.into_iter().filter(|service| *service != "cron").collect();
    let theirs = labels::components_selector(name, &serving);
    let outcome = async {
        until_gone(&client, namespace, &theirs).await?;
        let mut words: Vec<String> = ["restore", "--config", "/config", backup].map(str::to_owned).to_vec();
        words.push(format!("--advance={advance}"));
        words.extend(replace.then(|| "--replace".to_owned()));
        run(&client, &cluster, &settings, words).await
    }
    .await;
    // Whatever came of it, they serve again.
    scale(&client, &cluster, |service| {
        before.iter().find(|(name, _)| name == service).map(|(_, replicas)| *replicas)
    })
    .await
    .context("the services are stopped: start them with kubectl scale openimservice")?;
    println!("{}", outcome?);
    println!("The services start; `kubectl openim status {name}` says how far they are.");
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
            bail!("{} pods have not ended, the first is {}", left.len(), left[0].name_any());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

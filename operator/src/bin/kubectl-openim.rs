//! `kubectl openim`: shows a cluster, previews edits, diagnoses, backs up. Put it into the PATH as `kubectl-openim`.

use std::{io::Write, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use crds::OpenIMCluster;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, LogParams, Patch},
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::{
    apply,
    observe::{self, neighbours},
    plugin::{backup, doctor, drain, logs, prove, view},
};
use planner::{
    model::{cluster::Cluster, door::Neighbour, names, observed::Observed},
    plan,
    render::labels,
    validate,
};

/// Inspect and manage OpenIM clusters.
#[derive(Debug, Parser)]
#[command(name = "kubectl-openim", bin_name = "kubectl openim", version)]
struct Arguments {
    /// Namespace of the cluster [default: the context's].
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a cluster as a tree, or all clusters of the namespace.
    Status {
        /// Name of the cluster.
        name: Option<String>,
    },
    /// List the specs that a cluster was fully rolled out with.
    History {
        /// Name of the cluster.
        name: String,
    },
    /// Restore an earlier spec. Revert Git or the Helm release yourself.
    Rollback {
        /// Name of the cluster.
        name: String,
        /// Generation, as listed by `history` [default: the previous one].
        #[arg(long)]
        to_generation: Option<i64>,
    },
    /// Diagnose problems and risks and suggest fixes. Exits with 1 if anything is broken.
    Doctor {
        /// Name of the cluster.
        name: String,
        /// Namespace of the operator.
        #[arg(long, default_value = "openim-system")]
        operator_namespace: String,
    },
    /// Show the logs of all service pods, ordered by time.
    Logs {
        /// Name of the cluster.
        name: String,
        /// Only this service or server, for example msg or kafka.
        #[arg(short, long)]
        service: Option<String>,
        /// How many minutes back.
        #[arg(long, default_value_t = 10)]
        minutes: u16,
        /// Only warnings and errors.
        #[arg(short, long)]
        problems: bool,
        /// Only lines of this operationID.
        #[arg(short, long)]
        operation: Option<String>,
    },
    /// Back up MongoDB, encrypted, to `spec.backup.objectStorage` or `spec.objectStorage`, without stopping the services.
    Backup {
        /// Name of the cluster.
        name: String,
        /// Name of the backup [default: the time and a random suffix].
        #[arg(long)]
        backup: Option<String>,
    },
    /// Restore MongoDB from a backup. The services are stopped meanwhile.
    Restore {
        /// Name of the cluster.
        name: String,
        /// Name of the backup.
        backup: String,
        /// Delete the content of the database; without it, only an unused database is filled.
        #[arg(long)]
        replace: bool,
        /// How many sequence numbers to skip in every conversation: at least as many as the messages any conversation got after the backup, or
        /// clients mistake new messages for ones they already have.
        #[arg(long, default_value_t = 1000)]
        advance: i64,
        /// Also restore unencrypted, unsigned backups of earlier versions. Anyone with write access to the bucket could have forged them.
        #[arg(long)]
        unsealed: bool,
    },
    /// Move the cluster's pods off a node, or a single pod, one at a time and within their disruption budgets.
    #[command(group(clap::ArgGroup::new("what").required(true).args(["node", "pod"])))]
    Drain {
        /// Name of the cluster.
        name: String,
        /// All pods on this node.
        #[arg(long)]
        node: Option<String>,
        /// One pod, for example a gateway.
        #[arg(long)]
        pod: Option<String>,
    },
    /// Send test users' messages during the current or next change and record in the status whether any was lost, duplicated or
    /// reordered, how many were acknowledged, and the longest gap. Exits with 1 if a guarantee was violated.
    Prove {
        /// Name of the cluster.
        name: String,
        #[command(flatten)]
        options: prove::Options,
    },
    /// Approve the pending plan (`spec.rollout.approval: Required`).
    Approve {
        /// Name of the cluster.
        name: String,
    },
    /// Preview what applying a file would do: replaced pods, written and removed objects, blockers. Changes nothing.
    Plan {
        /// File with one OpenIMCluster.
        #[arg(short, long)]
        filename: PathBuf,
        /// Namespace of the operator.
        #[arg(long, default_value = "openim-system")]
        operator_namespace: String,
    },
}

async fn connect(arguments: &Arguments) -> anyhow::Result<(Client, String)> {
    let options = KubeConfigOptions { context: arguments.context.clone(), ..Default::default() };
    let config = match Kubeconfig::read() {
        Ok(file) => Config::from_custom_kubeconfig(file, &options).await?,
        Err(error) if arguments.context.is_some() => return Err(error).context("the kubeconfig"),
        Err(_) => Config::infer().await?,
    };
    let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    Ok((Client::try_from(config)?, namespace))
}

async fn status(client: Client, namespace: &str, name: Option<&str>) -> anyhow::Result<()> {
    let clusters: Api<OpenIMCluster> = Api::namespaced(client, namespace);
    let found = match name {
        Some(name) => vec![clusters.get(name).await?],
        None => clusters.list(&Default::default()).await?.items,
    };
    if found.is_empty() {
        println!("There is no OpenIMCluster in namespace {namespace}.");
    }
    let trees: Vec<String> = found.iter().map(view::tree).collect();
    print!("{}", trees.join("\n"));
    Ok(())
}

async fn approve(client: Client, namespace: &str, name: &str) -> anyhow::Result<()> {
    let clusters: Api<OpenIMCluster> = Api::namespaced(client, namespace);
    let cluster = clusters.get(name).await?;
    let status = cluster.status.clone().unwrap_or_default();
    if status.plan_id.is_empty() || Some(status.observed_generation) != cluster.metadata.generation {
        bail!("{name} has no plan for its newest spec yet; see `kubectl openim status {name}`");
    }
    let patch = serde_json::json!({ "metadata": { "annotations": { names::APPROVED: status.plan_id } } });
    clusters.patch(name, &Default::default(), &Patch::Merge(&patch)).await?;
    println!("Approved plan {} of {name}:", status.plan_id);
    print!("{}", view::changes(&status.plan));
    Ok(())
}

async fn rollback(
    client: Client,
    namespace: &str,
    name: &str,
    generation: Option<i64>,
) -> anyhow::Result<()> {
    let clusters: Api<OpenIMCluster> = Api::namespaced(client, namespace);
    let mut cluster = clusters.get(name).await?;
    let (generation, spec) = view::earlier(&cluster, generation).map_err(anyhow::Error::msg)?;
    cluster.spec = spec;
    // With the version that was read: an edit that somebody made meanwhile is not overwritten.
    clusters.replace(name, &Default::default(), &cluster).await?;
    println!(
        "{name} is restored to the spec of generation {generation}; `kubectl openim status {name}` shows its progress."
    );
    Ok(())
}

async fn preview(
    client: Client,
    namespace: &str,
    file: &PathBuf,
    operator_namespace: &str,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let wanted: OpenIMCluster = serde_yaml_ng::from_str(&text).with_context(|| file.display().to_string())?;
    let name = wanted.name_any();
    let namespace = wanted.namespace().unwrap_or_else(|| namespace.to_owned());
    let clusters: Api<OpenIMCluster> = Api::namespaced(client.clone(), &namespace);
    let Some(mut object) = clusters.get_opt(&name).await? else {
        bail!(
            "there is no OpenIMCluster {name} in namespace {namespace}: applying the file creates it with everything that belongs to it"
        );
    };
    object.spec = wanted.spec;
    let cluster = validate::validate(&object)?;
    let mut observed = observe::read_as_it_is(&client, &cluster, operator_namespace).await?;
    // From outside, servers cannot be asked; the operator has asked them a moment ago.
    observed.dependencies = object.status.map(|status| status.dependencies).unwrap_or_default();
    observed.neighbours = seen_neighbours(&client, &cluster, &observed).await;
    let plan = plan::plan(&cluster, &observed);
    let applied = apply::preview(&client, &cluster, &plan, &observed.there).await?;
    print!("{}", view::preview(&format!("{name} in {namespace}"), &plan, &applied));
    Ok(())
}

/// Which objects may use the hosts, as far as the user's rights allow to see.
async fn seen_neighbours(client: &Client, cluster: &Cluster, observed: &Observed) -> Vec<Neighbour> {
    let everywhere: Api<OpenIMCluster> = Api::all(client.clone());
    let here: Api<OpenIMCluster> = Api::namespaced(client.clone(), &cluster.namespace);
    let (scope, listed) = match everywhere.list(&ListParams::default()).await {
        Ok(listed) => (vec![], Ok(listed)),
        Err(_) => (vec![cluster.namespace.clone()], here.list(&ListParams::default()).await),
    };
    let clusters = listed.map(|listed| listed.items).unwrap_or_default();
    neighbours::read(client, &scope, cluster, &clusters, observed).await.unwrap_or_default()
}

async fn pods(client: &Client, namespace: &str, selector: &str) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(pods.list(&ListParams::default().labels(selector)).await?.items)
}

async fn doctor(client: Client, namespace: &str, name: &str, operator_namespace: &str) -> anyhow::Result<()> {
    let cluster: OpenIMCluster = Api::namespaced(client.clone(), namespace).get(name).await?;
    let pods = pods(&client, namespace, &labels::selector(name)).await?;
    let leases: Api<Lease> = Api::namespaced(client, operator_namespace);
    let lease = leases.get_opt(planner::model::names::MANAGER).await?;
    let found = doctor::examine(&cluster, &pods, lease.as_ref(), jiff::Timestamp::now());
    print!("{}", doctor::report(name, &found));
    if found.iter().any(|finding| finding.severity == doctor::Severity::Broken) {
        std::process::exit(1);
    }
    Ok(())
}

async fn logs(
    client: Client,
    namespace: &str,
    name: &str,
    wanted: &logs::Wanted,
    minutes: u16,
) -> anyhow::Result<()> {
    let selector = match &wanted.service {
        Some(service) => labels::component_selector(name, service),
        None => labels::selector(name),
    };
    let found = pods(&client, namespace, &selector).await?;
    if found.is_empty() {
        bail!("no matching pods found for {name} in namespace {namespace}");
    }
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let since = LogParams { since_seconds: Some(i64::from(minutes) * 60), ..Default::default() };
    let mut lines = vec![];
    for pod in &found {
        match api.logs(&pod.name_any(), &since).await {
            Ok(text) => lines.extend(text.lines().filter_map(|line| wanted.parse(&pod.name_any(), line))),
            Err(error) => eprintln!("{}: {error}", pod.name_any()),
        }
    }
    lines.sort();
    let mut out = std::io::stdout().lock();
    match lines.iter().try_for_each(|line| writeln!(out, "{line}")) {
        // Who reads has seen enough: `| head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (client, namespace) = connect(&arguments).await?;
    match &arguments.command {
        Command::Status { name } => status(client, &namespace, name.as_deref()).await,
        Command::History { name } => {
            print!("{}", view::history(&Api::namespaced(client, &namespace).get(name).await?));
            Ok(())
        }
        Command::Rollback { name, to_generation } => rollback(client, &namespace, name, *to_generation).await,
        Command::Doctor { name, operator_namespace } => {
            doctor(client, &namespace, name, operator_namespace).await
        }
        Command::Logs { name, service, minutes, problems, operation } => {
            let wanted =
                logs::Wanted { service: service.clone(), problems: *problems, operation: operation.clone() };
            logs(client, &namespace, name, &wanted, *minutes).await
        }
        Command::Backup { name, backup: called } => {
            backup::backup(client, &namespace, name, called.clone()).await
        }
        Command::Restore { name, backup: called, replace, advance, unsealed } => {
            let how = backup::How { replace: *replace, advance: *advance, unsealed: *unsealed };
            backup::restore(client, &namespace, name, called, how).await
        }
        Command::Drain { name, node, pod } => {
            drain::drain(client, &namespace, name, node.as_deref(), pod.as_deref()).await
        }
        Command::Prove { name, options } => prove::prove(client, &namespace, name, options).await,
        Command::Approve { name } => approve(client, &namespace, name).await,
        Command::Plan { filename, operator_namespace } => {
            preview(client, &namespace, filename, operator_namespace).await
        }
    }
}

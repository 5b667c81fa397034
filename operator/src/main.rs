//! `openim-operator`: watches `OpenIMCluster` objects and reconciles them.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Parser;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config, api::ListParams};
use operator::controller::{
    self,
    lease::Candidate,
    rivals::{REMEDY, Rivals},
};
use planner::model::names::MANAGER;
use telemetry::{Metrics, Readiness};
use tokio_util::sync::CancellationToken;

/// Passes are many small objects: they leave no holes in memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The OpenIM cluster operator.
#[derive(Debug, Parser)]
#[command(name = "openim-operator", version)]
struct Arguments {
    /// Namespace of the operator and its Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Name of this replica.
    #[arg(long, env = "POD_NAME", default_value = "openim-operator")]
    identity: String,
    /// Address of this pod; if it is an IPv6 address, managed servers listen on IPv6.
    #[arg(long, env = "POD_IP", default_value = "")]
    pod_ip: String,
    /// Watch only these namespaces, separated by commas [default: all].
    #[arg(long, env = "WATCH_NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,
    /// Image repositories that clusters can use, separated by commas; a trailing slash allows everything below [default: all].
    #[arg(long, env = "ALLOWED_REPOSITORIES", value_delimiter = ',')]
    allowed_repositories: Vec<String>,
    /// Namespaces whose pods can read the metrics of clusters, separated by commas [default: all].
    #[arg(long, env = "MONITORING_NAMESPACES", value_delimiter = ',')]
    monitoring_namespaces: Vec<String>,
    /// Log level or filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Address of an OpenTelemetry collector (OTLP over gRPC), such as http://collector:4317: every reconcile is traced.
    #[arg(long, env = "TRACES_ENDPOINT", default_value = "")]
    traces_endpoint: String,
    /// Port of /metrics, /healthz, /readyz, /loglevel.
    #[arg(long, default_value_t = 12000)]
    admin_port: u16,
    /// Name of the Lease that the replicas of one installation share.
    #[arg(long, env = "LEASE", default_value = MANAGER)]
    lease: String,
    /// Check that an operator leads here and can read its clusters, then exit: for `helm test`.
    #[arg(long)]
    check: bool,
}

/// How long the test waits: a leader renews every few seconds, and a new one needs the old one's lease to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until a leader renews its lease, then reads the clusters with the rights of the operator.
async fn check(client: Client, namespace: &str, lease: &str, watched: &[String]) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let renewed = async || {
        let spec = leases.get_opt(lease).await?.and_then(|lease| lease.spec).unwrap_or_default();
        anyhow::Ok((spec.holder_identity.unwrap_or_default(), spec.renew_time))
    };
    let first = renewed().await?;
    let end = tokio::time::Instant::now() + PATIENCE;
    let leader = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = renewed().await?;
        if !now.0.is_empty() && now.1 != first.1 {
            break now.0;
        }
        if tokio::time::Instant::now() > end {
            anyhow::bail!(
                "the lease {namespace}/{lease} is not being renewed: is the operator's Deployment ready?"
            );
        }
    };
    let clusters: Vec<Api<crds::OpenIMCluster>> = if watched.is_empty() {
        vec![Api::all(client)]
    } else {
        watched.iter().map(|watched| Api::namespaced(client.clone(), watched)).collect()
    };
    let mut count = 0;
    for clusters in clusters {
        let listed = clusters.list(&ListParams::default()).await;
        count += listed.context("reading OpenIMCluster objects")?.items.len();
    }
    println!("{leader} leads; clusters: {count}");
    Ok(())
}

async fn gone(rivals: Option<&Rivals>) {
    if let Some(rivals) = rivals {
        rivals.gone().await;
    }
}

async fn appears(rivals: Option<&Rivals>) -> String {
    match rivals {
        Some(rivals) => rivals.appears().await,
        None => std::future::pending().await,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (level, traces) = telemetry::start_logging(
        &config::Log { level: arguments.log_level.clone(), ..Default::default() },
        &config::Traces { endpoint: arguments.traces_endpoint.clone(), sample_one_in: 1 },
        "operator",
    )?;
    let mut config = Config::infer().await?;
    config.read_timeout = Some(Duration::from_secs(330));
    let client = Client::try_from(config)?;
    let given = |list: Vec<String>| list.into_iter().filter(|entry| !entry.is_empty()).collect::<Vec<_>>();
    let watched = given(arguments.watch_namespace);
    if arguments.check {
        return check(client, &arguments.namespace, &arguments.lease, &watched).await;
    }
    let mut metrics = Metrics::default();
    let counters = controller::OperatorMetrics::register(&mut metrics.0);
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    // Ready without leading: a standby is as well as the leader.
    readiness.set(true);
    let admin = {
        let report = Arc::new(|| "{}".to_owned());
        telemetry::serve_admin(
            arguments.admin_port,
            Arc::new(metrics.0),
            readiness,
            level,
            report,
            // The level is a value of the chart.
            telemetry::Changes::Refused,
            stop.clone(),
        )
    };
    let installed = controller::Installed {
        namespace: arguments.namespace.clone(),
        watched,
        allowed_repositories: given(arguments.allowed_repositories),
        monitoring_namespaces: given(arguments.monitoring_namespaces),
        ipv6: arguments.pod_ip.contains(':'),
    };
    let work = async {
        let leases: Api<Lease> = Api::namespaced(client.clone(), &arguments.namespace);
        let mut candidate =
            Candidate::new(leases, &arguments.lease, &arguments.identity).watching(&installed.watched);
        // Others cannot be seen from a few namespaces.
        let rivals = installed.watched.is_empty().then(|| Rivals::new(client.clone(), &arguments.namespace));
        tokio::select! {
            () = gone(rivals.as_ref()) => {}
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = candidate.lead() => {}
            () = stop.cancelled() => return Ok(()),
        }
        tracing::info!(identity = arguments.identity, "operator.leading");
        let lost = tokio::select! {
            lost = candidate.hold(&stop) => lost,
            () = controller::run(client.clone(), &arguments.identity, installed, counters, stop.clone()) => false,
            rival = appears(rivals.as_ref()) => {
                candidate.release().await;
                anyhow::bail!("an older operator leads in namespace {rival}: {REMEDY}");
            }
        };
        if lost {
            anyhow::bail!("the lease was lost");
        }
        candidate.release().await;
        anyhow::Ok(())
    };
    let signal = async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        stop.cancel();
        // The pass that is under way may finish.
        tokio::time::sleep(Duration::from_secs(10)).await;
        anyhow::Ok(())
    };
    let ended = tokio::select! {
        ended = work => ended,
        ended = admin => ended,
        ended = signal => ended,
    };
    traces.finish().await;
    ended
}

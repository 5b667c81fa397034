//! `openim-operator`: watches `OpenIMCluster` objects and reconciles them.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use operator::{MANAGER, controller, lease::Candidate};
use telemetry::{Metrics, Readiness};
use tokio_util::sync::CancellationToken;

/// The OpenIM cluster operator.
#[derive(Debug, Parser)]
#[command(name = "openim-operator", version)]
struct Arguments {
    /// Namespace the operator itself runs in; holds its Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Name of this replica.
    #[arg(long, env = "POD_NAME", default_value = "openim-operator")]
    identity: String,
    /// Watch only this namespace; all when left out.
    #[arg(long, env = "WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Log level or filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Port of /metrics, /healthz, /readyz, /loglevel.
    #[arg(long, default_value_t = 12000)]
    admin_port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let level = telemetry::start_logging(
        &config::Log { level: arguments.log_level.clone(), ..Default::default() },
        "operator",
    )?;
    let mut config = Config::infer().await?;
    config.read_timeout = Some(Duration::from_secs(330));
    let client = Client::try_from(config)?;
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
            stop.clone(),
        )
    };
    let watch = arguments.watch_namespace.filter(|namespace| !namespace.is_empty());
    let work = async {
        let leases: Api<Lease> = Api::namespaced(client.clone(), &arguments.namespace);
        let mut candidate = Candidate::new(leases, MANAGER, &arguments.identity);
        tokio::select! {
            () = candidate.lead() => {}
            () = stop.cancelled() => return Ok(()),
        }
        tracing::info!(identity = arguments.identity, "operator.leading");
        let lost = tokio::select! {
            lost = candidate.hold(&stop) => lost,
            () = controller::run(client.clone(), &arguments.identity, &arguments.namespace, counters, watch.as_deref(), stop.clone()) => false,
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
    tokio::select! {
        ended = work => ended,
        ended = admin => ended,
        ended = signal => ended,
    }
}

//! The checker: sends numbered messages in many conversations of any OpenIM server while faults are injected; every reader pulls
//! everything, no acknowledged message may be lost, duplicated, reordered or replaced by a gap, and no open connection may miss
//! one.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail, ensure};
use checker::{
    history::Anomaly,
    nemesis::{Fault, Nemesis, Pods},
    rest::{Admin, Endpoints},
    run::{Checks, Load, Run},
};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Injects faults while messages flow and checks the guarantees. Prints its seed first, which repeats the same random choices.
#[derive(Debug, Parser)]
struct Arguments {
    /// The JSON printed by `make endpoints`; or set --api, --ws and --secret.
    #[arg(long, env = "OPENIM_ENDPOINTS", required_unless_present = "api")]
    endpoints: Option<String>,
    /// Base URL of the REST API, for example http://127.0.0.1:10002.
    #[arg(long, requires = "ws", requires = "secret")]
    api: Option<String>,
    /// URL of the WebSocket gateway, for example ws://127.0.0.1:10001/, or several separated by commas, used in turn.
    #[arg(long, requires = "api")]
    ws: Option<String>,
    /// The server's shared secret.
    #[arg(long, env = "OPENIM_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// User id of an administrator.
    #[arg(long, default_value = "imAdmin")]
    admin: String,
    /// PEM file with additional certificate authorities.
    #[arg(long)]
    ca: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    checks: Checks,
    /// Seconds to send, extended until every fault was injected [default: until SIGTERM].
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop after this many acknowledged messages.
    #[arg(long)]
    messages: Option<u64>,
    /// Processes or cluster components to kill in turn, for example transfer,push,gateway,redis or 4711 or /run/push.pid.
    #[arg(long, value_delimiter = ',', value_parser = Fault::kill)]
    kill: Vec<Fault>,
    /// Processes to freeze, for example 4711:30 or /run/push.pid:30: process id or pid file, and seconds.
    #[arg(long, value_delimiter = ',', value_parser = Fault::freeze)]
    freeze: Vec<Fault>,
    /// Another fault: a name and a shell command, which must succeed.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = Fault::command)]
    nemesis: Vec<Fault>,
    /// Seconds before each fault [default: evenly over `--seconds`].
    #[arg(long, visible_alias = "nemesis-every")]
    kill_every: Option<u64>,
    /// Repeat the faults until the end, in an order and with pauses chosen by the seed.
    #[arg(long, requires = "kill_every")]
    again: bool,
    /// Only these kinds of anomalies fail the run; others are only reported.
    #[arg(long, value_delimiter = ',', value_parser = Anomaly::KINDS)]
    only: Vec<String>,
    /// Name of the cluster whose pods are killed.
    #[arg(long, default_value = "chat")]
    name: String,
    /// Namespace of the cluster.
    #[arg(long, default_value = "openim")]
    namespace: String,
    /// Remove the messages and groups of this run at the end.
    #[arg(long)]
    clean_up: bool,
}

impl Arguments {
    fn endpoints(&self) -> anyhow::Result<Endpoints> {
        match (&self.api, &self.ws, &self.secret, &self.endpoints) {
            (Some(api), Some(ws), Some(secret), _) => Ok(Endpoints {
                api: api.trim_end_matches('/').to_owned(),
                ws: ws.clone(),
                admin_user_id: self.admin.clone(),
                secret: secret.clone(),
                kubeconfig: String::new(),
            }),
            (.., Some(text)) => serde_json::from_str(text).context("--endpoints"),
            _ => bail!("set --endpoints, or --api, --ws and --secret"),
        }
    }

    fn nemesis(&self, endpoints: &Endpoints) -> anyhow::Result<Nemesis> {
        let faults = [&self.kill[..], &self.freeze, &self.nemesis].concat();
        let evenly = self.seconds.map(|seconds| Duration::from_secs(seconds) / (faults.len() as u32 + 1));
        let pause = self.kill_every.map(Duration::from_secs).or(evenly);
        ensure!(
            faults.is_empty() || pause.is_some(),
            "--kill, --freeze, --nemesis need --kill-every, or --seconds over which they are spread"
        );
        let pods = Pods {
            kubeconfig: endpoints.kubeconfig.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
        };
        let again = self.again.then_some(self.load.seed);
        Ok(Nemesis { faults, pause: pause.unwrap_or_default(), again, pods })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let endpoints = arguments.endpoints()?;
    let nemesis = arguments.nemesis(&endpoints)?;
    eprintln!("seed {}", arguments.load.seed);
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let admin = Admin::login(endpoints, arguments.ca.as_deref()).await?;
    let run = Run::new(admin, arguments.load.clone(), arguments.checks.clone(), "chk", arguments.messages);
    let seconds = arguments.seconds.map(Duration::from_secs);
    // What is to happen once happens, however slow the machine is.
    let struck = CancellationToken::new();
    let over = async {
        let over = async {
            match seconds {
                Some(seconds) if arguments.again => sleep(seconds).await,
                Some(seconds) => drop(tokio::join!(sleep(seconds), struck.cancelled())),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            () = over => {}
            () = run.enough.cancelled() => {}
        }
        run.end();
    };
    let strike = async {
        let outcome = nemesis.strike(&run.enough).await;
        struck.cancel();
        outcome
    };
    let beside = async { tokio::join!(strike, over).0 };
    let (mut outcome, killed) = run.go(beside).await?;
    if arguments.clean_up {
        run.clean_up().await.iter().take(3).for_each(|left| eprintln!("not cleaned up: {left}"));
    }
    if !arguments.only.is_empty() {
        let counted = arguments.only.iter().filter_map(|kind| outcome.by_kind.get(kind.as_str()));
        outcome.anomalies = counted.sum();
    }
    let mut summary = serde_json::to_value(&outcome)?;
    summary["killed"] = killed.into();
    println!("{summary}");
    ensure!(
        outcome.acknowledged + outcome.packets > 0,
        "nothing was acknowledged, so the run proves nothing"
    );
    let asked = nemesis.faults.len();
    ensure!(
        killed >= asked.min(if arguments.again { 1 } else { asked }),
        "only {killed} of {asked} faults were injected before the end: the run proves less than intended"
    );
    ensure!(outcome.anomalies == 0, "{} anomalies", outcome.anomalies);
    Ok(())
}

//! The checker: numbered messages in many conversations of any OpenIM server, while things go wrong; every reader pulls everything, and no
//! acknowledged message may be lost, doubled, reordered or replaced by a gap, and no open connection left out.

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

/// Lets things go wrong while messages flow, and checks. What it prints first, the seed, makes the same choices again.
#[derive(Debug, Parser)]
struct Arguments {
    /// The JSON of `make endpoints`; or say --api, --ws and --secret.
    #[arg(long, env = "OPENIM_ENDPOINTS", required_unless_present = "api")]
    endpoints: Option<String>,
    /// Base URL of the REST API, for example http://127.0.0.1:10002.
    #[arg(long, requires = "ws", requires = "secret")]
    api: Option<String>,
    /// URL of the WebSocket gateway, for example ws://127.0.0.1:10001/, or several separated by commas, which connections take in turn.
    #[arg(long, requires = "api")]
    ws: Option<String>,
    /// The server's shared secret.
    #[arg(long, env = "OPENIM_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// An administrator.
    #[arg(long, default_value = "imAdmin")]
    admin: String,
    /// A file of certificates in PEM: authorities beside the public ones.
    #[arg(long)]
    ca: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    checks: Checks,
    /// Seconds of sending, or more until all that is to go wrong did; until SIGTERM says that it is enough when left out.
    #[arg(long)]
    seconds: Option<u64>,
    /// So many acknowledged messages are enough.
    #[arg(long)]
    messages: Option<u64>,
    /// Processes, or parts of the cluster whose pods, are killed in turn, for example transfer,push,gateway,redis or 4711 or /run/push.pid.
    #[arg(long, value_delimiter = ',', value_parser = Fault::kill)]
    kill: Vec<Fault>,
    /// Processes that stand still, for example 4711:30 or /run/push.pid:30: the id of the process, or a file that has it, and seconds.
    #[arg(long, value_delimiter = ',', value_parser = Fault::freeze)]
    freeze: Vec<Fault>,
    /// What else goes wrong: a name and a command for the shell, which has to succeed.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = Fault::command)]
    nemesis: Vec<Fault>,
    /// Seconds before each; evenly over `--seconds` when left out.
    #[arg(long, visible_alias = "nemesis-every")]
    kill_every: Option<u64>,
    /// All of them again and again until it is enough, in an order and with pauses that the seed decides.
    #[arg(long, requires = "kill_every")]
    again: bool,
    /// Only these kinds of anomalies count; the others are told alone.
    #[arg(long, value_delimiter = ',', value_parser = Anomaly::KINDS)]
    only: Vec<String>,
    /// Where pods are killed: name of the cluster.
    #[arg(long, default_value = "chat")]
    name: String,
    /// Namespace of the cluster.
    #[arg(long, default_value = "openim")]
    namespace: String,
    /// Remove the messages and groups of this run in the end.
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
            _ => bail!("say --endpoints, or --api, --ws and --secret"),
        }
    }

    fn nemesis(&self, endpoints: &Endpoints) -> anyhow::Result<Nemesis> {
        let faults = [&self.kill[..], &self.freeze, &self.nemesis].concat();
        let evenly = self.seconds.map(|seconds| Duration::from_secs(seconds) / (faults.len() as u32 + 1));
        let pause = self.kill_every.map(Duration::from_secs).or(evenly);
        ensure!(
            faults.is_empty() || pause.is_some(),
            "--kill, --freeze, --nemesis: say --kill-every, or --seconds over which they are spread"
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
    ensure!(outcome.acknowledged > 0, "nothing was acknowledged: the run proves nothing");
    let asked = nemesis.faults.len();
    ensure!(
        killed >= asked.min(if arguments.again { 1 } else { asked }),
        "{killed} of {asked} were killed before it was enough: the run proves less than it was to"
    );
    ensure!(outcome.anomalies == 0, "{} anomalies", outcome.anomalies);
    Ok(())
}

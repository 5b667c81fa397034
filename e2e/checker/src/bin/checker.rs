//! The checker: numbered messages in many conversations while pods are killed in turn; then every reader pulls everything, and no
//! acknowledged message may be lost, doubled, reordered or replaced by a gap.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use checker::{
    client::{Client, Target},
    history::{Sent, check},
    latency::Latency,
    rest::{Admin, Endpoints},
};
use clap::Parser;
use parking_lot::Mutex;
use protocol::sdkws::MsgData;
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PLATFORM: i32 = 2;
/// How long a reader whose connection ended tries again, whatever it has waited before.
const RECONNECT: Duration = Duration::from_secs(20);

/// Kills while messages flow, then checks.
#[derive(Debug, Parser)]
struct Arguments {
    /// The JSON of `make endpoints`.
    #[arg(long, env = "OPENIM_ENDPOINTS")]
    endpoints: String,
    /// Pairs of users, each a conversation with one sender on either side.
    #[arg(long, default_value_t = 10)]
    conversations: usize,
    /// Seconds of sending, less when SIGTERM says that it is enough; kills happen within.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Milliseconds between two messages of a sender.
    #[arg(long, default_value_t = 50)]
    pause_ms: u64,
    /// Seconds that a reader waits for messages that are on their way.
    #[arg(long, default_value_t = 90)]
    settle_seconds: u64,
    /// Parts of the cluster whose pods are killed in turn, for example transfer,push,gateway,redis.
    #[arg(long, value_delimiter = ',')]
    kill: Vec<String>,
    /// Seconds between two kills, and before the first; evenly over the time when left out.
    #[arg(long)]
    kill_every: Option<u64>,
    /// Name of the cluster.
    #[arg(long, default_value = "chat")]
    name: String,
    /// Namespace of the cluster.
    #[arg(long, default_value = "openim")]
    namespace: String,
}

struct Run {
    admin: Admin,
    tasks: TaskTracker,
    acknowledged: AtomicU64,
    retried: AtomicU64,
    /// Between two acknowledgements of a sender.
    gaps: Mutex<Latency>,
    pushed: Arc<AtomicU64>,
    enough: CancellationToken,
}

impl Run {
    /// Asks for a token again and again until the deadline.
    async fn token(&self, user: &str, deadline: Instant) -> anyhow::Result<String> {
        loop {
            match self.admin.token(user, PLATFORM).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(200)).await,
                asked => return asked,
            }
        }
    }

    /// Connects again and again until the deadline.
    async fn connect(&self, user: &str, token: &str, deadline: Instant) -> anyhow::Result<Client> {
        loop {
            let pushed = self.pushed.clone();
            let on_push = move |_: &str, _| {
                pushed.fetch_add(1, Ordering::Relaxed);
            };
            match Client::connect(&self.admin.endpoints.ws, user, token, PLATFORM, true, &self.tasks, on_push)
                .await
            {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{user} cannot connect any more")));
                }
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Sends numbered messages until `end`; each is repeated with its clientMsgID until it is acknowledged.
    async fn sender(
        &self,
        from: String,
        to: String,
        pause: Duration,
        end: Instant,
    ) -> anyhow::Result<(String, Sent)> {
        let patience = end + Duration::from_secs(90);
        let token = self.token(&from, patience).await?;
        let mut client = self.connect(&from, &token, patience).await?;
        let mut sent = Sent::default();
        let mut number = 0_u64;
        let mut last = Instant::now();
        while Instant::now() < end && !self.enough.is_cancelled() {
            number += 1;
            let id = format!("{from}-{number}");
            loop {
                let content = json!({ "content": number.to_string() }).to_string();
                match client.send_text(Target::User(&to), &id, content.into()).await {
                    Ok(_) => break,
                    Err(_) if Instant::now() > patience => {
                        sent.unknown.insert(id.clone());
                        bail!("{from}: message {number} was not acknowledged within 90 s after the end");
                    }
                    Err(_) => {
                        self.retried.fetch_add(1, Ordering::Relaxed);
                        if client.is_closed() {
                            client = self.connect(&from, &token, patience).await?;
                        } else {
                            sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            self.gaps.lock().record(last.elapsed());
            last = Instant::now();
            sent.acknowledged.push(id);
            sleep(pause).await;
        }
        client.close();
        Ok((from, sent))
    }

    /// What a user sees of a conversation once everything is through. The last kill may still be felt: it tries again.
    async fn read(
        &self,
        user: &str,
        conversation: &str,
        expected: usize,
        settle: Duration,
    ) -> anyhow::Result<Vec<MsgData>> {
        let deadline = Instant::now() + settle;
        let token = self.token(user, deadline + RECONNECT).await?;
        let mut newest = 0;
        loop {
            let client = self.connect(user, &token, deadline + RECONNECT).await?;
            match self.read_once(&client, conversation, expected, &mut newest, deadline).await {
                Err(error) if client.is_closed() && Instant::now() < deadline + RECONNECT => {
                    eprintln!("{user}: {error}; reading again");
                }
                read => {
                    client.close();
                    return read;
                }
            }
        }
    }

    async fn read_once(
        &self,
        client: &Client,
        conversation: &str,
        expected: usize,
        newest: &mut i64,
        deadline: Instant,
    ) -> anyhow::Result<Vec<MsgData>> {
        loop {
            let now = client.newest().await?.max_seqs.get(conversation).copied().unwrap_or(0);
            if now < *newest {
                // The connection is open, so this is not tried away.
                bail!("the newest seq of {conversation} fell from {newest} to {now}");
            }
            *newest = now;
            if now as usize >= expected || Instant::now() > deadline {
                return client.pull(conversation, now).await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn kubectl(endpoints: &Endpoints, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new("kubectl");
    if !endpoints.kubeconfig.is_empty() {
        command.args(["--kubeconfig", &endpoints.kubeconfig]);
    }
    let output = command.args(arguments).output().await.context("kubectl")?;
    if !output.status.success() {
        bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends the processes of a pod of this machine at once: deleting a pod, even by force, lets it stop in order first. Returns how many
/// they were; none for pods of other machines.
async fn kill_processes(pod_uid: &str) -> anyhow::Result<usize> {
    let in_group = pod_uid.replace('-', "_");
    let of_pod = |entry: &std::fs::DirEntry| {
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        groups.contains(pod_uid) || groups.contains(&in_group)
    };
    let ids: Vec<String> = std::fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter(of_pod)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if !ids.is_empty() {
        // One that ended meanwhile is as well.
        let _status = tokio::process::Command::new("kill").arg("-9").args(&ids).status().await?;
    }
    Ok(ids.len())
}

/// Kills one pod of each part in turn, without grace, until it is enough. Returns how many.
async fn kill_in_turn(
    endpoints: &Endpoints,
    arguments: &Arguments,
    enough: &CancellationToken,
) -> anyhow::Result<usize> {
    let evenly = Duration::from_secs(arguments.seconds) / (arguments.kill.len() as u32 + 1);
    let pause = arguments.kill_every.map_or(evenly, Duration::from_secs);
    for (number, part) in arguments.kill.iter().enumerate() {
        if enough.run_until_cancelled(sleep(pause)).await.is_none() {
            return Ok(number);
        }
        // Each time another pod of the part.
        let before = arguments.kill[..number].iter().filter(|earlier| *earlier == part).count();
        let selector = format!("openim.io/cluster={},app.kubernetes.io/component={part}", arguments.name);
        let fields = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{'\\n'}{end}";
        let found =
            kubectl(endpoints, &["-n", &arguments.namespace, "get", "pods", "-l", &selector, "-o", fields])
                .await?;
        let pods: Vec<(&str, &str)> = found.lines().filter_map(|line| line.split_once(' ')).collect();
        let (name, uid) =
            *pods.get(before % pods.len().max(1)).with_context(|| format!("there is no pod of {part}"))?;
        let pod = format!("pod/{name}");
        let processes = kill_processes(uid).await?;
        kubectl(
            endpoints,
            &["-n", &arguments.namespace, "delete", &pod, "--grace-period=0", "--force", "--wait=false"],
        )
        .await?;
        eprintln!("killed {pod}, {processes} of its processes without a word");
    }
    Ok(arguments.kill.len())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let endpoints: Endpoints = serde_json::from_str(&arguments.endpoints).context("--endpoints")?;
    let admin = Admin::login(endpoints.clone()).await?;
    let run = Arc::new(Run {
        admin,
        tasks: TaskTracker::new(),
        acknowledged: AtomicU64::new(0),
        retried: AtomicU64::new(0),
        gaps: Mutex::default(),
        pushed: Arc::default(),
        enough: CancellationToken::new(),
    });
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let enough = run.enough.clone();
    run.tasks.spawn(async move {
        terminate.recv().await;
        enough.cancel();
    });
    let tag = &model::random_id()[..8];
    let pairs: Vec<(String, String)> =
        (0..arguments.conversations).map(|i| (format!("chk{tag}a{i}"), format!("chk{tag}b{i}"))).collect();
    let users: Vec<String> = pairs.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    run.admin.register(&users).await?;
    let started = Instant::now();
    let end = started + Duration::from_secs(arguments.seconds);
    let pause = Duration::from_millis(arguments.pause_ms);
    let senders = pairs.iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b.clone(), a.clone())]);
    let senders = futures::future::try_join_all(senders.map(|(from, to)| run.sender(from, to, pause, end)));
    let (sent, killed) = tokio::join!(senders, kill_in_turn(&endpoints, &arguments, &run.enough));
    let (sent, killed) = (sent?, killed?);
    let seconds = started.elapsed().as_secs();
    let sent: BTreeMap<String, Sent> = sent.into_iter().collect();
    let settle = Duration::from_secs(arguments.settle_seconds);
    let mut anomalies = Vec::new();
    let mut read = 0;
    for (a, b) in &pairs {
        let conversation = model::conversation_id::single(a, b);
        let of_pair: BTreeMap<String, Sent> =
            [a, b].into_iter().map(|user| (user.clone(), sent[user].clone())).collect();
        let expected = of_pair.values().map(|sent| sent.acknowledged.len()).sum();
        let readers = [
            run.read(a, &conversation, expected, settle).await?,
            run.read(b, &conversation, expected, settle).await?,
        ];
        read += readers[0].len();
        anomalies.extend(
            check(&of_pair, &readers).into_iter().map(|anomaly| format!("{conversation}: {anomaly:?}")),
        );
    }
    let summary = json!({
        "conversations": pairs.len(),
        "seconds": seconds,
        "killed": killed,
        "acknowledged": run.acknowledged.load(Ordering::Relaxed),
        "retried": run.retried.load(Ordering::Relaxed),
        "gapMs": run.gaps.lock().percentiles(),
        "pushed": run.pushed.load(Ordering::Relaxed),
        "read": read,
        "anomalies": anomalies.len(),
        "first": anomalies.iter().take(10).collect::<Vec<_>>(),
    });
    println!("{summary}");
    if run.acknowledged.load(Ordering::Relaxed) == 0 {
        bail!("nothing was acknowledged: the run proves nothing");
    }
    if !anomalies.is_empty() {
        bail!("{} anomalies", anomalies.len());
    }
    Ok(())
}

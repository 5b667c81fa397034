//! The checker: numbered messages in many conversations while pods are killed in turn; then every reader pulls everything, and no
//! acknowledged message may be lost, doubled, reordered or replaced by a gap.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use checker::{
    client::{Client, Target},
    heard::Heard,
    history::{Anomaly, Sent, check},
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
/// How long a message may go without its acknowledgement after the end of sending, and a sender without its first connection.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a part may have no pod that can be killed: one may be on its way out, and the next one not there yet.
const VICTIM: Duration = Duration::from_secs(120);
/// Between two looks at what is not there yet.
const AGAIN: Duration = Duration::from_millis(500);

/// Kills while messages flow, then checks.
#[derive(Debug, Parser)]
struct Arguments {
    /// The JSON of `make endpoints`.
    #[arg(long, env = "OPENIM_ENDPOINTS")]
    endpoints: String,
    /// Pairs of users, each a conversation with one sender on either side.
    #[arg(long, default_value_t = 10)]
    conversations: usize,
    /// Seconds of sending; until SIGTERM says that it is enough when left out. Kills happen within.
    #[arg(long)]
    seconds: Option<u64>,
    /// Milliseconds between two messages of a sender.
    #[arg(long, default_value_t = 50)]
    pause_ms: u64,
    /// Seconds that a reader waits for messages that are on their way.
    #[arg(long, default_value_t = 90)]
    settle_seconds: u64,
    /// Parts of the cluster whose pods are killed in turn, for example transfer,push,gateway,redis.
    #[arg(long, value_delimiter = ',')]
    kill: Vec<String>,
    /// Seconds between two kills, and before the first; evenly over `--seconds` when left out.
    #[arg(long)]
    kill_every: Option<u64>,
    /// Each sender ends its connection right after so many messages, without waiting for the answer; 0: never.
    #[arg(long, default_value_t = 50)]
    hang_up_every: u64,
    /// Look at what is stored alone, not at what open connections were pushed: for servers that do not promise it.
    #[arg(long)]
    stored_only: bool,
    /// Name of the cluster.
    #[arg(long, default_value = "chat")]
    name: String,
    /// Namespace of the cluster.
    #[arg(long, default_value = "openim")]
    namespace: String,
}

/// An open connection, and what it is pushed.
struct Connection {
    client: Client,
    heard: Arc<Mutex<Heard>>,
}

/// What a sender did, and its last connection, still open.
struct Sender {
    user: String,
    peer: String,
    sent: Sent,
    /// Acknowledged ids and when their first attempt began.
    begun: Vec<(String, Instant)>,
    client: Client,
    /// One for each connection it had; the last is that of `client`.
    heard: Vec<Arc<Mutex<Heard>>>,
}

struct Run {
    admin: Admin,
    tasks: TaskTracker,
    acknowledged: AtomicU64,
    retried: AtomicU64,
    /// Between two acknowledgements of a sender.
    gaps: Mutex<Latency>,
    pushed: Arc<AtomicU64>,
    hung_up: AtomicU64,
    enough: CancellationToken,
    /// When sending ended.
    ended: OnceLock<Instant>,
}

impl Run {
    /// Ends the sending.
    fn end(&self) {
        self.ended.get_or_init(Instant::now);
        self.enough.cancel();
    }

    /// Until when what was sent may still be acknowledged; for ever while sending goes on.
    fn is_patient(&self) -> bool {
        self.ended.get().is_none_or(|ended| ended.elapsed() < PATIENCE)
    }

    /// Asks for a token again and again until the deadline.
    async fn token(&self, user: &str, deadline: Instant) -> anyhow::Result<String> {
        loop {
            match self.admin.token(user, PLATFORM).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(200)).await,
                asked => return asked,
            }
        }
    }

    /// Connects again and again for as long as the caller is patient. Also what the connection is pushed.
    async fn connect(
        &self,
        user: &str,
        token: &str,
        is_patient: impl Fn() -> bool,
    ) -> anyhow::Result<Connection> {
        loop {
            // It is open a little earlier than it is known to be: what is sent in between may be missed without fault.
            let (pushed, heard) = (self.pushed.clone(), Arc::new(Mutex::new(Heard::since(Instant::now()))));
            let ear = heard.clone();
            let on_push = move |conversation: &str, message| {
                pushed.fetch_add(1, Ordering::Relaxed);
                ear.lock().push(conversation, message);
            };
            match Client::connect(&self.admin.endpoints.ws, user, token, PLATFORM, true, &self.tasks, on_push)
                .await
            {
                Ok(client) => {
                    heard.lock().greeted(Instant::now());
                    return Ok(Connection { client, heard });
                }
                Err(error) if !is_patient() => {
                    return Err(error.context(format!("{user} cannot connect any more")));
                }
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Sends numbered messages until it is enough; each is repeated with its clientMsgID, and another body, until it is acknowledged.
    async fn sender(
        &self,
        from: String,
        to: String,
        pause: Duration,
        hang_up_every: u64,
    ) -> anyhow::Result<Sender> {
        let start = Instant::now() + PATIENCE;
        let token = self.token(&from, start).await?;
        let Connection { mut client, heard } = self.connect(&from, &token, || Instant::now() < start).await?;
        let mut heard = vec![heard];
        let mut sent = Sent::default();
        let mut begun = Vec::new();
        let mut number = 0_u64;
        let mut last = Instant::now();
        while !self.enough.is_cancelled() {
            number += 1;
            let id = format!("{from}-{number}");
            begun.push((id.clone(), Instant::now()));
            for attempt in 0_u64.. {
                let content = json!({ "content": number.to_string(), "attempt": attempt }).to_string();
                if attempt == 0 && hang_up_every > 0 && number.is_multiple_of(hang_up_every) {
                    client.send_and_hang_up(Target::User(&to), &id, content.clone().into()).await;
                    self.hung_up.fetch_add(1, Ordering::Relaxed);
                }
                match client.send_text(Target::User(&to), &id, content.into()).await {
                    Ok(_) => break,
                    Err(_) if !self.is_patient() => {
                        sent.unknown.insert(id.clone());
                        bail!("{from}: message {number} was not acknowledged within 90 s after the end");
                    }
                    Err(_) => {
                        self.retried.fetch_add(1, Ordering::Relaxed);
                        if client.is_closed() {
                            let again = self.connect(&from, &token, || self.is_patient()).await?;
                            client = again.client;
                            heard.push(again.heard);
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
        Ok(Sender { user: from, peer: to, sent, begun, client, heard })
    }

    /// Waits until every connection that is still open was pushed everything, `settle` at most; what is missing then.
    async fn unheard(senders: &BTreeMap<String, Sender>, settle: Duration) -> Vec<String> {
        let deadline = Instant::now() + settle;
        loop {
            let missing: Vec<String> = senders
                .values()
                .filter(|sender| !sender.client.is_closed())
                .flat_map(|sender| {
                    let last = sender.heard.last().map(|heard| heard.lock());
                    let misses = last.map(|heard| {
                        let of_peer = senders[&sender.peer].begun.as_slice();
                        heard.misses(of_peer).into_iter().map(str::to_owned).collect::<Vec<_>>()
                    });
                    misses.unwrap_or_default()
                })
                .map(|id| format!("{:?}", Anomaly::Unheard(id)))
                .collect();
            if missing.is_empty() || Instant::now() > deadline {
                return missing;
            }
            sleep(Duration::from_millis(200)).await;
        }
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
            let Connection { client, .. } =
                self.connect(user, &token, || Instant::now() < deadline + RECONNECT).await?;
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
    // The API server may hang.
    let output = command.arg("--request-timeout=20s").args(arguments).output().await.context("kubectl")?;
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

/// A pod as `kubectl get pods` lists it.
struct Pod {
    name: String,
    uid: String,
}

/// The pods in lines of name, uid and time of removal: those that are not on their way out.
fn pods_that_stay(listed: &str) -> Vec<Pod> {
    let pod = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, uid] => Some(Pod { name: name.into(), uid: uid.into() }),
        _ => None,
    };
    listed.lines().filter_map(pod).collect()
}

/// Kills a pod of the part, each time another one. False when there was none to kill: a roll-out may be replacing it just now.
async fn kill_one(
    endpoints: &Endpoints,
    arguments: &Arguments,
    part: &str,
    earlier: usize,
) -> anyhow::Result<bool> {
    let selector = format!("openim.io/cluster={},app.kubernetes.io/component={part}", arguments.name);
    let fields = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp}{'\\n'}{end}";
    let namespace = arguments.namespace.as_str();
    let listed = kubectl(endpoints, &["-n", namespace, "get", "pods", "-l", &selector, "-o", fields]).await?;
    let pods = pods_that_stay(&listed);
    let Some(Pod { name, uid }) = pods.get(earlier % pods.len().max(1)) else { return Ok(false) };
    let pod = format!("pod/{name}");
    let processes = kill_processes(uid).await?;
    let deletion = ["delete", &pod, "--ignore-not-found", "--grace-period=0", "--force", "--wait=false"];
    let deleted = kubectl(endpoints, &[&["-n", namespace][..], &deletion].concat()).await;
    if processes == 0 && deleted?.trim().is_empty() {
        return Ok(false);
    }
    eprintln!("killed {pod}, {processes} of its processes without a word");
    Ok(true)
}

/// Kills one pod of each part in turn, without grace, until it is enough. Returns how many.
async fn kill_in_turn(
    endpoints: &Endpoints,
    arguments: &Arguments,
    enough: &CancellationToken,
) -> anyhow::Result<usize> {
    let evenly =
        arguments.seconds.map(|seconds| Duration::from_secs(seconds) / (arguments.kill.len() as u32 + 1));
    let pause = arguments.kill_every.map(Duration::from_secs).or(evenly).unwrap_or_default();
    for (number, part) in arguments.kill.iter().enumerate() {
        if enough.run_until_cancelled(sleep(pause)).await.is_none() {
            return Ok(number);
        }
        let earlier = arguments.kill[..number].iter().filter(|earlier| *earlier == part).count();
        let deadline = Instant::now() + VICTIM;
        loop {
            match kill_one(endpoints, arguments, part, earlier).await {
                Ok(true) => break,
                Ok(false) if Instant::now() > deadline => bail!("there is no pod of {part}"),
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(false) => {}
                Err(error) => eprintln!("{part}: {error}; trying again"),
            }
            if enough.run_until_cancelled(sleep(AGAIN)).await.is_none() {
                return Ok(number);
            }
        }
    }
    Ok(arguments.kill.len())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.kill.is_empty() || arguments.seconds.or(arguments.kill_every).is_some(),
        "--kill: say --kill-every, or --seconds over which the kills are spread"
    );
    let endpoints: Endpoints = serde_json::from_str(&arguments.endpoints).context("--endpoints")?;
    let admin = Admin::login(endpoints.clone()).await?;
    let run = Arc::new(Run {
        admin,
        tasks: TaskTracker::new(),
        acknowledged: AtomicU64::new(0),
        retried: AtomicU64::new(0),
        gaps: Mutex::default(),
        pushed: Arc::default(),
        hung_up: AtomicU64::new(0),
        enough: CancellationToken::new(),
        ended: OnceLock::new(),
    });
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let tag = &model::random_id()[..8];
    let pairs: Vec<(String, String)> =
        (0..arguments.conversations).map(|i| (format!("chk{tag}a{i}"), format!("chk{tag}b{i}"))).collect();
    let users: Vec<String> = pairs.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    run.admin.register(&users).await?;
    let started = Instant::now();
    let seconds = arguments.seconds.map(Duration::from_secs);
    let sending = run.clone();
    run.tasks.spawn(async move {
        let over = async {
            match seconds {
                Some(seconds) => sleep(seconds).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            () = over => {}
        }
        sending.end();
    });
    let pause = Duration::from_millis(arguments.pause_ms);
    let senders = pairs.iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b.clone(), a.clone())]);
    let senders = senders.map(|(from, to)| run.sender(from, to, pause, arguments.hang_up_every));
    let senders = futures::future::try_join_all(senders);
    // Whichever fails ends the other.
    let (sent, killed) = tokio::join!(async { senders.await.inspect_err(|_| run.end()) }, async {
        kill_in_turn(&endpoints, &arguments, &run.enough).await.inspect_err(|_| run.end())
    },);
    let (sent, killed) = (sent?, killed?);
    let seconds = started.elapsed().as_secs();
    let senders: BTreeMap<String, Sender> =
        sent.into_iter().map(|sender| (sender.user.clone(), sender)).collect();
    let settle = Duration::from_secs(arguments.settle_seconds);
    let mut anomalies = if arguments.stored_only { Vec::new() } else { Run::unheard(&senders, settle).await };
    let open = senders.values().filter(|sender| !sender.client.is_closed()).count();
    senders.values().for_each(|sender| sender.client.close());
    let mut read = 0;
    for (a, b) in &pairs {
        let conversation = model::conversation_id::single(a, b);
        let of_pair: BTreeMap<String, Sent> =
            [a, b].into_iter().map(|user| (user.clone(), senders[user].sent.clone())).collect();
        let expected = of_pair.values().map(|sent| sent.acknowledged.len()).sum();
        let readers = [
            run.read(a, &conversation, expected, settle).await?,
            run.read(b, &conversation, expected, settle).await?,
        ];
        read += readers[0].len();
        anomalies.extend(
            check(&of_pair, &readers).into_iter().map(|anomaly| format!("{conversation}: {anomaly:?}")),
        );
        let connections = [a, b].into_iter().flat_map(|user| &senders[user].heard);
        for heard in connections.filter(|_| !arguments.stored_only) {
            let differing = heard.lock().differs(&conversation, &readers[0]);
            let differing = differing.into_iter().map(Anomaly::PushedOther);
            anomalies.extend(differing.map(|anomaly| format!("{conversation}: {anomaly:?}")));
        }
    }
    let summary = json!({
        "conversations": pairs.len(),
        "seconds": seconds,
        "killed": killed,
        "acknowledged": run.acknowledged.load(Ordering::Relaxed),
        "retried": run.retried.load(Ordering::Relaxed),
        "hungUp": run.hung_up.load(Ordering::Relaxed),
        "openAtTheEnd": open,
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
    let asked = arguments.kill.len();
    ensure!(
        killed == asked,
        "{killed} of {asked} were killed before it was enough: the run proves less than it was to"
    );
    if !anomalies.is_empty() {
        bail!("{} anomalies", anomalies.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_is_removed_already_is_not_killed_again() {
        let listed = "auth-1 u1 2026-01-01T00:00:00Z\nauth-2 u2 \n\n";
        let found: Vec<String> =
            pods_that_stay(listed).into_iter().map(|pod| format!("{} {}", pod.name, pod.uid)).collect();
        assert_eq!(found, ["auth-2 u2"]);
    }
}

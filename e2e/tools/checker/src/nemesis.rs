//! Faults injected while messages flow: killed pods, killed or frozen processes, and arbitrary commands.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How long a part may have no pod that can be killed: one may be on its way out, and the next one not there yet.
const VICTIM: Duration = Duration::from_secs(120);
/// Between two looks at what is not there yet.
const AGAIN: Duration = Duration::from_millis(500);

/// A process: its id, or a file that has it, which is read each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Process {
    /// Its id.
    Id(u32),
    /// Where its id is.
    File(PathBuf),
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            // 0 and 1 would be this process' group and the whole machine.
            Ok(0 | 1) => Err(format!("{text}: this process must not be stopped")),
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if text.contains('/') => Ok(Self::File(text.into())),
            Err(_) => Err(format!("{text:?}: expected a process id or the path of a pid file")),
        }
    }
}

impl Process {
    fn id(&self) -> anyhow::Result<u32> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::File(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                text.trim().parse().with_context(|| format!("{}: {text:?}", file.display()))
            }
        }
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.id()?.to_string();
        let status = Command::new("kill").args([signal, &id]).status().await?;
        // One that ended meanwhile is as well.
        if !status.success() {
            eprintln!("process {id} does not exist, cannot send {signal}");
        }
        Ok(())
    }
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A pod of this part of the cluster is killed without grace.
    Pod(String),
    /// A process is killed without grace.
    Kill(Process),
    /// A process is frozen for this many seconds.
    Freeze(Process, u64),
    /// A command, which has to succeed.
    Command {
        /// What it does.
        name: String,
        /// For the shell.
        command: String,
    },
}

impl Fault {
    /// A part of the cluster, or a process.
    ///
    /// # Errors
    /// When it is neither.
    pub fn kill(text: &str) -> Result<Self, String> {
        if text.contains('/') || text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Kill);
        }
        Ok(Self::Pod(text.to_owned()))
    }

    /// `PROCESS:SECONDS`.
    ///
    /// # Errors
    /// When it is not that.
    pub fn freeze(text: &str) -> Result<Self, String> {
        let (process, seconds) =
            text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not PROCESS:SECONDS"))?;
        let seconds = seconds.parse().map_err(|_| format!("{seconds:?}: expected a number of seconds"))?;
        Ok(Self::Freeze(process.parse()?, seconds))
    }

    /// How long it is known to take.
    pub fn seconds(&self) -> u64 {
        if let Self::Freeze(_, seconds) = self { *seconds } else { 0 }
    }

    /// `NAME=COMMAND`.
    ///
    /// # Errors
    /// When it is not that.
    pub fn command(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=COMMAND"))?;
        Ok(Self::Command { name: name.to_owned(), command: command.to_owned() })
    }
}

/// Where pods are.
#[derive(Debug, Clone)]
pub struct Pods {
    /// Path of the kubeconfig; kubectl's own when empty.
    pub kubeconfig: String,
    /// Name of the cluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// What goes wrong, and when.
#[derive(Debug, Clone)]
pub struct Nemesis {
    /// In this order.
    pub faults: Vec<Fault>,
    /// Before each.
    pub pause: Duration,
    /// Repeat until the end, in an order and with pauses chosen by the seed; each once if `None`.
    pub again: Option<u64>,
    /// Where pods are killed.
    pub pods: Pods,
}

impl Nemesis {
    /// Lets everything go wrong; returns how much did before it was enough.
    ///
    /// # Errors
    /// When there is nothing that could go wrong, or a command fails.
    pub async fn strike(&self, enough: &CancellationToken) -> anyhow::Result<usize> {
        match self.again {
            None => self.each_once(enough).await,
            Some(seed) => self.again_and_again(seed, enough).await,
        }
    }

    async fn each_once(&self, enough: &CancellationToken) -> anyhow::Result<usize> {
        for (number, fault) in self.faults.iter().enumerate() {
            let earlier = self.faults[..number].iter().filter(|earlier| *earlier == fault).count();
            if enough.run_until_cancelled(sleep(self.pause)).await.is_none()
                || !self.happen(fault, earlier, enough).await?
            {
                return Ok(number);
            }
        }
        Ok(self.faults.len())
    }

    async fn again_and_again(&self, seed: u64, enough: &CancellationToken) -> anyhow::Result<usize> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut number = 0;
        loop {
            let Some(fault) = self.faults.choose(&mut random) else { return Ok(0) };
            let pause = self.pause.mul_f64(random.random_range(0.5..1.5));
            if enough.run_until_cancelled(sleep(pause)).await.is_none()
                || !self.happen(fault, number, enough).await?
            {
                return Ok(number);
            }
            number += 1;
        }
    }

    /// False when it was enough before it could happen.
    async fn happen(
        &self,
        fault: &Fault,
        earlier: usize,
        enough: &CancellationToken,
    ) -> anyhow::Result<bool> {
        match fault {
            Fault::Pod(part) => return self.pods.kill(part, earlier, enough).await,
            Fault::Kill(process) => {
                process.signal("-KILL").await?;
                eprintln!("killed {process:?}");
            }
            Fault::Freeze(process, seconds) => {
                let id = Process::Id(process.id()?);
                id.signal("-STOP").await?;
                eprintln!("froze {id:?} for {seconds} s");
                let _whole = enough.run_until_cancelled(sleep(Duration::from_secs(*seconds))).await;
                id.signal("-CONT").await?;
            }
            Fault::Command { name, command } => {
                eprintln!("{name}");
                let output =
                    Command::new("sh").args(["-c", command]).output().await.context("no shell: sh")?;
                if !output.status.success() {
                    bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
                }
            }
        }
        Ok(true)
    }
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
        let _status = Command::new("kill").arg("-9").args(&ids).status().await?;
    }
    Ok(ids.len())
}

impl Pods {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("kubectl");
        if !self.kubeconfig.is_empty() {
            command.args(["--kubeconfig", &self.kubeconfig]);
        }
        // The API server may hang.
        let command = command.args(["--request-timeout=20s", "-n", &self.namespace]).args(arguments);
        let output = command.output().await.context("kubectl")?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Kills a pod of the part, each time another one. False when there was none to kill: a roll-out may be replacing it just now.
    async fn kill_one(&self, part: &str, earlier: usize) -> anyhow::Result<bool> {
        let selector = format!("openim.io/cluster={},app.kubernetes.io/component={part}", self.name);
        let fields = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp}{'\\n'}{end}";
        let listed = self.kubectl(&["get", "pods", "-l", &selector, "-o", fields]).await?;
        let pods = pods_that_stay(&listed);
        let Some(Pod { name, uid }) = pods.get(earlier % pods.len().max(1)) else { return Ok(false) };
        let pod = format!("pod/{name}");
        let processes = kill_processes(uid).await?;
        let deletion = ["delete", &pod, "--ignore-not-found", "--grace-period=0", "--force", "--wait=false"];
        let deleted = self.kubectl(&deletion).await;
        if processes == 0 && deleted?.trim().is_empty() {
            return Ok(false);
        }
        eprintln!("killed {pod}, {processes} of its processes by SIGKILL");
        Ok(true)
    }

    async fn kill(&self, part: &str, earlier: usize, enough: &CancellationToken) -> anyhow::Result<bool> {
        let deadline = Instant::now() + VICTIM;
        loop {
            match self.kill_one(part, earlier).await {
                Ok(true) => return Ok(true),
                Ok(false) if Instant::now() > deadline => bail!("no pod of {part} found"),
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(false) => {}
                Err(error) => eprintln!("{part}: {error}; trying again"),
            }
            if enough.run_until_cancelled(sleep(AGAIN)).await.is_none() {
                return Ok(false);
            }
        }
    }
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

    #[test]
    fn faults_are_read_from_words() {
        assert_eq!(Fault::kill("transfer"), Ok(Fault::Pod("transfer".into())));
        assert_eq!(Fault::kill("4711"), Ok(Fault::Kill(Process::Id(4711))));
        assert_eq!(Fault::freeze("4711:30"), Ok(Fault::Freeze(Process::Id(4711), 30)));
        assert_eq!(
            Fault::freeze("/run/push.pid:5"),
            Ok(Fault::Freeze(Process::File("/run/push.pid".into()), 5))
        );
        let command = Fault::Command { name: "disk full".into(), command: "x=1 fill".into() };
        assert_eq!(Fault::command("disk full=x=1 fill"), Ok(command));
        for wrong in ["1:30", "0:30", "push:30", "4711", "4711:soon"] {
            assert!(Fault::freeze(wrong).is_err(), "{wrong}");
        }
        assert!(Fault::kill("1").is_err());
    }

    #[tokio::test]
    async fn what_is_frozen_goes_on_when_it_is_enough() {
        let mut child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        let id = child.id().unwrap();
        let enough = CancellationToken::new();
        enough.cancel();
        let pods = Pods { kubeconfig: String::new(), name: String::new(), namespace: String::new() };
        let nemesis = Nemesis { faults: vec![], pause: Duration::ZERO, again: None, pods };
        let freeze = Fault::Freeze(Process::Id(id), 600);
        assert!(nemesis.happen(&freeze, 0, &enough).await.unwrap());
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        assert!(!state.contains(") T "), "{state}");
        child.kill().await.unwrap();
    }
}

//! Room on the disks of managed Kafkas: deletes records that were read and measures what is left (docs/adr/0029-disk-of-kafka.md). This asks every
//! broker and every consumer group, which takes longer than a probe has: each cluster has one task for it beside the probes, which report its last
//! result.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bus::{BusError, Room};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time between the starts of two runs for one cluster; a slow one delays the next.
const EVERY: Duration = Duration::from_secs(20);
/// A run that takes longer is given up: it asks many, each with a time limit of its own, and together they must not keep the next run away for ever.
const LONGEST: Duration = EVERY.saturating_mul(15);
/// Percentage of a volume from which on the status reports it: early enough to increase it.
const NEARLY_FULL: u64 = 80;

/// What is known of the disks of one cluster.
#[derive(Default)]
struct Disks {
    /// The last report; empty: there is room, or nobody knows.
    report: String,
    started: Option<Instant>,
    running: bool,
    stop: CancellationToken,
}

/// The tasks of all clusters, by uid.
#[derive(Default)]
pub struct DiskTasks {
    tasks: TaskTracker,
    clusters: Arc<Mutex<HashMap<String, Disks>>>,
}

/// A run, until it has ended in whatever way.
struct Running {
    clusters: Arc<Mutex<HashMap<String, Disks>>>,
    cluster: String,
}

impl Running {
    fn tell(&self, report: String) {
        if let Some(disks) = self.clusters.lock().get_mut(&self.cluster) {
            disks.report = report;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(disks) = self.clusters.lock().get_mut(&self.cluster) {
            disks.running = false;
        }
    }
}

impl DiskTasks {
    /// The last report of a cluster. Starts the next run if none is running and the last one is long enough ago. One that panics or does not end
    /// makes room for the next.
    pub(crate) fn report(
        &self,
        cluster: &str,
        volume: u64,
        run: impl Future<Output = Result<Room, BusError>> + Send + 'static,
    ) -> String {
        let mut clusters = self.clusters.lock();
        let disks = clusters.entry(cluster.to_owned()).or_default();
        let is_due = disks.started.is_none_or(|started| started.elapsed() >= EVERY);
        if is_due && !disks.running && !self.tasks.is_closed() {
            disks.running = true;
            disks.started = Some(Instant::now());
            let running = Running { clusters: self.clusters.clone(), cluster: cluster.to_owned() };
            let stop = disks.stop.clone();
            self.tasks.spawn(async move {
                match stop.run_until_cancelled(timeout(LONGEST, run)).await {
                    Some(Ok(seen)) => running.tell(reported(seen, volume)),
                    Some(Err(_)) => {
                        tracing::warn!(cluster = running.cluster, "kafka.disk_usage_late");
                        running.tell(String::new());
                    }
                    None => {}
                }
            });
        }
        disks.report.clone()
    }

    /// What the status of a cluster said when this operator first looked at it: it stays until a run has ended.
    pub(crate) fn recall(&self, cluster: &str, status: &crds::OpenIMClusterStatus) {
        let mut clusters = self.clusters.lock();
        if !clusters.contains_key(cluster) {
            let kafka = status
                .dependencies
                .iter()
                .find(|dependency| dependency.name == topology::Server::Kafka.name());
            let report = kafka.map_or_else(String::new, |kafka| kafka.disk.clone());
            clusters.insert(cluster.to_owned(), Disks { report, ..Default::default() });
        }
    }

    /// The other clusters are gone: their runs are cancelled.
    pub(crate) fn keep(&self, clusters: &HashSet<String>) {
        self.clusters.lock().retain(|cluster, disks| {
            let stays = clusters.contains(cluster);
            if !stays {
                disks.stop.cancel();
            }
            stays
        });
    }

    /// Cancels all runs and waits for their end; no other one starts.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.keep(&HashSet::new());
        self.tasks.wait().await;
    }
}

fn reported(seen: Result<Room, BusError>, volume: u64) -> String {
    match seen {
        Ok(room) => remark(&room, volume).unwrap_or_default(),
        Err(error) => {
            // A broker that is slow or restarting is reported by the probe.
            tracing::warn!(%error, "kafka.disk_usage_unknown");
            String::new()
        }
    }
}

fn remark(room: &Room, volume: u64) -> Option<String> {
    let percent = room.percent(volume);
    (percent >= NEARLY_FULL).then(|| {
        let why = if room.awaited.is_empty() {
            String::new()
        } else {
            format!(
                "; records that these consumer groups have not read are kept: {}",
                room.awaited.join(", ")
            )
        };
        format!(
            "the disk of {} is {percent} % full{why}; check that transfer and push are running, or \
             increase spec.kafka.managed.storage",
            room.broker
        )
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    fn room(bytes: u64) -> Room {
        Room { broker: "chat-kafka-0:9092".into(), bytes, awaited: vec!["transfer"] }
    }

    /// Lets tasks that can run do so.
    async fn pause() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the end of all runs.
    async fn settle(tasks: &DiskTasks) {
        while tasks.clusters.lock().values().any(|disks| disks.running) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn the_disk_usage_is_reported_before_the_disk_is_full() {
        assert_eq!(remark(&room(799), 1000), None);
        let said = remark(&room(800), 1000).unwrap();
        assert!(said.contains("the disk of chat-kafka-0:9092 is 80 % full"), "{said}");
        assert!(said.contains("transfer") && said.contains("spec.kafka.managed.storage"), "{said}");
        let read = Room { awaited: vec![], ..room(900) };
        assert!(!remark(&read, 1000).unwrap().contains("not read"));
    }

    #[tokio::test(start_paused = true)]
    async fn probes_report_the_last_result_and_start_one_run_at_a_time() {
        let (tasks, goes_on) = (DiskTasks::default(), Arc::new(Notify::new()));
        let started = Arc::new(Mutex::new(0));
        let run = |bytes: u64| {
            let (started, goes_on) = (started.clone(), goes_on.clone());
            async move {
                *started.lock() += 1;
                goes_on.notified().await;
                Ok(room(bytes))
            }
        };
        assert_eq!(tasks.report("a", 1000, run(900)), "", "nothing is known yet, and nothing is waited for");
        tokio::time::advance(EVERY * 3).await;
        assert_eq!(tasks.report("a", 1000, run(0)), "", "a slow run is not joined by a second one");
        assert_eq!(*started.lock(), 1);
        goes_on.notify_one();
        settle(&tasks).await;
        assert!(tasks.report("a", 1000, run(0)).contains("90 % full"));
        goes_on.notify_one();
        settle(&tasks).await;
        assert_eq!((tasks.report("a", 1000, run(950)), *started.lock()), (String::new(), 2));
        pause().await;
        assert_eq!(*started.lock(), 2, "the next run waits for its time");
        tokio::time::advance(EVERY).await;
        _ = tasks.report("a", 1000, run(950));
        _ = tasks.report("b", 1000, run(950));
        pause().await;
        assert_eq!(*started.lock(), 4, "one for each cluster");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_or_does_not_end_makes_room_for_the_next() {
        let tasks = DiskTasks::default();
        _ = tasks.report("a", 1000, async { panic!("this is meant") });
        settle(&tasks).await;
        tokio::time::advance(EVERY).await;
        _ = tasks.report("a", 1000, async { Ok(room(900)) });
        settle(&tasks).await;
        tokio::time::advance(EVERY).await;
        assert!(tasks.report("a", 1000, std::future::pending()).contains("90 % full"));
        pause().await;
        tokio::time::advance(LONGEST - Duration::from_secs(1)).await;
        pause().await;
        assert!(tasks.clusters.lock()["a"].running);
        tokio::time::advance(Duration::from_secs(1)).await;
        settle(&tasks).await;
        assert_eq!(tasks.report("a", 1000, async { Ok(room(950)) }), "", "the last one saw nothing");
        settle(&tasks).await;
        assert!(tasks.report("a", 1000, std::future::pending()).contains("95 % full"));
    }

    #[tokio::test]
    async fn a_run_ends_with_its_cluster_and_with_the_operator() {
        let tasks = DiskTasks::default();
        for cluster in ["a", "b"] {
            _ = tasks.report(cluster, 1000, std::future::pending());
        }
        tasks.keep(&HashSet::from(["a".to_owned()]));
        assert!(tasks.clusters.lock().keys().eq(["a"]));
        tasks.close().await;
        _ = tasks.report("a", 1000, std::future::pending());
        assert!(tasks.tasks.is_empty(), "no run is left, and none has started");
    }

    #[tokio::test]
    async fn a_new_leader_repeats_what_the_status_says_until_it_has_looked() {
        let tasks = DiskTasks::default();
        let kafka = crds::Dependency { name: "kafka".into(), disk: "85 % full".into(), ..Default::default() };
        let status = crds::OpenIMClusterStatus { dependencies: vec![kafka], ..Default::default() };
        tasks.recall("a", &status);
        assert_eq!(tasks.report("a", 1000, async { Ok(room(1)) }), "85 % full");
        settle(&tasks).await;
        tasks.recall("a", &status);
        assert_eq!(tasks.report("a", 1000, async { Ok(room(1)) }), "", "its own result counts");
    }
}

//! A run: creates users and groups, runs all rooms until the end, then reports the figures.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt, TryStreamExt,
    future::{join_all, try_join_all},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    history::Anomaly,
    latency::Latency,
    member::PLATFORM,
    message::Mix,
    outcome::{Found, Outcome},
    rest::Admin,
    room::Room,
    streams::{StreamLoad, Streams},
};

/// How long a message may go without its acknowledgement after the end of sending, and a sender without its first connection.
const PATIENCE: Duration = Duration::from_secs(90);
/// Rooms that are opened, or cleaned up, at the same time.
const AT_ONCE: usize = 32;

/// What is sent.
#[derive(Debug, Clone, clap::Args)]
pub struct Load {
    /// Pairs of users, each a conversation with one sender on either side.
    #[arg(long, default_value_t = 10)]
    pub conversations: usize,
    /// Groups, all of whose members send.
    #[arg(long, default_value_t = 0)]
    pub groups: usize,
    /// Members of each group.
    #[arg(long, default_value_t = 5, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(3..))]
    pub members: usize,
    /// Milliseconds between two messages of a sender.
    #[arg(long, default_value_t = 50)]
    pub pause_ms: u64,
    /// Messages that each sender of a pair sends before its conversation is compared and forgotten; the memory of a run grows with it.
    #[arg(long, default_value_t = 1000)]
    pub round: u64,
    /// Compress frames, as the SDKs do.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub gzip: bool,
    /// Seed of all random choices; if omitted, one is chosen and printed.
    #[arg(long, default_value_t = rand::random::<u32>().into())]
    pub seed: u64,
    /// Special messages.
    #[command(flatten)]
    pub mix: Mix,
    /// Streams beside the messages.
    #[command(flatten)]
    pub streams: StreamLoad,
}

impl Load {
    pub(crate) fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }

    /// Messages that each of `members` sends before they are read: those of a pair `round`, those of a group together as many.
    pub(crate) fn of_a_round(&self, members: usize, checks: &Checks) -> u64 {
        if checks.read_after_end.is_some() {
            return u64::MAX;
        }
        (self.round / (members as u64).saturating_sub(1).max(1)).max(1)
    }
}

/// What is looked at.
#[derive(Debug, Clone, clap::Args)]
pub struct Checks {
    /// Seconds that a reader waits for messages that are on their way.
    #[arg(long, default_value_t = 90)]
    pub settle_seconds: u64,
    /// Check only what is stored, not what open connections were pushed: for servers that do not guarantee it.
    #[arg(long)]
    pub stored_only: bool,
    /// Read nothing before this many seconds after the end of sending, and then all of it at once: for servers that remember for a while that a
    /// message was not there for whoever asked too early. The memory of a run grows with its messages.
    #[arg(long, value_name = "SECONDS")]
    pub read_after_end: Option<u64>,
}

impl Checks {
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_seconds)
    }

    /// How long nothing is read after a round.
    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_secs(self.read_after_end.unwrap_or(0))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) hung_up: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) pushed: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) packets: AtomicU64,
}

/// A run, shared by all that takes part in it.
pub struct Run {
    pub(crate) admin: Admin,
    pub(crate) load: Load,
    pub(crate) checks: Checks,
    pub(crate) tasks: TaskTracker,
    pub(crate) counts: Arc<Counts>,
    /// Cancelled when it is enough: nobody sends any more.
    pub enough: CancellationToken,
    /// After so many acknowledged messages it is.
    most: u64,
    gaps: Mutex<Latency>,
    found: Mutex<Found>,
    ended: OnceLock<Instant>,
    rooms: Vec<Vec<String>>,
    /// Writers and readers of streams.
    streams: Vec<[String; 2]>,
    groups: Mutex<Vec<String>>,
}

impl Run {
    /// Of users whose ids begin with `prefix` and some letters that no other run has.
    pub fn new(admin: Admin, load: Load, checks: Checks, prefix: &str, most: Option<u64>) -> Arc<Self> {
        let tag = &model::random_id()[..8];
        let pairs =
            (0..load.conversations).map(|i| vec![format!("{prefix}{tag}a{i}"), format!("{prefix}{tag}b{i}")]);
        let groups = (0..load.groups)
            .map(|group| (0..load.members).map(|member| format!("{prefix}{tag}g{group}m{member}")).collect());
        let rooms = pairs.chain(groups).collect();
        let streams =
            (0..load.streams.streams).map(|i| [format!("{prefix}{tag}w{i}"), format!("{prefix}{tag}r{i}")]);
        let streams = streams.collect();
        Arc::new(Self {
            admin,
            checks,
            tasks: TaskTracker::new(),
            counts: Arc::default(),
            enough: CancellationToken::new(),
            most: most.unwrap_or(u64::MAX),
            gaps: Mutex::default(),
            found: Mutex::default(),
            ended: OnceLock::new(),
            rooms,
            streams,
            groups: Mutex::default(),
            load,
        })
    }

    /// Ends the sending.
    pub fn end(&self) {
        self.ended.get_or_init(Instant::now);
        self.enough.cancel();
    }

    /// Messages acknowledged so far.
    pub fn so_far(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Until when what was sent may still be acknowledged; for ever while sending goes on.
    pub(crate) fn is_patient(&self) -> bool {
        self.ended.get().is_none_or(|ended| ended.elapsed() < PATIENCE)
    }

    pub(crate) fn acknowledged(&self, since_the_last: Duration) {
        self.gaps.lock().record(since_the_last);
        if self.counts.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 >= self.most {
            self.end();
        }
    }

    pub(crate) fn found(&self, conversation: &str, anomalies: impl IntoIterator<Item = Anomaly>) {
        for anomaly in anomalies {
            self.found.lock().note(conversation, &anomaly);
        }
    }

    /// Retries getting a token until the deadline.
    pub(crate) async fn token(&self, user: &str, deadline: Instant) -> anyhow::Result<String> {
        loop {
            match self.admin.token(user, PLATFORM).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(200)).await,
                asked => return asked,
            }
        }
    }

    fn users(&self) -> impl Iterator<Item = &String> {
        self.rooms.iter().flatten().chain(self.streams.iter().flatten())
    }

    fn is_group(&self, room: usize) -> bool {
        room >= self.load.conversations
    }

    async fn open(&self, number: usize, deadline: Instant) -> anyhow::Result<Room> {
        let users = &self.rooms[number];
        let mut group = String::new();
        if self.is_group(number) {
            group = self.admin.create_group(&users[0], &users[1..]).await?;
            self.groups.lock().push(group.clone());
        }
        Room::open(self, number, users, group, deadline).await
    }

    /// Makes the users, lets all rooms live until [`Run::end`], and tells what was found. `beside` is what happens meanwhile, from the first
    /// message on; when it fails, all ends.
    ///
    /// # Errors
    /// When the server cannot be used so that nothing can be said, or with the error of `beside`.
    pub async fn go<T>(
        &self,
        beside: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(Outcome, T)> {
        let users: Vec<String> = self.users().cloned().collect();
        self.admin.register(&users).await?;
        let deadline = Instant::now() + PATIENCE;
        let opening = futures::stream::iter(0..self.rooms.len()).map(|number| self.open(number, deadline));
        let rooms: Vec<Room> = opening.buffered(AT_ONCE).try_collect().await?;
        let started = Instant::now();
        let streams = self.streams.iter().map(|[writer, reader]| Streams::new(writer, reader).live(self));
        let lives = async {
            let rooms = try_join_all(rooms.into_iter().map(|room| room.live(self)));
            Ok::<_, anyhow::Error>(futures::try_join!(rooms, try_join_all(streams))?.0)
        };
        let (open, beside) = tokio::join!(async { lives.await.inspect_err(|_| self.end()) }, async {
            beside.await.inspect_err(|_| self.end())
        });
        let (open, beside) = (open?, beside?);
        let sending = self.ended.get().map_or_else(|| started.elapsed(), |ended| *ended - started);
        let found = self.found.lock().clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outcome = Outcome {
            seed: self.load.seed,
            conversations: self.load.conversations,
            groups: self.load.groups,
            seconds: started.elapsed().as_secs_f64(),
            sending_seconds: sending.as_secs_f64(),
            acknowledged: count(&self.counts.acknowledged),
            retried: count(&self.counts.retried),
            hung_up: count(&self.counts.hung_up),
            refused: count(&self.counts.refused),
            pushed: count(&self.counts.pushed),
            read: count(&self.counts.read),
            streams: count(&self.counts.streams),
            packets: count(&self.counts.packets),
            open_at_the_end: open.iter().sum(),
            gap_ms: self.gaps.lock().percentiles(),
            anomalies: found.all(),
            by_kind: found.by_kind,
            first: found.first,
        };
        Ok((outcome, beside))
    }

    /// Removes what the run left behind, as far as the API can: groups, messages, conversations and tokens. The users stay. Returns what could
    /// not be removed.
    pub async fn clean_up(&self) -> Vec<String> {
        let groups = self.groups.lock().clone();
        let dismissed = join_all(groups.iter().map(|group| {
            let body = json!({ "groupID": group, "deleteMember": true });
            async move { self.admin.call("/group/dismiss_group", &body).await }
        }));
        let mut left: Vec<String> = dismissed.await.into_iter().filter_map(told).collect();
        let users = self.users();
        let removed: Vec<Option<String>> = futures::stream::iter(users)
            .map(|user| async move {
                let both = json!({ "IsSyncSelf": true, "IsSyncOther": true });
                let clear = json!({ "userID": user, "deleteSyncOpt": both });
                let cleared = self.admin.call("/msg/user_clear_all_msg", &clear).await;
                let logout = json!({ "userID": user, "platformID": PLATFORM });
                told(cleared).or(told(self.admin.call("/auth/force_logout", &logout).await))
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        left.extend(removed.into_iter().flatten());
        left
    }
}

fn told<T>(done: anyhow::Result<T>) -> Option<String> {
    done.err().map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        checks: Checks,
    }

    fn round(options: &[&str], members: usize) -> (u64, Duration) {
        let words = Words::parse_from([&["checker"][..], options].concat());
        (words.load.of_a_round(members, &words.checks), words.checks.quiet())
    }

    #[test]
    fn a_run_that_reads_after_its_end_has_one_round() {
        assert_eq!(round(&[], 2), (1000, Duration::ZERO));
        assert_eq!(round(&["--round", "400"], 5), (100, Duration::ZERO));
        assert_eq!(round(&["--round", "1"], 5), (1, Duration::ZERO));
        assert_eq!(round(&["--read-after-end", "20"], 5), (u64::MAX, Duration::from_secs(20)));
    }
}

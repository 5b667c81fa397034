//! At-messages mark the conversations of mentioned users. That costs a write for each of them: it is done outside of the
//! partition, which only stores the job before its offset is committed. After a crash another process writes the marks.

use futures::StreamExt;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use model::Clock;
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use protocol::{Result, internal::MarkMentionsReq};
use rpc::{Context, Peers};
use store::{
    DAY_MS,
    jobs::{Job, Jobs},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Maximum messages whose marks wait in memory; others are read from their stored jobs.
const WAITING: usize = 1024;
/// Groups that are marked at a time.
const AT_ONCE: usize = 4;
/// Users that one call marks (`services/conversation/src/mentions.rs`): others that it names are passed over.
const MOST_NAMED: usize = protocol::bounds::AT_USERS;
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// How marks are kept.
const KIND: &str = "mentions";
/// What is not marked after this is anybody's.
const HELD_MS: i64 = 60_000;
/// How often it is looked for what others left.
const LOOK: Duration = Duration::from_secs(10);

/// Makes marks.
pub trait Marks: Send + Sync + 'static {
    /// Marks the conversations of mentioned users; idempotent.
    fn mark(&self, request: &MarkMentionsReq) -> impl Future<Output = Result<()>> + Send;
}

impl Marks for Peers {
    async fn mark(&self, request: &MarkMentionsReq) -> Result<()> {
        let context = Context::system(format!("transfer-mentions-{}", request.group_id));
        self.call(&context, request).await?;
        Ok(())
    }
}

/// The marks of one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// Of the message.
    pub(crate) id: String,
    pub(crate) request: MarkMentionsReq,
}

/// Where marks wait.
#[derive(Clone)]
pub struct Mentions {
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Wanted>,
}

impl Mentions {
    /// Starts the task that makes marks, until `stop` and until nothing waits in memory.
    pub fn start(
        marks: impl Marks,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        left_out: Counter,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let maker = Maker { marks, jobs: jobs.clone(), clock: clock.clone(), left_out };
        tasks.spawn(maker.run(waiting, stop));
        Self { jobs, clock, queue }
    }

    /// From then on a process that dies loses none of these.
    ///
    /// # Errors
    /// When they cannot be kept; repeating it changes nothing.
    pub(crate) async fn keep(&self, wanted: &[Wanted]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let now = self.clock.now_ms();
        let job = |wanted: &Wanted| Job {
            id: format!("{KIND}/{}", wanted.id),
            kind: KIND.into(),
            payload: wanted.request.encode_to_vec(),
            free_ms: now + HELD_MS,
            made_ms: now,
        };
        self.jobs.put(&wanted.iter().map(job).collect::<Vec<_>>()).await
    }

    /// Queues stored marks. Never waits: marks without room are read later from their jobs.
    pub(crate) fn begin(&self, wanted: Vec<Wanted>) {
        for wanted in wanted {
            if self.queue.try_send(wanted).is_err() {
                return;
            }
        }
    }
}

struct Maker<M> {
    marks: M,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    left_out: Counter,
}

impl<M: Marks> Maker<M> {
    async fn run(self, mut waiting: mpsc::Receiver<Wanted>, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wanted = Vec::new();
        loop {
            tokio::select! {
                biased;
                // In turn with new ones: what waits for a day is given up. Not at the end, when the queue goes first.
                _ = look.tick(), if !stop.is_cancelled() => wanted = self.left().await,
                taken = waiting.recv_many(&mut wanted, WAITING) => if taken == 0 { return },
                () = stop.cancelled() => return,
            }
            let merged = merge(wanted.drain(..));
            let each = futures::stream::iter(merged);
            each.for_each_concurrent(AT_ONCE, |merged| self.make(merged, &stop)).await;
        }
    }

    /// What others left, or this process had no room for.
    async fn left(&self) -> Vec<Wanted> {
        let now = self.clock.now_ms();
        let free = match self.jobs.free(KIND, now).await {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, "transfer.mentions_unknown");
                return vec![];
            }
        };
        let mut left = Vec::new();
        for job in free {
            let Ok(request) = MarkMentionsReq::decode(job.payload.as_slice()) else { continue };
            if now - job.made_ms > DAY_MS {
                tracing::error!(group = request.group_id, "transfer.mentions_left_out");
                self.left_out.inc();
                self.done(&[job.id]).await;
            } else if matches!(self.jobs.claim(&job, now + HELD_MS).await, Ok(true)) {
                let id = job.id.strip_prefix(&format!("{KIND}/")).unwrap_or_default().to_owned();
                left.push(Wanted { id, request });
            }
        }
        left
    }

    /// It is not retried forever: work that takes longer than a call would be restarted repeatedly. A job does it later.
    async fn make(&self, merged: Merged, stop: &CancellationToken) {
        let Merged { request, ids } = merged;
        for attempt in 1..=TRIES {
            let Err(error) = self.marks.mark(&request).await else {
                self.done(&ids).await;
                return;
            };
            tracing::warn!(group = request.group_id, attempt, %error, "transfer.mentions_not_marked");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE * attempt) => {}
            }
        }
    }

    async fn done(&self, ids: &[String]) {
        if let Err(error) = self.jobs.done(ids).await {
            tracing::warn!(%error, "transfer.mentions_made_again: they are still kept");
        }
    }
}

/// The marks of messages of one sender in one group.
#[derive(Debug, PartialEq)]
struct Merged {
    request: MarkMentionsReq,
    /// As they are kept.
    ids: Vec<String>,
}

/// Where more messages of a sender in a group are added.
struct Open {
    /// Which of those that are merged.
    at: usize,
    named: HashSet<String>,
}

impl Open {
    fn has_room_for(&self, users: &[String]) -> bool {
        let new: HashSet<&String> = users.iter().filter(|user| !self.named.contains(*user)).collect();
        self.named.len() + new.len() <= MOST_NAMED
    }
}

/// Many messages of a sender in a group become few, each of which names no more users than are marked at a time.
fn merge(wanted: impl Iterator<Item = Wanted>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    let mut open: HashMap<(String, String), Open> = HashMap::new();
    for Wanted { id, request } in wanted {
        let id = format!("{KIND}/{id}");
        let key = (request.group_id.clone(), request.send_id.clone());
        match open.get_mut(&key) {
            Some(known) if known.has_room_for(&request.at_user_ids) => {
                let Merged { request: all, ids } = &mut merged[known.at];
                ids.push(id);
                let users = request.at_user_ids.into_iter();
                all.at_user_ids.extend(users.filter(|user| known.named.insert(user.clone())));
            }
            _ => {
                let named = request.at_user_ids.iter().cloned().collect();
                open.insert(key, Open { at: merged.len(), named });
                merged.push(Merged { request, ids: vec![id] });
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::fake_jobs::Kept;

    fn wanted(id: &str, group: &str, sender: &str, named: &[&str]) -> Wanted {
        let request = MarkMentionsReq {
            group_id: group.into(),
            send_id: sender.into(),
            at_user_ids: named.iter().map(|user| (*user).to_owned()).collect(),
            announcement: false,
        };
        Wanted { id: id.into(), request }
    }

    #[derive(Clone, Default)]
    struct Rows {
        marked: Arc<Mutex<Vec<String>>>,
        /// So many calls from now on fail.
        failing: Arc<AtomicU32>,
    }

    impl Marks for Rows {
        async fn mark(&self, request: &MarkMentionsReq) -> Result<()> {
            let fails =
                self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if fails.is_ok() {
                return Err(protocol::Error::internal("not now"));
            }
            self.marked.lock().extend(request.at_user_ids.iter().cloned());
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Time(Arc<AtomicI64>);

    impl Clock for Time {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[derive(Clone, Default)]
    struct World {
        kept: Kept,
        rows: Rows,
        time: Time,
        left_out: Counter,
    }

    impl World {
        fn process(&self, tasks: &TaskTracker, stop: &CancellationToken) -> Mentions {
            let (jobs, clock) = (Arc::new(self.kept.clone()), Arc::new(self.time.clone()));
            Mentions::start(self.rows.clone(), jobs, clock, self.left_out.clone(), tasks, stop.clone())
        }

        /// One that keeps marks and dies.
        async fn killed_after_keeping(&self, wanted: &[Wanted]) {
            let (queue, _nobody_takes_them) = mpsc::channel(1);
            let (jobs, clock) = (Arc::new(self.kept.clone()), Arc::new(self.time.clone()));
            Mentions { jobs, clock, queue }.keep(wanted).await.unwrap();
        }

        fn pass(&self, ms: i64) {
            self.time.0.fetch_add(ms, Ordering::Relaxed);
        }

        /// Runs a process until nothing is kept any more.
        async fn until_nothing_is_kept(&self) {
            let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
            let _process = self.process(&tasks, &stop);
            for _ in 0..1000 {
                tokio::time::sleep(LOOK).await;
                self.pass(LOOK.as_millis() as i64);
                if self.kept.ids().is_empty() {
                    break;
                }
            }
            stop.cancel();
            tasks.close();
            tasks.wait().await;
            assert!(self.kept.ids().is_empty());
        }
    }

    #[test]
    fn many_messages_of_a_sender_in_a_group_become_one() {
        let storm = (0..20).map(|number| wanted(&number.to_string(), "g", "a", &["AtAllTag"]));
        let others = [
            wanted("x", "g", "a", &["b", "AtAllTag"]),
            wanted("y", "g", "b", &["a"]),
            wanted("z", "h", "a", &["b"]),
        ];
        let mut merged = merge(storm.chain(others));
        merged.sort_by_key(|merged| (merged.request.group_id.clone(), merged.request.send_id.clone()));
        let found: Vec<(Vec<String>, usize)> =
            merged.into_iter().map(|merged| (merged.request.at_user_ids, merged.ids.len())).collect();
        let named = |users: &[&str]| users.iter().map(|user| (*user).to_owned()).collect::<Vec<_>>();
        assert_eq!(found, [(named(&["AtAllTag", "b"]), 21), (named(&["a"]), 1), (named(&["b"]), 1)]);
    }

    #[test]
    fn all_who_are_named_are_marked_however_many_messages_name_them() {
        const MESSAGES: usize = 20;
        let names = |range: std::ops::Range<usize>| range.map(|number| format!("u{number}")).collect();
        let message = |number: usize, at_user_ids: Vec<String>| {
            let one = wanted(&number.to_string(), "g", "a", &[]);
            Wanted { request: MarkMentionsReq { at_user_ids, ..one.request }, ..one }
        };
        // Each names others.
        let storm = (0..MESSAGES).map(|number| message(number, names(number * 1000..number * 1000 + 1000)));
        let known = (0..MESSAGES).map(|number| message(MESSAGES + number, names(0..3)));
        let merged = merge(storm.chain(known));
        assert!(merged.iter().all(|merged| merged.request.at_user_ids.len() <= MOST_NAMED));
        let named: HashSet<&String> = merged.iter().flat_map(|merged| &merged.request.at_user_ids).collect();
        assert_eq!(named.len(), MESSAGES * 1000);
        assert_eq!(merged.iter().map(|merged| merged.ids.len()).sum::<usize>(), 2 * MESSAGES);
        assert_eq!(merged.len(), MESSAGES + 1, "what names few is merged");
    }

    #[tokio::test(start_paused = true)]
    async fn marks_of_a_process_that_dies_are_made_by_another() {
        let world = World::default();
        world
            .killed_after_keeping(&[wanted("sg_g/1", "g", "a", &["b"]), wanted("sg_g/2", "g", "a", &["c"])])
            .await;
        assert_eq!(world.kept.ids().len(), 2);
        world.until_nothing_is_kept().await;
        assert_eq!(*world.rows.marked.lock(), ["b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_step_fails_the_marks_are_made_and_nothing_remains() {
        for failing in 0..12 {
            let world = World::default();
            world.killed_after_keeping(&[wanted("sg_g/1", "g", "a", &["b"])]).await;
            world.kept.failing.store(failing, Ordering::Relaxed);
            world.rows.failing.store(failing, Ordering::Relaxed);
            world.until_nothing_is_kept().await;
            assert!(world.rows.marked.lock().iter().all(|user| user == "b"));
            assert!(!world.rows.marked.lock().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_never_waits_for_marks_and_none_is_lost() {
        let world = World::default();
        let (queue, _nobody_takes_them) = mpsc::channel(2);
        let (jobs, clock) = (Arc::new(world.kept.clone()), Arc::new(world.time.clone()));
        let mentions = Mentions { jobs, clock, queue };
        let storm: Vec<Wanted> = (0..5)
            .map(|number| wanted(&format!("sg_g/{number}"), "g", "a", &[&number.to_string()]))
            .collect();
        mentions.keep(&storm).await.unwrap();
        mentions.begin(storm);
        world.until_nothing_is_kept().await;
        assert_eq!(world.rows.marked.lock().len(), 5);
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_the_callers_to_repeat() {
        let world = World::default();
        world.kept.failing.store(1, Ordering::Relaxed);
        let (queue, _nobody_takes_them) = mpsc::channel(1);
        let (jobs, clock) = (Arc::new(world.kept.clone()), Arc::new(world.time.clone()));
        let mentions = Mentions { jobs, clock, queue };
        let one = [wanted("sg_g/1", "g", "a", &["b"])];
        assert!(mentions.keep(&one).await.is_err());
        assert!(mentions.keep(&one).await.is_ok() && mentions.keep(&one).await.is_ok());
        assert_eq!(world.kept.ids(), ["mentions/sg_g/1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_that_fail_for_a_day_are_left_out() {
        let world = World::default();
        world.killed_after_keeping(&[wanted("sg_g/1", "g", "a", &["b"])]).await;
        world.pass(DAY_MS + 1);
        world.until_nothing_is_kept().await;
        assert_eq!((world.left_out.get(), world.rows.marked.lock().len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_is_marked_however_many_new_ones_come() {
        struct Slow(Arc<Mutex<Vec<String>>>);
        impl Marks for Slow {
            async fn mark(&self, request: &MarkMentionsReq) -> Result<()> {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.0.lock().push(request.group_id.clone());
                Ok(())
            }
        }
        let (kept, marked) = (Kept::default(), Arc::default());
        let clock: Arc<dyn Clock> = Arc::new(model::SystemClock);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let now = clock.now_ms();
        let left = Job {
            id: format!("{KIND}/left/1"),
            kind: KIND.into(),
            payload: wanted("left/1", "left", "a", &["b"]).request.encode_to_vec(),
            free_ms: now - 1,
            made_ms: now - 1,
        };
        kept.put(&[left]).await.unwrap();
        let slow = Slow(Arc::clone(&marked));
        let mentions = Mentions::start(slow, Arc::new(kept), clock, Counter::default(), &tasks, stop.clone());
        // Something waits before the task first looks, and ever after.
        for number in 0..120 {
            mentions.begin(vec![wanted(&format!("new/{number}"), &format!("new{number}"), "a", &["b"])]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(marked.lock().contains(&"left".to_owned()));
        stop.cancel();
    }
}

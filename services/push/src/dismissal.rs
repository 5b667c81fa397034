//! A dismissed group loses its members after they have been notified: a separate job, because a large group takes longer than its
//! partition can wait. It is stored before its offset is committed: after a crash another process completes it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use model::Clock;
use parking_lot::Mutex;
use protocol::{ErrorCode, group::DismissGroupReq};
use rpc::{Context, Peers};
use store::jobs::{Job, Jobs};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// A partition waits so long for it: long enough for an ordinary group, whose removal then is done before the offset is committed.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How a removal is kept.
const KIND: &str = "dismissal";
/// Of one that has made no attempt for this long, the process has ended.
const HELD_MS: i64 = 120_000;
/// How often it is looked for those that others left.
const LOOK: Duration = Duration::from_secs(10);

/// Removes members.
#[rpc::async_trait]
pub trait Removes: Send + Sync + 'static {
    /// Removes as many as one call allows; each call gets further than the previous one.
    async fn remove_members(&self, group: &str, context: &Context) -> protocol::Result<()>;
}

#[rpc::async_trait]
impl Removes for Peers {
    async fn remove_members(&self, group: &str, context: &Context) -> protocol::Result<()> {
        let request = DismissGroupReq { group_id: group.into(), delete_member: true, send_message: None };
        self.call(context, &request).await?;
        Ok(())
    }
}

/// Removes the members of dismissed groups.
#[derive(Clone)]
pub struct Dismissals {
    groups: Arc<dyn Removes>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Groups whose members are being removed: a repeated notification does not restart it.
    running: Arc<Mutex<HashSet<String>>>,
}

impl Dismissals {
    /// Removal runs in `tasks`, until `stop`.
    pub fn new(
        groups: Arc<dyn Removes>,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { groups, jobs, clock, tasks, stop, running: Arc::default() }
    }

    /// Returns when it is done, or is stored and continues in the background.
    ///
    /// # Errors
    /// When it cannot be kept; repeating it changes nothing.
    pub(crate) async fn begin(&self, group: &str, context: Context) -> protocol::Result<()> {
        self.keep(group).await?;
        if !self.running.lock().insert(group.to_owned()) {
            return Ok(());
        }
        let operation_id = &context.operation_id;
        let span = tracing::error_span!(parent: None, "job", job = "dismissal", operation_id);
        let removing = self.clone().remove_members(group.to_owned(), context);
        let job = self.tasks.spawn(removing.instrument(span));
        if tokio::time::timeout(PATIENCE, job).await.is_err() {
            tracing::info!(group, "push.dismissal_goes_on");
        }
        Ok(())
    }

    async fn keep(&self, group: &str) -> protocol::Result<()> {
        let now = self.clock.now_ms();
        let (id, payload) = (id_of(group), group.as_bytes().to_vec());
        let job = Job { id, kind: KIND.into(), payload, free_ms: now + HELD_MS, made_ms: now };
        self.jobs.put(&[job]).await
    }

    /// Completes, until the end of the process, what crashed processes left unfinished.
    pub async fn take_up(self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let left = self.jobs.free(KIND, self.clock.now_ms()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "push.dismissals_unknown");
                vec![]
            });
            for job in left {
                let group = String::from_utf8_lossy(&job.payload).into_owned();
                tracing::info!(group, "push.dismissal_carried_on");
                let context = Context::system(format!("dismissal-{}", model::random_id()));
                if let Err(error) = self.begin(&group, context).await {
                    tracing::warn!(group, %error, "push.dismissal_not_carried_on");
                }
            }
        }
    }

    async fn remove_members(self, group: String, context: Context) {
        let mut pause = FIRST_PAUSE;
        loop {
            let removed = self.groups.remove_members(&group, &context).await;
            let outcome = match removed {
                // Nothing is left of a group that does not exist.
                Err(error) if is_gone(&error) => Ok(()),
                removed => removed,
            };
            let kept = match outcome {
                Ok(()) => self.jobs.done(&[id_of(&group)]).await,
                Err(error) => self.keep(&group).await.and(Err(error)),
            };
            let Err(error) = kept else { break };
            tracing::warn!(group, %error, retry_in = ?pause, "push.dismissal_failed");
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.running.lock().remove(&group);
    }
}

fn id_of(group: &str) -> String {
    format!("{KIND}/{group}")
}

fn is_gone(error: &protocol::Error) -> bool {
    [ErrorCode::RecordNotFound, ErrorCode::GroupNotFound].contains(&error.code)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use model::SystemClock;
    use tokio::time::Instant;

    use super::*;
    use crate::fake_jobs::Kept;

    /// Members that are left, of which a call removes some and then fails.
    #[derive(Clone)]
    struct Group {
        left: Arc<AtomicU32>,
        works: bool,
    }

    #[rpc::async_trait]
    impl Removes for Group {
        async fn remove_members(&self, _: &str, _: &Context) -> protocol::Result<()> {
            let less = |left: u32| self.works.then_some(left.saturating_sub(1));
            let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            if before.is_ok_and(|left| left <= 1) {
                Ok(())
            } else {
                Err(protocol::Error::internal("not all of them"))
            }
        }
    }

    struct Process {
        dismissals: Dismissals,
        tasks: TaskTracker,
        stop: CancellationToken,
    }

    impl Process {
        fn start(kept: &Kept, group: &Group) -> Self {
            let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
            let (jobs, clock) = (Arc::new(kept.clone()), Arc::new(Later));
            let dismissals =
                Dismissals::new(Arc::new(group.clone()), jobs, clock, tasks.clone(), stop.clone());
            Self { dismissals, tasks, stop }
        }

        async fn end(self) {
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    /// Every look is one of a later day.
    struct Later;

    impl Clock for Later {
        fn now_ms(&self) -> i64 {
            static LOOKS: AtomicU32 = AtomicU32::new(0);
            SystemClock.now_ms() + i64::from(LOOKS.fetch_add(1, Ordering::Relaxed)) * 2 * HELD_MS
        }
    }

    fn group(left: u32, works: bool) -> Group {
        Group { left: Arc::new(AtomicU32::new(left)), works }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_service_that_is_away_holds_up_nobody() {
        let (kept, away) = (Kept::default(), group(1, false));
        let process = Process::start(&kept, &away);
        let began = Instant::now();
        for _ in 0..2 {
            process.dismissals.begin("g", Context::system("o")).await.unwrap();
        }
        assert!(began.elapsed() < 3 * PATIENCE, "{:?}", began.elapsed());
        assert!(process.dismissals.running.lock().contains("g"), "it goes on");
        let running = process.dismissals.running.clone();
        process.end().await;
        assert!(running.lock().is_empty());
        assert_eq!(kept.ids(), ["dismissal/g"], "somebody else carries it on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_process_leaves_half_way_is_carried_on_and_nothing_remains() {
        for failing in 0..8 {
            let (kept, half_way) = (Kept::default(), group(3, false));
            let first = Process::start(&kept, &half_way);
            first.dismissals.begin("g", Context::system("o")).await.unwrap();
            first.end().await;
            kept.failing.store(failing, Ordering::Relaxed);
            let group = Group { works: true, ..half_way };
            let second = Process::start(&kept, &group);
            second.tasks.spawn(second.dismissals.clone().take_up());
            while !kept.ids().is_empty() {
                tokio::time::sleep(LOOK).await;
            }
            assert_eq!(group.left.load(Ordering::Relaxed), 0);
            second.end().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_kept_is_not_begun() {
        let (kept, group) = (Kept::default(), group(1, true));
        kept.failing.store(1, Ordering::Relaxed);
        let process = Process::start(&kept, &group);
        assert!(process.dismissals.begin("g", Context::system("o")).await.is_err());
        assert_eq!(group.left.load(Ordering::Relaxed), 1);
        process.dismissals.begin("g", Context::system("o")).await.unwrap();
        assert_eq!((group.left.load(Ordering::Relaxed), kept.ids().len()), (0, 0));
        process.end().await;
    }
}

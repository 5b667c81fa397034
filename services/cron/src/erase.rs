//! Erases users, as started by `/user/unregister_user` and `openim-server erase-user`, step by step. Each step is small,
//! idempotent, and saved before the next. Everything is searched twice, a day apart: messages accepted before the user was erased
//! may be stored later (docs/adr/0021).

mod hooks;
mod scrub;
mod steps;

use std::time::Duration;

use protocol::Result;
use store::erasures::{Erasure, Stage};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::Cron;
pub use hooks::tells_what_user_did;
use steps::Conversations;

/// From one look for jobs to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Cron {
    /// Works on jobs until `stop`.
    pub(crate) async fn erase(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let worked = match self.store.take_erasure(self.clock.now_ms()).await {
                Ok(Some(job)) => {
                    let span = tracing::error_span!(
                        "job",
                        job = "erase",
                        operation_id = job.operation_id,
                        caller = job.by
                    );
                    self.carry_on(job, stop).instrument(span).await
                }
                Ok(None) => Ok(false),
                Err(error) => Err(error.into()),
            };
            match worked {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "erase.failed: retrying"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Does steps of a job as long as it is ours and there is something to do now.
    async fn carry_on(&self, mut job: Erasure, stop: &CancellationToken) -> Result<bool> {
        let mut conversations = Conversations::default();
        while !stop.is_cancelled() {
            let next = match self.step_of(&job, &mut conversations).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(user = job.user_id, stage = ?job.stage, %error, "erase.step_failed: retrying");
                    job.failed(&error.to_string(), self.clock.now_ms())
                }
            };
            if !self.store.save_erasure(&job, &next).await? {
                return Ok(true);
            }
            note(&job, &next);
            // Asked with the time of now: the step took some.
            if !next.problem.is_empty() || !next.goes_on(self.clock.now_ms()) {
                return Ok(true);
            }
            job = next;
        }
        Ok(true)
    }

    async fn step_of(&self, job: &Erasure, conversations: &mut Conversations) -> Result<Erasure> {
        let step = self.step(job, conversations).await?;
        let at_the_end = step.cursor.is_none() && job.stage.next().is_none() && job.pass > 1;
        let clean = at_the_end && self.nothing_is_left(&job.user_id).await?;
        Ok(job.after(&step, clean, self.clock.now_ms()))
    }
}

/// The end of a pass, in the audit log.
fn note(before: &Erasure, after: &Erasure) {
    if before.stage != Stage::Files || after.stage != Stage::Doors {
        return;
    }
    let (user, by) = (&after.user_id, &after.by);
    let (state, erased) = (after.state(), &after.erased);
    tracing::info!(target: "audit", user, by, state, ?erased, "user.erased");
}

//! After hooks that were set aside: each is retried separately, with growing pauses, until it is accepted or a day old. They are
//! stored as jobs, so that they survive a crash.

use std::time::Duration;

use futures::StreamExt;
use store::jobs::Job;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Record,
    deliver::{Deliverer, Sends, Sent},
};

/// The kind of job as which they are kept.
pub(crate) const KIND: &str = "hook";
/// Maximum number of records set aside, of all hooks; more wait in their places.
const MOST_ASIDE: u64 = 10_000;
/// Whoever set one aside tries it this long before others do, and says so again: longer than two calls and the longest pause.
pub(crate) const HELD_MS: i64 = 70_000;
/// Longer than the timeout of a call.
const CLAIMED_MS: i64 = 60_000;
/// How often it is looked for those that are due.
const LOOK: Duration = Duration::from_secs(5);
/// Calls at a time.
const AT_ONCE: usize = 8;
pub(crate) const SHORTEST_PAUSE_MS: i64 = 30_000;
const LONGEST_PAUSE_MS: i64 = 3_600_000;

fn id_of(record: &Record) -> String {
    format!("{KIND}/{}/{}", record.hook, record.key)
}

fn job(record: &Record, free_ms: i64) -> Job {
    Job {
        id: id_of(record),
        kind: KIND.into(),
        payload: serde_json::to_vec(record).unwrap_or_default(),
        free_ms,
        made_ms: record.since,
    }
}

/// Half as long as it is old: a record of a day was tried some thirty times.
fn pause_ms(age_ms: i64) -> i64 {
    (age_ms / 2).clamp(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS)
}

impl<S: Sends> Deliverer<S> {
    /// Keeps a record; `false`: it cannot be kept now.
    pub(crate) async fn keep(&self, record: &Record) -> bool {
        let kept = async {
            if self.jobs.count(KIND).await? >= MOST_ASIDE {
                return Ok(false);
            }
            self.jobs.put(&[job(record, self.clock.now_ms() + HELD_MS)]).await?;
            Ok(true)
        };
        let kept: protocol::Result<bool> = kept.await;
        kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "webhook.not_set_aside");
            false
        })
    }

    /// These are tried by their owner for a time, or from now on by anybody.
    pub(crate) async fn hold(&self, records: impl Iterator<Item = &Record>, ms: i64) {
        let ids: Vec<String> = records.map(id_of).collect();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.jobs.hold(&ids, self.clock.now_ms() + ms).await {
            // Their time ends by itself.
            tracing::warn!(%error, "webhook.not_held");
        }
    }

    pub(crate) async fn done(&self, record: &Record) {
        if let Err(error) = self.jobs.done(&[id_of(record)]).await {
            tracing::warn!(%error, "webhook.told_again: it is still kept");
        }
    }

    pub(crate) async fn try_those_aside(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.jobs.free(KIND, self.clock.now_ms()).await {
                Ok(due) => {
                    let each = futures::stream::iter(due);
                    each.for_each_concurrent(AT_ONCE, |job| self.try_one(job)).await;
                }
                Err(error) => tracing::warn!(%error, "webhook.aside_unknown"),
            }
        }
    }

    async fn try_one(&self, kept: Job) {
        let until = self.clock.now_ms() + CLAIMED_MS;
        if !matches!(self.jobs.claim(&kept, until).await, Ok(true)) {
            return;
        }
        let record = match Record::read(&kept.payload) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "webhook.undecodable_record");
                return;
            }
        };
        let span = record.span();
        self.try_record(record).instrument(span).await;
    }

    async fn try_record(&self, record: Record) {
        match self.webhooks.send(&record).await {
            Sent::Taken => self.metrics.delivered.inc(),
            Sent::Never(None) => 0,
            Sent::Never(Some(error)) | Sent::Refused(error) => {
                self.give_up(&record, &error);
                0
            }
            Sent::NotTaken(error) if self.is_past(&record) => {
                self.give_up(&record, &error);
                0
            }
            Sent::NotTaken(error) => {
                tracing::warn!(error, "webhook.retried");
                self.metrics.retried.inc();
                let age = self.clock.now_ms() - record.since;
                self.hold(std::iter::once(&record), pause_ms(age)).await;
                return;
            }
        };
        self.done(&record).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_day_was_tried_a_few_dozen_times() {
        let (mut age, mut tries) = (0, 0);
        while age < crate::deliver::MAX_AGE_MS {
            age += pause_ms(age);
            tries += 1;
        }
        assert!((30..50).contains(&tries), "{tries}");
    }
}

//! Collection `erasure`: users being erased, and reports of finished erasures. A row is a job: its holder works in small steps
//! and saves the progress after each, so that another process can continue after a crash.

use std::{collections::BTreeMap, time::Duration};

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use crate::{DAY_MS, DateTime, Page, Result, Store, collections::ERASURE, millis};

/// How long the report of an erasure is kept.
const KEPT: Duration = Duration::from_millis(400 * DAY_MS as u64);
/// A job's holder saves at least this often; after this time another process takes it.
const HELD_MS: i64 = 60 * 1000;
/// Between the two passes over everything. What was accepted before the user was gone, and waits in Kafka, is stored by then.
const SETTLES_MS: i64 = DAY_MS;
/// Delay before a failed job is retried.
const AGAIN_MS: i64 = 60 * 1000;
/// Delay before an incomplete pass is repeated.
const LATER_MS: i64 = 3600 * 1000;
/// Longest problem that is kept, in bytes.
const PROBLEM_BYTES: usize = 1000;

/// What a step is about, in the order of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody comes in as this user any more: profile, tokens, connections.
    Doors,
    /// Memberships.
    Groups,
    /// Those who have the user as a friend.
    Friends,
    /// Messages that the user sent.
    Messages,
    /// The user's data in others' messages, reactions, marks.
    Traces,
    /// Read positions and bounds.
    Windows,
    /// The user's own rows.
    Rows,
    /// Files.
    Files,
}

impl Stage {
    /// The next one of a pass; `None` at its end.
    pub fn next(self) -> Option<Self> {
        Some(match self {
            Self::Doors => Self::Groups,
            Self::Groups => Self::Friends,
            Self::Friends => Self::Messages,
            Self::Messages => Self::Traces,
            Self::Traces => Self::Windows,
            Self::Windows => Self::Rows,
            Self::Rows => Self::Files,
            Self::Files => return None,
        })
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// The erased user.
    #[serde(rename = "_id")]
    pub user_id: String,
    /// Who asked for it.
    pub by: String,
    /// Of the request that asked for it.
    pub operation_id: String,
    /// When it was requested.
    pub begun: DateTime,
    /// 1, or 2 for what came late.
    pub pass: i32,
    /// How far the pass is.
    pub stage: Stage,
    /// How far the stage is; empty at its beginning.
    pub cursor: String,
    /// What went, by kind.
    #[serde(default)]
    pub erased: BTreeMap<String, i64>,
    /// When the job is due.
    pub due: DateTime,
    /// Nothing is left to do.
    #[serde(default)]
    pub ended: Option<DateTime>,
    /// Why the last step failed; empty when it did not.
    #[serde(default)]
    pub problem: String,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What went: kind and number.
    pub erased: Vec<(&'static str, u64)>,
    /// Where the stage continues; `None` at its end.
    pub cursor: Option<String>,
}

impl Step {
    /// The stage is through.
    pub fn last(kind: &'static str, count: u64) -> Self {
        Self { erased: vec![(kind, count)], cursor: None }
    }
}

impl Erasure {
    /// A job that has not started, of a user with a profile.
    pub fn new(user: &str, by: &str, operation_id: &str, now_ms: i64) -> Self {
        Self {
            user_id: user.to_owned(),
            by: by.to_owned(),
            operation_id: operation_id.to_owned(),
            begun: DateTime::from_millis(now_ms),
            pass: 1,
            stage: Stage::Doors,
            cursor: String::new(),
            erased: BTreeMap::from([("profiles".to_owned(), 1)]),
            due: DateTime::from_millis(now_ms),
            ended: None,
            problem: String::new(),
        }
    }

    /// The same job after a step. `clean`: nothing that can still be found is left, asked at the end of a pass.
    #[must_use]
    pub fn after(&self, step: &Step, clean: bool, now_ms: i64) -> Self {
        let mut next = Self { problem: String::new(), ..self.clone() };
        for (kind, count) in step.erased.iter().filter(|(_, count)| *count > 0) {
            *next.erased.entry((*kind).to_owned()).or_default() += i64::try_from(*count).unwrap_or(i64::MAX);
        }
        next.due = DateTime::from_millis(now_ms + HELD_MS);
        next.cursor = step.cursor.clone().unwrap_or_default();
        if step.cursor.is_some() {
            return next;
        }
        if let Some(stage) = self.stage.next() {
            next.stage = stage;
            return next;
        }
        next.stage = Stage::Doors;
        match (self.pass, clean) {
            (1, _) => {
                next.pass = 2;
                next.due = DateTime::from_millis(now_ms + SETTLES_MS);
            }
            (_, true) => next.ended = Some(DateTime::from_millis(now_ms)),
            (_, false) => next.due = DateTime::from_millis(now_ms + LATER_MS),
        }
        next
    }

    /// The same job after a step that failed.
    #[must_use]
    pub fn failed(&self, problem: &str, now_ms: i64) -> Self {
        let mut end = problem.len().min(PROBLEM_BYTES);
        while !problem.is_char_boundary(end) {
            end -= 1;
        }
        let due = DateTime::from_millis(now_ms + AGAIN_MS);
        Self { problem: problem[..end].to_owned(), due, ..self.clone() }
    }

    /// `erasing`; `settling`: everything went, what may still come is waited for; `erased`.
    pub fn state(&self) -> &'static str {
        match (self.ended, self.pass) {
            (Some(_), _) => "erased",
            (None, 1) => "erasing",
            (None, _) => "settling",
        }
    }

    /// Whether its holder may continue now.
    pub fn goes_on(&self, now_ms: i64) -> bool {
        self.ended.is_none() && millis(self.due) <= now_ms + HELD_MS
    }
}

fn serialized(job: &Erasure) -> Result<Document> {
    Ok(bson::serialize_to_document(job).map_err(mongodb::error::Error::custom)?)
}

impl Store {
    pub(crate) async fn ensure_erasure_indexes(&self) -> Result<()> {
        self.index(ERASURE, doc! { "due": 1 }).await?;
        self.expiring(ERASURE, "ended", KEPT).await
    }

    /// Begins to erase a user, unless that is under way; the report of an earlier time is replaced.
    pub async fn begin_erasure(&self, job: &Erasure) -> Result<()> {
        self.documents(ERASURE).delete_one(doc! { "_id": &job.user_id, "ended": { "$ne": null } }).await?;
        let mut row = serialized(job)?;
        row.remove("_id");
        let insert = doc! { "$setOnInsert": row };
        let filter = doc! { "_id": &job.user_id };
        let jobs = self.documents(ERASURE);
        racing!(jobs.update_one(filter.clone(), insert.clone()).upsert(true))?;
        Ok(())
    }

    /// The jobs of users, also those that have ended.
    pub async fn erasures(&self, users: &[String]) -> Result<Vec<Erasure>> {
        let jobs = self.typed(ERASURE);
        Ok(jobs.find(doc! { "_id": { "$in": users } }).await?.try_collect().await?)
    }

    /// A part of the users who were erased or are being erased, or of those among `ids`, the latest first, and how many there are. Ids that
    /// are registered again are omitted.
    pub async fn erased(&self, ids: &[String], part: Page) -> Result<(Vec<Erasure>, u64)> {
        let mut filter = doc! { "$or": [{ "reused": { "$ne": true } }, { "ended": null }] };
        if !ids.is_empty() {
            filter.insert("_id", doc! { "$in": ids });
        }
        let jobs = self.typed(ERASURE);
        let total = jobs.count_documents(filter.clone()).await?;
        let found = jobs.find(filter).sort(doc! { "begun": -1, "_id": 1 }).skip(part.skip).limit(part.limit);
        Ok((self.collect(found.await?).await?, total))
    }

    /// Ids that were erased once are registered again; the reports stay.
    pub async fn reuse_ids(&self, ids: &[String]) -> Result<()> {
        let filter = doc! { "_id": { "$in": ids }, "ended": { "$ne": null } };
        self.documents(ERASURE).update_many(filter, doc! { "$set": { "reused": true } }).await?;
        Ok(())
    }

    /// Which of these users are being erased: their ids cannot be used yet.
    pub async fn being_erased(&self, users: &[String]) -> Result<Option<String>> {
        let filter = doc! { "_id": { "$in": users }, "ended": null };
        let found: Option<Erasure> = self.typed(ERASURE).find_one(filter).await?;
        Ok(found.map(|job| job.user_id))
    }

    /// Takes a job that is due, for a minute.
    pub async fn take_erasure(&self, now_ms: i64) -> Result<Option<Erasure>> {
        let filter = doc! { "ended": null, "due": { "$lte": DateTime::from_millis(now_ms) } };
        let hold = doc! { "$set": { "due": DateTime::from_millis(now_ms + HELD_MS) } };
        let jobs = self.typed::<Erasure>(ERASURE);
        let taken = jobs.find_one_and_update(filter, hold).sort(doc! { "due": 1 });
        Ok(taken.return_document(ReturnDocument::After).await?)
    }

    /// Saves how far a job is; `false` when somebody else has gone on with it.
    pub async fn save_erasure(&self, before: &Erasure, after: &Erasure) -> Result<bool> {
        let filter = doc! { "_id": &before.user_id, "begun": before.begun, "due": before.due };
        let jobs = self.documents(ERASURE);
        Ok(jobs.replace_one(filter, serialized(after)?).await?.matched_count > 0)
    }

    /// Restarts the erasures that a restore may have undone, because the backup still contained those users.
    pub async fn erase_again_since(&self, backup_ms: i64, now_ms: i64) -> Result<u64> {
        let since = DateTime::from_millis(backup_ms);
        let filter = doc! { "$or": [{ "ended": null }, { "ended": { "$gte": since } }] };
        let now = DateTime::from_millis(now_ms);
        let again = doc! { "pass": 1, "stage": "doors", "cursor": "", "due": now, "ended": null };
        let jobs = self.documents(ERASURE);
        Ok(jobs.update_many(filter, doc! { "$set": again }).await?.matched_count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn more(cursor: &str) -> Step {
        Step { erased: vec![("messages", 2)], cursor: Some(cursor.into()) }
    }

    #[test]
    fn a_job_goes_through_every_stage_twice_and_ends_a_day_later() {
        let (mut job, mut stages, mut now) = (Erasure::new("alice", "root", "op", 1000), vec![], 1000);
        while job.ended.is_none() {
            assert!(stages.len() < 100);
            stages.push((job.pass, job.stage));
            now = now.max(millis(job.due) - HELD_MS);
            job = job.after(&more("x"), true, now);
            assert_eq!((job.cursor.as_str(), job.stage), ("x", stages[stages.len() - 1].1));
            job = job.after(&Step::last("friends", 1), true, now);
        }
        assert_eq!(stages.len(), 16);
        assert_eq!(stages[..8].iter().map(|(_, stage)| *stage).collect::<Vec<_>>(), {
            let all = std::iter::successors(Some(Stage::Doors), |stage| stage.next());
            all.collect::<Vec<_>>()
        });
        assert!(millis(job.ended.unwrap()) >= 1000 + SETTLES_MS - HELD_MS);
        assert_eq!((job.erased["messages"], job.erased["friends"], job.state()), (32, 16, "erased"));
    }

    #[test]
    fn what_is_left_keeps_a_job_open_and_a_failure_is_told() {
        let last = Erasure { pass: 2, stage: Stage::Files, ..Erasure::new("alice", "root", "op", 0) };
        let open = last.after(&Step::last("files", 0), false, 0);
        assert_eq!((open.ended, open.pass, open.state()), (None, 2, "settling"));
        assert!(millis(open.due) == LATER_MS && !open.goes_on(0));
        assert!(!open.erased.contains_key("files"), "nothing is not told");
        let failed = last.failed(&"ü".repeat(PROBLEM_BYTES), 0);
        assert!(failed.problem.len() <= PROBLEM_BYTES && failed.stage == Stage::Files);
        assert_eq!(failed.after(&Step::last("files", 1), true, 0).problem, "");
    }

    #[test]
    fn who_holds_a_job_goes_on_until_the_end_of_a_pass() {
        let job = Erasure::new("alice", "root", "op", 0);
        let next = job.after(&more("x"), true, 700);
        assert!(next.goes_on(700) && next.goes_on(900), "however long the step took");
        let end = Erasure { stage: Stage::Files, ..next }.after(&Step::last("files", 0), true, 1000);
        assert!(!end.goes_on(1000), "the second pass is a day later");
        let last = Erasure { pass: 2, stage: Stage::Files, ..end }.after(&Step::last("files", 0), true, 1000);
        assert!(last.ended.is_some() && !last.goes_on(1000));
    }

    proptest! {
        /// Whoever dies between a step and its record makes the step again: steps are such that this changes nothing but numbers.
        #[test]
        fn a_job_that_dies_anywhere_is_carried_on_to_its_end(deaths in prop::collection::vec(any::<bool>(), 64)) {
            let (mut job, mut now) = (Erasure::new("alice", "root", "op", 0), 0);
            let mut done: Vec<(i32, Stage)> = vec![];
            for dies in deaths.into_iter().chain(std::iter::repeat_n(false, 16)) {
                now = now.max(millis(job.due));
                if job.ended.is_some() {
                    break;
                }
                done.push((job.pass, job.stage));
                if !dies {
                    job = job.after(&Step::last("messages", 1), true, now);
                }
            }
            prop_assert!(job.ended.is_some());
            done.dedup();
            prop_assert_eq!(done.len(), 16, "each stage of each pass, in order");
        }
    }
}

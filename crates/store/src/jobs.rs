//! Collection `job`: started work that another process completes after a crash. The process working on a job stores the time from
//! which others may take it, and extends it in time. Jobs are idempotent: they may run twice.

use bson::{Binary, Document, doc, spec::BinarySubtype};
use faults::mutants::{Mutant, is_on};
use futures::{FutureExt, Stream, TryStreamExt, future::BoxFuture};
use protocol::Result;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Store, collections::JOB, millis};

/// What nobody finishes is dropped after this, in seconds.
const KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
/// Jobs that are looked at in one go.
const AT_A_TIME: i64 = 500;
/// Rows of an answer of MongoDB: their payloads are in memory at a time.
const ROWS: u32 = 16;
/// Payloads of one look, in bytes; one is in it however long it is.
const ROOM: usize = 8 << 20;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// One that is put again under its id is the same.
    pub id: String,
    /// Who knows how to do it.
    pub kind: String,
    /// What it is about, as its kind writes it.
    pub payload: Vec<u8>,
    /// From then on it is anybody's, in milliseconds since 1970.
    pub free_ms: i64,
    /// When it was put first, in milliseconds since 1970.
    pub made_ms: i64,
}

/// Where jobs are kept.
pub trait Jobs: Send + Sync + 'static {
    /// Stores jobs; existing ones become available at the given time.
    fn put<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Result<()>>;
    /// Some of those that are anybody's now, the oldest first.
    fn free<'a>(&'a self, kind: &'a str, now_ms: i64) -> BoxFuture<'a, Result<Vec<Job>>>;
    /// Nobody else takes it before `until_ms`; `false`: it is gone, or somebody was faster.
    fn claim<'a>(&'a self, job: &'a Job, until_ms: i64) -> BoxFuture<'a, Result<bool>>;
    /// These are held until then, those of them that are still there.
    fn hold<'a>(&'a self, ids: &'a [String], until_ms: i64) -> BoxFuture<'a, Result<()>>;
    /// It is done.
    fn done<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<()>>;
    /// How many there are of a kind.
    fn count<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<u64>>;
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    id: String,
    kind: String,
    payload: Binary,
    free: DateTime,
    made: DateTime,
}

impl From<Row> for Job {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            payload: row.payload.bytes,
            free_ms: millis(row.free),
            made_ms: millis(row.made),
        }
    }
}

/// Takes bytes out of what is left; whether anything is.
fn leaves_room(room: &mut usize, bytes: usize) -> bool {
    *room = room.saturating_sub(bytes);
    *room > 0
}

fn time(ms: i64) -> DateTime {
    DateTime::from_millis(ms)
}

impl Jobs for Store {
    fn put<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Result<()>> {
        let upsert = |job: &Job| {
            let payload = Binary { subtype: BinarySubtype::Generic, bytes: job.payload.clone() };
            let update = doc! {
                "$set": { "kind": &job.kind, "payload": payload, "free": time(job.free_ms) },
                "$setOnInsert": { "made": time(job.made_ms) },
            };
            (doc! { "_id": &job.id }, update)
        };
        let updates: Vec<(Document, Document)> = jobs.iter().map(upsert).collect();
        async move { Ok(self.upsert_many(JOB, updates).await?) }.boxed()
    }

    fn free<'a>(&'a self, kind: &'a str, now_ms: i64) -> BoxFuture<'a, Result<Vec<Job>>> {
        async move {
            let filter = doc! { "kind": kind, "free": { "$lte": time(now_ms) } };
            let rows_of = self.typed::<Row>(JOB);
            let find = rows_of.find(filter).sort(doc! { "free": 1 }).limit(AT_A_TIME).batch_size(ROWS);
            let mut rows = find.await.map_err(crate::StoreError)?;
            let (mut jobs, mut room) = (Vec::new(), ROOM);
            while let Some(row) = rows.try_next().await.map_err(crate::StoreError)? {
                let bytes = row.payload.bytes.len();
                jobs.push(Job::from(row));
                if !leaves_room(&mut room, bytes) {
                    break;
                }
            }
            Ok(jobs)
        }
        .boxed()
    }

    fn claim<'a>(&'a self, job: &'a Job, until_ms: i64) -> BoxFuture<'a, Result<bool>> {
        async move {
            let mut as_seen = doc! { "_id": &job.id, "free": time(job.free_ms) };
            if is_on(Mutant::LeaseIgnored) {
                as_seen.remove("free");
            }
            let update = doc! { "$set": { "free": time(until_ms) } };
            let claimed = self.documents(JOB).update_one(as_seen, update).await;
            Ok(claimed.map_err(crate::StoreError)?.matched_count > 0)
        }
        .boxed()
    }

    fn hold<'a>(&'a self, ids: &'a [String], until_ms: i64) -> BoxFuture<'a, Result<()>> {
        async move {
            let update = doc! { "$set": { "free": time(until_ms) } };
            let held = self.documents(JOB).update_many(doc! { "_id": { "$in": ids } }, update).await;
            held.map_err(crate::StoreError)?;
            Ok(())
        }
        .boxed()
    }

    fn done<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<()>> {
        async move {
            for ids in ids.chunks(1000) {
                let gone = self.documents(JOB).delete_many(doc! { "_id": { "$in": ids } }).await;
                gone.map_err(crate::StoreError)?;
            }
            Ok(())
        }
        .boxed()
    }

    fn count<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<u64>> {
        async move {
            let counted = self.documents(JOB).count_documents(doc! { "kind": kind }).await;
            Ok(counted.map_err(crate::StoreError)?)
        }
        .boxed()
    }
}

/// Payloads that are in memory at once while jobs are looked through.
const FEW: u32 = 5;

impl Store {
    /// Jobs of a kind whose ids begin with that kind and a slash, after an id, in the order of ids; at most `most`, or all of them with 0.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached.
    pub async fn jobs_after(
        &self,
        kind: &str,
        after: &str,
        most: i64,
    ) -> crate::Result<impl Stream<Item = crate::Result<Job>> + Unpin + use<>> {
        let from = after.max(&format!("{kind}/")).to_owned();
        let filter = doc! { "_id": { "$gt": from, "$lt": format!("{kind}0") }, "kind": kind };
        let rows_of = self.typed::<Row>(JOB);
        let rows = rows_of.find(filter).sort(doc! { "_id": 1 }).limit(most).batch_size(FEW).await?;
        Ok(rows.map_ok(Job::from).map_err(crate::StoreError))
    }

    /// Puts another payload in the place of the one that was read; `false` when the job is gone or has another one by now.
    ///
    /// # Errors
    /// When MongoDB refuses or cannot be reached; repeating it changes nothing.
    pub async fn replace_payload(&self, job: &Job, payload: Vec<u8>) -> crate::Result<bool> {
        let binary = |bytes| Binary { subtype: BinarySubtype::Generic, bytes };
        let as_read = doc! { "_id": &job.id, "payload": binary(job.payload.clone()) };
        let update = doc! { "$set": { "payload": binary(payload) } };
        Ok(self.documents(JOB).update_one(as_read, update).await?.matched_count > 0)
    }

    pub(crate) async fn ensure_job_indexes(&self) -> crate::Result<()> {
        self.index(JOB, doc! { "kind": 1, "free": 1 }).await?;
        self.expiring(JOB, "made", KEPT).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ends_when_there_is_no_room() {
        let mut room = ROOM;
        assert!(
            leaves_room(&mut room, ROOM / 2) && !leaves_room(&mut room, ROOM) && !leaves_room(&mut room, 1)
        );
    }
}

//! Jobs in memory, for the tests of services that start them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use protocol::{Error, Result};
use store::jobs::{Job, Jobs};

/// What it keeps outlives whoever uses it.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) jobs: Arc<Mutex<BTreeMap<String, Job>>>,
    /// So many calls from now on fail.
    pub(crate) failing: Arc<AtomicU32>,
}

impl Kept {
    fn step(&self) -> Result<()> {
        let failing =
            self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if failing.is_ok() { Err(Error::internal("not now")) } else { Ok(()) }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.jobs.lock().keys().cloned().collect()
    }
}

impl Jobs for Kept {
    fn put<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Result<()>> {
        async move {
            self.step()?;
            let mut kept = self.jobs.lock();
            for job in jobs {
                let made_ms = kept.get(&job.id).map_or(job.made_ms, |known| known.made_ms);
                kept.insert(job.id.clone(), Job { made_ms, ..job.clone() });
            }
            Ok(())
        }
        .boxed()
    }

    fn free<'a>(&'a self, kind: &'a str, now_ms: i64) -> BoxFuture<'a, Result<Vec<Job>>> {
        async move {
            self.step()?;
            let kept = self.jobs.lock();
            let mut free: Vec<Job> =
                kept.values().filter(|job| job.kind == kind && job.free_ms <= now_ms).cloned().collect();
            free.sort_by_key(|job| job.free_ms);
            Ok(free)
        }
        .boxed()
    }

    fn claim<'a>(&'a self, job: &'a Job, until_ms: i64) -> BoxFuture<'a, Result<bool>> {
        async move {
            self.step()?;
            let mut kept = self.jobs.lock();
            let found = kept.get_mut(&job.id).filter(|known| known.free_ms == job.free_ms);
            Ok(found.map(|known| known.free_ms = until_ms).is_some())
        }
        .boxed()
    }

    fn hold<'a>(&'a self, ids: &'a [String], until_ms: i64) -> BoxFuture<'a, Result<()>> {
        async move {
            self.step()?;
            let mut kept = self.jobs.lock();
            kept.values_mut().filter(|job| ids.contains(&job.id)).for_each(|job| job.free_ms = until_ms);
            Ok(())
        }
        .boxed()
    }

    fn done<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<()>> {
        async move {
            self.step()?;
            self.jobs.lock().retain(|id, _| !ids.contains(id));
            Ok(())
        }
        .boxed()
    }

    fn count<'a>(&'a self, kind: &'a str) -> BoxFuture<'a, Result<u64>> {
        async move {
            self.step()?;
            Ok(self.jobs.lock().values().filter(|job| job.kind == kind).count() as u64)
        }
        .boxed()
    }
}

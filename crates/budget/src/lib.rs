//! Memory budgets. Work that exceeds a budget waits briefly and is then refused as busy: a refused caller retries, whereas an
//! OOM-killed process loses the work of all its callers.
//!
//! A budget counts data whose size depends on others: requests, responses, frames, batches. It is a fraction of the process's
//! memory limit ([`limit`]); the rest is for data with limits of its own, and for copies.

mod limit;
mod metrics;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

pub use limit::share_of_process;
pub use metrics::BudgetMetrics;
use metrics::Counted;

/// There is no room now; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// A budget of bytes held concurrently; cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: usize,
    used: AtomicUsize,
    /// Tells those who wait that something was given back.
    freed: Notify,
    counted: Counted,
}

/// How full a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Less than half is held.
    Low,
    /// More than half.
    Some,
    /// More than three quarters.
    High,
    /// All of it.
    Full,
    /// The limit plus a quarter, for data counted without a check.
    Over,
}

impl Budget {
    /// A budget of so many bytes that nobody counts.
    pub fn new(limit: usize) -> Self {
        Self::counted(limit, Counted::default())
    }

    fn counted(limit: usize, counted: Counted) -> Self {
        counted.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Self(Arc::new(Inner { limit, used: AtomicUsize::new(0), freed: Notify::new(), counted }))
    }

    /// Takes bytes if there is room. One that is alone always has it, however large it is: it would never get any.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn take(&self, bytes: usize) -> Result<Held, Busy> {
        let mut held = self.nothing();
        held.grow(bytes)?;
        Ok(held)
    }

    /// [`Budget::take`] that waits for room, at most for `patience`.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn take_within(&self, bytes: usize, patience: Duration) -> Result<Held, Busy> {
        tokio::time::timeout(patience, self.wait(bytes)).await.map_err(|_elapsed| self.refused())
    }

    /// [`Budget::take`] that waits for room.
    pub async fn wait(&self, bytes: usize) -> Held {
        self.wait_beside(bytes, 0).await;
        Held { budget: self.clone(), bytes }
    }

    /// Waits until so many are added for one who holds `own`.
    async fn wait_beside(&self, bytes: usize, own: usize) {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if self.add(bytes, own) {
                return;
            }
            freed.await;
        }
    }

    /// Counts data that is already held and can no longer be refused; later requests find less room.
    pub fn hold(&self, bytes: usize) -> Held {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        self.0.counted.held(bytes);
        Held { budget: self.clone(), bytes }
    }

    /// Counts bytes until their last clone is dropped.
    pub fn hold_bytes(&self, bytes: Bytes) -> Bytes {
        let held = self.hold(bytes.len());
        Bytes::from_owner(Owner { bytes, _held: held })
    }

    /// Holds nothing yet.
    pub fn nothing(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// How full it is.
    pub fn pressure(&self) -> Pressure {
        let (used, quarter) = (self.used(), self.0.limit / 4);
        match used {
            used if used < quarter * 2 => Pressure::Low,
            used if used < quarter * 3 => Pressure::Some,
            used if used < self.0.limit => Pressure::High,
            used if used < quarter * 5 => Pressure::Full,
            _over => Pressure::Over,
        }
    }

    /// Adds to what is held, of which `own` is whose it becomes.
    fn add(&self, bytes: usize, own: usize) -> bool {
        let fits = |used: usize| {
            let after = used.checked_add(bytes)?;
            (used <= own || after <= self.0.limit).then_some(after)
        };
        let added = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if added {
            self.0.counted.held(bytes);
        }
        added
    }

    fn refused(&self) -> Busy {
        self.0.counted.refused.inc();
        Busy
    }
}

/// Bytes that are given back when this is dropped.
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    /// Takes more.
    ///
    /// # Errors
    /// [`Busy`]; the previous amount stays counted.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        if self.budget.add(bytes, self.bytes) {
            self.bytes += bytes;
            return Ok(());
        }
        Err(self.budget.refused())
    }

    /// [`Held::grow`] that waits for room, at most for `patience`.
    ///
    /// # Errors
    /// [`Busy`]; the previous amount stays counted.
    pub async fn grow_within(&mut self, bytes: usize, patience: Duration) -> Result<(), Busy> {
        let budget = self.budget.clone();
        let own = self.bytes;
        let wait = budget.wait_beside(bytes, own);
        tokio::time::timeout(patience, wait).await.map_err(|_elapsed| budget.refused())?;
        self.bytes += bytes;
        Ok(())
    }

    /// Releases everything above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(more) = self.bytes.checked_sub(bytes) {
            self.budget.0.counted.given_back(more);
            self.budget.0.used.fetch_sub(more, Ordering::AcqRel);
            self.budget.0.freed.notify_waiters();
            self.bytes = bytes;
        }
    }

    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

struct Owner {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_something_may_wait_for_more() {
        let budget = Budget::new(10);
        let (mut mine, others) = (budget.take(2).unwrap(), budget.take(7).unwrap());
        assert_eq!(mine.grow_within(5, Duration::from_secs(1)).await, Err(Busy));
        assert_eq!((mine.bytes(), budget.used()), (2, 9), "what it has stays");
        let freed = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(others);
        };
        let (grown, ()) = tokio::join!(mine.grow_within(5, Duration::from_secs(1)), freed);
        assert_eq!((grown, mine.bytes(), budget.used()), (Ok(()), 7, 7));
        assert_eq!(mine.grow_within(50, Duration::ZERO).await, Ok(()), "it is alone");
        drop(mine);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_refused_and_room_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).unwrap();
        assert_eq!(budget.take(5).err(), Some(Busy));
        first.grow(4).unwrap();
        assert_eq!((first.grow(1), budget.used(), first.bytes()), (Ok(()), 11, 11), "it is alone");
        first.shrink_to(2);
        let second = budget.take(8).unwrap();
        assert_eq!(first.grow(1), Err(Busy));
        drop(first);
        drop(second);
        assert_eq!((budget.used(), budget.0.counted.in_use.get()), (0, 0));
        assert_eq!(budget.0.counted.refused.get(), 2);
    }

    #[test]
    fn one_alone_always_has_room_and_what_is_there_is_counted() {
        let budget = Budget::new(10);
        let large = budget.take(1000).unwrap();
        assert_eq!(budget.take(0).err(), Some(Busy));
        drop(large);
        let answer = budget.hold(100);
        assert_eq!((budget.take(1).err(), budget.pressure()), (Some(Busy), Pressure::Over));
        drop(answer);
        assert!(budget.take(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_gets_what_others_give_back_or_is_told() {
        let budget = Budget::new(10);
        let held = budget.take(10).unwrap();
        let patience = Duration::from_millis(500);
        assert_eq!(budget.take_within(1, patience).await.err(), Some(Busy));
        let gives_back = async {
            tokio::time::sleep(patience / 2).await;
            drop(held);
        };
        let (got, ()) = tokio::join!(budget.take_within(9, patience), gives_back);
        assert_eq!(got.unwrap().bytes(), 9);
    }

    #[test]
    fn shared_bytes_are_held_once_and_until_the_last_is_gone() {
        let budget = Budget::new(8);
        let frame = budget.hold_bytes(Bytes::from_static(b"abcd"));
        let copies: Vec<Bytes> = (0..100).map(|_| frame.clone()).collect();
        assert_eq!(
            (budget.used(), budget.pressure(), &copies[99][..]),
            (4, Pressure::Some, b"abcd".as_slice())
        );
        drop(frame);
        assert_eq!(budget.used(), 4);
        drop(copies);
        assert_eq!((budget.used(), budget.pressure()), (0, Pressure::Low));
    }
}

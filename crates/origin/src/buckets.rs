//! Rate limits per caller.

use std::{borrow::Borrow, hash::Hash, sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// Number of buckets kept; beyond it, the callers with the fewest requests are dropped and start with a full one.
const MOST: u64 = 100_000;
/// After this idle time a bucket is full: filling takes at most a minute.
const IDLE: Duration = Duration::from_secs(120);
/// Most seconds' worth that a bucket holds.
const LONGEST_BURST: u32 = 60;

/// A bucket for each asker, an address or a user; cheap to clone.
pub struct Buckets<K>(Option<Arc<Inner<K>>>);

struct Inner<K> {
    per_second: u32,
    burst: u32,
    buckets: Cache<K, Arc<Mutex<Bucket>>>,
}

/// The remaining allowance of a caller: refilled every second, up to its size.
pub struct Bucket {
    per_second: f64,
    holds: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full one that holds what flows in within `burst` seconds.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        let holds = per_second * f64::from(burst);
        Self { per_second, holds, left: holds, at: Instant::now() }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * self.per_second).min(self.holds);
        self.at = now;
    }

    /// What costs more than there is left is paid for by waiting afterwards.
    pub fn take(&mut self, cost: f64) {
        self.refill();
        self.left -= cost;
    }

    /// Whether anything was in it when it was looked into last.
    pub fn is_open(&self) -> bool {
        self.left >= 1.0
    }

    /// Waits until there is something in it.
    pub async fn ready(&mut self) {
        while !self.is_open() {
            sleep(Duration::from_secs_f64((1.0 - self.left) / self.per_second + 0.001)).await;
            self.refill();
        }
    }
}

/// The bucket is empty. In a second there is something in it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// What flows into it in a second.
    pub per_second: u32,
}

impl<K> Clone for Buckets<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Eq + Send + Sync + 'static> Buckets<K> {
    /// `per_second` for each, `burst` seconds' worth at once; 0: no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        if per_second == 0 {
            return Self(None);
        }
        let burst = burst.clamp(1, LONGEST_BURST);
        let buckets = Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build();
        Self(Some(Arc::new(Inner { per_second, burst, buckets })))
    }

    /// Takes `cost`, of which no more counts than what flows in within a second. Whoever finds anything in the bucket takes all of it, and
    /// waits the longer afterwards: so dear requests are not starved by cheap ones.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn take<Q>(&self, asker: &Q, cost: u32) -> Result<(), Exhausted>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let Some(inner) = &self.0 else { return Ok(()) };
        let full = || Arc::new(Mutex::new(Bucket::new(inner.per_second, inner.burst)));
        let bucket = inner.buckets.get_with_by_ref(asker, full);
        let mut bucket = bucket.lock();
        bucket.refill();
        if !bucket.is_open() {
            return Err(Exhausted { per_second: inner.per_second });
        }
        bucket.take(f64::from(cost.min(inner.per_second)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_asker_is_stopped_and_the_others_are_not() {
        let buckets = Buckets::<String>::new(5, 1);
        assert_eq!((0..20).filter(|_| buckets.take("busy", 1).is_ok()).count(), 5);
        assert_eq!(buckets.take("busy", 1), Err(Exhausted { per_second: 5 }));
        assert!(buckets.take("quiet", 1).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..20).filter(|_| buckets.take("busy", 1).is_ok()).count(), 5);
        let unlimited = Buckets::<String>::new(0, 1);
        assert!((0..1000).all(|_| unlimited.take("busy", 100).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dear_empties_the_bucket_sooner_and_a_second_always_helps() {
        let buckets = Buckets::<String>::new(100, 1);
        assert_eq!((0..20).filter(|_| buckets.take("u", 20).is_ok()).count(), 5);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..20).filter(|_| buckets.take("u", 1000).is_ok()).count(), 1, "no more than a second's");
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(buckets.take("u", 1).is_ok());
        assert!((0..100).any(|_| buckets.take("u", 1000).is_err()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(buckets.take("u", 1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_much_is_paid_for_by_waiting() {
        let mut bucket = Bucket::new(100, 1);
        bucket.take(1.0);
        assert!(bucket.is_open());
        let start = Instant::now();
        bucket.take(300.0);
        assert!(!bucket.is_open());
        bucket.ready().await;
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_quiet_may_ask_more_at_once() {
        let buckets = Buckets::<String>::new(10, 5);
        assert_eq!((0..100).filter(|_| buckets.take("u", 1).is_ok()).count(), 50);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((0..100).filter(|_| buckets.take("u", 1).is_ok()).count(), 20);
    }

    #[tokio::test]
    async fn many_addresses_take_no_more_room_than_the_table_has() {
        let buckets = Buckets::<u32>::new(10, 5);
        for address in 0..300_000 {
            assert!(buckets.take(&address, 1).is_ok());
        }
        let table = &buckets.0.as_ref().unwrap().buckets;
        table.run_pending_tasks();
        assert!(table.entry_count() <= MOST + MOST / 10, "{}", table.entry_count());
    }
}

//! Facts by scope and item, limited in bytes. What many ask for at once is read once.
//!
//! A scope has a generation, a number that only grows. Whoever announces a change ends the generation: what was read before, or is being
//! read, belongs to the old one, which nobody asks for any more.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use protocol::{Error, Result};

use crate::FactMetrics;

/// Memory limit, in bytes.
const FACTS_BYTES: u64 = 128 << 20;
/// What an entry takes beside its texts, in bytes.
const ENTRY: usize = 320;
/// Generations; scopes that share one forget together.
const GENERATIONS: usize = 1 << 16;
/// Changes are announced: this bounds only for how long one is believed whose announcement was lost.
const LIFETIME: Duration = Duration::from_secs(300);

/// What can be kept.
pub(crate) trait Kept: Clone + Send + Sync + 'static {
    /// Bytes of its texts; `None` if it must be read each time.
    fn bytes(&self) -> Option<usize>;
}

/// The generation, and the names of scope and item.
type Key = (u64, String);

/// See the module; cheap to clone.
#[derive(Clone)]
pub(crate) struct FactCache<F> {
    generations: Arc<[AtomicU64]>,
    /// Nobody can choose users who share a generation.
    hashes: RandomState,
    facts: Cache<Key, F>,
    listening: Arc<AtomicBool>,
    metrics: FactMetrics,
}

/// What must not be kept has expired when it comes.
struct Lifetimes;

impl<F: Kept> Expiry<Key, F> for Lifetimes {
    fn expire_after_create(&self, _key: &Key, fact: &F, _now: Instant) -> Option<Duration> {
        Some(if fact.bytes().is_some() { LIFETIME } else { Duration::ZERO })
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl<F: Kept> FactCache<F> {
    /// Nobody listens to changes yet, so nothing is kept.
    pub(crate) fn new(metrics: FactMetrics) -> Self {
        let generations = (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect();
        let facts = Cache::builder()
            .max_capacity(FACTS_BYTES)
            .weigher(|(_, names): &Key, fact: &F| weight(ENTRY + names.len() + fact.bytes().unwrap_or(0)))
            .expire_after(Lifetimes)
            .build();
        Self { generations, hashes: RandomState::new(), facts, listening: Arc::default(), metrics }
    }

    /// From now on every change is heard of. What is cached may have changed unheard.
    pub(crate) fn begin_listening(&self) {
        self.all_changed();
        self.listening.store(true, Ordering::Release);
    }

    /// Changes are not heard of any more.
    pub(crate) fn end_listening(&self) {
        self.listening.store(false, Ordering::Release);
        self.all_changed();
    }

    fn all_changed(&self) {
        for generation in self.generations.iter() {
            generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The facts of a scope have changed.
    pub(crate) fn changed(&self, scope: &str) {
        self.generation(scope).fetch_add(1, Ordering::AcqRel);
    }

    fn generation(&self, scope: &str) -> &AtomicU64 {
        &self.generations[self.hashes.hash_one(scope) as usize % GENERATIONS]
    }

    fn key(&self, scope: String, item: &str) -> Key {
        let generation = self.generation(&scope).load(Ordering::Acquire);
        let mut names = scope;
        names.push('\0');
        names.push_str(item);
        (generation, names)
    }

    /// A fact that is kept.
    pub(crate) async fn known(&self, scope: String, item: &str) -> Option<F> {
        if !self.keeps() {
            return None;
        }
        let fact = self.facts.get(&self.key(scope, item)).await?;
        self.metrics.hits.inc();
        Some(fact)
    }

    /// Whether what is read now is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    /// A fact; `load` reads it.
    ///
    /// # Errors
    /// Those of `load`, its own or that of another who was already reading.
    pub(crate) async fn get(
        &self,
        scope: String,
        item: &str,
        load: impl Future<Output = Result<F>> + Send,
    ) -> Result<F> {
        if !self.keeps() {
            self.metrics.misses.inc();
            return load.await;
        }
        // The generation is known before the store is read: a change announced meanwhile ends this very one.
        let key = self.key(scope, item);
        if let Some(fact) = self.facts.get(&key).await {
            self.metrics.hits.inc();
            return Ok(fact);
        }
        self.metrics.misses.inc();
        let entry = self.facts.entry(key).or_try_insert_with(load).await;
        entry.map(moka::Entry::into_value).map_err(|error: Arc<Error>| Error::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    /// Bytes of texts, or one that must not be kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Fact(Option<usize>, usize);

    impl Kept for Fact {
        fn bytes(&self) -> Option<usize> {
            self.0
        }
    }

    /// A store that counts how often it is read: each reading is another fact.
    #[derive(Default)]
    struct Store(AtomicUsize);

    impl Store {
        async fn read(&self, bytes: Option<usize>) -> Result<Fact> {
            tokio::task::yield_now().await;
            Ok(Fact(bytes, self.0.fetch_add(1, Ordering::Relaxed) + 1))
        }
    }

    fn cache() -> FactCache<Fact> {
        FactCache::new(FactMetrics::default())
    }

    #[tokio::test]
    async fn a_fact_is_read_once_until_its_scope_changes() {
        let (cache, store) = (cache(), Store::default());
        let get = async |scope: &str, item: &str, bytes| {
            cache.get(scope.into(), item, store.read(bytes)).await.unwrap().1
        };
        assert_eq!(
            (get("user:a", "", Some(1)).await, get("user:a", "", Some(1)).await),
            (1, 2),
            "nobody listens"
        );
        cache.begin_listening();
        let apart = |scope: &&str| !std::ptr::eq(cache.generation(scope), cache.generation("user:a"));
        let other = ["user:b", "user:d", "user:e"].into_iter().find(apart).unwrap();
        assert_eq!((get("user:a", "", Some(1)).await, get("user:a", "", Some(1)).await), (3, 3));
        assert_eq!(get("user:a", "black:b", Some(1)).await, 4);
        assert_eq!(get(other, "", Some(1)).await, 5);
        cache.changed("user:a");
        assert_eq!((get("user:a", "", Some(1)).await, get("user:a", "black:b", Some(1)).await), (6, 7));
        assert_eq!(get(other, "", Some(1)).await, 5, "of another scope");
        assert_eq!((get("user:c", "", None).await, get("user:c", "", None).await), (8, 9), "not to be kept");
        assert!(cache.known(other.into(), "").await.is_some());
        cache.end_listening();
        assert!(cache.known(other.into(), "").await.is_none());
        cache.begin_listening();
        assert_eq!(get(other, "", Some(1)).await, 10, "it may have changed meanwhile");
    }

    #[tokio::test]
    async fn what_many_ask_for_at_once_is_read_once() {
        let (cache, store) = (cache(), Store::default());
        cache.begin_listening();
        let asked = (0..50).map(|_| cache.get("group:g".into(), "", store.read(Some(1))));
        assert!(join_all(asked).await.into_iter().all(|fact| fact.unwrap().1 == 1));
        assert_eq!(store.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_changes_while_it_is_read_is_read_again() {
        let (cache, go_on) = (cache(), Notify::new());
        cache.begin_listening();
        let slow = async {
            go_on.notified().await;
            Ok(Fact(Some(1), 1))
        };
        let change = async {
            tokio::task::yield_now().await;
            cache.changed("user:a");
            go_on.notify_one();
        };
        let (read, ()) = futures::join!(cache.get("user:a".into(), "", slow), change);
        assert_eq!(read.unwrap().1, 1, "as it was when it was asked for");
        let now = cache.get("user:a".into(), "", async { Ok(Fact(Some(1), 2)) }).await;
        assert_eq!(now.unwrap().1, 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let cache = cache();
        cache.begin_listening();
        let failed = cache.get("user:a".into(), "", async { Err(Error::internal("away")) }).await;
        assert!(failed.is_err());
        assert!(cache.get("user:a".into(), "", async { Ok(Fact(Some(1), 1)) }).await.is_ok());
    }

    #[tokio::test]
    async fn one_with_more_facts_than_others_keeps_them_and_all_together_are_limited() {
        let (cache, store) = (cache(), Store::default());
        cache.begin_listening();
        for round in 0..2 {
            for peer in 0..1000 {
                let read = store.read(Some(1));
                let fact = cache.get("user:bot".into(), &format!("black:{peer}"), read).await.unwrap();
                assert_eq!(fact.1, peer + 1, "round {round}");
            }
        }
        for number in 0..40 {
            let read = store.read(Some(8 << 20));
            cache.get(format!("user:{number}"), "", read).await.unwrap();
        }
        cache.facts.run_pending_tasks().await;
        assert!(cache.facts.weighted_size() <= FACTS_BYTES);
    }
}

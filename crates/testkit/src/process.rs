//! A process of a service: it lives until one of its steps kills it, and what its steps meet is drawn from its own seed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use faults::fate::{Fate, Fates, Kind};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_util::sync::CancellationToken;

/// What is to happen to a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// It dies at its step with this number, from 1.
    pub dies_at: Option<u64>,
    /// So many of a thousand steps fail in some way.
    pub trouble: u32,
    /// A step takes up to so many milliseconds.
    pub slow_ms: u64,
}

/// Whether anything goes wrong any more: a test ends when everything has caught up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather(Arc<AtomicBool>);

impl Weather {
    pub(crate) fn clears(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_fair(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct Process {
    name: String,
    plan: Plan,
    weather: Weather,
    chance: Mutex<StdRng>,
    steps: AtomicU64,
    /// Nothing that it does has an effect any more.
    dead: CancellationToken,
    journal: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn new(
        name: String,
        plan: Plan,
        seed: u64,
        weather: Weather,
        journal: Arc<Mutex<Vec<String>>>,
    ) -> Arc<Self> {
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        let (steps, dead) = (AtomicU64::new(0), CancellationToken::new());
        Arc::new(Self { name, plan, weather, chance, steps, dead, journal })
    }

    /// How many steps it has taken.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Returns when it is dead.
    pub async fn died(&self) {
        self.dead.cancelled().await;
    }

    fn pause(&self) -> Duration {
        let slow = if self.weather.is_fair() { 1 } else { self.plan.slow_ms };
        Duration::from_millis(self.chance.lock().random_range(0..=slow))
    }

    fn draw(&self, kind: Kind, what: &str) -> Fate {
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if self.weather.is_fair() {
            return Fate::Done;
        }
        let mut chance = self.chance.lock();
        let fate = if self.plan.dies_at == Some(step) {
            if chance.random() { Fate::DiesBefore } else { Fate::DiesAfter }
        } else if chance.random_range(0..1000) < self.plan.trouble {
            let fates: &[Fate] = match kind {
                Kind::Read => &[Fate::Refused],
                Kind::Write => &[Fate::Refused, Fate::Lost, Fate::Half, Fate::Conflict],
                Kind::Produce => &[Fate::Refused, Fate::Lost, Fate::Twice],
                Kind::Commit | Kind::Call => &[Fate::Refused, Fate::Lost],
                Kind::Consume => &[Fate::Done],
            };
            fates[chance.random_range(0..fates.len())]
        } else {
            Fate::Done
        };
        if fate != Fate::Done {
            self.journal.lock().push(format!("{} step {step}, {kind:?} {what}: {fate:?}", self.name));
        }
        fate
    }
}

#[async_trait::async_trait]
impl Fates for Process {
    async fn step(&self, kind: Kind, what: &str) -> Fate {
        tokio::time::sleep(self.pause()).await;
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        self.draw(kind, what)
    }

    fn at_once(&self, kind: Kind, what: &str) -> Fate {
        self.draw(kind, what)
    }

    fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    fn die(&self) {
        self.dead.cancel();
    }
}

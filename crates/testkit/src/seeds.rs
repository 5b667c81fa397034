//! Many schedules, on all cores.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use faults::mutants::{Mutant, plant};

use crate::{Outcome, Settings, run};

/// Names the one seed to run.
const SEED: &str = "TESTKIT_SEED";
/// How many schedules a test runs.
const RUNS: &str = "TESTKIT_RUNS";

/// So many schedules, unless [`RUNS`] says otherwise.
pub fn runs(usual: u64) -> u64 {
    number(RUNS).unwrap_or(usual)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

/// Runs schedules until one is wrong; the first that is, with its settings. With a seed in the environment only that one is run.
pub fn explore(mutant: Option<Mutant>, all: &[Settings]) -> Option<(Settings, Outcome)> {
    let only = number(SEED).map(|seed| vec![Settings { seed, only: None }]);
    let all = only.as_deref().unwrap_or(all);
    let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
    let first: Mutex<Option<(u64, Settings, Outcome)>> = Mutex::new(None);
    let work = || {
        let _planted = plant(mutant);
        while !found.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(settings) = all.get(number as usize) else { return };
            let outcome = run(*settings);
            if outcome.wrong.is_empty() {
                continue;
            }
            found.store(true, Ordering::Relaxed);
            let mut first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if first.as_ref().is_none_or(|(before, ..)| number < *before) {
                *first = Some((number, *settings, outcome));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(all.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let first = first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    first.map(|(_, settings, outcome)| (settings, outcome))
}

//! Each planted fault is found, by the schedules or by a test of what it breaks; without one the same tests are green.

use std::{panic::AssertUnwindSafe, sync::Arc};

use faults::mutants::{Mutant, plant};
use store::jobs::{Job, Jobs};

use crate::{handlers, schedules};
use testkit::{Settings, World, explore};

/// Schedules of a fault that they are to find. The same seeds, and more, are green without one in `schedules.rs`.
const SCHEDULES: u64 = 600;

/// Who finds a fault.
enum Finder {
    Schedules,
    Test(fn() -> Checked),
}

type Checked = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn finder(mutant: Mutant) -> Finder {
    match mutant {
        Mutant::CommitBeforeWrite
        | Mutant::NoDeduplication
        | Mutant::SeqGivenTwice
        | Mutant::AudienceForgotten
        | Mutant::ConflictSwallowed
        | Mutant::AcknowledgedUnstored
        | Mutant::CountersBeforeMessages
        | Mutant::OthersConflictSwallowed
        | Mutant::NewestMovesBack => Finder::Schedules,
        Mutant::MissedForgotten => Finder::Test(|| Box::pin(schedules::who_missed_something_is_closed())),
        Mutant::LeaseIgnored => Finder::Test(|| Box::pin(work_is_claimed_once())),
        Mutant::AuthorizationByRow => Finder::Test(|| Box::pin(handlers::a_row_alone_lets_nobody_read())),
        Mutant::RetainedMovesBack => Finder::Test(|| Box::pin(what_is_removed_stays_removed())),
        Mutant::VersionForgotten => Finder::Test(|| Box::pin(handlers::a_friend_is_in_the_next_sync())),
    }
}

/// Whether a test fails, which is what it says of a planted fault.
fn fails(test: fn() -> Checked, mutant: Option<Mutant>) -> bool {
    let _planted = plant(mutant);
    std::panic::catch_unwind(AssertUnwindSafe(|| in_jumping_time(test()))).is_err()
}

pub(crate) fn in_jumping_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

#[test]
fn every_planted_fault_is_found() {
    let all: Vec<Settings> = (1..=SCHEDULES).map(|seed| Settings { seed, only: None }).collect();
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let found = match finder(mutant) {
            Finder::Schedules => explore(Some(mutant), &all).map(|(settings, outcome)| {
                format!("seed {}: {}", settings.seed, outcome.wrong.first().cloned().unwrap_or_default())
            }),
            Finder::Test(test) => fails(test, Some(mutant)).then(|| "a test".to_owned()),
        };
        match found {
            Some(by) => println!("{mutant:?} is found by {by}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "planted and not found: {missed:?}");
}

#[test]
fn without_a_planted_fault_the_same_tests_are_green() {
    for mutant in Mutant::ALL {
        if let Finder::Test(test) = finder(mutant) {
            assert!(!fails(test, None), "{mutant:?}");
        }
    }
}

async fn work_is_claimed_once() {
    let world = World::new(1).await;
    let jobs: Arc<dyn Jobs> = Arc::new(world.calm_store());
    let job = Job { id: "j".into(), kind: "k".into(), payload: vec![], free_ms: 10, made_ms: 1 };
    jobs.put(std::slice::from_ref(&job)).await.unwrap();
    let seen = jobs.free("k", 20).await.unwrap();
    assert_eq!(seen, [job]);
    assert!(jobs.claim(&seen[0], 100).await.unwrap());
    assert!(!jobs.claim(&seen[0], 200).await.unwrap(), "somebody else holds it");
    assert!(jobs.free("k", 50).await.unwrap().is_empty());
}

async fn what_is_removed_stays_removed() {
    let store = World::new(1).await.calm_store();
    for (removed, lowest) in [(5, 5), (3, 5), (8, 8)] {
        store.raise_min_seq("sg_g", removed).await.unwrap();
        let seqs = store.conversation_seqs(&["sg_g".to_owned()]).await.unwrap();
        assert_eq!(seqs["sg_g"].min, lowest);
    }
}

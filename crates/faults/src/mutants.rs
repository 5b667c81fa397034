//! Faults that are planted into the code. One at a time is switched on, for one thread, by a test that must fail with it. The switch is
//! compiled only with debug assertions; where it is asked, `is_on` is otherwise a constant and the fault is removed with the branch.

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An offset is committed before its records are handled.
    CommitBeforeWrite,
    /// A message is not recognised when it comes again.
    NoDeduplication,
    /// Two messages of a batch bear the same seq.
    SeqGivenTwice,
    /// One receiver of a message is skipped.
    AudienceForgotten,
    /// Work that another process holds is taken from it.
    LeaseIgnored,
    /// A row is enough to read a conversation.
    AuthorizationByRow,
    /// A conflict is taken for success.
    ConflictSwallowed,
    /// A message is acknowledged though Kafka did not take it.
    AcknowledgedUnstored,
    /// The newest seq of a conversation follows the last write, not the largest.
    NewestMovesBack,
    /// The lowest seq that is kept moves back.
    RetainedMovesBack,
    /// What a gateway missed is not remembered.
    MissedForgotten,
    /// A list changes without its version.
    VersionForgotten,
    /// Counters are written before the messages that they count.
    CountersBeforeMessages,
    /// What is written after another partition's conflict is taken for stored.
    OthersConflictSwallowed,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::CommitBeforeWrite,
        Self::NoDeduplication,
        Self::SeqGivenTwice,
        Self::AudienceForgotten,
        Self::LeaseIgnored,
        Self::AuthorizationByRow,
        Self::ConflictSwallowed,
        Self::AcknowledgedUnstored,
        Self::NewestMovesBack,
        Self::RetainedMovesBack,
        Self::MissedForgotten,
        Self::VersionForgotten,
        Self::CountersBeforeMessages,
        Self::OthersConflictSwallowed,
    ];
}

#[cfg(debug_assertions)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this fault is planted in this thread.
    pub fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Plants a fault in this thread until the guard is dropped.
    #[must_use]
    pub fn plant(mutant: Option<Mutant>) -> Planted {
        Planted(ON.replace(mutant))
    }

    /// See [`plant`].
    #[derive(Debug)]
    pub struct Planted(Option<Mutant>);

    impl Drop for Planted {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }
}

#[cfg(debug_assertions)]
pub use switch::{Planted, is_on, plant};

/// Never, without debug assertions.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_on(_mutant: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The build of a release, as the workspace defines it.
    const WORKSPACE: &str = include_str!("../../../Cargo.toml");

    #[test]
    fn a_release_has_no_debug_assertions_and_therefore_no_faults() {
        let release = WORKSPACE.split("[profile.release]").nth(1).unwrap();
        let release = release.split("\n[").next().unwrap();
        assert!(!release.contains("debug-assertions"), "{release}");
        assert!(!release.contains("inherits"), "{release}");
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_fault_is_planted_in_one_thread_and_for_a_time() {
        assert!(Mutant::ALL.iter().all(|mutant| !is_on(*mutant)));
        let planted = plant(Some(Mutant::NoDeduplication));
        assert_eq!(Mutant::ALL.iter().filter(|mutant| is_on(**mutant)).count(), 1);
        let elsewhere = std::thread::spawn(|| is_on(Mutant::NoDeduplication)).join().unwrap();
        assert!(!elsewhere);
        drop(planted);
        assert!(!is_on(Mutant::NoDeduplication));
    }

    #[cfg(not(debug_assertions))]
    #[test]
    fn without_debug_assertions_no_fault_is_ever_on() {
        const ANY: bool = is_on(Mutant::CommitBeforeWrite) || is_on(Mutant::NoDeduplication);
        const { assert!(!ANY) };
        assert!(Mutant::ALL.iter().all(|mutant| !is_on(*mutant)));
    }
}

//! What becomes of a step that a process takes outside of its own memory.

use std::future::pending;

use async_trait::async_trait;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Read,
    Write,
    Commit,
    Produce,
    Consume,
    Call,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and its answer comes.
    Done,
    /// It is not done, and fails.
    Refused,
    /// It is done, and its answer is lost: whoever waits for it sees a failure.
    Lost,
    /// Of several parts some are done, then it fails.
    Half,
    /// It is done twice.
    Twice,
    /// Another transaction was faster.
    Conflict,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it, before the answer comes.
    DiesAfter,
}

/// Decides fates; one for each process.
#[async_trait]
pub trait Fates: Send + Sync + 'static {
    /// Takes the time of a step and decides what becomes of it. Of a process that is dead it never returns.
    async fn step(&self, kind: Kind, what: &str) -> Fate;

    /// The fate of a step that takes no time.
    fn at_once(&self, kind: Kind, what: &str) -> Fate;

    /// Whether the process is dead: nothing that it still does has an effect.
    fn is_dead(&self) -> bool;

    /// The process dies here.
    fn die(&self);
}

/// Ends the process at this point: nothing after it happens.
pub async fn dies(fates: &dyn Fates) -> ! {
    fates.die();
    loop {
        pending::<()>().await;
    }
}

/// A process that nothing happens to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calm;

#[async_trait]
impl Fates for Calm {
    async fn step(&self, _kind: Kind, _what: &str) -> Fate {
        Fate::Done
    }

    fn at_once(&self, _kind: Kind, _what: &str) -> Fate {
        Fate::Done
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn die(&self) {}
}

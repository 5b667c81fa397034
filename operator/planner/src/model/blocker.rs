//! What keeps a plan waiting.

use crds::Reason;

/// What keeps the rest of the plan waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Why.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// Something that must happen before the plan continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The service or backing server; empty: the whole cluster.
    pub component: String,
    /// Why.
    pub reason: Reason,
    /// What was observed, and what to do about it.
    pub message: String,
}

impl From<&Blocker> for crds::Blocker {
    fn from(blocker: &Blocker) -> Self {
        let Blocker { component, reason, message } = blocker.clone();
        Self { component, gate: reason.as_str().to_owned(), message }
    }
}

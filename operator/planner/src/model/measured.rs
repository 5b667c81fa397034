//! What pods measured: load, and calls that failed.

use std::collections::BTreeMap;

/// What each pod of a service has to do: connections of a gateway, records that wait for a consumer. `None`: a pod did not answer.
pub type Load = Option<BTreeMap<String, i64>>;

/// Fewer calls say nothing.
pub const FEWEST: i64 = 50;

/// Calls that new pods of a service answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All, but for those that failed because something else did not answer.
    pub answered: i64,
    /// Those that failed inside. Where the old pods show which methods are called how often, as many as would fail among calls like those, and
    /// did not fail before: nobody can force a rollback by repeating a failing call.
    pub failed: i64,
}

impl Calls {
    /// The part that failed, in percent, when it is more than `most`.
    pub fn too_many(self, most: i64) -> Option<i64> {
        let percent = self.failed * 100 / self.answered.max(1);
        (self.answered >= FEWEST && self.failed * 100 > most * self.answered).then_some(percent)
    }
}

//! Which offsets are finished but not committed. A commit never goes back to an earlier offset: the group would repeat finished
//! work.

use std::collections::HashMap;

/// Partition to the offset to continue from.
pub(crate) type Offsets = HashMap<i32, i64>;

#[derive(Default)]
pub(crate) struct Progress {
    finished: Offsets,
    /// The newest offset for which a commit was requested.
    asked: Offsets,
}

impl Progress {
    /// Everything before `next` is finished.
    pub(crate) fn finish(&mut self, partition: i32, next: i64) {
        self.finished.insert(partition, next);
    }

    /// What to commit now.
    pub(crate) fn take(&mut self) -> Offsets {
        let offsets = std::mem::take(&mut self.finished);
        self.asked.extend(&offsets);
        offsets
    }

    /// A commit failed: it is made again, unless a newer one was asked for, finished, or the partition went away since.
    pub(crate) fn not_committed(&mut self, offsets: impl IntoIterator<Item = (i32, i64)>) {
        for (partition, next) in offsets {
            if self.asked.get(&partition) == Some(&next) {
                self.finished.entry(partition).or_insert(next);
            }
        }
    }

    /// The partition has another owner now, which may be further.
    pub(crate) fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.finished.remove(partition);
            self.asked.remove(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_commit_is_made_again() {
        let mut progress = Progress::default();
        progress.finish(0, 10);
        assert_eq!(progress.take(), Offsets::from([(0, 10)]));
        progress.not_committed([(0, 10)]);
        assert_eq!(progress.take(), Offsets::from([(0, 10)]));
        assert!(progress.take().is_empty());
    }

    #[test]
    fn a_late_failure_does_not_take_a_newer_commit_back() {
        let mut progress = Progress::default();
        progress.finish(0, 10);
        progress.take();
        progress.finish(0, 20);
        progress.take();
        progress.not_committed([(0, 10)]);
        assert!(progress.take().is_empty(), "20 is on its way, or committed");
        progress.finish(0, 30);
        progress.not_committed([(0, 20)]);
        assert_eq!(progress.take(), Offsets::from([(0, 30)]));
    }

    #[test]
    fn a_partition_that_went_away_is_not_committed_any_more() {
        let mut progress = Progress::default();
        progress.finish(0, 10);
        progress.take();
        progress.forget(&[0]);
        progress.not_committed([(0, 10)]);
        assert!(progress.take().is_empty());
    }
}

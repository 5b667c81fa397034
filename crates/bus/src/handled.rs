//! The records that a partition has recently handled. A record can be in the log twice: its producer got no acknowledgement and
//! sent it again, or its batch was repeated. Such repeats are skipped. The memory belongs to one owner of the partition and is
//! limited: after a hand-over, or beyond its size, a repeat is handled again.

use std::hash::{BuildHasher, Hash, RandomState};

use crate::Recent;

/// What stands for records in memory, 16 bytes each. Each owner has its own hash seed: nobody can choose two keys that collide.
pub struct Handled {
    marks: Recent<u128, ()>,
    hashes: (RandomState, RandomState),
}

impl Handled {
    /// Knows the last `capacity` records at most, and the half of it at least.
    pub fn new(capacity: usize) -> Self {
        Self { marks: Recent::new(capacity), hashes: Default::default() }
    }

    /// What stands for a key.
    pub fn mark(&self, key: impl Hash) -> u128 {
        u128::from(self.hashes.0.hash_one(&key)) << 64 | u128::from(self.hashes.1.hash_one(&key))
    }

    /// Whether what the mark stands for was handled.
    pub fn knows(&mut self, mark: u128) -> bool {
        self.marks.get(&mark).is_some()
    }

    /// It is handled to the end.
    pub fn remember(&mut self, mark: u128) {
        self.marks.insert(mark, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stands_for_one_key_and_is_forgotten_in_time() {
        let mut handled = Handled::new(10);
        let (one, other) = (handled.mark(("si_a_b", 1)), handled.mark(("si_a_b", 2)));
        assert_eq!((one, one != other), (handled.mark(("si_a_b", 1)), true));
        assert!(!handled.knows(one));
        handled.remember(one);
        assert!(handled.knows(one) && !handled.knows(other));
        for number in 0..100 {
            let mark = handled.mark(number);
            handled.remember(mark);
        }
        assert!(!handled.knows(one));
    }
}

//! A map of recently used entries: two generations, so that eviction is cheap.

use std::{collections::HashMap, hash::Hash};

/// See the module.
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Entries of a generation.
    generation: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Keeps at most `capacity` entries, and at least the half of it that was used last.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: (capacity / 2).max(1) }
    }

    /// Its value, which stays longer for that.
    pub fn get(&mut self, key: &K) -> Option<&V>
    where
        K: Clone,
    {
        if let Some(value) = self.old.remove(key) {
            self.insert(key.clone(), value);
        }
        self.young.get(key)
    }

    /// The newest value of a key counts.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets it.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut recent = Recent::new(10);
        for number in 0..1000 {
            recent.insert(number, number * 2);
            assert_eq!(recent.get(&0), Some(&0), "asked for again and again");
            assert!(recent.young.len() + recent.old.len() <= 10);
        }
        assert_eq!(recent.get(&999), Some(&1998));
        assert_eq!(recent.get(&997), Some(&1994));
        assert_eq!(recent.get(&100), None);
        recent.remove(&999);
        assert_eq!(recent.get(&999), None);
    }

    #[test]
    fn the_newest_value_counts() {
        let mut recent = Recent::new(4);
        for value in 0..20 {
            recent.insert("a", value);
            recent.insert(["b", "c", "d"][value % 3], 0);
            assert_eq!(recent.get(&"a"), Some(&value));
        }
    }
}

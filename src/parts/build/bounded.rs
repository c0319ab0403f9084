//! A bounded map of small things, of which there are as many as lines: what nobody looked at for long goes first.
//!
//! There are two shelves. What is put in or looked at is on the young one; when that is full it becomes the old one,
//! and what nobody looked at since the last time is gone. That costs a word or two for each entry, where a cache that
//! keeps their exact order costs some hundred bytes.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(super) struct Bounded<K, V> {
    shelves: Mutex<Shelves<K, V>>,
    /// How many are on one shelf at most.
    shelf: usize,
}

struct Shelves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    /// A map of at most `capacity` entries, that keeps at least half of them.
    pub(super) fn new(capacity: usize) -> Self {
        let shelves = Shelves { young: HashMap::new(), old: HashMap::new() };
        Self { shelves: Mutex::new(shelves), shelf: capacity.div_ceil(2) }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.find(&mut self.shelves(), key)
    }

    pub(super) fn insert(&self, key: K, value: V) {
        self.put(&mut self.shelves(), key, value);
    }

    /// What is there, or this from now on; and whether it was not there.
    pub(super) fn get_or_insert(&self, key: &K, value: V) -> (V, bool) {
        let mut shelves = self.shelves();
        if let Some(known) = self.find(&mut shelves, key) {
            return (known, false);
        }
        self.put(&mut shelves, key.clone(), value.clone());
        (value, true)
    }

    fn find(&self, shelves: &mut Shelves<K, V>, key: &K) -> Option<V> {
        if let Some(value) = shelves.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = shelves.old.remove_entry(key)?;
        self.put(shelves, key, value.clone());
        Some(value)
    }

    fn put(&self, shelves: &mut Shelves<K, V>, key: K, value: V) {
        if shelves.young.len() >= self.shelf && !shelves.young.contains_key(&key) {
            shelves.old = mem::take(&mut shelves.young);
        }
        shelves.young.insert(key, value);
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves<K, V>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_at_is_forgotten_first() {
        let map = Bounded::new(10);
        for number in 0..100 {
            map.insert(number, number);
            assert_eq!(map.get(&0), Some(0), "{number}");
            assert_eq!(map.get(&number), Some(number));
        }
        assert_eq!(map.get(&50), None);
        let shelves = map.shelves();
        assert!(shelves.young.len() + shelves.old.len() <= 10);
        drop(shelves);
        assert_eq!(map.get_or_insert(&0, 1), (0, false));
        assert_eq!(map.get_or_insert(&50, 51), (51, true));
        map.insert(50, 52);
        assert_eq!(map.get(&50), Some(52));
    }
}

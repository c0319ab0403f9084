//! What could not be read when it was asked for last.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// The things whose latest question failed. What was never asked for is not known to fail.
#[derive(Debug)]
pub struct Failing<K>(Mutex<HashSet<K>>);

impl<K> Default for Failing<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Failing<K> {
    /// Notes whether the latest question failed.
    pub fn note(&self, key: &K, failed: bool) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failing.remove(key);
        } else if !failing.contains(key) {
            if failing.len() >= REMEMBERED {
                failing.clear();
            }
            failing.insert(key.clone());
        }
    }

    /// Whether it did.
    pub fn has(&self, key: &K) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

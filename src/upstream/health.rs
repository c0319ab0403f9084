//! What could not be read when it was asked for last, and until when that was so.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use super::UpstreamError;
use crate::clock::Moment;

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// The things whose latest question failed. What was never asked for is not known to fail.
#[derive(Debug)]
pub struct Failing<K>(Mutex<State<K>>);

#[derive(Debug)]
struct State<K> {
    /// What failed at some time.
    troubles: HashMap<K, Trouble>,
    /// What was before is not remembered.
    forgotten: Moment,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Failing,
    /// It was answered again then.
    Over(Moment),
}

impl<K> Default for Failing<K> {
    fn default() -> Self {
        Self(Mutex::new(State { troubles: HashMap::new(), forgotten: Moment::START }))
    }
}

impl<K: Hash + Eq + Clone> Failing<K> {
    /// Notes whether the latest question failed. That nobody waited for it is no failure, and no answer either.
    pub fn note(&self, key: &K, error: Option<&UpstreamError>, now: Moment) {
        if error.is_some_and(|error| error.only_ahead) {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_none() {
            if let Some(trouble @ Trouble::Failing) = state.troubles.get_mut(key) {
                *trouble = Trouble::Over(now);
            }
            return;
        }
        if state.troubles.len() >= REMEMBERED && !state.troubles.contains_key(key) {
            state.troubles.clear();
            state.forgotten = now;
        }
        state.troubles.insert(key.clone(), Trouble::Failing);
    }

    /// Since when no question failed, as far as is known; `None` if the latest one did.
    pub fn well_since(&self, key: &K) -> Option<Moment> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.troubles.get(key) {
            None => Some(state.forgotten),
            Some(Trouble::Over(since)) => Some(*since),
            Some(Trouble::Failing) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::Kind;

    #[test]
    fn a_failure_is_remembered_after_it_is_over() {
        let failing = Failing::default();
        let at = |second| Moment::after_start(Duration::from_secs(second));
        let error = UpstreamError::new("service", Kind::Unavailable, "it is down");
        let kept = UpstreamError::only_ahead("service", at(9), "kept");
        assert_eq!(failing.well_since(&1), Some(Moment::START));
        failing.note(&1, None, at(1));
        failing.note(&1, Some(&kept), at(2));
        assert_eq!(failing.well_since(&1), Some(Moment::START));
        failing.note(&1, Some(&error), at(3));
        failing.note(&1, Some(&kept), at(4));
        assert_eq!(failing.well_since(&1), None);
        failing.note(&1, None, at(5));
        failing.note(&1, None, at(6));
        assert_eq!(failing.well_since(&1), Some(at(5)));
        for key in 0..=20_000 {
            failing.note(&key, Some(&error), at(7));
        }
        assert!(failing.0.lock().unwrap().troubles.len() <= REMEMBERED);
        assert_eq!(failing.well_since(&-1), Some(at(7)));
    }
}

//! Answers that are ready to be sent again.
//!
//! Argo CD asks the same question with the same bytes, poll after poll. What was answered is kept under these bytes for
//! as long as the generator says that nothing can have changed, and given again without being looked at: no parsing, no
//! walk, no ledger. What is not found here goes the long way, and comes back here if it may be repeated.
//!
//! There are two shelves. What is asked for is on the young one; when that is full, or was filled for long enough, it
//! becomes the old one, and what was on the old one and nobody asked for in the meantime is gone.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use super::reply::Ready;
use crate::{
    clock::Moment,
    generator::{Lines, Repeat},
};

/// The longest question that is kept: far above Argo CD's, whose longest part is a branch.
const LONGEST: usize = 2 * 1024;

/// How much one shelf may hold, in bytes.
const SHELF: usize = 12 * 1024 * 1024;

/// What an entry takes beside its texts, about.
const OVERHEAD: usize = 320;

/// After how long the shelves change: hardly any answer may be repeated for longer.
const TURN: Duration = Duration::from_mins(5);

/// The answers of one generator that may be repeated.
#[derive(Default)]
pub(super) struct Warm(RwLock<Shelves<Arc<(Ready, Repeat)>>>);

impl Warm {
    /// The answer to these bytes, if it may be given again.
    pub(super) fn get(&self, question: &[u8], lines: &Lines) -> Option<Ready> {
        // Nearly all are on the young shelf, where many may look at once.
        let young = self.0.read().unwrap_or_else(PoisonError::into_inner).young(question);
        let known = young.or_else(|| self.shelves().find(question))?;
        lines.repeats(&known.1).then(|| known.0.clone())
    }

    /// Keeps an answer to these bytes.
    pub(super) fn keep(&self, question: &[u8], ready: &Ready, repeat: Repeat, now: Moment) {
        if question.len() <= LONGEST {
            let bytes = question.len() + ready.bytes() + OVERHEAD;
            self.shelves().put(question.into(), Arc::new((ready.clone(), repeat)), bytes, now);
        }
    }

    fn shelves(&self) -> RwLockWriteGuard<'_, Shelves<Arc<(Ready, Repeat)>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warm").finish_non_exhaustive()
    }
}

struct Shelves<V> {
    young: HashMap<Box<[u8]>, Kept<V>>,
    old: HashMap<Box<[u8]>, Kept<V>>,
    /// How much is on the young shelf.
    bytes: usize,
    /// Since when it is being filled.
    since: Moment,
}

struct Kept<V> {
    value: V,
    bytes: usize,
}

impl<V> Default for Shelves<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), bytes: 0, since: Moment::START }
    }
}

impl<V: Clone> Shelves<V> {
    fn young(&self, question: &[u8]) -> Option<V> {
        self.young.get(question).map(|kept| kept.value.clone())
    }

    fn find(&mut self, question: &[u8]) -> Option<V> {
        if let Some(value) = self.young(question) {
            return Some(value);
        }
        let (question, Kept { value, bytes }) = self.old.remove_entry(question)?;
        self.put(question, value.clone(), bytes, self.since);
        Some(value)
    }

    /// Puts a value on the young shelf.
    fn put(&mut self, question: Box<[u8]>, value: V, bytes: usize, now: Moment) {
        self.old.remove(&question);
        if self.bytes + bytes > SHELF || now.since(self.since) > TURN {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
            self.since = now;
        }
        self.bytes += bytes;
        if let Some(before) = self.young.insert(question, Kept { value, bytes }) {
            self.bytes -= before.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn question(number: usize) -> Box<[u8]> {
        number.to_string().into_bytes().into()
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_gone_after_two_turns() {
        let mut shelves = Shelves::default();
        shelves.put(question(1), 'a', 10, at(0));
        shelves.put(question(2), 'b', 10, at(1));
        // The first one is asked for again and again.
        for turn in 1..4 {
            shelves.put(question(0), 'z', 10, at(turn * 301));
            assert_eq!(shelves.find(&question(1)), Some('a'));
        }
        assert_eq!(shelves.find(&question(2)), None);
        assert_eq!(shelves.find(&question(3)), None);
        // What is new hides what was.
        shelves.put(question(1), 'c', 10, at(4 * 301));
        assert_eq!(shelves.find(&question(1)), Some('c'));
        assert_eq!(shelves.bytes, 10);
        shelves.put(question(1), 'd', 30, at(4 * 301));
        assert_eq!((shelves.find(&question(1)), shelves.bytes), (Some('d'), 30));
    }

    #[test]
    fn whoever_asks_ever_new_questions_fills_two_shelves_and_no_more() {
        let mut shelves = Shelves::default();
        let each = SHELF / 1000;
        for number in 0..10_000 {
            shelves.put(question(number), number, each, at(0));
            assert!(shelves.bytes <= SHELF && shelves.young.len() + shelves.old.len() <= 2002);
            // One that is asked for all the time survives that.
            assert_eq!(shelves.find(&question(0)), Some(0), "{number}");
        }
        assert_eq!(shelves.find(&question(9_999)), Some(9_999));
        assert_eq!(shelves.find(&question(1)), None);
    }
}

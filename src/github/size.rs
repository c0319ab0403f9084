//! How much is asked of GitHub at once: less after each query that was too heavy, more again with each that was not.

use std::sync::{Mutex, PoisonError};

/// The most pull requests on a page; GitHub gives no more.
const PAGE: u32 = 100;

/// The smallest page.
const SMALLEST_PAGE: u32 = 10;

/// The most pull requests that are read with their checks at once.
const BATCH: usize = 25;

/// The most commits with their checks in one query, for each pull request that may be in it.
const COMMITS_EACH: usize = 2;

/// After so many queries that were answered, one more may be in a batch.
const GROW_AFTER: u32 = 3;

/// The sizes of queries.
#[derive(Debug)]
pub(super) struct Sizes(Mutex<State>);

#[derive(Debug)]
struct State {
    page: u32,
    batch: usize,
    answered: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self(Mutex::new(State { page: PAGE, batch: BATCH, answered: 0 }))
    }
}

impl Sizes {
    /// How many pull requests a page has.
    pub(super) fn page(&self) -> u32 {
        self.change(|state| state.page)
    }

    /// Makes pages smaller; `false` if they are as small as can be.
    pub(super) fn shrink_page(&self) -> bool {
        self.change(|state| {
            let before = state.page;
            state.page = (before / 2).max(SMALLEST_PAGE);
            state.page < before
        })
    }

    /// Takes as many things as one query may ask for, at least one if there is any.
    pub(super) fn take<T>(&self, from: &mut Vec<T>, commits: impl Fn(&T) -> u32) -> Vec<T> {
        let batch = self.change(|state| state.batch);
        let (mut count, mut sum) = (0, 0);
        for thing in from.iter().take(batch) {
            sum += commits(thing) as usize;
            if count > 0 && sum > batch * COMMITS_EACH {
                break;
            }
            count += 1;
        }
        let rest = from.split_off(count);
        std::mem::replace(from, rest)
    }

    /// Makes batches smaller than one of this size, which failed; `false` if it had a single thing.
    pub(super) fn shrink(&self, failed: usize) -> bool {
        self.change(|state| {
            state.answered = 0;
            state.batch = state.batch.min((failed / 2).max(1));
            failed > 1
        })
    }

    /// A query was answered.
    pub(super) fn grow(&self) {
        self.change(|state| {
            state.answered += 1;
            if state.answered >= GROW_AFTER {
                state.answered = 0;
                state.batch = (state.batch + 1).min(BATCH);
                state.page = (state.page + SMALLEST_PAGE).min(PAGE);
            }
        });
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(sizes: &Sizes, walks: &mut Vec<u32>) -> usize {
        sizes.take(walks, |walk| *walk).len()
    }

    #[test]
    fn a_query_has_so_many_pull_requests_and_so_many_commits() {
        let sizes = Sizes::default();
        let mut heads = vec![1; 60];
        assert_eq!((take(&sizes, &mut heads), take(&sizes, &mut heads), take(&sizes, &mut heads)), (25, 25, 10));
        assert_eq!(take(&sizes, &mut heads), 0);
        let mut walks = vec![5; 12];
        assert_eq!((take(&sizes, &mut walks), take(&sizes, &mut walks)), (10, 2));
        // One that is larger than all together may be goes alone.
        let mut long = vec![100, 1];
        assert_eq!((take(&sizes, &mut long), take(&sizes, &mut long)), (1, 1));
    }

    #[test]
    fn sizes_are_halved_at_each_failure_and_come_back_slowly() {
        let sizes = Sizes::default();
        for (failed, next) in [(25, 12), (12, 6), (6, 3), (3, 1)] {
            assert!(sizes.shrink(failed));
            assert_eq!(take(&sizes, &mut vec![1; 50]), next);
        }
        assert!(!sizes.shrink(1));
        for _ in 0..GROW_AFTER {
            sizes.grow();
        }
        assert_eq!(take(&sizes, &mut vec![1; 50]), 2);
        for page in [50, 25, 12, 10] {
            assert!(sizes.shrink_page());
            assert_eq!(sizes.page(), page);
        }
        assert!(!sizes.shrink_page());
    }
}

//! Every pair of head and test merge that was seen.

use std::collections::HashMap;

use crate::domain::CommitSha;

/// How many test merges of one pull request are remembered.
const PER_PULL: usize = 64;

/// How many of the newest test merges of a head are tried beside the first.
const NEWEST: usize = 4;

/// A head of a pull request and one of GitHub's test merges of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TestMerge {
    pub(super) repository: u64,
    pub(super) number: u64,
    pub(super) head: CommitSha,
    pub(super) merge: CommitSha,
}

/// The pairs by pull request, in the order in which they were seen. Most have one, so that room to grow would be most of
/// it.
#[derive(Debug, Default)]
pub(super) struct Merges(HashMap<(u64, u64), Box<[Pair]>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    head: CommitSha,
    merge: CommitSha,
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    /// It was known.
    Known,
    /// It is new; the pair that had to make room for it.
    New(Option<TestMerge>),
}

impl Merges {
    /// Remembers a pair.
    pub(super) fn remember(&mut self, seen: TestMerge) -> Remembered {
        let TestMerge { repository, number, head, merge } = seen;
        let known = self.0.entry((repository, number)).or_default();
        let pair = Pair { head, merge };
        if known.contains(&pair) {
            return Remembered::Known;
        }
        let mut pairs: Vec<_> = known.iter().copied().chain([pair]).collect();
        if pairs.len() <= PER_PULL {
            *known = pairs.into();
            return Remembered::New(None);
        }
        // The first of each head is what its push built; of the others the oldest is the least likely to matter.
        let first_of_head = |index: usize| !pairs[..index].iter().any(|other| other.head == pairs[index].head);
        let dispensable = (0..pairs.len()).find(|index| !first_of_head(*index)).unwrap_or(0);
        let Pair { head, merge } = pairs.remove(dispensable);
        *known = pairs.into();
        Remembered::New(Some(TestMerge { repository, number, head, merge }))
    }

    /// The test merges of a head worth trying: the first one seen, which its push built, then the newest.
    pub(super) fn of(&self, repository: u64, number: u64, head: CommitSha) -> Vec<CommitSha> {
        let pairs = self.0.get(&(repository, number)).map_or(&[][..], |pairs| pairs);
        let of_head: Vec<_> = pairs.iter().filter(|pair| pair.head == head).map(|pair| pair.merge).collect();
        let (first, later) = of_head.split_at(of_head.len().min(1));
        first.iter().chain(later.iter().rev().take(NEWEST)).copied().collect()
    }

    /// The head that a remembered test merge of this pull request was made of.
    pub(super) fn head_of(&self, repository: u64, number: u64, merge: CommitSha) -> Option<CommitSha> {
        self.0.get(&(repository, number))?.iter().find(|pair| pair.merge == merge).map(|pair| pair.head)
    }

    /// All pairs; those of one pull request in the order in which they were seen.
    pub(super) fn all(&self) -> impl Iterator<Item = TestMerge> {
        self.0.iter().flat_map(|(&(repository, number), pairs)| {
            pairs.iter().map(move |&Pair { head, merge }| TestMerge { repository, number, head, merge })
        })
    }

    /// Forgets a pull request.
    pub(super) fn forget(&mut self, repository: u64, number: u64) {
        self.0.remove(&(repository, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn pair(number: u64, head: char, merge: CommitSha) -> TestMerge {
        TestMerge { repository: 1, number, head: sha(head), merge }
    }

    #[test]
    fn the_first_test_merge_and_the_four_newest_are_tried() {
        let mut merges = Merges::default();
        for merge in "1234567".chars() {
            assert_eq!(merges.remember(pair(2, 'a', sha(merge))), Remembered::New(None));
            assert_eq!(merges.remember(pair(2, 'a', sha(merge))), Remembered::Known);
        }
        merges.remember(pair(2, 'b', sha('8')));
        merges.remember(pair(3, 'a', sha('9')));
        assert_eq!(merges.of(1, 2, sha('a')), ['1', '7', '6', '5', '4'].map(sha));
        assert_eq!(merges.of(1, 2, sha('b')), [sha('8')]);
        assert_eq!(merges.of(1, 2, sha('c')), []);
        assert_eq!(merges.head_of(1, 2, sha('8')), Some(sha('b')));
        assert_eq!(merges.head_of(1, 2, sha('9')), None);
        merges.forget(1, 2);
        assert_eq!(merges.of(1, 2, sha('a')), []);
    }

    #[test]
    fn of_too_many_the_oldest_that_no_push_built_goes() {
        let mut merges = Merges::default();
        let nth = |number: usize| format!("{number:040x}").parse::<CommitSha>().unwrap();
        for number in 0..PER_PULL {
            merges.remember(pair(2, 'a', nth(number)));
        }
        assert_eq!(merges.remember(pair(2, 'b', nth(99))), Remembered::New(Some(pair(2, 'a', nth(1)))));
        assert_eq!(merges.of(1, 2, sha('a'))[0], nth(0));
    }
}

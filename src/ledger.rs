//! What was answered, so that it is never taken back by mistake.
//!
//! One record for each (generator, repository by GitHub's number, line). A record holds facts, not rendered text.
//! Beside the records the ledger knows which lines truly had nothing, how long it has been watching (a *new* ledger
//! cannot know what an earlier one answered), and every pair of head and test merge that was ever seen.
//!
//! The ledger is held in memory: after a restart it counts as new.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, Build, CommitSha, Line, Repo},
};

mod trust;

pub use trust::TrustKey;
use trust::Watch;

/// What a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LineKey {
    /// The generator's name.
    pub generator: Arc<str>,
    /// The repository's `databaseId`.
    pub repository: u64,
    /// The line.
    pub line: Line,
}

/// What was answered last for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The build.
    pub build: Build,
    /// The head branch's name when it was recorded.
    pub branch: Branch,
    /// Whether that branch lives in the repository itself, so that its line may change with its pull request.
    pub own: bool,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// When GitHub was asked for what it rests on.
    pub as_of: Moment,
}

/// A build to be recorded, and what it must not replace.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The build.
    pub build: &'a Build,
    /// The head branch's name.
    pub branch: &'a Branch,
    /// Whether that branch lives in the repository itself.
    pub own: bool,
    /// When GitHub was asked for what it rests on.
    pub as_of: Moment,
    /// The commits of the same walk that are newer than the build's.
    pub newer: &'a [CommitSha],
}

/// What became of a build that was to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is what the ledger holds now.
    Yes,
    /// The ledger holds a newer one.
    Superseded(Arc<Record>),
}

/// What the ledger knows of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// This was answered last.
    Item(Arc<Record>),
    /// It was asked, and truly had nothing.
    Nothing,
    /// It was never seen.
    Never,
}

/// The ledger could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the ledger cannot be used: {0}")]
pub struct LedgerError(pub Arc<str>);

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    clock: SharedClock,
    trust_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: HashMap<LineKey, Entry>,
    /// The lines that were recorded under a branch's name, the last one at the end.
    by_name: HashMap<(Arc<str>, u64, Branch), Vec<Line>>,
    repositories: HashMap<Repo, u64>,
    watches: HashMap<TrustKey, Watch>,
    merges: HashMap<(u64, u64), Vec<TestMerge>>,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// When it was recorded that there is nothing.
    nothing_since: Moment,
    /// How long the upstreams have said *not yet* since the item was last ready, and when they last said it.
    spent: Duration,
    not_yet_at: Option<Moment>,
}

/// A head and one of GitHub's test merges of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TestMerge {
    head: CommitSha,
    merge: CommitSha,
}

/// The trust of how many sets is kept apart.
const WATCHES: usize = 10_000;

/// How many test merges of one pull request are remembered.
const MERGES_PER_PULL: usize = 64;

/// How many of the newest test merges of a head are tried beside the first.
const NEWEST_MERGES: usize = 4;

#[expect(clippy::unused_async, reason = "a ledger in a file or a database has to wait")]
impl Ledger {
    /// A ledger in memory, which counts as new until it has watched for `trust_after`.
    pub fn in_memory(trust_after: Duration, clock: SharedClock) -> Self {
        Self { clock, trust_after, state: Mutex::default() }
    }

    /// What is known of a line.
    pub async fn known(&self, key: &LineKey) -> Result<Known, LedgerError> {
        Ok(self.state().lines.get(key).map_or(Known::Never, |entry| entry.known.clone()))
    }

    /// Records a build before it is answered, unless a newer one is recorded: a slow look-up that ends late must not
    /// bring back what a quick one has replaced. One that is recorded already costs nothing.
    pub async fn record(&self, key: &LineKey, candidate: Candidate<'_>) -> Result<Recorded, LedgerError> {
        let Candidate { build, branch, own, as_of, newer } = candidate;
        let mut state = self.state();
        if let Some(entry) = state.lines.get_mut(key)
            && let Known::Item(record) = &entry.known
        {
            let record = Arc::clone(record);
            entry.ready();
            if record.build == *build && record.branch == *branch {
                if record.as_of < as_of {
                    entry.known = Known::Item(Arc::new(Record { as_of, ..Record::clone(&record) }));
                }
                return Ok(Recorded::Yes);
            }
            if record.as_of > as_of || newer.contains(&record.build.commit()) {
                return Ok(Recorded::Superseded(record));
            }
        }
        let recorded_at = self.clock.wall();
        state.keep(key, Record { build: build.clone(), branch: branch.clone(), own, recorded_at, as_of });
        Ok(Recorded::Yes)
    }

    /// Lets a line take over what was recorded for another one, unless something was recorded for it since `seen`.
    pub async fn take_over(
        &self,
        key: &LineKey,
        record: &Record,
        seen: Option<&Arc<Record>>,
    ) -> Result<(), LedgerError> {
        let mut state = self.state();
        let now = match state.lines.get(key).map(|entry| &entry.known) {
            Some(Known::Item(record)) => Some(record),
            _ => None,
        };
        if now == seen {
            state.keep(key, record.clone());
        }
        Ok(())
    }

    /// Records that a line truly has nothing, if `known` is still what is known of it: it never had, or its hold has
    /// ended. Tells whether it is recorded.
    pub async fn record_nothing(&self, key: &LineKey, known: &Known) -> Result<bool, LedgerError> {
        let mut state = self.state();
        let now = state.lines.get(key).map_or(&Known::Never, |entry| &entry.known);
        if now != known {
            return Ok(false);
        }
        let nothing_since = self.clock.now();
        state.lines.insert(key.clone(), Entry { nothing_since, ..Entry::new(Known::Nothing) });
        Ok(true)
    }

    /// Notes that a line which was answered before is *not yet* now (or, with `false`, that nobody can say), and
    /// tells for how long it has been so. The clock stands still while nobody can say.
    pub fn not_yet_for(&self, key: &LineKey, said: bool) -> Duration {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(entry) = state.lines.get_mut(key) else { return Duration::ZERO };
        if let Some(before) = entry.not_yet_at
            && said
        {
            entry.spent += now.since(before);
        }
        entry.not_yet_at = said.then_some(now);
        entry.spent
    }

    /// The record of a line that was answered and is not withdrawn.
    pub fn item(&self, key: &LineKey) -> Option<Arc<Record>> {
        match &self.state().lines.get(key)?.known {
            Known::Item(record) => Some(Arc::clone(record)),
            Known::Nothing | Known::Never => None,
        }
    }

    /// Whether a line has a record.
    pub fn has_item(&self, key: &LineKey) -> bool {
        self.item(key).is_some()
    }

    /// What was recorded for another line of the same own branch (its pull request, or the branch without one), if
    /// that is newer than what is known of this one, be it an item or nothing.
    pub fn newer_of_same_branch(&self, key: &LineKey, branch: &Branch) -> Option<Arc<Record>> {
        let name = (Arc::clone(&key.generator), key.repository, branch.clone());
        let state = self.state();
        let entry = |line: &Line| state.lines.get(&LineKey { line: line.clone(), ..key.clone() });
        let since = entry(&key.line).map_or(Moment::START, |entry| match &entry.known {
            Known::Item(record) => record.as_of,
            Known::Nothing | Known::Never => entry.nothing_since,
        });
        // Only a change between the two kinds is the same branch for sure: a later pull request is another one.
        let other_kind = |line: &&Line| {
            matches!((line, &key.line), (Line::Pull(_), Line::Branch(_)) | (Line::Branch(_), Line::Pull(_)))
        };
        let records =
            state.by_name.get(&name)?.iter().filter(other_kind).filter_map(|line| match &entry(line)?.known {
                Known::Item(record) if record.own => Some(record),
                _ => None,
            });
        records.max_by_key(|record| record.as_of).filter(|record| record.as_of > since).cloned()
    }

    /// The line under a branch's name that was recorded last and still has its item; an own one before a fork's.
    pub fn line_by_name(&self, generator: &Arc<str>, repository: u64, branch: &Branch) -> Option<Line> {
        let lines = self.state().by_name.get(&(Arc::clone(generator), repository, branch.clone()))?.clone();
        let record =
            |line: &Line| self.item(&LineKey { generator: Arc::clone(generator), repository, line: line.clone() });
        let recorded: Vec<_> = lines.into_iter().filter_map(|line| Some((record(&line)?.own, line))).collect();
        let own = recorded.iter().rev().find(|(own, _)| *own);
        own.or(recorded.last()).map(|(_, line)| line.clone())
    }

    /// GitHub's number of a repository, if it was ever seen under that name.
    pub fn repository(&self, name: &Repo) -> Option<u64> {
        self.state().repositories.get(name).copied()
    }

    /// Remembers GitHub's number of a repository.
    pub fn remember_repository(&self, name: &Repo, id: u64) {
        self.state().repositories.insert(name.clone(), id);
    }

    /// Whether this ledger has watched long enough to know that a line it never saw was never answered.
    pub fn trusted(&self, key: &TrustKey) -> bool {
        self.state().watches.get(key).is_some_and(|watch| watch.seen() >= self.trust_after)
    }

    /// Notes that a question was asked, and whether the upstreams could say anything about it.
    pub fn watched(&self, key: &TrustKey, could_say: bool) {
        let now = self.clock.now();
        let mut state = self.state();
        // Whoever asks under ever new names earns no trust for them.
        if state.watches.len() < WATCHES || state.watches.contains_key(key) {
            state.watches.entry(key.clone()).or_default().note(now, could_say);
        }
    }

    /// Remembers a test merge of a pull request's head.
    pub fn remember_merge(&self, repository: u64, number: u64, head: CommitSha, merge: CommitSha) {
        let mut state = self.state();
        let merges = state.merges.entry((repository, number)).or_default();
        let pair = TestMerge { head, merge };
        if merges.contains(&pair) {
            return;
        }
        merges.push(pair);
        if merges.len() > MERGES_PER_PULL {
            // The first of each head is what its push built; of the others the oldest is the least likely to matter.
            let first_of_head = |index: usize| !merges[..index].iter().any(|other| other.head == merges[index].head);
            let dispensable = (0..merges.len()).find(|index| !first_of_head(*index)).unwrap_or(0);
            merges.remove(dispensable);
        }
    }

    /// The test merges of a head worth trying: the first one seen, which its push built, then the newest.
    pub fn merges_of(&self, repository: u64, number: u64, head: CommitSha) -> Vec<CommitSha> {
        let state = self.state();
        let merges = state.merges.get(&(repository, number)).map_or(&[][..], Vec::as_slice);
        let of_head: Vec<_> = merges.iter().filter(|pair| pair.head == head).map(|pair| pair.merge).collect();
        let (first, later) = of_head.split_at(of_head.len().min(1));
        first.iter().chain(later.iter().rev().take(NEWEST_MERGES)).copied().collect()
    }

    /// The head that a remembered test merge of this pull request was made of.
    pub fn head_of_merge(&self, repository: u64, number: u64, merge: CommitSha) -> Option<CommitSha> {
        let state = self.state();
        state.merges.get(&(repository, number))?.iter().find(|pair| pair.merge == merge).map(|pair| pair.head)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, key: &LineKey, record: Record) {
        let name = (Arc::clone(&key.generator), key.repository, record.branch.clone());
        let lines = self.by_name.entry(name).or_default();
        lines.retain(|line| *line != key.line);
        lines.push(key.line.clone());
        self.lines.insert(key.clone(), Entry::new(Known::Item(Arc::new(record))));
    }
}

impl Entry {
    fn new(known: Known) -> Self {
        Self { known, nothing_since: Moment::START, spent: Duration::ZERO, not_yet_at: None }
    }

    fn ready(&mut self) {
        self.spent = Duration::ZERO;
        self.not_yet_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    #[test]
    fn the_first_test_merge_and_the_four_newest_are_tried() {
        let ledger = Ledger::in_memory(Duration::ZERO, Arc::new(ManualClock::new(DateTime::UNIX_EPOCH)));
        for merge in "1234567".chars() {
            ledger.remember_merge(1, 2, sha('a'), sha(merge));
            ledger.remember_merge(1, 2, sha('a'), sha(merge));
        }
        ledger.remember_merge(1, 2, sha('b'), sha('8'));
        ledger.remember_merge(1, 3, sha('a'), sha('9'));
        assert_eq!(ledger.merges_of(1, 2, sha('a')), ['1', '7', '6', '5', '4'].map(sha));
        assert_eq!(ledger.merges_of(1, 2, sha('b')), [sha('8')]);
        assert_eq!(ledger.merges_of(1, 2, sha('c')), []);
        assert_eq!(ledger.head_of_merge(1, 2, sha('8')), Some(sha('b')));
        assert_eq!(ledger.head_of_merge(1, 2, sha('9')), None);
    }

    #[tokio::test]
    async fn the_hold_stands_still_while_nobody_can_say() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let ledger = Ledger::in_memory(Duration::ZERO, Arc::new(clock.clone()));
        let key = LineKey { generator: "g".into(), repository: 1, line: Line::Pull(1) };
        ledger.record_nothing(&key, &Known::Never).await.unwrap();
        let hour = Duration::from_hours(1);
        for (said, spent) in [(true, 0), (true, 1), (false, 1), (false, 1), (true, 1), (true, 2)] {
            assert_eq!(ledger.not_yet_for(&key, said).as_secs(), (hour * spent).as_secs());
            clock.advance(hour);
        }
        assert!(clock.now() > Moment::START);
    }
}

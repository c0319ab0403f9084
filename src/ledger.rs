//! What was answered, so that it is never taken back by mistake.
//!
//! One record for each (generator, repository by GitHub's number, line). A record holds facts, not rendered text.
//! Beside the records the ledger knows which lines truly had nothing, how long it has been watching (a *new* ledger
//! cannot know what an earlier one answered), every pair of head and test merge that was ever seen, and what the parts
//! beside `build` answered last.
//!
//! ```text
//! question ─ mirror (memory: all that was ever read or written) ─ answer
//!               │ a build that is new            ↑ what other replicas record, within a second
//!               └ store: SQLite or PostgreSQL ───┘
//! ```
//!
//! A record is in the store before its answer leaves; an answer that changes nothing touches memory only. Where
//! several replicas share a ledger, a process that has not heard from it for a second reads it before it answers, and
//! what a process wants to write is written only if the line is still as it knows it: whoever is slower reads again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, Build, CommitSha, Line, Repo},
};

mod facts;
mod keep;
mod lists;
mod merges;
mod mirror;
mod record;
mod store;
mod trust;
mod withdrawal;
mod write;

pub use self::{
    facts::{Candidate, Known, LedgerError, LineKey, Listed, Record, Recorded},
    lists::{Guarded, HeldBack, KnownLists, ListKey, ListRecord, ListedLists, Subject},
    mirror::Newer,
    store::Source,
    trust::TrustKey,
};
use self::{
    merges::{Remembered, TestMerge},
    mirror::{Mirror, State},
    store::{Batch, Store},
};

/// What a ledger is told by the configuration.
#[derive(Debug)]
pub struct LedgerOptions {
    /// Where it is kept.
    pub source: Source,
    /// How long it must have watched until its ignorance is knowledge.
    pub trust_after: Duration,
}

/// How long what was heard from a shared ledger is good for: a newer answer of another replica must be heard of
/// within a second.
const LEASE: Duration = Duration::from_millis(900);

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    clock: SharedClock,
    trust_after: Duration,
    memory: Mutex<Memory>,
    store: Store,
    /// Held while the store is read for news, so that many questions are one read.
    reading: AsyncMutex<()>,
    /// Held while a line is written: this process does not cross itself.
    writing: AsyncMutex<()>,
    /// Whether this replica is the one that does the background work.
    leads: AtomicBool,
    /// When the last read that succeeded was begun, in nanoseconds; 0 for never.
    heard: AtomicU64,
    /// Grows with every change of any line in memory.
    epoch: AtomicU64,
    /// How often the store could not be read or written.
    errors: AtomicU64,
}

/// A state of all lines, as memory has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// What this process holds of the ledger.
#[derive(Debug, Default)]
struct Memory {
    mirror: Mirror,
    /// The ledger's own name; none until it was read.
    id: Option<String>,
    /// What is to be written with the next batch.
    pending: Batch,
}

impl Ledger {
    /// A ledger; nothing is opened yet.
    pub fn new(options: LedgerOptions, clock: SharedClock) -> Arc<Self> {
        let store = Store::new(options.source, Arc::clone(&clock));
        let in_memory = matches!(store, Store::Memory { .. });
        let mirror = Mirror::new(fastrand::u64(..));
        let memory = Memory { mirror, id: in_memory.then(String::new), ..Memory::default() };
        Arc::new(Self {
            clock,
            trust_after: options.trust_after,
            memory: Mutex::new(memory),
            leads: AtomicBool::new(store.is_alone()),
            // What is kept nowhere needs no reading.
            heard: AtomicU64::new(u64::from(in_memory)),
            epoch: AtomicU64::default(),
            errors: AtomicU64::default(),
            store,
            reading: AsyncMutex::default(),
            writing: AsyncMutex::default(),
        })
    }

    /// Makes sure that memory has what the ledger holds. Where this process hears of every change that costs nothing.
    pub async fn refresh(&self, until: Moment) -> Result<(), LedgerError> {
        if self.is_fresh() {
            return Ok(());
        }
        let _alone = self.reading.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        self.read_news(until).await
    }

    /// What is known of a line.
    ///
    /// # Errors
    /// If the ledger, or this line's record, cannot be read, and memory has no item of it.
    pub async fn known(&self, key: &LineKey, until: Moment) -> Result<Known, LedgerError> {
        let refreshed = self.refresh(until).await;
        let (known, _) = self.memory().mirror.known(key);
        match (known, refreshed) {
            (Ok(known @ Known::Item(_)), _) | (Ok(known), Ok(())) => Ok(known),
            (_, Err(error)) => Err(error),
            (Err(why), _) => Err(LedgerError::new(format!("the record of {} cannot be read: {why}", key.line))),
        }
    }

    /// The version of what is known of a line: the change that made it, 0 for none.
    pub fn version(&self, key: &LineKey) -> i64 {
        self.memory().mirror.known(key).1
    }

    /// Notes that a line which was answered before is *not yet* now, and since when the upstreams could say so (or, with
    /// `None`, that nobody can say), and tells for how long it has been so. The clock stands still while nobody can say,
    /// and counts no step between two questions longer than two hours.
    pub fn not_yet_for(&self, key: &LineKey, could_say_since: Option<Moment>) -> Duration {
        let now = self.clock.now();
        self.memory().mirror.not_yet_for(key, could_say_since, now)
    }

    /// Notes that a line was asked.
    pub fn asked(&self, key: &LineKey) {
        let at = self.seconds();
        self.memory().mirror.asked(key, at);
    }

    /// The moment when this process heard that another one had changed a line: what was read before is older.
    pub fn heard(&self, key: &LineKey) -> Option<Moment> {
        self.memory().mirror.heard(key)
    }

    /// As of when another build than this is right for a line, if that is later than `read`: what was read then must not
    /// take its place.
    pub fn overtaken(&self, key: &LineKey, build: &Build, read: Moment) -> Option<Moment> {
        let memory = self.memory();
        let known = memory.mirror.item(key)?;
        let as_of = memory.mirror.as_of(key);
        (as_of > read && !known.build.covers(build)).then_some(as_of)
    }

    /// The record of a line that was answered and is not withdrawn.
    pub fn item(&self, key: &LineKey) -> Option<Arc<Record>> {
        self.memory().mirror.item(key).cloned()
    }

    /// Whether a line has a record, even one that cannot be read.
    pub fn has_item(&self, key: &LineKey) -> bool {
        let memory = self.memory();
        let state = memory.mirror.lines.get(key).map(|entry| &entry.state);
        matches!(state, Some(State::Item(_) | State::Unreadable(_)))
    }

    /// Whether it is known that a line has nothing.
    pub fn has_nothing(&self, key: &LineKey) -> bool {
        matches!(self.memory().mirror.known(key).0, Ok(Known::Nothing))
    }

    /// Whether a line's branch lives in the repository itself, where that was recorded with what it has, be it nothing.
    pub fn is_own(&self, key: &LineKey) -> Option<bool> {
        self.memory().mirror.is_own(key)
    }

    /// What was recorded for another line of the same own branch (its pull request, or the branch without one), if
    /// that is newer than what is known of this one, be it an item or nothing.
    pub fn newer_of_same_branch(&self, key: &LineKey, branch: &Branch) -> Option<Newer> {
        self.memory().mirror.newer_of_same_branch(key, branch)
    }

    /// The line under a branch's name that was recorded last, be it as having nothing; an own one before a fork's.
    pub fn line_by_name(&self, generator: &Arc<str>, repository: u64, branch: &Branch) -> Option<Line> {
        self.memory().mirror.line_by_name(generator, repository, branch)
    }

    /// GitHub's number of a repository, if it was ever seen under that name.
    pub fn repository(&self, name: &Repo) -> Option<u64> {
        self.memory().mirror.repositories.get(name).copied()
    }

    /// The names that a repository of that number was seen under.
    pub fn names_of(&self, id: u64) -> Vec<Repo> {
        let memory = self.memory();
        memory.mirror.repositories.iter().filter(|(_, known)| **known == id).map(|(name, _)| name.clone()).collect()
    }

    /// Remembers GitHub's number of a repository.
    pub fn remember_repository(&self, name: &Repo, id: u64) {
        let mut memory = self.memory();
        if memory.mirror.repositories.get(name) != Some(&id) {
            memory.mirror.repositories.insert(name.clone(), id);
            memory.pending.repositories.push((name.clone(), id));
        }
    }

    /// Whether this ledger has watched long enough to know that a line it never saw was never answered.
    pub fn trusted(&self, key: &TrustKey) -> bool {
        self.memory().mirror.watches.get(key).is_some_and(|watch| watch.seen() >= self.trust_after)
    }

    /// Notes that a question was asked, and since when the upstreams could say anything about it; `None` if they cannot.
    /// A ledger that cannot be read earns no trust.
    pub fn watched(&self, key: &TrustKey, could_say_since: Option<Moment>) {
        let now = self.clock.now();
        let since = could_say_since.filter(|_| self.is_fresh());
        self.memory().mirror.watched(key, now, (since, self.trust_after));
    }

    /// Remembers a test merge of a pull request's head.
    pub fn remember_merge(&self, repository: u64, number: u64, head: CommitSha, merge: CommitSha) {
        let pair = TestMerge { repository, number, head, merge };
        let mut memory = self.memory();
        if let Remembered::New(dropped) = memory.mirror.merges.remember(pair) {
            memory.pending.merges.push(pair);
            memory.pending.dropped_merges.extend(dropped);
        }
    }

    /// The test merges of a head worth trying: the first one seen, which its push built, then the newest.
    pub fn merges_of(&self, repository: u64, number: u64, head: CommitSha) -> Vec<CommitSha> {
        self.memory().mirror.merges.of(repository, number, head)
    }

    /// The head that a remembered test merge of this pull request was made of.
    pub fn head_of_merge(&self, repository: u64, number: u64, merge: CommitSha) -> Option<CommitSha> {
        self.memory().mirror.merges.head_of(repository, number, merge)
    }

    /// Whether the database has something to do. A simulation must not let time pass meanwhile.
    pub fn is_working(&self) -> bool {
        self.store.is_working()
    }

    /// Every line, in order.
    pub async fn list(&self, until: Moment) -> Result<Vec<Listed>, LedgerError> {
        self.refresh(until).await?;
        let memory = self.memory();
        // Of several names of one repository always the same.
        let mut names: HashMap<u64, &Repo> = HashMap::new();
        for (name, id) in &memory.mirror.repositories {
            let known = names.entry(*id).or_insert(name);
            if name.to_string() < known.to_string() {
                *known = name;
            }
        }
        let mut lines: Vec<_> = memory
            .mirror
            .lines
            .iter()
            .filter(|(_, entry)| entry.state != State::Never)
            .map(|(key, entry)| Listed {
                key: key.clone(),
                repository: names.get(&key.repository).copied().cloned(),
                known: memory.mirror.known(key).0,
                asked_at: i64::try_from(entry.asked.at)
                    .ok()
                    .filter(|at| *at > 0)
                    .and_then(|at| DateTime::from_timestamp(at, 0)),
            })
            .collect();
        lines.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(lines)
    }

    /// How often it could not be read or written since the process began.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Whether memory has all that it holds.
    pub fn is_read(&self) -> bool {
        self.is_fresh()
    }

    /// How many lines of each generator are known to have an item, and how many to have nothing.
    pub fn lines(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        let mut lines: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        for (key, entry) in &self.memory().mirror.lines {
            let (items, nothing) = match entry.state {
                State::Item(_) | State::Unreadable(_) => (1, 0),
                State::Nothing(_) => (0, 1),
                State::Never => continue,
            };
            let counts = match lines.get_mut(&key.generator) {
                Some(counts) => counts,
                None => lines.entry(Arc::clone(&key.generator)).or_default(),
            };
            *counts = (counts.0 + items, counts.1 + nothing);
        }
        lines
    }

    /// The state that all lines are in now.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether no line was changed since `epoch` by anybody: what was answered from it is what would be answered now.
    /// It takes no lock: every warm answer asks.
    pub fn is_unchanged(&self, epoch: Epoch, now: Moment) -> bool {
        self.epoch() == epoch && self.is_fresh_at(now)
    }

    /// Whether memory has all that the ledger holds.
    fn is_fresh(&self) -> bool {
        self.is_fresh_at(self.clock.now())
    }

    fn is_fresh_at(&self, now: Moment) -> bool {
        match self.heard.load(Ordering::Acquire) {
            0 => false,
            heard => self.store.is_alone() || now.since(Moment::after_start(Duration::from_nanos(heard))) < LEASE,
        }
    }

    /// Counts what could not be read or written.
    fn counted<T>(&self, outcome: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if outcome.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Notes a read that succeeded, and when it was begun.
    fn heard_at(&self, began: Moment) {
        let nanos = u64::try_from(began.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(nanos.max(1), Ordering::Release);
    }

    /// Notes that memory has changed, while it is still held.
    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// The wall clock in seconds since 1970.
    fn seconds(&self) -> u64 {
        u64::try_from(self.clock.wall().timestamp()).unwrap_or(0)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

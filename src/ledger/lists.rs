//! What the parts beside `build` answered last: their lists, by what they were asked with.
//!
//! A generator without a build part has one record for each set of inputs that make a difference, one with a build part
//! one for each line. As with lines, a record is in the store before its answer leaves, and is written only if it is
//! still as the writer knows it.

mod mirror;
mod record;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

pub(super) use self::{
    mirror::ListMirror,
    record::{ListFact, open, seal},
};
use super::{
    Ledger, LedgerError, LineKey,
    store::{Batch, Committed},
};
use crate::{
    clock::Moment,
    domain::{List, Repo},
};

/// How many sets of inputs of a generator are recorded: whoever asks with ever new ones must not fill the ledger.
const MOST: usize = 1_000;

/// How many bytes of them, about, before no further ones are.
const MOST_BYTES: usize = 64 << 20;

/// The longest text of inputs that is its own name.
const LONGEST: usize = 200;

/// What is said of a bug.
const BROKE_DOWN: &str = "a write broke down; the log says where";

/// What lists belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListKey {
    /// The generator's name.
    pub generator: Arc<str>,
    /// The inputs, or the line.
    pub about: Arc<str>,
}

impl ListKey {
    /// Lists that these inputs led to, written in one form.
    pub fn of_inputs(generator: &Arc<str>, inputs: &str) -> Self {
        let about = if inputs.len() <= LONGEST {
            format!("inputs {inputs}")
        } else {
            let hash = Sha256::digest(inputs.as_bytes());
            hash.iter().take(16).fold("inputs sha256:".to_owned(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
                hex
            })
        };
        Self { generator: Arc::clone(generator), about: about.into() }
    }

    /// The open pull requests of a repository.
    pub fn of_pulls(generator: &Arc<str>, repository: &Repo) -> Self {
        Self { generator: Arc::clone(generator), about: format!("pull requests of {repository}").into() }
    }

    /// What they are about.
    pub fn subject(&self) -> Subject<'_> {
        if let Some(inputs) = self.about.strip_prefix("inputs ") {
            Subject::Inputs(inputs)
        } else if let Some(repository) = self.about.strip_prefix("pull requests of ") {
            Subject::Pulls(repository)
        } else {
            Subject::Line
        }
    }

    /// Lists beside a line's build.
    pub fn of_line(key: &LineKey) -> Self {
        Self { generator: Arc::clone(&key.generator), about: format!("line {} {}", key.repository, key.line).into() }
    }
}

/// What lists are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Such inputs, or a hash that stands for them.
    Inputs(&'a str),
    /// The open pull requests of a repository.
    Pulls(&'a str),
    /// A line, beside whose build they stand.
    Line,
}

/// Lists of the ledger that stand beside no build, for people.
#[derive(Clone, Debug)]
pub struct ListedLists {
    /// Which.
    pub key: ListKey,
    /// What is recorded, or why that cannot be read.
    pub record: Result<Arc<ListRecord>, Arc<str>>,
    /// When they were asked for last.
    pub asked_at: Option<DateTime<Utc>>,
}

/// What was answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRecord {
    /// Each part's list by the part's name.
    pub parts: BTreeMap<Arc<str>, List>,
    /// What the guard knows of it.
    pub guarded: Guarded,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// What is kept for the guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// When its window began, and what was answered then.
    pub window: Option<(DateTime<Utc>, List)>,
    /// What it holds back.
    pub held_back: Option<HeldBack>,
    /// How many items may vanish at once, as an operator has said.
    pub released: Option<usize>,
}

/// Items that would vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// How many.
    pub vanish: usize,
    /// Of how many.
    pub of: usize,
}

/// What is known of lists.
#[derive(Clone, Debug)]
pub struct KnownLists {
    /// What was answered last.
    pub record: Option<Arc<ListRecord>>,
    /// The change that made it; 0 for none.
    pub version: i64,
    /// As of when it is right: what was asked before must not replace it.
    pub as_of: Moment,
    /// Whether the ledger has it, too.
    pub is_stored: bool,
    /// Why there is a record that cannot be read, if there is.
    pub unreadable: Option<Arc<str>>,
}

impl Ledger {
    /// What is known of lists.
    ///
    /// # Errors
    /// If the ledger cannot be read, and memory has none.
    pub async fn lists(&self, key: &ListKey, until: Moment) -> Result<KnownLists, LedgerError> {
        let refreshed = self.refresh(until).await;
        let known = self.memory().mirror.lists.known(key);
        match refreshed {
            Err(error) if known.record.is_none() => Err(error),
            _ => Ok(known),
        }
    }

    /// What memory has of lists.
    pub fn recorded_lists(&self, key: &ListKey) -> Option<Arc<ListRecord>> {
        self.memory().mirror.lists.known(key).record
    }

    /// All lists that stand beside no build, in no order.
    pub async fn list_lists(&self, until: Moment) -> Result<Vec<ListedLists>, LedgerError> {
        self.refresh(until).await?;
        Ok(self.memory().mirror.lists.standing_alone())
    }

    /// Notes that lists were asked for, and are still so as of then.
    pub fn lists_are_so(&self, key: &ListKey, as_of: Moment) {
        let at = self.seconds();
        self.memory().mirror.lists.asked(key, at, Some(as_of));
    }

    /// Notes that lists were asked for.
    pub fn lists_asked(&self, key: &ListKey) {
        let at = self.seconds();
        self.memory().mirror.lists.asked(key, at, None);
    }

    /// Whether lists that were never recorded may be.
    pub fn has_room_for_lists(&self, generator: &str) -> bool {
        let (count, bytes) = self.memory().mirror.lists.size(generator);
        count < MOST && bytes < MOST_BYTES
    }

    /// Records lists, if what is known of them is still the change `expected`. Tells whether it was.
    pub async fn record_lists(
        self: &Arc<Self>,
        key: &ListKey,
        expected: i64,
        record: ListRecord,
        as_of: Moment,
        until: Moment,
    ) -> Result<bool, LedgerError> {
        self.write_lists(key, expected, ListFact::Lists(record), as_of, until).await
    }

    /// Forgets lists, as if they had never been asked for. Tells whether there were any.
    pub async fn forget_lists(self: &Arc<Self>, key: &ListKey, until: Moment) -> Result<bool, LedgerError> {
        let Some(expected) = self.memory().mirror.lists.version(key) else { return Ok(false) };
        self.write_lists(key, expected, ListFact::Forgotten, self.clock.now(), until).await
    }

    /// Lists of a generator that nobody has asked for as long as that; the oldest first.
    pub fn lists_not_asked_for(&self, generator: &str, limit: Duration, count: usize) -> Vec<ListKey> {
        let since = self.seconds().saturating_sub(limit.as_secs());
        self.memory().mirror.lists.not_asked_since(generator, since, count)
    }

    /// What the guards hold back, in order.
    pub async fn held_back(&self, until: Moment) -> Result<Vec<(ListKey, Arc<ListRecord>)>, LedgerError> {
        self.refresh(until).await?;
        Ok(self.memory().mirror.lists.held_back())
    }

    /// How many answers of each generator the guards hold back, as far as memory knows.
    pub fn held_back_now(&self) -> BTreeMap<Arc<str>, u64> {
        let mut held: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (key, _) in self.memory().mirror.lists.held_back() {
            *held.entry(key.generator).or_default() += 1;
        }
        held
    }

    /// Lets through what the guard holds back of these lists, if they are still so. Tells whether they were.
    pub async fn release(
        self: &Arc<Self>,
        key: &ListKey,
        held: &ListRecord,
        until: Moment,
    ) -> Result<bool, LedgerError> {
        let known = self.lists(key, until).await?;
        if known.record.as_deref() != Some(held) {
            return Ok(false);
        }
        let released = held.guarded.held_back.map(|held_back| held_back.vanish);
        let record = ListRecord { guarded: Guarded { released, ..held.guarded.clone() }, ..held.clone() };
        self.record_lists(key, known.version, record, known.as_of, until).await
    }

    /// Writes a fact about lists, in a task of its own: a caller that hangs up must not leave memory behind the store.
    async fn write_lists(
        self: &Arc<Self>,
        key: &ListKey,
        expected: i64,
        fact: ListFact,
        as_of: Moment,
        until: Moment,
    ) -> Result<bool, LedgerError> {
        let this = Arc::clone(self);
        let write = ListWrite { key: key.clone(), expected, fact, as_of, asked_at: self.seconds() };
        let work = tokio::spawn(async move { this.write_lists_here(write, until).await });
        work.await.map_err(|_| LedgerError::new(BROKE_DOWN))?
    }

    async fn write_lists_here(&self, write: ListWrite, until: Moment) -> Result<bool, LedgerError> {
        let _alone = self.writing.lock().await;
        self.refresh(until).await?;
        let mut batch = {
            let mut memory = self.memory();
            if memory.mirror.lists.version(&write.key).unwrap_or(0) != write.expected {
                return Ok(false);
            }
            Batch { lists: vec![write], ..std::mem::take(&mut memory.pending) }
        };
        match self.commit(&mut batch, until).await? {
            Committed::After(_) => Ok(true),
            Committed::Conflict => {
                self.catch_up(until).await?;
                Ok(false)
            }
        }
    }
}

/// Lists as the ledger has them.
#[derive(Clone, Debug)]
pub(super) struct ListRow {
    pub(super) key: ListKey,
    pub(super) change: i64,
    /// What is recorded, or why that cannot be read.
    pub(super) fact: Result<ListFact, Arc<str>>,
    pub(super) asked_at: u64,
}

/// Lists as they are to be, if they are still as `expected`.
#[derive(Clone, Debug)]
pub(super) struct ListWrite {
    pub(super) key: ListKey,
    /// The change that is to be replaced; 0 for none.
    pub(super) expected: i64,
    pub(super) fact: ListFact,
    pub(super) as_of: Moment,
    /// When they were asked for, in seconds since 1970.
    pub(super) asked_at: u64,
}

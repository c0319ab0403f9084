//! What the ledger says: of a line, of a build that is to be recorded, and of itself where it cannot be used.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    clock::Moment,
    domain::{Branch, Build, CommitSha, Line, Repo},
};

/// What is said of a ledger that another process uses.
pub(in crate::ledger) const IN_USE: &str = "another lastgreen uses it";

/// What a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
}

/// A build to be recorded, and what it must not replace.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The build.
    pub build: Build,
    /// The head branch's name.
    pub branch: Branch,
    /// Whether that branch lives in the repository itself.
    pub own: bool,
    /// When GitHub was asked for what it rests on.
    pub as_of: Moment,
    /// The commits of the same walk that are newer than the build's.
    pub newer: Vec<CommitSha>,
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

/// A line of the ledger, for people.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The line.
    pub key: LineKey,
    /// The repository's name, where it is known.
    pub repository: Option<Repo>,
    /// What is known of it, or why its record cannot be read.
    pub known: Result<Known, Arc<str>>,
    /// When it was asked last.
    pub asked_at: Option<DateTime<Utc>>,
}

/// The ledger could not be read or written. The text is the same for the same cause, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the ledger cannot be used: {0}")]
pub struct LedgerError(Arc<str>);

impl LedgerError {
    /// Whether nothing is wrong but that another lastgreen, which may be the service, uses the ledger.
    pub fn is_in_use(&self) -> bool {
        self.0.starts_with(IN_USE)
    }

    pub(super) fn new(what: impl Into<Arc<str>>) -> Self {
        Self(what.into())
    }
}

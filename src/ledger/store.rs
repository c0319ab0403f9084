//! Where the ledger is kept: in a file (SQLite), in a database that replicas share (PostgreSQL), or nowhere.
//!
//! ```text
//! store ─ connection: opened when first needed, bounded in time, resting after a failure
//!       ├ schema: tables, and how older ones become today's
//!       └ queries: what changed since, and the one transaction that changes anything
//! ```
//!
//! Every change has a number, one higher than the last one of the whole ledger. The counter's row is the lock under
//! which all writers stand in line, so whoever has seen a number has seen all below it: what is new is what is higher.

mod connection;
mod failure;
mod file;
mod queries;
mod schema;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

pub(super) use self::connection::{Connection, PATIENCE, PgListening};
use super::{
    LedgerError, LineKey,
    lists::{ListKey, ListRow, ListWrite},
    merges::TestMerge,
    record::Fact,
    trust::TrustKey,
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, Repo},
    upstream::{Secret, SecretFile},
};

/// Where a ledger is to be kept.
#[derive(Debug)]
pub enum Source {
    /// Nowhere: it ends with the process.
    Memory,
    /// In this file, by this process alone.
    Sqlite(PathBuf),
    /// In the PostgreSQL database of this URL.
    Postgres(Secret),
    /// By the URL in this file, `sqlite:` or `postgres:`.
    UrlFile(SecretFile),
}

#[derive(Debug)]
pub(super) enum Store {
    Memory { change: AtomicI64 },
    Sql(Box<Connection>),
}

/// When a line was asked last, in seconds since 1970, and for how long its hold's clock has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) at: u64,
    pub(super) not_yet_seconds: u64,
}

/// A line as the ledger has it.
#[derive(Clone, Debug)]
pub(super) struct LineRow {
    pub(super) key: LineKey,
    pub(super) change: i64,
    /// The name under which it was recorded.
    pub(super) branch: Option<Branch>,
    /// What is recorded, or why that cannot be read.
    pub(super) fact: Result<Fact, Arc<str>>,
    pub(super) asked: Asked,
}

/// A line as it is to be, if it is still as `expected`.
#[derive(Clone, Debug)]
pub(super) struct LineWrite {
    pub(super) key: LineKey,
    /// The change that is to be replaced; 0 for none.
    pub(super) expected: i64,
    pub(super) fact: Fact,
    /// As of when it is right: a read of GitHub that began before must not replace it.
    pub(super) as_of: Moment,
    /// When it was asked, in seconds since 1970.
    pub(super) asked_at: u64,
    /// It must not have been asked since then, in seconds since 1970, whoever was asked.
    pub(super) unless_asked_since: u64,
}

/// What is written in one transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<LineWrite>,
    pub(super) merges: Vec<TestMerge>,
    pub(super) dropped_merges: Vec<TestMerge>,
    pub(super) forgotten_pulls: Vec<(u64, u64)>,
    pub(super) repositories: Vec<(Repo, u64)>,
    pub(super) watches: Vec<(TrustKey, u64)>,
    /// Lines, each as of a change, and what is to be known of their questions.
    pub(super) asked: Vec<(LineKey, i64, Asked)>,
    /// Lines, each as of a change, whose hold's clock has begun to run: others must know, for one of them may see the
    /// build that puts it back.
    pub(super) held: Vec<(LineKey, i64)>,
    pub(super) lists: Vec<ListWrite>,
    /// When lists were asked for last, in seconds since 1970.
    pub(super) asked_lists: Vec<(ListKey, u64)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.numbered() == 0
            && self.asked.is_empty()
            && self.asked_lists.is_empty()
            && self.dropped_merges.is_empty()
            && self.forgotten_pulls.is_empty()
    }

    /// Takes back what was not written.
    pub(super) fn put_back(&mut self, batch: Self) {
        let Self { merges, dropped_merges, forgotten_pulls, repositories, .. } = batch;
        self.merges.splice(0..0, merges);
        self.dropped_merges.splice(0..0, dropped_merges);
        self.forgotten_pulls.splice(0..0, forgotten_pulls);
        self.repositories.splice(0..0, repositories);
    }

    /// How many changes it is.
    pub(super) fn numbered(&self) -> i64 {
        let Self { lines, merges, repositories, watches, held, lists, .. } = self;
        let count = lines.len() + merges.len() + repositories.len() + watches.len() + held.len() + lists.len();
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It is written, as the changes after this one.
    After(i64),
    /// Nothing is written: somebody else has changed one of its lines, or it is another ledger or an older state of it now.
    Conflict,
}

/// What is new in a ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// Whether it is another ledger than before, or an older state of it: then this is all that it holds.
    pub(super) replaced: bool,
    /// The ledger's own name.
    pub(super) id: String,
    /// The last change that is in here together with all before it.
    pub(super) change: i64,
    pub(super) lines: Vec<LineRow>,
    pub(super) lists: Vec<ListRow>,
    pub(super) merges: Vec<TestMerge>,
    pub(super) repositories: Vec<(Repo, u64)>,
    pub(super) watches: Vec<(TrustKey, u64)>,
}

impl Store {
    pub(super) fn new(source: Source, clock: SharedClock) -> Self {
        match source {
            Source::Memory => Self::Memory { change: AtomicI64::new(0) },
            source => Self::Sql(Box::new(Connection::new(source, clock))),
        }
    }

    /// Whether this process alone uses the ledger.
    pub(super) fn is_alone(&self) -> bool {
        match self {
            Self::Memory { .. } => true,
            Self::Sql(connection) => connection.is_alone(),
        }
    }

    /// Whether the database has something to do.
    pub(super) fn is_working(&self) -> bool {
        matches!(self, Self::Sql(connection) if connection.is_working())
    }

    /// What changed after `change` in the ledger `id`; all of it if it is another one.
    pub(super) async fn news(&self, id: &str, change: i64, until: Moment) -> Result<Option<News>, LedgerError> {
        match self {
            Self::Memory { .. } => Ok(None),
            Self::Sql(connection) => connection.news(id, change, until).await,
        }
    }

    /// Writes a batch into the ledger `id`, durably; not into a state of it that is older than `seen`.
    pub(super) async fn commit(
        &self,
        id: &str,
        seen: i64,
        batch: &Batch,
        until: Moment,
    ) -> Result<Committed, LedgerError> {
        match self {
            Self::Memory { change } => Ok(Committed::After(change.fetch_add(batch.numbered(), Ordering::Relaxed))),
            Self::Sql(connection) => connection.commit(id, seen, batch, until).await,
        }
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        if let Self::Sql(connection) = self {
            connection.close().await;
        }
    }
}

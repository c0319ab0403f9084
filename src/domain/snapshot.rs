//! What one read of GitHub said about a branch name or a pull request, as plain data.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Branch, Check, CommitSha, Repo};
use crate::clock::Moment;

/// One read of GitHub. Nothing in it was judged.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When the request was sent: what GitHub says is at least as new as this.
    pub began: Moment,
    /// GitHub's own time when it answered (its `Date` header).
    pub github_time: DateTime<Utc>,
    /// The repository as GitHub knows it today.
    pub repository: Repository,
    /// The repository's own branch of that name. `None` if there is none, and where a pull request was asked for by number.
    pub own_branch: Option<Tip>,
    /// The open pull requests with that head name, lowest number first; or the one that was asked for, open or not.
    pub pulls: Vec<Pull>,
    /// As of when these are all of that head name: earlier than `began` where they were listed before they were read.
    pub named: Moment,
    /// Whether more open pull requests have that head name than GitHub was asked for.
    pub more_pulls: bool,
}

/// A repository by what never changes and by what may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// GitHub's `databaseId`: survives renaming and transfer.
    pub id: u64,
    /// Its name today.
    pub name: Repo,
}

/// A branch's head and the newest part of its history.
#[derive(Clone, Debug)]
pub struct Tip {
    /// The head commit.
    pub head: CommitSha,
    /// Commits reachable from the head, in no order that matters.
    pub commits: Commits,
}

/// A pull request.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Whether it is open.
    pub open: bool,
    /// Whether its head lives in another repository (or in none any more).
    pub from_fork: bool,
    /// The head branch's name today.
    pub branch: Branch,
    /// The head commit.
    pub head: CommitSha,
    /// GitHub's test merge of head and base, where it has one for this very head.
    pub test_merge: Option<CommitSha>,
    /// The pull request's own commits (reachable from the head, not from the base), in no order that matters.
    /// `None` where GitHub was not asked for them.
    pub commits: Option<Commits>,
}

/// Some commits, and where to go on if there are more.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// Those that were loaded.
    pub loaded: Vec<Arc<Commit>>,
    /// GitHub's cursor to further ones.
    pub more: Option<String>,
}

/// A commit with what CI said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its object name.
    pub sha: CommitSha,
    /// Its parents in order.
    pub parents: Vec<CommitSha>,
    /// Its checks, superseded ones too.
    pub checks: Vec<Check>,
    /// GitHub's cursor to further checks.
    pub more_checks: Option<String>,
}

/// A commit's identity without checks, asked for by its object name: immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its object name.
    pub sha: CommitSha,
    /// Its parents in order.
    pub parents: Vec<CommitSha>,
    /// The first line of its message.
    pub headline: String,
    /// Whether the committer is GitHub itself (name `GitHub`, `noreply@github.com`).
    pub by_github: bool,
}

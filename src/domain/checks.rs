//! What CI said of a commit, as plain data. Commits are many and the words of their checks the same: those are shared.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// One context of a commit's roll-up: a check run or a commit status, still with its superseded siblings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Who reported it.
    pub source: Source,
    /// The check run's name or the status' context.
    pub name: Arc<str>,
    /// What it came to.
    pub state: CheckState,
    /// GitHub's own word for it in lower case (`success`, `timed_out`, `in_progress`), for people.
    pub word: Arc<str>,
    /// What decides which of several is the newest: when it was started, else when its suite was made. A run that
    /// was queued but not started has none and is the newest.
    pub started_at: Option<DateTime<Utc>>,
    /// The last change that GitHub has a time for: completed, else started, else created.
    pub changed_at: Option<DateTime<Utc>>,
    /// GitHub's own number, which breaks ties; 0 for a status.
    pub id: u64,
}

/// Who reported a check. Only the newest of equal (source, name) counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A check run, of a GitHub App; for Actions also the workflow and the event that started it.
    Run {
        /// The app's number.
        app: Option<u64>,
        /// The workflow's name.
        workflow: Option<Arc<str>>,
        /// `push`, `pull_request`, …
        event: Option<Arc<str>>,
    },
    /// A commit status.
    Status,
}

/// What a check came to. What GitHub may add one day is [`CheckState::Pending`]: not green, not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CheckState {
    /// `success`.
    Passed,
    /// `skipped` or `neutral`.
    Skipped,
    /// Not finished, `stale`, or unknown.
    Pending,
    /// `failure`, `error`, `timed_out`, `cancelled`, `action_required`, `startup_failure`.
    Failed,
}

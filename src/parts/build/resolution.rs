//! What one attempt at an answer came to.

use std::{sync::Arc, time::Duration};

use super::{considered::Considered, line::StaleRead};
use crate::{
    clock::Moment,
    domain::{Branch, Build, CommitSha},
    ledger::{LineKey, Record},
    upstream::UpstreamError,
};

/// What the upstreams came to say.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This is the last green build.
    Ready(Build),
    /// There is none.
    NotYet,
    /// They could not say.
    Unknown,
    /// The pull request comes from a fork, and forks are refused.
    ForkRefused,
}

/// The line that a question meant.
#[derive(Clone, Debug)]
pub struct Meant {
    /// Its key in the ledger.
    pub key: LineKey,
    /// The head branch's name.
    pub branch: Branch,
    /// Whether that branch is the repository's own.
    pub own: bool,
}

/// Everything about one attempt at an answer.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any may go with any")]
pub struct Resolution {
    /// What came out.
    pub outcome: Outcome,
    /// The line, where it could be told.
    pub line: Option<Meant>,
    /// Whether nobody can tell if this line was answered before: several may be meant, or it may have been another's.
    pub ambiguous: bool,
    /// The one explanation.
    pub reason: String,
    /// Every commit that was considered, newest first.
    pub considered: Arc<[Considered]>,
    /// When GitHub was asked for what this rests on.
    pub as_of: Moment,
    /// The earliest moment at which asking again may help.
    pub again_at: Option<Moment>,
    /// Until when the same question would come to the same without a look at any upstream; the past if nobody can tell.
    pub good_until: Moment,
    /// Whether an upstream is down, limits us or refuses us.
    pub upstream_failed: bool,
    /// Whether the head is decided for good, as far as anybody can tell.
    pub is_final: bool,
    /// How old it may be when it is answered from memory, if it is not final and that is longer than for what CI still
    /// decides: the head is green, and has been waiting for its images.
    pub fresh_for: Option<Duration>,
    /// Whether what was answered last is still green and on the walk. Its digests are recorded, so what it lacks is what
    /// the configuration did not want then.
    pub reconfigured: bool,
    /// What was answered before, as the line that this one came from, where the ledger could not be told of that.
    pub inherited: Option<Arc<Record>>,
    /// Whether GitHub shows no such pull request, so that nothing is known of it.
    pub unseen: bool,
    /// Whether what was recorded last under the branch's name is another line's, and not to be inherited: as of when that
    /// is right. An older read may not have shown yet that the branch gained or lost its pull request.
    pub disowns: Option<Moment>,
    /// The doubt that made it unknown.
    pub(super) doubted: Option<StaleRead>,
}

impl Resolution {
    /// The same, for another reason.
    #[must_use]
    pub fn because(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }

    /// Whether it is unknown only until a second read of GitHub.
    pub fn is_doubted(&self) -> bool {
        self.doubted.is_some()
    }

    /// The commits that are newer than the build that was found.
    pub fn newer(&self) -> Vec<CommitSha> {
        let found = match &self.outcome {
            Outcome::Ready(build) => Some(build.commit()),
            _ => None,
        };
        self.considered
            .iter()
            .map(|considered| considered.commit.sha)
            .take_while(|commit| Some(*commit) != found)
            .collect()
    }

    pub(super) fn of(outcome: Outcome, line: Option<Meant>, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            line,
            ambiguous: false,
            reason: reason.into(),
            considered: Arc::default(),
            as_of: Moment::START,
            again_at: None,
            good_until: Moment::START,
            upstream_failed: false,
            is_final: false,
            fresh_for: None,
            reconfigured: false,
            inherited: None,
            unseen: false,
            disowns: None,
            doubted: None,
        }
    }

    pub(super) fn failed(line: Option<Meant>, error: &UpstreamError, now: Moment) -> Self {
        Self {
            again_at: Some(error.again_at(now)),
            upstream_failed: true,
            ..Self::of(Outcome::Unknown, line, error.to_string())
        }
    }

    pub(super) fn doubted(line: Option<Meant>, doubt: StaleRead) -> Self {
        Self {
            again_at: Some(doubt.again_at),
            doubted: Some(doubt.clone()),
            ..Self::of(Outcome::Unknown, line, doubt.reason)
        }
    }
}

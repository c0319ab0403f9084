//! The gate: a line's commits from GitHub, newest first, each judged; more is loaded only as the walk needs it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    clock::Moment,
    domain::{
        Chain, ChainEnd, CiPolicy, Commit, CommitSha, Commits, ReadTime, Repository, Role, Route, Verdict, chain,
        judge, roles,
    },
    github::{CommitsOf, GitHub},
    upstream::UpstreamError,
};

/// A line as it is walked.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) github: &'a GitHub,
    pub(super) policy: &'a CiPolicy,
    pub(super) limit: usize,
    pub(super) repository: &'a Repository,
    pub(super) head: CommitSha,
    pub(super) of: CommitsOf,
    pub(super) commits: Commits,
    /// When the snapshot was asked for: further pages must be no older.
    pub(super) began: Moment,
    /// When GitHub answered, by its own clock.
    pub(super) read_at: DateTime<Utc>,
    /// When the head was first seen, by GitHub's clock.
    pub(super) first_seen: DateTime<Utc>,
}

/// The verdict on one commit and what it rests on.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// The commit with all its checks.
    pub(super) commit: Arc<Commit>,
    /// Their parts.
    pub(super) roles: Box<[Role]>,
    /// When CI said something of it last, by GitHub's clock; ignored checks aside.
    pub(super) changed_at: DateTime<Utc>,
}

impl Walk<'_> {
    /// The chain as far as it is loaded.
    pub(super) fn chain(&self) -> Chain {
        let route = match self.of {
            CommitsOf::Pull(_) => Route::Own,
            CommitsOf::History(_) => Route::FirstParents,
        };
        chain(self.head, &self.commits, route, self.limit)
    }

    /// The chain, loaded at least as far as its `index`th commit if it has that many.
    pub(super) async fn reach(&mut self, index: usize) -> Result<Chain, UpstreamError> {
        loop {
            let chain = self.chain();
            if chain.commits.len() > index || !matches!(chain.end, ChainEnd::Unloaded(_)) {
                return Ok(chain);
            }
            let Some(cursor) = self.commits.more.take() else { return Ok(chain) };
            let page = self.github.more_commits(&self.repository.name, &self.of, &cursor, self.began).await;
            let page = page.inspect_err(|_| self.commits.more = Some(cursor))?;
            self.commits.loaded.extend(page.loaded.iter().cloned());
            self.commits.more.clone_from(&page.more);
        }
    }

    /// Judges a commit, with all its checks.
    pub(super) async fn judge(&self, commit: &Arc<Commit>) -> Result<Judged, UpstreamError> {
        let commit = self.with_all_checks(commit).await?;
        let time = ReadTime { read_at: self.read_at, first_seen: self.first_seen };
        let judged = roles(&commit, self.policy);
        let said = judged.iter().filter(|judged| !matches!(judged.role, Role::Superseded | Role::Ignored));
        let changed_at = said.filter_map(|judged| judged.check.changed_at).max().unwrap_or(self.first_seen);
        let roles = judged.iter().map(|judged| judged.role).collect();
        let verdict = judge(&commit, self.policy, time);
        Ok(Judged { verdict, commit, roles, changed_at })
    }

    async fn with_all_checks(&self, commit: &Arc<Commit>) -> Result<Arc<Commit>, UpstreamError> {
        let Some(mut cursor) = commit.more_checks.clone() else { return Ok(Arc::clone(commit)) };
        let mut whole = Commit::clone(commit);
        loop {
            let page = self.github.more_checks(&self.repository.name, commit.sha, &cursor, self.began).await?;
            whole.checks.extend(page.checks.iter().cloned());
            match &page.more {
                Some(next) => cursor.clone_from(next),
                None => break,
            }
        }
        whole.more_checks = None;
        Ok(Arc::new(whole))
    }
}

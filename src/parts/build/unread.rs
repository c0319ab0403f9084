//! While GitHub cannot be read: the line that a question means by what is remembered alone, and what is made of it.

use std::sync::Arc;

use super::{BuildPart, Meant, Resolution, line::MeantLine};
use crate::{
    domain::{CommitSha, Line, Question},
    ledger::{LineKey, Newer},
    upstream::{Kind, UpstreamError},
};

impl BuildPart {
    /// The commit that a line is known to have had.
    pub(super) fn last_known(&self, meant: &Meant) -> Option<CommitSha> {
        let recorded = || self.ledger.item(&meant.key).map(|record| record.build.commit());
        self.sightings.last_head(meant.key.repository, &meant.key.line).or_else(recorded)
    }

    /// What a failure before anything is known of a line's record means: nobody can tell whether another line's record
    /// is its own.
    pub(super) fn failed_early(&self, meant: &MeantLine, error: &UpstreamError) -> Resolution {
        let other = self.ledger.newer_of_same_branch(&meant.key, &meant.branch);
        let ambiguous = !meant.from_fork && other.is_some();
        Resolution { ambiguous, ..Resolution::failed(Some(meant.meant()), error, self.clock.now()) }
    }

    /// Time is up: the line is the one that memory knows.
    pub fn late(&self, question: &Question) -> Resolution {
        let error =
            UpstreamError::new("lastgreen", Kind::Unavailable, "GitHub and the registries gave no answer in time");
        self.unread(question, &error)
    }

    /// Nobody looked: the line is the one that memory knows.
    pub fn unasked(&self, question: &Question, reason: &str) -> Resolution {
        let resolution = self.unread(question, &UpstreamError::new("lastgreen", Kind::Unavailable, reason));
        // That says nothing about an upstream.
        Resolution { upstream_failed: false, reason: reason.to_owned(), ..resolution }
    }

    /// GitHub could not be read: the line is the one that memory knows.
    pub(super) fn unread(&self, question: &Question, error: &UpstreamError) -> Resolution {
        let repository = self.ledger.repository(&self.options.repository);
        let line = self.line_without_github(question, repository);
        // Of several lines nobody can tell which is meant; that matters only where some of them were answered. And a
        // line that has just come from another one may have been answered as that.
        let ambiguous = match (&line, repository) {
            (None, Some(repository)) => !self.answered_lines(question, repository).is_empty(),
            (Some(meant), _) => {
                meant.own
                    && !self.ledger.has_item(&meant.key)
                    && self.ledger.newer_of_same_branch(&meant.key, &meant.branch).is_some()
            }
            (None, None) => false,
        };
        Resolution { ambiguous, ..Resolution::failed(line, error, self.clock.now()) }
    }

    /// Those lines of the name that was asked for which have an item.
    pub(super) fn answered_lines(&self, question: &Question, repository: u64) -> Vec<Line> {
        let key =
            |line: &Line| LineKey { generator: Arc::clone(&self.options.generator), repository, line: line.clone() };
        let lines = self.sightings.lines_of(repository, &question.branch);
        lines.iter().filter(|line| self.ledger.has_item(&key(line))).cloned().collect()
    }

    /// The line that a question means by what is remembered alone: the number; else the line that once had this head;
    /// else the only line of that name, or without a head the one recorded last.
    pub(super) fn line_without_github(&self, question: &Question, repository: Option<u64>) -> Option<Meant> {
        let repository = repository?;
        let branch = &question.branch;
        let lines = self.sightings.lines_of(repository, branch);
        let key =
            |line: &Line| LineKey { generator: Arc::clone(&self.options.generator), repository, line: line.clone() };
        let recorded = || self.ledger.line_by_name(&self.options.generator, repository, branch);
        let has_newer_item =
            |line: &Line| matches!(self.ledger.newer_of_same_branch(&key(line), branch), Some(Newer::Item(..)));
        let with_head = |sha| lines.iter().find(|line| self.sightings.knows_head(repository, line, sha)).cloned();
        let line = match (question.number, question.head_sha, &*lines) {
            (Some(number), ..) => Line::Pull(number),
            (None, Some(sha), _) if with_head(sha).is_some() => with_head(sha)?,
            // Whoever asked by this name was told that there is nothing, and is not told of what another line had before.
            // An item that was recorded since, as the branch gained or lost its pull request, is the last word.
            (None, None, [only]) if self.ledger.has_nothing(&key(only)) && !has_newer_item(only) => only.clone(),
            (None, None, _) if recorded().is_some() => recorded()?,
            (None, _, [only]) => only.clone(),
            // Nobody has read this name since the process began: what is recorded tells, be it that there was nothing.
            (None, _, []) => recorded()?,
            // Of several, the only one that was answered: the others have nothing to lose. But what was answered for a
            // fork is nothing for a head that may be the own branch's.
            (None, head, _) => match self.answered_lines(question, repository).as_slice() {
                [only] if head.is_none() || self.ledger.is_own(&key(only)) == Some(true) => only.clone(),
                // Where all are known to have nothing, it does not matter which is meant.
                [] if lines.iter().all(|line| self.ledger.has_nothing(&key(line))) => lines.first()?.clone(),
                _ => return None,
            },
        };
        let key = key(&line);
        let own = self.ledger.is_own(&key).unwrap_or(true);
        Some(Meant { key, branch: branch.clone(), own })
    }
}

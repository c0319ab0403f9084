//! Pull requests.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::names::Oid;

/// A pull request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Database id; 0 lets the world choose.
    #[serde(default)]
    pub id: u64,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Open, closed or merged.
    #[serde(default)]
    pub state: PullState,
    /// Where the head branch lives.
    #[serde(default)]
    pub head_repository: HeadRepository,
    /// The head branch.
    pub head: String,
    /// The head commit; by default the tip of the head branch.
    #[serde(default)]
    pub head_sha: Option<Oid>,
    /// The base branch; by default the default branch.
    #[serde(default)]
    pub base: String,
    /// The base branch's tip when the head last moved, which is what GitHub keeps.
    #[serde(default)]
    pub base_sha: Option<Oid>,
    /// Whether GitHub could merge it; only then there is a test merge.
    #[serde(default)]
    pub mergeable: Mergeability,
    /// GitHub's test merge of the head into the base.
    #[serde(default)]
    pub test_merge: Option<Oid>,
    /// The commit that merged it.
    #[serde(default)]
    pub merge_commit: Option<Oid>,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// The names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Who opened it; `None` is a deleted account.
    #[serde(default = "Pull::dev")]
    pub author: Option<String>,
    /// When it was opened; by default now.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed; by default when it was opened.
    #[serde(default)]
    pub updated_at: Option<DateTime<Utc>>,
}

impl Pull {
    /// A new open pull request from a branch of the same repository into the default branch.
    pub fn new(number: u64, head: &str) -> Self {
        Self {
            number,
            id: 0,
            title: format!("Pull request {number}"),
            state: PullState::Open,
            head_repository: HeadRepository::Own,
            head: head.to_owned(),
            head_sha: None,
            base: String::new(),
            base_sha: None,
            mergeable: Mergeability::Mergeable,
            test_merge: None,
            merge_commit: None,
            draft: false,
            labels: Vec::new(),
            author: Self::dev(),
            created_at: None,
            updated_at: None,
        }
    }

    /// The same, from a fork.
    #[must_use]
    pub fn from_fork(mut self, full_name: &str) -> Self {
        self.head_repository = HeadRepository::Fork(full_name.to_owned());
        self
    }

    /// The same, into another branch.
    #[must_use]
    pub fn into_base(mut self, branch: &str) -> Self {
        branch.clone_into(&mut self.base);
        self
    }

    /// The head commit.
    ///
    /// # Panics
    /// Never in a world that was loaded or changed by its verbs, which fill it in.
    pub fn head_sha(&self) -> &Oid {
        self.head_sha.as_ref().expect("a pull request of a world has a head")
    }

    #[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
    fn dev() -> Option<String> {
        Some("dev".to_owned())
    }
}

/// The state of a pull request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullState {
    /// Open.
    #[default]
    Open,
    /// Closed without being merged.
    Closed,
    /// Merged.
    Merged,
}

/// Whether GitHub could make a test merge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mergeability {
    /// It could.
    #[default]
    Mergeable,
    /// Head and base conflict.
    Conflicting,
    /// GitHub has not found out yet.
    Unknown,
}

/// The repository of a pull request's head branch; in YAML `own`, `deleted` or the fork's `owner/name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HeadRepository {
    /// The same repository.
    #[default]
    Own,
    /// A fork, by its full name.
    Fork(String),
    /// A fork that was deleted since.
    Deleted,
}

impl From<String> for HeadRepository {
    fn from(text: String) -> Self {
        match text.as_str() {
            "own" => Self::Own,
            "deleted" => Self::Deleted,
            _ => Self::Fork(text),
        }
    }
}

impl From<HeadRepository> for String {
    fn from(head: HeadRepository) -> Self {
        match head {
            HeadRepository::Own => "own".to_owned(),
            HeadRepository::Deleted => "deleted".to_owned(),
            HeadRepository::Fork(name) => name,
        }
    }
}

impl super::GitHubWorld {
    /// The repository that a pull request's head branch is in, unless it is gone.
    pub fn head_repository<'a>(&'a self, base: &'a super::Repository, pull: &Pull) -> Option<&'a super::Repository> {
        match &pull.head_repository {
            HeadRepository::Own => Some(base),
            HeadRepository::Fork(name) => self.repository(name),
            HeadRepository::Deleted => None,
        }
    }

    /// The tip of a pull request's head branch, unless it is gone.
    pub fn head_tip(&self, base: &super::Repository, pull: &Pull) -> Option<Oid> {
        self.head_repository(base, pull)?.branches.get(&pull.head).cloned()
    }
}

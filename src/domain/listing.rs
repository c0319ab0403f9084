//! The open pull requests of a repository, as they were listed page by page.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{Branch, Pull, Repository};
use crate::clock::Moment;

/// A pull request on a page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The pull request, without its commits.
    pub pull: Pull,
    /// Whether all checks of its head have passed, superseded ones too. `false` says nothing.
    pub passed: bool,
    /// GitHub's cursor to the commits before its head, if there are any.
    pub more: Option<String>,
    /// When its page was asked for.
    pub began: Moment,
    /// GitHub's own time when the page was answered.
    pub github_time: DateTime<Utc>,
}

/// The open pull requests, newest first, as far as they were read.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When its first page was asked for: of what was open then, nothing is missing once it is complete.
    pub began: Moment,
    /// The repository as GitHub knows it today.
    pub repository: Repository,
    /// Whether it has all of them.
    pub complete: bool,
    pulls: Vec<Arc<Listed>>,
    by_number: HashMap<u64, usize>,
    by_branch: HashMap<Branch, Vec<usize>>,
}

impl Listing {
    /// A listing without a page.
    pub fn new(began: Moment, repository: Repository) -> Self {
        Self {
            began,
            repository,
            complete: false,
            pulls: Vec::new(),
            by_number: HashMap::new(),
            by_branch: HashMap::new(),
        }
    }

    /// Adds a page. A pull request that moved to it from an earlier one is kept as it is on this.
    pub fn add(&mut self, page: Vec<Listed>) {
        for listed in page {
            let listed = Arc::new(listed);
            if let Some(at) = self.by_number.get(&listed.pull.number) {
                self.pulls[*at] = listed;
                continue;
            }
            let at = self.pulls.len();
            self.by_number.insert(listed.pull.number, at);
            self.by_branch.entry(listed.pull.branch.clone()).or_default().push(at);
            self.pulls.push(listed);
        }
    }

    /// All that were read.
    pub fn pulls(&self) -> &[Arc<Listed>] {
        &self.pulls
    }

    /// Where a pull request stands.
    pub fn position(&self, number: u64) -> Option<usize> {
        self.by_number.get(&number).copied()
    }

    /// A pull request by its number.
    pub fn by_number(&self, number: u64) -> Option<&Arc<Listed>> {
        self.pulls.get(self.position(number)?)
    }

    /// The pull request that a bare branch name means for sure: the only open one with this head, and the repository's
    /// own. A fork's may have an own branch of the same name beside it.
    pub fn only_own(&self, branch: &Branch) -> Option<&Arc<Listed>> {
        match self.by_branch.get(branch)?.as_slice() {
            [at] if self.complete => self.pulls.get(*at).filter(|listed| !listed.pull.from_fork),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u64, branch: &str, from_fork: bool) -> Listed {
        Listed {
            pull: Pull {
                number,
                open: true,
                from_fork,
                branch: branch.parse().unwrap(),
                head: "a".repeat(40).parse().unwrap(),
                test_merge: None,
                commits: None,
            },
            passed: false,
            more: None,
            began: Moment::START,
            github_time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_bare_name_means_a_pull_request_only_where_nothing_else_can_be_meant() {
        let repository = Repository { id: 1, name: "myorg/myrepo".parse().unwrap() };
        let mut listing = Listing::new(Moment::START, repository);
        listing.add(vec![listed(4, "alone", false), listed(3, "twice", false)]);
        listing.add(vec![listed(3, "twice", false), listed(2, "twice", true), listed(1, "fork", true)]);
        let own = |listing: &Listing, branch: &str| {
            listing.only_own(&branch.parse().unwrap()).map(|listed| listed.pull.number)
        };
        assert_eq!(own(&listing, "alone"), None);
        listing.complete = true;
        assert_eq!(own(&listing, "alone"), Some(4));
        for branch in ["twice", "fork", "none"] {
            assert_eq!(own(&listing, branch), None, "{branch}");
        }
        assert_eq!(listing.pulls().len(), 4);
        assert_eq!(listing.position(2), Some(2));
    }
}

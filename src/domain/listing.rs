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

/// The open pull requests, newest first, as far as they were read. Pages are shared: a listing with one more of them
/// costs no more than that one.
#[derive(Clone, Debug)]
pub struct Listing {
    /// When its first page was asked for: of what was open then, nothing is missing once it is complete.
    pub began: Moment,
    /// The repository as GitHub knows it today.
    pub repository: Repository,
    /// Whether it has all of them.
    pub complete: bool,
    pages: Vec<Arc<Page>>,
}

/// Some of them, in their order.
#[derive(Debug, Default)]
struct Page {
    /// How many are on the pages before it.
    before: usize,
    pulls: Vec<Listed>,
    by_number: HashMap<u64, usize>,
    by_branch: HashMap<Branch, Vec<usize>>,
}

impl Listing {
    /// A listing without a page.
    pub fn new(began: Moment, repository: Repository) -> Self {
        Self { began, repository, complete: false, pages: Vec::new() }
    }

    /// Adds a page. A pull request that is known from an earlier one stays where it is.
    pub fn add(&mut self, listed: Vec<Listed>) {
        let mut page = Page { before: self.len(), ..Page::default() };
        for listed in listed {
            let number = listed.pull.number;
            if self.position(number).is_none() && !page.by_number.contains_key(&number) {
                let at = page.pulls.len();
                page.by_number.insert(number, at);
                page.by_branch.entry(listed.pull.branch.clone()).or_default().push(at);
                page.pulls.push(listed);
            }
        }
        page.pulls.shrink_to_fit();
        self.pages.push(Arc::new(page));
    }

    /// How many were read.
    pub fn len(&self) -> usize {
        self.pages.last().map_or(0, |page| page.before + page.pulls.len())
    }

    /// Whether none was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that were read.
    pub fn pulls(&self) -> impl Iterator<Item = &Listed> {
        self.pages.iter().flat_map(|page| &page.pulls)
    }

    /// The one that stands there.
    pub fn at(&self, position: usize) -> Option<&Listed> {
        let page = self.pages.partition_point(|page| page.before + page.pulls.len() <= position);
        let page = self.pages.get(page)?;
        page.pulls.get(position - page.before)
    }

    /// Where a pull request stands.
    pub fn position(&self, number: u64) -> Option<usize> {
        self.pages.iter().find_map(|page| Some(page.before + page.by_number.get(&number)?))
    }

    /// A pull request by its number.
    pub fn by_number(&self, number: u64) -> Option<&Listed> {
        self.at(self.position(number)?)
    }

    /// The pull request that a bare branch name means for sure: the only open one with this head, and the repository's
    /// own. A fork's may have an own branch of the same name beside it.
    pub fn only_own(&self, branch: &Branch) -> Option<&Listed> {
        let named = self.pages.iter().filter_map(|page| Some((page, page.by_branch.get(branch)?)));
        let mut named = named.flat_map(|(page, at)| at.iter().filter_map(|at| page.pulls.get(*at)));
        match (named.next(), named.next()) {
            (Some(only), None) if self.complete && !only.pull.from_fork => Some(only),
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
        assert_eq!((listing.len(), listing.pulls().count()), (4, 4));
        assert_eq!(listing.position(2), Some(2));
        let numbers = |positions: std::ops::Range<usize>| {
            positions.map(|position| listing.at(position).map(|listed| listed.pull.number)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(0..5), [Some(4), Some(3), Some(2), Some(1), None]);
    }
}

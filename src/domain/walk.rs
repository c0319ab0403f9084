//! The walk: a line's own commits from the head back. Pure.
//!
//! A pull request's own commits are those that GitHub lists for it: reachable from its head and not from its base.
//! The walk goes from the head to the first parent that is one of them, so it can neither pass the merge base nor
//! stray into commits that were merged in from the base. A branch without a pull request is walked by first parents.

use std::{collections::HashMap, sync::Arc};

use super::{Commit, CommitSha, Commits};

/// How a line is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through the pull request's own commits only.
    Own,
    /// By first parents, as far as it goes.
    FirstParents,
}

/// A line's commits, newest first.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The commits.
    pub commits: Vec<Arc<Commit>>,
    /// What is behind the last one.
    pub end: ChainEnd,
}

/// Why a chain ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// There are no more: the merge base or a root was reached.
    Complete,
    /// As many as wanted.
    Limit,
    /// This commit was not loaded, and GitHub has more to load.
    Unloaded(CommitSha),
}

impl Chain {
    /// Whether `sha` is one of the commits.
    pub fn contains(&self, sha: CommitSha) -> bool {
        self.commits.iter().any(|commit| commit.sha == sha)
    }

    /// How far from the head `sha` is.
    pub fn position(&self, sha: CommitSha) -> Option<usize> {
        self.commits.iter().position(|commit| commit.sha == sha)
    }
}

/// At most `limit` commits from `head` back along `route`, as far as `commits` reaches.
pub fn chain(head: CommitSha, commits: &Commits, route: Route, limit: usize) -> Chain {
    let by_sha: HashMap<_, _> = commits.loaded.iter().map(|commit| (commit.sha, commit)).collect();
    let more = commits.more.is_some();
    let mut found: Vec<Arc<Commit>> = Vec::new();
    let mut next = Some(head);
    let end = loop {
        let Some(sha) = next else { break ChainEnd::Complete };
        if found.len() == limit {
            break ChainEnd::Limit;
        }
        let Some(&commit) = by_sha.get(&sha) else {
            break if more { ChainEnd::Unloaded(sha) } else { ChainEnd::Complete };
        };
        found.push(Arc::clone(commit));
        next = match route {
            Route::FirstParents => commit.parents.first().copied(),
            // A parent that may still be loaded is waited for: it could be an own commit.
            Route::Own => commit.parents.iter().copied().find(|parent| more || by_sha.contains_key(parent)),
        };
    };
    Chain { commits: found, end }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn sha(number: usize) -> CommitSha {
        format!("{number:040x}").parse().unwrap()
    }

    fn commit(number: usize, parents: &[usize]) -> Arc<Commit> {
        let parents = parents.iter().map(|parent| sha(*parent)).collect();
        Arc::new(Commit { sha: sha(number), parents, checks: Vec::new(), more_checks: None })
    }

    fn own(commits: Vec<Arc<Commit>>) -> Commits {
        Commits { loaded: commits, more: None }
    }

    fn numbers(chain: &Chain) -> Vec<CommitSha> {
        chain.commits.iter().map(|commit| commit.sha).collect()
    }

    #[test]
    fn a_merge_of_the_base_is_passed_on_the_own_side() {
        // 1 ← 2 ← 4(merge of base 9) ← 5; 9 is no own commit.
        let commits = own(vec![commit(2, &[1]), commit(4, &[2, 9]), commit(5, &[4])]);
        let walk = chain(sha(5), &commits, Route::Own, 20);
        assert_eq!(numbers(&walk), [sha(5), sha(4), sha(2)]);
        assert_eq!(walk.end, ChainEnd::Complete);
    }

    #[test]
    fn a_merge_made_the_other_way_round_still_finds_the_own_side() {
        let commits = own(vec![commit(2, &[1]), commit(4, &[9, 2])]);
        assert_eq!(numbers(&chain(sha(4), &commits, Route::Own, 20)), [sha(4), sha(2)]);
    }

    #[test]
    fn what_is_not_loaded_is_asked_for_only_if_there_is_more() {
        let mut commits = own(vec![commit(5, &[4])]);
        assert_eq!(chain(sha(5), &commits, Route::Own, 20).end, ChainEnd::Complete);
        commits.more = Some("cursor".to_owned());
        assert_eq!(chain(sha(5), &commits, Route::Own, 20).end, ChainEnd::Unloaded(sha(4)));
        assert_eq!(chain(sha(6), &commits, Route::Own, 20).end, ChainEnd::Unloaded(sha(6)));
        assert_eq!(chain(sha(5), &commits, Route::Own, 1).end, ChainEnd::Limit);
    }

    #[test]
    fn a_branch_follows_first_parents() {
        let commits = own(vec![commit(3, &[2, 8]), commit(8, &[1]), commit(2, &[1]), commit(1, &[])]);
        assert_eq!(numbers(&chain(sha(3), &commits, Route::FirstParents, 20)), [sha(3), sha(2), sha(1)]);
    }

    proptest! {
        #[test]
        fn the_walk_never_leaves_the_pull_request(
            edges in proptest::collection::vec((0usize..30, 0usize..30), 30),
            own_ones in proptest::collection::hash_set(0usize..30, 0..30),
            head in 0usize..30,
            limit in 1usize..40,
            more in any::<bool>(),
        ) {
            // Commit n has parents below n, so the graph has no cycle.
            let all: Vec<_> = edges.iter().enumerate().map(|(number, (first, second))| {
                let parents: Vec<_> = [*first, *second].into_iter().filter(|parent| *parent < number).collect();
                commit(number, &parents)
            }).collect();
            let listed: HashSet<_> = own_ones.iter().map(|number| sha(*number)).collect();
            let commits = Commits {
                loaded: all.iter().filter(|commit| listed.contains(&commit.sha)).cloned().collect(),
                more: more.then(|| "cursor".to_owned()),
            };
            let walk = chain(sha(head), &commits, Route::Own, limit);
            prop_assert!(walk.commits.len() <= limit);
            let mut seen = HashSet::new();
            for commit in &walk.commits {
                prop_assert!(listed.contains(&commit.sha));
                prop_assert!(seen.insert(commit.sha));
            }
            for pair in walk.commits.windows(2) {
                prop_assert!(pair[0].parents.contains(&pair[1].sha));
            }
        }
    }
}

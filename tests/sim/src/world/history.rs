//! Questions about the commit graph, answered as git would.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::github::{Commit, GitHubWorld, Repository};
use super::names::Oid;
use super::pull::Pull;

/// How one commit stands to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Commits of the head that the base lacks, oldest first.
    pub ahead: Vec<Oid>,
    /// How many commits of the base the head lacks.
    pub behind_by: usize,
    /// The best common ancestor, if histories meet at all.
    pub merge_base: Option<Oid>,
}

impl Comparison {
    /// GitHub's word for it.
    pub fn status(&self) -> &'static str {
        match (self.ahead.len(), self.behind_by) {
            (0, 0) => "identical",
            (_, 0) => "ahead",
            (0, _) => "behind",
            _ => "diverged",
        }
    }
}

impl GitHubWorld {
    /// The repositories that share objects with this one.
    pub fn network<'a>(&'a self, repository: &'a Repository) -> impl Iterator<Item = &'a Repository> {
        let root = self.root(repository);
        std::iter::once(repository).chain(
            self.repositories
                .iter()
                .filter(move |other| other.id != repository.id && std::ptr::eq(self.root(other), root)),
        )
    }

    fn root<'a>(&'a self, mut repository: &'a Repository) -> &'a Repository {
        while let Some(parent) = repository.fork_of.as_ref().and_then(|name| self.repository_followed(name)) {
            repository = parent;
        }
        repository
    }

    /// A commit by its full sha, wherever in the fork network it was pushed.
    pub fn commit<'a>(&'a self, repository: &'a Repository, oid: &Oid) -> Option<(&'a Oid, &'a Commit)> {
        repository
            .commits
            .get_key_value(oid)
            .or_else(|| self.network(repository).find_map(|other| other.commits.get_key_value(oid)))
    }

    /// Everything reachable from a commit, itself included.
    pub fn reachable(&self, repository: &Repository, from: &Oid) -> HashSet<Oid> {
        let mut seen = HashSet::new();
        let mut open = vec![from.clone()];
        while let Some(oid) = open.pop() {
            if let Some((_, commit)) = self.commit(repository, &oid)
                && seen.insert(oid)
            {
                open.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    /// Whether the first commit is the second or one of its ancestors.
    pub fn is_ancestor(&self, repository: &Repository, ancestor: &Oid, of: &Oid) -> bool {
        self.reachable(repository, of).contains(ancestor)
    }

    /// History from a commit as `git log` lists it: newest commit date first, a child always before its parents where dates
    /// agree.
    pub fn log(&self, repository: &Repository, from: &Oid) -> Vec<Oid> {
        let mut out = Vec::new();
        let mut seen = HashSet::from([from.clone()]);
        let mut open = BinaryHeap::new();
        let mut turn = 0_u64;
        if let Some((oid, commit)) = self.commit(repository, from) {
            open.push((commit.committed(), Reverse(turn), oid.clone()));
        }
        while let Some((_, _, oid)) = open.pop() {
            let parents =
                self.commit(repository, &oid).map(|(_, commit)| commit.parents.as_slice()).unwrap_or_default();
            for parent in parents {
                if seen.insert(parent.clone())
                    && let Some((_, commit)) = self.commit(repository, parent)
                {
                    turn += 1;
                    open.push((commit.committed(), Reverse(turn), parent.clone()));
                }
            }
            out.push(oid);
        }
        out
    }

    /// Head against base.
    pub fn compare(&self, repository: &Repository, base: &Oid, head: &Oid) -> Comparison {
        let of_base = self.reachable(repository, base);
        let of_head = self.reachable(repository, head);
        let mut ahead: Vec<Oid> = self.log(repository, head).into_iter().filter(|oid| !of_base.contains(oid)).collect();
        ahead.reverse();
        let behind_by = of_base.iter().filter(|oid| !of_head.contains(*oid)).count();
        // The first common commit in the log may still be an ancestor of another one where dates lie.
        let common: Vec<Oid> = self.log(repository, head).into_iter().filter(|oid| of_base.contains(oid)).collect();
        let mut dominated = HashSet::new();
        for oid in &common {
            if !dominated.contains(oid) {
                let below = self.reachable(repository, oid);
                dominated.extend(below.into_iter().filter(|other| other != oid));
            }
        }
        let merge_base = common.into_iter().find(|oid| !dominated.contains(oid));
        Comparison { ahead, behind_by, merge_base }
    }

    /// The commits of a pull request: reachable from its head and not from the base branch, by author date, at most 250. The
    /// head is not always the last, exactly as on GitHub.
    pub fn pull_commits(&self, repository: &Repository, pull: &Pull) -> Vec<Oid> {
        let base =
            repository.branches.get(&pull.base).filter(|_| pull.merge_commit.is_none()).or(pull.base_sha.as_ref());
        let of_base = base.map(|base| self.reachable(repository, base)).unwrap_or_default();
        let mut own: Vec<Oid> =
            self.log(repository, pull.head_sha()).into_iter().filter(|oid| !of_base.contains(oid)).collect();
        own.reverse();
        own.sort_by_key(|oid| self.commit(repository, oid).map(|(_, commit)| commit.authored()));
        own.truncate(250);
        own
    }
}

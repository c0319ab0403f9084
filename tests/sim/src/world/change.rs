//! The verbs of git and of pull requests: what people do to the world while it is served, and what GitHub makes of it.
//!
//! All of them panic on what cannot happen (a push that is no fast-forward, an unknown branch): a test that asks for it is wrong.

use super::World;
use super::github::{Commit, Person, Repository};
use super::names::{Oid, sha};
use super::pull::{HeadRepository, Mergeability, Pull, PullState};

impl World {
    /// A new, empty, public repository.
    ///
    /// # Panics
    /// If the name is no `owner/name`.
    pub fn create_repository(&mut self, full_name: &str) -> &mut Repository {
        let (owner, name) = full_name.split_once('/').expect("a repository's full name is owner/name");
        let id = self.github.next_id();
        self.github.repositories.push(Repository {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            default_branch: "main".to_owned(),
            ..Repository::default()
        });
        self.github.repository_mut(full_name)
    }

    /// A fork, with all branches of the original as they are now.
    pub fn fork(&mut self, of: &str, full_name: &str) -> &mut Repository {
        let original = self.github.repository_mut(of);
        let (parent, branches, default) =
            (original.full_name(), original.branches.clone(), original.default_branch.clone());
        let fork = self.create_repository(full_name);
        fork.fork_of = Some(parent);
        fork.branches = branches;
        fork.default_branch = default;
        fork
    }

    /// Puts a commit into a repository without moving a branch.
    pub fn commit(&mut self, repository: &str, id: impl Into<Oid>, mut commit: Commit) -> Oid {
        let oid = id.into();
        commit.authored_at.get_or_insert(self.now);
        let authored = commit.authored();
        commit.committed_at.get_or_insert(authored);
        self.github.repository_mut(repository).commits.insert(oid.clone(), commit);
        oid
    }

    /// A commit, to change its dates or people.
    ///
    /// # Panics
    /// If the repository's network has no such commit.
    pub fn commit_mut(&mut self, repository: &str, id: impl Into<Oid>) -> &mut Commit {
        let oid = id.into();
        let at = self.github.repository(repository).expect("the repository exists");
        let holder = self.github.network(at).find(|other| other.commits.contains_key(&oid)).map(Repository::full_name);
        let holder = holder.unwrap_or_else(|| panic!("no commit {oid} in {repository}"));
        self.github.repository_mut(&holder).commits.get_mut(&oid).expect("just found")
    }

    /// Pushes a commit: makes it unless it is known (without parents: on the branch's tip), and moves the branch forward, which
    /// it makes if it is new. Open pull requests follow, and those into the branch get new test merges.
    ///
    /// # Panics
    /// If it is no fast-forward.
    pub fn push(&mut self, repository: &str, branch: &str, id: impl Into<Oid>, parents: &[&str]) -> Oid {
        let oid = self.made(repository, branch, id.into(), parents);
        let world = &self.github;
        let at = world.repository(repository).expect("made() found it");
        if let Some(tip) = at.branches.get(branch) {
            assert!(
                world.is_ancestor(at, tip, &oid),
                "push to {branch}: {oid} is no descendant of {tip}; force_push it"
            );
        }
        self.moved(repository, branch, &oid);
        oid
    }

    /// Pushes several commits at once, each on the one before.
    pub fn push_all(&mut self, repository: &str, branch: &str, ids: &[&str]) {
        let mut parent: Option<String> = None;
        for (nth, id) in ids.iter().enumerate() {
            let parents: Vec<&str> = parent.as_deref().into_iter().collect();
            if nth + 1 == ids.len() {
                self.push(repository, branch, *id, &parents);
            } else {
                self.made(repository, branch, Oid::from(*id), &parents);
            }
            parent = Some((*id).to_owned());
        }
    }

    /// Pushes whatever it is.
    pub fn force_push(&mut self, repository: &str, branch: &str, id: impl Into<Oid>, parents: &[&str]) -> Oid {
        let oid = self.made(repository, branch, id.into(), parents);
        self.moved(repository, branch, &oid);
        oid
    }

    fn made(&mut self, repository: &str, branch: &str, oid: Oid, parents: &[&str]) -> Oid {
        let at = self.github.repository_mut(repository).branches.get(branch).cloned();
        let known = {
            let at = self.github.repository(repository).expect("found above");
            self.github.commit(at, &oid).map(|(_, commit)| commit.parents.clone())
        };
        let parents: Vec<Oid> = parents.iter().map(|parent| Oid::from(*parent)).collect();
        if let Some(known) = known {
            assert!(parents.is_empty() || parents == known, "commit {oid} exists with other parents");
            return oid;
        }
        let at_repository = self.github.repository(repository).expect("found above");
        for parent in &parents {
            assert!(self.github.commit(at_repository, parent).is_some(), "the parent {parent} of {oid} does not exist");
        }
        let parents = if parents.is_empty() { at.into_iter().collect() } else { parents };
        let commit = Commit { parents, message: format!("Commit {}", &oid[..7]), ..Commit::default() };
        self.commit(repository, oid, commit)
    }

    /// Sets a branch, and lets pull requests follow.
    fn moved(&mut self, repository: &str, branch: &str, oid: &Oid) {
        let now = self.now;
        let name = {
            let at = self.github.repository_mut(repository);
            at.branches.insert(branch.to_owned(), oid.clone());
            at.full_name()
        };
        let mut touched = Vec::new();
        for base in &mut self.github.repositories {
            let base_name = base.full_name();
            let tips = &base.branches;
            for pull in base.pulls.iter_mut().filter(|pull| pull.state == PullState::Open) {
                let heads = match &pull.head_repository {
                    HeadRepository::Own => base_name == name,
                    HeadRepository::Fork(fork) => fork.eq_ignore_ascii_case(&name),
                    HeadRepository::Deleted => false,
                } && pull.head == branch;
                let bases = base_name == name && pull.base == branch;
                if heads {
                    pull.head_sha = Some(oid.clone());
                    pull.base_sha = tips.get(&pull.base).cloned();
                    pull.updated_at = Some(now);
                }
                if heads || bases {
                    touched.push((base_name.clone(), pull.number, bases));
                }
            }
        }
        for (base, number, bases) in touched {
            if !(bases && self.found_merged(&base, number, oid)) {
                self.refresh_test_merge(&base, number);
            }
        }
    }

    /// GitHub marks a pull request as merged as soon as its head is part of the base branch.
    fn found_merged(&mut self, base: &str, number: u64, tip: &Oid) -> bool {
        let at = self.github.repository(base).expect("named by its own pull request");
        let head = at.pull(number).expect("just seen").head_sha().clone();
        if !self.github.is_ancestor(at, &head, tip) {
            return false;
        }
        let now = self.now;
        let pull = self.github.repository_mut(base).pull_mut(number);
        pull.state = PullState::Merged;
        pull.merge_commit = Some(tip.clone());
        pull.updated_at = Some(now);
        true
    }

    /// Makes a new test merge for a pull request, as GitHub does whenever head or base moves (or when somebody looks). The ones
    /// before stay commits of the repository.
    pub fn refresh_test_merge(&mut self, repository: &str, number: u64) -> Option<Oid> {
        let at = self.github.repository_mut(repository);
        let base = at.pull(number).and_then(|pull| at.branches.get(&pull.base)).cloned();
        let pull = at.pull_mut(number);
        let head = pull.head_sha().clone();
        let base = base.filter(|_| pull.mergeable == Mergeability::Mergeable && pull.state == PullState::Open);
        let Some(base) = base else {
            pull.test_merge = None;
            return None;
        };
        // The same pair may come back when a base is reset: the merge is a new commit all the same.
        let nth = at.commits.len();
        let oid = Oid::from(sha(&format!("test merge {nth} of {head} into {base}")));
        let pull = at.pull_mut(number);
        pull.test_merge = Some(oid.clone());
        let commit = Commit {
            message: format!("Merge {head} into {base}"),
            parents: vec![base, head],
            committer: Person::github(),
            ..Commit::default()
        };
        Some(self.commit(repository, oid, commit))
    }

    /// Merges another branch of the repository into a branch (a base into a feature, or a pull request).
    ///
    /// # Panics
    /// If one of the branches does not exist.
    pub fn merge(&mut self, repository: &str, branch: &str, other: &str) -> Oid {
        let at = self.github.repository_mut(repository);
        let tip = |name: &str| at.branches.get(name).unwrap_or_else(|| panic!("no branch {name}")).clone();
        let (into, from) = (tip(branch), tip(other));
        let oid = Oid::from(sha(&format!("merge of {from} into {into}")));
        let commit = Commit {
            message: format!("Merge branch '{other}' into {branch}"),
            parents: vec![into, from],
            ..Commit::default()
        };
        let oid = self.commit(repository, oid, commit);
        self.moved(repository, branch, &oid);
        oid
    }

    /// Opens a pull request, whose head branch exists.
    ///
    /// # Panics
    /// If the number is taken or the head or base branch does not exist.
    pub fn open_pull(&mut self, repository: &str, mut pull: Pull) -> u64 {
        let id = self.github.next_id();
        let at = self.github.repository(repository).unwrap_or_else(|| panic!("no repository {repository}"));
        let number = pull.number;
        assert!(at.pull(number).is_none(), "{repository} already has a pull request {number}");
        if pull.base.is_empty() {
            pull.base.clone_from(&at.default_branch);
        }
        let base = at.branches.get(&pull.base).unwrap_or_else(|| panic!("no base branch {}", pull.base)).clone();
        if pull.head_sha.is_none() {
            let tip = self.github.head_tip(at, &pull);
            pull.head_sha = Some(tip.unwrap_or_else(|| panic!("no head branch {}", pull.head)));
        }
        pull.base_sha.get_or_insert(base);
        pull.id = if pull.id == 0 { id } else { pull.id };
        let created = *pull.created_at.get_or_insert(self.now);
        pull.updated_at.get_or_insert(created);
        let test_merge = pull.test_merge.clone();
        self.github.repository_mut(repository).pulls.push(pull);
        if test_merge.is_none() {
            self.refresh_test_merge(repository, number);
        }
        number
    }

    /// Closes a pull request; its last test merge stays.
    pub fn close_pull(&mut self, repository: &str, number: u64) {
        let now = self.now;
        let pull = self.github.repository_mut(repository).pull_mut(number);
        pull.state = PullState::Closed;
        pull.updated_at = Some(now);
    }

    /// Reopens a closed pull request, at its branch's present tip.
    ///
    /// # Panics
    /// If the head branch is gone: GitHub does not reopen it then.
    pub fn reopen_pull(&mut self, repository: &str, number: u64) {
        let now = self.now;
        let at = self.github.repository(repository).expect("the repository exists");
        let pull = at.pull(number).expect("the pull request exists");
        let tip = self.github.head_tip(at, pull).expect("the head branch still exists");
        let pull = self.github.repository_mut(repository).pull_mut(number);
        pull.state = PullState::Open;
        pull.head_sha = Some(tip);
        pull.updated_at = Some(now);
        self.refresh_test_merge(repository, number);
    }

    /// Makes GitHub find out that a pull request can be merged, conflicts, or is not looked at yet.
    pub fn set_mergeable(&mut self, repository: &str, number: u64, mergeable: Mergeability) {
        self.github.repository_mut(repository).pull_mut(number).mergeable = mergeable;
        self.refresh_test_merge(repository, number);
    }

    /// Makes a branch at a commit that exists.
    ///
    /// # Panics
    /// If the branch exists.
    pub fn create_branch(&mut self, repository: &str, branch: &str, at: impl Into<Oid>) {
        let exists = self.github.repository_mut(repository).branches.contains_key(branch);
        assert!(!exists, "branch {branch} exists");
        let oid = self.made(repository, branch, at.into(), &[]);
        self.moved(repository, branch, &oid);
    }

    /// Deletes a branch; open pull requests from it are closed.
    pub fn delete_branch(&mut self, repository: &str, branch: &str) {
        let name = self.github.repository_mut(repository).full_name();
        self.github.repository_mut(repository).branches.remove(branch);
        for (base, number) in self.pulls_from(&name, Some(branch)) {
            if self.github.repository(&base).and_then(|at| at.pull(number)).is_some_and(|p| p.state == PullState::Open)
            {
                self.close_pull(&base, number);
            }
        }
    }

    /// Deletes a fork; pull requests from it lose their head repository, and the commits stay in the network.
    pub fn delete_repository(&mut self, full_name: &str) {
        let gone = self.github.repository_mut(full_name).clone();
        let name = gone.full_name();
        for (base, number) in self.pulls_from(&name, None) {
            self.github.repository_mut(&base).pull_mut(number).head_repository = HeadRepository::Deleted;
        }
        if let Some(parent) = &gone.fork_of {
            self.github.repository_mut(parent).commits.extend(gone.commits);
        }
        self.github.repositories.retain(|repository| repository.id != gone.id);
    }

    fn pulls_from(&self, name: &str, branch: Option<&str>) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for base in &self.github.repositories {
            for pull in &base.pulls {
                let from = match &pull.head_repository {
                    HeadRepository::Own => base.full_name() == name,
                    HeadRepository::Fork(fork) => fork.eq_ignore_ascii_case(name),
                    HeadRepository::Deleted => false,
                };
                if from && branch.is_none_or(|branch| branch == pull.head) {
                    out.push((base.full_name(), pull.number));
                }
            }
        }
        out
    }

    /// Renames a repository (or hands it to another owner); the id stays, the old name leads to it.
    ///
    /// # Panics
    /// If the new name is no `owner/name`.
    pub fn rename_repository(&mut self, from: &str, to: &str) {
        let (owner, name) = to.split_once('/').expect("a repository's full name is owner/name");
        let at = self.github.repository_mut(from);
        let old = at.full_name();
        at.former_names.retain(|former| !former.eq_ignore_ascii_case(to));
        at.former_names.push(old.clone());
        owner.clone_into(&mut at.owner);
        name.clone_into(&mut at.name);
        for other in &mut self.github.repositories {
            if other.fork_of.as_deref() == Some(old.as_str()) {
                other.fork_of = Some(to.to_owned());
            }
            for pull in &mut other.pulls {
                if pull.head_repository == HeadRepository::Fork(old.clone()) {
                    pull.head_repository = HeadRepository::Fork(to.to_owned());
                }
            }
        }
    }
}

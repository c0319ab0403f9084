//! The verbs of CI: checks, statuses and images that come in while the world is served.

use chrono::{DateTime, Utc};

use super::World;
use super::checks::{CheckRun, CheckSuite, Status};
use super::image::ImageSpec;
use super::names::Oid;

impl World {
    /// One successful run named `build`.
    pub fn green(&mut self, repository: &str, id: impl Into<Oid>) -> u64 {
        self.check(repository, id, CheckRun::completed("build", "success"))
    }

    /// One failed run named `build`.
    pub fn red(&mut self, repository: &str, id: impl Into<Oid>) -> u64 {
        self.check(repository, id, CheckRun::completed("build", "failure"))
    }

    /// One run named `build` that is in progress.
    pub fn pending(&mut self, repository: &str, id: impl Into<Oid>) -> u64 {
        self.check(repository, id, CheckRun::running("build", "in_progress"))
    }

    /// Reports a check run, beside those that are there. Gives its id.
    pub fn check(&mut self, repository: &str, id: impl Into<Oid>, mut run: CheckRun) -> u64 {
        let oid = self.known(repository, id.into());
        let (run_id, suite_id, now) = (self.github.next_id(), self.github.next_id(), self.now);
        let runs = self.github.repository_mut(repository).checks.entry(oid).or_default();
        fill_run(&mut run, runs, run_id, suite_id, now);
        let id = run.id;
        runs.push(run);
        id
    }

    /// Ends a run that was reported before.
    ///
    /// # Panics
    /// If the repository has no such run.
    pub fn finish(&mut self, repository: &str, run: u64, conclusion: &str) {
        let now = self.now;
        let mut runs = self.github.repository_mut(repository).checks.values_mut().flatten();
        let run = runs.find(|one| one.id == run).unwrap_or_else(|| panic!("no check run {run}"));
        "completed".clone_into(&mut run.status);
        run.conclusion = Some(conclusion.to_owned());
        run.started_at.get_or_insert(now);
        run.completed_at = Some(now);
    }

    /// Takes away all check runs and statuses of a commit.
    pub fn clear_checks(&mut self, repository: &str, id: impl Into<Oid>) {
        let oid = id.into();
        let at = self.github.repository_mut(repository);
        at.checks.remove(&oid);
        at.statuses.remove(&oid);
    }

    /// Reports a commit status.
    pub fn status(&mut self, repository: &str, id: impl Into<Oid>, mut status: Status) {
        status.created_at.get_or_insert(self.now);
        let oid = self.known(repository, id.into());
        self.github.repository_mut(repository).statuses.entry(oid).or_default().push(status);
    }

    /// Reports a check suite that has no runs.
    pub fn suite(&mut self, repository: &str, id: impl Into<Oid>, mut suite: CheckSuite) {
        suite.created_at.get_or_insert(self.now);
        if suite.id == 0 {
            suite.id = self.github.next_id();
        }
        let oid = self.known(repository, id.into());
        self.github.repository_mut(repository).suites.entry(oid).or_default().push(suite);
    }

    /// Pushes an image and tags it. Gives the digest that the tag leads to (the index's, for a multi-arch image).
    pub fn push_image(&mut self, repository: &str, tag: &str, spec: &ImageSpec) -> String {
        self.registry.push(repository, tag, spec, self.now)
    }

    /// Takes a tag away; the manifest stays.
    pub fn delete_tag(&mut self, repository: &str, tag: &str) {
        if let Some(images) = self.registry.repositories.get_mut(repository) {
            images.tags.remove(tag);
        }
    }

    /// The digest that a tag leads to.
    pub fn digest(&self, repository: &str, tag: &str) -> Option<&str> {
        self.registry.repositories.get(repository)?.tags.get(tag).map(String::as_str)
    }

    /// A commit that reports are about: one that GitHub has.
    fn known(&self, repository: &str, oid: Oid) -> Oid {
        let at = self.github.repository(repository).unwrap_or_else(|| panic!("no repository {repository}"));
        assert!(self.github.commit(at, &oid).is_some(), "{repository} has no commit {oid}");
        oid
    }
}

/// Fills in what a run was not told.
pub(super) fn fill_run(run: &mut CheckRun, before: &[CheckRun], run_id: u64, suite_id: u64, now: DateTime<Utc>) {
    if run.id == 0 {
        run.id = run_id;
    }
    let joined = before.iter().rev().find(|other| {
        if run.suite == 0 {
            (&other.app, &other.workflow, &other.event) == (&run.app, &run.workflow, &run.event)
        } else {
            other.suite == run.suite
        }
    });
    if let Some(other) = joined {
        run.suite = other.suite;
        run.suite_created_at = run.suite_created_at.or(other.suite_created_at);
    } else if run.suite == 0 {
        run.suite = suite_id;
    }
    if run.status == "completed" {
        run.completed_at.get_or_insert(now);
    }
    if run.status == "completed" || run.status == "in_progress" {
        let begun = run.completed_at.filter(|_| run.status == "completed").unwrap_or(now);
        run.started_at.get_or_insert(begun);
    }
    run.suite_created_at = run.suite_created_at.or(run.started_at).or(Some(now));
}

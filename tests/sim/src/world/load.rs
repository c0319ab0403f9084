//! World files: reading, checking and completing them.
//!
//! What a file leaves out (ids, dates, heads of pull requests, test merges) is filled in, in the file's own order, so the same
//! file is always the same world. What cannot be is an error that names it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::World;
use super::names::{Oid, sha};
use super::pull::PullState;
use super::report::fill_run;

/// Why a world file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldError(String);

impl fmt::Display for WorldError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for WorldError {}

impl World {
    /// Reads a world file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, WorldError> {
        let path = path.as_ref();
        let told = |why: &dyn fmt::Display| WorldError(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|why| told(&why))?;
        Self::from_yaml(&text).map_err(|why| told(&why))
    }

    /// Reads a world from YAML.
    pub fn from_yaml(text: &str) -> Result<Self, WorldError> {
        let mut world: Self = serde_saphyr::from_str(text).map_err(|why| WorldError(why.to_string()))?;
        world.complete()?;
        Ok(world)
    }

    /// Fills in what was left out.
    fn complete(&mut self) -> Result<(), WorldError> {
        self.complete_repositories()?;
        self.complete_pulls()?;
        self.complete_images()
    }

    fn complete_repositories(&mut self) -> Result<(), WorldError> {
        let now = self.now;
        let mut serial = self.github.serial;
        let mut next = || {
            serial += 1;
            1_000_000 + serial
        };
        for repository in &mut self.github.repositories {
            if repository.id == 0 {
                repository.id = next();
            }
            for (oid, commit) in &mut repository.commits {
                let authored = *commit.authored_at.get_or_insert(now);
                commit.committed_at.get_or_insert(authored);
                if commit.message.is_empty() {
                    commit.message = format!("Commit {}", &oid[..7]);
                }
            }
            for runs in repository.checks.values_mut() {
                for nth in 0..runs.len() {
                    let (before, rest) = runs.split_at_mut(nth);
                    fill_run(&mut rest[0], before, next(), next(), now);
                }
            }
            for status in repository.statuses.values_mut().flatten() {
                status.created_at.get_or_insert(now);
            }
            for suite in repository.suites.values_mut().flatten() {
                suite.created_at.get_or_insert(now);
                if suite.id == 0 {
                    suite.id = next();
                }
            }
        }
        self.github.serial = serial;
        let world = &self.github;
        for repository in &world.repositories {
            let name = repository.full_name();
            if let Some(parent) = &repository.fork_of
                && world.repository(parent).is_none()
            {
                return Err(WorldError(format!("{name}: is a fork of {parent}, which is not in the world")));
            }
        }
        for repository in &world.repositories {
            let name = repository.full_name();
            for (branch, tip) in &repository.branches {
                if world.commit(repository, tip).is_none() {
                    return Err(WorldError(format!("{name}: branch {branch} is at {tip}, which is no commit of it")));
                }
            }
            for (oid, commit) in &repository.commits {
                if let Some(parent) = commit.parents.iter().find(|parent| world.commit(repository, parent).is_none()) {
                    return Err(WorldError(format!("{name}: parent {parent} of commit {oid} is no commit of it")));
                }
            }
            let checked = repository.checks.keys().chain(repository.statuses.keys()).chain(repository.suites.keys());
            for oid in checked {
                if world.commit(repository, oid).is_none() {
                    return Err(WorldError(format!("{name}: has checks for {oid}, which is no commit of it")));
                }
            }
        }
        Ok(())
    }

    fn complete_pulls(&mut self) -> Result<(), WorldError> {
        for nth in 0..self.github.repositories.len() {
            let repository = &mut self.github.repositories[nth];
            let name = repository.full_name();
            let default = repository.default_branch.clone();
            for mut pull in std::mem::take(&mut repository.pulls) {
                let number = pull.number;
                let wrong = |why: &str| WorldError(format!("{name}: pull request {number} {why}"));
                if pull.base.is_empty() {
                    pull.base.clone_from(&default);
                }
                if pull.title.is_empty() {
                    pull.title = format!("Pull request {number}");
                }
                let at = &self.github.repositories[nth];
                if at.pull(number).is_some() {
                    return Err(wrong("is there twice"));
                }
                if !at.branches.contains_key(&pull.base) {
                    return Err(wrong("has an unknown base branch"));
                }
                let head = pull.head_sha.clone().or_else(|| self.github.head_tip(at, &pull));
                let Some(head) = head.filter(|head| self.github.commit(at, head).is_some()) else {
                    return Err(wrong("has no head branch and names no commit for it"));
                };
                pull.head_sha = Some(head);
                let state = std::mem::replace(&mut pull.state, PullState::Open);
                self.open_pull(&name, pull);
                self.github.repository_mut(&name).pull_mut(number).state = state;
            }
        }
        Ok(())
    }

    fn complete_images(&mut self) -> Result<(), WorldError> {
        for mut entry in std::mem::take(&mut self.registry.images) {
            entry.tag = self.placeholders(&entry.tag)?;
            let spec = &mut entry.image;
            for value in [&mut spec.labels, &mut spec.annotations, &mut spec.index_annotations]
                .into_iter()
                .flat_map(BTreeMap::values_mut)
            {
                *value = self.placeholders(value)?;
            }
            self.push_image(&entry.repository, &entry.tag, &entry.image);
        }
        Ok(())
    }

    /// Renders `{sha:id}` and `{merge:owner/name#number}`.
    fn placeholders(&self, text: &str) -> Result<String, WorldError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let wrong =
                || WorldError(format!("unknown placeholder in {text:?}: it is {{sha:ID}} or {{merge:OWNER/NAME#N}}"));
            let (inner, left) = after.split_once('}').ok_or_else(wrong)?;
            out.push_str(before);
            match inner.split_once(':').ok_or_else(wrong)? {
                ("sha", id) => out
                    .push_str(&self.known_sha(id).ok_or_else(|| WorldError(format!("no commit {id:?} for {text:?}")))?),
                ("merge", pull) => {
                    let (name, number) = pull.split_once('#').ok_or_else(wrong)?;
                    let number: u64 = number.parse().map_err(|_| wrong())?;
                    let merge = self.github.repository(name).and_then(|at| at.pull(number)?.test_merge.as_deref());
                    out.push_str(merge.ok_or_else(|| WorldError(format!("no test merge of {pull} for {text:?}")))?);
                }
                _ => return Err(wrong()),
            }
            rest = left;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn known_sha(&self, id: &str) -> Option<String> {
        let oid = Oid::from(id);
        self.github.repositories.iter().any(|at| at.commits.contains_key(&oid)).then(|| sha(id))
    }
}

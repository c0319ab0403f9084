//! The rule of green: what a commit's checks amount to under a policy. Pure.
//!
//! GitHub lists superseded runs beside their successors, so only the newest of each (source, name) counts. Then what
//! the policy ignores goes, what it requires must be there, and the worst of what is left decides. A [`GreenBuild`]
//! can be made nowhere else, so whoever holds one knows that the commit was judged.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Utc};
use wildmatch::WildMatch;

use super::{Check, CheckState, Commit, CommitSha, Source};

/// What counts as green.
#[derive(Clone, Debug, PartialEq)]
pub struct CiPolicy {
    /// If not empty, only checks that match count, and each pattern must be matched by at least one.
    pub require: Vec<CheckPattern>,
    /// Checks that do not count at all; stronger than `require`.
    pub ignore: Vec<CheckPattern>,
    /// Whether `skipped` and `neutral` fail instead of passing.
    pub skipped_fails: bool,
    /// Whether a commit without any check passes, instead of waiting for one.
    pub no_checks_pass: bool,
    /// How long nothing may have changed before green is believed: a `needs:` chain leaves gaps in which all looks done.
    pub settle: Duration,
}

impl Default for CiPolicy {
    fn default() -> Self {
        Self {
            require: Vec::new(),
            ignore: vec![CheckPattern::new("argocd/*")],
            skipped_fails: false,
            no_checks_pass: false,
            settle: Duration::from_secs(15),
        }
    }
}

/// A check's name with `*` and `?`. It is held against the name alone and against `workflow / name`.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckPattern(WildMatch);

impl CheckPattern {
    /// The pattern written as `text`.
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    /// Whether it means this check.
    pub fn matches(&self, check: &Check) -> bool {
        if self.0.matches(&check.name) {
            return true;
        }
        matches!(&check.source, Source::Run { workflow: Some(workflow), .. }
            if self.0.matches(&format!("{workflow} / {}", check.name)))
    }
}

impl fmt::Display for CheckPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The times a judgement needs, all on GitHub's own clock.
#[derive(Clone, Copy, Debug)]
pub struct ReadTime {
    /// When GitHub answered.
    pub read_at: DateTime<Utc>,
    /// When this head was first seen; matters only where a commit without checks may pass.
    pub first_seen: DateTime<Utc>,
}

/// What a commit's checks amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that counts has passed, and a while ago.
    Green(GreenBuild),
    /// Not decided yet.
    Pending(Pending),
    /// The named checks failed.
    Red(Vec<String>),
    /// CI has said nothing.
    NoChecks,
}

/// Why a commit is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The named checks are not finished.
    Running(Vec<String>),
    /// Required patterns that no check has matched yet.
    Missing(Vec<String>),
    /// All passed, but too short a time ago.
    Settling,
}

/// Proof that a commit was judged green. Only [`judge`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreenBuild {
    commit: CommitSha,
}

impl GreenBuild {
    /// The commit of a build that was recorded: it was judged green then.
    pub(crate) fn recorded(build: &super::Build) -> Self {
        Self { commit: build.commit() }
    }

    /// The commit that is green.
    pub fn commit(&self) -> CommitSha {
        self.commit
    }
}

/// One check and what the policy made of it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedCheck<'a> {
    /// The check.
    pub check: &'a Check,
    /// What became of it.
    pub role: Role,
}

/// What part a check played in a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A newer one of the same name stands in its place.
    Superseded,
    /// The policy ignores it.
    Ignored,
    /// Other checks are required, this one is not.
    NotRequired,
    /// It counts, as this.
    Counts(CheckState),
}

/// Judges a commit whose checks are all loaded.
pub fn judge(commit: &Commit, policy: &CiPolicy, time: ReadTime) -> Verdict {
    let counting: Vec<_> = roles(commit, policy)
        .into_iter()
        .filter_map(|judged| match judged.role {
            Role::Counts(state) => Some((judged.check, state)),
            _ => None,
        })
        .collect();
    let named = |wanted| {
        let mut names: Vec<_> =
            counting.iter().filter(|(_, state)| *state == wanted).map(|(check, _)| check.name.to_string()).collect();
        names.sort();
        names.dedup();
        names
    };

    let failed = named(CheckState::Failed);
    if !failed.is_empty() {
        return Verdict::Red(failed);
    }
    let missing: Vec<_> = policy
        .require
        .iter()
        .filter(|pattern| !counting.iter().any(|(check, _)| pattern.matches(check)))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        return Verdict::Pending(Pending::Missing(missing));
    }
    let running = named(CheckState::Pending);
    if !running.is_empty() {
        return Verdict::Pending(Pending::Running(running));
    }
    if counting.is_empty() && !policy.no_checks_pass {
        return Verdict::NoChecks;
    }
    // What is not required may still be the first sign that a required one is about to be started again.
    let last_change = considered(commit, policy).filter_map(|check| check.changed_at).max().unwrap_or(time.first_seen);
    if time.read_at - last_change < chrono::TimeDelta::from_std(policy.settle).unwrap_or(chrono::TimeDelta::MAX) {
        return Verdict::Pending(Pending::Settling);
    }
    Verdict::Green(GreenBuild { commit: commit.sha })
}

/// Every check of a commit with the part it plays, in GitHub's order.
pub fn roles<'a>(commit: &'a Commit, policy: &CiPolicy) -> Vec<JudgedCheck<'a>> {
    let newest = newest(commit);
    commit
        .checks
        .iter()
        .map(|check| JudgedCheck { check, role: role(check, newest.get(&(&check.source, &*check.name)), policy) })
        .collect()
}

fn role(check: &Check, newest: Option<&&Check>, policy: &CiPolicy) -> Role {
    if newest.is_some_and(|newest| !std::ptr::eq(*newest, check)) {
        Role::Superseded
    } else if policy.ignore.iter().any(|pattern| pattern.matches(check)) {
        Role::Ignored
    } else if !policy.require.is_empty() && !policy.require.iter().any(|pattern| pattern.matches(check)) {
        Role::NotRequired
    } else {
        Role::Counts(match check.state {
            CheckState::Skipped if policy.skipped_fails => CheckState::Failed,
            CheckState::Skipped => CheckState::Passed,
            state => state,
        })
    }
}

/// The checks that are not ignored, newest of each only.
fn considered<'a>(commit: &'a Commit, policy: &CiPolicy) -> impl Iterator<Item = &'a Check> {
    newest(commit).into_values().filter(|check| !policy.ignore.iter().any(|pattern| pattern.matches(check)))
}

/// The newest check of each source and name. Of equals the worse one, so that the order they come in cannot matter.
fn newest(commit: &Commit) -> BTreeMap<(&Source, &str), &Check> {
    let mut newest: BTreeMap<_, &Check> = BTreeMap::new();
    for check in &commit.checks {
        let slot = newest.entry((&check.source, &*check.name)).or_insert(check);
        if age_order(check) > age_order(slot) {
            *slot = check;
        }
    }
    newest
}

/// Later is newer: not started yet is newest of all, then the start, then GitHub's number.
fn age_order(check: &Check) -> impl Ord + use<> {
    (check.started_at.is_none(), check.started_at, check.id, check.state, check.changed_at)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Green(_) => f.write_str("green"),
            Self::Pending(Pending::Running(names)) => write!(f, "pending ({})", List(names)),
            Self::Pending(Pending::Missing(names)) => write!(f, "pending (required and absent: {})", List(names)),
            Self::Pending(Pending::Settling) => f.write_str("pending (settling)"),
            Self::Red(names) => write!(f, "red ({})", List(names)),
            Self::NoChecks => f.write_str("without any check"),
        }
    }
}

/// The first three of a list and how many more.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(3).map(|name| super::excerpt(name)).collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;

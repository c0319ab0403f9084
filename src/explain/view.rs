//! What is explained, as plain data: for the page, and as JSON.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::{
    Now, Served, State, Story,
    parts::{GuardView, HeldBackView, PartView},
    rows::Line,
    services::{Budget, ServiceView},
};
use crate::generator::{self, Generator, Hold};

/// A page of the lines of all generators.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The time by lastgreen's clock.
    #[serde(serialize_with = "rfc3339")]
    pub now: DateTime<Utc>,
    /// All generators.
    pub generators: Vec<GeneratorView>,
    /// How many lines there are of each standing, whichever is filtered for.
    pub counts: BTreeMap<&'static str, usize>,
    /// How many lines there are in all.
    pub total: usize,
    /// How many fit.
    pub matching: usize,
    /// Which page this is, from 1 on.
    pub page: usize,
    /// How many there are.
    pub pages: usize,
    /// How many lines a page has at most.
    pub per_page: usize,
    /// The lines.
    pub lines: Vec<Row>,
    /// What is left of GitHub's budgets.
    pub budgets: Vec<Budget>,
    /// On which terms each service is asked.
    pub services: Vec<ServiceView>,
    /// Why the ledger cannot be read.
    pub problem: Option<String>,
}

/// A generator.
#[derive(Clone, Debug, Serialize)]
pub struct GeneratorView {
    /// Its name.
    pub name: String,
    /// Its repository, or the pattern of them; nothing where it has no `build` part.
    pub repository: Option<String>,
}

/// A line.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The generator's name.
    pub generator: String,
    /// The repository, where it is known.
    pub repository: Option<String>,
    /// GitHub's number of it.
    pub repository_id: Option<u64>,
    /// The pull request's number, if the line is one.
    pub number: Option<u64>,
    /// The head branch.
    pub branch: Option<String>,
    /// What a list is about, where it stands beside no build.
    pub about: Option<String>,
    /// How many items such a list has.
    pub items: Option<usize>,
    /// How it is answered.
    pub standing: State,
    /// Since when it is answered like this, as far as this process knows.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub standing_since: Option<DateTime<Utc>>,
    /// What was passed over and why.
    pub reason: String,
    /// What the guard holds back of such a list.
    pub held_back: Option<HeldBackView>,
    /// The commit that is served.
    pub commit: Option<String>,
    /// Since when.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub served_since: Option<DateTime<Utc>>,
    /// The same in seconds.
    pub age_seconds: Option<i64>,
    /// When the answer was worked out last; from then on it is given again.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub answered_at: Option<DateTime<Utc>>,
    /// When it was asked for last, by the ledger.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub asked_at: Option<DateTime<Utc>>,
}

/// All about one line.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineStory {
    /// The time by lastgreen's clock.
    #[serde(serialize_with = "rfc3339")]
    pub now: DateTime<Utc>,
    /// The generator's name.
    pub generator: String,
    /// The repository.
    pub repository: String,
    /// GitHub's number of it.
    pub repository_id: Option<u64>,
    /// The pull request's number, if the line is one.
    pub number: Option<u64>,
    /// The head branch.
    pub branch: Option<String>,
    /// Where GitHub shows the pull request.
    pub url: Option<String>,
    /// How it is answered; nothing where nobody asked, and it was only looked at.
    pub answer: Option<Row>,
    /// What the ledger has of it: `item`, `nothing`, `never` or `unreadable`.
    pub ledger: &'static str,
    /// What is served.
    pub served: Option<Served>,
    /// When it is looked at next without being asked for, if it is.
    pub next_look: Option<NextLook>,
    /// What was looked at, if that is still known.
    pub story: Option<Story>,
    /// What the generator is told about it.
    pub policy: Policy,
    /// The parts beside the build.
    pub parts: Vec<PartView>,
    /// What looks after them.
    pub guard: Option<GuardView>,
    /// What is left of GitHub's budgets.
    pub budgets: Vec<Budget>,
    /// On which terms each service is asked.
    pub services: Vec<ServiceView>,
    /// Why the ledger, or its record, cannot be read.
    pub problem: Option<String>,
}

/// When a line is looked at next.
#[derive(Clone, Debug, Serialize)]
pub struct NextLook {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
}

/// What a generator is told by its configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `ci.require`.
    pub require: Vec<String>,
    /// `ci.ignore`.
    pub ignore: Vec<String>,
    /// `ci.skipped`.
    pub skipped: &'static str,
    /// `ci.noChecks`.
    pub no_checks: &'static str,
    /// `ci.settle`.
    pub settle_seconds: u64,
    /// `walk`.
    pub walk: u32,
    /// `forks`.
    pub forks: &'static str,
    /// `hold`: `forever`, `never`, or seconds.
    pub hold: String,
    /// `refresh.pending`.
    pub pending_seconds: u64,
    /// `refresh.settled`.
    pub settled_seconds: u64,
    /// `refresh.ahead`.
    pub ahead: bool,
}

impl GeneratorView {
    pub(super) fn of(served: &generator::Served) -> Self {
        let repository = match served {
            generator::Served::Lines(lines) => Some(lines.repositories()),
            generator::Served::Plain(_) => None,
        };
        Self { name: served.name().to_string(), repository }
    }
}

impl Row {
    pub(super) fn of(line: &Line, now: Now) -> Self {
        let served_since = line.served_since();
        Self {
            generator: line.generator.to_string(),
            repository: line.repository.as_ref().map(ToString::to_string),
            repository_id: line.repository_id,
            number: line.number,
            branch: line.branch.as_ref().map(ToString::to_string),
            about: line.list.as_ref().map(|list| list.key.about.to_string()),
            items: line.items(),
            standing: line.state,
            standing_since: line.standing_since().and_then(|since| now.wall(since)),
            reason: line.reason().to_owned(),
            held_back: line.held_back().map(HeldBackView::of),
            commit: line.commit().map(|commit| commit.to_string()),
            served_since,
            age_seconds: served_since.map(|since| (now.wall - since).num_seconds().max(0)),
            answered_at: line.answered_at,
            asked_at: line.asked_at,
        }
    }
}

impl Policy {
    pub(super) fn of(generator: &Generator) -> Self {
        let options = generator.build().options();
        let ci = &options.ci;
        let seconds = |duration: Duration| duration.as_secs();
        Self {
            require: ci.require.iter().map(ToString::to_string).collect(),
            ignore: ci.ignore.iter().map(ToString::to_string).collect(),
            skipped: if ci.skipped_fails { "fail" } else { "pass" },
            no_checks: if ci.no_checks_pass { "pass" } else { "wait" },
            settle_seconds: seconds(ci.settle),
            walk: options.walk,
            forks: if options.forks { "allow" } else { "refuse" },
            hold: match generator.options().hold {
                Hold::Forever => "forever".to_owned(),
                Hold::Never => "never".to_owned(),
                Hold::For(limit) => seconds(limit).to_string(),
            },
            pending_seconds: seconds(options.pending),
            settled_seconds: seconds(options.settled),
            ahead: options.ahead,
        }
    }
}

/// A time as RFC 3339, in UTC and whole seconds.
pub fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

#[expect(clippy::ref_option, reason = "serde hands references")]
pub(super) fn rfc3339_maybe<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(text).serialize(serializer)
}

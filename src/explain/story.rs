//! The story of one line: which commits were looked at, what their checks said, which rule judged each, which images were
//! looked for, and what the registry answered.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Explain, LineStory, NextLook, Now, Policy, Row,
    looks::Look,
    rows::Line,
    rules,
    view::{rfc3339, rfc3339_maybe},
};
use crate::{
    domain::{self, CiPolicy, CommitSha, Pending, Repo},
    generator::{Generator, Noted, Seen},
    ledger::{Known, Record},
    parts::build::{Considered, Found, Look as ImageLook},
};

/// What is served.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// The commit.
    pub commit: String,
    /// Where GitHub shows it.
    pub url: Option<String>,
    /// The test merge that its images were built from.
    pub test_merge: Option<String>,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: DateTime<Utc>,
    /// The same in seconds.
    pub age_seconds: i64,
    /// The images.
    pub images: Vec<Image>,
}

/// An image that is served.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    /// The item's key.
    pub key: String,
    /// The reference that led to it.
    pub reference: String,
    /// Its digest.
    pub digest: String,
}

/// Where a story comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It is what the latest answer was made of.
    Answer,
    /// Somebody had the upstreams asked anew, after the latest answer. No answer was made of it.
    Look,
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// Where it comes from.
    pub source: Source,
    /// When it was told.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub at: Option<DateTime<Utc>>,
    /// When GitHub was asked for what it rests on.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub read_at: Option<DateTime<Utc>>,
    /// `ready`, `not-yet`, `unknown`, `fork-refused`; of an answer `null`: its standing tells.
    pub outcome: Option<&'static str>,
    /// What was passed over and why, in one line.
    pub reason: String,
    /// Whether the head is decided for good, as far as anybody can tell.
    pub is_final: bool,
    /// When an upstream that could not say is worth asking again.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub again_at: Option<DateTime<Utc>>,
    /// The commits that were considered, newest first.
    pub commits: Vec<CommitView>,
}

/// What the checks of a commit amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that counts has passed.
    Green,
    /// Not decided yet.
    Pending,
    /// Something failed.
    Red,
    /// CI has said nothing.
    NoChecks,
    /// It could not be read.
    Unreadable,
}

/// A commit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// Its object name.
    pub sha: String,
    /// Where GitHub shows it.
    pub url: Option<String>,
    /// Whether it is the head.
    pub is_head: bool,
    /// Whether it is the last green build.
    pub is_found: bool,
    /// Whether its images are served.
    pub is_served: bool,
    /// What its checks amount to.
    pub verdict: Verdict,
    /// The same in words, with the checks that decided it.
    pub verdict_text: String,
    /// The rule behind the verdict, where no single check tells it.
    pub rule: Option<String>,
    /// When CI said something of it last.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub changed_at: Option<DateTime<Utc>>,
    /// Its checks.
    pub checks: Vec<CheckView>,
    /// The images that were looked for.
    pub images: Vec<ImageView>,
}

/// What a check did to the verdict of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It passes.
    Passes,
    /// It is waited for.
    Waits,
    /// It fails the commit.
    Fails,
    /// It does not count.
    None,
}

/// A check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// Its workflow, where it is one's.
    pub workflow: Option<String>,
    /// The event that started it.
    pub event: Option<String>,
    /// GitHub's word for what it came to.
    pub said: String,
    /// What that did to the verdict.
    pub effect: Effect,
    /// By which rule.
    pub rule: String,
    /// When GitHub says that it changed last.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub changed_at: Option<DateTime<Utc>>,
}

/// An image that was looked for.
#[derive(Clone, Debug, Serialize)]
pub struct ImageView {
    /// The item's key.
    pub key: String,
    /// The reference, or the template that could not be rendered.
    pub reference: String,
    /// `found`, `absent`, `no-repository`, `other`, `unlabelled`, `unrenderable`, `only-test-merge` or `unknown`.
    pub state: &'static str,
    /// Its digest, if it was found.
    pub digest: Option<String>,
    /// The registry's answer in words.
    pub text: String,
}

impl Explain {
    /// The story of a line that was seen or looked at.
    pub(super) fn story(
        &self,
        generator: &Generator,
        (row, repository): (Option<&Line>, Option<Repo>),
        look: Option<&Look>,
        problem: Option<String>,
        now: Now,
    ) -> LineStory {
        let repository = repository.unwrap_or_else(|| generator.build().repository().clone());
        let record = row.and_then(Line::record);
        let web = Web { base: self.web.as_deref(), repository: &repository };
        let noted = row.and_then(|row| row.noted.as_deref());
        let policy = &generator.build().options().ci;
        let told = Told { web, policy, served: record.map(|record| record.build.commit()), now };
        // Whichever is newer.
        let look = look.filter(|look| noted.is_none_or(|noted| look.at > noted.at));
        let story = match (look, noted) {
            (Some(look), _) => Some(told.of_look(look)),
            (None, Some(noted)) => noted.seen.as_ref().map(|seen| told.of_answer(noted, seen)),
            (None, None) => None,
        };
        let meant = look.and_then(|look| look.seen.line.as_ref());
        let number = row.and_then(|row| row.number).or_else(|| match meant.map(|meant| &meant.key.line) {
            Some(domain::Line::Pull(number)) => Some(*number),
            _ => None,
        });
        let branch = row.and_then(|row| row.branch.as_ref()).or(meant.map(|meant| &meant.branch));
        let (parts, guard) = self.beside(generator, row, now);
        let next = branch.and_then(|branch| generator.build().next_look(number, branch));
        let (ledger, unreadable) = match row.and_then(|row| row.known.as_ref()) {
            Some(Ok(Known::Item(_))) => ("item", None),
            Some(Ok(Known::Nothing)) => ("nothing", None),
            Some(Ok(Known::Never)) | None => ("never", None),
            Some(Err(why)) => ("unreadable", Some(why.to_string())),
        };
        LineStory {
            now: now.wall,
            generator: generator.name().to_string(),
            repository: repository.to_string(),
            repository_id: row.and_then(|row| row.repository_id),
            number,
            branch: branch.map(ToString::to_string),
            url: number.and_then(|number| web.pull(number)),
            answer: row.map(|row| Row::of(row, now)),
            ledger,
            served: record.map(|record| Served::of(record, web, now)),
            next_look: next.and_then(|at| now.wall(at.max(now.moment))).map(|at| NextLook { at }),
            story,
            policy: Policy::of(generator),
            parts,
            guard,
            budgets: self.budgets(now),
            services: self.services(now),
            problem: problem.or(unreadable),
        }
    }
}

/// What all commits of a story are told with.
struct Told<'a> {
    web: Web<'a>,
    policy: &'a CiPolicy,
    served: Option<CommitSha>,
    now: Now,
}

impl Told<'_> {
    fn of_look(&self, look: &Look) -> Story {
        let story = self.of(&look.seen, look.reason.clone());
        Story { source: Source::Look, at: self.now.wall(look.at), outcome: Some(look.outcome), ..story }
    }

    fn of_answer(&self, noted: &Noted, seen: &Seen) -> Story {
        Story { at: self.now.wall(noted.at), ..self.of(seen, noted.reason.to_string()) }
    }

    fn of(&self, seen: &Seen, reason: String) -> Story {
        let commits = seen.considered.iter().enumerate();
        Story {
            source: Source::Answer,
            at: None,
            read_at: self.now.wall(seen.as_of),
            outcome: None,
            reason,
            is_final: seen.is_final,
            again_at: seen.again_at.and_then(|at| self.now.wall(at)),
            commits: commits.map(|(index, considered)| self.commit(seen, index, considered)).collect(),
        }
    }

    fn commit(&self, seen: &Seen, index: usize, considered: &Considered) -> CommitView {
        let sha = considered.commit.sha;
        let (verdict, verdict_text, rule) = match &considered.verdict {
            Err(why) => (Verdict::Unreadable, format!("cannot be judged: {why}"), None),
            Ok(verdict) => {
                let word = match verdict {
                    domain::Verdict::Green(_) => Verdict::Green,
                    domain::Verdict::Pending(_) => Verdict::Pending,
                    domain::Verdict::Red(_) => Verdict::Red,
                    domain::Verdict::NoChecks => Verdict::NoChecks,
                };
                (word, told(verdict), rules::of_verdict(verdict, self.policy))
            }
        };
        let checks = considered.checks().map(|(check, role)| {
            let (effect, rule) = rules::ruled(check, role, self.policy);
            let (workflow, event) = match &check.source {
                domain::Source::Run { workflow, event, .. } => (workflow.as_ref(), event.as_ref()),
                domain::Source::Status => (None, None),
            };
            let text = |text: Option<&Arc<str>>| text.map(ToString::to_string);
            CheckView {
                name: check.name.to_string(),
                workflow: text(workflow),
                event: text(event),
                said: check.word.to_string(),
                effect,
                rule,
                changed_at: check.changed_at,
            }
        });
        let mut checks: Vec<_> = checks.collect();
        // What decides comes first.
        checks.sort_by_key(|check| match check.effect {
            Effect::Fails => 0,
            Effect::Waits => 1,
            Effect::Passes => 2,
            Effect::None => 3,
        });
        CommitView {
            sha: sha.to_string(),
            url: self.web.commit(sha),
            is_head: index == 0,
            is_found: seen.found == Some(sha),
            is_served: self.served == Some(sha),
            verdict,
            verdict_text,
            rule,
            changed_at: checks.iter().filter_map(|check| check.changed_at).max(),
            checks,
            images: considered.looks.iter().map(ImageView::of).collect(),
        }
    }
}

/// A verdict for people, without its own word.
fn told(verdict: &domain::Verdict) -> String {
    let list = |names: &[String]| {
        let shown: Vec<_> = names.iter().take(3).map(|name| domain::excerpt(name)).collect();
        match names.len().saturating_sub(3) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    match verdict {
        domain::Verdict::Green(_) => "all that counts has passed".to_owned(),
        domain::Verdict::Pending(Pending::Running(names)) => format!("not finished: {}", list(names)),
        domain::Verdict::Pending(Pending::Missing(names)) => format!("required and absent: {}", list(names)),
        domain::Verdict::Pending(Pending::Settling) => "settling".to_owned(),
        domain::Verdict::Red(names) => format!("failed: {}", list(names)),
        domain::Verdict::NoChecks => "CI has said nothing of it".to_owned(),
    }
}

impl ImageView {
    fn of(look: &ImageLook) -> Self {
        let (state, digest) = match &look.found {
            Found::Yes { digest } => ("found", Some(digest.to_string())),
            Found::Absent => ("absent", None),
            Found::NoRepository => ("no-repository", None),
            Found::Other(_) => ("other", None),
            Found::Unlabelled => ("unlabelled", None),
            Found::Unrenderable(_) => ("unrenderable", None),
            Found::OnlyTestMerge { .. } => ("only-test-merge", None),
            Found::Unknown(_) => ("unknown", None),
        };
        let text = if digest.is_some() { "is there".to_owned() } else { look.found.to_string() };
        Self { key: look.key.clone(), reference: look.reference.clone(), state, digest, text }
    }
}

impl Served {
    fn of(record: &Record, web: Web<'_>, now: Now) -> Self {
        let images = record.build.images().iter().map(|(key, image)| Image {
            key: key.to_owned(),
            reference: format!("{}:{}", image.image, image.tag),
            digest: image.digest.to_string(),
        });
        Self {
            commit: record.build.commit().to_string(),
            url: web.commit(record.build.commit()),
            test_merge: record.build.test_merge().map(|sha| sha.to_string()),
            since: record.recorded_at,
            age_seconds: (now.wall - record.recorded_at).num_seconds().max(0),
            images: images.collect(),
        }
    }
}

/// Where GitHub shows a repository to people.
#[derive(Clone, Copy)]
struct Web<'a> {
    base: Option<&'a str>,
    repository: &'a Repo,
}

impl Web<'_> {
    fn commit(self, sha: CommitSha) -> Option<String> {
        Some(format!("{}/{}/commit/{sha}", self.base?, self.repository))
    }

    fn pull(self, number: u64) -> Option<String> {
        Some(format!("{}/{}/pull/{number}", self.base?, self.repository))
    }
}

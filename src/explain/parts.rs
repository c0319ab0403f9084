//! The parts beside a build, or instead of one: what each said last, and what the guard makes of it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Explain, Now, Row,
    rows::{Line, OfList},
    services::{Budget, ServiceView},
    view::{rfc3339, rfc3339_maybe},
};
use crate::{
    domain::List,
    generator::{Generator, ListNoted, Parts, Served, Source},
    ledger::{HeldBack, LineKey, ListKey, ListRecord, Subject},
};

/// All about one list that stands beside no build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListStory {
    /// The time by lastgreen's clock.
    #[serde(serialize_with = "rfc3339")]
    pub now: DateTime<Utc>,
    /// The generator's name.
    pub generator: String,
    /// The repository, where it is a list of pull requests.
    pub repository: Option<String>,
    /// What it is about, as the ledger and the guard call it.
    pub about: String,
    /// The inputs, where they are known.
    pub inputs: Option<String>,
    /// How it is answered.
    pub answer: Row,
    /// What the ledger has of it: `item`, `never` or `unreadable`.
    pub ledger: &'static str,
    /// The parts.
    pub parts: Vec<PartView>,
    /// What looks after it.
    pub guard: Option<GuardView>,
    /// What is left of GitHub's budgets.
    pub budgets: Vec<Budget>,
    /// On which terms each service is asked.
    pub services: Vec<ServiceView>,
    /// Why the ledger, or its record, cannot be read.
    pub problem: Option<String>,
}

/// A part that is no build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartView {
    /// Its name.
    pub name: String,
    /// What it is: `sql`, `plugin` or `pulls`.
    pub kind: &'static str,
    /// Which items are wanted, if not all.
    pub only_if: Option<String>,
    /// When it was asked last, as far as this process knows.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub asked_at: Option<DateTime<Utc>>,
    /// How many items it gave then.
    pub items: Option<usize>,
    /// Why it could not say.
    pub cannot_say: Option<String>,
    /// How many items are recorded of it: those that stand in for it while it cannot say.
    pub recorded_items: Option<usize>,
}

/// The guard of a list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardView {
    /// `guard.maxDrop`, in percent.
    pub max_drop: u8,
    /// `guard.minItems`.
    pub min_items: usize,
    /// `guard.window`, in seconds.
    pub window_seconds: u64,
    /// Since when it adds up what vanishes, if something has vanished lately.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub since: Option<DateTime<Utc>>,
    /// What it holds back.
    pub held_back: Option<HeldBackView>,
    /// How many items may vanish at once, as an operator has said.
    pub released: Option<usize>,
    /// The command that lets go what it holds back.
    pub release: Option<String>,
}

/// Items that would vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HeldBackView {
    /// How many.
    pub vanish: usize,
    /// Of how many.
    pub of: usize,
}

impl HeldBackView {
    pub(super) fn of(HeldBack { vanish, of }: HeldBack) -> Self {
        Self { vanish, of }
    }
}

impl Explain {
    /// The story of a list that stands beside no build.
    pub(super) fn list_story(
        &self,
        served: &Served,
        (row, list): (&Line, &OfList),
        problem: Option<String>,
        now: Now,
    ) -> ListStory {
        let noted = list.noted.clone().unwrap_or_default();
        let (ledger, unreadable) = match &list.record {
            Some(Ok(_)) => ("item", None),
            Some(Err(why)) => ("unreadable", Some(format!("its record cannot be read: {why}"))),
            None => ("never", None),
        };
        let inputs = match list.key.subject() {
            Subject::Inputs(hash) if hash.starts_with("sha256:") => noted.inputs.as_deref(),
            Subject::Inputs(inputs) => Some(inputs),
            Subject::Pulls(_) | Subject::Line => None,
        };
        let generator = match served {
            Served::Lines(lines) => lines.of(row.repository.as_ref()).ok(),
            Served::Plain(_) => None,
        };
        let parts = match (&generator, served) {
            (Some(generator), _) => Some(generator.pulls()),
            (None, Served::Plain(plain)) => Some(plain.parts()),
            (None, Served::Lines(_)) => None,
        };
        let view = parts.map(|parts| told(parts, &noted, list.recorded(), now));
        let (parts, guard) = view.unwrap_or_default();
        ListStory {
            now: now.wall,
            generator: row.generator.to_string(),
            repository: row.repository.as_ref().map(ToString::to_string),
            about: list.key.about.to_string(),
            inputs: inputs.map(str::to_owned),
            answer: Row::of(row, now),
            ledger,
            parts,
            guard,
            budgets: self.budgets(now),
            services: self.services(now),
            problem: problem.or(unreadable),
        }
    }

    /// The parts beside the build of a line.
    pub(super) fn beside(
        &self,
        generator: &Generator,
        row: Option<&Line>,
        now: Now,
    ) -> (Vec<PartView>, Option<GuardView>) {
        let line = row.and_then(|row| row.told.clone().zip(row.repository_id));
        let line = line.map(|(line, repository)| LineKey { generator: generator.name().clone(), repository, line });
        let key = line.as_ref().map(ListKey::of_line);
        let noted = key.as_ref().and_then(|key| generator.parts().heard().of(key)).unwrap_or_default();
        let record = key.and_then(|key| self.ledger.recorded_lists(&key));
        told(generator.parts(), &noted, record.as_deref(), now)
    }
}

/// Parts and what looks after them.
fn told(parts: &Parts, noted: &ListNoted, record: Option<&ListRecord>, now: Now) -> (Vec<PartView>, Option<GuardView>) {
    let view = parts.iter().map(|part| {
        let said = noted.parts.get(&part.name);
        let recorded = record.and_then(|record| record.parts.get(&part.name));
        PartView {
            name: part.name.to_string(),
            kind: match part.source {
                Source::Sql(_) => "sql",
                Source::Plugin(_) => "plugin",
                Source::Pulls(_) => "pulls",
            },
            only_if: part.only_if.as_ref().map(ToString::to_string),
            asked_at: said.and_then(|said| now.wall(said.at)),
            items: said.and_then(|said| said.said.as_ref().ok().copied()),
            cannot_say: said.and_then(|said| Some(said.said.as_ref().err()?.to_string())),
            recorded_items: recorded.map(List::len),
        }
    });
    let view: Vec<_> = view.collect();
    let guard = parts.guard().filter(|_| !view.is_empty()).map(|guard| {
        let guarded = record.map(|record| &record.guarded);
        let held_back = guarded.and_then(|guarded| guarded.held_back).map(HeldBackView::of);
        GuardView {
            max_drop: guard.max_drop,
            min_items: guard.min_items,
            window_seconds: guard.window.as_secs(),
            since: guarded.and_then(|guarded| Some(guarded.window.as_ref()?.0)),
            held_back,
            released: guarded.and_then(|guarded| guarded.released),
            release: held_back.map(|_| format!("lastgreen guard release {}", parts.generator())),
        }
    });
    (view, guard)
}

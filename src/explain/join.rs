//! What the ledger has, joined with what was answered last: all lines, and all lists that stand beside no build.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    Now,
    rows::{Line, OfList, State},
};
use crate::{
    domain::{self, Repo},
    generator::{About, ListNoted, Noted, Served},
    ledger::{Known, LineKey, ListKey, ListRecord, Listed, ListedLists, Subject},
};

/// The ledger's lines of these generators and those that were only answered.
pub(super) fn lines(listed: Vec<Listed>, generators: &BTreeMap<Arc<str>, Served>, now: Now) -> Vec<Line> {
    let mut lines = Vec::with_capacity(listed.len());
    let mut repositories: HashMap<u64, Repo> = HashMap::new();
    let mut of_lines: HashMap<LineKey, (Repo, Arc<Noted>)> = HashMap::new();
    for (name, served) in generators {
        let Served::Lines(served) = served else { continue };
        for generator in served.generators() {
            let repository = generator.build().repository();
            for (about, noted) in generator.book().all() {
                match about {
                    About::Line(key) => drop(of_lines.insert(key, (repository.clone(), noted))),
                    About::Question { number, branch } => {
                        let base = bare(name, Some(repository.clone()), State::of(noted.stood));
                        let (branch, answered_at) = (Some(branch), now.wall(noted.at));
                        lines.push(Line { number, branch, noted: Some(noted), answered_at, ..base });
                    }
                }
            }
        }
    }
    for Listed { key, repository, known, asked_at } in listed {
        if let Some(name) = &repository {
            repositories.entry(key.repository).or_insert_with(|| name.clone());
        }
        // What is not configured any more is nobody's to serve.
        if matches!(generators.get(&key.generator), Some(Served::Lines(_))) {
            let noted = of_lines.remove(&key).map(|(_, noted)| noted);
            lines.push(told(key, repository, Some(known), asked_at, noted, now));
        }
    }
    for (key, (repository, noted)) in of_lines {
        let repository = repositories.get(&key.repository).cloned().unwrap_or(repository);
        lines.push(told(key, Some(repository), None, None, Some(noted), now));
    }
    lines
}

/// The ledger's lists of these generators that stand beside no build, and those that were only answered.
pub(super) fn lists(listed: Vec<ListedLists>, generators: &BTreeMap<Arc<str>, Served>, now: Now) -> Vec<Line> {
    let mut noted: HashMap<ListKey, Arc<ListNoted>> = HashMap::new();
    for served in generators.values() {
        match served {
            Served::Plain(generator) => noted.extend(generator.parts().heard().all()),
            Served::Lines(lines) => {
                for generator in lines.generators() {
                    noted.extend(generator.pulls().heard().all());
                }
            }
        }
    }
    let mut lines = Vec::with_capacity(listed.len());
    for ListedLists { key, record, asked_at } in listed {
        let is_served = match generators.get(&key.generator) {
            Some(Served::Plain(_)) => matches!(key.subject(), Subject::Inputs(_)),
            Some(Served::Lines(_)) => matches!(key.subject(), Subject::Pulls(_)),
            None => false,
        };
        if is_served {
            let noted = noted.remove(&key);
            lines.push(list(key, Some(record), asked_at, noted, now));
        }
    }
    lines.extend(noted.into_iter().map(|(key, noted)| list(key, None, None, Some(noted), now)));
    lines
}

pub(super) fn bare(generator: &Arc<str>, repository: Option<Repo>, state: State) -> Line {
    Line {
        generator: Arc::clone(generator),
        repository,
        repository_id: None,
        told: None,
        number: None,
        branch: None,
        state,
        known: None,
        asked_at: None,
        noted: None,
        answered_at: None,
        list: None,
    }
}

fn told(
    key: LineKey,
    repository: Option<Repo>,
    known: Option<Result<Known, Arc<str>>>,
    asked_at: Option<DateTime<Utc>>,
    noted: Option<Arc<Noted>>,
    now: Now,
) -> Line {
    let state = noted.as_deref().map_or(State::NotAsked, |noted| State::of(noted.stood));
    let (number, own) = match &key.line {
        domain::Line::Pull(number) => (Some(*number), None),
        domain::Line::Branch(branch) => (None, Some(branch)),
    };
    let recorded = match &known {
        Some(Ok(Known::Item(record))) => Some(&record.branch),
        _ => None,
    };
    let branch = noted.as_ref().map(|noted| &noted.branch).or(recorded).or(own).cloned();
    let answered_at = noted.as_ref().and_then(|noted| now.wall(noted.at));
    Line {
        repository_id: Some(key.repository),
        number,
        branch,
        told: Some(key.line),
        known,
        asked_at,
        noted,
        answered_at,
        ..bare(&key.generator, repository, state)
    }
}

fn list(
    key: ListKey,
    record: Option<Result<Arc<ListRecord>, Arc<str>>>,
    asked_at: Option<DateTime<Utc>>,
    noted: Option<Arc<ListNoted>>,
    now: Now,
) -> Line {
    let answered = noted.as_ref().and_then(|noted| noted.answered.as_ref());
    let state = answered.map_or(State::NotAsked, |answered| State::of(answered.stood));
    let answered_at = answered.and_then(|answered| now.wall(answered.at));
    let repository = match key.subject() {
        Subject::Pulls(repository) => repository.parse().ok(),
        Subject::Inputs(_) | Subject::Line => None,
    };
    let base = bare(&key.generator, repository, state);
    Line { asked_at, answered_at, list: Some(OfList { key, record, noted }), ..base }
}

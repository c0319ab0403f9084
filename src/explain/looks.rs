//! New looks that people asked for: a few, and only the latest of each line.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Number, Which, rows};
use crate::{
    clock::Moment,
    domain::{Line, Question, Repo},
    generator::Seen,
    parts::build::{Outcome, Resolution},
};

/// How many are kept.
const CAPACITY: usize = 64;

/// What a new look came to.
#[derive(Debug)]
pub(super) struct Look {
    /// The number and the branch that were asked for.
    asked: (Option<u64>, String),
    repository: Repo,
    pub(super) outcome: &'static str,
    pub(super) reason: String,
    pub(super) seen: Seen,
    pub(super) at: Moment,
}

/// The latest looks, the newest last.
#[derive(Default)]
pub(super) struct Looks(Mutex<VecDeque<(Arc<str>, Arc<Look>)>>);

impl Look {
    pub(super) fn new(
        resolution: &Resolution,
        seen: Seen,
        (question, repository): (&Question, &Repo),
        at: Moment,
    ) -> Self {
        let outcome = match resolution.outcome {
            Outcome::Ready(_) => "ready",
            Outcome::NotYet => "not-yet",
            Outcome::Unknown => "unknown",
            Outcome::ForkRefused => "fork-refused",
        };
        let asked = (question.number, question.branch.to_string());
        let (repository, reason) = (repository.clone(), resolution.reason.clone());
        Self { asked, repository, outcome, reason, seen, at }
    }

    /// Whether it is of the line of a row, or else of what was asked for.
    fn is_of(&self, which: &Which, row: Option<&rows::Line>) -> bool {
        let seen = self.seen.line.as_ref().map(|meant| &meant.key);
        if let (Some(key), Some(row)) = (seen, row)
            && let Some(line) = &row.told
        {
            return key.line == *line && row.repository_id.is_none_or(|id| id == key.repository);
        }
        if which.repository.as_ref().is_some_and(|wanted| *wanted != self.repository) {
            return false;
        }
        let number = match which.number {
            Number::Is(number) => Some(number),
            Number::Any | Number::None => None,
        };
        let line = seen.map(|key| &key.line);
        let by_number = number.is_some() && (self.asked.0 == number || line == number.map(Line::Pull).as_ref());
        by_number || number == self.asked.0 && which.branch.as_deref() == Some(&self.asked.1)
    }
}

impl Looks {
    /// Keeps a look in the place of one that was asked for in the same words.
    pub(super) fn keep(&self, generator: &Arc<str>, look: Look) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|(of, known)| {
            of != generator || (&known.asked, &known.repository) != (&look.asked, &look.repository)
        });
        if looks.len() >= CAPACITY {
            looks.pop_front();
        }
        looks.push_back((Arc::clone(generator), Arc::new(look)));
    }

    /// The repository that the latest look at such a line was about.
    pub(super) fn repository(&self, generator: &Arc<str>, which: &Which) -> Option<Repo> {
        self.get(generator, which, None).map(|look| look.repository.clone())
    }

    /// The latest look at a line.
    pub(super) fn get(&self, generator: &Arc<str>, which: &Which, row: Option<&rows::Line>) -> Option<Arc<Look>> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = looks.iter().rev().find(|(of, look)| of == generator && look.is_of(which, row));
        found.map(|(_, look)| Arc::clone(look))
    }
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").finish_non_exhaustive()
    }
}

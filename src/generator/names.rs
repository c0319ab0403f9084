//! What bare names were given last.
//!
//! The table says of each line why an empty list follows its item. A question by a name alone may mean another line the
//! next time (a pull request was closed, a fork's is there): then an empty list follows an item, though none of the two
//! lines has lost anything. Who asked by the name is told of that by what is remembered here.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Generator;
use crate::{
    domain::{Answer, Branch, CommitSha, Line, Question},
    parts::build::Meant,
};

/// Why an empty list follows an item, where the name was another line's then.
const ANOTHERS: &str = "the name means another line now";

/// How many names are remembered; of those that are asked for beyond it nothing is told.
const CAPACITY: usize = 20_000;

/// What the names of one generator's branches were given last, where that was an item.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<Branch, Given>>);

/// The item that a name was given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    /// Whose item it was.
    line: Line,
    /// The commit of its digests.
    commit: CommitSha,
}

impl Generator {
    /// Notes how a question was answered as that line, and says so if its name has lost an item by that.
    pub(super) fn note_name(&self, question: &Question, line: Option<&Meant>, answer: &Answer) {
        if let Some(given) = self.names.note(question, line, answer) {
            self.audit((&given.line, &question.branch, given.commit), ANOTHERS, answer.reason());
        }
    }
}

impl Names {
    /// Notes how a question was answered as that line, if it names nothing but a branch. Tells what was given before
    /// where an empty list follows it that is another line's, or nobody's.
    fn note(&self, question: &Question, line: Option<&Meant>, answer: &Answer) -> Option<Given> {
        if question.number.is_some() || question.head_sha.is_some() {
            return None;
        }
        let line = line.map(|meant| &meant.key.line);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (answer.commit(), line) {
            (Some(commit), Some(line)) => {
                let given = Given { line: line.clone(), commit };
                if names.len() < CAPACITY || names.contains_key(&question.branch) {
                    names.insert(question.branch.clone(), given);
                }
                None
            }
            _ if matches!(answer, Answer::Nothing { .. }) => {
                names.remove(&question.branch).filter(|given| Some(&given.line) != line)
            }
            _ => None,
        }
    }
}

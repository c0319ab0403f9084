//! The books of what the parts beside a build were answered, and the judgement of a generator without a build.
//!
//! Such an answer is what its source says, or what was recorded last for the same inputs: because the source cannot say,
//! or because the guard holds back that so much vanishes. With nothing recorded it is a 503 while the source cannot say.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::Value;

use super::{
    Violation,
    answer::Promise,
    belief::{Outcome, State, Told, product},
};
use crate::{
    hub::{At, Sha},
    parts::{Asked, Generator, PartRules, Row, Rows, Said, Sources},
    rules::ANSWER_WITHIN,
    stage::Reply,
};

/// An answer may be given that much after its deadline: the clock is a little later with every look at it.
const ALMOST: At = At::from_millis(10);

/// More states than that are never believed in.
const MOST: usize = 200;

/// What is recorded for whoever asks with some inputs, or about a line.
#[derive(Clone, Debug)]
pub(super) struct ListAccount {
    /// One of these is so.
    pub(super) states: Vec<State>,
    /// All that was ever so or may have been, for replicas that do not hear of what is recorded after.
    former: Vec<State>,
    /// The build's commit and digests beside it, as answered last.
    pub(super) build: Option<(Sha, Vec<String>)>,
    /// Somebody hung up: another build may be recorded.
    pub(super) unheard: bool,
    /// When it was asked last, and of whom.
    pub(super) asked: Option<(At, usize)>,
}

impl Default for ListAccount {
    fn default() -> Self {
        let states = vec![State::default()];
        Self { states, former: Vec::new(), build: None, unheard: false, asked: None }
    }
}

/// All books of the parts.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) rules: PartRules,
    pub(crate) sources: Sources,
    pub(super) accounts: BTreeMap<Asked, ListAccount>,
}

/// What is known of the ledger when a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ledger {
    Works,
    /// It can be neither read nor written, and nothing is in memory.
    Garbage,
    /// It may be out of reach.
    Deaf,
}

/// An answer's lists, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Fresh(Rows),
    Held(Rows),
    Refused,
}

impl Heard {
    pub(super) fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Fresh(rows) | Self::Held(rows) => Some(rows),
            Self::Refused => None,
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Fresh(_) => "lists fresh",
            Self::Held(_) => "lists held",
            Self::Refused => "lists refused",
        }
    }
}

impl Lists {
    pub(crate) fn new(rules: PartRules) -> Self {
        Self { rules, sources: Sources::new(), accounts: BTreeMap::new() }
    }

    /// The ledger is lost.
    pub(super) fn forget(&mut self) {
        self.accounts.clear();
    }

    /// A program's process is another one: what it asked first is its first read again.
    pub(super) fn restarts(&mut self, program: usize) {
        for account in self.accounts.values_mut() {
            account.asked.take_if(|(_, of)| *of == program);
        }
    }

    /// The programs' wall clock was changed.
    pub(crate) fn wall_clock_jumps(&mut self) {
        self.accounts.values_mut().flat_map(|account| &mut account.states).for_each(State::blur);
    }

    /// Whether it is certain that something is recorded.
    pub(crate) fn is_recorded(&self, asked: &Asked) -> bool {
        let account = self.accounts.get(&key(asked));
        account.is_some_and(|account| account.states.iter().all(|state| state.recorded.is_some()))
    }

    /// Whether the guard of a generator may hold something back that nobody let go yet, and whether it surely does.
    pub(crate) fn holds_back(&self, generator: Generator) -> (bool, bool) {
        let accounts = || self.accounts.iter().filter(|(asked, _)| asked.generator == generator);
        let held = State::is_holding;
        let perhaps = accounts().any(|(_, account)| account.states.iter().any(held));
        (perhaps, accounts().any(|(_, account)| account.states.iter().all(held)))
    }

    /// An operator lets go what a generator's guard holds back; or it is not known whether that was heard.
    pub(crate) fn released(&mut self, generator: Generator, surely: bool) {
        for (asked, account) in &mut self.accounts {
            if asked.generator == generator {
                let before = account.states.clone();
                account.states.iter_mut().for_each(State::release);
                if !surely {
                    account.states.extend(before);
                }
            }
        }
    }

    /// What each part says to a question now.
    pub(super) fn said(&self, asked: &Asked, now: At) -> Vec<Said> {
        asked.generator.parts().iter().map(|part| self.sources.say(*part, asked, now)).collect()
    }

    /// All ways in which a question may go.
    pub(super) fn outcomes(&self, asked: &Asked, now: At) -> Vec<Outcome> {
        let said = self.said(asked, now);
        let only_if = self.rules.only_if(asked.generator);
        let nothing = [State::default()];
        let states = self.accounts.get(&key(asked)).map_or(&nothing[..], |account| &account.states);
        states.iter().flat_map(|state| state.outcomes(&said, only_if, self.rules.guard, now)).collect()
    }

    /// Somebody asked and hung up: it may have been recorded what he would have been told.
    pub(crate) fn hung_up(&mut self, asked: &Asked, now: At) {
        let outcomes = self.outcomes(asked, now);
        let account = self.accounts.entry(key(asked)).or_default();
        account.unheard = true;
        account.states.extend(outcomes.into_iter().map(|outcome| outcome.state));
        account.settle();
    }

    /// Judges the lists of an answer, and notes them. Tells which ways are still possible.
    pub(super) fn judge(
        &mut self,
        asked: &Asked,
        heard: &Heard,
        ledger: Ledger,
        now: At,
    ) -> Result<Vec<Outcome>, Violation> {
        let outcomes = self.outcomes(asked, now);
        let (said, only_if) = (self.said(asked, now), self.rules.only_if(asked.generator));
        let account = self.accounts.entry(key(asked)).or_default();
        if ledger == Ledger::Garbage {
            let how = "the ledger cannot be used, and nobody knows what was answered before";
            return if *heard == Heard::Refused { Ok(Vec::new()) } else { Promise::NothingLost.violated(how) };
        }
        if ledger == Ledger::Deaf {
            let mut known: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.told.rows()).cloned().collect();
            for state in &account.former {
                known.extend(state.recorded.iter().map(|recorded| product(recorded, only_if)));
                let outcomes = state.outcomes(&said, only_if, self.rules.guard, now);
                known.extend(outcomes.iter().filter_map(|outcome| outcome.told.rows()).cloned());
            }
            judge_deaf(heard, &known)?;
            account.states.extend(outcomes.into_iter().map(|outcome| outcome.state));
            account.settle();
            return Ok(Vec::new());
        }
        let fits = |outcome: &&Outcome| match (heard, &outcome.told) {
            (Heard::Fresh(rows), Told::Said(said)) => rows == said,
            // Beside a build that is held what the sources say is held as well.
            (Heard::Held(rows), Told::Said(said)) => rows == said && asked.number.is_some(),
            (Heard::Held(rows), Told::Kept(kept) | Told::Guarded(kept)) => rows == kept,
            (Heard::Refused, Told::Unknown) => true,
            _ => false,
        };
        let right: Vec<_> = outcomes.iter().filter(fits).cloned().collect();
        if right.is_empty() {
            return Err(violation(heard, &outcomes));
        }
        account.states = right.iter().map(|outcome| outcome.state.clone()).collect();
        account.settle();
        Ok(right)
    }

    /// Judges an answer of a generator without a build.
    pub(super) fn judge_plain(
        &mut self,
        asked: &Asked,
        reply: &Reply,
        ledger: Ledger,
        now: At,
    ) -> Result<Heard, Violation> {
        in_time(reply)?;
        let heard = match (items(reply)?, reply.header("x-lastgreen-standing")) {
            (None, _) => Heard::Refused,
            (Some(items), standing) => {
                let rows = Rc::new(items.iter().map(row).collect::<Result<Vec<_>, _>>()?);
                match standing {
                    "fresh" => Heard::Fresh(rows),
                    "held" => Heard::Held(rows),
                    _ => return Promise::Form.violated(format!("a list with the standing {standing:?}")),
                }
            }
        };
        self.judge(asked, &heard, ledger, now)?;
        Ok(heard)
    }
}

impl ListAccount {
    /// Each state once.
    fn settle(&mut self) {
        let mut once: Vec<State> = Vec::new();
        for state in self.states.drain(..) {
            if !once.contains(&state) {
                once.push(state);
            }
        }
        assert!(once.len() <= MOST, "the oracle knows nothing any more");
        let is_new = |state: &&State| self.former.iter().all(|former| former.recorded != state.recorded);
        let new: Vec<_> = once.iter().filter(is_new).cloned().collect();
        self.former.extend(new);
        self.states = once;
    }
}

/// A replica that may not hear of what is recorded gives what it knows: something that was recorded, or is so.
fn judge_deaf(heard: &Heard, known: &[Rows]) -> Result<(), Violation> {
    match heard.rows() {
        Some(rows) if !known.contains(rows) => Promise::AsSaid.violated(format!("nobody ever said {}", brief(rows))),
        _ => Ok(()),
    }
}

/// The books that a question belongs to: those of its inputs, or of its line whatever its inputs are.
pub(super) fn key(asked: &Asked) -> Asked {
    let inputs = if asked.number.is_some() { BTreeMap::new() } else { asked.inputs.clone() };
    Asked { inputs, ..asked.clone() }
}

pub(super) fn in_time(reply: &Reply) -> Result<(), Violation> {
    if reply.after > ANSWER_WITHIN + ALMOST {
        return Promise::InTime.violated(format!("answered after {:?}", reply.after));
    }
    Ok(())
}

/// The items of a 200; `None` for a refusal.
pub(super) fn items(reply: &Reply) -> Result<Option<&Vec<Value>>, Violation> {
    if reply.status == 503 && reply.header("x-lastgreen-standing") == "unknown" && reply.body["message"].is_string() {
        return Ok(None);
    }
    match reply.body["output"]["parameters"].as_array().filter(|_| reply.status == 200) {
        Some(items) => Ok(Some(items)),
        None => Promise::NobodyElses.violated(format!("status {}: {}", reply.status, reply.body)),
    }
}

/// An item: a map of texts.
pub(super) fn row(item: &Value) -> Result<Row, Violation> {
    let texts = item.as_object().and_then(|map| {
        let texts = map.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        texts.collect::<Option<Row>>()
    });
    texts.map_or_else(|| Promise::Form.violated(format!("the item {item}")), Ok)
}

/// Some of a list.
fn brief(rows: &Rows) -> String {
    let first: Vec<_> = rows.iter().take(4).map(|row| row.values().cloned().collect::<Vec<_>>().join("/")).collect();
    format!("{} items: {}{}", rows.len(), first.join(" "), if rows.len() > 4 { " …" } else { "" })
}

/// Which promise an answer breaks that fits none of the ways.
fn violation(heard: &Heard, outcomes: &[Outcome]) -> Violation {
    let due: Vec<_> = outcomes
        .iter()
        .map(|outcome| match &outcome.told {
            Told::Said(rows) => format!("its sources say {}", brief(rows)),
            Told::Kept(rows) => format!("a source cannot say, and recorded is {}", brief(rows)),
            Told::Guarded(rows) => format!("the guard holds, and recorded is {}", brief(rows)),
            Told::Unknown => "nobody can say".to_owned(),
        })
        .collect();
    let any = |told: fn(&Told) -> bool| outcomes.iter().any(|outcome| told(&outcome.told));
    let (is, promise) = match heard {
        Heard::Refused => ("it is refused".to_owned(), Promise::NobodyElses),
        Heard::Fresh(rows) | Heard::Held(rows) => {
            let lost = outcomes.iter().filter_map(|outcome| outcome.told.rows()).any(|due| rows.len() < due.len());
            let promise = if rows.is_empty() && lost {
                Promise::NothingWithdrawn
            } else if any(|told| matches!(told, Told::Guarded(_) | Told::Kept(_))) {
                Promise::NothingLost
            } else if matches!(heard, Heard::Held(_)) && any(|told| matches!(told, Told::Said(_))) {
                Promise::LetGo
            } else {
                Promise::AsSaid
            };
            (format!("answered as {} are {}", heard.word(), brief(rows)), promise)
        }
    };
    Violation { promise, how: format!("{is}, but {}", due.join("; or ")) }
}

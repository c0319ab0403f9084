//! Lists in this process's memory, as the ledger has them.

use std::{collections::HashMap, sync::Arc};

use chrono::DateTime;

use super::{KnownLists, ListFact, ListKey, ListRecord, ListRow, ListWrite, ListedLists, Subject};
use crate::{clock::Moment, domain::List, ledger::mirror::Stored};

#[derive(Debug, Default)]
pub(in crate::ledger) struct ListMirror(HashMap<ListKey, Entry>);

#[derive(Debug)]
struct Entry {
    state: State,
    /// The change that made what the ledger has of it; 0 for none.
    change: i64,
    stored: Stored,
    /// What was asked before must not replace it.
    as_of: Moment,
    /// When it was asked for last, in seconds since 1970, and what of this is written.
    asked_at: u64,
    written_at: u64,
}

#[derive(Debug)]
enum State {
    Lists(Arc<ListRecord>),
    Never,
    /// There is a record, but it cannot be read.
    Unreadable(Arc<str>),
}

impl ListMirror {
    pub(super) fn known(&self, key: &ListKey) -> KnownLists {
        let Some(entry) = self.0.get(key) else {
            let as_of = Moment::START;
            return KnownLists { record: None, version: 0, as_of, is_stored: true, unreadable: None };
        };
        let (record, unreadable) = match &entry.state {
            State::Lists(record) => (Some(Arc::clone(record)), None),
            State::Never => (None, None),
            State::Unreadable(why) => (None, Some(Arc::clone(why))),
        };
        let is_stored = entry.stored == Stored::Yes;
        KnownLists { record, version: entry.change, as_of: entry.as_of, is_stored, unreadable }
    }

    /// The change that made what the ledger has; `None` if it was never heard of.
    pub(super) fn version(&self, key: &ListKey) -> Option<i64> {
        self.0.get(key).map(|entry| entry.change)
    }

    /// How many records a generator has, and about how many bytes they take.
    pub(super) fn size(&self, generator: &str) -> (usize, usize) {
        let own = self.0.iter().filter(|(key, _)| *key.generator == *generator);
        own.fold((0, 0), |(count, bytes), (_, entry)| match &entry.state {
            State::Lists(record) => (count + 1, bytes + record.parts.values().map(List::bytes).sum::<usize>()),
            State::Unreadable(_) => (count + 1, bytes),
            State::Never => (count, bytes),
        })
    }

    pub(super) fn asked(&mut self, key: &ListKey, at: u64, so_as_of: Option<Moment>) {
        if let Some(entry) = self.0.get_mut(key) {
            entry.asked_at = entry.asked_at.max(at);
            entry.as_of = so_as_of.map_or(entry.as_of, |as_of| entry.as_of.max(as_of));
        }
    }

    pub(super) fn not_asked_since(&self, generator: &str, since: u64, count: usize) -> Vec<ListKey> {
        let old = self.0.iter().filter(|(key, entry)| {
            *key.generator == *generator && !matches!(entry.state, State::Never) && entry.asked_at < since
        });
        let mut old: Vec<_> = old.map(|(key, entry)| (entry.asked_at, key.clone())).collect();
        old.sort();
        old.truncate(count);
        old.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn held_back(&self) -> Vec<(ListKey, Arc<ListRecord>)> {
        let held = self.0.iter().filter_map(|(key, entry)| match &entry.state {
            State::Lists(record) if record.guarded.held_back.is_some() => Some((key.clone(), Arc::clone(record))),
            _ => None,
        });
        let mut held: Vec<_> = held.collect();
        held.sort_by(|(a, _), (b, _)| a.cmp(b));
        held
    }

    pub(super) fn standing_alone(&self) -> Vec<ListedLists> {
        let listed = self.0.iter().filter_map(|(key, entry)| {
            let record = match &entry.state {
                State::Lists(record) => Ok(Arc::clone(record)),
                State::Unreadable(why) => Err(Arc::clone(why)),
                State::Never => return None,
            };
            let at = i64::try_from(entry.asked_at).ok().filter(|at| *at > 0);
            let asked_at = at.and_then(|at| DateTime::from_timestamp(at, 0));
            (key.subject() != Subject::Line).then(|| ListedLists { key: key.clone(), record, asked_at })
        });
        listed.collect()
    }

    /// What is yet to be written of when lists were asked for last, if that is `step` seconds later than what is.
    pub(in crate::ledger) fn asked_since(&self, step: u64) -> Vec<(ListKey, u64)> {
        let news = self.0.iter().filter(|(_, entry)| {
            !matches!(entry.state, State::Never) && entry.change != 0 && entry.asked_at >= entry.written_at + step
        });
        news.map(|(key, entry)| (key.clone(), entry.asked_at)).collect()
    }

    pub(in crate::ledger) fn asked_is_written(&mut self, asked: &[(ListKey, u64)]) {
        for (key, at) in asked {
            if let Some(entry) = self.0.get_mut(key) {
                entry.written_at = *at;
            }
        }
    }

    /// Keeps what this process has written.
    pub(in crate::ledger) fn wrote(&mut self, write: &ListWrite, change: i64) {
        let before = self.0.get(&write.key).filter(|entry| matches!(entry.stored, Stored::Lost(_)));
        let as_of = before.map_or(write.as_of, |entry| entry.as_of.max(write.as_of));
        self.put(&write.key, state_of(&write.fact), (change, as_of, write.asked_at));
    }

    /// Takes in what another process has written, or an earlier one.
    pub(in crate::ledger) fn take_in(&mut self, row: &ListRow, now: Moment) {
        if let Err(why) = &row.fact {
            tracing::error!(generator = %row.key.generator, about = %row.key.about, %why, "a record of the ledger cannot be read; the next answer overwrites it, or it is forgotten with its line");
        }
        if let Some(entry) = self.0.get_mut(&row.key) {
            if entry.change >= row.change {
                return;
            }
            if let State::Lists(own) = &entry.state {
                match (&row.fact, entry.stored) {
                    (Err(_), Stored::Yes) => {
                        entry.stored = Stored::Unreadable;
                        entry.change = row.change;
                        return;
                    }
                    (Ok(ListFact::Lists(theirs)), _) if theirs.recorded_at >= own.recorded_at => {}
                    // An older state of the ledger does not take back what was answered since.
                    (_, Stored::Lost(_)) => {
                        entry.change = row.change;
                        return;
                    }
                    _ => {}
                }
            }
        }
        let state = match &row.fact {
            Ok(fact) => state_of(fact),
            Err(why) => State::Unreadable(Arc::clone(why)),
        };
        self.put(&row.key, state, (row.change, now, row.asked_at));
    }

    fn put(&mut self, key: &ListKey, state: State, (change, as_of, asked_at): (i64, Moment, u64)) {
        let entry = Entry { state, change, stored: Stored::Yes, as_of, asked_at, written_at: asked_at };
        self.0.insert(key.clone(), entry);
    }

    /// The ledger is another one now: all that is known is yet to be written into it.
    pub(in crate::ledger) fn replaced(&mut self) {
        for entry in self.0.values_mut() {
            if let (State::Lists(_), Stored::Yes | Stored::Unreadable) = (&entry.state, entry.stored) {
                entry.stored = Stored::Lost(entry.change);
            }
            entry.change = 0;
        }
    }

    /// What is yet to be written into a ledger that is another one now.
    pub(in crate::ledger) fn lost(&self) -> Vec<ListWrite> {
        let lost = self.0.iter().filter_map(|(key, entry)| match (&entry.state, entry.stored) {
            (State::Lists(record), Stored::Lost(_)) => Some(ListWrite {
                key: key.clone(),
                expected: entry.change,
                fact: ListFact::Lists((**record).clone()),
                as_of: entry.as_of,
                asked_at: entry.asked_at,
            }),
            _ => None,
        });
        lost.collect()
    }
}

fn state_of(fact: &ListFact) -> State {
    match fact {
        ListFact::Lists(record) => State::Lists(Arc::new(record.clone())),
        ListFact::Forgotten => State::Never,
    }
}

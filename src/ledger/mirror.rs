//! What the ledger holds, in this process's memory: every question is answered from here.
//!
//! Each entry has the number of the change that made it, which orders all records of a ledger whoever wrote them, and
//! the moment as of which it is right for this process: a read of GitHub that began before must not replace it.

mod by_name;

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Candidate, Known, LineKey, Record,
    lists::ListMirror,
    merges::Merges,
    record::{Fact, Nothing},
    store::{Asked, LineRow, LineWrite},
    trust::{TrustKey, Watch},
};
use crate::{
    clock::Moment,
    domain::{Branch, Line, Repo},
};

/// The trust of how many sets is kept apart.
const WATCHES: usize = 10_000;

/// The longest time between two questions that a hold's clock counts: nobody knows what was in between.
const LONGEST_STEP: Duration = Duration::from_hours(2);

#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// The last change of the ledger that is in here together with all before it.
    pub(super) change: i64,
    pub(super) lines: HashMap<LineKey, Entry>,
    /// The lines that were recorded under a branch's name, the last one at the end.
    by_name: HashMap<(Arc<str>, u64, Branch), Vec<Line>>,
    pub(super) repositories: HashMap<Repo, u64>,
    pub(super) watches: HashMap<TrustKey, Watch>,
    pub(super) merges: Merges,
    pub(super) lists: ListMirror,
    /// By what this process knows what it has written itself.
    pub(super) writer: u64,
}

/// One line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    /// The change that made what the ledger has of it; 0 for none.
    pub(super) change: i64,
    pub(super) stored: Stored,
    /// The name under which it was recorded.
    branch: Option<Branch>,
    /// A read of GitHub that began before must not replace it.
    as_of: Moment,
    /// When another process's change was heard of.
    heard: Option<Moment>,
    /// How long the upstreams have said *not yet* since the item was last ready, and when they last said it.
    pub(super) spent: Duration,
    not_yet_at: Option<Moment>,
    /// When it was asked last, in seconds since 1970, and what of this is written.
    pub(super) asked: Asked,
    pub(super) written: Asked,
    /// Whether it was said that its item is withdrawn, be it that this cannot be recorded.
    pub(super) said: bool,
    /// The item that this process withdrew, where it did not hear that this was recorded.
    pub(super) withdrawn: Option<Arc<Record>>,
}

/// Whether the ledger has what memory has of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    /// It was lost with another ledger, in which it was this change, and is yet to be written into this one.
    Lost(i64),
    /// What the ledger has of it cannot be read.
    Unreadable,
}

/// What is to be done with a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is recorded. Whether its hold's clock ran, and is to be put back.
    Known { clock_ran: bool },
    /// What is recorded is newer.
    Superseded(Arc<Record>),
    /// It is to be recorded.
    New,
}

/// What is known of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Item(Arc<Record>),
    Nothing(Nothing),
    Never,
    /// There is a record, but it cannot be read.
    Unreadable(Arc<str>),
}

/// What was recorded for another line of the same branch, later than for the one that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newer {
    /// An item, and as of when it is right.
    Item(Arc<Record>, Moment),
    /// Something that cannot be read.
    Unreadable,
}

impl Mirror {
    /// Nothing is known yet.
    pub(super) fn new(writer: u64) -> Self {
        Self { writer, ..Self::default() }
    }

    /// What is known of a line, and by which change.
    pub(super) fn known(&self, key: &LineKey) -> (Result<Known, Arc<str>>, i64) {
        let Some(entry) = self.lines.get(key) else { return (Ok(Known::Never), 0) };
        let known = match &entry.state {
            State::Item(record) => Ok(Known::Item(Arc::clone(record))),
            State::Nothing(_) => Ok(Known::Nothing),
            State::Never => Ok(Known::Never),
            State::Unreadable(why) => Err(Arc::clone(why)),
        };
        (known, entry.change)
    }

    pub(super) fn item(&self, key: &LineKey) -> Option<&Arc<Record>> {
        match &self.lines.get(key)?.state {
            State::Item(record) => Some(record),
            _ => None,
        }
    }

    /// Whether a line's branch lives in the repository itself, where that was recorded.
    pub(super) fn is_own(&self, key: &LineKey) -> Option<bool> {
        match &self.lines.get(key)?.state {
            State::Item(record) => Some(record.own),
            State::Nothing(nothing) => nothing.branch.as_ref().map(|(_, own)| *own),
            State::Never | State::Unreadable(_) => None,
        }
    }

    /// What is to be done with a candidate.
    pub(super) fn judge(&mut self, key: &LineKey, candidate: &Candidate) -> Judged {
        let Some(entry) = self.lines.get_mut(key) else { return Judged::New };
        let State::Item(record) = &entry.state else { return Judged::New };
        if record.build.covers(&candidate.build) && record.branch == candidate.branch && entry.stored == Stored::Yes {
            entry.as_of = entry.as_of.max(candidate.as_of);
            entry.not_yet_at = None;
            return Judged::Known { clock_ran: !entry.spent.is_zero() };
        }
        if entry.as_of > candidate.as_of || candidate.newer.contains(&record.build.commit()) {
            return Judged::Superseded(Arc::clone(record));
        }
        Judged::New
    }

    /// As of when what is known of a line is right.
    pub(super) fn as_of(&self, key: &LineKey) -> Moment {
        self.lines.get(key).map_or(Moment::START, |entry| entry.as_of)
    }

    /// Keeps what this process has written.
    pub(super) fn wrote(&mut self, line: &LineWrite, change: i64) {
        let as_of = line.as_of;
        let lost = self.lines.get(&line.key).filter(|entry| matches!(entry.stored, Stored::Lost(_)));
        let as_of = lost.map_or(as_of, |entry| entry.as_of.max(as_of));
        self.put(&line.key, state_of(&line.fact), branch_of(&line.fact), (change, as_of, None));
        self.asked(&line.key, line.asked_at);
        if let Some(entry) = self.lines.get_mut(&line.key) {
            entry.written = entry.asked;
        }
    }

    /// Notes that this process has made others look at a line again.
    pub(super) fn renumbered(&mut self, key: &LineKey, change: i64) {
        if let Some(entry) = self.lines.get_mut(key) {
            entry.change = change;
        }
    }

    /// Notes that this process has written the changes after `first` up to `last`.
    pub(super) fn advanced(&mut self, first: i64, last: i64) {
        // Where somebody else has written in between, that is yet to be read.
        if self.change == first {
            self.change = last;
        }
    }

    /// Takes in a row of the ledger that another process has written, or an earlier one.
    pub(super) fn take_in(&mut self, row: &LineRow, now: Moment) {
        let mut withdrawn = None;
        if let Some(entry) = self.lines.get_mut(&row.key) {
            if entry.change >= row.change {
                return;
            }
            if let State::Item(own) = &entry.state {
                match (&row.fact, entry.stored) {
                    // It is held, and the next build overwrites what cannot be read.
                    (Err(_), Stored::Yes) => {
                        entry.stored = Stored::Unreadable;
                        entry.change = row.change;
                        entry.heard = Some(now);
                        report(row);
                        return;
                    }
                    (Ok(Fact::Item(theirs)), _) if theirs.recorded_at >= own.recorded_at => {}
                    // An older state of the ledger does not take back what was answered since.
                    (_, Stored::Lost(_)) => {
                        entry.change = row.change;
                        return;
                    }
                    (Ok(Fact::Nothing(nothing)), _) if nothing.withdrawn_by == Some(self.writer) && !entry.said => {
                        withdrawn = Some(Arc::clone(own));
                    }
                    _ => {}
                }
            }
        }
        let (state, branch) = match &row.fact {
            Ok(fact) => (state_of(fact), branch_of(fact)),
            Err(why) => {
                report(row);
                (State::Unreadable(Arc::clone(why)), row.branch.clone())
            }
        };
        self.put(&row.key, state, branch, (row.change, now, Some(now)));
        if let Some(entry) = self.lines.get_mut(&row.key) {
            entry.spent = Duration::from_secs(row.asked.not_yet_seconds);
            entry.asked = row.asked;
            entry.written = row.asked;
            entry.withdrawn = withdrawn;
        }
    }

    fn put(
        &mut self,
        key: &LineKey,
        state: State,
        branch: Option<Branch>,
        (change, as_of, heard): (i64, Moment, Option<Moment>),
    ) {
        let name = |branch: Branch| (Arc::clone(&key.generator), key.repository, branch);
        let old = self.lines.remove(key);
        if let Some(old) = old.as_ref().and_then(|entry| entry.branch.clone())
            && let Some(lines) = self.by_name.get_mut(&name(old.clone()))
        {
            lines.retain(|line| *line != key.line);
            if lines.is_empty() {
                self.by_name.remove(&name(old));
            }
        }
        if let Some(branch) = branch.clone() {
            self.by_name.entry(name(branch)).or_default().push(key.line.clone());
        }
        let asked = old.as_ref().map_or_else(Asked::default, |entry| entry.asked);
        let asked = Asked { not_yet_seconds: 0, ..asked };
        let entry = Entry {
            state,
            change,
            stored: Stored::Yes,
            branch,
            as_of,
            heard: heard.or(old.and_then(|entry| entry.heard)),
            spent: Duration::ZERO,
            not_yet_at: None,
            asked,
            written: asked,
            said: false,
            withdrawn: None,
        };
        self.lines.insert(key.clone(), entry);
    }

    /// The ledger is another one now, or an older state of it: all that is known is yet to be written into it. Trust is
    /// to be earned anew.
    pub(super) fn replaced(&mut self) {
        self.change = 0;
        self.watches.clear();
        self.lists.replaced();
        for entry in self.lines.values_mut() {
            if let (State::Item(_) | State::Nothing(_), Stored::Yes | Stored::Unreadable) = (&entry.state, entry.stored)
            {
                entry.stored = Stored::Lost(entry.change);
            }
            entry.change = 0;
        }
    }

    /// What is yet to be written into a ledger that is another one now, in the order in which it was recorded once.
    pub(super) fn lost(&self) -> Vec<LineWrite> {
        let lost = self.lines.iter().filter_map(|(key, entry)| match (&entry.state, entry.stored) {
            (State::Item(record), Stored::Lost(change)) => Some((change, key, entry, Fact::Item((**record).clone()))),
            (State::Nothing(nothing), Stored::Lost(change)) => {
                Some((change, key, entry, Fact::Nothing(nothing.clone())))
            }
            _ => None,
        });
        let mut lost: Vec<_> = lost.collect();
        lost.sort_by_key(|(change, ..)| *change);
        let write = |(_, key, entry, fact): (i64, &LineKey, &Entry, Fact)| LineWrite {
            key: key.clone(),
            expected: entry.change,
            fact,
            as_of: entry.as_of,
            asked_at: entry.asked.at,
            unless_asked_since: u64::MAX,
        };
        lost.into_iter().map(write).collect()
    }

    /// Notes that a line was asked, at `at` seconds since 1970.
    pub(super) fn asked(&mut self, key: &LineKey, at: u64) {
        if let Some(entry) = self.lines.get_mut(key) {
            entry.asked.at = at.max(entry.asked.at);
        }
    }

    /// Counts *not yet*, as far as the upstreams could say so without a break, and tells for how long it has been so.
    pub(super) fn not_yet_for(&mut self, key: &LineKey, could_say_since: Option<Moment>, now: Moment) -> Duration {
        let Some(entry) = self.lines.get_mut(key) else { return Duration::ZERO };
        if let Some((before, since)) = entry.not_yet_at.zip(could_say_since) {
            entry.spent += now.since(before.max(since)).min(LONGEST_STEP);
            entry.asked.not_yet_seconds = entry.spent.as_secs();
        }
        entry.not_yet_at = could_say_since.map(|_| now);
        entry.spent
    }

    /// The moment when a change of this line by another process was heard of.
    pub(super) fn heard(&self, key: &LineKey) -> Option<Moment> {
        self.lines.get(key)?.heard
    }

    /// Counts the time since a set's last question.
    pub(super) fn watched(
        &mut self,
        key: &TrustKey,
        now: Moment,
        (could_say_since, trust_after): (Option<Moment>, Duration),
    ) {
        // Whoever asks under ever new names earns no trust for them.
        if self.watches.len() < WATCHES || self.watches.contains_key(key) {
            self.watches.entry(key.clone()).or_default().note(now, could_say_since, trust_after);
        }
    }
}

/// Says that a record cannot be read.
fn report(row: &LineRow) {
    if let Err(why) = &row.fact {
        tracing::error!(generator = %row.key.generator, line = %row.key.line, %why, "a record of the ledger cannot be read; the next build overwrites it, or `lastgreen ledger forget`");
    }
}

fn state_of(fact: &Fact) -> State {
    match fact {
        Fact::Item(record) => State::Item(Arc::new(record.clone())),
        Fact::Nothing(nothing) => State::Nothing(nothing.clone()),
        Fact::Forgotten => State::Never,
    }
}

/// The name under which a fact is found.
pub(super) fn branch_of(fact: &Fact) -> Option<Branch> {
    match fact {
        Fact::Item(record) => Some(record.branch.clone()),
        Fact::Nothing(nothing) => nothing.branch.as_ref().map(|(branch, _)| branch.clone()),
        Fact::Forgotten => None,
    }
}

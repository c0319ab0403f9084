//! What was answered for each line: as whoever asked remembers it, and as the ledger should.

use std::{collections::BTreeMap, time::Duration};

use super::answer::Item;
use crate::hub::{At, Hub, Line};

/// What the ledger should know of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    #[default]
    Never,
    Nothing,
    Item(Item),
}

/// The books of one line.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any may go with any")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) known: Known,
    pub(crate) known_at: At,
    /// Since when that is so.
    pub(crate) since: At,
    /// What it may know instead.
    pub(crate) also: Option<Item>,
    /// What whoever asks has of it now.
    pub(crate) deployed: Option<Item>,
    pub(crate) deployed_at: At,
    /// Somebody hung up: something newer may have been recorded that nobody was told.
    pub(crate) unheard: bool,
    /// How long the upstreams may have said *not yet* since the item was ready.
    pub(crate) spent: Duration,
    pub(crate) not_yet_at: Option<At>,
    /// What is known of it may have been answered for another line that the question may have meant.
    pub(crate) perhaps_anothers: bool,
    /// Something newer may have been recorded that nobody was told yet.
    pub(crate) perhaps_overtaken: bool,
    /// Its record cannot be read.
    pub(crate) broken: bool,
}

impl Account {
    /// The record is broken: nothing is known but that there was something.
    pub(crate) fn breaks(&mut self) {
        (self.known, self.also) = (Known::Never, None);
        (self.unheard, self.broken) = (false, true);
    }
}

/// What was answered before for a line, be it as another line of the same branch.
#[derive(Clone, Debug)]
pub(crate) struct Prior {
    pub(crate) account: Account,
    /// Whether that was for the branch when it had another kind of line.
    pub(crate) taken_over: bool,
    /// Whether that is so but for the history.
    pub(crate) perhaps_taken_over: bool,
    /// Whether a record of the branch cannot be read.
    pub(crate) broken: bool,
}

/// All books.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) lines: BTreeMap<Line, Account>,
}

impl Accounts {
    /// The books of a line. "When an own branch gains or loses its pull request, the new line takes the record over if
    /// the recorded commit is in its history": whatever was answered later counts.
    pub(crate) fn prior(&self, line: &Line, hub: &Hub) -> Prior {
        let mut account = self.lines.get(line).cloned().unwrap_or_default();
        let (mut taken_over, mut perhaps_taken_over) = (false, false);
        let mut broken = account.broken;
        // "Force-push and reopening keep it": a pull request that was known before is open again.
        let own = (account.known.clone(), account.since);
        let reopened =
            |since: At| matches!(line, Line::Pull(_)) && !hub.is_fork(line) && own.0 != Known::Never && own.1 < since;
        let history = hub.head(line).filter(|_| !hub.is_fork(line)).map(|head| hub.history(&head)).unwrap_or_default();
        for (other, books) in &self.lines {
            let same = hub.branch_of(other) == hub.branch_of(line) && !hub.is_fork(other);
            let other_kind =
                matches!((line, other), (Line::Pull(_), Line::Branch(_)) | (Line::Branch(_), Line::Pull(_)));
            // Whose a record was that cannot be read is not known either.
            broken |= books.broken && other_kind && hub.branch_of(other) == hub.branch_of(line);
            if !same || !other_kind {
                continue;
            }
            perhaps_taken_over |= matches!(&books.known, Known::Item(_)) && books.known_at > account.known_at;
            if let Known::Item(item) = &books.known
                && books.known_at > account.known_at
                && (reopened(books.since) || history.contains(&item.commit))
            {
                account.known = books.known.clone();
                account.known_at = books.known_at;
                account.spent = books.spent;
                account.not_yet_at = books.not_yet_at;
                account.unheard |= books.unheard;
                account.perhaps_anothers |= books.perhaps_anothers;
                taken_over = true;
            }
            if let Some(item) = &books.deployed
                && books.deployed_at > account.deployed_at
                && (reopened(books.since) || history.contains(&item.commit))
            {
                account.deployed.clone_from(&books.deployed);
                account.deployed_at = books.deployed_at;
            }
        }
        Prior { account, taken_over, perhaps_taken_over, broken }
    }

    /// Whether an item was answered last for this very line.
    pub(crate) fn is_own(&self, line: &Line, item: &Item) -> bool {
        self.lines.get(line).is_some_and(|account| matches!(&account.known, Known::Item(last) if last == item))
    }

    /// Whether an item was answered last for another own line of the same branch.
    pub(crate) fn is_kins(&self, line: &Line, item: &Item, hub: &Hub) -> bool {
        let kin = |other: &Line| hub.branch_of(other) == hub.branch_of(line) && !hub.is_fork(other);
        // A record that was taken over from one that cannot be read now.
        let broken = |account: &Account| account.broken && account.deployed.as_ref() == Some(item);
        let known = |other: &Line, account: &Account| kin(other) && (self.is_own(other, item) || broken(account));
        !hub.is_fork(line) && self.lines.iter().any(|(other, account)| known(other, account))
    }

    /// Whether an item was answered for this line only while it may have been for another own one of the same branch,
    /// for which it was answered before.
    pub(crate) fn is_kins_alone(&self, line: &Line, item: &Item, hub: &Hub) -> bool {
        let kin = |other: &Line| other != line && hub.branch_of(other) == hub.branch_of(line) && !hub.is_fork(other);
        !hub.is_fork(line) && self.lines.keys().any(|other| kin(other) && self.is_own(other, item))
    }

    /// Whether something is known of another line of the same name, the one or the other a fork's.
    pub(crate) fn has_other(&self, line: &Line, hub: &Hub) -> bool {
        let other = |other: &Line| {
            other != line && hub.branch_of(other) == hub.branch_of(line) && (hub.is_fork(other) || hub.is_fork(line))
        };
        self.lines.iter().any(|(line, books)| other(line) && matches!(books.known, Known::Item(_)))
    }

    /// A line, and the other own lines of the same branch that anything is known of.
    pub(crate) fn kins<'a>(&'a self, line: &'a Line, hub: &'a Hub) -> impl Iterator<Item = &'a Line> {
        let kin = move |other: &&Line| {
            *other != line && hub.branch_of(other) == hub.branch_of(line) && !hub.is_fork(other) && !hub.is_fork(line)
        };
        std::iter::once(line).chain(self.lines.keys().filter(kin))
    }

    /// The ledger is gone: what is deployed stays.
    pub(crate) fn forget(&mut self) {
        for account in self.lines.values_mut() {
            *account =
                Account { deployed: account.deployed.take(), deployed_at: account.deployed_at, ..Account::default() };
        }
    }
}

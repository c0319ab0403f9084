//! Who answers, where several replicas share a ledger: what each of them said itself, and whether the database is there.

use std::{collections::HashMap, time::Duration};

use super::answer::Item;
use crate::hub::{At, Line};

/// How long it may be felt that the database was gone: so long a failure is the answer without another try.
pub(super) const FELT: Duration = Duration::from_secs(5);

/// The replicas. A program that is alone is one, too.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// The one that answers now.
    pub(super) answers: usize,
    /// Those for which the database is gone, or was until then.
    gone: HashMap<usize, Option<At>>,
    own: HashMap<(usize, Line), Item>,
    /// What anybody answered, in order.
    all: HashMap<Line, Vec<(At, Item)>>,
    /// When each was last able to read what the others recorded.
    heard: HashMap<usize, At>,
}

impl Replicas {
    pub(super) fn database_goes(&mut self, of: &[usize]) {
        self.gone = of.iter().map(|replica| (*replica, None)).collect();
    }

    pub(super) fn database_is_back(&mut self, now: At) {
        self.gone.values_mut().for_each(|until| *until = Some(now + FELT));
    }

    /// Whether the database is gone for any of them.
    pub(super) fn is_database_gone(&self) -> bool {
        self.gone.values().any(Option::is_none)
    }

    /// Whether the database is gone for one of them.
    pub(super) fn is_cut_off(&self, replica: usize) -> bool {
        self.gone.get(&replica) == Some(&None)
    }

    /// Whether any of them may be unable to read what others recorded.
    pub(super) fn may_any_be_deaf(&self, now: At) -> bool {
        self.gone.values().any(|until| until.is_none_or(|until| now < until))
    }

    /// Whether the one that answers may not have been able to read what others recorded.
    pub(super) fn may_be_deaf(&self, now: At) -> bool {
        self.gone.get(&self.answers).is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Whether this is what the one that answers has answered last itself, or what was the last of all when it was able
    /// to read that, or later.
    pub(super) fn is_its_own(&self, line: &Line, item: &Item) -> bool {
        let heard = self.heard.get(&self.answers).copied().unwrap_or_default();
        let all = self.all.get(line).map_or(&[][..], Vec::as_slice);
        let last = all.iter().rposition(|(at, _)| *at <= heard).unwrap_or(0);
        self.own.get(&(self.answers, line.clone())) == Some(item) || all[last..].iter().any(|(_, known)| known == item)
    }

    pub(super) fn answered(&mut self, line: &Line, item: &Item, now: At) {
        self.own.insert((self.answers, line.clone()), item.clone());
        let all = self.all.entry(line.clone()).or_default();
        if all.last().is_none_or(|(_, last)| last != item) {
            all.push((now, item.clone()));
        }
    }

    /// Whether the one that answers has answered an item for this line itself, and nothing else since.
    pub(super) fn has_own(&self, line: &Line) -> bool {
        self.own.contains_key(&(self.answers, line.clone()))
    }

    /// An empty list was answered, of which all hear for which the database is there.
    pub(super) fn answered_nothing(&mut self, line: &Line) {
        let gone = &self.gone;
        self.own.retain(|(replica, of), _| {
            of != line || *replica != self.answers && gone.get(replica).is_some_and(Option::is_none)
        });
    }

    /// The one that answers was able to read what the others recorded, unless it may be deaf.
    pub(super) fn hears(&mut self, now: At) {
        if !self.may_be_deaf(now) {
            self.heard.insert(self.answers, now);
        }
    }

    /// Another process goes on in its place, and has read the ledger.
    pub(super) fn restarts(&mut self, replica: usize, now: At) {
        self.own.retain(|(of, _), _| *of != replica);
        self.heard.insert(replica, now);
    }
}

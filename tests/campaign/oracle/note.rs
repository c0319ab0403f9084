//! What is noted of an answer that was right.

use std::time::Duration;

use super::{
    Answer, Oracle, Standing,
    account::{Account, Known},
    judge::HEALTHY,
};
use crate::{
    hub::{At, Line},
    rules::MEMORY,
};

impl Oracle {
    pub(super) fn note_trust(&mut self, answer: &Answer, now: At) {
        let silent = !self.weather.silent_for(now).is_zero();
        let told = matches!(answer.standing, Standing::Refused | Standing::Unknown);
        let calm = self.weather.calm_for(now);
        self.trust.asked(now, Some(calm).filter(|calm| *calm > HEALTHY), !(silent && told));
    }

    pub(super) fn note(&mut self, line: &Line, several: bool, answer: &Answer, now: At) {
        let prior = self.accounts.prior(line, &self.hub);
        let silent = self.weather.silent_for(now) > MEMORY;
        if answer.standing != Standing::Refused
            // The other replica does not know it yet.
            && !self.rules.ledger.is_shared()
            && self.weather.calm_for(now) > MEMORY
            && let Line::Pull(number) = line
            && let Some((merge, since)) = self.shown().pulls.get(number).filter(|pull| pull.open).and_then(|pull| pull.merge.clone())
            && since + MEMORY < now
        {
            self.seen_merges.insert((*number, merge));
        }
        let its_own = answer
            .item
            .as_ref()
            .is_some_and(|item| self.replicas.may_be_deaf(now) && self.replicas.is_its_own(line, item));
        if let Some(item) = &answer.item {
            self.replicas.answered(line, item, now);
        }
        let account = self.accounts.lines.entry(line.clone()).or_default();
        match (&answer.item, answer.standing) {
            // What is recorded is newer.
            (Some(item), _) if its_own && !matches!(&account.known, Known::Item(known) if known == item) => {
                account.deployed = Some(item.clone());
                account.deployed_at = now;
            }
            (Some(item), standing) => {
                let mut spent = prior.account.spent;
                let mut not_yet_at = prior.account.not_yet_at;
                // Another replica may have read it before it was *not yet*: then the hold's clock goes on.
                let read_before =
                    self.rules.ledger.is_shared() && not_yet_at.is_some_and(|at| now.saturating_sub(at) <= MEMORY);
                if standing == Standing::Fresh && !read_before {
                    (spent, not_yet_at) = (Duration::ZERO, None);
                } else if standing == Standing::Held {
                    spent += not_yet_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
                    not_yet_at = (!silent).then_some(now);
                }
                let before = match &account.known {
                    Known::Item(before) if before != item => Some(before.clone()),
                    Known::Item(_) => account.also.take(),
                    Known::Nothing | Known::Never => None,
                };
                let same = matches!(&account.known, Known::Item(known) if known == item);
                *account = Account {
                    since: if same { account.since } else { now },
                    // It may have been answered as another line, and this one's own be what it was.
                    also: before.filter(|_| several),
                    known: Known::Item(item.clone()),
                    known_at: now,
                    deployed: Some(item.clone()),
                    deployed_at: now,
                    unheard: account.unheard && standing == Standing::Held,
                    spent,
                    not_yet_at,
                    perhaps_anothers: several,
                    perhaps_overtaken: false,
                    broken: false,
                };
            }
            (None, Standing::Refused) => {}
            (None, standing) => {
                self.replicas.answered_nothing(line);
                account.deployed = None;
                account.deployed_at = now;
                if standing == Standing::NotYet {
                    if account.known != Known::Nothing {
                        account.since = now;
                    }
                    account.known = Known::Nothing;
                    account.known_at = now;
                    account.unheard = false;
                    account.perhaps_anothers = several;
                    account.broken = false;
                }
            }
        }
    }
}

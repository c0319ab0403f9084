//! The judgement of an answer of all parts: a build, rows, and what another plugin says.
//!
//! The record is the build line's. Beside the build it keeps each other part's list as last answered: a part that cannot
//! say contributes that list, whatever its inputs are now. Such questions name the pull request, so that it is certain
//! which line is meant. How long a ledger must have watched, and how `hold` ends, is judged where a build is asked for
//! alone.

use std::rc::Rc;

use serde_json::Value;

use super::{
    Oracle, Promise, Violation,
    answer::read_digests,
    belief::{Outcome, Told},
    judge::{HEALTHY, SECOND_READ},
    lists::{Heard, Ledger, ListAccount, in_time, items, key, row},
};
use crate::{
    hub::{At, Line, Question, Sha},
    parts::{Asked, Row, Said},
    rules::{Ahead, Hold, IMAGES, MEMORY, Tags},
    stage::Reply,
};

/// What stands where there is no item.
enum Build {
    /// A commit, with its digests where there are items to show them.
    Of(Sha, Option<Vec<String>>),
    NotYet,
    Unknown,
    Refused,
}

impl Oracle {
    /// Judges an answer of a generator with parts, and notes it.
    pub(crate) fn hears_parts(
        &mut self,
        program: usize,
        (asked, branch): (&Asked, Option<&str>),
        reply: &Reply,
        now: At,
    ) -> Result<Heard, Violation> {
        self.replicas.answers = program;
        self.observe(now);
        let ledger = if self.garbage {
            Ledger::Garbage
        } else if self.replicas.may_be_deaf(now) {
            Ledger::Deaf
        } else {
            Ledger::Works
        };
        if asked.number.is_none() {
            return self.lists_mut().judge_plain(asked, reply, ledger, now);
        }
        in_time(reply)?;
        let (build, heard) = self.read_whole(reply)?;
        let line = Line::Pull(asked.number.unwrap_or_default());
        let question = Question { branch: branch.unwrap_or_default().into(), number: asked.number, head: None };
        match &build {
            Build::Of(commit, digests) => {
                let ways = self.lists_mut().judge(asked, &heard, ledger, now)?;
                let held = matches!(heard, Heard::Held(_));
                // Where the lists are what was said, the build is what is held.
                let build_held = held && !ways.is_empty() && ways.iter().all(|way| matches!(way.told, Told::Said(_)));
                self.judge_build(&line, asked, (commit, digests.as_ref()), (held, build_held, ledger), now)?;
            }
            Build::NotYet | Build::Unknown => self.judge_no_build(&line, asked, &build, ledger, now)?,
            Build::Refused => self.judge_whole_refused(&line, asked, ledger, now)?,
        }
        self.judge_whole_life(&line, asked, (&question, &build), now)?;
        self.note_whole(asked, build, program, now);
        Ok(heard)
    }

    fn whole_account(&self, asked: &Asked) -> Option<&ListAccount> {
        self.lists.as_ref().and_then(|lists| lists.accounts.get(&key(asked)))
    }

    fn whole_outcomes(&self, asked: &Asked, now: At) -> Vec<Outcome> {
        self.lists.as_ref().map(|lists| lists.outcomes(asked, now)).unwrap_or_default()
    }

    fn lists_mut(&mut self) -> &mut super::Lists {
        self.lists.as_mut().expect("a story with parts")
    }

    /// Takes the build off each item.
    fn read_whole(&self, reply: &Reply) -> Result<(Build, Heard), Violation> {
        let standing = reply.header("x-lastgreen-standing");
        let Some(items) = items(reply)? else { return Ok((Build::Refused, Heard::Refused)) };
        let header: Sha = reply.header("x-lastgreen-commit").into();
        let mut found = None;
        let mut rows = Vec::new();
        for item in items {
            let digests = read_digests(item, &self.shelf)?;
            if found.as_ref().is_some_and(|found| *found != digests) {
                return Promise::OneCommit.violated("the items of an answer have the digests of different builds");
            }
            found = Some(digests);
            rows.push(without_digests(item)?);
        }
        let rows = Rc::new(rows);
        let build = match (found, standing) {
            (Some(item), "fresh" | "held") if item.commit == header => Build::Of(item.commit, Some(item.digests)),
            (None, "fresh" | "held") if self.hub.commits.contains_key(&header) => Build::Of(header, None),
            (None, "not-yet") => return Ok((Build::NotYet, Heard::Fresh(rows))),
            (None, "unknown") => return Ok((Build::Unknown, Heard::Fresh(rows))),
            _ => {
                let how = format!("{} items, standing {standing:?}, the header tells {header:?}", rows.len());
                return Promise::Form.violated(how);
            }
        };
        Ok((build, if standing == "fresh" { Heard::Fresh(rows) } else { Heard::Held(rows) }))
    }

    fn judge_build(
        &self,
        line: &Line,
        asked: &Asked,
        (commit, digests): (&Sha, Option<&Vec<String>>),
        (held, build_held, ledger): (bool, bool, Ledger),
        now: At,
    ) -> Result<(), Violation> {
        let name = self.hub.name(commit);
        if !self.was_green.contains(commit) {
            return Promise::OnlyGreen.violated(format!("{name} was never green"));
        }
        if self.is_refused_fork(line) {
            return Promise::OnlyGreen.violated(format!("{name} is a fork's, and forks are refused"));
        }
        let family = self.family(line);
        if !family.is_some_and(|family| self.commits_of.get(&family).is_some_and(|own| own.contains(commit))) {
            return Promise::OnlyGreen.violated(format!("{name} was never a commit of {line}"));
        }
        let lately = now.saturating_sub(MEMORY);
        if !held {
            if self.weather.silent_for(now) > MEMORY {
                return Promise::Form
                    .violated("fresh, though GitHub has been silent for longer than anything is remembered");
            }
            if !self.views_since(lately).any(|hub| hub.walk(line).contains(commit)) {
                return Promise::OnlyGreen.violated(format!("{name} is fresh, but is not on the walk"));
            }
        }
        let Some(account) = self.whole_account(asked).filter(|_| ledger == Ledger::Works) else { return Ok(()) };
        let Some((last, shown)) = &account.build else {
            let told = account.unheard || self.rules.ahead != Ahead::Never || !build_held;
            return if told {
                Ok(())
            } else {
                Promise::NothingLost.violated(format!("{name} is held, which nobody was told"))
            };
        };
        let back = self.hub.is_older(commit, last) && self.views_since(lately).all(|hub| hub.walk(line).contains(last));
        if back && !account.unheard {
            let how = format!("{name} is older than {}, which was answered last", self.hub.name(last));
            return Promise::NeverBack.violated(how);
        }
        let same = commit == last && digests.is_none_or(|digests| shown.is_empty() || digests == shown);
        if build_held && !same && !account.unheard && self.rules.ahead == Ahead::Never {
            let how = format!("{name} is held, but {} was answered last", self.hub.name(last));
            return Promise::NothingLost.violated(how);
        }
        Ok(())
    }

    /// An empty list that is no product of lists: there is no build.
    fn judge_no_build(
        &self,
        line: &Line,
        asked: &Asked,
        build: &Build,
        ledger: Ledger,
        now: At,
    ) -> Result<(), Violation> {
        if self.is_refused_fork(line) {
            return Ok(());
        }
        if ledger == Ledger::Garbage {
            return Promise::NothingWithdrawn.violated("the ledger cannot be used, and nobody knows what was answered");
        }
        let not_yet = matches!(build, Build::NotYet);
        if not_yet && self.weather.silent_for(now) > MEMORY {
            return Promise::NothingWithdrawn.violated("not yet, though GitHub has been silent for long");
        }
        let Some(account) = self.whole_account(asked).filter(|_| ledger == Ledger::Works) else { return Ok(()) };
        let ended = not_yet && self.rules.hold != Hold::Forever;
        match &account.build {
            Some((last, _)) if !ended && !account.unheard => {
                let last = self.hub.name(last);
                Promise::NothingWithdrawn.violated(format!("{last} was answered before, and is withdrawn"))
            }
            _ => Ok(()),
        }
    }

    /// A 503: somebody must be unable to say, and nothing be known.
    fn judge_whole_refused(&self, line: &Line, asked: &Asked, ledger: Ledger, now: At) -> Result<(), Violation> {
        if ledger != Ledger::Works || self.is_refused_fork(line) {
            return Ok(());
        }
        let unknown = self.whole_outcomes(asked, now).iter().any(|outcome| outcome.told == Told::Unknown);
        let known = self.whole_account(asked).is_some_and(|account| account.build.is_some() && !account.unheard);
        let calm = self.weather.calm_for(now);
        if unknown || !known && calm <= HEALTHY {
            return Ok(());
        }
        let why = if known { "a build was answered before" } else { "all has been well" };
        Promise::NobodyElses.violated(format!("{why}, and the parts can say or are recorded; calm for {calm:?}"))
    }

    /// After some quiet minutes, and asked a second time, the newest build is answered.
    fn judge_whole_life(
        &self,
        line: &Line,
        asked: &Asked,
        (question, build): (&Question, &Build),
        now: At,
    ) -> Result<(), Violation> {
        let quiet = 2 * MEMORY;
        let lists = self.lists.as_ref().expect("a story with parts");
        let said = lists.said(asked, now).iter().all(|said| matches!(said, Said::List(_)));
        let second = self.whole_account(asked).and_then(|account| account.asked).is_some_and(|(at, program)| {
            at + SECOND_READ <= now && at + MEMORY >= now && program == self.replicas.answers
        });
        let calm = self.weather.calm_for(now) >= quiet && !self.is_lagging() && !self.is_refused_fork(line);
        // What is remembered of test merges, and of images that are gone, is another line's of the same name.
        if !(said && second && calm && self.rules.tags == Tags::Sha) || self.garbage {
            return Ok(());
        }
        let head = self.shown().head(line);
        let steady = self
            .views_since(now.saturating_sub(quiet))
            .all(|hub| hub.head(line) == head && hub.meant(question).as_ref() == Some(line));
        let Some((position, ready)) = self.ready_for(line, MEMORY, now).filter(|_| steady) else { return Ok(()) };
        if !self.shelf.complete(self.rules.tags, self.shown(), line, &ready, |_| false) {
            return Ok(());
        }
        match build {
            Build::Of(commit, _) if self.shown().walk(line)[..=position].contains(commit) => Ok(()),
            _ => Promise::Alive.violated(format!("{} has been ready", self.hub.name(&ready))),
        }
    }

    fn note_whole(&mut self, asked: &Asked, build: Build, program: usize, now: At) {
        let account = self.lists_mut().accounts.entry(key(asked)).or_default();
        account.asked = Some((now, program));
        match build {
            Build::Of(commit, digests) => {
                account.build = Some((commit, digests.unwrap_or_default()));
                account.unheard = false;
            }
            Build::NotYet => (account.build, account.unheard) = (None, false),
            Build::Unknown => account.build = None,
            Build::Refused => {}
        }
    }
}

/// What an item has beside its digests.
fn without_digests(item: &Value) -> Result<Row, Violation> {
    let mut row = row(item)?;
    for (_, key) in IMAGES {
        row.remove(key);
    }
    Ok(row)
}

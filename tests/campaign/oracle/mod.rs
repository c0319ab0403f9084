//! The oracle: what may be answered, by the promises alone.
//!
//! It keeps its own books of what was done to the world ([`Hub`], [`Shelf`]) and of what was answered ([`Accounts`]).
//! The program may answer from memory for a while, so most questions to the books are about all of the last minutes:
//! a commit is *surely ready* if it was so all that time, and *possibly* if it was at any time.

mod account;
mod answer;
mod belief;
mod composite;
mod judge;
mod lists;
mod note;
mod replicas;
mod weather;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use account::{Accounts, Known};
pub(crate) use answer::{Answer, Item, Promise, Standing, Violation};
pub(crate) use lists::{Heard, Lists};
use replicas::Replicas;
use weather::{Trust, Weather};

use crate::{
    hub::{At, Hub, Line, Question, Sha},
    parts::Generator,
    rules::{ANSWER_WITHIN, Ahead, MEMORY, Rules, SETTLE},
    shelf::Shelf,
};

/// Times of the world are told in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// Whose commits may be answered for whom: an own branch with whatever pull requests it has, or a fork's pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Family {
    Own(Rc<str>),
    Fork(u64),
}

/// The oracle.
pub(crate) struct Oracle {
    rules: Rules,
    pub(crate) hub: Hub,
    pub(crate) shelf: Shelf,
    pub(crate) weather: Weather,
    /// What GitHub shows while it lags behind.
    lagging: Option<Hub>,
    /// What GitHub has shown lately, and from when on; the last is what it shows now.
    views: VecDeque<(At, Hub)>,
    /// Commits that GitHub has shown green for long enough, at some time.
    was_green: HashSet<Sha>,
    commits_of: HashMap<Family, HashSet<Sha>>,
    /// Which heads a line ever had.
    heads: HashMap<Line, HashSet<Sha>>,
    /// Since when whoever looks must find a commit of a line green and complete.
    ready_since: HashMap<(Line, Sha), At>,
    accounts: Accounts,
    trust: Trust,
    /// Test merges that the program has seen for sure.
    seen_merges: HashSet<(u64, Sha)>,
    /// Those that are surely in the ledger.
    written_merges: HashSet<(u64, Sha)>,
    /// The ledger is no ledger.
    garbage: bool,
    asked: Vec<(At, usize, Question)>,
    replicas: Replicas,
    /// The books of the parts beside a build, where there are any.
    pub(crate) lists: Option<Lists>,
}

impl Oracle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            trust: Trust::new(rules.trust_after),
            rules,
            hub: Hub::default(),
            shelf: Shelf::default(),
            weather: Weather::default(),
            lagging: None,
            views: VecDeque::new(),
            was_green: HashSet::new(),
            commits_of: HashMap::new(),
            heads: HashMap::new(),
            ready_since: HashMap::new(),
            accounts: Accounts::default(),
            seen_merges: HashSet::new(),
            written_merges: HashSet::new(),
            garbage: false,
            asked: Vec::new(),
            replicas: Replicas::default(),
            lists: None,
        }
    }

    /// Something happens to the world.
    pub(crate) fn happens<R>(&mut self, now: At, what: impl FnOnce(&mut Hub, &mut Shelf) -> R) -> R {
        self.observe(now);
        let done = what(&mut self.hub, &mut self.shelf);
        self.show(now);
        done
    }

    /// GitHub begins to lag behind, or catches up.
    pub(crate) fn lags(&mut self, now: At, lags: bool) {
        self.observe(now);
        self.lagging = lags.then(|| self.hub.clone());
        self.show(now);
    }

    pub(crate) fn is_lagging(&self) -> bool {
        self.lagging.is_some()
    }

    /// The ledger is lost.
    pub(crate) fn ledger_is_lost(&mut self) {
        self.accounts.forget();
        if let Some(lists) = &mut self.lists {
            lists.forget();
        }
        self.trust = Trust::new(self.rules.trust_after);
        self.seen_merges.clear();
        self.written_merges.clear();
        self.garbage = false;
    }

    /// What no answer waits for is written.
    pub(crate) fn flushed(&mut self) {
        self.trust.flushed();
        self.written_merges.clone_from(&self.seen_merges);
    }

    /// Another process goes on with the same ledger.
    pub(crate) fn restarts(&mut self, program: usize, now: At) {
        self.replicas.restarts(program, now);
        // A second read is one of the same process.
        self.asked.retain(|(_, of, _)| *of != program);
        if let Some(lists) = &mut self.lists {
            lists.restarts(program);
        }
        self.trust.restarts(!self.rules.ledger.is_shared());
        self.seen_merges.clone_from(&self.written_merges);
    }

    /// The database is gone for these replicas.
    pub(crate) fn database_is_gone(&mut self, now: At, of: &[usize]) {
        self.replicas.database_goes(of);
        self.weather.trouble_begins(now, false);
    }

    /// It is there again.
    pub(crate) fn database_is_back(&mut self, now: At) {
        self.replicas.database_is_back(now);
        self.weather.trouble_ends(now, false, replicas::FELT);
    }

    /// Whether the database is gone for any replica.
    pub(crate) fn is_database_gone(&self) -> bool {
        self.replicas.is_database_gone()
    }

    /// Whether it is gone for any replica, or may still be felt to have been.
    pub(crate) fn is_database_shaky(&self, now: At) -> bool {
        self.replicas.may_any_be_deaf(now)
    }

    /// An operator looks whether a generator's guard holds something back that was not let go yet.
    pub(crate) fn operator_sees(&self, generator: Generator, sees: bool) -> Result<(), Violation> {
        let Some(lists) = &self.lists else { return Ok(()) };
        match lists.holds_back(generator) {
            (false, _) if sees => {
                Promise::LetGo.violated(format!("the guard of {} holds for nothing", generator.name()))
            }
            (_, true) if !sees => {
                Promise::LetGo.violated(format!("nobody sees that the guard of {} holds", generator.name()))
            }
            _ => Ok(()),
        }
    }

    /// An operator lets go what a generator's guard holds back. Tells whether he was able to, where he must be.
    pub(crate) fn operator_released(
        &mut self,
        generator: Generator,
        (due, done): (bool, bool),
    ) -> Result<(), Violation> {
        if due && !done {
            return Promise::LetGo.violated(format!("the guard of {} cannot be released", generator.name()));
        }
        if let Some(lists) = &mut self.lists {
            lists.released(generator, done);
        }
        Ok(())
    }

    /// Whether the database is gone for this one.
    pub(crate) fn is_cut_off(&self, program: usize) -> bool {
        self.replicas.is_cut_off(program)
    }

    /// The record of a line can be read no more.
    pub(crate) fn record_is_broken(&mut self, line: Line) {
        self.accounts.lines.entry(line).or_default().breaks();
    }

    /// The whole ledger can be read no more, until it is lost.
    pub(crate) fn ledger_is_garbage(&mut self) {
        self.ledger_is_lost();
        self.garbage = true;
    }

    pub(crate) fn is_ledger_garbage(&self) -> bool {
        self.garbage
    }

    /// These lines are asked for from now on: whatever is of others goes.
    pub(crate) fn listed(&mut self, lines: &[Line]) {
        for (line, account) in &mut self.accounts.lines {
            if !lines.contains(line) {
                account.deployed = None;
            }
        }
    }

    /// Somebody asked and hung up.
    pub(crate) fn hung_up(&mut self, question: &Question, now: At) {
        self.trust.may_have_asked(now);
        let lines: Vec<_> =
            self.views_since(now.saturating_sub(2 * MEMORY)).filter_map(|hub| hub.meant(question)).collect();
        for line in lines {
            self.accounts.lines.entry(line).or_default().unheard = true;
        }
    }

    fn show(&mut self, now: At) {
        let shown = self.lagging.as_ref().unwrap_or(&self.hub).clone();
        self.views.push_back((now, shown));
        // One that was shown into the time that counts still counts; and whoever cannot ask knows what was shown before.
        while !self.weather.is_rough(now) && self.views.get(1).is_some_and(|(since, _)| *since + 2 * MEMORY < now) {
            self.views.pop_front();
        }
        self.observe(now);
    }

    /// What GitHub shows.
    fn shown(&self) -> &Hub {
        &self.views.back().expect("a world").1
    }

    /// What GitHub has shown at any time since then.
    fn views_since(&self, since: At) -> impl Iterator<Item = &Hub> {
        let first = self.views.iter().rposition(|(from, _)| *from <= since).unwrap_or(0);
        self.views.iter().skip(first).map(|(_, hub)| hub)
    }

    fn family(&self, line: &Line) -> Option<Family> {
        match line {
            Line::Pull(number) if self.hub.is_fork(line) => Some(Family::Fork(*number)),
            _ => self.hub.branch_of(line).map(Family::Own),
        }
    }

    /// Notes what is so now: it has been so since the last change.
    pub(crate) fn observe(&mut self, now: At) {
        let Some((_, shown)) = self.views.back() else { return };
        for sha in shown.commits.keys() {
            // GitHub's times are whole seconds.
            let settled = |since: At| now + SECOND >= since + SETTLE;
            if !self.was_green.contains(sha) && shown.green_since(sha, &self.rules).is_some_and(settled) {
                self.was_green.insert(Rc::clone(sha));
            }
        }
        let branches = shown.branches.keys().map(|branch| Line::Branch(Rc::clone(branch)));
        let lines: Vec<_> = shown.pulls.keys().map(|number| Line::Pull(*number)).chain(branches).collect();
        let mut ready = HashMap::new();
        let mut overtaken = Vec::new();
        for line in lines {
            let walk = shown.walk(&line);
            if self.may_be_overtaken(shown, &line, &walk) {
                overtaken.push(line.clone());
            }
            self.heads.entry(line.clone()).or_default().extend(shown.head(&line));
            for sha in &walk {
                if self.is_ready(shown, &line, sha, now) {
                    let key = (line.clone(), Rc::clone(sha));
                    let since = self.ready_since.get(&key).copied().unwrap_or(now);
                    ready.insert(key, since);
                }
            }
            // A branch that has a pull request is walked as that.
            let as_itself = |branch: &Rc<str>| shown.own_line(branch).as_ref() == Some(&line);
            if matches!(&line, Line::Branch(branch) if !as_itself(branch)) {
                continue;
            }
            if let Some(family) = self.family(&line) {
                self.commits_of.entry(family).or_default().extend(walk);
            }
        }
        self.ready_since = ready;
        for line in overtaken {
            self.accounts.lines.entry(line).or_default().perhaps_overtaken = true;
        }
    }

    /// Whether a test merge of this pull request was seen for sure.
    fn has_seen(&self, line: &Line, merge: &Sha) -> bool {
        matches!(line, Line::Pull(number) if self.seen_merges.contains(&(*number, Rc::clone(merge))))
    }

    /// Whether whoever looks ahead may record something newer now than what was answered.
    fn may_be_overtaken(&self, hub: &Hub, line: &Line, walk: &[Sha]) -> bool {
        let Some(Known::Item(item)) = self.accounts.lines.get(line).map(|account| &account.known) else { return false };
        let newer = walk.iter().take_while(|sha| **sha != item.commit);
        let seen = |merge: &Sha| self.has_seen(line, merge);
        let mut built = newer.filter(|sha| hub.green_since(sha, &self.rules).is_some());
        self.rules.ahead != Ahead::Never && built.any(|sha| self.shelf.complete(self.rules.tags, hub, line, sha, seen))
    }

    /// Whether whoever looks now must find a commit green, and all its images.
    fn is_ready(&self, hub: &Hub, line: &Line, sha: &Sha, now: At) -> bool {
        let green = hub.green_since(sha, &self.rules).is_some_and(|since| now >= since + SETTLE + SECOND);
        // "For its commit the recorded digests count as found."
        let recorded = || {
            let account = self.accounts.lines.get(line);
            account.is_some_and(|account| {
                !account.perhaps_overtaken && matches!(&account.known, Known::Item(item) if item.commit == *sha)
            })
        };
        let seen = |merge: &Sha| self.has_seen(line, merge);
        green && (recorded() || self.shelf.complete(self.rules.tags, hub, line, sha, seen))
    }

    /// The newest commit of a line that has been ready for so long.
    fn ready_for(&self, line: &Line, long: Duration, now: At) -> Option<(usize, Sha)> {
        let walk = self.shown().walk(line);
        walk.into_iter().enumerate().find(|(_, sha)| {
            let key = (line.clone(), Rc::clone(sha));
            self.ready_since.get(&key).is_some_and(|since| *since + long.max(self.unseen(sha, *since, now)) <= now)
        })
    }

    /// How long an image may be there before it is looked for again: it came so late after its commit's CI that nobody
    /// could expect it any more.
    fn unseen(&self, sha: &Sha, ready: At, now: At) -> Duration {
        // CI that was run again may not have been seen yet.
        let views = self.views_since(now.saturating_sub(MEMORY)).filter(|hub| hub.commits.contains_key(sha));
        let Some(green) = views.filter_map(|hub| hub.green_since(sha, &self.rules)).min() else {
            return Duration::ZERO;
        };
        if ready.saturating_sub(green) < Duration::from_mins(10) {
            return Duration::ZERO;
        }
        let first_day = now.saturating_sub(green) < Duration::from_hours(24);
        let look = if first_day { Duration::from_mins(10) } else { Duration::from_hours(1) };
        look + ANSWER_WITHIN
    }
}

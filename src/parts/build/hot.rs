//! The lines that are asked for: which they are, how often, and when each is to be looked at before it is asked again.
//!
//! A line that was asked stays in the set for two of its polls, and for an hour at least. Beside those that were asked
//! there are some that were read because they are likely to be asked next: as many as the guesses were right lately.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::Moment,
    domain::{Branch, Listing},
    github::{By, How, Wanted},
};

/// How long a line stays at least after its last question: Argo CD asks every 30 minutes unless it is told otherwise.
const STAYS: Duration = Duration::from_hours(1);

/// How long a guess may turn out to be right.
const GUESSED: Duration = Duration::from_mins(2);

/// How many lines are guessed at first, at least and at most.
const GUESSES: (usize, usize, usize) = (16, 2, 256);

/// How many more are guessed for each guess that was right.
const MORE: usize = 2;

/// How long before it is needed a line is looked at.
const MARGIN: Duration = Duration::from_secs(3);

/// How long after a look that came to nothing the next one is due.
const AGAIN: Duration = Duration::from_secs(15);

/// The longest time between two whole reads of a head: in between it is renewed by its page.
const WHOLE_EVERY: Duration = Duration::from_mins(30);

/// How many lines are kept.
const CAPACITY: usize = 120_000;

/// The hot set.
#[derive(Debug, Default)]
pub(super) struct Hot(Mutex<State>);

#[derive(Debug)]
struct State {
    lines: HashMap<By, Line>,
    /// How many lines are read ahead of those that were asked.
    guesses: usize,
    /// Those of them that nobody has asked for yet.
    unasked: usize,
    /// The line that was asked last, and whether the one before it is listed behind it.
    last: Option<By>,
    backwards: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { lines: HashMap::new(), guesses: GUESSES.0, unasked: 0, last: None, backwards: false }
    }
}

#[derive(Clone, Debug)]
struct Line {
    branch: Branch,
    /// When it was asked last; of a guess, never.
    asked: Option<Moment>,
    /// About how long it is between two questions, if not longer; zero before there were two.
    every: Duration,
    /// When it was guessed, or is being read.
    taken: Moment,
    known: Known,
}

/// What came of the last look at a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Until when that is fresh.
    pub(super) fresh_until: Moment,
    /// Whether it is final.
    pub(super) is_final: bool,
    /// Whether it is final by the checks of its head alone.
    pub(super) by_head: bool,
    /// Whether there is a build.
    pub(super) is_ready: bool,
    /// How many commits were considered.
    pub(super) walk: u32,
    /// When all of its checks were read last.
    pub(super) whole_at: Moment,
}

/// A line that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) wanted: Wanted,
    pub(super) branch: Branch,
    pub(super) is_final: bool,
}

impl Line {
    fn new(branch: Branch, taken: Moment) -> Self {
        Self { branch, asked: None, every: Duration::ZERO, taken, known: Known::default() }
    }

    /// When it is to be looked at: while it is not final, shortly before the next question; else before it is old.
    fn due(&self) -> Moment {
        let asked = self.asked.unwrap_or(Moment::START);
        let next = if self.known.is_final { Moment::START } else { asked + self.every };
        (self.known.fresh_until.max(next) - MARGIN).max(self.taken + AGAIN)
    }

    fn leaves(&self, now: Moment) -> bool {
        match self.asked {
            Some(asked) => now.since(asked) > STAYS.max(self.every * 2),
            None => now.since(self.taken) > GUESSED,
        }
    }

    fn wanted(&self, by: &By, now: Moment) -> Wanted {
        let Known { by_head, walk, whole_at, .. } = self.known;
        Wanted { by: by.clone(), walk, renewable: by_head && now.since(whole_at) < WHOLE_EVERY }
    }
}

impl Hot {
    /// Notes that a line was asked.
    pub(super) fn asked(&self, by: &By, branch: &Branch, listing: Option<&Listing>, now: Moment) {
        let mut state = self.state();
        let state = &mut *state;
        if state.lines.len() >= CAPACITY && !state.lines.contains_key(by) {
            return;
        }
        let line = state.lines.entry(by.clone());
        let new = matches!(line, std::collections::hash_map::Entry::Vacant(_));
        let line = line.or_insert_with(|| Line::new(branch.clone(), Moment::START));
        let guessed = !new && line.asked.is_none();
        if let Some(before) = line.asked {
            let step = now.since(before);
            // Answers that are given again are not seen here, so the shortest time tells most.
            line.every = if line.every.is_zero() { step } else { step.min((line.every * 3 + step) / 4) };
        }
        line.asked = Some(now);
        line.branch.clone_from(branch);
        let position = listing.and_then(|listing| position(listing, by));
        if guessed {
            state.unasked = state.unasked.saturating_sub(1);
            state.guesses = (state.guesses + MORE).min(GUESSES.2);
        } else if new && position.is_some() {
            // Whatever was guessed instead was wrong.
            state.guesses = (state.guesses / 2).max(GUESSES.1);
            state.lines.retain(|_, line| line.asked.is_some());
            state.unasked = 0;
        }
        if let Some((listing, position)) = listing.zip(position) {
            let before = state.last.as_ref().and_then(|last| self::position(listing, last));
            state.backwards = before.is_some_and(|before| position < before);
        }
        state.last = Some(by.clone());
    }

    /// Notes what came of a look at a line, if it is one of the set. How it was read is told where it was for the set.
    pub(super) fn looked(&self, by: &By, known: Known, how: Option<How>, now: Moment) {
        if let Some(line) = self.state().lines.get_mut(by) {
            let whole_at = if how == Some(How::Renewed) { line.known.whole_at } else { now };
            line.known = Known { whole_at, ..known };
        }
    }

    /// The lines that are likely to be asked next and were never read, in the form in which others are asked.
    pub(super) fn guess(&self, listing: &Listing, now: Moment) -> Vec<Due> {
        let mut state = self.state();
        let state = &mut *state;
        let Some(last) = &state.last else { return Vec::new() };
        let by_branch = matches!(last, By::Branch(_));
        // What is not listed (yet) tells nothing of what follows.
        let Some(last) = position(listing, last) else { return Vec::new() };
        let free = state.guesses.saturating_sub(state.unasked);
        // Not one by one.
        if free * 2 < state.guesses {
            return Vec::new();
        }
        let order: Box<dyn Iterator<Item = usize>> =
            if state.backwards { Box::new((0..last).rev()) } else { Box::new(last + 1..listing.len()) };
        let mut due = Vec::new();
        for listed in order.filter_map(|at| listing.at(at)) {
            if due.len() >= free || state.lines.len() >= CAPACITY {
                break;
            }
            let pull = &listed.pull;
            let by = if by_branch { By::Branch(pull.branch.clone()) } else { By::Number(pull.number) };
            if state.lines.contains_key(&by) || by_branch && listing.only_own(&pull.branch).is_none() {
                continue;
            }
            let line = Line::new(pull.branch.clone(), now);
            due.push(Due { wanted: line.wanted(&by, now), branch: pull.branch.clone(), is_final: false });
            state.lines.insert(by, line);
        }
        state.unasked += due.len();
        due
    }

    /// Of all that are listed those lines that were never looked at, or are not fresh any more; they are taken, and count
    /// as asked.
    pub(super) fn take_listed(&self, listing: &Listing, now: Moment) -> Vec<Due> {
        let mut state = self.state();
        let mut due = Vec::new();
        for pull in listing.pulls().map(|listed| &listed.pull) {
            let by = By::Number(pull.number);
            if state.lines.len() >= CAPACITY && !state.lines.contains_key(&by) {
                continue;
            }
            let new = || Line { asked: Some(now), ..Line::new(pull.branch.clone(), Moment::START) };
            let line = state.lines.entry(by.clone()).or_insert_with(new);
            if line.known.fresh_until <= now && (line.taken == Moment::START || line.taken + AGAIN <= now) {
                line.taken = now;
                let is_final = line.known.is_final;
                due.push(Due { wanted: line.wanted(&by, now), branch: pull.branch.clone(), is_final });
            }
        }
        due
    }

    /// The lines that are due within `ahead`, those first that wait for something; they are taken.
    pub(super) fn take_due(&self, now: Moment, ahead: Duration, which: impl Fn(&By, bool) -> bool) -> Vec<Due> {
        let mut state = self.state();
        let mut due: Vec<_> = state
            .lines
            .iter_mut()
            .filter(|(by, line)| line.asked.is_some() && line.due() <= now + ahead && which(by, line.known.is_final))
            .filter(|(_, line)| line.taken + AGAIN <= now)
            .map(|(by, line)| {
                line.taken = now;
                let Known { is_ready, is_final, fresh_until, .. } = line.known;
                let due = Due { wanted: line.wanted(by, now), branch: line.branch.clone(), is_final };
                ((is_ready, is_final, fresh_until), due)
            })
            .collect();
        due.sort_by_key(|(order, _)| *order);
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// Lets those leave that are not asked for any more, and tells when the next of the others is due and how many final
    /// ones are due now.
    pub(super) fn look_over(&self, now: Moment) -> (Option<Moment>, usize) {
        let mut state = self.state();
        let (mut wrong, mut unasked) = (0, 0);
        state.lines.retain(|_, line| {
            let stays = !line.leaves(now);
            wrong += usize::from(!stays && line.asked.is_none());
            unasked += usize::from(stays && line.asked.is_none());
            stays
        });
        state.unasked = unasked;
        if wrong > 0 {
            state.guesses = (state.guesses / 2).max(GUESSES.1);
        }
        let asked = || state.lines.values().filter(|line| line.asked.is_some());
        let next = asked().map(Line::due).min();
        let finals = asked().filter(|line| line.known.is_final && line.due() <= now).count();
        (next, finals)
    }

    /// How many lines it has.
    pub(super) fn len(&self) -> usize {
        self.state().lines.len()
    }

    /// Whether a line was asked for since then.
    pub(super) fn was_asked_since(&self, by: &By, moment: Moment) -> bool {
        self.state().lines.get(by).is_some_and(|line| line.asked.is_some_and(|asked| asked >= moment))
    }

    /// When a line that is asked for will be looked at.
    pub(super) fn due(&self, by: &By) -> Option<Moment> {
        self.state().lines.get(by).filter(|line| line.asked.is_some()).map(Line::due)
    }

    /// Lets a line go.
    pub(super) fn drop(&self, by: &By) {
        self.state().lines.remove(by);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a line is listed.
fn position(listing: &Listing, by: &By) -> Option<usize> {
    match by {
        By::Number(number) => listing.position(*number),
        By::Branch(branch) => listing.position(listing.only_own(branch)?.pull.number),
    }
}

#[cfg(test)]
mod tests;

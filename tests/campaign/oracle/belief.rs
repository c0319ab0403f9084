//! What may be recorded of a generator's lists, and what must be answered then.
//!
//! Where the oracle cannot know (somebody hung up, a wall clock jumped, a plugin may have been left alone) it believes in
//! several states at once. Each answer must be right for one of them, and rules out the others.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use crate::{
    hub::At,
    parts::{Guard, OnlyIf, Row, Rows, Said},
};

/// An answer takes its time, and so long it is not known on which side of a window's end it was.
const BLUR: Duration = Duration::from_secs(20);

/// What is recorded for one set of inputs, or for one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Each part's list.
    pub(super) recorded: Option<Vec<Rows>>,
    window: Option<Window>,
    /// How many items are held back.
    held_back: Option<usize>,
    /// How many may go, by an operator's word.
    released: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    since: At,
    /// Whether the wall clock was changed since.
    blurred: bool,
    /// What was answered when it began.
    base: Rows,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// What the sources say.
    Said(Rows),
    /// What was recorded, at least in part, for a source cannot say.
    Kept(Rows),
    /// What was answered before, for the guard holds.
    Guarded(Rows),
    /// Nobody can say.
    Unknown,
}

/// One way in which a question may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) told: Told,
    pub(super) state: State,
}

impl Told {
    pub(super) fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Said(rows) | Self::Kept(rows) | Self::Guarded(rows) => Some(rows),
            Self::Unknown => None,
        }
    }
}

/// Each with each, in order, without what is not wanted.
pub(super) fn product(lists: &[Rows], only_if: &[OnlyIf]) -> Rows {
    let mut all = vec![Row::new()];
    for (list, only_if) in lists.iter().zip(only_if) {
        let pairs = all.iter().flat_map(|left| list.iter().map(move |right| (left, right)));
        let merged = pairs.map(|(left, right)| left.iter().chain(right).map(|(k, v)| (k.clone(), v.clone())).collect());
        all = merged.filter(|row| only_if.wants(row)).collect();
    }
    Rc::new(all)
}

/// How many of the former items are gone: by a key in which no two of them agree, and by that in which the fewest are.
fn gone(former: &[Row], now: &[Row]) -> usize {
    let values = |rows: &[Row], key: &String| -> BTreeSet<String> {
        rows.iter().filter_map(|row| row.get(key)).cloned().collect()
    };
    let keys = former.first().into_iter().flat_map(Row::keys);
    let telling = keys.filter(|key| values(former, key).len() == former.len());
    let by_key = telling.map(|key| values(former, key).difference(&values(now, key)).count());
    by_key.min().unwrap_or(former.len().saturating_sub(now.len()))
}

impl State {
    /// The wall clock was changed.
    pub(super) fn blur(&mut self) {
        if let Some(window) = &mut self.window {
            window.blurred = true;
        }
    }

    /// Whether something is held back that was not let go yet.
    pub(super) fn is_holding(&self) -> bool {
        self.held_back.is_some_and(|vanish| self.released.is_none_or(|released| released < vanish))
    }

    /// What is held back now is let go by an operator.
    pub(super) fn release(&mut self) {
        if self.held_back.is_some() {
            self.released = self.held_back;
        }
    }

    /// All ways in which a question may go, when the parts say this.
    pub(super) fn outcomes(&self, said: &[Said], only_if: &[OnlyIf], guard: Option<Guard>, now: At) -> Vec<Outcome> {
        let mut ways: Vec<Vec<Option<Rows>>> = vec![Vec::new()];
        for said in said {
            let options = match said {
                Said::List(rows) => vec![Some(Rc::clone(rows))],
                Said::Perhaps(rows) => vec![Some(Rc::clone(rows)), None],
                Said::Silent => vec![None],
            };
            let with =
                |way: &Vec<_>| options.iter().map(|option| [&way[..], std::slice::from_ref(option)].concat()).collect();
            ways = ways.iter().flat_map(|way| -> Vec<_> { with(way) }).collect();
        }
        ways.iter().flat_map(|way| self.way(way, only_if, guard, now)).collect()
    }

    fn way(&self, said: &[Option<Rows>], only_if: &[OnlyIf], guard: Option<Guard>, now: At) -> Vec<Outcome> {
        let list = |(nth, said): (usize, &Option<Rows>)| {
            said.clone().or_else(|| self.recorded.as_ref().map(|recorded| Rc::clone(&recorded[nth])))
        };
        let Some(lists) = said.iter().enumerate().map(list).collect::<Option<Vec<_>>>() else {
            return vec![Outcome { told: Told::Unknown, state: self.clone() }];
        };
        let all_say = said.iter().all(Option::is_some);
        let rows = product(&lists, only_if);
        let tell = |rows: &Rows| if all_say { Told::Said(Rc::clone(rows)) } else { Told::Kept(Rc::clone(rows)) };
        // What is as it was needs no judgement, but that it ends what was held back.
        if self.recorded.as_ref() == Some(&lists) && !(all_say && self.held_back.is_some()) {
            return vec![Outcome { told: tell(&rows), state: self.clone() }];
        }
        let pass = |window| Self { recorded: Some(lists.clone()), window, held_back: None, released: None };
        let (Some(guard), Some(recorded)) = (guard, &self.recorded) else {
            return vec![Outcome { told: tell(&rows), state: pass(None) }];
        };
        let former = product(recorded, only_if);
        let judge = |window: Option<&Window>| {
            let window = window.cloned();
            let window = window.unwrap_or_else(|| Window { since: now, blurred: false, base: Rc::clone(&former) });
            let (vanish, of) = (gone(&window.base, &rows), window.base.len());
            if of < guard.min_items || vanish * 100 <= guard.max_drop * of {
                return Outcome { told: tell(&rows), state: pass((vanish > 0).then_some(window)) };
            }
            if self.released.is_some_and(|released| vanish <= released) {
                return Outcome { told: tell(&rows), state: pass(None) };
            }
            let state = Self { window: Some(window), held_back: Some(vanish), ..self.clone() };
            Outcome { told: Told::Guarded(Rc::clone(&former)), state }
        };
        self.windows(guard, now).into_iter().map(judge).collect()
    }

    /// The window that counts: the one that is open, or another one that begins now; or both may be so.
    fn windows(&self, guard: Guard, now: At) -> Vec<Option<&Window>> {
        let Some(window) = &self.window else { return vec![None] };
        if self.held_back.is_some() {
            return vec![Some(window)];
        }
        let age = now.saturating_sub(window.since);
        let (open, over) = (age < guard.window + BLUR, age + BLUR > guard.window);
        match (open || window.blurred, over || window.blurred) {
            (true, true) => vec![Some(window), None],
            (true, false) => vec![Some(window)],
            (false, _) => vec![None],
        }
    }
}

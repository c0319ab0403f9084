//! What was wrong, and when: how calm it has been, and how long GitHub was silent.

use std::time::Duration;

use crate::{hub::At, rules::MEMORY};

/// The troubles that were made, and what remains of them.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    active: usize,
    /// From when on nothing of earlier troubles is felt any more.
    calm_from: At,
    silenced: usize,
    silent_from: At,
}

impl Weather {
    pub(crate) fn trouble_begins(&mut self, now: At, silences_github: bool) {
        self.active += 1;
        if silences_github {
            if self.silenced == 0 {
                self.silent_from = now;
            }
            self.silenced += 1;
        }
    }

    pub(crate) fn trouble_ends(&mut self, now: At, silences_github: bool, echo: Duration) {
        self.active -= 1;
        self.silenced -= usize::from(silences_github);
        self.calm_from = self.calm_from.max(now + echo);
    }

    /// Something that was asked before was answered after all.
    pub(crate) fn spoke(&mut self, now: At) {
        self.silent_from = now;
    }

    /// How long all has been well.
    pub(crate) fn calm_for(&self, now: At) -> Duration {
        if self.active > 0 { Duration::ZERO } else { now.saturating_sub(self.calm_from) }
    }

    /// Whether something is wrong, or may still be felt.
    pub(crate) fn is_rough(&self, now: At) -> bool {
        self.calm_for(now).is_zero()
    }

    /// How long GitHub could say nothing at all.
    pub(crate) fn silent_for(&self, now: At) -> Duration {
        if self.silenced > 0 { now.saturating_sub(self.silent_from) } else { Duration::ZERO }
    }
}

/// How long the ledger has been watching, at least and at most.
///
/// The time between two questions counts if the upstreams could say something at both. Whether they could, the oracle
/// knows for sure in calm weather, and it knows that they could not where GitHub is silent and the answer says so.
#[derive(Debug)]
pub(crate) struct Trust {
    longest_step: Duration,
    pub(crate) least: Duration,
    pub(crate) most: Duration,
    surely: Option<At>,
    perhaps: Option<At>,
    /// What is surely written of it.
    written: Duration,
}

/// What is between two questions further apart, nobody saw.
const LONGEST_STEP: Duration = Duration::from_mins(45);

/// Two questions are no watch: it takes so many steps at least.
const LEAST_STEPS: u32 = 2;

/// Less than that is not worth writing.
const UNWRITTEN: Duration = Duration::from_secs(61);

impl Trust {
    /// Of a new ledger, that is to watch for so long.
    pub(crate) fn new(after: Duration) -> Self {
        let [least, most, written] = [Duration::ZERO; 3];
        let longest_step = LONGEST_STEP.min(after / LEAST_STEPS);
        Self { longest_step, least, most, surely: None, perhaps: None, written }
    }

    /// Somebody asked, and did not wait for what the program learned.
    pub(crate) fn may_have_asked(&mut self, now: At) {
        let before = self.perhaps.replace(now);
        self.most += before.map_or(Duration::ZERO, |before| now.saturating_sub(before).min(self.longest_step));
    }

    /// It is written.
    pub(crate) fn flushed(&mut self) {
        self.written = self.written.max(self.least.saturating_sub(UNWRITTEN + MEMORY));
    }

    /// Another process goes on: nobody watched meanwhile, but for another replica.
    pub(crate) fn restarts(&mut self, alone: bool) {
        self.least = self.written;
        self.surely = None;
        self.perhaps.take_if(|_| alone);
    }

    /// Somebody asked, in weather that has surely been calm for so long, if it was.
    pub(crate) fn asked(&mut self, now: At, surely: Option<Duration>, perhaps: bool) {
        if let Some((before, calm)) = self.surely.zip(surely) {
            // Something may have been wrong in between.
            self.least += now.saturating_sub(before).min(self.longest_step).min(calm);
        }
        if let Some(before) = self.perhaps.filter(|_| perhaps) {
            self.most += now.saturating_sub(before).min(self.longest_step);
        }
        if surely.is_none() && self.surely.is_some() {
            // What is answered from memory counts with the next look, which there was none of.
            self.least = self.least.saturating_sub(MEMORY);
        }
        self.surely = surely.map(|_| now);
        self.perhaps = perhaps.then_some(now);
    }
}

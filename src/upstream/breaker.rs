//! Leaving a service alone that is down, so that a thousand questions are not a thousand time-outs.
//!
//! ```text
//! closed ── two failures in a row, one that took long, or an exchange that hangs ──► open
//!    ▲                                                                                │ everything fails at once
//!    └───────── any success ────── a probe now and then, after a pause that grows ◄───┘
//! ```
//!
//! A failure is what comes of a service that is down: 5xx, no connection, no answer in time. Whatever else it says
//! shows that it lives: limits and refusals are remembered elsewhere, and an answer that makes no sense may be about
//! one pull request alone, costs nobody a time-out and has a lifetime of its own.
//!
//! Nobody else's problem: a question that failed, and others succeeded since, is *odd*. It may be too heavy, or ask for
//! something that is broken. Until it succeeds itself its failures prove nothing about the service, and the probes of
//! others do not wait for its own. Likewise a failure of what began before the latest success.
//!
//! What is fetched ahead of questions may find out that the service is up again or down, but takes no probe from a
//! question: its own are rare, and postpone nobody else's. It may be heavy, so that taking long proves nothing.
//!
//! A probe is what one question asks at once, such as its two images: were only one of them let through, the first
//! question after an outage would still fail. What is slow is not down for good: each probe has more time than the one
//! before.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Kind, Trouble, UpstreamError, http, urgency};
use crate::clock::{Moment, SharedClock};

/// How many failures in a row open it.
const FAILURES: u32 = 2;
/// A failure that took this long opens it alone, and a first probe has no longer.
const LONG: Duration = Duration::from_secs(3);
/// After this long without an answer to one exchange no other is begun, if nothing succeeded meanwhile.
const HANGS: Duration = Duration::from_secs(8);
/// The first pause before a probe, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How much later than the first exchange of a probe others may join it, and how many there may be in all.
const PROBE: (Duration, usize) = (Duration::from_millis(100), 8);
/// How long after a probe by what is fetched ahead another one of those is sent.
const PAUSE_AHEAD: Duration = Duration::from_secs(15);
/// How many questions that failed are remembered.
const REMEMBERED: usize = 1024;

/// The breaker of one service.
pub struct Breaker {
    service: Arc<str>,
    clock: SharedClock,
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    /// What was begun and has not ended, the oldest first.
    under_way: BTreeMap<u64, Begun>,
    last: u64,
    /// When an exchange succeeded last.
    succeeded: Moment,
    /// Failures in a row.
    failures: u32,
    /// When the latest trouble was over.
    recovered: Moment,
    open: Option<Open>,
    /// When questions failed that have not succeeded since.
    failed: HashMap<u64, Moment>,
}

#[derive(Clone, Copy)]
struct Begun {
    question: u64,
    at: Moment,
    ahead: bool,
}

/// Who asks to be let through.
#[derive(Clone, Copy)]
struct Asker {
    /// Which question it is, where that matters.
    question: Option<u64>,
    ahead: bool,
}

struct Open {
    /// What opened it, and so the answer to everybody.
    error: UpstreamError,
    pause: Duration,
    /// How much time the next probe has.
    time: Duration,
    /// When the next probe is due, and when an odd question may be one.
    due: Moment,
    odd_due: Moment,
    /// When what is fetched ahead may be one.
    ahead_due: Moment,
    /// The questions' probe that is under way.
    probe: Option<Probe>,
}

/// A probe that is under way.
struct Probe {
    began: Moment,
    exchanges: Vec<u64>,
}

/// The right to one exchange. However it ends, it is not under way any more.
struct Pass<'a> {
    breaker: &'a Breaker,
    id: u64,
    begun: Begun,
    due: Moment,
}

impl Breaker {
    /// A breaker of a service that nothing is known of.
    pub fn new(service: impl Into<Arc<str>>, clock: SharedClock) -> Self {
        Self { service: service.into(), clock, state: Mutex::default(), opened: Notify::new() }
    }

    /// Waits for a turn, then carries out an exchange and ends it in time, unless the service is to be left alone.
    ///
    /// What waits for its turn is not under way yet; it stops waiting when the breaker opens. What the turn yields is
    /// held until the exchange has ended.
    pub async fn carry<P, T>(
        &self,
        question: impl Hash,
        turn: impl Future<Output = Result<P, UpstreamError>>,
        exchange: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let mut hasher = DefaultHasher::new();
        question.hash(&mut hasher);
        let question = hasher.finish();
        let _turn = self.wait(question, turn).await?;
        let pass = self.begin(question)?;
        let outcome = tokio::select! {
            biased;
            outcome = exchange => outcome,
            () = self.clock.sleep_until(pass.due) => Err(self.no_answer()),
        };
        pass.end(&outcome);
        outcome
    }

    /// Whether anything would be let through now: for whoever would else wait for another one's exchange.
    pub fn ready(&self) -> Result<(), UpstreamError> {
        let now = self.clock.now();
        self.change(|state| state.admit(Asker::of(None), now, || self.no_answer()))
    }

    /// Whether nothing speaks against the service: what was asked last came through, if anything was ever asked.
    pub fn is_well(&self) -> bool {
        self.well_since().is_some()
    }

    /// Since when nothing spoke against the service; `None` while something does.
    pub fn well_since(&self) -> Option<Moment> {
        let now = self.clock.now();
        self.change(|state| {
            let well = state.open.is_none() && state.failures == 0 && !state.hangs(now);
            well.then_some(state.recovered)
        })
    }

    /// Why the service is left alone, and when the next probe may be sent, if it is.
    pub fn trouble(&self) -> Option<Trouble> {
        self.change(|state| {
            state.open.as_ref().map(|open| Trouble { why: Arc::clone(&open.error.message), until: open.due })
        })
    }

    async fn wait<P>(
        &self,
        question: u64,
        turn: impl Future<Output = Result<P, UpstreamError>>,
    ) -> Result<P, UpstreamError> {
        tokio::pin!(turn);
        loop {
            // Made before the look, so that what happens between the two is not missed.
            let opened = self.opened.notified();
            let now = self.clock.now();
            self.change(|state| state.admit(Asker::of(Some(question)), now, || self.no_answer()))?;
            tokio::select! {
                biased;
                turn = &mut turn => return turn,
                () = opened => {}
            }
        }
    }

    fn begin(&self, question: u64) -> Result<Pass<'_>, UpstreamError> {
        let at = self.clock.now();
        let asker = Asker::of(Some(question));
        self.change(|state| {
            state.admit(asker, at, || self.no_answer())?;
            state.last += 1;
            let (id, begun) = (state.last, Begun { question, at, ahead: asker.ahead });
            state.under_way.insert(id, begun);
            let time = state.open.as_mut().map_or(http::TOTAL, |open| {
                if asker.ahead {
                    open.ahead_due = at + PAUSE_AHEAD;
                } else {
                    open.probe.get_or_insert(Probe { began: at, exchanges: Vec::new() }).exchanges.push(id);
                }
                open.time
            });
            Ok(Pass { breaker: self, id, begun, due: at + time })
        })
    }

    fn no_answer(&self) -> UpstreamError {
        UpstreamError::new(Arc::clone(&self.service), Kind::Unavailable, http::NO_ANSWER)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.open.is_some();
        let result = change(&mut state);
        let after = state.open.is_some();
        drop(state);
        if after && !before {
            self.opened.notify_waiters();
        }
        result
    }
}

impl Asker {
    fn of(question: Option<u64>) -> Self {
        Self { question, ahead: urgency::current().is_ahead() }
    }
}

impl Pass<'_> {
    fn end<T>(self, outcome: &Result<T, UpstreamError>) {
        let now = self.breaker.clock.now();
        self.breaker.change(|state| match outcome {
            Err(error) if error.kind == Kind::Unavailable => state.fail(self.id, self.begun, error, now),
            _ => state.succeed(self.begun, &self.breaker.service, now),
        });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.breaker.change(|state| {
            state.under_way.remove(&self.id);
            if let Some(open) = &mut state.open {
                open.leave(self.id);
            }
        });
    }
}

impl Open {
    /// Whether an exchange belonged to the probe that is under way; it does not any more.
    fn leave(&mut self, id: u64) -> bool {
        let Some(probe) = &mut self.probe else { return false };
        let before = probe.exchanges.len();
        probe.exchanges.retain(|one| *one != id);
        let belonged = probe.exchanges.len() < before;
        if probe.exchanges.is_empty() {
            self.probe = None;
        }
        belonged
    }

    /// Its probe failed.
    fn failed(&mut self, odd: bool, now: Moment) {
        if odd {
            self.odd_due = now + self.pause;
            return;
        }
        self.probe = None;
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.time = (self.time * 2).min(http::TOTAL);
        self.due = now + self.pause;
    }
}

impl State {
    /// Whether a question may be sent now; opens if something hangs.
    fn admit(
        &mut self,
        asker: Asker,
        now: Moment,
        no_answer: impl FnOnce() -> UpstreamError,
    ) -> Result<(), UpstreamError> {
        if self.open.is_none() && self.hangs(now) {
            self.open(no_answer(), now);
        }
        let odd = asker.question.is_some_and(|question| self.is_odd(question));
        let Some(open) = &self.open else { return Ok(()) };
        let due = if odd { open.due.max(open.odd_due) } else { open.due };
        let (admitted, not_before) = match &open.probe {
            None => (due <= now, Some(due)),
            Some(probe) => (now.since(probe.began) < PROBE.0 && probe.exchanges.len() < PROBE.1 && due <= now, None),
        };
        if !admitted {
            return Err(UpstreamError { not_before, ..open.error.clone() });
        }
        if asker.ahead && open.ahead_due > now {
            return Err(UpstreamError { not_before: Some(open.ahead_due), only_ahead: true, ..open.error.clone() });
        }
        Ok(())
    }

    fn hangs(&self, now: Moment) -> bool {
        let hangs = |begun: &Begun| !begun.ahead && now.since(begun.at) > HANGS && begun.at > self.succeeded;
        self.under_way.values().any(|begun| hangs(begun) && !self.is_odd(begun.question))
    }

    fn is_odd(&self, question: u64) -> bool {
        self.failed.get(&question).is_some_and(|failed| *failed < self.succeeded)
    }

    fn succeed(&mut self, begun: Begun, service: &Arc<str>, now: Moment) {
        if self.open.is_some() || self.failures > 0 || self.hangs(now) {
            self.recovered = now;
        }
        self.succeeded = now;
        self.failures = 0;
        self.failed.remove(&begun.question);
        if self.open.take().is_some() {
            tracing::info!(%service, "it answers again");
        }
    }

    fn fail(&mut self, id: u64, begun: Begun, error: &UpstreamError, now: Moment) {
        let odd = self.is_odd(begun.question);
        if !odd {
            if self.failed.len() >= REMEMBERED {
                self.failed.clear();
            }
            self.failed.insert(begun.question, now);
        }
        if let Some(open) = &mut self.open {
            // What was under way when it opened, or of a probe that has failed already, says nothing new.
            if open.leave(id) {
                open.failed(odd, now);
            }
        } else if !odd && begun.at > self.succeeded {
            self.failures += 1;
            let long = !begun.ahead && now.since(begun.at) >= LONG;
            if self.failures >= FAILURES || long {
                self.open(error.clone(), now);
            }
        }
    }

    fn open(&mut self, error: UpstreamError, now: Moment) {
        tracing::warn!(service = %error.service, "{}; it is left alone, but for a probe now and then", error.message);
        let due = now + PAUSE.0;
        self.open = Some(Open { error, pause: PAUSE.0, time: LONG, due, odd_due: due, ahead_due: due, probe: None });
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("service", &self.service).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

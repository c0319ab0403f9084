//! How fast one credential may talk to one host.
//!
//! Three gates in a row: a pause that the service itself named stops everything at once; a fair semaphore bounds what
//! is under way; governor spaces what is left. The service's own headers are the truth, the pace only keeps us polite.
//!
//! Questions go first: what is fetched ahead of them is let through only while no question waits, and is never more
//! than half of what is under way. It holds nothing while it waits, and is a question as soon as it is raised.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};

use super::{
    terms::{Minute, PaceUse},
    urgency,
};
use crate::clock::{Moment, SharedClock};

/// Requests per second and at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceLimits {
    /// Requests per second, on average; as many may come in one burst.
    pub per_second: NonZeroU32,
    /// Requests under way at the same time.
    pub concurrent: NonZeroU32,
}

/// The pace of one credential at one host.
pub struct Pace {
    limits: PaceLimits,
    clock: SharedClock,
    spacing: RateLimiter<NotKeyed, InMemoryState, PaceClock, NoOpMiddleware<Duration>>,
    slots: Arc<Semaphore>,
    /// The places of what is fetched ahead, among those slots.
    ahead: Arc<Semaphore>,
    /// How many questions wait for their turn.
    waiting: AtomicUsize,
    /// Told whenever a slot is given back, or no question waits any more.
    freed: Arc<Notify>,
    paused_until: Mutex<Moment>,
    /// What was let through lately.
    minute: Minute,
}

/// The right to send one request; held until its answer was read.
#[derive(Debug)]
pub struct Permit {
    // The slot is given back before it is told.
    _slot: Result<OwnedSemaphorePermit, AcquireError>,
    _ahead: Option<OwnedSemaphorePermit>,
    _told: Told,
}

/// Tells when it is dropped.
#[derive(Debug)]
struct Told(Arc<Notify>);

/// A question that waits for its turn.
struct Waiting<'a>(&'a Pace);

impl Pace {
    /// A pace within `limits`.
    pub fn new(limits: PaceLimits, clock: SharedClock) -> Self {
        let concurrent = limits.concurrent.get() as usize;
        Self {
            limits,
            spacing: RateLimiter::direct_with_clock(
                Quota::per_second(limits.per_second),
                PaceClock(Arc::clone(&clock)),
            ),
            slots: Arc::new(Semaphore::new(concurrent)),
            ahead: Arc::new(Semaphore::new((concurrent / 2).max(1))),
            waiting: AtomicUsize::new(0),
            freed: Arc::default(),
            paused_until: Mutex::new(Moment::START),
            minute: Minute::default(),
            clock,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// The moment until which nothing may be sent, where the service named one; then nothing is waited for.
    pub async fn turn(&self) -> Result<Permit, Moment> {
        self.check_pause()?;
        let urgency = urgency::current();
        let permit = tokio::select! {
            biased;
            () = urgency.raised() => self.turn_of_a_question().await,
            permit = self.turn_ahead() => permit,
        };
        // The pause may have begun while we waited.
        self.check_pause()?;
        self.minute.add(self.clock.now());
        Ok(permit)
    }

    async fn turn_of_a_question(&self) -> Permit {
        let _waiting = Waiting::new(self);
        // The semaphore is never closed, so there always is a slot.
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        while let Err(not_until) = self.spacing.check() {
            self.wait_for(not_until).await;
        }
        self.permit(slot, None)
    }

    async fn turn_ahead(&self) -> Permit {
        let ahead = Arc::clone(&self.ahead).acquire_owned().await.ok();
        loop {
            // Made before the look, so that what happens between the two is not missed.
            let freed = self.freed.notified();
            if self.waiting.load(Ordering::Acquire) > 0 {
                freed.await;
                continue;
            }
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                freed.await;
                continue;
            };
            match self.spacing.check() {
                Ok(()) => return self.permit(Ok(slot), ahead),
                Err(not_until) => {
                    drop(slot);
                    self.wait_for(not_until).await;
                }
            }
        }
    }

    async fn wait_for(&self, not_until: NotUntil<Duration>) {
        let wait = not_until.wait_time_from(self.clock.now().since_start());
        self.clock.sleep_until(self.clock.now() + wait).await;
    }

    fn permit(&self, slot: Result<OwnedSemaphorePermit, AcquireError>, ahead: Option<OwnedSemaphorePermit>) -> Permit {
        Permit { _slot: slot, _ahead: ahead, _told: Told(Arc::clone(&self.freed)) }
    }

    /// Stops everything until then; a pause is never shortened.
    pub fn pause_until(&self, until: Moment) {
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = (*paused).max(until);
    }

    /// Until when nothing may be sent, if that is still to come.
    pub fn paused(&self) -> Option<Moment> {
        let until = self.last_pause();
        (until > self.clock.now()).then_some(until)
    }

    /// When the latest pause ends or ended.
    pub fn last_pause(&self) -> Moment {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is used now.
    pub fn usage(&self) -> PaceUse {
        let PaceLimits { per_second, concurrent } = self.limits;
        let concurrent = concurrent.get();
        PaceUse {
            per_second: per_second.get(),
            concurrent,
            under_way: (concurrent as usize).saturating_sub(self.slots.available_permits()),
            last_minute: self.minute.count(self.clock.now()),
            paused_until: self.paused(),
        }
    }

    fn check_pause(&self) -> Result<(), Moment> {
        self.paused().map_or(Ok(()), Err)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl<'a> Waiting<'a> {
    fn new(pace: &'a Pace) -> Self {
        pace.waiting.fetch_add(1, Ordering::AcqRel);
        Self(pace)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.freed.notify_waiters();
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("paused", &self.paused()).finish_non_exhaustive()
    }
}

/// Our clock as governor wants it.
#[derive(Clone, Debug)]
pub struct PaceClock(SharedClock);

impl PaceClock {
    /// A clock that is this one.
    pub fn new(clock: SharedClock) -> Self {
        Self(clock)
    }
}

impl GovernorClock for PaceClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().since_start()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{urgency::Urgency, *};
    use crate::clock::{Clock as _, ManualClock};

    fn pace(per_second: u32, concurrent: u32) -> (ManualClock, Arc<Pace>) {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let limits =
            PaceLimits { per_second: per_second.try_into().unwrap(), concurrent: concurrent.try_into().unwrap() };
        (clock.clone(), Arc::new(Pace::new(limits, Arc::new(clock))))
    }

    #[tokio::test]
    async fn a_burst_passes_and_the_next_waits_its_share() {
        let (clock, pace) = pace(2, 8);
        let first = pace.turn().await.unwrap();
        let use_of = |under_way, last_minute| PaceUse {
            per_second: 2,
            concurrent: 8,
            under_way,
            last_minute,
            paused_until: None,
        };
        assert_eq!(pace.usage(), use_of(1, 1));
        drop(first);
        drop(pace.turn().await.unwrap());
        assert_eq!(pace.usage(), use_of(0, 2));
        let third = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.turn().await.map(drop) }
        });
        clock.sleeping(1).await;
        assert!(!third.is_finished());
        clock.advance(Duration::from_millis(500));
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn no_more_at_once_than_allowed() {
        let (_clock, pace) = pace(100, 1);
        let first = pace.turn().await.unwrap();
        let second = pace.turn();
        tokio::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        second.await.unwrap();
    }

    /// Work that is fetched ahead, in a task of its own.
    fn turn_ahead(pace: &Arc<Pace>, urgency: &Urgency) -> tokio::task::JoinHandle<Permit> {
        let (pace, urgency) = (Arc::clone(pace), urgency.clone());
        tokio::spawn(urgency.scope(async move { pace.turn().await.unwrap() }))
    }

    async fn settled() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_fetched_ahead_has_half_of_the_slots() {
        let (clock, pace) = pace(100, 4);
        let ahead: Vec<_> = (0..3).map(|_| turn_ahead(&pace, &Urgency::ahead())).collect();
        settled().await;
        assert_eq!(ahead.iter().filter(|task| task.is_finished()).count(), 2);
        // The other half is for questions, and nobody who waits for a slot waits for the clock.
        let _questions = (pace.turn().await.unwrap(), pace.turn().await.unwrap());
        clock.idle().await;
        let mut permits = Vec::new();
        for task in ahead {
            if task.is_finished() {
                permits.push(task.await.unwrap());
            } else {
                permits.pop();
                task.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_question_that_came_later_goes_first() {
        let (_clock, pace) = pace(100, 1);
        let first = pace.turn().await.unwrap();
        let ahead = turn_ahead(&pace, &Urgency::ahead());
        settled().await;
        let question = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.turn().await.unwrap() }
        });
        settled().await;
        drop(first);
        let permit = question.await.unwrap();
        settled().await;
        assert!(!ahead.is_finished());
        drop(permit);
        ahead.await.unwrap();
    }

    #[tokio::test]
    async fn the_spacing_is_a_questions_first() {
        let (clock, pace) = pace(1, 4);
        drop(pace.turn().await.unwrap());
        let ahead = turn_ahead(&pace, &Urgency::ahead());
        clock.sleeping(1).await;
        let question = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.turn().await.unwrap() }
        });
        clock.sleeping(2).await;
        clock.advance(Duration::from_secs(1));
        drop(question.await.unwrap());
        clock.sleeping(1).await;
        assert!(!ahead.is_finished());
        clock.advance(Duration::from_secs(1));
        ahead.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_raised_is_a_question() {
        let (_clock, pace) = pace(100, 2);
        let _held = turn_ahead(&pace, &Urgency::ahead()).await.unwrap();
        let urgency = Urgency::ahead();
        let ahead = turn_ahead(&pace, &urgency);
        settled().await;
        assert!(!ahead.is_finished());
        urgency.raise();
        ahead.await.unwrap();
    }

    #[tokio::test]
    async fn a_named_pause_stops_everything_at_once() {
        let (clock, pace) = pace(100, 8);
        let until = clock.now() + Duration::from_secs(30);
        pace.pause_until(until);
        pace.pause_until(clock.now() + Duration::from_secs(3));
        assert_eq!(pace.turn().await.unwrap_err(), until);
        assert_eq!((pace.usage().paused_until, pace.usage().last_minute), (Some(until), 0));
        clock.advance(Duration::from_secs(30));
        assert!(pace.turn().await.is_ok());
    }
}

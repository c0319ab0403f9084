//! How fast one credential may talk to one host.
//!
//! Three gates in a row: a pause that the service itself named stops everything at once; a fair semaphore bounds what
//! is under way; governor spaces what is left. The service's own headers are the truth, the pace only keeps us polite.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

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
    clock: SharedClock,
    spacing: RateLimiter<NotKeyed, InMemoryState, Time, NoOpMiddleware<Duration>>,
    slots: Arc<Semaphore>,
    paused_until: Mutex<Moment>,
}

/// The right to send one request; held until its answer was read.
#[derive(Debug)]
pub struct Permit {
    _slot: Result<OwnedSemaphorePermit, AcquireError>,
}

impl Pace {
    /// A pace within `limits`.
    pub fn new(limits: PaceLimits, clock: SharedClock) -> Self {
        Self {
            spacing: RateLimiter::direct_with_clock(Quota::per_second(limits.per_second), Time(Arc::clone(&clock))),
            slots: Arc::new(Semaphore::new(limits.concurrent.get() as usize)),
            paused_until: Mutex::new(Moment::START),
            clock,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// The moment until which nothing may be sent, where the service named one; then nothing is waited for.
    pub async fn turn(&self) -> Result<Permit, Moment> {
        self.check_pause()?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        while let Err(not_until) = self.spacing.check() {
            let wait = not_until.wait_time_from(self.clock.now().since_start());
            self.clock.sleep_until(self.clock.now() + wait).await;
        }
        // The pause may have begun while we waited.
        self.check_pause()?;
        // The semaphore is never closed, so there always is a slot.
        Ok(Permit { _slot: slot })
    }

    /// Stops everything until then; a pause is never shortened.
    pub fn pause_until(&self, until: Moment) {
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = (*paused).max(until);
    }

    /// Until when nothing may be sent, if that is still to come.
    pub fn paused(&self) -> Option<Moment> {
        let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        (until > self.clock.now()).then_some(until)
    }

    fn check_pause(&self) -> Result<(), Moment> {
        self.paused().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("paused", &self.paused()).finish_non_exhaustive()
    }
}

/// Our clock as governor wants it.
#[derive(Clone)]
struct Time(SharedClock);

impl GovernorClock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().since_start()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
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
        drop(pace.turn().await.unwrap());
        drop(pace.turn().await.unwrap());
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

    #[tokio::test]
    async fn a_named_pause_stops_everything_at_once() {
        let (clock, pace) = pace(100, 8);
        let until = clock.now() + Duration::from_secs(30);
        pace.pause_until(until);
        pace.pause_until(clock.now() + Duration::from_secs(3));
        assert_eq!(pace.turn().await.unwrap_err(), until);
        clock.advance(Duration::from_secs(30));
        assert!(pace.turn().await.is_ok());
    }
}

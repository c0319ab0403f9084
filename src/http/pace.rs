//! How often the holder of a token may make lastgreen look at something.
//!
//! What is known is answered however often it is asked for: it costs nothing, and a refusal would freeze a whole set. So
//! only looks are counted, each token for itself: as many at once as its burst, and then so many a second.

use std::{fmt, num::NonZeroU32, time::Duration};

use governor::{Quota, RateLimiter, clock::Clock as _, middleware::NoOpMiddleware, state::keyed::HashMapStateStore};

use super::tokens::Hash;
use crate::{clock::SharedClock, upstream::PaceClock};

/// How many looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundLimits {
    /// A second, on average.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// The pace of all tokens. There are as many of them as the token files hold.
pub(super) struct InboundPace {
    limiter: RateLimiter<Hash, HashMapStateStore<Hash>, PaceClock, NoOpMiddleware<Duration>>,
    clock: PaceClock,
}

impl InboundPace {
    pub(super) fn new(limits: InboundLimits, clock: SharedClock) -> Self {
        let clock = PaceClock::new(clock);
        let quota = Quota::per_second(limits.per_second).allow_burst(limits.burst);
        Self { limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()), clock }
    }

    /// Counts a look; if it is one too many, in how long the next may be.
    pub(super) fn look(&self, token: Hash) -> Result<(), Duration> {
        self.limiter.check_key(&token).map_err(|too_early| too_early.wait_time_from(self.clock.now()))
    }
}

impl fmt::Debug for InboundPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundPace").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn each_token_has_its_own_burst_and_its_own_pace() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let number = |number: u32| NonZeroU32::new(number).unwrap();
        let limits = InboundLimits { per_second: number(2), burst: number(3) };
        let pace = InboundPace::new(limits, Arc::new(clock.clone()));
        let (one, two) = ([1; 32], [2; 32]);
        for _ in 0..3 {
            assert_eq!(pace.look(one), Ok(()));
        }
        // governor counts in whole nanoseconds of a share.
        let about = |wait: Duration| wait > Duration::from_millis(499) && wait <= Duration::from_millis(500);
        assert!(pace.look(one).is_err_and(about));
        assert_eq!(pace.look(two), Ok(()));
        clock.advance(Duration::from_millis(500));
        assert_eq!(pace.look(one), Ok(()));
        assert!(pace.look(one).is_err_and(about));
    }
}

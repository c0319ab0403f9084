//! How much of a credential may be spent on what nobody waits for.
//!
//! | limit | at most |
//! |---|---|
//! | the hour's, by GitHub's own headers | 60 %, whoever spent it: a tenth at once, the rest in step with the hour |
//! | 2,000 GraphQL queries and 900 REST requests a minute | 60 %, of what we send |
//! | a minute of GraphQL's processor time in a minute | half, taken for the time that answers took |
//!
//! What is beyond is the questions'. Several processes that share a credential see each other in the headers. A server
//! that sends none has no limits.

use std::{collections::VecDeque, time::Duration};

use super::credential::Resource;
use crate::clock::Moment;

/// All limits are given back once an hour.
pub(super) const WINDOW: Duration = Duration::from_hours(1);
/// Hundredths of the hour's limit that may be spent, and how many of them at once.
const SHARE: (u64, u64) = (60, 10);
/// The time in which requests and answers are counted.
const MINUTE: Duration = Duration::from_mins(1);
/// Requests in a minute.
const GRAPHQL: u64 = 1200;
const REST: u64 = 540;
/// How long GraphQL's answers of a minute may have taken together.
const BUSY: Duration = Duration::from_secs(30);

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Points or requests an hour.
    pub limit: u64,
    /// What is left of them.
    pub remaining: u64,
    /// When all of them are back.
    pub reset_in: Duration,
}

/// What GitHub said of an hour's budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) epoch: u64,
    pub(super) resets: Moment,
}

/// What was sent in the last minute, by the second.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Second>);

#[derive(Debug)]
struct Second {
    at: u64,
    sent: u64,
    took: Duration,
}

impl Known {
    /// Whether what nobody waits for may be sent; else from when on.
    pub(super) fn spare(&self, now: Moment) -> Result<(), Moment> {
        if self.resets <= now {
            return Ok(());
        }
        let used = self.limit.saturating_sub(self.remaining);
        let hundredths = |part: u64| self.limit.saturating_mul(part) / 100;
        let (share, at_once) = (hundredths(SHARE.0), hundredths(SHARE.1));
        if used >= share {
            return Err(self.resets);
        }
        // The budget is a curve over the hour: what is used now was due when this much of the hour is left.
        let to_come = share - used.max(at_once);
        let left = WINDOW.mul_f64(fraction(to_come, share - at_once));
        let due = self.resets - left;
        if due <= now { Ok(()) } else { Err(due) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a limit is some thousand")]
fn fraction(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Recent {
    /// A request is sent.
    pub(super) fn sent(&mut self, now: Moment) {
        self.second(now).sent += 1;
    }

    /// The answer to a request, or its absence, took so long.
    pub(super) fn took(&mut self, now: Moment, time: Duration) {
        self.second(now).took += time;
    }

    /// Whether what nobody waits for may be sent; else from when on.
    pub(super) fn spare(&mut self, resource: Resource, now: Moment) -> Result<(), Moment> {
        self.forget(now);
        let limit = match resource {
            Resource::Graphql => GRAPHQL,
            Resource::Core => REST,
        };
        let mut sent: u64 = self.0.iter().map(|second| second.sent).sum();
        let mut took: Duration = self.0.iter().map(|second| second.took).sum();
        let mut until = None;
        for second in &self.0 {
            if sent < limit && (took <= BUSY || resource == Resource::Core) {
                break;
            }
            sent -= second.sent;
            took -= second.took;
            until = Some(Moment::after_start(Duration::from_secs(second.at + 1)) + MINUTE);
        }
        until.map_or(Ok(()), Err)
    }

    fn second(&mut self, now: Moment) -> &mut Second {
        self.forget(now);
        let at = now.since_start().as_secs();
        if self.0.back().is_none_or(|last| last.at < at) {
            self.0.push_back(Second { at, sent: 0, took: Duration::ZERO });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn forget(&mut self, now: Moment) {
        while self.0.front().is_some_and(|first| Moment::after_start(Duration::from_secs(first.at + 1)) + MINUTE <= now)
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(minutes: u64) -> Moment {
        Moment::after_start(Duration::from_mins(minutes))
    }

    fn known(used: u64) -> Known {
        Known { limit: 5000, remaining: 5000 - used, epoch: 0, resets: minute(100) }
    }

    #[test]
    fn the_hour_is_shared_out_in_step_with_its_time() {
        // The hour began at 40: 500 at once, 3,000 by its end, 1,750 by its half.
        for (used, at, allowed) in [
            (0, 40, Ok(())),
            (499, 40, Ok(())),
            (1750, 69, Err(minute(70))),
            (1750, 70, Ok(())),
            (1750, 30, Err(minute(70))),
            (2999, 99, Err(minute(100) - WINDOW.mul_f64(1.0 / 2500.0))),
            (3000, 99, Err(minute(100))),
            (5000, 41, Err(minute(100))),
            (5000, 100, Ok(())),
        ] {
            assert_eq!(known(used).spare(minute(at)), allowed, "{used} at {at}");
        }
        // A process that has just begun knows no time before itself.
        let young = Known { limit: 5000, remaining: 4000, epoch: 0, resets: minute(30) };
        assert_eq!(young.spare(minute(0)), Ok(()));
        for limit in [0, 1, 7] {
            let odd = Known { limit, remaining: 0, epoch: 0, resets: minute(30) };
            assert_eq!(odd.spare(minute(0)), Err(minute(30)), "{limit}");
        }
    }

    #[test]
    fn a_minute_is_counted() {
        let mut recent = Recent::default();
        for _ in 0..REST {
            assert_eq!(recent.spare(Resource::Core, minute(10)), Ok(()));
            recent.sent(minute(10));
        }
        let again = minute(11) + Duration::from_secs(1);
        assert_eq!(recent.spare(Resource::Core, minute(10)), Err(again));
        assert_eq!(recent.spare(Resource::Graphql, minute(10)), Ok(()));
        assert_eq!(recent.spare(Resource::Core, again), Ok(()));
    }

    #[test]
    fn slow_answers_are_waited_for() {
        let mut recent = Recent::default();
        recent.took(minute(10), Duration::from_secs(20));
        recent.took(minute(10) + Duration::from_secs(30), Duration::from_secs(15));
        let now = minute(10) + Duration::from_secs(40);
        assert_eq!(recent.spare(Resource::Graphql, now), Err(minute(11) + Duration::from_secs(1)));
        assert_eq!(recent.spare(Resource::Core, now), Ok(()));
        assert_eq!(recent.spare(Resource::Graphql, minute(11) + Duration::from_secs(1)), Ok(()));
    }

    proptest! {
        #[test]
        fn whoever_waits_until_then_is_let_through(
            used in 0u64..6000, limit in 0u64..6000, now in 0u64..7200,
            noted in proptest::collection::vec((0u64..90, 0u64..400, 0u64..40), 0..20),
        ) {
            let known = Known { limit, remaining: limit.saturating_sub(used), epoch: 0, resets: minute(90) };
            let now = Moment::after_start(Duration::from_secs(now));
            if let Err(until) = known.spare(now) {
                prop_assert!(until > now);
                prop_assert_eq!(known.spare(until), Ok(()));
            }
            let mut recent = Recent::default();
            let mut at = now;
            for (later, sent, took) in noted {
                at = at + Duration::from_secs(later);
                (0..sent).for_each(|_| recent.sent(at));
                recent.took(at, Duration::from_secs(took));
            }
            for resource in [Resource::Core, Resource::Graphql] {
                if let Err(until) = recent.spare(resource, at) {
                    prop_assert!(until > at && until <= at + MINUTE + Duration::from_secs(1));
                    prop_assert_eq!(recent.spare(resource, until), Ok(()));
                }
            }
        }
    }
}

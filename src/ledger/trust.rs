//! How long a ledger has been watching: only time in which the upstreams could say something counts.

use std::{sync::Arc, time::Duration};

use crate::clock::Moment;

/// What is trusted apart: another ApplicationSet may have been moved over from another plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustKey {
    /// The generator's name.
    pub generator: Arc<str>,
    /// The repository's `databaseId`.
    pub repository: u64,
    /// The ApplicationSet that asks.
    pub application_set: Arc<str>,
}

/// The longest time between two questions that counts: what was in between, nobody saw. Argo CD asks every 30 minutes
/// unless it is told otherwise.
const LONGEST_STEP: Duration = Duration::from_mins(45);

/// How many steps a watch has at least, however short it is: two questions are none, for others of their set may not
/// have been asked at all.
const LEAST_STEPS: u32 = 2;

/// The time watched so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Duration,
    last_good: Option<Moment>,
    /// The whole seconds of `seen` that are written.
    pub(super) written: u64,
}

impl Watch {
    /// Counts the time since the last question for as long as the upstreams could say something without a break, and if
    /// they could then, too. The whole watch is to last for `trust_after`.
    pub(super) fn note(&mut self, now: Moment, could_say_since: Option<Moment>, trust_after: Duration) {
        if let Some((before, since)) = self.last_good.zip(could_say_since) {
            self.seen += now.since(before.max(since)).min(LONGEST_STEP).min(trust_after / LEAST_STEPS);
        }
        self.last_good = could_say_since.map(|_| now);
    }

    /// The time that counted.
    pub(super) fn seen(&self) -> Duration {
        self.seen
    }

    /// Takes in what is written: replicas that watch at the same time do not watch twice as long. What another one has
    /// counted so far, this one counts from now on.
    pub(super) fn take_in(&mut self, seconds: u64, now: Moment) {
        self.written = self.written.max(seconds);
        let theirs = Duration::from_secs(seconds);
        if theirs > self.seen {
            self.seen = theirs;
            self.last_good = self.last_good.map(|_| now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn an_outage_does_not_count() {
        let mut watch = Watch::default();
        let at = |minutes: u64| Moment::after_start(Duration::from_secs(60 * minutes));
        for (minute, since, seen) in [
            (0, Some(0), 0),
            (10, Some(0), 10),
            (20, None, 10),
            (50, Some(45), 10),
            (60, Some(45), 20),
            // Others met an outage that was over five minutes ago.
            (80, Some(75), 25),
        ] {
            watch.note(at(minute), since.map(at), DAY);
            assert_eq!(watch.seen(), Duration::from_secs(60 * seen), "minute {minute}");
        }
        // Nobody has seen what was in these hours.
        watch.note(at(600), Some(at(75)), DAY);
        assert_eq!(watch.seen(), Duration::from_mins(25) + LONGEST_STEP);
        let mut watch = Watch { seen: Duration::from_mins(20), last_good: Some(at(70)), ..Watch::default() };
        watch.take_in(300, at(70));
        assert_eq!(watch.seen(), Duration::from_mins(20));
        watch.take_in(1500, at(70));
        assert_eq!(watch.seen(), Duration::from_mins(25));
        watch.note(at(71), Some(at(0)), DAY);
        assert_eq!(watch.seen(), Duration::from_mins(26));
    }

    #[test]
    fn two_questions_are_no_watch() {
        let mut watch = Watch::default();
        let trust_after = Duration::from_mins(10);
        for (minute, seen) in [(0, 0), (13, 5), (14, 6), (40, 11)] {
            watch.note(Moment::after_start(Duration::from_secs(60 * minute)), Some(Moment::START), trust_after);
            assert_eq!(watch.seen(), Duration::from_secs(60 * seen), "minute {minute}");
        }
    }
}

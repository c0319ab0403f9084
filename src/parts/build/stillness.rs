//! How old a read of GitHub may be: little while something is about to happen, more the longer nothing has.
//!
//! A head whose checks run is read again every `refresh.pending`. Some stay so for days, because a check never reports
//! or waits for somebody's approval. They would cost more than all others together, so what has not changed for a
//! while is read less often, down to the pace of what is final. How long a green head waits for its images is told by
//! GitHub itself; see [`patience`](super::patience).

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::{Resolution, bounded::Bounded};
use crate::{clock::Moment, ledger::LineKey};

/// A read may be this part of the time old for which nothing has changed: after an hour, a minute.
const PART: u32 = 60;

/// How many lines are remembered.
const CAPACITY: usize = 240_000;

/// Since when lines are as they are.
pub(super) struct Stillness {
    since: Bounded<LineKey, (u64, Moment)>,
    pending: Duration,
    settled: Duration,
}

impl Stillness {
    pub(super) fn new(pending: Duration, settled: Duration) -> Self {
        Self { since: Bounded::new(CAPACITY), pending, settled }
    }

    /// How old a read may be that leads to this now.
    pub(super) fn patience_with(&self, resolution: &Resolution, now: Moment) -> Duration {
        if resolution.is_final {
            return self.settled;
        }
        // What nobody could say may change the moment that they can.
        let shortest = resolution.fresh_for.unwrap_or(self.pending);
        let Some(meant) = resolution.line.as_ref().filter(|_| !resolution.upstream_failed) else { return shortest };
        // What was considered and why it will not do: the same text for the same state of things.
        let mut state = DefaultHasher::new();
        (resolution.considered.first().map(|head| head.commit.sha), &resolution.reason).hash(&mut state);
        let state = state.finish();
        let since = match self.since.get(&meant.key) {
            Some((known, since)) if known == state => since,
            _ => {
                self.since.insert(meant.key.clone(), (state, now));
                now
            }
        };
        (now.since(since) / PART).clamp(shortest, self.settled.max(shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Line,
        parts::build::{Meant, Outcome},
    };

    #[test]
    fn what_has_not_changed_for_long_is_read_less_often() {
        let seconds = Duration::from_secs;
        let stillness = Stillness::new(seconds(15), seconds(300));
        let key = LineKey { generator: "preview".into(), repository: 1, line: Line::Pull(1) };
        let meant = Meant { key, branch: "b".parse().unwrap(), own: true };
        let pending = |reason: &str| Resolution::of(Outcome::NotYet, Some(meant.clone()), reason);
        let with = |reason: &str, at: u64| {
            stillness.patience_with(&pending(reason), Moment::after_start(seconds(at))).as_secs()
        };
        assert_eq!([with("a", 0), with("a", 900), with("a", 3600), with("a", 18_000)], [15, 15, 60, 300]);
        assert_eq!([with("a", 90_000), with("b", 90_001), with("a", 90_002)], [300, 15, 15]);
        let settled = Resolution { is_final: true, ..pending("a") };
        assert_eq!(stillness.patience_with(&settled, Moment::START), seconds(300));
    }
}

//! What one generator was asked, counted where it is answered.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::metrics::histogram::Histogram;

use crate::domain::Standing;

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a 200.
    Answered(Standing),
    /// With an error that is ours or an upstream's: Argo CD leaves everything as it is for three minutes.
    Refused,
    /// With a 4xx: whoever asked has to mend it.
    Bad,
}

/// The words for them.
const OUTCOMES: [&str; 6] = ["fresh", "held", "not-yet", "unknown", "refused", "bad"];

/// The upper bounds of the time that a look takes, in seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// The upper bounds of how old what GitHub said is, in seconds.
const AGES: [f64; 7] = [5.0, 15.0, 30.0, 60.0, 300.0, 600.0, 3600.0];

/// The questions to one generator since the process began.
#[derive(Debug)]
pub struct Counts {
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// Those that were answered from memory.
    warm: AtomicU64,
    /// How long the others took.
    pub(super) took: Histogram,
    /// How old what GitHub said was then.
    pub(super) ages: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            warm: AtomicU64::default(),
            took: Histogram::new(SECONDS),
            ages: Histogram::new(AGES),
        }
    }
}

impl Counts {
    /// Counts an answer that was given again from memory.
    pub fn again(&self, standing: Standing) {
        self.warm.fetch_add(1, Ordering::Relaxed);
        self.count(Outcome::Answered(standing));
    }

    /// Counts a question that was looked at, and how long that took.
    pub fn looked(&self, outcome: Outcome, took: Duration) {
        self.count(outcome);
        self.took.observe(took.as_secs_f64());
    }

    /// Counts how old what GitHub had said was when it was answered from.
    pub fn age(&self, age: Duration) {
        self.ages.observe(age.as_secs_f64());
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(&self.outcomes).map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    pub(super) fn warm(&self) -> u64 {
        self.warm.load(Ordering::Relaxed)
    }

    fn count(&self, outcome: Outcome) {
        let index = match outcome {
            Outcome::Answered(Standing::Fresh) => 0,
            Outcome::Answered(Standing::Held) => 1,
            Outcome::Answered(Standing::NotYet) => 2,
            Outcome::Answered(Standing::Unknown) => 3,
            Outcome::Refused => 4,
            Outcome::Bad => 5,
        };
        self.outcomes[index].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_under_its_own_word() {
        let counts = Counts::default();
        for standing in [Standing::Fresh, Standing::Held, Standing::NotYet, Standing::Unknown] {
            counts.looked(Outcome::Answered(standing), Duration::from_millis(1));
            let index = OUTCOMES.iter().position(|word| *word == standing.as_str()).unwrap();
            assert_eq!(counts.outcomes().nth(index), Some((standing.as_str(), 1)));
        }
        counts.looked(Outcome::Refused, Duration::from_secs(9));
        counts.looked(Outcome::Bad, Duration::ZERO);
        counts.again(Standing::Fresh);
        assert_eq!(counts.outcomes().map(|(_, count)| count).collect::<Vec<_>>(), [2, 1, 1, 1, 1, 1]);
        assert_eq!(counts.warm(), 1);
    }
}

//! How old a look at the registry may be where what it saw may still change: a tag that was absent, or one that moves.
//!
//! An image comes while its commit's CI runs or soon after it. So what counts is how long ago CI said something about
//! the commit, by GitHub's own clock: at first a look is due as often as GitHub is read, and later ever more rarely.
//! A check that is run again makes its commit young again. People who ask for an explanation get a new look.

use std::time::Duration;

use crate::clock::Moment;

/// For how long a commit is young.
const YOUNG: Duration = Duration::from_mins(10);
/// The longest time between two looks on the first day, and at a tag that moves.
const SLOWLY: Duration = Duration::from_mins(10);
/// From when on a commit is old, and the time between two looks then.
const OLD: (Duration, Duration) = (Duration::from_hours(24), Duration::from_hours(1));
/// GitHub's timestamps are whole seconds, and its answer took a moment.
const SLACK: Duration = Duration::from_secs(2);

/// The patience with one commit's images in one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When the question came.
    pub(super) asked: Moment,
    /// How long before that CI had said something about the commit last.
    pub(super) quiet_for: Duration,
    /// The shortest time between two looks.
    pub(super) pending: Duration,
    /// Whether everything is looked at anew.
    pub(super) thorough: bool,
}

impl Patience {
    /// The time between two looks at what is absent.
    pub(super) fn wait(self) -> Duration {
        let wait = if self.quiet_for < YOUNG {
            Duration::ZERO
        } else if self.quiet_for < OLD.0 {
            (self.quiet_for / 4).min(SLOWLY)
        } else {
            OLD.1
        };
        wait.max(self.pending)
    }

    /// Since when the look at an absent tag that names a commit must be.
    pub(super) fn absent_since(self) -> Moment {
        self.since(self.wait())
    }

    /// The same for a tag that moves, absent or not the commit's.
    pub(super) fn moving_since(self) -> Moment {
        self.since(self.wait().min(SLOWLY.max(self.pending)))
    }

    /// The same for a tag that is nobody's yet, and would only explain why another one is absent.
    pub(super) fn guess_since(self) -> Moment {
        self.since(OLD.0)
    }

    /// Since when the look at a tag that moves and proves nothing must be.
    pub(super) fn unproven_since(self) -> Moment {
        self.since(self.pending)
    }

    /// Since when the look at a tag that moves and is the commit's must be at least, whatever CI said.
    pub(super) fn safely_since(self) -> Moment {
        self.since(SLOWLY.max(self.pending))
    }

    /// Whether CI has said nothing since a look.
    pub(super) fn is_quiet_since(self, look: Moment) -> bool {
        self.asked.since(look) + SLACK < self.quiet_for
    }

    fn since(self, wait: Duration) -> Moment {
        if self.thorough { self.asked } else { self.asked - wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(quiet_for: Duration) -> Patience {
        let asked = Moment::after_start(Duration::from_hours(1000));
        Patience { asked, quiet_for, pending: Duration::from_secs(15), thorough: false }
    }

    #[test]
    fn old_absences_are_looked_for_rarely() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (quiet_for, wait, moving) in [
            (Duration::ZERO, 15, 15),
            (Duration::from_secs(599), 15, 15),
            (minutes(10), 150, 150),
            (minutes(20), 300, 300),
            (minutes(60), 600, 600),
            (minutes(23 * 60), 600, 600),
            (minutes(24 * 60), 3600, 600),
            (minutes(400 * 24 * 60), 3600, 600),
        ] {
            let patience = patience(quiet_for);
            assert_eq!(patience.wait(), Duration::from_secs(wait), "{quiet_for:?}");
            assert_eq!(patience.absent_since(), patience.asked - Duration::from_secs(wait));
            assert_eq!(patience.moving_since(), patience.asked - Duration::from_secs(moving));
            let thorough = Patience { thorough: true, ..patience };
            assert_eq!((thorough.absent_since(), thorough.moving_since()), (patience.asked, patience.asked));
        }
        let slower = Patience { pending: minutes(15), ..patience(minutes(20)) };
        assert_eq!((slower.wait(), slower.moving_since()), (minutes(15), slower.asked - minutes(15)));
    }

    #[test]
    fn a_look_is_worth_nothing_once_ci_said_something_later() {
        let patience = patience(Duration::from_secs(100));
        assert!(patience.is_quiet_since(patience.asked - Duration::from_secs(97)));
        assert!(!patience.is_quiet_since(patience.asked - Duration::from_secs(98)));
        assert!(!patience.is_quiet_since(patience.asked - Duration::from_secs(200)));
    }
}

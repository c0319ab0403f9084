//! The guard: when many items vanish at once, that is rather a mistake than a wish.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::{List, vanished},
    ledger::{Guarded, HeldBack},
};

/// When the guard holds an answer back: when more than `max_drop` of the items at the beginning of the window would be
/// gone, and there were at least `min_items`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// How many percent may vanish.
    pub max_drop: u8,
    /// How few items are not looked at.
    pub min_items: usize,
    /// How long it adds up what vanishes.
    pub window: Duration,
}

/// What the guard says to an answer that is another one than the former.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It may be given.
    Pass(Guarded),
    /// The former one is given instead.
    Hold(HeldBack, Guarded),
}

impl Guard {
    /// Judges an answer. A window begins with what was answered before something vanished; it stays open as long as
    /// something is held back, so that what was too much is not allowed by waiting.
    pub(super) fn judge(&self, known: &Guarded, former: &List, now: &List, at: DateTime<Utc>) -> Judged {
        let is_open = |since: DateTime<Utc>| {
            known.held_back.is_some() || (at - since).to_std().map_or(true, |passed| passed < self.window)
        };
        let (since, base) = match &known.window {
            Some((since, base)) if is_open(*since) => (*since, base),
            _ => (at, former),
        };
        let (vanish, of) = (vanished(base, now), base.len());
        if of < self.min_items || vanish * 100 <= usize::from(self.max_drop) * of {
            let window = (vanish > 0).then(|| (since, base.clone()));
            return Judged::Pass(Guarded { window, ..Guarded::default() });
        }
        if known.released.is_some_and(|released| vanish <= released) {
            return Judged::Pass(Guarded::default());
        }
        let held_back = HeldBack { vanish, of };
        let window = Some((since, base.clone()));
        Judged::Hold(held_back, Guarded { window, held_back: Some(held_back), released: known.released })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ops::Range};

    use proptest::prelude::*;

    use super::*;

    const GUARD: Guard = Guard { max_drop: 20, min_items: 5, window: Duration::from_mins(10) };

    fn tenants(range: Range<u32>) -> List {
        let tenant = |number: u32| BTreeMap::from([("tenant".to_owned(), number.to_string())]);
        List::said(range.map(tenant).collect())
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes)
    }

    /// What was answered in the end, and what is kept, after such answers at such minutes.
    fn after(begin: Range<u32>, answers: &[(i64, Range<u32>)]) -> (List, Guarded) {
        let mut state = (tenants(begin), Guarded::default());
        for (minute, answer) in answers {
            let now = tenants(answer.clone());
            state = match GUARD.judge(&state.1, &state.0, &now, at(*minute)) {
                Judged::Pass(guarded) => (now, guarded),
                Judged::Hold(_, guarded) => (state.0, guarded),
            };
        }
        state
    }

    #[test]
    fn a_fifth_may_go_and_no_more_within_the_window() {
        assert_eq!(after(0..10, &[(0, 0..8)]).0, tenants(0..8));
        assert_eq!(after(0..10, &[(0, 0..7)]).0, tenants(0..10));
        // In small steps it is no better, until the window is over.
        assert_eq!(after(0..10, &[(0, 0..9), (5, 0..8), (9, 0..7)]).0, tenants(0..8));
        assert_eq!(after(0..10, &[(0, 0..9), (5, 0..8), (10, 0..7)]).0, tenants(0..7));
        // Few are not looked at.
        assert!(after(0..4, &[(0, 0..0)]).0.is_empty());
        assert_eq!(after(0..5, &[(0, 0..0)]).0, tenants(0..5));
        assert_eq!(after(0..5, &[(0, 0..4)]).0, tenants(0..4));
        // What comes does not make up for what goes.
        assert_eq!(after(0..10, &[(0, 5..40)]).0, tenants(0..10));
        assert_eq!(after(0..10, &[(0, 0..40), (1, 0..32)]).0, tenants(0..32));
    }

    #[test]
    fn what_was_too_much_is_not_allowed_by_waiting() {
        let (held, guarded) = after(0..10, &[(0, 0..9), (1, 0..7), (60, 0..7), (600, 0..7)]);
        assert_eq!(held, tenants(0..9));
        assert_eq!(guarded.held_back, Some(HeldBack { vanish: 3, of: 10 }));
        // It ends by itself where the answer is a good one again.
        let (given, guarded) = after(0..10, &[(0, 0..2), (60, 0..10)]);
        assert_eq!((given, guarded), (tenants(0..10), Guarded::default()));
    }

    #[test]
    fn what_is_released_may_go_and_no_more() {
        let (former, guarded) = after(0..10, &[(0, 0..5)]);
        let released = Guarded { released: Some(5), ..guarded };
        assert_eq!(GUARD.judge(&released, &former, &tenants(0..5), at(30)), Judged::Pass(Guarded::default()));
        let more = GUARD.judge(&released, &former, &tenants(0..4), at(30));
        assert!(matches!(more, Judged::Hold(HeldBack { vanish: 6, of: 10 }, _)), "{more:?}");
    }

    proptest! {
        #[test]
        fn never_more_than_allowed_is_gone_at_once(begin in 0_u32..60, now in 0_u32..60) {
            let (given, _) = after(0..begin, &[(0, 0..now)]);
            let gone = usize::try_from(begin).unwrap().saturating_sub(given.len());
            prop_assert!(begin < 5 || gone * 5 <= usize::try_from(begin).unwrap());
            // And what is allowed is done.
            let wanted = begin.saturating_sub(now);
            prop_assert!(given == tenants(0..now) || (begin >= 5 && wanted * 5 > begin));
        }
    }
}

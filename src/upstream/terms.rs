//! On which terms a service is asked at the moment, for people: what we allow ourselves, and what it allows us.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Moment;

/// How long what was sent is counted.
const MINUTE: u64 = 60;

/// The terms of one credential at one service.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its host, or `GitHub`.
    pub host: Arc<str>,
    /// Whose they are; nothing while nobody was needed.
    pub account: Option<String>,
    /// What is sent, and what we allow ourselves.
    pub pace: PaceUse,
    /// What the service itself has said is left, if it says that here.
    pub quota: Option<Quota>,
    /// Why the credential rests, and until when.
    pub rests: Option<Trouble>,
    /// Why the service is left alone, and when it is tried next.
    pub open: Option<Trouble>,
}

/// What is wrong, and until when nothing is sent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In words, without any secret.
    pub why: Arc<str>,
    /// Until when.
    pub until: Moment,
}

/// How a pace is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceUse {
    /// Requests per second that are allowed.
    pub per_second: u32,
    /// Requests under way at the same time that are allowed.
    pub concurrent: u32,
    /// Those that are under way.
    pub under_way: usize,
    /// Those that were let through in the last minute.
    pub last_minute: u64,
    /// Until when the service has asked for nothing to be sent.
    pub paused_until: Option<Moment>,
}

/// What a service says that it allows, beside answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How much in all, where it says that.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: u64,
    /// In which time, where it says that.
    pub window: Option<Duration>,
    /// When it said so.
    pub seen_at: Moment,
}

/// Counts what happens in a minute, by the second.
#[derive(Debug, Default)]
pub(super) struct Minute(Mutex<VecDeque<(u64, u64)>>);

impl Minute {
    /// It happens once more.
    pub(super) fn add(&self, now: Moment) {
        let at = now.since_start().as_secs();
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seconds.back_mut() {
            Some((last, count)) if *last >= at => *count += 1,
            _ => seconds.push_back((at, 1)),
        }
        forget(&mut seconds, at);
    }

    /// How often it has happened.
    pub(super) fn count(&self, now: Moment) -> u64 {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut seconds, now.since_start().as_secs());
        seconds.iter().map(|(_, count)| count).sum()
    }
}

fn forget(seconds: &mut VecDeque<(u64, u64)>, now: u64) {
    while seconds.front().is_some_and(|(at, _)| at + MINUTE <= now) {
        seconds.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_counted_and_no_more() {
        let second = |second| Moment::after_start(Duration::from_secs(second));
        let minute = Minute::default();
        for at in [10, 10, 11, 40, 69] {
            minute.add(second(at));
        }
        assert_eq!(minute.count(second(69)), 5);
        assert_eq!(minute.count(second(70)), 3);
        assert_eq!(minute.count(second(99)), 2);
        assert_eq!(minute.count(second(1000)), 0);
        for at in 1000..2000 {
            minute.add(second(at));
        }
        assert!(minute.0.lock().unwrap().len() <= 60);
    }
}

//! The refusals of a registry's token servers, counted.
//!
//! Whoever goes on asking gets an address banned: at GitLab by 30 refusals in 3 minutes, for an hour, whatever each was
//! about. A credential that is wrong rests by itself; this is for many repositories that are refused one by one.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Moment;

/// How many there may be in how much time. A few may be under way besides, and another replica behind the same address.
const MOST: (usize, Duration) = (10, Duration::from_mins(3));

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<VecDeque<Moment>>);

impl Refusals {
    /// Counts one.
    pub(super) fn note(&self, now: Moment) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() == MOST.0 {
            refusals.pop_front();
        }
        refusals.push_back(now);
    }

    /// Whether one more may be risked; else from when on.
    pub(super) fn check(&self, now: Moment) -> Result<(), Moment> {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = refusals.front().filter(|_| refusals.len() == MOST.0);
        match oldest.map(|oldest| *oldest + MOST.1) {
            Some(until) if until > now => Err(until),
            _ => Ok(()),
        }
    }
}

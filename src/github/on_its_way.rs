//! What is on its way from GitHub, so that who asks for it waits instead of asking as well.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::By;
use crate::{
    clock::Moment,
    domain::{Listing, Repo},
    upstream::urgency::{self, Urgency},
};

/// Of how many repositories something is remembered at least.
const MOST_WAYS: usize = 1000;

/// What is on its way, by repository.
#[derive(Debug, Default)]
pub(super) struct OnItsWay(Mutex<HashMap<Repo, watch::Sender<Way>>>);

/// What is on its way of one repository.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) listing: Option<Arc<Listing>>,
    /// When the sweep that is under way began.
    pub(super) sweep: Option<Moment>,
    /// Whether it is yet to be said what is read of its first page.
    pub(super) unplanned: bool,
    /// The line whose question began it: that one asks for itself.
    pub(super) begun_by: Option<By>,
    /// When each was promised, and how urgent that is.
    pub(super) promised: HashMap<By, (Moment, Urgency)>,
    /// No sweep before that.
    pub(super) rests_until: Moment,
    pub(super) odd: HashMap<u64, Moment>,
}

impl Way {
    fn may_bring(&self, by: &By, not_before: Moment) -> bool {
        self.promised.get(by).is_some_and(|(made, _)| *made >= not_before)
            || self.unplanned
                && self.begun_by.as_ref() != Some(by)
                && self.sweep.is_some_and(|began| began >= not_before)
    }
}

/// Whether somebody brings something, or waits for it.
fn is_busy(way: &watch::Sender<Way>) -> bool {
    let state = way.borrow();
    way.receiver_count() > 0 || state.sweep.is_some() || !state.promised.is_empty()
}

impl OnItsWay {
    pub(super) fn of(&self, repo: &Repo) -> watch::Sender<Way> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = all.get(repo) {
            return way.clone();
        }
        if all.len() >= MOST_WAYS {
            // Of what was not there, nothing was listed.
            all.retain(|_, way| is_busy(way) || way.borrow().listing.is_some());
        }
        if all.len() >= MOST_WAYS {
            all.retain(|_, way| is_busy(way));
        }
        let way = watch::Sender::default();
        all.insert(repo.clone(), way.clone());
        way
    }

    /// Completes once nothing is on its way any more that may bring this. It is as urgent from now on as who waits.
    pub(super) async fn arrived(&self, repo: &Repo, by: &By, not_before: Moment) {
        let way = self.of(repo);
        let promised = way.borrow().promised.get(by).map(|(_, urgency)| urgency.clone());
        if let Some(promised) = promised.filter(|_| !urgency::current().is_ahead()) {
            promised.raise();
        }
        // The sender is here, so it cannot fail.
        let _ = way.subscribe().wait_for(|way| !way.may_bring(by, not_before)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_new_names_are_not_remembered_for_good() {
        let ways = OnItsWay::default();
        let of = |number: usize| ways.of(&format!("myorg/{number}").parse().unwrap());
        let waited_for = of(0).subscribe();
        let swept = of(1);
        swept.send_modify(|way| way.sweep = Some(Moment::START));
        for number in 2..5000 {
            of(number);
            assert!(ways.0.lock().unwrap().len() <= MOST_WAYS, "{number}");
        }
        assert!(waited_for.same_channel(&of(0).subscribe()));
        assert!(swept.same_channel(&of(1)));
    }
}

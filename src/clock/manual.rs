//! A clock that is moved by hand, for tests, benches and simulations in virtual time.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::{Clock, Moment};

/// A clock that stands still until [`ManualClock::advance`] moves it.
#[derive(Clone, Debug)]
pub struct ManualClock {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Debug)]
struct State {
    now: Moment,
    wall: DateTime<Utc>,
    /// Until when each waiting task sleeps.
    sleepers: Vec<Moment>,
}

impl ManualClock {
    /// A clock that stands at `wall`.
    pub fn new(wall: DateTime<Utc>) -> Self {
        let state = State { now: Moment::after_start(Duration::from_secs(1_000_000)), wall, sleepers: Vec::new() };
        Self { state: Arc::new(watch::Sender::new(state)) }
    }

    /// Moves both scales forward and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        self.state.send_modify(|state| {
            state.now = state.now + by;
            state.wall += TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        });
    }

    /// Moves the wall clock alone, as a clock that was set wrong and is put right.
    pub fn jump_wall(&self, by: TimeDelta) {
        self.state.send_modify(|state| state.wall += by);
    }

    /// Completes once at least `count` tasks wait for this clock.
    pub async fn sleeping(&self, count: usize) {
        let mut changes = self.state.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = changes.wait_for(|state| state.sleepers.len() >= count).await;
    }

    /// Completes once nobody waits for this clock: nothing is under way whose time could run out.
    pub async fn idle(&self) {
        self.sleeping_at_most(0).await;
    }

    /// Completes once at most `count` tasks wait for this clock: idle, but for those that always do.
    pub async fn sleeping_at_most(&self, count: usize) {
        let mut changes = self.state.subscribe();
        let _ = changes.wait_for(|state| state.sleepers.len() <= count).await;
    }

    /// Completes once nobody waits for a moment that has come: whoever was woken has had its turn.
    pub async fn caught_up(&self) {
        let mut changes = self.state.subscribe();
        let _ = changes.wait_for(|state| state.sleepers.iter().all(|until| *until > state.now)).await;
    }

    /// Completes once a task waits for a moment that is at most `limit` away, and tells how far it is.
    pub async fn sleeping_within(&self, limit: Duration) -> Duration {
        let mut changes = self.state.subscribe();
        let nearest = |state: &State| state.sleepers.iter().map(|until| until.since(state.now)).min();
        let state = changes.wait_for(|state| nearest(state).is_some_and(|away| away <= limit)).await;
        state.ok().and_then(|state| nearest(&state)).unwrap_or_default()
    }
}

impl Clock for ManualClock {
    /// Every look at the clock is a little later than the one before, as with a real one.
    fn now(&self) -> Moment {
        let mut now = Moment::START;
        self.state.send_if_modified(|state| {
            state.now = state.now + Duration::from_nanos(1);
            now = state.now;
            false
        });
        now
    }

    fn wall(&self) -> DateTime<Utc> {
        self.state.borrow().wall
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let mut changes = state.subscribe();
            if state.borrow().now >= until {
                return;
            }
            let _sleeper = Sleeper::new(&state, until);
            let _ = changes.wait_for(|state| state.now >= until).await;
        })
    }
}

/// Lists a waiting task for as long as it waits, also when it is dropped.
struct Sleeper<'a> {
    state: &'a watch::Sender<State>,
    until: Moment,
}

impl<'a> Sleeper<'a> {
    fn new(state: &'a watch::Sender<State>, until: Moment) -> Self {
        state.send_modify(|state| state.sleepers.push(until));
        Self { state, until }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            if let Some(index) = state.sleepers.iter().position(|until| *until == self.until) {
                state.sleepers.swap_remove(index);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_moment_has_come() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let until = clock.now() + Duration::from_secs(5);
        let sleeper = tokio::spawn(clock.sleep_until(until));
        clock.sleeping(1).await;
        clock.advance(Duration::from_secs(4));
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        clock.idle().await;
        assert_eq!(clock.wall(), DateTime::UNIX_EPOCH + TimeDelta::seconds(5));
    }
}

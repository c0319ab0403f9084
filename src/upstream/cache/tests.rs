use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::DateTime;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    clock::{Clock as _, ManualClock},
    upstream::Kind,
};

struct Setup {
    clock: ManualClock,
    cache: Arc<Cache<&'static str, u32>>,
    loads: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
}

fn setup() -> Setup {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let cache = Arc::new(Cache::new(100, Arc::new(clock.clone())));
    Setup { clock, cache, loads: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
}

impl Setup {
    async fn get(&self, not_before: Moment) -> Result<u32, UpstreamError> {
        let loads = Arc::clone(&self.loads);
        self.cache
            .get("key", not_before, move || {
                let loads = Arc::clone(&loads);
                async move { Ok(loads.fetch_add(1, Ordering::SeqCst)) }
            })
            .await
    }

    /// A caller whose load waits for the gate.
    fn slow(&self, not_before: Moment) -> tokio::task::JoinHandle<Result<u32, UpstreamError>> {
        let (cache, loads, gate) = (Arc::clone(&self.cache), Arc::clone(&self.loads), Arc::clone(&self.gate));
        tokio::spawn(async move {
            cache
                .get("key", not_before, move || {
                    let (loads, gate) = (Arc::clone(&loads), Arc::clone(&gate));
                    async move {
                        let load = loads.fetch_add(1, Ordering::SeqCst);
                        gate.acquire().await.unwrap().forget();
                        Ok(load)
                    }
                })
                .await
        })
    }
}

#[tokio::test]
async fn fresh_enough_is_not_asked_again() {
    let setup = setup();
    let start = setup.clock.now();
    assert_eq!(setup.get(start).await, Ok(0));
    assert_eq!(setup.get(start).await, Ok(0));
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(setup.get(start).await, Ok(0));
    assert_eq!(setup.get(setup.clock.now()).await, Ok(1));
}

#[tokio::test]
async fn fifty_callers_are_one_load() {
    let setup = setup();
    let start = setup.clock.now();
    let callers: Vec<_> = (0..50).map(|_| setup.slow(start)).collect();
    setup.gate.add_permits(50);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(0));
    }
    assert_eq!(setup.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_nothing() {
    let setup = setup();
    let start = setup.clock.now();
    let caller = setup.slow(start);
    while setup.loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    setup.gate.add_permits(1);
    assert_eq!(setup.get(start).await, Ok(0));
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_does_not_survive_it() {
    let setup = setup();
    let early = setup.slow(setup.clock.now());
    while setup.loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    setup.clock.advance(Duration::from_secs(1));
    let invalidated = setup.clock.now();
    let late = setup.slow(invalidated);
    setup.gate.add_permits(2);
    assert_eq!(early.await.unwrap(), Ok(0));
    assert_eq!(late.await.unwrap(), Ok(1));
    assert_eq!(setup.get(invalidated).await, Ok(1));
}

/// A load that is refused while nobody waits for it, and else waits for the gate.
async fn refusing(setup: &Setup, not_before: Moment) -> Result<u32, UpstreamError> {
    let (loads, gate) = (Arc::clone(&setup.loads), Arc::clone(&setup.gate));
    let load = move || {
        let (loads, gate) = (Arc::clone(&loads), Arc::clone(&gate));
        async move {
            let load = loads.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            if urgency::current().is_ahead() {
                return Err(UpstreamError::only_ahead("x", Moment::START, "kept"));
            }
            Ok(load)
        }
    };
    setup.cache.get("key", not_before, load).await
}

#[tokio::test]
async fn what_is_refused_to_nobody_is_not_known() {
    let setup = setup();
    let start = setup.clock.now();
    setup.gate.add_permits(8);
    let refused = urgency::ahead(refusing(&setup, start)).await.unwrap_err();
    assert!(refused.only_ahead);
    assert_eq!(setup.cache.peek(&"key").await, None);
    assert_eq!(refusing(&setup, start).await, Ok(1));
    // What is known stays known.
    setup.clock.advance(Duration::from_secs(1));
    let later = setup.clock.now();
    assert!(urgency::ahead(refusing(&setup, later)).await.unwrap_err().only_ahead);
    assert_eq!(refusing(&setup, start).await, Ok(1));
    assert_eq!(refusing(&setup, later).await, Ok(3));
    assert!(setup.cache.loads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_question_raises_the_load_that_it_joins() {
    let setup = Arc::new(setup());
    let start = setup.clock.now();
    let spawn = |urgency: Urgency| {
        let setup = Arc::clone(&setup);
        tokio::spawn(urgency.scope(async move { refusing(&setup, start).await }))
    };
    let ahead = spawn(Urgency::ahead());
    while setup.loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let question = spawn(Urgency::question());
    while setup.cache.loads.lock().unwrap().get("key").is_none_or(|(urgency, _)| urgency.is_ahead()) {
        tokio::task::yield_now().await;
    }
    setup.gate.add_permits(1);
    assert_eq!((ahead.await.unwrap(), question.await.unwrap()), (Ok(0), Ok(0)));
}

#[tokio::test]
async fn who_is_raised_raises_what_he_waits_for() {
    let setup = Arc::new(setup());
    let start = setup.clock.now();
    let urgency = Urgency::ahead();
    let waiting = {
        let setup = Arc::clone(&setup);
        tokio::spawn(urgency.clone().scope(async move { refusing(&setup, start).await }))
    };
    while setup.loads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    urgency.raise();
    while setup.cache.loads.lock().unwrap().get("key").is_none_or(|(urgency, _)| urgency.is_ahead()) {
        tokio::task::yield_now().await;
    }
    setup.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Ok(0));
}

#[tokio::test]
async fn failures_live_as_long_as_their_kind_says() {
    let setup = setup();
    let loads = Arc::clone(&setup.loads);
    let fail = move || {
        loads.fetch_add(1, Ordering::SeqCst);
        async { Err(UpstreamError::new("x", Kind::Unavailable, "down")) }
    };
    for _ in 0..3 {
        assert!(setup.cache.get("key", setup.clock.now(), fail.clone()).await.is_err());
    }
    assert_eq!(setup.loads.load(Ordering::SeqCst), 1);
    setup.clock.advance(Duration::from_secs(2));
    assert!(setup.cache.get("key", Moment::START, fail).await.is_err());
    assert_eq!(setup.loads.load(Ordering::SeqCst), 2);
}

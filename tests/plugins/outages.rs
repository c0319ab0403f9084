//! Plugins that are down, slow or overrun: each hurts its own answers only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lastgreen::{clock::Clock as _, parts::plugins::PluginPart};
use tokio::task::JoinHandle;

use crate::{
    answers::At,
    double::{Double, answer, items, two},
    stage::branch,
};

/// A plugin that can be told to fail.
async fn moody(
    fails: impl Fn() -> Option<axum::http::Response<axum::body::Body>> + Clone + Send + Sync + 'static,
) -> (Double, Arc<AtomicBool>) {
    let failing = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&failing);
    let double = Double::start(move |_| if told.load(Ordering::SeqCst) { fails() } else { Some(two()) }).await;
    (double, failing)
}

fn asking(at: &Arc<At>) -> JoinHandle<String> {
    let at = Arc::clone(at);
    tokio::spawn(async move { at.problem().await })
}

#[tokio::test]
async fn one_that_is_slow_is_waited_for_no_longer_than_is_said() {
    let (double, failing) = moody(|| None).await;
    let at = Arc::new(At::with(&double, |options| options.timeout = Some("700ms".parse().unwrap())));
    let asked = asking(&at);
    while double.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    at.clock.advance(Duration::from_millis(699));
    at.clock.caught_up().await;
    assert!(!asked.is_finished());
    at.clock.advance(Duration::from_millis(1));
    assert_eq!(asked.await.unwrap(), "no answer in time");
    failing.store(false, Ordering::SeqCst);
    assert_eq!(at.ask().await, Ok(items()));
}

#[tokio::test]
async fn nobody_waits_longer_than_he_may() {
    let (double, _) = moody(|| None).await;
    let at = Arc::new(At::with(&double, |options| options.timeout = Some("10s".parse().unwrap())));
    let asked = asking(&at);
    while double.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    at.clock.advance(Duration::from_secs(9));
    assert_eq!(asked.await.unwrap(), "no answer in time");
}

#[tokio::test]
async fn one_that_is_down_is_left_alone_and_asked_again_when_it_may_be_up() {
    let (double, failing) = moody(|| Some(answer(502, ""))).await;
    let other = Double::start(|_| Some(two())).await;
    let (at, beside) = (At::new(&double), At::new(&other));
    for _ in 0..10 {
        assert_eq!(at.problem().await, "it answered 502");
        assert_eq!(beside.ask().await, Ok(items()), "another one has a breaker of its own");
    }
    assert_eq!(double.asked().len(), 2, "the others were told at once");
    failing.store(false, Ordering::SeqCst);
    assert_eq!(at.problem().await, "it answered 502");
    at.clock.advance(Duration::from_secs(1));
    assert_eq!(at.ask().await, Ok(items()));
    assert!(at.part.well_since().is_some());
}

#[tokio::test]
async fn one_that_is_not_there_is_told_so() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let double = Double::start(|_| Some(two())).await;
    let at = At::with(&double, |options| {
        options.place = lastgreen::parts::plugins::PluginPlace::Url(format!("http://127.0.0.1:{port}"));
    });
    assert_eq!(at.problem().await, "connection refused");
}

#[tokio::test]
async fn one_that_asks_for_a_pause_gets_it() {
    let (double, failing) = moody(|| {
        let mut response = answer(429, "");
        response.headers_mut().insert("retry-after", "30".parse().unwrap());
        Some(response)
    })
    .await;
    let at = At::new(&double);
    for _ in 0..3 {
        assert_eq!(at.problem().await, "it asked us to slow down (429)");
    }
    assert_eq!(double.asked().len(), 1);
    failing.store(false, Ordering::SeqCst);
    at.clock.advance(Duration::from_secs(29));
    assert_eq!(at.problem().await, "it asked us to slow down (429)");
    at.clock.advance(Duration::from_secs(1));
    assert_eq!(at.ask().await, Ok(items()));
}

#[tokio::test]
async fn many_questions_at_once_are_all_answered() {
    let double = Double::start(|_| Some(two())).await;
    let at = At::new(&double);
    let part: &PluginPart = &at.part;
    let until = at.clock.now() + Duration::from_secs(9);
    let sets: Vec<_> = (0..100).map(|number| format!("set-{number}")).collect();
    let parameters = branch();
    let all = sets.iter().map(|set| part.items(&parameters, set, until));
    for said in futures_util::future::join_all(all).await {
        assert_eq!(said, Ok(items()));
    }
    assert_eq!(double.asked().len(), 100);
}

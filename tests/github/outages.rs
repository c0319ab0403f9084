//! GitHub is down: who waits, who asks, and whether it is said to be well.

use std::{sync::Arc, time::Duration};

use lastgreen::{
    clock::Clock as _,
    upstream::{Kind, UpstreamError},
};
use lastgreen_sim::{Fault, Target, What};
use tokio::task::JoinHandle;

use crate::stage::{Stage, branch, commit, private_world, repo, world};

const NO_ANSWER: &str = "GitHub: no answer in time";

/// Asks in a task of its own; further commits make it another question.
fn asking(stage: &Stage, number: u32) -> JoinHandle<Result<(), UpstreamError>> {
    let (github, now) = (Arc::clone(&stage.github), stage.clock.now());
    tokio::spawn(async move { github.snapshot(branch(&format!("feature-{number}")), now).await.map(drop) })
}

/// Whether a further question is answered.
async fn is_answered(stage: &Stage, number: u32) -> bool {
    asking(stage, number).await.unwrap().is_ok()
}

#[tokio::test]
async fn what_hangs_ends_by_the_clock() {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Hang));
    let first = asking(&stage, 1);
    stage.sim.wait_hanging(1).await;
    stage.advance(Duration::from_secs(11));
    assert!(!first.is_finished());
    stage.advance(Duration::from_secs(1));
    let error = first.await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (Kind::Unavailable, NO_ANSWER));
    // Others have the same answer at once, over either API.
    assert_eq!(stage.failure().await.to_string(), NO_ANSWER);
    let rest = stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap_err();
    assert_eq!(rest.to_string(), NO_ANSWER);
    assert_eq!(stage.sim.counts().github(), 1);
    stage.sim.clear_faults();
    stage.advance(Duration::from_secs(1));
    stage.branch("feature").await.unwrap();
    stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap();
}

#[tokio::test]
async fn a_turn_that_is_waited_for_is_not_used_when_github_is_down() {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Hang));
    // As many as the pace allows at once, and as many again that wait for their turn.
    let asked: Vec<_> = (1..=100).chain(1001..=1100).map(|number| asking(&stage, number)).collect();
    stage.sim.wait_hanging(100).await;
    stage.advance(Duration::from_secs(12));
    for one in asked {
        assert_eq!(one.await.unwrap().unwrap_err().to_string(), NO_ANSWER);
    }
    assert_eq!(stage.sim.counts().github(), 100);
}

#[tokio::test]
async fn a_token_that_is_being_made_is_not_waited_for_while_github_hangs() {
    let stage = Stage::app(private_world()).await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Hang));
    let first = asking(&stage, 1);
    stage.sim.wait_hanging(1).await;
    stage.advance(Duration::from_secs(10));
    assert_eq!(stage.failure().await.to_string(), NO_ANSWER);
    assert!(!first.is_finished());
    assert_eq!(stage.sim.counts().github(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_delays_nobody_for_long() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.advance(Duration::from_mins(56));
    stage.sim.fail(Fault::always(Target::Rest("/app".to_owned()), What::Hang));
    let first = asking(&stage, 1);
    stage.sim.wait_hanging(1).await;
    stage.advance(Duration::from_secs(12));
    assert!(first.await.unwrap().is_err());
    // The old token serves, and its renewal is left alone for a while.
    stage.advance(Duration::from_secs(1));
    for number in 2..20 {
        assert!(is_answered(&stage, number).await, "{number}");
        stage.advance(Duration::from_secs(1));
    }
    assert_eq!(stage.sim.counts().tokens_minted, 2);
    stage.sim.clear_faults();
    stage.advance(Duration::from_secs(30));
    assert!(is_answered(&stage, 20).await);
    assert_eq!(stage.sim.counts().tokens_minted, 3);
}

#[tokio::test]
async fn github_is_well_unless_the_latest_question_says_otherwise() {
    let error = |kind: &str| What::GraphqlErrorIn200 {
        kind: kind.to_owned(),
        message: "no".to_owned(),
        path: "repository".to_owned(),
    };
    for what in [
        What::Status(502, String::new()),
        What::Status(401, String::new()),
        What::Status(403, "{}".to_owned()),
        What::SecondaryLimit,
        What::RateLimited200,
        What::NotJson,
        What::ConnectionReset,
        error("INTERNAL"),
        error("FORBIDDEN"),
        error("NOT_FOUND"),
    ] {
        let stage = Stage::new(world()).await;
        assert!(stage.github.well_since(&repo()).is_some(), "never asked");
        stage.sim.fail(Fault::always(Target::GitHub, what.clone()));
        stage.failure().await;
        assert!(stage.github.well_since(&repo()).is_none(), "{what:?}");
        stage.sim.clear_faults();
        stage.advance(Duration::from_mins(5));
        assert!(stage.github.well_since(&repo()).is_none(), "{what:?}: nobody has asked since");
        stage.branch("feature").await.unwrap();
        assert!(stage.github.well_since(&repo()).is_some(), "{what:?}");
    }
}

#[tokio::test]
async fn what_concerns_one_repository_is_not_held_against_another() {
    let stage = Stage::new(world()).await;
    let other = "myorg/other".parse().unwrap();
    let ask = lastgreen::github::Ask { repo: other, ..branch("feature") };
    stage.github.snapshot(ask.clone(), crate::stage::NEVER).await.unwrap_err();
    assert!(stage.github.well_since(&ask.repo).is_none());
    assert!(stage.github.well_since(&repo()).is_some());
    // A limit concerns all.
    stage.sim.fail(Fault::once(Target::GitHub, What::SecondaryLimit));
    stage.advance(Duration::from_secs(15));
    stage.github.snapshot(ask, stage.clock.now()).await.unwrap_err();
    assert!(stage.github.well_since(&repo()).is_none());
    stage.advance(Duration::from_mins(1));
    assert!(stage.github.well_since(&repo()).is_some());
}

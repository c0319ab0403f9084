//! What answers cost: requests to GitHub and to the registry, and round trips.

use lastgreen_sim::{Service, sha};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

async fn green_head() -> Stage {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage
}

#[tokio::test]
async fn a_cold_question_is_one_request_each_and_a_warm_one_none() {
    let stage = green_head().await;
    stage.ask("feature").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    for _ in 0..10 {
        stage.ask("feature").await;
        stage.pass(20);
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn with_the_head_known_github_and_the_registry_are_asked_at_once() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    stage.sim.hold(Service::Registry);
    let answer = stage.asking(json!({"branch": "feature", "head_sha": sha("a1")}));
    // Nobody has answered anything yet, and everything was asked.
    stage.sim.wait_for(|counts| counts.graphql == 1 && counts.registry_head == 2).await;
    stage.sim.release(Service::GitHub);
    stage.sim.release(Service::Registry);
    assert_eq!(answer.await.unwrap().standing(), "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    stage.ask_head("feature", "a1").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn fifty_callers_at_once_cost_what_one_costs() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    let answers: Vec<_> = (0..50).map(|_| stage.asking(json!({"branch": "feature"}))).collect();
    stage.sim.wait_for(|counts| counts.graphql == 1).await;
    stage.sim.release(Service::GitHub);
    for answer in answers {
        assert_eq!(answer.await.unwrap().standing(), "fresh");
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_nothing() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    let answer = stage.asking(json!({"branch": "feature"}));
    stage.sim.wait_for(|counts| counts.graphql == 1).await;
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
    stage.sim.release(Service::GitHub);
    // The abandoned work goes on to the registry by itself.
    stage.sim.wait_for(|counts| counts.registry_head == 2).await;
    stage.ask("feature").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_missing_tag_costs_one_request() {
    let stage = green_head().await;
    stage.ask("feature").await;
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(301);
    stage.asked();
    stage.ask("feature").await;
    // Both images of a2 are missing; that their repositories exist is known from a1's.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head, asked.registry()), (1, 2, 2));
}

#[tokio::test]
async fn a_pending_head_is_asked_again_after_pending_and_a_final_one_after_settled() {
    let stage = green_head().await;
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    stage.ask("feature").await;
    stage.asked();
    stage.pass(14);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 0);
    stage.pass(2);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 1);
    stage.images("a2");
    stage.sim.world(|world| world.clear_checks(REPO, "a2"));
    stage.green("a2");
    assert_eq!(stage.ask("feature").await.commit(), sha("a2"));
    stage.asked();
    stage.pass(299);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 0);
    stage.pass(2);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 1);
}

#[tokio::test]
async fn a_question_by_number_costs_the_same() {
    let stage = green_head().await;
    stage.ask_number("feature", 1).await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

//! Answers that are given again as they are: on what conditions, and that they look at nothing.
//!
//! Whoever goes the long way notes that the line was asked; a warm answer does not.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use lastgreen_sim::{Fault, Target, What, sha};
use serde_json::json;

use crate::stage::{Digests, REPO, Reply, Setup, Stage, send};

/// A stage whose ledger is trusted, with a final head that was asked for often enough to be warm.
async fn warm() -> (Stage, Digests) {
    let stage = Stage::new(Setup { trust_after: "1s", ..Setup::default() }).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    let digests = stage.built("a1");
    // The first answer is recorded, the second one is kept.
    for _ in 0..2 {
        stage.ask("feature").await.is(&digests, "fresh");
    }
    stage.asked();
    (stage, digests)
}

/// Asks about `feature` a second later, and tells whether that was the long way.
async fn goes_the_long_way(stage: &Stage) -> (bool, Reply) {
    stage.pass(1);
    let before = stage.asked_at(1).await;
    let reply = stage.ask("feature").await;
    (stage.asked_at(1).await > before, reply)
}

#[tokio::test]
async fn a_warm_answer_is_the_same_and_looks_at_nothing() {
    let (stage, digests) = warm().await;
    for _ in 0..10 {
        let (long, reply) = goes_the_long_way(&stage).await;
        assert!(!long);
        reply.is(&digests, "fresh");
        assert_eq!((reply.commit(), reply.reason()), (&*sha("a1"), ""));
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
    // Other bytes are another question.
    stage.ask_head("feature", "a1").await.is(&digests, "fresh");
    assert_eq!(stage.ask("other").await.standing(), "not-yet");
}

#[tokio::test]
async fn it_is_not_given_longer_than_a_head_may_be_old() {
    let (stage, digests) = warm().await;
    stage.pass(297);
    assert!(!goes_the_long_way(&stage).await.0);
    stage.push("feature", "a2");
    stage.pass(2);
    let (long, reply) = goes_the_long_way(&stage).await;
    assert!(long);
    assert_eq!(stage.asked().github(), 1);
    // That head is pending: it is looked at every 15 seconds.
    reply.is(&digests, "fresh");
    assert!(reply.reason().starts_with(&sha("a2")[..7]), "{}", reply.reason());
    stage.pass(13);
    assert!(!goes_the_long_way(&stage).await.0);
    stage.pass(1);
    assert!(goes_the_long_way(&stage).await.0);
    assert_eq!(stage.asked().github(), 1);
}

#[tokio::test]
async fn what_is_recorded_for_any_line_ends_it() {
    let (stage, digests) = warm().await;
    stage.pull(2, "other", "b1");
    stage.built("b1");
    assert!(!goes_the_long_way(&stage).await.0);
    stage.ask("other").await;
    let (long, reply) = goes_the_long_way(&stage).await;
    assert!(long);
    reply.is(&digests, "fresh");
    assert!(!goes_the_long_way(&stage).await.0);
}

#[tokio::test]
async fn a_forgotten_line_is_not_answered_from_memory() {
    let (stage, digests) = warm().await;
    stage.forget_line(1).await;
    // It is looked for again, and recorded.
    stage.ask("feature").await.is(&digests, "fresh");
    assert!(stage.asked_at(1).await.is_some());
}

#[tokio::test]
async fn a_token_that_was_withdrawn_gets_nothing() {
    let (stage, digests) = warm().await;
    let ask = async |token: &str| {
        let body = json!({ "applicationSetName": "fb-matrix", "input": { "parameters": { "branch": "feature" } } });
        let request = Request::post("/preview/api/v1/getparams.execute")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        send(stage.router(), request).await
    };
    ask("strong-password").await.is(&digests, "fresh");
    ask("another").await.is_refused(403);
    std::fs::write(stage.folder.path().join("token"), "another one\n").unwrap();
    stage.pass(1);
    ask("strong-password").await.is_refused(403);
    ask("another one").await.is(&digests, "fresh");
    assert_eq!(stage.asked().github(), 0);
}

#[tokio::test]
async fn trust_is_earned_while_answers_are_repeated() {
    let stage = Stage::new(Setup { trust_after: "10m", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let digests = stage.built("a1");
    for _ in 0..40 {
        stage.ask("feature").await.is(&digests, "fresh");
        stage.pass(30);
    }
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.ask_number("other", 2).await.is_nothing("unknown");
}

#[tokio::test]
async fn an_image_that_may_be_pushed_at_any_time_is_looked_for() {
    let (stage, _) = warm().await;
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(301);
    for _ in 0..3 {
        let (long, reply) = goes_the_long_way(&stage).await;
        assert!(long);
        assert_eq!((reply.standing(), reply.commit()), ("fresh", &*sha("a1")));
    }
    let pushed = stage.images("a2");
    stage.pass(15);
    stage.ask("feature").await.is(&pushed, "fresh");
}

#[tokio::test]
async fn what_is_held_because_nobody_can_say_is_not_kept() {
    let (stage, digests) = warm().await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    // What is known is as good as it was.
    let (long, reply) = goes_the_long_way(&stage).await;
    assert!(!long);
    reply.is(&digests, "fresh");
    stage.pass(301);
    for _ in 0..3 {
        let (long, reply) = goes_the_long_way(&stage).await;
        assert!(long);
        reply.is(&digests, "held");
    }
    stage.sim.clear_faults();
    stage.pass(60);
    stage.ask("feature").await.is(&digests, "fresh");
}

#[tokio::test]
async fn what_is_held_for_so_long_ends_in_time() {
    let setup = Setup { trust_after: "1s", generator: "    hold: 20s", ..Setup::default() };
    let stage = Stage::new(setup).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    let digests = stage.built("a1");
    stage.ask("feature").await.is(&digests, "fresh");
    // Rewritten: nothing green is left, for good.
    stage.sim.world(|world| {
        world.force_push(REPO, "feature", "x1", &["m1"]);
        world.red(REPO, "x1");
    });
    stage.pass(301);
    let mut held = Duration::ZERO;
    while stage.ask("feature").await.standing() == "held" {
        stage.pass(1);
        held += Duration::from_secs(1);
    }
    stage.ask("feature").await.is_nothing("not-yet");
    assert!((20..=30).contains(&held.as_secs()), "{held:?}");
    assert_eq!(stage.ask("feature").await.status, StatusCode::OK);
}

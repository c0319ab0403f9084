//! Who asks more often than a token may make lastgreen look.

use axum::http::{StatusCode, header};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

/// Two looks at once, and one a second.
fn slow() -> Setup {
    Setup { file: "inbound: { perSecond: 1, burst: 2 }", ..Setup::default() }
}

#[tokio::test]
async fn what_is_known_is_answered_however_often_it_is_asked_for() {
    let stage = Stage::new(slow()).await;
    stage.pull(1, "feature", "a1");
    stage.pull(2, "other", "b1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.ask("feature").await.is(&build, "fresh");
    stage.asked();
    // Both looks are spent. What may be given again is no look; what was answered last is given without one.
    for _ in 0..20 {
        stage.ask("feature").await.is(&build, "fresh");
        let reply = stage.ask_number("feature", 1).await;
        reply.is(&build, "held");
        assert_eq!(reply.reason(), "asked more often than `inbound` allows");
    }
    // Of this one nothing is known.
    let reply = stage.ask("other").await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.headers[header::RETRY_AFTER], "1");
    let message = reply.body["message"].as_str().unwrap();
    assert!(message.starts_with("this token makes lastgreen look more often than `inbound`"), "{message}");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
    stage.pass(1);
    stage.ask("other").await.is_nothing("not-yet");
    // Now it is known to have nothing.
    stage.ask("other").await.is_nothing("unknown");
}

#[tokio::test]
async fn all_at_once_is_one_look_and_is_known_too() {
    let stage = Stage::new(slow()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    let all = || stage.ask_with(json!({ "all": "true" }));
    let item = json!({
        "number": "1", "ready": "true", "digestFront": build.front, "digestBack": build.back,
    });
    let body = json!({"output": {"parameters": [item]}});
    for standing in ["fresh", "fresh", "held", "held"] {
        let reply = all().await;
        assert_eq!((&reply.body, reply.standing()), (&body, standing), "{}", reply.reason());
    }
    // One that was opened since is not in the list that is known; nor is it forgotten.
    stage.pull(2, "other", "b1");
    assert_eq!(all().await.body, body);
    stage.pass(16);
    assert_eq!(all().await.body["output"]["parameters"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_told_so_all_the_same() {
    let stage = Stage::new(slow()).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    for _ in 0..4 {
        stage.ask_with(json!({})).await.is_refused(400);
    }
}

//! All open pull requests in one answer, for Argo CD's Merge generator.

use axum::http::StatusCode;
use lastgreen_sim::{Fault, Pull, Target, What};
use serde_json::{Value, json};

use crate::stage::{Digests, REPO, Reply, Setup, Stage};

async fn ask_all(stage: &Stage) -> Reply {
    stage.ask_with(json!({ "all": "true" })).await
}

fn ready(number: u64, build: &Digests) -> Value {
    let number = number.to_string();
    json!({"number": number, "ready": "true", "digestFront": build.front, "digestBack": build.back})
}

fn not_ready(number: u64) -> Value {
    json!({"number": number.to_string(), "ready": "false", "digestFront": "", "digestBack": ""})
}

#[track_caller]
fn is(reply: &Reply, standing: &str, items: &[Value]) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.body, json!({"output": {"parameters": items}}), "{}", reply.reason());
    assert_eq!(reply.standing(), standing, "{}", reply.reason());
}

fn github_is_down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
}

/// Pull requests 1 to `count`, each with a build.
fn pulls(stage: &Stage, count: u64) -> Vec<Digests> {
    (1..=count)
        .map(|number| {
            let commit = format!("c{number}");
            stage.pull(number, &format!("feature-{number}"), &commit);
            let build = stage.images(&commit);
            stage.green(&commit);
            build
        })
        .collect()
}

#[tokio::test]
async fn each_open_pull_request_has_an_item_with_the_same_keys() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "one", "a1");
    let one = stage.built("a1");
    stage.pull(2, "two", "b1");
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.force_push("stranger/myrepo", "three", "f1", &["m1"]);
        world.open_pull(REPO, Pull::new(3, "three").from_fork("stranger/myrepo"));
    });
    stage.pull(4, "four", "d1");
    stage.sim.world(|world| world.close_pull(REPO, 4));
    let reply = ask_all(&stage).await;
    is(&reply, "fresh", &[ready(1, &one), not_ready(2), not_ready(3)]);
    assert_eq!(reply.reason(), "1 of 3 are ready, 0 of them held");
    for all in [json!(true), json!("true")] {
        is(
            &stage.ask_with(json!({"all": all, "branch": 7})).await,
            "fresh",
            &[ready(1, &one), not_ready(2), not_ready(3)],
        );
    }
    // Whoever does not want all of them asks as ever.
    for all in [json!(false), json!("false"), json!(""), json!(null)] {
        stage.ask_with(json!({"all": all, "branch": "one"})).await.is(&one, "fresh");
    }
    let bad = stage.ask_with(json!({"all": "yes", "branch": "one"})).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(bad.body["message"], r#"input.parameters.all: expected "true" or "false""#);
}

#[tokio::test]
async fn a_hundred_cost_a_few_requests_and_no_more_when_nothing_has_changed() {
    let stage = Stage::new(Setup { ahead: true, ..Setup::default() }).await;
    let builds = pulls(&stage, 60);
    let items: Vec<_> = (1..).zip(&builds).map(|(number, build)| ready(number, build)).collect();
    stage.asked();
    is(&ask_all(&stage).await, "fresh", &items);
    stage.settled().await;
    let asked = stage.asked();
    // A page of all of them, and three queries for 25 each.
    assert_eq!((asked.github(), asked.registry()), (4, 120));
    is(&ask_all(&stage).await, "fresh", &items);
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
    stage.pass(30);
    is(&ask_all(&stage).await, "fresh", &items);
    stage.settled().await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn each_is_held_for_itself() {
    let stage = Stage::new(Setup::default()).await;
    let builds = pulls(&stage, 2);
    is(&ask_all(&stage).await, "fresh", &[ready(1, &builds[0]), ready(2, &builds[1])]);
    stage.push("feature-1", "bad");
    stage.sim.world(|world| {
        world.red(REPO, "bad");
        world.red(REPO, "c1");
    });
    let new = stage.images("good");
    stage.push("feature-2", "good");
    stage.green("good");
    stage.pass(301);
    let reply = ask_all(&stage).await;
    is(&reply, "held", &[ready(1, &builds[0]), ready(2, &new)]);
    assert_eq!(reply.reason(), "2 of 2 are ready, 1 of them held");
    // What was answered for all is what is answered for each.
    stage.ask_number("feature-2", 2).await.is(&new, "fresh");
}

#[tokio::test]
async fn without_github_the_list_that_was_recorded_last_is_answered() {
    let setup = Setup::default();
    let stage = Stage::new(Setup::default()).await;
    let builds = pulls(&stage, 2);
    let items = [ready(1, &builds[0]), ready(2, &builds[1])];
    is(&ask_all(&stage).await, "fresh", &items);
    github_is_down(&stage);
    stage.pass(301);
    let reply = ask_all(&stage).await;
    is(&reply, "held", &items);
    assert!(reply.reason().starts_with("`pulls` cannot say: GitHub: it answers 502"), "{}", reply.reason());
    let stage = stage.restarted(&setup);
    is(&ask_all(&stage).await, "held", &items);
}

#[tokio::test]
async fn with_no_list_recorded_a_trusted_ledger_is_of_no_use() {
    let stage = Stage::new(Setup { trust_after: "1s", ..Setup::default() }).await;
    stage.earn_trust().await;
    github_is_down(&stage);
    let reply = ask_all(&stage).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.body["message"], "no answer yet: `pulls` cannot say: GitHub: it answers 502");
}

#[tokio::test]
async fn one_that_nobody_can_tell_about_makes_it_wait() {
    let stage = Stage::new(Setup::default()).await;
    let builds = pulls(&stage, 1);
    is(&ask_all(&stage).await, "fresh", &[ready(1, &builds[0])]);
    stage.pull(2, "feature-2", "c2");
    stage.built("c2");
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    stage.pass(301);
    let asked = stage.asking(json!({ "all": "true" }));
    stage.until(asked).await.is_refused(503);
    stage.sim.clear_faults();
    stage.pass(301);
    assert_eq!(ask_all(&stage).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_guard_holds_back_that_many_vanish_at_once() {
    let stage = Stage::new(Setup::default()).await;
    let builds = pulls(&stage, 10);
    let items: Vec<_> = (1..).zip(&builds).map(|(number, build)| ready(number, build)).collect();
    is(&ask_all(&stage).await, "fresh", &items);
    stage.sim.world(|world| {
        for number in 1..=2 {
            world.close_pull(REPO, number);
        }
    });
    stage.pass(16);
    is(&ask_all(&stage).await, "fresh", &items[2..]);
    stage.sim.world(|world| world.close_pull(REPO, 3));
    stage.pass(16);
    let reply = ask_all(&stage).await;
    is(&reply, "held", &items[2..]);
    assert!(reply.reason().starts_with("the guard holds back that 3 of 10 items vanish"), "{}", reply.reason());
}

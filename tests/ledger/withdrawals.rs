//! An empty list that follows an item: recorded before it is sent, and said once.

use lastgreen_sim::Pull;

use crate::{
    files::{answered, outsider},
    logs::Logs,
    stage::{REPO, Stage},
};
use sqlx::Executor as _;

const EVENT: &str = "an empty list follows an item";

#[tokio::test]
async fn a_hold_that_ends_is_said_once() {
    let mut stage = Stage::new().await;
    stage.generator = "    hold: 1h";
    let logs = Logs::begin();
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(1900, &[&replica]);
    replica.ask("feature").await.is(&digest, "held");
    stage.pass(1900, &[&replica]);
    replica.ask("feature").await.is(&digest, "held");
    assert_eq!(logs.with(EVENT), [""; 0]);
    // What cannot be recorded is not withdrawn.
    let mut outsider = outsider(&stage).await;
    outsider.execute("BEGIN IMMEDIATE").await.unwrap();
    stage.pass(1900, &[&replica]);
    replica.ask("feature").await.is(&digest, "held");
    assert_eq!(logs.with(EVENT), [""; 0]);
    outsider.execute("ROLLBACK").await.unwrap();
    stage.pass(2, &[&replica]);
    replica.ask("feature").await.is_nothing("not-yet");
    for _ in 0..3 {
        stage.pass(301, &[&replica]);
        replica.ask("feature").await.is_nothing("not-yet");
    }
    let events = logs.with(EVENT);
    assert_eq!(events.len(), 1, "{events:#?}");
    for part in ["line=#1", "branch=feature", "why=\"its hold ended\"", "commit=", "reason=\"no commit will do"] {
        assert!(events[0].contains(part), "no `{part}` in {}", events[0]);
    }
    // Nor is it said again after a restart.
    replica.stop().await;
    let replica = stage.on_file();
    replica.ask("feature").await.is_nothing("not-yet");
    assert_eq!(logs.with(EVENT).len(), 1);
}

#[tokio::test]
async fn a_fork_that_is_refused_is_said_once() {
    let mut stage = Stage::new().await;
    stage.generator = "    forks: allow";
    let logs = Logs::begin();
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.create_branch("stranger/myrepo", "theirs", "m1");
        world.push("stranger/myrepo", "theirs", "f1", &[]);
        world.open_pull(REPO, Pull::new(7, "theirs").from_fork("stranger/myrepo"));
    });
    let digest = stage.built("f1");
    let replica = stage.on_file();
    replica.ask("theirs").await.is(&digest, "fresh");
    replica.stop().await;
    stage.generator = "    forks: refuse";
    let replica = stage.on_file();
    for _ in 0..3 {
        let reply = replica.ask("theirs").await;
        assert_eq!(reply.body, serde_json::json!({"output": {"parameters": []}}), "{reply:?}");
        stage.pass(301, &[&replica]);
    }
    let events = logs.with(EVENT);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].contains("why=\"forks are refused\"") && events[0].contains("line=#7"), "{}", events[0]);
}

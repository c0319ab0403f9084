//! An empty list that follows an item: recorded before it is sent, and said once.

use std::time::Duration;

use lastgreen_sim::Pull;
use sqlx::{Executor as _, Row as _};

use crate::{
    files::{answered, outsider},
    logs::Logs,
    postgres::Postgres,
    stage::{REPO, Stage},
};

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
    let refused = async |times| {
        for _ in 0..times {
            let reply = replica.ask("theirs").await;
            assert_eq!(reply.body, serde_json::json!({"output": {"parameters": []}}), "{reply:?}");
            stage.pass(301, &[&replica]);
        }
    };
    // Nor is it said again while it cannot be recorded.
    let mut outsider = outsider(&stage).await;
    outsider.execute("BEGIN IMMEDIATE").await.unwrap();
    refused(2).await;
    outsider.execute("ROLLBACK").await.unwrap();
    refused(3).await;
    let events = logs.with(EVENT);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].contains("why=\"forks are refused\"") && events[0].contains("line=#7"), "{}", events[0]);
}

#[tokio::test]
async fn a_name_that_becomes_another_lines_is_said_once() {
    let stage = Stage::new().await;
    let logs = Logs::begin();
    let replica = stage.on_file();
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.sim.world(|world| world.push(REPO, "feature", "a1", &[]));
    replica.ask("feature").await.is_nothing("not-yet");
    stage.sim.world(|world| world.open_pull(REPO, Pull::new(1, "feature")));
    let digest = stage.built("a1");
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
    // What the branch has without its pull request is not in the build's history.
    stage.sim.world(|world| {
        world.close_pull(REPO, 1);
        world.force_push(REPO, "feature", "b1", &["m1"]);
    });
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is_nothing("unknown");
    for _ in 0..3 {
        stage.pass(301, &[&replica]);
        replica.ask("feature").await.is_nothing("not-yet");
        // Who gives the number has lost nothing.
        replica.ask_number("feature", 1).await.shows(&digest);
    }
    let events = logs.with(EVENT);
    assert_eq!(events.len(), 1, "{events:#?}");
    for part in ["line=#1", "branch=feature", "why=\"the name means another line now\"", "commit=", "reason="] {
        assert!(events[0].contains(part), "no `{part}` in {}", events[0]);
    }
}

/// Makes every commit that changes a line wait for a lock.
const COMMITS_WAIT: &str = "
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON lastgreen_lines DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait()";

#[tokio::test]
async fn what_is_recorded_after_it_was_given_up_is_said_once() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    let logs = Logs::begin();
    let url = server.create_database("given_up").await;
    let (replica, other) = (stage.on_database(&url), stage.on_database(&url));
    let digest = answered(&stage, &replica).await;
    other.ask("feature").await.is(&digest, "fresh");
    let mut outsider = server.connect("given_up").await;
    outsider.execute(COMMITS_WAIT).await.unwrap();
    outsider.execute("SELECT pg_advisory_lock(42)").await.unwrap();

    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301, &[&replica, &other]);
    let asked = replica.asking("feature");
    let mut count = async |query: &'static str| -> i64 { outsider.fetch_one(query).await.unwrap().get(0) };
    while count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").await == 0 {
        tokio::task::yield_now().await;
    }
    replica.clock.advance(Duration::from_secs(2));
    asked.await.unwrap().is(&digest, "held");
    assert_eq!(logs.with(EVENT), [""; 0]);
    // The database does it all the same.
    count("SELECT count(pg_advisory_unlock(42))").await;
    while count("SELECT count(*) FROM lastgreen_lines WHERE record LIKE '%\"nothing\"%'").await == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        stage.pass(2, &[&replica, &other]);
        replica.ask("feature").await.is_nothing("not-yet");
        other.ask("feature").await.is_nothing("not-yet");
    }
    let events = logs.with(EVENT);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].contains("why=\"its hold ended\"") && events[0].contains("line=#1"), "{}", events[0]);
}

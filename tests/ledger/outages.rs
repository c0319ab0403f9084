//! PostgreSQL that is gone, refuses, or hangs.

use std::{sync::Arc, time::Duration};

use lastgreen::ledger::Known;
use lastgreen_sim::sha;
use sqlx::Executor as _;

use crate::{
    logs::Logs,
    postgres::{ADMIN, PASSWORD, Postgres, Stop},
    stage::{REPO, Stage},
};

const GONE: &str = "the ledger cannot be used: the database cannot be reached: connection refused";

#[tokio::test]
async fn a_database_that_is_gone_takes_nothing_with_it() {
    let Some(server) = Postgres::start_new() else { return };
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    let url = server.create_database("gone").await;
    let (a, b) = (stage.on_database(&url), stage.on_database(&url));
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    a.ask("feature").await.is(&old, "fresh");
    b.ask("feature").await.is(&old, "fresh");
    server.stop(Stop::Crash);

    // What is known and has not changed is answered, what is new cannot be recorded, and what is not known is not guessed.
    stage.pass(2, &[&a, &b]);
    a.ask("feature").await.is(&old, "fresh");
    let new = stage.pushed("feature", "a2");
    stage.pull(2, "other", "b1");
    stage.pass(301, &[&a, &b]);
    let reply = a.ask("feature").await;
    reply.is(&old, "held");
    assert_eq!(reply.reason(), GONE);
    assert_eq!(a.ask_through("other").await.is_refused(), GONE);
    // A replica that starts now knows nothing, and says so, whatever the head is.
    let restarted = stage.on_database(&url);
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.sim.world(|world| world.red(REPO, "a1"));
    assert_eq!(restarted.ask_through("feature").await.is_refused(), GONE);
    stage.pass(301, &[&a, &b, &restarted]);
    a.ask("feature").await.is(&old, "held");
    assert_eq!(restarted.ask_through("feature").await.is_refused(), GONE);

    server.start();
    stage.sim.world(|world| world.clear_checks(REPO, "a2"));
    stage.sim.world(|world| world.green(REPO, "a2"));
    stage.pass(301, &[&a, &b, &restarted]);
    for replica in [&restarted, &a, &b] {
        replica.ask("feature").await.is(&new, "fresh");
        assert_eq!(replica.recorded(1).await, sha("a2"));
    }
    a.ask("other").await.is_nothing("not-yet");
    assert_eq!(a.known(2).await, Ok(Known::Nothing));
}

#[tokio::test]
async fn no_trust_is_earned_while_the_database_is_gone() {
    let Some(server) = Postgres::start_new() else { return };
    let mut stage = Stage::new().await;
    stage.ledger = ", trustAfter: 1h";
    let url = server.create_database("trust").await;
    let replica = stage.on_database(&url);
    replica.ask("main").await.is_nothing("not-yet");
    server.stop(Stop::Fast);
    for _ in 0..4 {
        stage.pass(1800, &[&replica]);
        assert_eq!(replica.ask_through("main").await.is_refused(), GONE);
    }
    server.start();
    stage.pass(2, &[&replica]);
    stage.sim.fail(lastgreen_sim::Fault::always(
        lastgreen_sim::Target::GitHub,
        lastgreen_sim::What::Status(502, String::new()),
    ));
    stage.pass(301, &[&replica]);
    replica.ask_through("unheard-of").await.is_refused();
}

#[tokio::test]
async fn a_branch_that_gains_its_pull_request_while_the_database_is_gone_goes_not_back() {
    let Some(server) = Postgres::start_new() else { return };
    let stage = Stage::new().await;
    let url = server.create_database("gained").await;
    let replica = stage.on_database(&url);
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    replica.ask("feature").await.is(&old, "fresh");
    // While it is closed, its branch has a newer build.
    stage.sim.world(|world| world.close_pull(REPO, 1));
    let new = stage.pushed("feature", "a2");
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&new, "fresh");
    stage.sim.world(|world| world.reopen_pull(REPO, 1));
    server.stop(Stop::Fast);
    stage.pass(301, &[&replica]);
    // That this is the pull request's now cannot be recorded.
    replica.ask_through("feature").await.is(&new, "held");
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_nothing_secret() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    server.create_database("refusals").await;
    server.execute(ADMIN, "CREATE ROLE guest LOGIN PASSWORD 'guest-password'").await;
    server.create_database("reading").await;
    server.execute("reading", "ALTER DATABASE reading SET default_transaction_read_only = on").await;
    server.execute(ADMIN, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    let logs = Logs::begin();
    for (url, why) in [
        (server.url_as(ADMIN, "wrong-password", "refusals"), "PostgreSQL refuses the user or the password"),
        (server.url("nowhere"), "the database does not exist"),
        (
            server.url_as("guest", "guest-password", "refusals"),
            "the user lacks a privilege (permission denied for schema public); it must own the tables, or may create \
             them",
        ),
        (server.url("reading"), "PostgreSQL is read-only here: is this a standby?"),
        (
            server.url("latin"),
            "the database's encoding is LATIN1, which has no place for every branch name; make one with UTF8",
        ),
        (format!("postgres://{ADMIN}:{PASSWORD}@127.0.0.1:1/x"), "the database cannot be reached: connection refused"),
    ] {
        let replica = stage.on_database(&url);
        let reply = replica.ask_through("feature").await;
        assert_eq!(reply.is_refused(), format!("the ledger cannot be used: {why}"));
        let shown = format!("{:?} {reply:?} {}", replica.ledger, logs.all());
        for secret in [PASSWORD, "wrong-password", "guest-password"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn another_password_is_picked_up() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    server.execute(ADMIN, "CREATE ROLE owner LOGIN PASSWORD 'first'").await;
    server.execute(ADMIN, "CREATE DATABASE rotated OWNER owner").await;
    let mut replica = stage.on_database(&server.url_as("owner", "first", "rotated"));
    replica.keep();
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    replica.ask("feature").await.is(&old, "fresh");
    server.execute(ADMIN, "ALTER ROLE owner PASSWORD 'second'").await;
    std::fs::write(stage.folder.path().join("url"), server.url_as("owner", "second", "rotated")).unwrap();
    server.kill_backends("rotated", "%").await;
    let new = stage.pushed("feature", "a2");
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&new, "fresh");

    // Another database altogether: what is known goes with it.
    server.execute(ADMIN, "CREATE DATABASE moved OWNER owner").await;
    std::fs::write(stage.folder.path().join("url"), server.url_as("owner", "second", "moved")).unwrap();
    stage.pass(2, &[&replica]);
    replica.ask("feature").await.is(&new, "fresh");
    replica.stop().await;
    let restarted = stage.on_database(&server.url_as("owner", "second", "moved"));
    assert_eq!(restarted.refresh().await, Ok(()));
    assert_eq!(restarted.recorded(1).await, sha("a2"));
}

#[tokio::test]
async fn tables_that_are_dropped_are_made_anew() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let url = server.create_database("dropped").await;
    let replica = stage.on_database(&url);
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    replica.ask("feature").await.is(&old, "fresh");
    server
        .execute(
            "dropped",
            "DROP TABLE lastgreen_ledger, lastgreen_lines, lastgreen_merges, lastgreen_repositories, lastgreen_watches, \
             lastgreen_lists",
        )
        .await;
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&old, "fresh");
    stage.pass(2, &[&replica]);
    replica.ask("feature").await.is(&old, "fresh");
    let other = stage.on_database(&url);
    other.refresh().await.unwrap();
    replica.ledger.flush(replica.soon()).await.unwrap();
    other.clock.advance(Duration::from_secs(1));
    assert_eq!(other.refresh().await, Ok(()));
    assert_eq!(other.recorded(1).await, sha("a1"));
}

#[tokio::test]
async fn a_database_that_hangs() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let url = server.create_database("hangs").await;
    let replica = stage.on_database(&url);
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    replica.ask("feature").await.is(&old, "fresh");
    let mut other = server.connect("hangs").await;
    other.execute("BEGIN; SELECT * FROM lastgreen_ledger FOR UPDATE").await.unwrap();
    let new = stage.pushed("feature", "a2");
    stage.pass(301, &[&replica]);
    let reply = replica.ask("feature").await;
    reply.is(&old, "held");
    assert_eq!(reply.reason(), "the ledger cannot be used: the database gave no answer in time");
    other.execute("ROLLBACK").await.unwrap();
    stage.pass(2, &[&replica]);
    replica.ask("feature").await.is(&new, "fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_every_crash_of_the_database() {
    const BRANCHES: u64 = 6;
    let Some(server) = Postgres::start_new() else { return };
    let server = Arc::new(server);
    let stage = Stage::new().await;
    let url = server.create_database("crashes").await;
    let replicas = [stage.on_database(&url), stage.on_database(&url)];
    let mut digests: Vec<Vec<String>> = (0..BRANCHES).map(|_| Vec::new()).collect();
    let mut seen = vec![0; digests.len()];
    for number in 1..=BRANCHES {
        stage.pull(number, &format!("branch-{number}"), &format!("c{number}-0"));
    }
    let note = |digests: &[Vec<String>], seen: &mut [usize], branch: usize, body: &serde_json::Value| {
        let Some(digest) = body["output"]["parameters"][0]["digest"].as_str() else { return false };
        let at = digests[branch].iter().position(|known| known == digest).unwrap();
        assert!(at >= seen[branch], "an older build follows a newer one");
        seen[branch] = at;
        true
    };
    for round in 0..6 {
        for number in 1..=BRANCHES {
            let commit = format!("c{number}-{round}");
            if round > 0 {
                stage.sim.world(|world| world.push(REPO, &format!("branch-{number}"), commit.as_str(), &[]));
            }
            digests[usize::try_from(number).unwrap() - 1].push(stage.built(&commit));
        }
        stage.pass(301, &[&replicas[0], &replicas[1]]);
        if round == 0 {
            for number in 1..=BRANCHES {
                let reply = replicas[0].ask(&format!("branch-{number}")).await;
                assert!(note(&digests, &mut seen, usize::try_from(number).unwrap() - 1, &reply.body), "{reply:?}");
            }
        }
        let asking: Vec<_> =
            (1..=BRANCHES).map(|number| replicas[round % 2].asking(&format!("branch-{number}"))).collect();
        let crash = {
            let server = Arc::clone(&server);
            tokio::task::spawn_blocking(move || server.stop(Stop::Crash))
        };
        // Whoever has to try again is let: the database is back by then, or not.
        let clock = replicas[round % 2].clock.clone();
        let time = tokio::spawn(async move {
            loop {
                let away = clock.sleeping_within(Duration::from_millis(600)).await;
                clock.advance(away);
                tokio::task::yield_now().await;
            }
        });
        for (branch, asking) in asking.into_iter().enumerate() {
            note(&digests, &mut seen, branch, &asking.await.unwrap().body);
        }
        time.abort();
        crash.await.unwrap();
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || server.start()).await.unwrap();
    }
    drop(replicas);
    let trouble = lastgreen_sim::What::Status(502, String::new());
    stage.sim.fail(lastgreen_sim::Fault::always(lastgreen_sim::Target::GitHub, trouble));
    let restarted = stage.on_database(&url);
    assert_eq!(restarted.refresh().await, Ok(()));
    for number in 1..=BRANCHES {
        let branch = usize::try_from(number).unwrap() - 1;
        let reply = restarted.ask_through(&format!("branch-{number}")).await;
        assert!(note(&digests, &mut seen, branch, &reply.body), "{reply:?}");
    }
}

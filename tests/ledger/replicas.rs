//! Several replicas before one PostgreSQL: one truth.

use std::time::Duration;

use lastgreen_sim::{Fault, Target, What, sha};

use crate::{
    logs::Logs,
    postgres::{Postgres, Stop},
    stage::{REPO, Replica, Stage, until},
};

/// Two replicas before a database of this name that have both answered `a1` for `feature`; the build's digest.
async fn two(server: &Postgres, stage: &Stage, name: &str) -> (Replica, Replica, String) {
    let url = server.create_database(name).await;
    let (mut a, mut b) = (stage.on_database(&url), stage.on_database(&url));
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    for replica in [&mut a, &mut b] {
        replica.keep();
        replica.rested().await;
        replica.ask("feature").await.is(&old, "fresh");
    }
    (a, b, old)
}

/// A further build `a2`, which this replica sees and records.
async fn recorded(stage: &Stage, replica: &Replica) -> String {
    let new = stage.pushed("feature", "a2");
    replica.clock.advance(Duration::from_secs(301));
    replica.ask("feature").await.is(&new, "fresh");
    new
}

#[tokio::test]
async fn what_one_has_recorded_the_other_answers_at_once() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let (a, b, _) = two(&server, &stage, "heard").await;
    let version = b.ledger.version(&b.key(1));
    let new = recorded(&stage, &a).await;
    // Told, not timed: the other's clock stands still.
    until("the other hears of it", || b.ledger.version(&b.key(1)) > version).await;
    b.ask("feature").await.is(&new, "fresh");
}

#[tokio::test]
async fn who_hears_nothing_reads_before_it_answers() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let (a, mut b, old) = two(&server, &stage, "deaf").await;
    b.deaf().await;
    let new = recorded(&stage, &a).await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    // Less than a second later nobody needs to know.
    b.clock.advance(Duration::from_millis(100));
    b.ask("feature").await.is(&old, "fresh");
    b.clock.advance(Duration::from_millis(900));
    b.ask("feature").await.is(&new, "held");
}

#[tokio::test]
async fn what_is_given_again_without_a_look_ends_with_what_another_has_recorded() {
    let Some(server) = Postgres::shared() else { return };
    for hears in [true, false] {
        let mut stage = Stage::new().await;
        stage.ledger = ", trustAfter: 0s";
        let (a, mut b, old) = two(&server, &stage, if hears { "again_hearing" } else { "again_deaf" }).await;
        for _ in 0..2 {
            b.ask("feature").await.is(&old, "fresh");
        }
        if hears {
            let version = b.ledger.version(&b.key(1));
            let new = recorded(&stage, &a).await;
            until("the other hears of it", || b.ledger.version(&b.key(1)) > version).await;
            b.ask("feature").await.is(&new, "fresh");
        } else {
            b.deaf().await;
            let new = recorded(&stage, &a).await;
            b.clock.advance(Duration::from_millis(100));
            b.ask("feature").await.is(&old, "fresh");
            b.clock.advance(Duration::from_millis(900));
            b.ask("feature").await.is(&new, "fresh");
        }
    }
}

#[tokio::test]
async fn who_is_slow_does_not_bring_back_what_another_has_replaced() {
    let Some(server) = Postgres::shared() else { return };
    for hears in [true, false] {
        let mut stage = Stage::new().await;
        stage.generator = "    refresh: { settled: 1h }";
        let name = if hears { "slow_hearing" } else { "slow_deaf" };
        let (mut a, b, _) = two(&server, &stage, name).await;
        // The slow one asks GitHub while `a2` is the last green build.
        stage.pushed("feature", "a2");
        if !hears {
            a.deaf().await;
        }
        a.clock.advance(Duration::from_secs(3601));
        let manifest = Target::manifest("myorg/front", &format!("sha-{}", sha("a2")));
        stage.sim.hold(manifest.clone());
        stage.sim.reset_counts();
        let slow = a.asking("feature");
        stage.sim.wait_for(|counts| counts.registry() > 0).await;
        // The quick one records `a3` meanwhile.
        let newest = stage.pushed("feature", "a3");
        b.clock.advance(Duration::from_secs(3601));
        b.ask("feature").await.is(&newest, "fresh");
        stage.sim.release(manifest);
        // It has found `a2`, and answers what is newer.
        slow.await.unwrap().shows(&newest);
        a.clock.advance(Duration::from_secs(1));
        a.ask("feature").await.is(&newest, "fresh");
        b.clock.advance(Duration::from_secs(1));
        b.ask("feature").await.is(&newest, "fresh");
        assert_eq!((a.recorded(1).await, b.recorded(1).await), (sha("a3"), sha("a3")));
    }
}

#[tokio::test]
async fn what_is_held_is_what_was_recorded_while_its_images_were_completed() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    let (_, b, old) = two(&server, &stage, "completed").await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    // This one wants a label that nobody has looked at yet.
    stage.build = "      outputs: { version: \"{digest.label:org.opencontainers.image.version}\" }\n";
    let mut a = stage.on_database(&server.url("completed"));
    a.keep();
    a.rested().await;
    let of_a1 = [format!("sha-{}", sha("a1")), old].map(|reference| Target::manifest("myorg/front", &reference));
    for target in of_a1.clone() {
        stage.sim.hold(target);
    }
    stage.sim.reset_counts();
    let slow = a.asking("feature");
    stage.sim.wait_for(|counts| counts.registry() > 0).await;
    let version = a.ledger.version(&a.key(1));
    let new = recorded(&stage, &b).await;
    until("the other hears of it", || a.ledger.version(&a.key(1)) > version).await;
    for target in of_a1 {
        stage.sim.release(target);
    }
    let reply = slow.await.unwrap();
    assert_eq!((&reply.body["output"]["parameters"][0]["digest"], reply.standing()), (&new.into(), "held"));
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let (a, b, _) = two(&server, &stage, "cut").await;
    assert!(server.kill_backends("cut", "%pg_try_advisory_lock%").await >= 1);
    let new = recorded(&stage, &a).await;
    b.clock.advance(Duration::from_secs(1));
    b.ask("feature").await.is(&new, "fresh");
    // All connections, those on which work is done too.
    assert!(server.kill_backends("cut", "%").await >= 1);
    let newer = stage.pushed("feature", "a3");
    stage.pass(301, &[&a, &b]);
    b.ask("feature").await.is(&newer, "fresh");
    a.clock.advance(Duration::from_secs(1));
    a.ask("feature").await.is(&newer, "fresh");
}

#[tokio::test]
async fn an_older_schema_is_moved_on_by_whoever_starts_first() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let (a, b, old) = two(&server, &stage, "older").await;
    a.crash().await;
    b.crash().await;
    // As the program left it that did not know lists.
    for statement in ["DROP TABLE lastgreen_lists", "UPDATE lastgreen_ledger SET schema_version = 1"] {
        server.execute("older", statement).await;
    }
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let replicas: Vec<_> = (0..3).map(|_| stage.on_database(&server.url("older"))).collect();
    let asked: Vec<_> = replicas.iter().map(|replica| replica.asking("feature")).collect();
    for reply in asked {
        reply.await.unwrap().is(&old, "held");
    }
    let mut outsider = server.connect("older").await;
    let found = "SELECT schema_version, (SELECT count(*) FROM lastgreen_lists) FROM lastgreen_ledger";
    let (schema, lists): (i64, i64) = sqlx::query_as(found).fetch_one(&mut outsider).await.unwrap();
    assert_eq!((schema, lists), (2, 0));
}

#[tokio::test]
async fn replicas_that_start_at_once_make_one_ledger() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    let digest = stage.built("a1");
    let url = server.create_database("at_once").await;
    let replicas: Vec<_> = (0..6).map(|_| stage.on_database(&url)).collect();
    let asked: Vec<_> = replicas.iter().map(|replica| replica.asking("feature")).collect();
    for reply in asked {
        reply.await.unwrap().is(&digest, "fresh");
    }
    let mut connection = server.connect("at_once").await;
    let ids: Vec<(String,)> =
        sqlx::query_as("SELECT id FROM lastgreen_ledger").fetch_all(&mut connection).await.unwrap();
    assert_eq!(ids.len(), 1);
    let lines: (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM lastgreen_lines").fetch_one(&mut connection).await.unwrap();
    assert_eq!(lines.0, 1);
}

#[tokio::test]
async fn one_leads_and_the_other_takes_over() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let (mut a, b, _) = two(&server, &stage, "leaders").await;
    assert_eq!((a.ledger.leads(), b.ledger.leads()), (true, false));
    a.deaf().await;
    beat_until(&b, "it leads", || b.ledger.leads()).await;
    // Who stops for good gives it up as well.
    a.keep();
    a.rested().await;
    b.stop().await;
    beat_until(&a, "it leads", || a.ledger.leads()).await;
}

#[tokio::test]
async fn a_database_that_was_away_for_long_has_one_leader_again() {
    let Some(server) = Postgres::start_new() else { return };
    let stage = Stage::new().await;
    let (a, b, _) = two(&server, &stage, "away").await;
    assert_eq!((a.ledger.leads(), b.ledger.leads()), (true, false));
    server.stop(Stop::Fast);
    beat_until(&a, "it leads no more", || !a.ledger.leads()).await;
    server.start();
    beat_until(&b, "it leads", || b.ledger.leads()).await;
    for _ in 0..10 {
        beat(&a).await;
        assert_eq!((a.ledger.leads(), b.ledger.leads()), (false, true));
    }
}

#[tokio::test]
async fn only_the_one_that_leads_keeps_fresh_what_is_asked_for() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    stage.ahead = true;
    let (a, b, _) = two(&server, &stage, "fresh").await;
    assert_eq!((a.ledger.leads(), b.ledger.leads()), (true, false));
    for (replica, looks) in [(&b, false), (&a, true)] {
        replica.generator.settled().await;
        stage.sim.reset_counts();
        let generator = std::sync::Arc::clone(&replica.generator);
        let fresh = tokio::spawn(async move { generator.keep_fresh(std::future::pending()).await });
        // Its first look is due, and then what was asked for is.
        for seconds in [11, 300, 11] {
            tokio::task::yield_now().await;
            replica.clock.advance(Duration::from_secs(seconds));
            replica.clock.caught_up().await;
            replica.generator.settled().await;
        }
        assert_eq!(stage.sim.counts().github() > 0, looks);
        fresh.abort();
    }
}

/// Lets time pass, beat by beat, until that is so: the server may take a while to see that the other is gone.
async fn beat_until(replica: &Replica, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        beat(replica).await;
    }
    panic!("never: {what}");
}

async fn beat(replica: &Replica) {
    replica.rested().await;
    replica.clock.advance(Duration::from_millis(400));
    // Whoever was woken gets his turn.
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_withdrawal_is_heard_of_too() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    let logs = Logs::begin();
    let (a, b, old) = two(&server, &stage, "withdrawn").await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    a.clock.advance(Duration::from_secs(301));
    let version = b.ledger.version(&b.key(1));
    a.ask("feature").await.is_nothing("not-yet");
    until("the other hears of it", || b.ledger.version(&b.key(1)) > version).await;
    b.ask("feature").await.is_nothing("not-yet");
    assert_eq!(logs.with("an empty list follows an item").len(), 1, "{}", logs.all());
    // A build makes it an item again, for both.
    stage.sim.world(|world| world.clear_checks(REPO, "a1"));
    stage.sim.world(|world| world.green(REPO, "a1"));
    stage.pass(301, &[&a, &b]);
    b.ask("feature").await.is(&old, "fresh");
    a.clock.advance(Duration::from_secs(1));
    a.ask("feature").await.is(&old, "fresh");
}

#[tokio::test]
async fn a_hold_that_one_counted_is_put_back_by_a_build_that_the_other_saw() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    stage.generator = "    hold: 3h";
    let (a, b, old) = two(&server, &stage, "holds").await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    for _ in 0..3 {
        stage.pass(3000, &[&a, &b]);
        b.ask("feature").await.is(&old, "held");
        b.ledger.flush(b.soon()).await.unwrap();
    }
    stage.sim.world(|world| world.clear_checks(REPO, "a1"));
    stage.sim.world(|world| world.green(REPO, "a1"));
    stage.pass(3000, &[&a, &b]);
    a.refresh().await.unwrap();
    a.ask("feature").await.is(&old, "fresh");
    stage.sim.world(|world| world.red(REPO, "a1"));
    for _ in 0..3 {
        stage.pass(3000, &[&a, &b]);
        b.refresh().await.unwrap();
        b.ask("feature").await.is(&old, "held");
    }
}

#[tokio::test]
async fn a_record_that_goes_bad_under_those_who_know_it() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let logs = Logs::begin();
    let (a, b, old) = two(&server, &stage, "bad").await;
    server
        .execute(
            "bad",
            "UPDATE lastgreen_lines SET record = '{\"v\":2}', change = change + 9;
             UPDATE lastgreen_ledger SET change = change + 9",
        )
        .await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301, &[&a, &b]);
    // Whoever has answered it holds it; whoever has not does not guess.
    b.ask("feature").await.is(&old, "held");
    let restarted = stage.on_database(&server.url("bad"));
    let why = "the ledger cannot be used: the record of #1 cannot be read: its seal is broken";
    assert!(restarted.ask_through("feature").await.is_refused().starts_with(why));
    // The next build overwrites it for all.
    stage.sim.clear_faults();
    stage.pass(301, &[&a, &b, &restarted]);
    b.ask("feature").await.is(&old, "fresh");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301, &[&a, &b, &restarted]);
    restarted.ask("feature").await.is(&old, "held");
    // Once for each of the three.
    assert_eq!(logs.with("a record of the ledger cannot be read").len(), 3, "{}", logs.all());
}

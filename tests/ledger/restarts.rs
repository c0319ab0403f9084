//! What is remembered besides the answers: test merges, clocks, trust, and what may be forgotten.

use std::time::Duration;

use lastgreen::ledger::Known;
use lastgreen_sim::{Fault, ImageSpec, Pull, Target, What};

use crate::{
    files::answered,
    postgres::Postgres,
    stage::{REPO, Replica, Stage},
};

const DAY: u32 = 24 * 3600;

fn github_is_down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
}

#[tokio::test]
async fn the_test_merge_that_a_push_built_is_remembered() {
    let mut stage = Stage::new().await;
    stage.tag = "{merge_sha}";
    let mut replica = stage.on_file();
    stage.pull(1, "feature", "a1");
    // It is seen before its image is there.
    replica.ask("feature").await.is_nothing("not-yet");
    let first = stage.sim.world(|world| {
        let pull = world.github.repository(REPO).unwrap().pull(1).unwrap();
        pull.test_merge.clone().unwrap().to_string()
    });
    replica.keep();
    replica.stop().await;
    // The base moves on, again and again; then the build of the first one is done.
    let digest = stage.sim.world(|world| {
        for commit in ["m2", "m3"] {
            world.push(REPO, "main", commit, &[]);
            world.refresh_test_merge(REPO, 1);
        }
        let digest = world.push_image("myorg/front", &first, &ImageSpec::default());
        world.green(REPO, "a1");
        world.advance(60);
        digest
    });
    let replica = stage.on_file();
    replica.ask("feature").await.is(&digest, "fresh");
    replica.crash().await;
    github_is_down(&stage);
    stage.on_file().ask("feature").await.is(&digest, "held");
}

#[tokio::test]
async fn trust_outlives_a_restart() {
    let mut stage = Stage::new().await;
    stage.ledger = ", trustAfter: 1h";
    let mut replica = stage.on_file();
    for _ in 0..3 {
        replica.ask("main").await;
        stage.pass(1801, &[&replica]);
    }
    replica.keep();
    replica.stop().await;
    let replica = stage.on_file();
    github_is_down(&stage);
    replica.ask("unheard-of").await.is_nothing("unknown");
}

#[tokio::test]
async fn that_a_name_had_nothing_outlives_a_restart() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    stage.pull(1, "feature", "a1");
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.create_branch("stranger/myrepo", "theirs", "m1");
        world.push("stranger/myrepo", "theirs", "f1", &[]);
        world.open_pull(REPO, Pull::new(7, "theirs").from_fork("stranger/myrepo"));
    });
    replica.ask("feature").await.is_nothing("not-yet");
    replica.ask_number("theirs", 7).await;
    assert_eq!(replica.known(7).await, Ok(Known::Nothing));
    replica.crash().await;
    github_is_down(&stage);
    let replica = stage.on_file();
    replica.ask("feature").await.is_nothing("unknown");
    replica.ask_number("feature", 1).await.is_nothing("unknown");
    // A stranger's nothing says nothing of an own branch of that name.
    replica.ask_through("theirs").await.is_refused();
    replica.ask_through("unheard-of").await.is_refused();
}

#[tokio::test]
async fn a_nothing_does_not_hide_what_the_name_has() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    // The branch had something before it got its pull request, on another history, which had nothing.
    stage.sim.world(|world| {
        world.create_branch(REPO, "feature", "m1");
        world.push(REPO, "feature", "a1", &[]);
    });
    let digest = stage.built("a1");
    replica.ask("feature").await.is(&digest, "fresh");
    stage.sim.world(|world| {
        world.force_push(REPO, "feature", "b1", &["m1"]);
        world.open_pull(REPO, Pull::new(1, "feature"));
    });
    stage.pass(301, &[&replica]);
    replica.ask_number("feature", 1).await;
    stage.pass(301, &[&replica]);
    replica.ask_number("feature", 1).await.is_nothing("not-yet");
    replica.crash().await;
    github_is_down(&stage);
    stage.on_file().ask("feature").await.is(&digest, "held");
}

#[tokio::test]
async fn two_that_watch_at_the_same_time_do_not_watch_twice_as_long() {
    let Some(server) = Postgres::shared() else { return };
    let mut stage = Stage::new().await;
    stage.ledger = ", trustAfter: 1h";
    let url = server.create_database("watches").await;
    let replicas = [stage.on_database(&url), stage.on_database(&url)];
    for _ in 0..3 {
        for replica in &replicas {
            replica.ask("main").await;
            replica.ledger.flush(replica.soon()).await.unwrap();
        }
        stage.pass(1000, &[&replicas[0], &replicas[1]]);
    }
    // 2000 seconds by both.
    github_is_down(&stage);
    let restarted = stage.on_database(&url);
    restarted.ask_through("unheard-of").await.is_refused();
    stage.sim.clear_faults();
    for _ in 0..3 {
        replicas[0].clock.advance(Duration::from_secs(1));
        replicas[0].ask("main").await;
        replicas[0].ledger.flush(replicas[0].soon()).await.unwrap();
        stage.pass(1000, &[&replicas[0]]);
    }
    github_is_down(&stage);
    let restarted = stage.on_database(&url);
    restarted.ask("unheard-of").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_hold_goes_on_where_it_was() {
    let mut stage = Stage::new().await;
    stage.generator = "    hold: 3h";
    let mut replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    for _ in 0..2 {
        stage.pass(3600, &[&replica]);
        replica.ask("feature").await.is(&digest, "held");
    }
    // An hour of `not yet`; then nobody can say for a day, which does not count.
    github_is_down(&stage);
    for _ in 0..24 {
        stage.pass(3600, &[&replica]);
        replica.ask("feature").await.is(&digest, "held");
    }
    stage.sim.clear_faults();
    replica.keep();
    replica.stop().await;
    let replica = stage.on_file();
    replica.ask("feature").await.is(&digest, "held");
    stage.pass(3600, &[&replica]);
    replica.ask("feature").await.is(&digest, "held");
    stage.pass(3600, &[&replica]);
    replica.ask("feature").await.is_nothing("not-yet");
}

/// Nobody asks for so many days.
fn days(stage: &Stage, count: u32, replicas: &[&Replica]) {
    stage.pass(count * DAY, replicas);
}

#[tokio::test]
async fn what_nobody_asks_for_is_forgotten_once_it_is_closed() {
    let stage = Stage::new().await;
    let limit = Duration::from_hours(30 * 24);
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    let is_known = async |replica: &Replica| matches!(replica.known(1).await, Ok(Known::Item(_)));
    // Open: kept, however long ago it was.
    days(&stage, 31, &[&replica]);
    replica.generator.forget(limit).await;
    assert!(is_known(&replica).await);
    // Closed, but not for long enough since anybody looked.
    stage.sim.world(|world| world.close_pull(REPO, 1));
    days(&stage, 29, &[&replica]);
    replica.generator.forget(limit).await;
    assert!(is_known(&replica).await);
    // Opened again before the time was up.
    stage.sim.world(|world| world.reopen_pull(REPO, 1));
    days(&stage, 2, &[&replica]);
    replica.generator.forget(limit).await;
    assert!(is_known(&replica).await);
    // GitHub cannot say.
    stage.sim.world(|world| world.close_pull(REPO, 1));
    github_is_down(&stage);
    days(&stage, 31, &[&replica]);
    replica.generator.forget(limit).await;
    assert!(is_known(&replica).await);
    stage.sim.clear_faults();
    days(&stage, 1, &[&replica]);
    replica.generator.forget(limit).await;
    assert_eq!(replica.known(1).await, Ok(Known::Never));
    replica.crash().await;
    let replica = stage.on_file();
    replica.refresh().await.unwrap();
    assert_eq!(replica.known(1).await, Ok(Known::Never));
}

#[tokio::test]
async fn what_another_replica_was_asked_for_is_kept() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let limit = Duration::from_hours(30 * 24);
    let url = server.create_database("forgotten").await;
    let (a, b) = (stage.on_database(&url), stage.on_database(&url));
    let digest = answered(&stage, &a).await;
    stage.sim.world(|world| world.close_pull(REPO, 1));
    days(&stage, 31, &[&a, &b]);
    b.ask_number("feature", 1).await.shows(&digest);
    b.ledger.flush(b.soon()).await.unwrap();
    a.generator.forget(limit).await;
    a.clock.advance(Duration::from_secs(1));
    assert!(matches!(a.known(1).await, Ok(Known::Item(_))));
    days(&stage, 62, &[&a, &b]);
    a.generator.forget(limit).await;
    assert_eq!(a.known(1).await, Ok(Known::Never));
    assert_eq!(b.known(1).await, Ok(Known::Never));
}

//! Lines that come and go: pull requests that are closed and opened again, or not shown yet, and what their branch had
//! meanwhile.

use lastgreen_sim::{Fault, Pull, Target, What, sha};
use serde_json::json;

use crate::stage::{Digests, REPO, Setup, Stage};

fn down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
}

/// `feature`, which was told to have nothing, gains a pull request and then a build.
async fn gained(stage: &Stage) -> Digests {
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    stage.ask("feature").await.is_nothing("not-yet");
    stage.sim.world(|world| world.open_pull(REPO, Pull::new(1, "feature")));
    stage.built("a1")
}

#[tokio::test]
async fn a_pull_request_that_is_open_again_keeps_what_its_branch_had_meanwhile() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.ask("feature").await.is_nothing("not-yet");
    stage.sim.world(|world| world.close_pull(REPO, 1));
    stage.pass(301);
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    // The build is not in the new history. A push by force keeps a pull request's preview, and so it does here.
    stage.sim.world(|world| {
        world.reopen_pull(REPO, 1);
        world.force_push(REPO, "feature", "b1", &["m1"]);
    });
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(6);
    stage.ask("feature").await.is(&build, "held");
    stage.ask_number("feature", 1).await.is(&build, "held");
}

#[tokio::test]
async fn a_closed_pull_request_inherits_nothing_of_a_branch_made_again() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.ask_number("feature", 1).await.is_nothing("not-yet");
    stage.sim.world(|world| {
        world.close_pull(REPO, 1);
        world.delete_branch(REPO, "feature");
        world.create_branch(REPO, "feature", "m1");
        world.push(REPO, "feature", "b1", &[]);
    });
    let build = stage.built("b1");
    stage.pass(301);
    stage.ask("feature").await.is(&build, "fresh");
    stage.ask_number("feature", 1).await.is_nothing("not-yet");
}

#[tokio::test]
async fn what_was_withdrawn_under_another_line_of_the_branch_does_not_come_back_in_an_outage() {
    let setup = Setup { generator: "    hold: never", trust_after: "1s", ..Setup::default() };
    let stage = Stage::new(setup).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| {
        world.open_pull(REPO, Pull::new(1, "feature"));
        world.red(REPO, "a1");
    });
    stage.pass(301);
    stage.ask("feature").await.is_nothing("not-yet");
    stage.pass(301);
    down(&stage);
    stage.ask("feature").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_pull_request_that_github_does_not_show_yet_is_not_known_to_have_nothing() {
    let stage = Stage::new(Setup::default()).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.lag_github();
    stage.sim.world(|world| world.open_pull(REPO, Pull::new(1, "feature")));
    stage.ask_number("feature", 1).await.is_nothing("not-yet");
    stage.sim.catch_up();
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301);
    // Its branch had a build, and that is its own.
    stage.ask_number("feature", 1).await.is(&build, "held");
}

#[tokio::test]
async fn twins_that_all_have_nothing_freeze_nobody_in_an_outage() {
    let setup = Setup { generator: "    forks: allow", ..Setup::default() };
    let stage = Stage::new(setup).await;
    stage.pull(1, "patch-1", "a1");
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.force_push("stranger/myrepo", "patch-1", "f1", &["m1"]);
        world.open_pull(REPO, Pull::new(2, "patch-1").from_fork("stranger/myrepo"));
    });
    stage.ask_head("patch-1", "a1").await.is_nothing("not-yet");
    stage.ask_head("patch-1", "f1").await.is_nothing("not-yet");
    stage.pass(301);
    down(&stage);
    // A head that nobody has seen may be either's.
    stage.push("patch-1", "a2");
    stage.ask_head("patch-1", "a2").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_forks_pull_request_that_has_nothing_has_nothing_of_its_namesake_in_an_outage() {
    let stage = Stage::new(Setup { generator: "    forks: allow", ..Setup::default() }).await;
    stage.pull(1, "patch-1", "a1");
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.force_push("stranger/myrepo", "patch-1", "f1", &["m1"]);
        world.open_pull(REPO, Pull::new(2, "patch-1").from_fork("stranger/myrepo"));
    });
    let build = stage.built("a1");
    stage.ask_number("patch-1", 2).await.is_nothing("not-yet");
    stage.sim.world(|world| world.close_pull(REPO, 1));
    stage.ask_head("patch-1", "a1").await.is(&build, "fresh");
    stage.pass(301);
    down(&stage);
    let answer = stage.asking(json!({ "branch": "patch-1", "number": "2" }));
    stage.until(answer).await.is_nothing("unknown");
}

#[tokio::test]
async fn a_branch_that_disowns_its_pull_requests_build_freezes_nobody_later() {
    let stage = Stage::new(Setup::default()).await;
    let build = gained(&stage).await;
    stage.pass(301);
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| {
        world.close_pull(REPO, 1);
        world.force_push(REPO, "feature", "b1", &["m1"]);
    });
    stage.pass(301);
    stage.ask("feature").await.is_nothing("unknown");
    stage.pass(6);
    stage.ask("feature").await.is_nothing("not-yet");
    stage.pass(301);
    down(&stage);
    stage.ask("feature").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_branch_that_gained_its_pull_request_unseen_by_its_name_has_its_build_in_an_outage() {
    let stage = Stage::new(Setup::default()).await;
    let build = gained(&stage).await;
    stage.ask_number("feature", 1).await.is(&build, "fresh");
    down(&stage);
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    let stage = stage.restarted(&Setup::default());
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn a_read_from_before_a_branch_gained_its_pull_request_disowns_nothing() {
    let stage = Stage::new(Setup::default()).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(60);
    stage.ask("feature").await.is_nothing("not-yet");
    stage.push("feature", "a2");
    let build = stage.built("a2");
    stage.sim.world(|world| world.open_pull(REPO, Pull::new(1, "feature")));
    stage.ask_number("feature", 1).await.is(&build, "fresh");
    // What was read by the name shows neither the push nor the pull request.
    stage.ask("feature").await.is(&build, "fresh");
    assert_eq!(stage.ask_number("feature", 1).await.standing(), "fresh");
}

#[tokio::test]
async fn an_image_that_comes_late_is_found_by_whichever_question() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(3600);
    stage.ask("feature").await.is(&old, "fresh");
    stage.pass(590);
    stage.ask("feature").await.is(&old, "fresh");
    // By its number the line is read once more, so that what its name is known for is the older read.
    stage.pass(1);
    stage.ask_number("feature", 1).await.is(&old, "fresh");
    let new = stage.images("a2");
    stage.pass(100);
    stage.ask("feature").await.is(&new, "fresh");
}

#[tokio::test]
async fn a_forks_pull_request_that_is_open_again_is_no_more_taken_for_the_own_branch() {
    let stage = Stage::new(Setup { ahead: true, ..Setup::default() }).await;
    stage.pull(1, "patch-1", "a1");
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.force_push("stranger/myrepo", "patch-1", "f1", &["m1"]);
        world.open_pull(REPO, Pull::new(2, "patch-1").from_fork("stranger/myrepo"));
        world.close_pull(REPO, 2);
    });
    let build = stage.built("a1");
    let fresh = stage.keep_fresh();
    stage.ask("patch-1").await.is(&build, "fresh");
    stage.ask_with(json!({ "branch": "patch-1", "head_sha": sha("f1") })).await.is(&build, "held");
    stage.pass(6);
    // A second read agrees that this head is nobody's: the name has to do.
    stage.ask_with(json!({ "branch": "patch-1", "head_sha": sha("f1") })).await.is(&build, "fresh");
    stage.sim.world(|world| world.reopen_pull(REPO, 2));
    for _ in 0..40 {
        stage.settled().await;
        stage.pass(10);
        stage.ask("patch-1").await.is(&build, "fresh");
    }
    stage.ask_with(json!({ "branch": "patch-1", "head_sha": sha("f1") })).await.is_nothing("not-yet");
    fresh.abort();
}

//! What counts as green.

use lastgreen_sim::{CheckRun, Status, sha};

use crate::stage::{REPO, Setup, Stage};

async fn with_ci(ci: &'static str) -> Stage {
    let stage = Stage::new(Setup { build: ci, ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    stage.images("a1");
    stage
}

fn short() -> String {
    sha("a1")[..7].to_owned()
}

#[tokio::test]
async fn a_rerun_of_a_failed_check_counts() {
    let stage = with_ci("").await;
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(60);
    stage.ask("feature").await.is_nothing("not-yet");
    stage.green("a1");
    // A red head is final: a re-run shows within `refresh.settled`.
    stage.pass(241);
    let build = stage.images("a1");
    stage.asked();
    stage.ask("feature").await.is(&build, "fresh");
    assert_eq!(stage.asked().github(), 1);
}

#[tokio::test]
async fn no_checks_wait_or_pass() {
    let stage = with_ci("").await;
    stage.pass(3600);
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert_eq!(reply.reason(), format!("no commit will do: {} is without any check", short()));
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));

    let stage = with_ci("      ci: { noChecks: pass }").await;
    let build = stage.images("a1");
    stage.pass(3600);
    // Settling begins when the head is first seen.
    stage.ask("feature").await.is_nothing("not-yet");
    stage.pass(16);
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 2));
}

#[tokio::test]
async fn an_ignored_check_does_not_lock_the_preview_out() {
    let stage = with_ci("").await;
    stage.sim.world(|world| world.status(REPO, "a1", Status::new("argocd/preview", "pending")));
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_required_check_that_is_absent_is_waited_for() {
    let stage = with_ci("      ci: { require: [build, \"e2e *\"] }").await;
    stage.green("a1");
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("is pending (required and absent: e2e *)"), "{}", reply.reason());
    stage.sim.world(|world| {
        world.check(REPO, "a1", CheckRun::completed("e2e (chrome)", "success"));
        world.check(REPO, "a1", CheckRun::completed("optional", "failure"));
    });
    stage.pass(60);
    let build = stage.images("a1");
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 2));
}

#[tokio::test]
async fn a_hundred_and_one_checks_are_read_to_the_last() {
    let stage = with_ci("").await;
    stage.sim.world(|world| {
        for number in 0..100 {
            world.check(REPO, "a1", CheckRun::completed(&format!("check {number}"), "success"));
        }
        world.check(REPO, "a1", CheckRun::completed("the last", "failure"));
    });
    stage.pass(60);
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("is red (the last)"), "{}", reply.reason());
    assert_eq!(stage.asked().github(), 2);
}

#[tokio::test]
async fn green_is_believed_when_it_has_settled() {
    let stage = with_ci("").await;
    let build = stage.images("a1");
    stage.sim.world(|world| world.green(REPO, "a1"));
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("is pending (settling)"), "{}", reply.reason());
    stage.pass(16);
    stage.ask("feature").await.is(&build, "fresh");
}

#[tokio::test]
async fn skipped_checks_pass_or_fail_as_told() {
    for (ci, standing) in [("", "fresh"), ("      ci: { skipped: fail }", "not-yet")] {
        let stage = with_ci(ci).await;
        stage.sim.world(|world| world.check(REPO, "a1", CheckRun::completed("build", "skipped")));
        stage.pass(60);
        assert_eq!(stage.ask("feature").await.standing(), standing);
    }
}

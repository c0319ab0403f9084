//! What answers cost: requests to GitHub and to the registry, and round trips.

use lastgreen_sim::{ImageSpec, Service, sha};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

async fn green_head() -> Stage {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage
}

#[tokio::test]
async fn a_cold_question_is_one_request_each_and_a_warm_one_none() {
    let stage = green_head().await;
    stage.ask("feature").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    for _ in 0..10 {
        stage.ask("feature").await;
        stage.pass(20);
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn with_the_head_known_github_and_the_registry_are_asked_at_once() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    stage.sim.hold(Service::Registry);
    let answer = stage.asking(json!({"branch": "feature", "head_sha": sha("a1")}));
    // Nobody has answered anything yet, and everything was asked.
    stage.sim.wait_for(|counts| counts.graphql == 1 && counts.registry_head == 2).await;
    stage.sim.release(Service::GitHub);
    stage.sim.release(Service::Registry);
    assert_eq!(answer.await.unwrap().standing(), "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    stage.ask_head("feature", "a1").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn fifty_callers_at_once_cost_what_one_costs() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    let answers: Vec<_> = (0..50).map(|_| stage.asking(json!({"branch": "feature"}))).collect();
    stage.sim.wait_for(|counts| counts.graphql == 1).await;
    stage.sim.release(Service::GitHub);
    for answer in answers {
        assert_eq!(answer.await.unwrap().standing(), "fresh");
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_nothing() {
    let stage = green_head().await;
    stage.sim.hold(Service::GitHub);
    let answer = stage.asking(json!({"branch": "feature"}));
    stage.sim.wait_for(|counts| counts.graphql == 1).await;
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
    stage.sim.release(Service::GitHub);
    // The abandoned work goes on to the registry by itself.
    stage.sim.wait_for(|counts| counts.registry_head == 2).await;
    stage.ask("feature").await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_missing_tag_costs_one_request() {
    let stage = green_head().await;
    stage.ask("feature").await;
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(301);
    stage.asked();
    stage.ask("feature").await;
    // Both images of a2 are missing; that their repositories exist is known from a1's.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head, asked.registry()), (1, 2, 2));
}

#[tokio::test]
async fn a_pending_head_is_asked_again_after_pending_and_a_final_one_after_settled() {
    let stage = green_head().await;
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    stage.ask("feature").await;
    stage.asked();
    stage.pass(14);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 0);
    stage.pass(2);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 1);
    stage.images("a2");
    stage.sim.world(|world| world.clear_checks(REPO, "a2"));
    stage.green("a2");
    assert_eq!(stage.ask("feature").await.commit(), sha("a2"));
    stage.asked();
    stage.pass(299);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 0);
    stage.pass(2);
    stage.ask("feature").await;
    assert_eq!(stage.asked().github(), 1);
}

#[tokio::test]
async fn a_question_by_number_costs_the_same() {
    let stage = green_head().await;
    stage.ask_number("feature", 1).await;
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

/// How often the registry was asked for a tag of each image since this was called last.
fn looks(stage: &Stage) -> (usize, usize) {
    let seen = stage.sim.take_seen();
    let looks = |image: &str| {
        seen.iter().filter(|seen| seen.method == "HEAD" && seen.path.contains(&format!("/{image}/manifests/"))).count()
    };
    (looks("front"), looks("back"))
}

#[tokio::test]
async fn a_new_image_that_is_there_on_the_third_try_is_looked_for_four_times_at_most() {
    let stage = green_head().await;
    stage.ask_head("feature", "a1").await;
    looks(&stage);
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    // Argo CD asks every 30 seconds, and CI takes twenty minutes.
    for _ in 0..40 {
        stage.pass(30);
        assert_eq!(stage.ask_head("feature", "a2").await.commit(), sha("a1"));
    }
    stage.sim.world(|world| world.clear_checks(REPO, "a2"));
    stage.green("a2");
    for _ in 0..2 {
        assert_eq!(stage.ask_head("feature", "a2").await.commit(), sha("a1"));
        stage.pass(30);
    }
    stage.images("a2");
    assert_eq!(stage.ask_head("feature", "a2").await.commit(), sha("a2"));
    // Once ahead, when the head was new, and then thrice.
    assert_eq!(looks(&stage), (4, 4));
    // What was found is never asked for again, whatever becomes of its tag.
    for _ in 0..20 {
        stage.pass(301);
        stage.images("a2");
        stage.ask_head("feature", "a2").await;
    }
    assert_eq!(looks(&stage), (0, 0));
}

#[tokio::test]
async fn an_image_of_a_young_commit_is_answered_after_refresh_pending() {
    let stage = green_head().await;
    stage.ask("feature").await;
    stage.push("feature", "a2");
    stage.green("a2");
    // Nine minutes after CI's last word.
    stage.pass(480);
    assert_eq!(stage.ask("feature").await.commit(), sha("a1"));
    stage.images("a2");
    stage.pass(14);
    assert_eq!(stage.ask("feature").await.commit(), sha("a1"));
    stage.pass(2);
    assert_eq!(stage.ask("feature").await.commit(), sha("a2"));
}

#[tokio::test]
async fn an_old_absence_costs_little() {
    let stage = green_head().await;
    stage.ask("feature").await;
    stage.push("feature", "a2");
    stage.green("a2");
    stage.asked();
    looks(&stage);
    // The image that never came, polled every 30 seconds.
    let day = async || {
        for _ in 0..2 * 60 * 24 {
            assert_eq!(stage.ask("feature").await.commit(), sha("a1"));
            stage.pass(30);
        }
        let (front, back) = looks(&stage);
        assert_eq!(front, back);
        (front, stage.asked().github())
    };
    let (heads, reads) = day().await;
    assert!((140..=180).contains(&heads), "{heads}");
    assert!((280..=320).contains(&reads), "{reads}");
    let (heads, reads) = day().await;
    assert!((24..=26).contains(&heads), "{heads}");
    assert!((280..=290).contains(&reads), "{reads}");
    // A check that is run again makes it young again; that is seen like any re-run.
    stage.sim.world(|world| world.clear_checks(REPO, "a2"));
    stage.images("a2");
    stage.green("a2");
    stage.pass(301);
    assert_eq!(stage.ask("feature").await.commit(), sha("a2"));
}

#[tokio::test]
async fn a_moving_tag_is_looked_at_again_when_ci_says_something() {
    let stage = Stage::new(Setup { front: vec!["pr-{number}"], ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let pushed = |commit: &str| {
        let spec = ImageSpec::revision(&sha(commit));
        stage.sim.world(|world| world.push_image("myorg/front", "pr-1", &spec))
    };
    pushed("a1");
    stage.images("a1");
    stage.green("a1");
    assert_eq!(stage.ask_head("feature", "a1").await.commit(), sha("a1"));
    looks(&stage);
    let asking_for = async |minutes: u32| {
        for _ in 0..4 * minutes {
            stage.pass(15);
            assert_eq!(stage.ask_head("feature", "a2").await.commit(), sha("a1"));
        }
        looks(&stage).0
    };
    // While CI runs nothing is to be seen in it.
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    assert_eq!(asking_for(20).await, 0);
    // CI is done: it is looked at like an absence as long as it is another commit's, and else left alone.
    let passes = || {
        stage.sim.world(|world| world.clear_checks(REPO, "a2"));
        stage.green("a2");
    };
    passes();
    assert_eq!(asking_for(2).await, 8);
    pushed("a2");
    assert_eq!(asking_for(9).await, 1);
    // The other image is still missing. A check that was run again may have pushed both.
    passes();
    assert_eq!(asking_for(9).await, 1);
    // A safety net.
    assert_eq!(asking_for(40).await, 4);
}

#[tokio::test]
async fn a_head_that_is_nobodys_costs_no_more_than_the_name_alone() {
    let stage = green_head().await;
    let stranger = json!({"branch": "feature", "head_sha": sha("f1")});
    let hour = async |parameters: serde_json::Value| {
        // A second read settles that this head is nobody's: the name has to do.
        for _ in 0..2 {
            stage.ask_with(parameters.clone()).await;
            stage.pass(6);
        }
        stage.asked();
        for _ in 0..120 {
            stage.pass(30);
            assert_eq!(stage.ask_with(parameters.clone()).await.standing(), "fresh");
        }
        stage.asked().github()
    };
    assert_eq!((hour(json!({"branch": "feature"})).await, hour(stranger).await), (12, 12));
}

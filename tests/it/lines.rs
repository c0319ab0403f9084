//! Which line is meant: forks, branches of the same name, pull requests that come and go.

use lastgreen_sim::{Fault, ImageSpec, Pull, Target, What, sha};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

/// A stage with an own branch `patch-1` (head `a1`, pull request 1) and a fork's of the same name (head `f1`, number 2).
async fn twins(setup: Setup) -> Stage {
    let stage = Stage::new(setup).await;
    stage.pull(1, "patch-1", "a1");
    fork(&stage, 2, "patch-1", "f1");
    stage
}

fn fork(stage: &Stage, number: u64, branch: &str, commit: &str) {
    stage.sim.world(|world| {
        if world.github.repository("stranger/myrepo").is_none() {
            world.fork(REPO, "stranger/myrepo");
        }
        world.force_push("stranger/myrepo", branch, commit, &["m1"]);
        world.open_pull(REPO, Pull::new(number, branch).from_fork("stranger/myrepo"));
    });
}

fn allowing_forks() -> Setup {
    Setup { generator: "    forks: allow", ..Setup::default() }
}

#[tokio::test]
async fn forks_are_refused_by_default() {
    let stage = twins(Setup::default()).await;
    stage.built("f1");
    let reply = stage.ask_number("patch-1", 2).await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("forks: refuse"), "{}", reply.reason());
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn forks_that_are_allowed_are_judged_by_the_base_repositorys_checks() {
    let stage = twins(allowing_forks()).await;
    let build = stage.images("f1");
    // The fork's own CI says nothing about ours.
    stage.sim.world(|world| world.green("stranger/myrepo", "f1"));
    stage.pass(60);
    stage.ask_number("patch-1", 2).await.is_nothing("not-yet");
    stage.green("f1");
    stage.asked();
    stage.ask_number("patch-1", 2).await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn twins_never_get_each_others_digests() {
    let stage = twins(allowing_forks()).await;
    let (own, forks) = (stage.built("a1"), stage.built("f1"));
    for _ in 0..2 {
        stage.ask_number("patch-1", 1).await.is(&own, "fresh");
        stage.ask_number("patch-1", 2).await.is(&forks, "fresh");
        stage.ask_head("patch-1", "a1").await.is(&own, "fresh");
        stage.ask_head("patch-1", "f1").await.is(&forks, "fresh");
        // With the name alone it is the own branch.
        stage.ask("patch-1").await.is(&own, "fresh");
        stage.pass(301);
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (6, 4));
}

#[tokio::test]
async fn twins_stay_apart_while_github_is_down_and_when_a_head_is_new() {
    let stage = twins(Setup { trust_after: "1s", ..allowing_forks() }).await;
    let (own, forks) = (stage.built("a1"), stage.built("f1"));
    stage.ask_head("patch-1", "a1").await.is(&own, "fresh");
    stage.ask_head("patch-1", "f1").await.is(&forks, "fresh");
    stage.pass(301);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.ask_head("patch-1", "a1").await.is(&own, "held");
    stage.ask_head("patch-1", "f1").await.is(&forks, "held");
    stage.ask_number("patch-1", 2).await.is(&forks, "held");
    // A head that nobody has seen may be either's: no digests, and no empty list either.
    let asked = stage.asking(json!({"branch": "patch-1", "head_sha": sha("new")}));
    stage.until(asked).await.is_refused(503);
}

#[tokio::test]
async fn a_branch_made_again_by_somebody_else_inherits_nothing() {
    let stage = Stage::new(allowing_forks()).await;
    stage.pull(1, "patch-1", "a1");
    let own = stage.built("a1");
    stage.ask_number("patch-1", 1).await.is(&own, "fresh");
    stage.sim.world(|world| world.delete_branch(REPO, "patch-1"));
    fork(&stage, 2, "patch-1", "f1");
    stage.pass(301);
    stage.ask_number("patch-1", 2).await.is_nothing("not-yet");
    stage.ask_head("patch-1", "f1").await.is_nothing("not-yet");
    stage.ask("patch-1").await.is_nothing("not-yet");
    // The own branch again, by another push and another pull request: not the first one's digests.
    stage.sim.world(|world| {
        world.create_branch(REPO, "patch-1", "m1");
        world.push(REPO, "patch-1", "c1", &[]);
        world.open_pull(REPO, Pull::new(3, "patch-1"));
    });
    stage.pass(301);
    stage.ask_number("patch-1", 3).await.is_nothing("not-yet");
    stage.ask_head("patch-1", "c1").await.is_nothing("not-yet");
    // The first pull request's record is still its own.
    stage.ask_number("patch-1", 1).await.is(&own, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (6, 6));
}

#[tokio::test]
async fn a_branch_gains_and_loses_its_pull_request() {
    let stage = Stage::new(Setup::default()).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    let first = stage.built("a1");
    stage.ask("feature").await.is(&first, "fresh");
    // It gains a pull request, and its head turns red: the preview stays.
    stage.push("feature", "a2");
    stage.sim.world(|world| {
        world.red(REPO, "a2");
        world.red(REPO, "a1");
        world.open_pull(REPO, Pull::new(1, "feature"));
    });
    stage.pass(301);
    stage.asked();
    stage.ask_number("feature", 1).await.is(&first, "held");
    stage.ask("feature").await.is(&first, "held");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 0));
    // It loses it again, after a newer build.
    stage.push("feature", "a3");
    let third = stage.built("a3");
    stage.pass(301);
    stage.ask("feature").await.is(&third, "fresh");
    stage.sim.world(|world| {
        world.close_pull(REPO, 1);
        world.red(REPO, "a3");
    });
    stage.pass(301);
    stage.asked();
    stage.ask("feature").await.is(&third, "held");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
    // Deleted and made again from main, another branch of the same name takes nothing over.
    stage.sim.world(|world| {
        world.delete_branch(REPO, "feature");
        world.create_branch(REPO, "feature", "m1");
        world.push(REPO, "feature", "z1", &[]);
        world.open_pull(REPO, Pull::new(2, "feature"));
    });
    stage.pass(301);
    stage.ask_number("feature", 2).await.is_nothing("not-yet");
}

#[tokio::test]
async fn a_withdrawn_preview_does_not_come_back_by_taking_over() {
    let stage = Stage::new(Setup { generator: "    hold: 1h", ..Setup::default() }).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    stage.push("feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.push("feature", "a2");
    stage.sim.world(|world| {
        world.red(REPO, "a1");
        world.red(REPO, "a2");
        world.open_pull(REPO, Pull::new(1, "feature"));
    });
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(1801);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(1801);
    for _ in 0..3 {
        stage.ask("feature").await.is_nothing("not-yet");
        stage.pass(301);
    }
}

#[tokio::test]
async fn a_commit_before_the_pull_requests_own_is_taken_over_without_doubt() {
    let stage = Stage::new(Setup::default()).await;
    stage.sim.world(|world| world.create_branch(REPO, "feature", "m1"));
    let base = stage.built("m1");
    stage.ask("feature").await.is(&base, "fresh");
    stage.push("feature", "a1");
    stage.sim.world(|world| world.open_pull(REPO, Pull::new(1, "feature")));
    let build = stage.built("a1");
    stage.pass(301);
    stage.ask("feature").await.is(&build, "fresh");
}

#[tokio::test]
async fn several_forks_of_one_name_need_a_number() {
    let stage = Stage::new(allowing_forks()).await;
    fork(&stage, 1, "patch-1", "f1");
    stage.sim.world(|world| {
        world.fork(REPO, "other/myrepo");
        world.force_push("other/myrepo", "patch-1", "g1", &["m1"]);
        world.open_pull(REPO, Pull::new(2, "patch-1").from_fork("other/myrepo"));
    });
    let build = stage.built("g1");
    let reply = stage.ask("patch-1").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("pass `number`"), "{}", reply.reason());
    stage.ask_number("patch-1", 2).await.is(&build, "fresh");
}

#[tokio::test]
async fn a_renamed_repository_keeps_everything() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| {
        world.rename_repository(REPO, "myorg/renamed");
        world.red("myorg/renamed", "a1");
    });
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn odd_but_legal_names_are_looked_up_and_answered_with_200() {
    let stage = Stage::new(Setup::tags("{branch}")).await;
    for (number, name) in (1..).zip(["emoji-🎉", "a{{b", "$(x)", "-a", &"x".repeat(200)]) {
        stage.sim.world(|world| {
            world.create_branch(REPO, name, "m1");
            world.push(REPO, name, format!("odd{number}"), &[]);
            world.open_pull(REPO, Pull::new(number, name));
            world.green(REPO, format!("odd{number}"));
        });
        stage.pass(60);
        let reply = stage.ask(name).await;
        reply.is_nothing("not-yet");
        assert!(!reply.reason().is_empty());
    }
}

#[tokio::test]
async fn a_number_wins_over_a_branch_that_disagrees() {
    let stage = Stage::new(Setup::tags("{branch:docker}-{sha7}")).await;
    stage.pull(1, "feature", "a1");
    let tag = format!("feature-{}", &sha("a1")[..7]);
    let build = stage.tagged(&tag, &ImageSpec::default());
    stage.green("a1");
    stage.ask_number("something-else", 1).await.is(&build, "fresh");
}

#[tokio::test]
async fn githubs_head_may_be_behind_the_one_that_was_seen() {
    let stage = Stage::new(Setup { trust_after: "1s", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let first = stage.built("a1");
    stage.ask_head("feature", "a1").await.is(&first, "fresh");
    stage.pass(60);
    stage.asked();
    // Argo CD has seen a2, GitHub's GraphQL has not: what memory says is asked again at once, and then doubted.
    stage.ask_head("feature", "a2").await.is(&first, "held");
    let asked = stage.asked();
    assert_eq!((asked.graphql, asked.registry_head), (1, 2));
    stage.push("feature", "a2");
    let second = stage.built("a2");
    stage.ask_head("feature", "a2").await.is(&second, "fresh");
    // A head that is behind GitHub's is no reason for doubt.
    stage.asked();
    stage.ask_head("feature", "a1").await.is(&second, "fresh");
    assert_eq!(stage.asked().github(), 0);
}

#[tokio::test]
async fn a_head_of_none_of_several_lines_deletes_and_freezes_nothing() {
    let stage = twins(allowing_forks()).await;
    // Pushed and gone again before we read: settled by a second read within the answer's time; then the name has to do,
    // and the own branch comes first.
    let gone = || json!({"branch": "patch-1", "head_sha": sha("gone")});
    let reply = stage.until(stage.asking(gone())).await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("is without any check"), "{}", reply.reason());
    // One of the lines was answered: it is the only one that has something to lose.
    let own = stage.built("a1");
    stage.ask_head("patch-1", "a1").await.is(&own, "fresh");
    stage.ask_with(gone()).await.is(&own, "held");
    stage.pass(301);
    stage.ask_with(gone()).await.is(&own, "fresh");
}

#[tokio::test]
async fn a_reopened_pull_request_keeps_its_preview() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask_head("feature", "a1").await.is(&build, "fresh");
    stage.sim.world(|world| world.delete_branch(REPO, "feature"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.sim.world(|world| {
        world.create_branch(REPO, "feature", "a1");
        world.push(REPO, "feature", "a2", &[]);
        world.reopen_pull(REPO, 1);
    });
    stage.pass(2);
    stage.ask_head("feature", "a2").await.is(&build, "fresh");
    stage.ask_number("feature", 1).await.is(&build, "fresh");
}

#[tokio::test]
async fn two_pull_requests_from_a_branch_that_looks_like_a_template_freeze_nobody() {
    let stage = Stage::new(Setup::default()).await;
    for (number, owner) in [(1, "one"), (2, "two")] {
        stage.sim.world(|world| {
            world.fork(REPO, &format!("{owner}/myrepo"));
            world.push(&format!("{owner}/myrepo"), "{{x}}", format!("{owner}1"), &["m1"]);
            world.open_pull(REPO, Pull::new(number, "{{x}}").from_fork(&format!("{owner}/myrepo")));
        });
    }
    stage.ask("{{x}}").await.is_nothing("not-yet");
    stage.ask_head("{{x}}", "one1").await.is_nothing("not-yet");
}

#[tokio::test]
async fn a_head_that_was_force_pushed_away_still_tells_twins_apart() {
    let stage = twins(Setup { generator: "    forks: allow\n    hold: never", ..Setup::default() }).await;
    let (own, forks) = (stage.built("a1"), stage.built("f1"));
    stage.ask_head("patch-1", "a1").await.is(&own, "fresh");
    stage.ask_head("patch-1", "f1").await.is(&forks, "fresh");
    stage.sim.world(|world| world.force_push(REPO, "patch-1", "a2", &["m1"]));
    let second = stage.built("a2");
    // Argo CD's list is from before the push: doubted at first, then GitHub's head is walked.
    stage.pass(301);
    stage.ask_head("patch-1", "a1").await.is(&own, "held");
    stage.pass(16);
    stage.ask_head("patch-1", "a1").await.is(&second, "fresh");
    stage.ask_head("patch-1", "f1").await.is(&forks, "fresh");
}

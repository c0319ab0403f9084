//! Which commit is answered: the newest of the pull request that is green and complete.

use lastgreen_sim::{ImageSpec, Pull, sha};

use crate::stage::{REPO, Setup, Stage};

#[tokio::test]
async fn a_green_head_is_answered() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    let reply = stage.ask("feature").await;
    reply.is(&build, "fresh");
    assert_eq!(reply.commit(), sha("a1"));
    let asked = stage.asked();
    assert_eq!((asked.graphql, asked.registry_head), (1, 2));
    assert_eq!(asked.github() + asked.registry(), 3);
}

#[tokio::test]
async fn while_the_head_is_pending_its_parent_is_answered() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    let reply = stage.ask("feature").await;
    reply.is(&build, "fresh");
    assert_eq!(reply.reason(), format!("{} is pending (build)", &sha("a2")[..7]));
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn a_red_head_is_passed_over_and_a_new_green_one_takes_over() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let first = stage.built("a1");
    stage.ask("feature").await.is(&first, "fresh");
    stage.push("feature", "a2");
    stage.images("a2");
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.pass(301);
    stage.asked();
    let reply = stage.ask("feature").await;
    reply.is(&first, "fresh");
    assert_eq!(reply.reason(), format!("{} is red (build)", &sha("a2")[..7]));
    // The build of a1 is recorded: its images are known.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
    stage.push("feature", "a3");
    let third = stage.built("a3");
    stage.pass(301);
    stage.ask("feature").await.is(&third, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn one_missing_image_of_two_is_no_build() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.sim.world(|world| world.push_image("myorg/front", &format!("sha-{}", sha("a1")), &ImageSpec::default()));
    stage.green("a1");
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    let reference = format!("{}/myorg/back:sha-{}", stage.sim.registry_host(), sha("a1"));
    assert!(reply.reason().contains(&reference[..60]) && reply.reason().ends_with("is absent"), "{}", reply.reason());
    // One request for each tag, and once in an hour whether the repository of the missing one exists.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head, asked.tags_list, asked.registry()), (1, 2, 1, 3));
    let back =
        stage.sim.world(|world| world.push_image("myorg/back", &format!("sha-{}", sha("a1")), &ImageSpec::default()));
    stage.pass(16);
    let reply = stage.ask("feature").await;
    assert_eq!(reply.body["output"]["parameters"][0]["digestBack"], back);
    // The head was green already; only what was absent is asked for again.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 1));
}

#[tokio::test]
async fn a_force_push_keeps_the_preview_until_the_new_head_is_built() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let first = stage.built("a1");
    stage.ask_number("feature", 1).await.is(&first, "fresh");
    stage.sim.world(|world| {
        world.force_push(REPO, "feature", "b1", &["m1"]);
        world.pending(REPO, "b1");
    });
    stage.pass(301);
    stage.asked();
    // The head seen last is gone: that may be a stale read until a second one agrees.
    stage.ask_number("feature", 1).await.is(&first, "held");
    assert_eq!(stage.asked().github(), 1);
    stage.pass(5);
    let reply = stage.ask_number("feature", 1).await;
    reply.is(&first, "held");
    assert_eq!(reply.reason(), format!("no commit will do: {} is pending (build)", &sha("b1")[..7]));
    assert_eq!(stage.asked().github(), 1);
    let second = stage.built("b1");
    stage.ask_number("feature", 1).await.is(&second, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn commits_merged_in_from_the_base_are_no_candidates() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.push("main", "m2");
    stage.images("m2");
    stage.sim.world(|world| world.green(REPO, "m2"));
    let merge = stage.sim.world(|world| world.merge(REPO, "feature", "main"));
    stage.sim.world(|world| world.pending(REPO, merge));
    stage.pass(60);
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(!reply.reason().contains(&sha("m2")[..7]), "{}", reply.reason());
    let build = stage.built("a1");
    stage.asked();
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn the_walk_never_passes_the_merge_base() {
    let stage = Stage::new(Setup::default()).await;
    stage.images("m1");
    stage.green("m1");
    stage.pull(1, "feature", "a1");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.ask("feature").await.is_nothing("not-yet");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn a_branch_without_a_pull_request_is_walked_by_first_parents() {
    let stage = Stage::new(Setup::default()).await;
    stage.push("main", "m2");
    let build = stage.built("m2");
    stage.push("main", "m3");
    stage.ask("main").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn more_commits_than_a_page_are_walked_and_the_limit_holds() {
    let setup = || Setup { build: "      walk: 3", ..Setup::default() };
    let stage = Stage::new(setup()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    for commit in ["a2", "a3"] {
        stage.push("feature", commit);
    }
    stage.ask("feature").await.is(&build, "fresh");
    let stage = stage.restarted_without_ledger(&setup());
    stage.push("feature", "a4");
    stage.pass(301);
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().starts_with("none of the 3 newest commits will do: "), "{}", reply.reason());
}

#[tokio::test]
async fn a_head_that_github_does_not_list_last_is_found() {
    // GitHub lists a pull request's commits by author date, so a rebased head may not be among the last ones.
    let stage = Stage::new(Setup { build: "      walk: 2", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    for commit in ["a2", "a3", "a4"] {
        stage.push("feature", commit);
    }
    stage.sim.world(|world| {
        let old = world.now - chrono::TimeDelta::days(9);
        world.commit_mut(REPO, "a4").authored_at = Some(old);
    });
    let build = stage.built("a4");
    stage.ask("feature").await.is(&build, "fresh");
    assert_eq!(stage.asked().github(), 2);
}

#[tokio::test]
async fn an_older_commit_is_never_answered_after_a_newer_one() {
    let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.push("feature", "a2");
    let second = stage.built("a2");
    stage.ask("feature").await.is(&second, "fresh");
    // A re-run of a2 fails: a1 is still green, but older.
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.pass(301);
    stage.asked();
    stage.ask("feature").await.is(&second, "held");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
}

#[tokio::test]
async fn pull_requests_share_a_commit_and_keep_their_own_lines() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.sim.world(|world| {
        world.create_branch(REPO, "other", "a1");
        world.open_pull(REPO, Pull::new(2, "other"));
    });
    stage.ask_number("feature", 1).await.is(&build, "fresh");
    stage.ask_number("other", 2).await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 2));
}

//! What is read when all is well.

use std::time::Duration;

use chrono::TimeDelta;
use lastgreen::{
    clock::Clock as _,
    domain::{CheckState, Source},
    github::{Ask, By, CommitsOf},
    upstream::Kind,
};
use lastgreen_sim::{CheckRun, Kind as Asked, Mergeability, Pull, Status, sha};

use crate::stage::{NEVER, REPO, Stage, branch, commit, repo, whole_seconds, world};

#[tokio::test]
async fn a_branch_comes_with_its_pull_requests_in_one_request() {
    let stage = Stage::new(world()).await;
    let asked = stage.clock.now();
    let snapshot = stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().github(), 1);
    assert_eq!(stage.sim.points_spent(), 1);
    assert_eq!(snapshot.repository.name, repo());
    assert!(asked < snapshot.began && snapshot.began < stage.clock.now());
    assert_eq!(snapshot.github_time, stage.sim.world(|world| world.now));

    let tip = snapshot.own_branch.as_ref().unwrap();
    assert_eq!(tip.head, commit("a2"));
    let loaded: Vec<_> = tip.commits.loaded.iter().map(|commit| commit.sha).collect();
    assert_eq!(loaded, ["a2", "a1", "m1"].map(commit));

    let [pull] = snapshot.pulls.as_slice() else { panic!("{snapshot:?}") };
    assert_eq!((pull.number, pull.open, pull.from_fork, pull.head), (5, true, false, commit("a2")));
    let own = pull.commits.as_ref().unwrap();
    assert_eq!(own.loaded.len(), 2);
    assert!(own.more.is_none());
    // Both ways lead to the same commits, which are kept once.
    let head = own.loaded.iter().find(|own| own.sha == commit("a2")).unwrap();
    assert!(std::sync::Arc::ptr_eq(head, &tip.commits.loaded[0]));
    assert_eq!(head.parents, [commit("a1")]);
    let [check] = head.checks.as_slice() else { panic!("{head:?}") };
    assert_eq!((&*check.name, check.state, &*check.word), ("build", CheckState::Passed, "success"));
    let source = Source::Run { app: Some(15368), workflow: Some("CI".into()), event: Some("push".into()) };
    assert_eq!(check.source, source);

    let merge = stage.sim.world(|world| world.github.repository(REPO).unwrap().pull(5).unwrap().test_merge.clone());
    assert_eq!(pull.test_merge.unwrap().as_str(), &*merge.unwrap());
}

#[tokio::test]
async fn a_warm_snapshot_asks_nothing() {
    let stage = Stage::new(world()).await;
    let ask = branch("feature");
    let asked = stage.clock.now();
    assert!(!stage.github.is_fresh(&ask, asked).await);
    stage.branch("feature").await.unwrap();
    stage.clock.advance(Duration::from_secs(10));
    assert!(stage.github.is_fresh(&ask, asked).await);
    stage.github.snapshot(ask.clone(), asked).await.unwrap();
    assert_eq!(stage.sim.counts().github(), 1);
    assert!(!stage.github.is_fresh(&ask, stage.clock.now()).await);
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().github(), 2);
}

#[tokio::test]
async fn fifty_callers_are_one_request() {
    let stage = Stage::new(world()).await;
    stage.sim.hold(lastgreen_sim::Service::GitHub);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (github, now) = (std::sync::Arc::clone(&stage.github), stage.clock.now());
            tokio::spawn(async move { github.snapshot(branch("feature"), now).await.map(drop) })
        })
        .collect();
    stage.sim.wait_for(|counts| counts.github() == 1).await;
    stage.sim.release(lastgreen_sim::Service::GitHub);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(stage.sim.counts().github(), 1);
}

#[tokio::test]
async fn what_does_not_exist_is_no_error_but_for_the_repository() {
    let stage = Stage::new(world()).await;
    let snapshot = stage.branch("nothing").await.unwrap();
    assert!(snapshot.own_branch.is_none() && snapshot.pulls.is_empty());
    let snapshot = stage.number(99).await.unwrap();
    assert!(snapshot.own_branch.is_none() && snapshot.pulls.is_empty());
    assert!(stage.number(u64::MAX).await.unwrap().pulls.is_empty());
    let ask = Ask { repo: "myorg/other".parse().unwrap(), by: By::Number(1), walk: 20 };
    let error = stage.github.snapshot(ask, NEVER).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert_eq!(
        error.to_string(),
        "GitHub: the repository `myorg/other` does not exist, or the credential cannot see it"
    );
}

#[tokio::test]
async fn by_number_also_a_closed_or_conflicting_one() {
    let mut world = world();
    world.close_pull(REPO, 5);
    world.open_pull(REPO, Pull::new(6, "feature"));
    world.set_mergeable(REPO, 6, Mergeability::Conflicting);
    let stage = Stage::new(world).await;
    let snapshot = stage.number(5).await.unwrap();
    assert!(!snapshot.pulls[0].open);
    assert_eq!(snapshot.pulls[0].commits.as_ref().unwrap().loaded.len(), 2);
    let snapshot = stage.number(6).await.unwrap();
    assert_eq!((snapshot.pulls[0].open, snapshot.pulls[0].test_merge), (true, None));
}

#[tokio::test]
async fn a_fork_is_told_and_only_two_pull_requests_bring_commits() {
    let mut world = world();
    for number in 11..14 {
        let fork = format!("dev{number}/myrepo");
        world.fork(REPO, &fork);
        world.push(&fork, "feature", format!("f{number}"), &[]);
        world.open_pull(REPO, Pull::new(number, "feature").from_fork(&fork));
    }
    let stage = Stage::new(world).await;
    let snapshot = stage.branch("feature").await.unwrap();
    let seen: Vec<_> =
        snapshot.pulls.iter().map(|pull| (pull.number, pull.from_fork, pull.commits.is_some())).collect();
    assert_eq!(seen, [(5, false, true), (11, true, true), (12, true, false), (13, true, false)]);
    assert!(!snapshot.more_pulls);
}

#[tokio::test]
async fn a_long_walk_goes_on_page_by_page() {
    let mut world = world();
    let ids: Vec<String> = (0..50).map(|n| format!("c{n}")).collect();
    world.push_all(REPO, "feature", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let stage = Stage::new(world).await;
    let snapshot = stage.branch("feature").await.unwrap();
    let mut pulls: Vec<_> = snapshot.pulls[0].commits.as_ref().unwrap().loaded.iter().map(|one| one.sha).collect();
    assert!(pulls.contains(&commit("c49")));
    let mut cursor = snapshot.pulls[0].commits.as_ref().unwrap().more.clone();
    while let Some(at) = &cursor {
        let page = stage.github.more_commits(&repo(), &CommitsOf::Pull(5), at, NEVER).await.unwrap();
        pulls.extend(page.loaded.iter().map(|one| one.sha));
        cursor.clone_from(&page.more);
    }
    pulls.sort_unstable();
    pulls.dedup();
    assert_eq!(pulls.len(), 52);

    let tip = snapshot.own_branch.as_ref().unwrap();
    let mut history = tip.commits.loaded.clone();
    let mut cursor = tip.commits.more.clone();
    while let Some(at) = &cursor {
        let page = stage.github.more_commits(&repo(), &CommitsOf::History(tip.head), at, NEVER).await.unwrap();
        history.extend(page.loaded.iter().cloned());
        cursor.clone_from(&page.more);
    }
    assert_eq!(history.len(), 53);
    assert_eq!(history.last().unwrap().sha, commit("m1"));
}

#[tokio::test]
async fn a_hundred_and_one_checks_are_two_pages() {
    let mut world = world();
    for n in 0..100 {
        world.check(REPO, "a2", CheckRun::completed(&format!("job {n}"), "skipped"));
    }
    world.status(REPO, "a2", Status::new("ci/external", "pending"));
    let stage = Stage::new(world).await;
    let snapshot = stage.branch("feature").await.unwrap();
    let head = &snapshot.own_branch.as_ref().unwrap().commits.loaded[0];
    assert_eq!(head.checks.len(), 100);
    let cursor = head.more_checks.as_deref().unwrap();
    let page = stage.github.more_checks(&repo(), head.sha, cursor, NEVER).await.unwrap();
    assert_eq!((page.checks.len(), page.more.as_deref()), (2, None));
    assert!(head.checks.iter().chain(&page.checks).any(|check| check.source == Source::Status));
}

#[tokio::test]
async fn a_commit_is_asked_for_until_it_is_known() {
    let stage = Stage::new(world()).await;
    let merge = stage.sim.world(|world| world.github.repository(REPO).unwrap().pull(5).unwrap().test_merge.clone());
    let merge = merge.unwrap().parse().unwrap();
    for _ in 0..3 {
        let facts = stage.github.commit(&repo(), merge).await.unwrap().unwrap();
        assert!(facts.by_github);
        assert_eq!(facts.parents, [commit("m1"), commit("a2")]);
        assert_eq!(facts.headline, format!("Merge {} into {}", sha("a2"), sha("m1")));
        stage.clock.advance(Duration::from_hours(100));
    }
    assert_eq!(stage.sim.counts().github(), 1);
    assert!(!stage.github.commit(&repo(), commit("a1")).await.unwrap().unwrap().by_github);

    stage.sim.reset_counts();
    let late = commit("a3");
    assert!(stage.github.commit(&repo(), late).await.unwrap().is_none());
    assert!(stage.github.commit(&repo(), late).await.unwrap().is_none());
    assert_eq!(stage.sim.counts().github(), 1);
    stage.sim.world(|world| world.push(REPO, "feature", "a3", &[]));
    stage.clock.advance(Duration::from_secs(16));
    assert!(stage.github.commit(&repo(), late).await.unwrap().is_some());
}

#[tokio::test]
async fn ancestry_is_asked_once() {
    let mut world = world();
    world.create_branch(REPO, "other", "m1");
    world.push(REPO, "other", "o1", &[]);
    let stage = Stage::new(world).await;
    let is = async |ancestor: &str, descendant: &str| {
        stage.github.is_ancestor(&repo(), commit(ancestor), commit(descendant)).await.unwrap()
    };
    for _ in 0..3 {
        assert!(is("a1", "a2").await);
        assert!(!is("a2", "a1").await);
        assert!(!is("o1", "a2").await);
        assert!(!is("nothing", "a2").await);
        assert!(is("a2", "a2").await);
    }
    assert_eq!(stage.sim.counts().rest, 4);
}

#[tokio::test]
async fn a_renamed_repository_is_followed() {
    let mut world = world();
    world.rename_repository(REPO, "neworg/newrepo");
    let stage = Stage::new(world).await;
    let snapshot = stage.branch("feature").await.unwrap();
    assert_eq!(snapshot.repository.name.to_string(), "neworg/newrepo");
    assert!(stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap());
    assert_eq!(stage.sim.counts().rest, 2);
}

#[tokio::test]
async fn an_enterprise_server_has_its_apis_elsewhere() {
    let mut world = world();
    world.github.enterprise = true;
    world.rename_repository(REPO, "neworg/newrepo");
    let stage = Stage::new(world).await;
    stage.branch("feature").await.unwrap();
    assert!(stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap());
    let seen = stage.sim.seen();
    assert_eq!(seen[0].path, "/api/graphql");
    assert!(seen[1].path.starts_with("/api/v3/repos/myorg/myrepo/compare/"));
    assert!(seen[2].path.starts_with("/api/v3/repositories/"));
    // No limits are named: none are known.
    assert_eq!(stage.github.budget(), None);
}

#[tokio::test]
async fn every_request_is_marked_and_the_budget_is_remembered() {
    let stage = Stage::new(world()).await;
    stage.branch("feature").await.unwrap();
    stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap();
    for seen in stage.sim.seen() {
        let header = |name: &str| seen.headers.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("x-github-api-version"), "2022-11-28");
        assert_eq!(header("accept"), "application/vnd.github+json");
        assert!(header("user-agent").starts_with("lastgreen/"));
        assert!(matches!(seen.kind, Asked::GraphQl | Asked::Rest));
    }
    let budget = stage.github.budget().unwrap();
    assert_eq!((budget.limit, budget.remaining, whole_seconds(budget.reset_in)), (5000, 4999, Duration::from_hours(1)));
}

#[tokio::test]
async fn a_wrong_wall_clock_here_changes_nothing() {
    let stage = Stage::new(world()).await;
    stage.clock.jump_wall(TimeDelta::days(-400));
    stage.branch("feature").await.unwrap();
    assert_eq!(whole_seconds(stage.github.budget().unwrap().reset_in), Duration::from_hours(1));
}

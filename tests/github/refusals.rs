//! What can go wrong, each told apart, and never taken for "no checks".

use std::time::Duration;

use lastgreen::{
    github::{Ask, By, Health},
    upstream::Kind,
};
use lastgreen_sim::{Fault, PersonalToken, Status, Target, TokenKind, What};

use crate::stage::{REPO, Stage, commit, private_world, repo, world};

async fn failing(what: What) -> (Stage, Kind, String) {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::always(Target::GitHub, what));
    let error = stage.failure().await;
    let (kind, message) = (error.kind, error.to_string());
    assert!(!message.contains(PersonalToken::DEFAULT), "{message}");
    (stage, kind, message)
}

#[tokio::test]
async fn failures_of_the_service() {
    let text = |text: &str| text.to_owned();
    for (what, kind) in [
        (What::Status(500, text("oh")), Kind::Unavailable),
        (What::Status(502, text("<html>Unicorn</html>")), Kind::Unavailable),
        (What::Status(504, text(r#"{"message":"We couldn't respond to your request in time."}"#)), Kind::Unavailable),
        (What::Status(404, text(r#"{"message":"Not Found"}"#)), Kind::Malformed),
        (What::Status(418, text("teapot")), Kind::Malformed),
        (What::Status(200, text(r#"{"data":null}"#)), Kind::Malformed),
        (What::Status(200, text("{}")), Kind::Malformed),
        (What::Status(200, text(r#"{"data":{}}"#)), Kind::Malformed),
        (What::Status(200, text(r#"{"data":{"repository":null}}"#)), Kind::NotFound),
        (What::Status(200, text(r#"{"data":{"repository":{"databaseId":null}}}"#)), Kind::Malformed),
        (What::NotJson, Kind::Malformed),
        (What::EmptyBody200, Kind::Malformed),
        (What::TruncatedJson, Kind::Unavailable),
        (What::HugeBody, Kind::Malformed),
        (What::ConnectionReset, Kind::Unavailable),
        (What::RedirectTo(text("http://127.0.0.1:1/graphql")), Kind::Malformed),
    ] {
        let (_, found, message) = failing(what.clone()).await;
        assert_eq!(found, kind, "{what:?}: {message}");
    }
}

#[tokio::test]
async fn errors_in_a_200() {
    let error = |kind: &str, message: &str, path: &str| What::GraphqlErrorIn200 {
        kind: kind.to_owned(),
        message: message.to_owned(),
        path: path.to_owned(),
    };
    for (what, kind) in [
        (error("", "Resource limits for this query exceeded.", ""), Kind::Unavailable),
        (error("", "Something went wrong while executing your query. Please include `A1:B2`", ""), Kind::Unavailable),
        (error("SERVICE_UNAVAILABLE", "no", ""), Kind::Unavailable),
        (error("NOT_FOUND", "Could not resolve to a Repository with the name 'x'.", "repository"), Kind::NotFound),
        (error("FORBIDDEN", "Resource not accessible by integration", "repository"), Kind::Forbidden),
        (error("INSUFFICIENT_SCOPES", "Your token has not been granted the required scopes", ""), Kind::Forbidden),
        (error("", "Field 'x' doesn't exist on type 'PullRequest'", ""), Kind::Malformed),
    ] {
        let (_, found, message) = failing(what.clone()).await;
        assert_eq!(found, kind, "{what:?}: {message}");
        assert!(!message.contains("A1:B2"), "{message}");
    }
}

#[tokio::test]
async fn partial_data_are_no_data() {
    let rollup = "repository.branch.target.history.nodes.0.statusCheckRollup";
    for (kind, path, expected) in [
        ("FORBIDDEN", rollup, Kind::Forbidden),
        ("", rollup, Kind::Unavailable),
        ("INTERNAL", rollup, Kind::Unavailable),
        ("NOT_FOUND", "repository.walked.nodes.0.commits", Kind::Unavailable),
        ("NOT_FOUND", "repository.branch", Kind::Unavailable),
        ("FORBIDDEN", "repository.pulls", Kind::Forbidden),
    ] {
        let what = What::PartialData {
            kind: kind.to_owned(),
            message: "Resource not available".to_owned(),
            path: path.to_owned(),
        };
        let (_, found, message) = failing(what).await;
        assert_eq!(found, expected, "{kind} {path}: {message}");
        assert_eq!(message.contains("Checks: read"), kind == "FORBIDDEN" && path == rollup, "{message}");
    }
}

#[tokio::test]
async fn workflows_that_may_not_be_read_are_done_without() {
    let stage = Stage::new(world()).await;
    let run = "statusCheckRollup.contexts.nodes.0.checkSuite.workflowRun";
    stage.sim.fail(Fault::always(
        Target::GraphQl,
        What::PartialData {
            kind: "FORBIDDEN".to_owned(),
            message: "Resource not accessible by integration".to_owned(),
            path: format!("repository.branch.target.history.nodes.0.{run}"),
        },
    ));
    let snapshot = stage.branch("feature").await.unwrap();
    let source = |check: &lastgreen::domain::Check| format!("{:?}", check.source);
    let tip = snapshot.own_branch.as_ref().unwrap();
    assert!(source(&tip.commits.loaded[0].checks[0]).contains("workflow: None"));
    assert!(source(&tip.commits.loaded[1].checks[0]).contains("workflow: Some"));
}

#[tokio::test]
async fn a_token_that_may_not_read_checks_is_told_so() {
    let mut world = private_world();
    world.github.tokens[0].kind = TokenKind::FineGrained;
    let stage = Stage::new(world).await;
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.message.contains("Checks: read") && error.message.contains("GitHub App"), "{error}");
    let diagnosis = stage.github.diagnose(&repo()).await;
    let checks = diagnosis.findings.iter().find(|finding| finding.subject == "checks").unwrap();
    assert_eq!(checks.health, Health::Bad, "{diagnosis:?}");
    assert!(!diagnosis.is_good());
}

#[tokio::test]
async fn an_absence_of_checks_is_not_believed_where_they_could_not_be_seen() {
    let mut world = private_world();
    // GitHub may hide what a token may not see without a word.
    for id in ["m1", "a1", "a2"] {
        world.clear_checks(REPO, id);
    }
    world.status(REPO, "a2", Status::new("ci/external", "success"));
    let fine = format!("github_pat_{}", "x".repeat(20));
    world.github.tokens[0].token.clone_from(&fine);
    world.github.tokens.push(PersonalToken::default());
    let stage = Stage::new(world).await;
    stage.branch("feature").await.unwrap();
    stage.rotate(&fine);
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.message.contains("Checks: read"), "{error}");
    // One check run proves that it can.
    stage.sim.world(|world| world.green(REPO, "m1"));
    stage.advance(Duration::from_mins(1));
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_names_its_file_and_a_new_one_is_tried_at_once() {
    let stage = Stage::new(world()).await;
    stage.rotate("wrong");
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("secret` was refused (401)"), "{error}");
    assert!(!error.message.contains("wrong\u{20}token"), "{error}");
    stage.sim.reset_counts();
    assert_eq!(stage.failure().await, error);
    assert_eq!(stage.sim.counts().github(), 0);
    stage.rotate(PersonalToken::DEFAULT);
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn an_impossible_token_is_never_sent() {
    let stage = Stage::new(world()).await;
    stage.rotate("two\nlines");
    assert_eq!(stage.failure().await.kind, Kind::Unauthorized);
    assert_eq!(stage.sim.counts().github(), 0);
}

#[tokio::test]
async fn a_secondary_limit_stops_everything() {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::once(Target::GraphQl, What::SecondaryLimit));
    let error = stage.failure().await;
    assert_eq!(stage.pause(&error), Duration::from_mins(1));
    // Another question and the other API wait too, and nothing is sent.
    let other = stage.branch("main").await.unwrap_err();
    assert!(matches!(other.kind, Kind::Limited { .. }));
    let rest = stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap_err();
    assert!(matches!(rest.kind, Kind::Limited { .. }));
    assert_eq!(stage.sim.counts().github(), 1);
    stage.advance(Duration::from_mins(1));
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn a_limit_lasts_as_long_as_it_says() {
    for (retry_after, pause) in [(Some("7"), 7), (Some("0"), 1), (Some("99999"), 3600), (None, 60), (Some("soon"), 60)]
    {
        let what = What::TooManyRequests { retry_after: retry_after.map(str::to_owned) };
        let stage = Stage::new(world()).await;
        stage.sim.fail(Fault::once(Target::GitHub, what));
        let error = stage.failure().await;
        assert_eq!(stage.pause(&error), Duration::from_secs(pause), "{retry_after:?}");
    }
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::once(Target::GitHub, What::RateLimited200));
    let error = stage.failure().await;
    assert_eq!(stage.pause(&error), Duration::from_mins(1));
}

#[tokio::test]
async fn a_used_up_budget_stops_its_own_api_until_the_reset() {
    for error_type in ["RATE_LIMITED", "RATE_LIMIT"] {
        let mut world = world();
        world.github.limits.graphql = 1;
        error_type.clone_into(&mut world.github.limits.error_type);
        let stage = Stage::new(world).await;
        stage.branch("feature").await.unwrap();
        stage.advance(Duration::from_mins(20));
        let error = stage.failure().await;
        assert_eq!(stage.pause(&error), Duration::from_mins(40));
        assert_eq!(stage.sim.counts().graphql, 1);
        assert_eq!(stage.github.budget().unwrap().remaining, 0);
        // REST is counted apart.
        assert!(stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap());
        stage.advance(Duration::from_mins(40));
        stage.branch("feature").await.unwrap();
    }
}

#[tokio::test]
async fn a_budget_that_others_used_up_is_believed() {
    let mut world = world();
    world.github.limits.graphql = 1;
    let stage = Stage::new(world).await;
    stage.sim.world(|world| {
        let reset_at = world.now + chrono::TimeDelta::minutes(10);
        let used = lastgreen_sim::Budget { used: 1, reset_at };
        world.github.budgets.insert("user:lastgreen-bot/graphql".to_owned(), used);
    });
    let error = stage.failure().await;
    assert_eq!(stage.pause(&error), Duration::from_mins(10));
}

#[tokio::test]
async fn a_connection_that_broke_is_tried_once_more_and_nothing_else_is() {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::once(Target::GitHub, What::ConnectionReset));
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().github(), 2);
    stage.sim.reset_counts();
    stage.sim.fail(Fault::once(Target::GitHub, What::Status(502, String::new())));
    stage.branch("main").await.unwrap_err();
    assert_eq!(stage.sim.counts().github(), 1);
}

#[tokio::test]
async fn a_failure_is_over_when_its_cause_is() {
    let stage = Stage::new(world()).await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(503, String::new())));
    let first = stage.failure().await;
    assert_eq!(stage.failure().await, first);
    assert_eq!(stage.sim.counts().github(), 1);
    stage.sim.clear_faults();
    stage.advance(Duration::from_secs(1));
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn a_redirect_never_leaves_home() {
    let stage = Stage::new(world()).await;
    for to in ["http://127.0.0.1:1/elsewhere", "https://evil.example.com/", "nonsense", ""] {
        stage.sim.fail(Fault::once(Target::Rest(String::new()), What::RedirectTo(to.to_owned())));
        let error = stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{to}");
        stage.advance(Duration::from_secs(5));
    }
    stage.sim.reset_counts();
    stage.sim.fail(Fault::always(Target::GitHub, What::RedirectTo("/round".to_owned())));
    stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap_err();
    assert_eq!(stage.sim.counts().rest, 4);
}

#[tokio::test]
async fn a_diagnosis_tells_what_is_well() {
    let stage = Stage::new(private_world()).await;
    let diagnosis = stage.github.diagnose(&repo()).await;
    assert!(diagnosis.is_good(), "{diagnosis:?}");
    let subjects: Vec<_> = diagnosis.findings.iter().map(|finding| (finding.subject, finding.health)).collect();
    for subject in ["credential", "repository", "contents", "pull requests", "checks", "budget"] {
        assert!(subjects.contains(&(subject, Health::Good)), "{subject}: {diagnosis:?}");
    }
    let diagnosis = stage.github.diagnose(&"myorg/other".parse().unwrap()).await;
    assert!(!diagnosis.is_good(), "{diagnosis:?}");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    assert!(!stage.github.diagnose(&repo()).await.is_good());
}

#[tokio::test]
async fn a_private_repository_that_is_hidden_is_not_there() {
    let mut world = private_world();
    world.github.tokens[0].repositories = Some(Vec::new());
    let stage = Stage::new(world).await;
    assert_eq!(stage.failure().await.kind, Kind::NotFound);
    let ask = Ask { repo: REPO.parse().unwrap(), by: By::Number(5), walk: 1 };
    assert_eq!(stage.github.snapshot(ask, crate::stage::NEVER).await.unwrap_err().kind, Kind::NotFound);
}

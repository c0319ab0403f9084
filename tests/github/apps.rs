//! GitHub Apps: signed, minted, renewed, rotated.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lastgreen::{clock::Clock as _, github::Health, upstream::Kind};
use lastgreen_sim::{AppKey, Fault, Service, Target, What};

use crate::stage::{APP, REPO, Stage, app, branch, commit, private_world, repo, world};

#[tokio::test]
async fn one_token_serves_fifty_callers() {
    let stage = Stage::app(private_world()).await;
    stage.sim.hold(Service::GitHub);
    let callers: Vec<_> = (1..=50)
        .map(|number| {
            let (github, now) = (Arc::clone(&stage.github), stage.clock.now());
            tokio::spawn(async move { github.snapshot(branch(&format!("feature-{number}")), now).await.map(drop) })
        })
        .collect();
    stage.sim.wait_for(|counts| counts.rest == 1).await;
    stage.sim.release(Service::GitHub);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let counts = stage.sim.counts();
    assert_eq!((counts.rest, counts.tokens_minted, counts.graphql), (1, 1, 50));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.advance(Duration::from_mins(54));
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().tokens_minted, 1);
    stage.advance(Duration::from_mins(1));
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().tokens_minted, 2);
}

#[tokio::test]
async fn while_it_cannot_be_renewed_the_old_token_serves() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.sim.fail(Fault::always(Target::Rest("/app".to_owned()), What::Status(502, String::new())));
    stage.advance(Duration::from_mins(56));
    stage.branch("feature").await.unwrap();
    stage.branch("main").await.unwrap();
    // One attempt, not one for each question.
    assert_eq!(stage.sim.counts().tokens_minted, 2);
    stage.advance(Duration::from_mins(5));
    assert_eq!(stage.failure().await.kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.sim.world(|world| world.github.installation_tokens[0].expires_at = world.now);
    stage.advance(Duration::from_secs(1));
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().tokens_minted, 2);

    stage.sim.fail(Fault::always(Target::GraphQl, What::Status(401, String::new())));
    stage.advance(Duration::from_secs(1));
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Unauthorized);
    assert_eq!(stage.sim.counts().tokens_minted, 3);
}

#[tokio::test]
async fn a_new_token_is_given_a_moment_to_spread() {
    let stage = Stage::app(private_world()).await;
    let refusal = r#"{"message":"Resource not accessible by integration"}"#;
    stage.sim.fail(Fault::once(Target::GraphQl, What::Status(403, refusal.to_owned())));
    let asked = tokio::spawn({
        let (github, now) = (Arc::clone(&stage.github), stage.clock.now());
        async move { github.snapshot(branch("feature"), now).await.map(drop) }
    });
    stage.clock.sleeping_within(Duration::from_secs(2)).await;
    stage.advance(Duration::from_secs(2));
    asked.await.unwrap().unwrap();
    assert_eq!(stage.sim.counts().graphql, 2);

    // An older one is refused for good.
    stage.sim.fail(Fault::once(Target::GraphQl, What::Status(403, refusal.to_owned())));
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.message.contains("Checks"), "{error}");
}

#[tokio::test]
async fn a_rotated_key_is_used_at_once() {
    let new = AppKey::generate();
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.sim.world(|world| {
        world.github.apps[0].public_key = Some(new.public_pem.clone());
        world.github.installation_tokens.clear();
    });
    stage.advance(Duration::from_secs(1));
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("key of the App 7 in `"), "{error}");
    stage.rotate(&new.private_pem);
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_none_is_told_so() {
    for (text, tells) in [
        ("not a key", true),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", true),
        (AppKey::shared().public_pem.as_str(), true),
        ("", false),
    ] {
        let mut world = world();
        world.github.apps.push(app(AppKey::shared()));
        let stage = Stage::app_with_key(world, text).await;
        let error = stage.failure().await;
        assert_eq!(error.kind, Kind::Unauthorized);
        assert!(error.message.contains("/secret`"), "{error}");
        assert_eq!(error.message.contains("PEM file") && error.message.contains("RSA"), tells, "{error}");
        assert_eq!(stage.sim.counts().github(), 0);
    }
}

#[tokio::test]
async fn both_forms_of_a_key_are_read() {
    // GitHub hands out PKCS#1; PKCS#8 wraps it in a head of 26 bytes.
    let pkcs8: String = AppKey::shared().private_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pkcs1 = STANDARD.encode(&STANDARD.decode(pkcs8).unwrap()[26..]);
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
    let mut world = world();
    world.github.apps.push(app(AppKey::shared()));
    let stage = Stage::app_with_key(world, &pem).await;
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn where_the_app_is_not_installed_it_says_so() {
    let mut world = private_world();
    world.github.apps.push(app(AppKey::shared()));
    world.github.apps[0].installations.clear();
    let stage = Stage::app_with_key(world, &AppKey::shared().private_pem).await;
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains(&format!("the App {APP} is not installed for the repository `{REPO}`")), "{error}");
}

#[tokio::test]
async fn an_app_that_was_installed_anew_is_found_again() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    stage.sim.world(|world| {
        world.github.apps[0].installations[0].id = 71;
        world.github.installation_tokens.clear();
    });
    stage.advance(Duration::from_secs(1));
    assert_eq!(stage.failure().await.kind, Kind::NotFound);
    stage.advance(Duration::from_secs(15));
    stage.branch("feature").await.unwrap();
}

#[tokio::test]
async fn an_app_without_checks_is_told_so() {
    let mut world = private_world();
    let mut app = app(AppKey::shared());
    app.installations[0].checks = false;
    world.github.apps.push(app);
    let stage = Stage::app_with_key(world, &AppKey::shared().private_pem).await;
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.message.contains("Checks: read"), "{error}");
    let diagnosis = stage.github.diagnose(&repo()).await;
    let bad: Vec<_> =
        diagnosis.findings.iter().filter(|one| one.health == Health::Bad).map(|one| one.subject).collect();
    assert_eq!(bad, ["checks"], "{diagnosis:?}");
}

#[tokio::test]
async fn an_app_that_there_is_not_is_told_so() {
    let stage = Stage::app_with_key(private_world(), &AppKey::shared().private_pem).await;
    let error = stage.failure().await;
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("there is no App 7"), "{error}");
}

#[tokio::test]
async fn an_enterprise_server_has_apps_too() {
    let mut world = private_world();
    world.github.enterprise = true;
    let stage = Stage::app(world).await;
    stage.branch("feature").await.unwrap();
    assert!(stage.github.is_ancestor(&repo(), commit("a1"), commit("a2")).await.unwrap());
    let paths: Vec<_> = stage.sim.seen().into_iter().map(|seen| seen.path).collect();
    let starts = ["/api/v3/repos/", "/api/v3/app/installations/70/access_tokens", "/api/graphql", "/api/v3/repos/"];
    assert!(paths.iter().zip(starts).all(|(path, start)| path.starts_with(start)), "{paths:?}");
}

#[tokio::test]
async fn no_secret_is_shown() {
    let stage = Stage::app(private_world()).await;
    stage.branch("feature").await.unwrap();
    let shown = format!("{:?}", stage.github);
    assert!(!shown.contains("ghs_") && !shown.contains("PRIVATE"), "{shown}");
}

//! Tokens in Secrets of the Services' own namespace.

use std::time::Duration;

use lastgreen::kubernetes::{Overrides, TOKEN_AGE};
use lastgreen_sim::Rule;
use serde_json::json;

use crate::{
    double::{Double, items},
    stage::{Stage, TEAM},
};

const TOKEN: (&str, &str) = ("lastgreen.io/token", "credentials:plugin.token");

/// A plugin that wants a token, behind a Service that names a Secret with it.
async fn with_token(token: &str) -> (Stage, Double) {
    let stage = Stage::new().await;
    let double = Double::wants_token(token).await;
    stage.apply_external("plugin", double.port(), &[TOKEN]);
    stage.cluster.grant(Rule::new(TEAM, "secrets", &["get"]).named("credentials"));
    stage.cluster.secret(TEAM, "credentials", "plugin.token", format!("{token}\n").as_bytes());
    stage.knows(&["plugin"]).await;
    stage.cluster.watched_by(1).await;
    stage.cluster.seen();
    (stage, double)
}

#[tokio::test]
async fn a_token_is_got_when_it_is_needed_and_again_after_a_while() {
    let (stage, double) = with_token("first").await;
    assert_eq!(stage.cluster.seen(), [""; 0], "nobody needs it yet");
    let part = stage.part("plugin");
    for _ in 0..3 {
        assert_eq!(stage.ask(&part).await, Ok(items()));
    }
    let path = "GET /api/v1/namespaces/team/secrets/credentials";
    assert_eq!(stage.cluster.seen(), [path]);
    assert_eq!(double.asked()[0].authorization.as_deref(), Some("Bearer first"));
    stage.clock.advance(TOKEN_AGE);
    assert_eq!(stage.ask(&part).await, Ok(items()));
    assert_eq!(stage.cluster.seen(), [path]);
}

#[tokio::test]
async fn one_that_was_changed_is_used_as_soon_as_the_old_one_is_refused() {
    let (stage, double) = with_token("first").await;
    let part = stage.part("plugin");
    assert_eq!(stage.ask(&part).await, Ok(items()));
    double.now_wants("second");
    assert_eq!(stage.ask(&part).await.unwrap_err().reason, "the plugin `other`: it refuses the token (403)");
    stage.cluster.secret(TEAM, "credentials", "plugin.token", b"second");
    assert_eq!(stage.ask(&part).await, Ok(items()));
    assert_eq!(stage.ask(&part).await, Ok(items()));
    let tokens: Vec<_> = double.asked().into_iter().filter_map(|asked| asked.authorization).collect();
    assert_eq!(tokens, ["Bearer first", "Bearer first", "Bearer first", "Bearer second", "Bearer second"]);
}

#[tokio::test]
async fn while_kubernetes_cannot_say_the_last_one_is_used() {
    let (stage, _double) = with_token("first").await;
    let part = stage.part("plugin");
    assert_eq!(stage.ask(&part).await, Ok(items()));
    stage.cluster.fail(Some(503));
    stage.clock.advance(TOKEN_AGE * 60);
    assert_eq!(stage.ask(&part).await, Ok(items()));
    // Nor is anybody kept waiting where it hangs.
    stage.cluster.hang(true);
    stage.clock.advance(TOKEN_AGE);
    let asking = stage.ask(&part);
    tokio::pin!(asking);
    loop {
        tokio::select! {
            biased;
            said = &mut asking => break assert_eq!(said, Ok(items())),
            away = stage.clock.sleeping_within(Duration::from_millis(500)) => stage.clock.advance(away),
        }
    }
}

#[tokio::test]
async fn what_is_no_token_is_told_and_shown_to_nobody() {
    let (stage, double) = with_token("first").await;
    let part = stage.part("plugin");
    let problem = async || stage.ask(&part).await.unwrap_err().reason;
    let secret = "the plugin `other`: no token for it: Kubernetes: the Secret `credentials` in the namespace `team`";
    // What was believed of it lasts a minute at most, as with every credential.
    let next = || stage.clock.advance(TOKEN_AGE);
    let write = |labels, data| {
        stage.cluster.apply_secret(json!({
            "metadata": { "namespace": TEAM, "name": "credentials", "labels": labels },
            "type": "Opaque",
            "data": data,
        }));
    };
    let ours = json!({ "argocd.argoproj.io/plugin": "true" });
    write(json!({}), json!({ "plugin.token": "aHVudGVyMg==" }));
    let no_label = "has no label `argocd.argoproj.io/plugin: \"true\"`, and so is no plugin's";
    assert_eq!(problem().await, format!("{secret} {no_label}"));
    next();
    write(ours.clone(), json!({ "other": "aHVudGVyMg==" }));
    assert_eq!(problem().await, format!("{secret} has no key `plugin.token`"));
    for bad in ["", "Cg==", "aHVu dGVy", "aHVudGVyMiBodW50ZXIy", "//79", "aHVudGVyMgphCg=="] {
        next();
        write(ours.clone(), json!({ "plugin.token": bad }));
        let said = problem().await;
        assert!(said == format!("{secret} has no token at its key `plugin.token`") || bad.contains(' '), "{said}");
        assert!(!said.contains("hunter2"));
    }
    next();
    stage.cluster.delete_secret(TEAM, "credentials");
    assert_eq!(problem().await, format!("{secret} does not exist"));
    next();
    stage.cluster.revoke(TEAM, "secrets", "get");
    assert_eq!(
        problem().await,
        "the plugin `other`: no token for it: Kubernetes: lastgreen may not get the Secret `credentials` in the namespace \
         `team` (403): its ServiceAccount needs a Role for that"
    );
    assert!(double.asked().is_empty(), "without its token it was not asked");
}

#[tokio::test]
async fn a_secret_of_another_namespace_cannot_be_named() {
    let (stage, double) = with_token("first").await;
    stage.cluster.secret("other-team", "credentials", "plugin.token", b"theirs");
    stage.cluster.grant(Rule::new("other-team", "secrets", &["get"]));
    let part = stage.part("plugin");
    for name in ["other-team/credentials:plugin.token", "../../other-team/secrets/credentials:plugin.token"] {
        stage.apply_external("plugin", double.port(), &[("lastgreen.io/token", name)]);
        stage
            .until(|stage| {
                let services = stage.known(0).services.unwrap_or_default();
                services.iter().all(|service| service.endpoint(&Overrides::default()).is_err())
            })
            .await;
        let said = stage.ask(&part).await.unwrap_err().reason;
        assert!(said.contains("its annotation `lastgreen.io/token` is wrong"), "{said}");
        stage.apply_external("plugin", double.port(), &[]);
        stage
            .until(|stage| {
                let services = stage.known(0).services.unwrap_or_default();
                services.iter().all(|service| service.endpoint(&Overrides::default()).is_ok())
            })
            .await;
    }
    assert!(stage.cluster.seen().iter().all(|request| !request.contains("/secrets")));
    assert!(double.asked().is_empty());
}

//! Who may ask what.

use axum::body::Body;
use serde_json::json;

use crate::stage::{Stage, request, send};

fn body(set: &str) -> Body {
    Body::from(json!({"applicationSetName": set, "input": {"parameters": {}}}).to_string())
}

#[tokio::test]
async fn a_generator_may_have_tokens_and_sets_of_its_own() {
    let mut stage = Stage::sqlite().await;
    let own = stage.folder.path().join("own");
    std::fs::write(&own, "own-password\n").unwrap();
    stage.generator = format!("tokenFile: {}\nallow: {{ applicationSets: [\"fb-*\", main] }}", own.display());
    let other = format!(
        "  other:\n    sql: {{ url: \"{}\", query: \"SELECT status FROM organization WHERE tenant = 'Acme Corp'\" }}\n",
        stage.url()
    );
    let process = stage.process_of(&(stage.config() + &other), stage.process().clock);
    let ask = |path: &'static str, token: &'static str, set: &str| {
        send(process.router.clone(), request(path, token, body(set)))
    };
    ask("/tenants", "own-password", "fb-matrix").await.has(2, "fresh");
    ask("/tenants", "own-password", "main").await.has(2, "fresh");
    let not_allowed = "this ApplicationSet may not ask this generator: its name is none of those in \
                       `allow.applicationSets`";
    for set in ["mains", "other", ""] {
        assert_eq!(ask("/tenants", "own-password", set).await.is_refused(403), not_allowed, "{set}");
    }
    let no_body = send(process.router.clone(), request("/tenants", "own-password", Body::empty())).await;
    assert_eq!(no_body.is_refused(403), not_allowed);
    // A token opens its own door.
    let wrong = "the bearer token is not one of those in lastgreen's token file";
    assert_eq!(ask("/tenants", "strong-password", "fb-matrix").await.is_refused(403), wrong);
    assert_eq!(ask("/other", "own-password", "fb-matrix").await.is_refused(403), wrong);
    ask("/other", "strong-password", "anything").await.is(&json!([{"status": "active"}]), "fresh");
    // Whoever knows no token is not told which generators there are.
    assert_eq!(ask("/nowhere", "own-password", "x").await.is_refused(403), wrong);
    assert!(
        ask("/nowhere", "strong-password", "x").await.is_refused(404).starts_with("there is no generator `nowhere`")
    );
}

#[tokio::test]
async fn bodies_that_are_no_questions() {
    let process = Stage::sqlite().await.process();
    for (text, status) in [("", 200), (" \n", 200), ("{}", 200), (r#"{"input":null}"#, 200), ("{", 400), ("[]", 400)] {
        let reply = send(process.router.clone(), request("/tenants", "strong-password", Body::from(text))).await;
        assert_eq!(reply.status.as_u16(), status, "{text}: {reply:?}");
    }
}

//! The example in `examples/tenants`, word by word.

use axum::body::Body;
use serde_json::{Value, json};

use crate::stage::{Stage, request, send};

/// The example's configuration, with files of the test's own.
fn config(stage: &Stage) -> String {
    let folder = stage.folder.path().display().to_string();
    stage.config();
    include_str!("../../examples/tenants/config.yaml")
        .replace("/var/run/argo/token", &format!("{folder}/token"))
        .replace("/secrets/tenants/url", &format!("{folder}/url"))
        + &format!("\nledger: {{ url: \"sqlite://{folder}/ledger.db\" }}\n")
}

#[tokio::test]
async fn the_answers_are_those_of_the_document() {
    for stage in Stage::both("example").await {
        let process = stage.process_of(&config(&stage), stage.process().clock);
        // curl -X POST, without any body, at the sole generator's own path.
        let all = send(process.router.clone(), request("", "strong-password", Body::empty())).await;
        let acme = json!({"tenant": "Acme Corp", "status": "active"});
        all.is(&json!([acme, {"tenant": "Gamma Industries", "status": "trial"}]), "fresh");
        let body = r#"{
            "applicationSetName": "fake-appset",
            "input": {
              "parameters": {
                "status": "active"
              }
            }
          }"#;
        let active = send(process.router.clone(), request("/tenants", "strong-password", Body::from(body))).await;
        active.is(&json!([acme]), "fresh");
        process.ask(json!({"status": "gone"})).await.is(&json!([]), "fresh");
        // Nothing of an input is ever SQL.
        process.ask(json!({"status": "x' OR '1'='1"})).await.is(&json!([]), "fresh");
    }
}

#[tokio::test]
async fn what_the_readme_shows_is_what_is_answered() {
    let readme = include_str!("../../examples/tenants/README.md");
    let shown: Vec<Value> = readme
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let stage = Stage::sqlite().await;
    let process = stage.process();
    let answered = [process.all().await.body, process.ask(json!({"status": "active"})).await.body];
    assert_eq!(shown, answered);
}

#[tokio::test]
async fn a_tenant_that_comes_is_answered_and_one_that_goes_is_not() {
    for stage in Stage::both("come_and_go").await {
        let process = stage.process();
        process.all().await.has(2, "fresh");
        stage.execute("INSERT INTO organization VALUES ('Delta Technologies', 'active')").await;
        process.all().await.has(3, "fresh");
        stage.execute("DELETE FROM organization WHERE tenant = 'Acme Corp'").await;
        process.all().await.is(
            &json!([{"tenant": "Delta Technologies", "status": "active"}, {"tenant": "Gamma Industries", "status": "trial"}]),
            "fresh",
        );
        // The last one, too: few are not guarded.
        stage.execute("DELETE FROM organization").await;
        process.all().await.is(&json!([]), "fresh");
    }
}

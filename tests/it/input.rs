//! The protocol at the door: what is accepted, what is refused, and with which words.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::stage::{Reply, Setup, Stage, send};

const PATH: &str = "/api/v1/getparams.execute";

fn post(path: &str, token: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    request.body(body.into()).unwrap()
}

async fn stage() -> Stage {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature-branch-1", "a1");
    stage
}

async fn ask(stage: &Stage, body: impl Into<Body>) -> Reply {
    send(stage.router(), post(PATH, Some("Bearer strong-password"), body)).await
}

#[tokio::test]
async fn the_documented_curl_works_without_a_content_type() {
    let stage = stage().await;
    let build = stage.built("a1");
    let body = "{\n  \"applicationSetName\": \"fb-matrix\",\n  \"input\": {\n    \"parameters\": {\n      \"branch\": \"feature-branch-1\"\n    }\n  }\n}";
    for path in [PATH, "/preview/api/v1/getparams.execute"] {
        let mut request = post(path, Some("Bearer strong-password"), body);
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        send(stage.router(), request).await.is(&build, "fresh");
        send(stage.router(), post(path, Some("Bearer strong-password"), body)).await.is(&build, "fresh");
    }
}

#[tokio::test]
async fn bytes_are_those_of_the_document() {
    let stage = stage().await;
    let build = stage.built("a1");
    let reply = stage.ask("feature-branch-1").await;
    let expected =
        format!(r#"{{"output":{{"parameters":[{{"digestBack":"{}","digestFront":"{}"}}]}}}}"#, build.back, build.front);
    assert_eq!(reply.body.to_string(), expected);
    assert_eq!(reply.headers["content-type"], "application/json");
}

#[tokio::test]
async fn bad_bodies_are_refused_with_a_message() {
    let stage = stage().await;
    let question =
        |parameters: Value| json!({"applicationSetName": "x", "input": {"parameters": parameters}}).to_string();
    for (body, start) in [
        (String::new(), "the request has no body; expected {"),
        ("{".to_owned(), "the request's body is not JSON: "),
        ("hello".to_owned(), "the request's body is not JSON: "),
        ("[]".to_owned(), "the request's body has another shape than Argo CD's: "),
        ("{\"input\":{\"parameters\":[]}}".to_owned(), "the request's body has another shape than Argo CD's: "),
        ("{\"input\":{}}".to_owned(), "input.parameters.branch: is missing"),
        ("{}".to_owned(), "input.parameters.branch: is missing"),
        (question(json!({"branch": ""})), "input.parameters.branch: is empty"),
        (question(json!({"branch": "<no value>"})), "input.parameters.branch: is `<no value>`"),
        (question(json!({"branch": "x".repeat(2048)})), "input.parameters.branch: is longer than 1 KiB"),
        (question(json!({"branch": "../../x"})), "input.parameters.branch: `../../x` is no branch name"),
        (question(json!({"branch": "a..b"})), "input.parameters.branch: `a..b` is no branch name"),
        (question(json!({"branch": "a\nb"})), "input.parameters.branch: contains control characters"),
        (question(json!({"branch": "a\u{0}b"})), "input.parameters.branch: contains control characters"),
        (
            question(json!({"branch": "a", "number": "abc"})),
            "input.parameters.number: expected a pull request's number",
        ),
        (question(json!({"branch": "a", "number": "-1"})), "input.parameters.number: expected a pull request's number"),
    ] {
        let reply = ask(&stage, body.clone()).await;
        assert!(reply.is_refused(400).starts_with(start), "{body}: {}", reply.body);
    }
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn a_template_that_nobody_rendered_is_a_mistake_unless_it_exists() {
    let stage = stage().await;
    let refused = stage.ask("{{branch}}").await;
    assert!(
        refused.is_refused(400).starts_with("input.parameters.branch: is the template `{{branch}}`"),
        "{}",
        refused.body
    );
    let refused = stage.ask_with(json!({"branch": "{{branch}}", "number": "{{number}}"})).await;
    refused.is_refused(400);
    // With a good number the pull request is meant, whatever its branch is called.
    let build = stage.built("a1");
    stage.ask_number("{{branch}}", 1).await.is(&build, "fresh");
    // And somebody may really call a branch so.
    stage.pull(2, "{{branch}}", "b1");
    let build = stage.built("b1");
    stage.pass(301);
    stage.ask("{{branch}}").await.is(&build, "fresh");
}

#[tokio::test]
async fn tokens_are_checked_before_anything_of_the_body() {
    let stage = stage().await;
    for (token, words) in [
        (None, "no bearer token"),
        (Some("Bearer wrong"), "not one of those"),
        (Some("Basic c3Ryb25nLXBhc3N3b3Jk"), "no bearer token"),
        (Some("Bearer $plugin.myplugin.token"), "could not find the Secret's key"),
    ] {
        // A body that would never end is not even begun.
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let reply = send(stage.router(), post(PATH, token, endless)).await;
        assert!(reply.is_refused(403).contains(words), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    let stage = stage().await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = tokio::spawn(send(stage.router(), post(PATH, Some("Bearer strong-password"), endless)));
    stage.clock.sleeping(1).await;
    stage.clock.advance(std::time::Duration::from_secs(10));
    let reply = answer.await.unwrap();
    reply.is_refused(408);
    assert_eq!(reply.headers["connection"], "close");
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let stage = stage().await;
    let reply = ask(&stage, format!("{{\"x\":\"{}\"}}", "y".repeat(70_000))).await;
    assert_eq!(reply.is_refused(413), "the request's body is larger than 64 KiB");
}

#[tokio::test]
async fn paths_and_methods_are_told_apart() {
    let stage = stage().await;
    let get = Request::get(PATH).body(Body::empty()).unwrap();
    let reply = send(stage.router(), get).await;
    assert!(reply.is_refused(405).contains("a redirect"), "{}", reply.body);
    assert_eq!(reply.headers["allow"], "POST");
    let reply =
        send(stage.router(), post("/other/api/v1/getparams.execute", Some("Bearer strong-password"), "{}")).await;
    assert!(reply.is_refused(404).contains("no generator `other`"), "{}", reply.body);
    let reply = send(stage.router(), post("/other/api/v1/getparams.execute", None, "{}")).await;
    reply.is_refused(403);
    let reply = send(stage.router(), post("/", Some("Bearer strong-password"), "{}")).await;
    reply.is_refused(404);
}

#[tokio::test]
async fn several_generators_live_under_their_own_paths() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "strong-password").unwrap();
    let token = folder.path().join("token");
    let token = token.display();
    let generator = "{ build: { repository: myorg/myrepo, images: { front: \"ghcr.io/myorg/front:sha-{sha}\" } } }";
    let text = format!(
        "tokenFile: {token}\ngithub: {{ auth: {{ tokenFile: {token} }} }}\ngenerators:\n  one: {generator}\n  two: {generator}\n"
    );
    let (config, _) = lastgreen::config::Config::parse(&text, "test.yaml").unwrap();
    let app = lastgreen::app::App::build(config, std::sync::Arc::new(lastgreen::clock::SystemClock::new())).unwrap();
    for (path, status, words) in [
        (PATH, 404, "there are several generators"),
        ("/one/api/v1/getparams.execute", 400, "input.parameters.branch: is missing"),
        ("/two/api/v1/getparams.execute", 400, "input.parameters.branch: is missing"),
        ("/three/api/v1/getparams.execute", 404, "there is no generator `three`"),
    ] {
        let reply = send(app.plugin_router(), post(path, Some("Bearer strong-password"), "{\"input\":{}}")).await;
        assert!(reply.is_refused(status).contains(words), "{path}: {}", reply.body);
    }
}

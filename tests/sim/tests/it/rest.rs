//! REST: names, Apps and their tokens, Enterprise Server's paths.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lastgreen_sim::{App, AppKey, Installation, Sim, World, sha};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{REPO, client, get, header};

fn with_app() -> World {
    let mut world = World::with_repository(REPO);
    world.github.repository_mut(REPO).private = true;
    world.github.apps.push(App {
        id: 12345,
        slug: "lastgreen".to_owned(),
        public_key: Some(AppKey::shared().public_pem.clone()),
        installations: vec![Installation { id: 77, account: "myorg".to_owned(), repositories: None, checks: true }],
    });
    world
}

fn jwt(key: &AppKey, iss: &Value, from: i64, to: i64) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap();
    let claims = json!({"iss": iss, "iat": now + from, "exp": now + to});
    let key = EncodingKey::from_rsa_pem(key.private_pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

async fn with_token(sim: &Sim, method: &str, path: &str, token: &str) -> Response {
    let url = format!("{}{path}", sim.github_url());
    client().request(method.parse().unwrap(), url).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn an_app_mints_tokens_that_live_an_hour_of_the_world() {
    let sim = Sim::start(with_app()).await;
    let good = jwt(AppKey::shared(), &json!("12345"), -60, 540);
    let installation: Value =
        with_token(&sim, "GET", &format!("/repos/{REPO}/installation"), &good).await.json().await.unwrap();
    assert_eq!(installation["id"], 77);
    let minted = with_token(&sim, "POST", "/app/installations/77/access_tokens", &good).await;
    assert_eq!(minted.status(), 201);
    let minted: Value = minted.json().await.unwrap();
    assert_eq!(minted["expires_at"], "2026-01-05T13:00:00Z");
    let token = minted["token"].as_str().unwrap();
    assert_eq!(with_token(&sim, "GET", &format!("/repos/{REPO}"), token).await.status(), 200);
    // Neither is good for the other's work.
    assert_eq!(with_token(&sim, "GET", &format!("/repos/{REPO}"), &good).await.status(), 401);
    assert_eq!(with_token(&sim, "GET", "/app", token).await.status(), 401);
    assert_eq!(with_token(&sim, "GET", "/user", token).await.status(), 403);
    sim.world(|world| world.advance(3600));
    assert_eq!(with_token(&sim, "GET", &format!("/repos/{REPO}"), token).await.status(), 401);
    assert_eq!(sim.counts().tokens_minted, 1);
}

#[tokio::test]
async fn jwts_are_verified() {
    let sim = Sim::start(with_app()).await;
    let key = AppKey::shared();
    let stranger = AppKey::generate();
    let rows = [
        (jwt(key, &json!(12345), -60, 540), 200),
        (jwt(key, &json!(12345), -60, 541), 401),
        (jwt(key, &json!(12345), -700, -100), 401),
        (jwt(key, &json!(12345), 100, 500), 401),
        (jwt(key, &json!(1), -60, 540), 401),
        (jwt(&stranger, &json!(12345), -60, 540), 401),
        ("nonsense".to_owned(), 401),
    ];
    for (nth, (token, status)) in rows.into_iter().enumerate() {
        assert_eq!(with_token(&sim, "GET", "/app", &token).await.status(), status, "row {nth}");
    }
}

#[tokio::test]
async fn an_enterprise_server_has_its_own_paths() {
    let mut world = World::with_repository(REPO);
    world.github.enterprise = true;
    let sim = Sim::start(world).await;
    let rest = sim.github_url();
    assert!(rest.ends_with("/api/v3"));
    let root = rest.strip_suffix("/api/v3").unwrap();
    let query = json!({"query": "{ rateLimit { limit } viewer { login } }"});
    for (url, status) in [
        (format!("{root}/api/graphql"), 200),
        (format!("{root}/api/v3/graphql"), 404),
        (format!("{root}/graphql"), 404),
    ] {
        let response = client().post(&url).bearer_auth("sim-classic-token").json(&query).send().await.unwrap();
        assert_eq!(response.status(), status, "{url}");
        if status == 200 {
            // Limits are off there.
            assert_eq!(header(&response, "x-ratelimit-limit"), "");
            assert_eq!(response.json::<Value>().await.unwrap()["data"]["rateLimit"], Value::Null);
        }
    }
    assert_eq!(get(&sim, &format!("/repos/{REPO}")).await.status(), 200);
    assert_eq!(get(&sim, "/rate_limit").await.status(), 404);
}

#[tokio::test]
async fn renamed_and_unknown_repositories() {
    let mut world = World::with_repository(REPO);
    world.rename_repository(REPO, "neworg/newname");
    let id = world.github.repositories[0].id;
    let sim = Sim::start(world).await;
    let old = get(&sim, &format!("/repos/{REPO}/commits/main")).await;
    assert_eq!(old.status(), 301);
    assert_eq!(header(&old, "location"), format!("{}/repositories/{id}/commits/main", sim.github_url()));
    let moved: Value = get(&sim, &format!("/repositories/{id}/commits/main")).await.json().await.unwrap();
    assert_eq!(moved["sha"], sha("m1"));
    let unknown = get(&sim, "/repos/myorg/nothing").await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["message"], "Not Found");
    assert_eq!(get(&sim, "/rate_limit").await.json::<Value>().await.unwrap()["resources"]["core"]["used"], 4 - 1);
}

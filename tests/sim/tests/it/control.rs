//! Orders over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use lastgreen_sim::{Control, PullState, Sim, World, sha};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{REPO, client, get};

struct Stage {
    sim: Arc<Sim>,
    control: Control,
}

impl Stage {
    async fn new() -> Self {
        let sim = Arc::new(Sim::start(World::with_repository(REPO)).await);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let control = Control::start(Arc::clone(&sim), any).await.unwrap();
        Self { sim, control }
    }

    async fn orders(&self, orders: &Value) -> (StatusCode, Value) {
        let response = client().post(self.control.url()).json(orders).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn the_world_is_changed_by_orders() {
    let stage = Stage::new().await;
    let commit = json!({"repository": REPO, "commit": "a1"});
    let about = |what: &str| {
        let mut order = commit.clone();
        order["do"] = json!(what);
        order
    };
    let (status, done) = stage
        .orders(&json!([
            {"do": "push", "repository": REPO, "branch": "one", "commit": "a1", "parents": ["m1"]},
            {"do": "open-pull", "repository": REPO, "pull": {"number": 1, "head": "one", "labels": ["preview"]}},
            about("pending"),
            about("red"),
            about("green"),
            {"do": "push-image", "repository": "myorg/front", "tag": "v1", "image": {"labels": {"a": "b"}}},
            {"do": "advance", "seconds": 60},
            {"do": "close-pull", "repository": REPO, "number": 1},
        ]))
        .await;
    assert_eq!(status, 200, "{done}");
    assert_eq!((&done[0]["sha"], &done[1]["number"]), (&json!(sha("a1")), &json!(1)));
    stage.sim.world(|world| {
        assert_eq!(done[5]["digest"], json!(world.digest("myorg/front", "v1")));
        let repository = world.github.repository(REPO).unwrap();
        let pull = repository.pull(1).unwrap();
        assert_eq!((pull.state, pull.labels.as_slice()), (PullState::Closed, ["preview".to_owned()].as_slice()));
        assert_eq!(repository.checks.values().next().unwrap().len(), 3);
        assert_eq!(pull.updated_at, Some(world.now));
    });
}

#[tokio::test]
async fn faults_begin_and_end_by_orders() {
    let stage = Stage::new().await;
    let path = format!("/repos/{REPO}");
    let fail = |on: &str, how: Value| json!([{"do": "fail", "on": on, "how": how}]);
    assert_eq!(stage.orders(&fail("github", json!({"status": 502}))).await.0, 200);
    assert_eq!(get(&stage.sim, &path).await.status(), 502);
    assert_eq!(stage.orders(&json!([{"do": "clear-faults"}])).await.0, 200);
    // What fails GraphQL or the registry leaves REST alone.
    assert_eq!(stage.orders(&fail("graphql", json!("reset"))).await.0, 200);
    assert_eq!(stage.orders(&fail("registry", json!({"status": 503}))).await.0, 200);
    assert_eq!(get(&stage.sim, &path).await.status(), 200);
    let (graphql, registry) =
        (format!("{}/graphql", stage.sim.github_url()), format!("http://{}/v2/", stage.sim.registry_host()));
    assert!(client().post(graphql).body("{}").send().await.is_err());
    assert_eq!(client().get(registry).send().await.unwrap().status(), 503);
    let (_, counts) = stage.orders(&json!([{"do": "counts"}, {"do": "reset-counts"}, {"do": "counts"}])).await;
    assert_eq!(
        counts,
        json!([{"github": 3, "graphql": 1, "registry": 1}, {}, {"github": 0, "graphql": 0, "registry": 0}])
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_not_begun_and_what_cannot_be_says_why() {
    let stage = Stage::new().await;
    let push = json!({"do": "push", "repository": REPO, "branch": "one", "commit": "a1", "parents": ["m1"]});
    for (wrong, says) in [
        (json!({"do": "dance"}), "unknown variant `dance`"),
        (json!({"do": "advance", "seconds": 1, "minutes": 1}), "unknown field `minutes`"),
        (json!({"do": "counts", "of": "github"}), "unknown field `of`"),
        (json!({"do": "fail", "on": "github", "how": {"status": 200}}), "200 is no error's status"),
        (json!({"do": "open-pull", "repository": REPO, "pull": {"head": "one"}}), "missing field `number`"),
    ] {
        let (status, body) = stage.orders(&json!([push, wrong])).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(body["message"].as_str().unwrap().contains(says), "{body}");
    }
    assert!(!stage.sim.world(|world| world.github.repository(REPO).unwrap().branches.contains_key("one")));
    // The mistakes of a test, told to it; the simulator lives on.
    let (status, body) = stage.orders(&json!([push, {"do": "green", "repository": REPO, "commit": "zz"}])).await;
    assert_eq!(status, 422);
    assert!(body["message"].as_str().unwrap().starts_with("order 1: myorg/myrepo has no commit"), "{body}");
    assert!(stage.sim.world(|world| world.github.repository(REPO).unwrap().branches.contains_key("one")));
    assert_eq!(client().get(stage.control.url()).send().await.unwrap().status(), 405);
    let elsewhere = format!("{}orders", stage.control.url());
    assert_eq!(client().post(elsewhere).body("[]").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn orders_are_taken_on_the_loopback_only() {
    let sim = Arc::new(Sim::start(World::default()).await);
    let why = Control::start(sim, SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap_err();
    assert_eq!(why.to_string(), "orders are taken on the loopback only");
}

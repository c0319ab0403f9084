//! Faults, holds, counters.

use lastgreen_sim::{Counts, Fault, ImageSpec, Service, Sim, Target, What, World, sha};
use serde_json::{Value, json};

use crate::{REPO, ask, client, get, graphql, header};

const VIEWER: &str = "{ viewer { login } }";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

async fn image(sim: &Sim, method: &str) -> reqwest::Response {
    let url = format!("http://{}/v2/myorg/front/manifests/v1", sim.registry_host());
    client().request(method.parse().unwrap(), url).header("accept", MANIFEST).send().await.unwrap()
}

fn world() -> World {
    let mut world = World::with_repository(REPO);
    world.push_image("myorg/front", "v1", &ImageSpec::default());
    world
}

#[tokio::test]
async fn faults_count_down_and_meet_only_their_target() {
    let sim = Sim::start(world()).await;
    sim.fail(Fault {
        on: Target::GraphQl,
        what: What::Status(502, "{\"message\": \"Server Error\"}".to_owned()),
        times: Some(2),
    });
    for status in [502, 502, 200] {
        assert_eq!(ask(&sim, VIEWER, &json!({})).send().await.unwrap().status(), status);
    }
    sim.fail(Fault::always(Target::Rest("/user".to_owned()), What::SecondaryLimit));
    let limited = get(&sim, "/user").await;
    assert_eq!((limited.status().as_u16(), header(&limited, "retry-after")), (403, "60"));
    assert_eq!(get(&sim, "/rate_limit").await.status(), 200);
    sim.clear_faults();
    assert_eq!(get(&sim, "/user").await.status(), 200);
}

#[tokio::test]
async fn graphql_fails_in_its_own_ways() {
    let sim = Sim::start(world()).await;
    let once = |what| sim.fail(Fault::once(Target::GraphQl, what));
    once(What::RateLimited200);
    assert_eq!(graphql(&sim, VIEWER).await["errors"][0]["type"], "RATE_LIMITED");
    let (kind, message) = ("INTERNAL".to_owned(), "Something went wrong".to_owned());
    once(What::GraphqlErrorIn200 { kind: kind.clone(), message: message.clone(), path: String::new() });
    assert_eq!(
        graphql(&sim, VIEWER).await,
        json!({"data": null, "errors": [{"type": "INTERNAL", "message": "Something went wrong"}]})
    );
    once(What::PartialData { kind, message, path: "b".to_owned() });
    let both = "{ a: viewer { login } b: viewer { login } }";
    let body = graphql(&sim, both).await;
    assert_eq!(body["data"], json!({"a": {"login": "lastgreen-bot"}, "b": null}));
    assert_eq!(body["errors"][0]["path"], json!(["b"]));
    once(What::TruncatedJson);
    let cut = ask(&sim, VIEWER, &json!({})).send().await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(serde_json::from_str::<Value>(&cut.text().await.unwrap()).is_err());
    once(What::ConnectionReset);
    assert!(ask(&sim, VIEWER, &json!({})).send().await.is_err());
    assert_eq!(sim.counts().graphql, 5);
}

#[tokio::test]
async fn registries_lie() {
    let sim = Sim::start(world()).await;
    let digest = sim.world(|world| world.digest("myorg/front", "v1").unwrap().to_owned());
    let once = |what| sim.fail(Fault::once(Target::manifests(), what));
    let shown = async |method| header(&image(&sim, method).await, "docker-content-digest").to_owned();
    once(What::WrongDigestHeader);
    let wrong = shown("HEAD").await;
    assert!(wrong.starts_with("sha256:") && wrong != digest);
    once(What::NoDigestHeader);
    assert_eq!(shown("HEAD").await, "");
    once(What::MalformedDigestHeader);
    assert_eq!(shown("HEAD").await, "not a digest");
    once(What::HeadNotAllowed);
    assert_eq!(image(&sim, "GET").await.status(), 200);
    assert_eq!(image(&sim, "HEAD").await.status(), 405);
    once(What::LyingBody);
    assert_eq!(shown("HEAD").await, digest);
    let truth = sim.world(|world| world.registry.repositories["myorg/front"].manifests[&digest].bytes.clone());
    assert_ne!(image(&sim, "GET").await.bytes().await.unwrap(), truth);
    assert_eq!(image(&sim, "GET").await.bytes().await.unwrap(), truth);
    once(What::HugeBody);
    assert_eq!(image(&sim, "GET").await.bytes().await.unwrap().len(), 64 << 20);
    once(What::TooManyRequests { retry_after: Some("7".to_owned()) });
    assert_eq!(header(&image(&sim, "HEAD").await, "retry-after"), "7");
    once(What::CrossHostRealm("http://evil.example/token".to_owned()));
    let challenge = image(&sim, "HEAD").await;
    assert_eq!(
        header(&challenge, "www-authenticate"),
        "Bearer realm=\"http://evil.example/token\",service=\"registry\",scope=\"repository:myorg/front:pull\""
    );
}

#[tokio::test]
async fn held_requests_are_counted_before_they_wait() {
    let sim = Sim::start(world()).await;
    sim.hold(Service::GitHub);
    sim.hold(Target::manifests());
    let both = async { tokio::join!(graphql(&sim, VIEWER), image(&sim, "HEAD")) };
    let observe = async {
        let counts = sim.wait_for(|counts| counts.github() == 1 && counts.registry_head == 1).await;
        sim.release(Service::GitHub);
        sim.release(Target::manifests());
        counts
    };
    let ((body, head), counts) = tokio::join!(both, observe);
    assert_eq!(counts, Counts { graphql: 1, registry_head: 1, ..Counts::default() });
    assert_eq!(body["data"]["viewer"]["login"], "lastgreen-bot");
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn what_hangs_too_long_is_given_up_and_the_next_one_hangs_again() {
    let sim = Sim::start(world()).await;
    sim.fail(Fault::always(Target::Registry, What::Hang));
    for _ in 0..2 {
        let (reply, ()) = tokio::join!(image(&sim, "HEAD"), async {
            sim.wait_hanging(1).await;
            assert_eq!(sim.hanging(), 1);
            sim.give_up();
        });
        assert_eq!((reply.status().as_u16(), sim.hanging()), (504, 0));
    }
    sim.clear_faults();
    assert_eq!(image(&sim, "HEAD").await.status(), 200);
}

#[tokio::test]
async fn what_hangs_goes_on_when_it_is_released() {
    let sim = Sim::start(world()).await;
    sim.fail(Fault::once(Target::Registry, What::Hang));
    let release = async {
        sim.wait_hanging(1).await;
        sim.release(Service::Registry);
    };
    let (head, ()) = tokio::join!(image(&sim, "HEAD"), release);
    assert_eq!(head.status(), 200);
    // Whoever gives up leaves nothing behind.
    sim.fail(Fault::once(Target::Registry, What::Hang));
    tokio::select! {
        _ = image(&sim, "HEAD") => unreachable!("it hangs"),
        () = sim.wait_hanging(1) => {}
    }
    sim.wait_hanging(0).await;
}

#[tokio::test]
async fn dropping_it_closes_its_connections() {
    let sim = Sim::start(world()).await;
    let (client, url) = (client(), format!("{}/user", sim.github_url()));
    assert_eq!(client.get(&url).bearer_auth("sim-classic-token").send().await.unwrap().status(), 200);
    drop(sim);
    tokio::task::yield_now().await;
    assert!(client.get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_replica_may_lag_behind() {
    let sim = Sim::start(world()).await;
    let head = "{ repository(owner: \"myorg\", name: \"myrepo\") { defaultBranchRef { target { oid } } } }";
    let shown = async || graphql(&sim, head).await["data"]["repository"]["defaultBranchRef"]["target"]["oid"].clone();
    sim.lag_github();
    sim.world(|world| drop(world.push(REPO, "main", "m2", &[])));
    assert_eq!(shown().await, sha("m1"));
    sim.catch_up();
    assert_eq!(shown().await, sha("m2"));
    sim.fail(Fault::always(Target::GraphQlWith("defaultBranchRef".to_owned()), What::EmptyBody200));
    assert_eq!(ask(&sim, head, &json!({})).send().await.unwrap().text().await.unwrap(), "");
    assert_eq!(graphql(&sim, VIEWER).await["data"]["viewer"]["login"], "lastgreen-bot");
}

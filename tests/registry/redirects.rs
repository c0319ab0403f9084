//! Redirects: where they may lead, and what goes along.

use lastgreen::{domain::Digest, upstream::Kind};
use lastgreen_sim::{Fault, Service, Target, What, World};
use serde_json::json;

use crate::{
    double::{Client, Double, MANIFEST, answer, found},
    stage::Stage,
};

const CHALLENGE: (&str, &str) = ("www-authenticate", "Basic realm=\"x\"");

#[tokio::test]
async fn manifests_follow_within_the_registry() {
    let double = Double::start(|_, asked| match (asked.what.as_str(), &asked.authorization) {
        (_, None) => answer(401, &[CHALLENGE], ""),
        ("HEAD /v2/team/app/manifests/one", _) => answer(307, &[("location", "/elsewhere?a=b")], ""),
        ("HEAD /elsewhere?a=b", Some(_)) => found(),
        _ => answer(404, &[], ""),
    })
    .await;
    assert_eq!(Client::basic(&double).ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
}

#[tokio::test]
async fn manifests_do_not_lead_elsewhere() {
    let stage = Stage::new(World::default()).await;
    let elsewhere = format!("http://{}/v2/team/app/manifests/one", stage.sim.realm_host());
    stage.sim.fail(Fault::always(Target::Registry, What::RedirectTo(elsewhere)));
    assert_eq!(stage.kind("one").await, Kind::Malformed);
    let error = stage.registries.repository_exists(&stage.image("team/app")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Malformed);
    assert_eq!(stage.sim.counts().realm, 0);
}

#[tokio::test]
async fn redirects_end() {
    let double = Double::start(|_, asked| {
        let path = asked.what.split(' ').nth(1).unwrap().to_owned();
        answer(302, &[("location", &format!("{path}x"))], "")
    })
    .await;
    assert_eq!(Client::anonymous(&double).ask("one").await.unwrap_err().kind, Kind::Malformed);
    assert_eq!(double.asked().len(), 4);
}

#[tokio::test]
async fn token_requests_are_not_redirected() {
    let double = Double::start(|address, asked| match asked.what.as_str() {
        "HEAD /v2/team/app/manifests/one" => {
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
            answer(401, &[("www-authenticate", &challenge)], "")
        }
        _ => answer(302, &[("location", "/stolen")], ""),
    })
    .await;
    assert_eq!(Client::basic(&double).ask("one").await.unwrap_err().kind, Kind::Malformed);
    assert!(double.asked().iter().all(|asked| asked.what != "GET /stolen"));
}

#[tokio::test]
async fn blobs_come_from_elsewhere_without_credentials() {
    let config = json!({"config": {"Labels": {"org.opencontainers.image.revision": "r"}}}).to_string();
    let digest = Digest::of(config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.as_str(), "size": config.len()},
        "layers": [],
    })
    .to_string();
    let store = Double::start(move |_, _| answer(200, &[], config.clone())).await;
    let (top, there) = (Digest::of(manifest.as_bytes()), store.address);
    let double = Double::start(move |_, asked| {
        let path = asked.what.split(' ').nth(1).unwrap();
        match &asked.authorization {
            None => answer(401, &[CHALLENGE], ""),
            Some(_) if path.contains("/blobs/") => {
                answer(307, &[("location", &format!("http://{there}/bucket?signature=x"))], "")
            }
            Some(_) => answer(200, &[], manifest.clone()),
        }
    })
    .await;
    let client = Client::basic(&double);
    let labels = client.registries.labels(&double.image(), &top).await.unwrap();
    assert_eq!(labels.revision.as_deref(), Some("r"));
    let asked = store.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].what.as_str(), &asked[0].authorization), ("GET /bucket?signature=x", &None));
}

#[tokio::test]
async fn nothing_of_ours_reaches_the_simulated_other_host() {
    let mut world = World::default();
    world.registry.auth = lastgreen_sim::RegistryAuth::Basic;
    world.registry.rotate("user", "secret");
    let stage = Stage::basic(world).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::always(Target::Blobs, What::RedirectTo(format!("http://{}/x", stage.sim.realm_host()))));
    let error = stage.registries.labels(&stage.image("team/app"), &digest).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let there: Vec<_> = stage.sim.seen().into_iter().filter(|seen| seen.service == Service::Realm).collect();
    assert_eq!(there.len(), 1);
    assert!(!format!("{:?}", there[0].headers).contains("authorization"));
}

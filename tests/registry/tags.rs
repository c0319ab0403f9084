//! Tags, digests and existence: what is asked, and what the answers mean.

use std::sync::Arc;

use lastgreen::{
    clock::{Clock as _, Moment},
    domain::Digest,
    registry::Registries,
    upstream::Kind,
};
use lastgreen_sim::{Fault, RegistryAuth, Target, What, World};

use crate::{
    double::{Client, Double, MANIFEST, answer},
    stage::{APP, Stage},
};

fn status(code: u16) -> What {
    What::Status(code, String::new())
}

#[tokio::test]
async fn a_look_up_is_one_head_with_all_kinds_in_one_header() {
    let stage = Stage::new(World::default()).await;
    let digest = stage.push("one");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    let seen = stage.sim.take_seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("HEAD", "/v2/team/app/manifests/one"));
    assert_eq!(seen[0].headers.get_all("accept").iter().count(), 1);
    assert_eq!(seen[0].accept.as_ref().unwrap().split(", ").count(), 4);
    assert_eq!(seen[0].headers["accept-encoding"], "identity");
    assert_eq!(seen[0].authorization, None);
}

#[tokio::test]
async fn what_was_found_is_found_for_as_long_as_the_caller_believes_it() {
    let stage = Stage::new(World::default()).await;
    assert_eq!(stage.ask("one").await.unwrap(), None);
    let digest = stage.push("one");
    assert_eq!(stage.ask_of(APP, "one", Moment::START).await.unwrap(), None);
    stage.pass(1);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest.clone()));
    let moved = stage.push("one");
    stage.pass(100_000);
    assert_eq!(stage.ask_of(APP, "one", Moment::START).await.unwrap(), Some(digest));
    assert_eq!(stage.ask("one").await.unwrap(), Some(moved));
    assert_eq!(stage.sim.counts().registry_head, 3);
}

#[tokio::test]
async fn fifty_callers_are_one_request() {
    let stage = Arc::new(Stage::new(World::default()).await);
    let digest = stage.push("one");
    stage.sim.hold(Target::manifests());
    let now = stage.clock.now();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let stage = Arc::clone(&stage);
            tokio::spawn(async move { stage.ask_of(APP, "one", now).await })
        })
        .collect();
    stage.sim.wait_for(|counts| counts.registry_head == 1).await;
    stage.sim.release(Target::manifests());
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), Some(digest.clone()));
    }
    assert_eq!(stage.sim.counts().registry(), 1);
}

#[tokio::test]
async fn no_status_but_404_is_absence() {
    for (code, expected) in [
        (301, Kind::Malformed),
        (400, Kind::Malformed),
        (401, Kind::Unauthorized),
        (403, Kind::Forbidden),
        (406, Kind::Malformed),
        (408, Kind::Unavailable),
        (410, Kind::Malformed),
        (500, Kind::Unavailable),
        (502, Kind::Unavailable),
        (503, Kind::Unavailable),
        (504, Kind::Unavailable),
    ] {
        let stage = Stage::new(World::default()).await;
        stage.sim.fail(Fault::always(Target::manifests(), status(code)));
        assert_eq!(stage.kind("one").await, expected, "{code}");
    }
}

#[tokio::test]
async fn without_a_digest_header_the_bytes_tell() {
    for what in [What::NoDigestHeader, What::MalformedDigestHeader] {
        let stage = Stage::new(World::default()).await;
        let digest = stage.push("one");
        stage.sim.fail(Fault::always(Target::manifests(), what));
        assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
        assert_eq!((stage.sim.counts().registry_head, stage.sim.counts().registry_get), (1, 1));
    }
}

#[tokio::test]
async fn a_header_that_contradicts_the_bytes_is_no_answer() {
    let stage = Stage::new(World::default()).await;
    stage.push("one");
    stage.sim.fail(Fault::always(Target::manifests(), What::HeadNotAllowed));
    stage.sim.fail(Fault::always(Target::manifests(), What::WrongDigestHeader));
    assert_eq!(stage.kind("one").await, Kind::Malformed);
    stage.sim.clear_faults();
    stage.sim.fail(Fault::always(Target::manifests(), What::LyingBody));
    stage.pass(10);
    assert_eq!(stage.kind("one").await, Kind::Malformed);
}

#[tokio::test]
async fn a_registry_without_head_is_asked_so_once() {
    for code in [405, 501] {
        let stage = Stage::new(World::default()).await;
        let digest = stage.push("one");
        stage.sim.fail(Fault::once(Target::manifests(), status(code)));
        assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
        stage.pass(1);
        assert_eq!(stage.ask("two").await.unwrap(), None);
        assert_eq!((stage.sim.counts().registry_head, stage.sim.counts().registry_get), (1, 2));
    }
}

#[tokio::test]
async fn what_is_no_manifest_is_no_digest() {
    for what in [What::HugeBody, What::NotJson, What::EmptyBody200] {
        let stage = Stage::new(World::default()).await;
        stage.push("one");
        stage.sim.fail(Fault::always(Target::manifests(), What::HeadNotAllowed));
        stage.sim.fail(Fault::always(Target::manifests(), what));
        assert_eq!(stage.kind("one").await, Kind::Malformed);
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_once_more() {
    let stage = Stage::new(World::default()).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::once(Target::manifests(), What::ConnectionReset));
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    stage.sim.reset_counts();
    stage.sim.fail(Fault::always(Target::manifests(), What::ConnectionReset));
    stage.pass(1);
    assert_eq!(stage.kind("one").await, Kind::Unavailable);
    assert_eq!(stage.sim.counts().registry_head, 2);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable() {
    let stage = Stage::new(World::default()).await;
    let (host, clock) = (stage.sim.registry_host(), stage.clock.clone());
    let options = crate::stage::options(host.clone(), lastgreen::registry::Auth::Anonymous);
    drop(stage);
    let registries = Registries::new(vec![options], Arc::new(clock)).unwrap();
    let image = format!("{host}/team/app").parse().unwrap();
    let error = registries.resolve(&image, &"one".parse().unwrap(), Moment::START).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_ref()), (Kind::Unavailable, "connection refused"));
}

#[tokio::test]
async fn existence_is_asked_once_an_hour() {
    let stage = Stage::new(World::default()).await;
    let image = stage.image(APP);
    assert_eq!(stage.registries.repository_exists(&image).await.unwrap(), Some(false));
    let digest = stage.push("one");
    stage.pass(3599);
    assert_eq!(stage.registries.repository_exists(&image).await.unwrap(), Some(false));
    stage.pass(2);
    assert_eq!(stage.registries.repository_exists(&image).await.unwrap(), Some(true));
    assert_eq!(stage.sim.counts().tags_list, 2);
    // A tag that was found proves it for another hour.
    stage.pass(1800);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    stage.pass(3599);
    assert_eq!(stage.registries.repository_exists(&image).await.unwrap(), Some(true));
    assert_eq!(stage.sim.counts().tags_list, 2);
}

#[tokio::test]
async fn a_registry_may_not_tell_whether_a_repository_exists() {
    for code in [401, 403, 405, 501] {
        let stage = Stage::new(World::default()).await;
        stage.sim.fail(Fault::always(Target::TagsList, status(code)));
        assert_eq!(stage.registries.repository_exists(&stage.image(APP)).await.unwrap(), None, "{code}");
        // That says nothing about its tags.
        assert_eq!(stage.ask("one").await.unwrap(), None, "{code}");
    }
    let stage = Stage::new(World::default()).await;
    stage.sim.fail(Fault::always(Target::TagsList, status(500)));
    let error = stage.registries.repository_exists(&stage.image(APP)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_404_counts_only_if_the_credential_was_shown() {
    // To strangers it hides what is private, and asks for a login at `/v2/` alone.
    let double = Double::start(|_, asked| {
        let known = asked.authorization.is_some();
        match (asked.what.as_str(), known) {
            ("GET /v2/", false) => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
            ("HEAD /v2/team/app/manifests/one", true) => crate::double::found(),
            _ => answer(404, &[], ""),
        }
    })
    .await;
    let client = Client::basic(&double);
    assert_eq!(client.ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
    assert_eq!(double.asked().len(), 3);
    assert_eq!(client.ask("two").await.unwrap(), None);
    assert_eq!(double.asked().len(), 1);
    let client = Client::anonymous(&double);
    assert_eq!(client.ask("one").await.unwrap(), None);
    assert_eq!(double.asked().len(), 1);
}

#[tokio::test]
async fn a_registry_that_never_asks_for_a_login_is_believed() {
    let double = Double::start(|_, asked| match asked.what.as_str() {
        "GET /v2/" => answer(200, &[], "{}"),
        _ => answer(404, &[], ""),
    })
    .await;
    let client = Client::basic(&double);
    assert_eq!(client.ask("one").await.unwrap(), None);
    assert_eq!(client.ask("two").await.unwrap(), None);
    let asked: Vec<_> = double.asked();
    assert!(asked.iter().all(|asked| asked.authorization.is_none()));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_diagnosis_says_what_to_do() {
    let stage = Stage::new(World::default()).await;
    stage.push("one");
    let image = stage.image(APP);
    let diagnosis = stage.registries.diagnose(&image).await;
    assert!(diagnosis.is_fine(), "{diagnosis}");
    let diagnosis = stage.registries.diagnose(&stage.image("team/typo")).await;
    assert!(!diagnosis.is_fine() && diagnosis.to_string().contains("check the name"), "{diagnosis}");
    stage.sim.fail(Fault::always(Target::TagsList, status(403)));
    let diagnosis = stage.registries.diagnose(&image).await;
    assert!(diagnosis.is_fine(), "{diagnosis}");
    stage.sim.world(|world| world.registry.auth = RegistryAuth::Basic);
    stage.sim.clear_faults();
    let diagnosis = stage.registries.diagnose(&image).await;
    assert!(!diagnosis.is_fine() && diagnosis.to_string().contains("anonymous"), "{diagnosis}");
}

//! A registry or its token server is down: who waits, who asks, and whether it is said to be well.

use std::{sync::Arc, time::Duration};

use lastgreen::{
    clock::{Clock as _, ManualClock, Moment},
    domain::{Digest, ImageName},
    registry::{Auth, Options, Registries},
    upstream::{Kind, UpstreamError},
};
use lastgreen_sim::{Fault, ImageSpec, Realm, RegistryAuth, Target, What, World};
use tokio::task::JoinHandle;

use crate::{
    double::{Double, MANIFEST, answer, found},
    stage::{APP, Stage, digest, options},
};

/// Asks in a task of its own.
fn asking(stage: &Stage, name: &str, tag: &str) -> JoinHandle<Result<Option<Digest>, UpstreamError>> {
    let (registries, image, now) = (Arc::clone(&stage.registries), stage.image(name), stage.clock.now());
    let tag = tag.parse().unwrap();
    tokio::spawn(async move { registries.resolve(&image, &tag, now).await.map(digest) })
}

fn no_answer(stage: &Stage) -> String {
    format!("{}: no answer in time", stage.sim.registry_host())
}

#[tokio::test]
async fn what_hangs_ends_by_the_clock_and_others_do_not_wait_for_it() {
    for end in [10, 12] {
        let stage = Stage::new(World::default()).await;
        stage.push("one");
        stage.sim.fail(Fault::always(Target::Registry, What::Hang));
        let first = asking(&stage, APP, "one");
        stage.sim.wait_hanging(1).await;
        stage.clock.advance(Duration::from_secs(end));
        if end == 12 {
            assert_eq!(first.await.unwrap().unwrap_err().to_string(), no_answer(&stage));
        }
        for nth in 0..20 {
            let error = stage.ask(&format!("tag-{nth}")).await.unwrap_err();
            assert_eq!((error.kind, error.to_string()), (Kind::Unavailable, no_answer(&stage)));
        }
        assert_eq!(stage.sim.counts().registry(), 1);
    }
}

#[tokio::test]
async fn the_same_words_whether_it_was_asked_or_not() {
    let stage = Stage::new(World::default()).await;
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    let mut errors = Vec::new();
    for tag in ["one", "two", "three", "four"] {
        errors.push(stage.ask(tag).await.unwrap_err().to_string());
    }
    errors.dedup();
    assert_eq!(errors, [format!("{}: it answered 503", stage.sim.registry_host())]);
    assert_eq!(stage.sim.counts().registry(), 2);
}

#[tokio::test]
async fn two_images_that_are_asked_for_at_once_find_out_together_that_it_is_back() {
    let stage = Stage::new(World::default()).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    for tag in ["one", "two"] {
        stage.ask(tag).await.unwrap_err();
    }
    stage.sim.clear_faults();
    stage.pass(1);
    let (front, back) = (asking(&stage, APP, "one"), asking(&stage, "team/other", "one"));
    assert_eq!(front.await.unwrap(), Ok(Some(digest)));
    assert_eq!(back.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn one_registry_that_is_down_does_not_touch_another() {
    let (down, up) = (Double::start(|_, _| answer(502, &[], "")).await, Double::start(|_, _| found()).await);
    let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
    let both = vec![down.options(Auth::Anonymous), up.options(Auth::Anonymous)];
    let registries = Registries::new(both, Arc::new(clock.clone())).unwrap();
    let ask = async |image: &ImageName, tag: &str| {
        registries.resolve(image, &tag.parse().unwrap(), Moment::START).await.map(digest)
    };
    for tag in ["one", "two", "three", "four", "five"] {
        assert_eq!(ask(&down.image(), tag).await.unwrap_err().kind, Kind::Unavailable);
        assert_eq!(ask(&up.image(), tag).await, Ok(Some(Digest::of(MANIFEST.as_bytes()))));
    }
    assert_eq!((down.asked().len(), up.asked().len()), (2, 5));
    assert!(registries.well_since([&down.image()]).is_none() && registries.well_since([&up.image()]).is_some());
    assert!(registries.well_since([&up.image(), &down.image()]).is_none());
}

#[tokio::test]
async fn one_that_does_not_know_head_is_not_down() {
    let registry =
        Double::start(|_, asked| if asked.what.starts_with("HEAD") { answer(501, &[], "") } else { found() });
    let registry = registry.await;
    let client = crate::double::Client::anonymous(&registry);
    for tag in ["one", "two", "three"] {
        client.ask(tag).await.unwrap().unwrap();
    }
    assert!(client.registries.well_since([&registry.image()]).is_some());
}

/// Tokens come from another server.
async fn with_token_server() -> Stage {
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Bearer;
    world.registry.realm = Realm::Other;
    let listed =
        |sim: &lastgreen_sim::Sim, host| Options { realms: vec![sim.realm_host()], ..options(host, Auth::Anonymous) };
    Stage::with(world, |sim, _, host| listed(sim, host)).await
}

#[tokio::test]
async fn a_token_server_that_hangs_delays_only_who_needs_a_token_and_not_for_long() {
    let stage = with_token_server().await;
    let one = stage.push("one");
    stage.sim.world(|world| {
        for name in ["team/other", "team/third"] {
            world.push_image(name, "old", &ImageSpec::default());
        }
    });
    stage.ask("one").await.unwrap();
    stage.sim.fail(Fault::always(Target::Realm, What::Hang));
    let first = asking(&stage, "team/other", "one");
    stage.sim.wait_hanging(1).await;
    stage.clock.advance(Duration::from_secs(9));
    // Who waits for that very token, and who needs another one.
    assert_eq!(stage.ask_of("team/other", "two", stage.clock.now()).await.unwrap_err().to_string(), no_answer(&stage));
    assert_eq!(stage.ask_of("team/third", "one", stage.clock.now()).await.unwrap_err().to_string(), no_answer(&stage));
    // Who has one needs none.
    assert_eq!(stage.ask("one").await, Ok(Some(one)));
    assert!(!first.is_finished());
    assert!(stage.registries.well_since([&stage.image(APP)]).is_none());
    assert_eq!(stage.sim.counts().realm, 2);
    stage.sim.clear_faults();
    assert_eq!(first.await.unwrap(), Ok(None));
    stage.pass(1);
    assert_eq!(stage.ask_of("team/third", "one", stage.clock.now()).await, Ok(None));
    assert!(stage.registries.well_since([&stage.image(APP)]).is_some());
}

#[tokio::test]
async fn a_registry_is_well_unless_the_latest_question_says_otherwise() {
    for what in [
        What::Status(502, String::new()),
        What::Status(401, String::new()),
        What::Status(403, String::new()),
        What::TooManyRequests { retry_after: Some("30".to_owned()) },
        What::ConnectionReset,
        What::RedirectTo("http://127.0.0.1:1/".to_owned()),
    ] {
        let stage = Stage::basic(World::default()).await;
        let (app, other) = (stage.image(APP), stage.image("team/other"));
        stage.push("one");
        assert!(stage.registries.well_since([&app, &other]).is_some(), "never asked");
        stage.sim.fail(Fault::always(Target::Registry, what.clone()));
        stage.ask("one").await.unwrap_err();
        assert!(stage.registries.well_since([&other, &app]).is_none(), "{what:?}");
        stage.sim.clear_faults();
        stage.pass(3600);
        assert!(stage.registries.well_since([&app]).is_none(), "{what:?}: nobody has asked since");
        stage.ask("one").await.unwrap();
        assert!(stage.registries.well_since([&app, &other]).is_some(), "{what:?}");
        // What is not there is no trouble.
        stage.ask("none").await.unwrap();
        assert!(stage.registries.well_since([&app]).is_some());
    }
}

#[tokio::test]
async fn a_credential_that_is_limited_or_rests_is_not_well_for_any_image() {
    let limited = What::TooManyRequests { retry_after: Some("30".to_owned()) };
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Basic;
    world.registry.rotate("user", "secret");
    world.registry.private = vec![APP.to_owned(), "team/other".to_owned()];
    for (wrong, rest) in [(false, 30), (true, 60)] {
        let stage = Stage::basic(world.clone()).await;
        let other = stage.image("team/other");
        if wrong {
            stage.sim.world(|world| world.registry.rotate("user", "another"));
        } else {
            stage.sim.fail(Fault::once(Target::Registry, limited.clone()));
        }
        stage.ask("one").await.unwrap_err();
        assert!(stage.registries.well_since([&other]).is_none());
        stage.pass(rest);
        assert!(stage.registries.well_since([&other]).is_some());
    }
}

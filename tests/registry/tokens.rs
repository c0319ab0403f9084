//! Bearer tokens: who gives them, for how long, and what a refusal means.

use std::sync::Arc;

use lastgreen::{clock::Clock as _, domain::Digest, registry::Options, upstream::Kind};
use lastgreen_sim::{Denial, Fault, ImageSpec, Kind as Asked, Realm, RegistryAuth, Service, Target, What, World};

use crate::{
    double::{Client, Double, MANIFEST, answer, found},
    stage::{APP, Stage, options},
};

fn bearer() -> World {
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Bearer;
    world
}

/// A world where the image is private, and `user` with `secret` may read it.
fn private() -> World {
    let mut world = bearer();
    world.registry.rotate("user", "secret");
    world.registry.private.push(APP.to_owned());
    world
}

#[tokio::test]
async fn once_a_token_is_held_a_look_up_is_one_request() {
    let stage = Stage::new(bearer()).await;
    let digest = stage.push("one");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest.clone()));
    let seen = stage.sim.take_seen();
    let kinds: Vec<_> = seen.iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, [Asked::Manifest, Asked::Token, Asked::Manifest]);
    assert!(seen[1].query.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", seen[1].query);
    assert!(seen[1].query.contains("service="), "{}", seen[1].query);
    assert_eq!(seen[1].authorization, None);

    stage.pass(200);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest.clone()));
    assert_eq!(stage.sim.take_seen().len(), 1);
    // An expired token is known to be one: it is not shown first.
    stage.pass(100);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    let kinds: Vec<_> = stage.sim.take_seen().iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, [Asked::Token, Asked::Manifest]);
}

#[tokio::test]
async fn a_token_that_does_not_say_how_long_holds_a_minute() {
    let mut world = bearer();
    world.registry.says_expiry = false;
    let stage = Stage::new(world).await;
    stage.push("one");
    stage.ask("one").await.unwrap();
    stage.pass(53);
    stage.ask("one").await.unwrap();
    assert_eq!(stage.sim.counts().registry_token, 1);
    stage.pass(1);
    stage.ask("one").await.unwrap();
    assert_eq!(stage.sim.counts().registry_token, 2);
}

#[tokio::test]
async fn fifty_callers_share_a_token() {
    let stage = Arc::new(Stage::new(bearer()).await);
    let digest = stage.push("one");
    stage.sim.hold(Target::Token);
    let now = stage.clock.now();
    let callers: Vec<_> = (0..50)
        .map(|nth| {
            let stage = Arc::clone(&stage);
            // Most of them ask for the same tag, the others each for another.
            let tag = if nth % 5 != 0 { "one".to_owned() } else { format!("other-{nth}") };
            tokio::spawn(async move { (nth, stage.ask_of(APP, &tag, now).await.unwrap()) })
        })
        .collect();
    stage.sim.wait_for(|counts| counts.registry_token == 1 && counts.registry_head >= 8).await;
    stage.sim.release(Target::Token);
    for caller in callers {
        let (nth, found) = caller.await.unwrap();
        assert_eq!(found, (nth % 5 != 0).then(|| digest.clone()));
    }
    assert_eq!(stage.sim.counts().registry_token, 1);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let stage = Stage::new(bearer()).await;
    let digest = stage.push("one");
    stage.ask("one").await.unwrap();
    stage.sim.world(|world| world.registry.tokens.clear());
    stage.sim.reset_counts();
    stage.pass(1);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    assert_eq!((stage.sim.counts().registry_head, stage.sim.counts().registry_token), (2, 1));
}

#[tokio::test]
async fn a_powerless_token_is_a_refusal_and_rests_the_repository_for_a_minute() {
    let mut world = private();
    world.registry.credentials[0].repositories = Some(Vec::new());
    world.registry.denial = Denial::Powerless;
    let stage = Stage::basic(world).await;
    let digest = stage.push("one");
    assert_eq!(stage.kind("one").await, Kind::Unauthorized);
    let spent = stage.sim.counts();
    assert_eq!((spent.registry_head, spent.registry_token), (2, 1));
    for tag in ["two", "three", "four"] {
        assert_eq!(stage.kind(tag).await, Kind::Unauthorized);
    }
    assert_eq!(stage.sim.counts(), spent);
    // Another repository of the same credential is not concerned.
    let other = stage.sim.world(|world| world.push_image("team/public", "one", &ImageSpec::default()));
    let now = stage.clock.now();
    assert_eq!(stage.ask_of("team/public", "one", now).await.unwrap().unwrap().as_str(), other);

    stage.sim.world(|world| world.registry.credentials[0].repositories = None);
    stage.pass(60);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn one_forbidden_repository_does_not_stop_the_others() {
    for denial in [Denial::Forbidden, Denial::Unauthorized] {
        let mut world = bearer();
        world.registry.denial = denial;
        world.registry.private.push(APP.to_owned());
        let stage = Stage::new(world).await;
        let error = stage.ask("one").await.unwrap_err();
        assert!(matches!(error.kind, Kind::Unauthorized | Kind::Forbidden), "{error}");
        assert!(error.message.contains("`team/app` is refused to anonymous callers"), "{error}");
        let other = stage.sim.world(|world| world.push_image("team/public", "one", &ImageSpec::default()));
        let now = stage.clock.now();
        assert_eq!(stage.ask_of("team/public", "one", now).await.unwrap().unwrap().as_str(), other);
    }
}

#[tokio::test]
async fn the_credential_goes_to_the_token_server_and_the_token_to_the_registry() {
    let stage = Stage::basic(private()).await;
    let digest = stage.push("one");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    for seen in stage.sim.seen() {
        let scheme = seen.authorization.map(|authorization| authorization.scheme);
        match seen.kind {
            Asked::Token => assert_eq!(scheme.as_deref(), Some("Basic")),
            _ => assert_ne!(scheme.as_deref(), Some("Basic")),
        }
    }
}

#[tokio::test]
async fn a_realm_on_another_host_gets_nothing_unless_it_is_listed() {
    let mut world = private();
    world.registry.realm = Realm::Other;
    let stage = Stage::basic(world.clone()).await;
    stage.push("one");
    let error = stage.ask("one").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains(&stage.sim.realm_host()) && error.message.contains("`realms`"), "{error}");
    assert_eq!(stage.sim.counts().realm, 0);
    assert!(stage.sim.seen().iter().all(|seen| seen.authorization.is_none()));

    let stage = Stage::with(world, |sim, folder, host| {
        let (username_file, password_file) = (folder.join("user"), folder.join("password"));
        std::fs::write(&username_file, "user").unwrap();
        std::fs::write(&password_file, "secret").unwrap();
        let auth = lastgreen::registry::Auth::Basic { username_file, password_file };
        Options { realms: vec![sim.realm_host()], ..options(host, auth) }
    })
    .await;
    let digest = stage.push("one");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    assert_eq!(stage.sim.counts().realm, 1);
}

#[tokio::test]
async fn a_realm_that_changes_later_gets_nothing_either() {
    let stage = Stage::basic(private()).await;
    stage.push("one");
    stage.ask("one").await.unwrap();
    let evil = format!("http://{}/token", stage.sim.realm_host());
    stage.sim.fail(Fault::always(Target::manifests(), What::CrossHostRealm(evil)));
    stage.pass(1);
    assert_eq!(stage.kind("one").await, Kind::Unauthorized);
    assert!(stage.sim.seen().iter().all(|seen| seen.service != Service::Realm));
}

#[tokio::test]
async fn a_wrong_credential_is_shown_once_a_minute_and_then_more_seldom() {
    let mut world = private();
    world.registry.rotate("user", "another");
    let stage = Arc::new(Stage::basic(world).await);
    stage.push("one");
    // As many as a second's pace lets through.
    let callers: Vec<_> = (0..49)
        .map(|nth| {
            let stage = Arc::clone(&stage);
            let now = stage.clock.now();
            tokio::spawn(async move { stage.ask_of(&format!("team/app-{}", nth % 10), &format!("t{nth}"), now).await })
        })
        .collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized);
        assert!(error.message.contains("refuses the configured credential"), "{error}");
        assert!(!error.message.contains("secret"), "{error}");
    }
    assert_eq!(stage.sim.counts().registry_token, 1);

    let mut attempts = Vec::new();
    for minute in 1..=60 {
        stage.sim.reset_counts();
        stage.pass(60);
        assert_eq!(stage.kind("one").await, Kind::Unauthorized);
        if stage.sim.counts().registry_token > 0 {
            attempts.push(minute);
        }
    }
    assert_eq!(attempts, [1, 3, 7, 15, 30, 45, 60]);

    // A changed file is another try at once.
    stage.rewrite("password", "another");
    assert!(stage.ask("one").await.unwrap().is_some());
}

#[tokio::test]
async fn a_token_server_that_is_down_is_no_refusal() {
    let stage = Stage::basic(private()).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::once(Target::Token, What::Status(503, String::new())));
    assert_eq!(stage.kind("one").await, Kind::Unavailable);
    stage.pass(1);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn what_is_no_token_is_none() {
    for what in [What::HugeBody, What::NotJson, What::EmptyBody200, What::Status(404, String::new())] {
        let stage = Stage::new(bearer()).await;
        stage.push("one");
        stage.sim.fail(Fault::always(Target::Token, what));
        assert_eq!(stage.kind("one").await, Kind::Malformed);
    }
}

#[tokio::test]
async fn an_old_token_is_suspected_for_a_403_or_400() {
    for code in [403, 400] {
        let tokens = std::sync::atomic::AtomicU32::new(0);
        let valid = Arc::new(std::sync::Mutex::new("Bearer t1".to_owned()));
        let (tokens, current) = (Arc::new(tokens), Arc::clone(&valid));
        let double = Double::start(move |address, asked| {
            if asked.what.starts_with("GET /token") {
                let nth = tokens.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                return answer(200, &[], format!(r#"{{"token":"t{nth}","expires_in":3600}}"#));
            }
            match &asked.authorization {
                None => {
                    let challenge = format!("Bearer realm=\"http://{address}/token\"");
                    answer(401, &[("www-authenticate", &challenge)], "")
                }
                Some(token) if *token == *current.lock().unwrap() => found(),
                Some(_) => answer(code, &[], ""),
            }
        })
        .await;
        let client = Client::anonymous(&double);
        assert_eq!(client.ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
        double.asked();
        "Bearer t2".clone_into(&mut valid.lock().unwrap());
        client.clock.advance(std::time::Duration::from_secs(6));
        assert_eq!(client.ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
        assert_eq!(double.asked().len(), 3);
        // A token of seconds ago is not to blame.
        "Bearer none".clone_into(&mut valid.lock().unwrap());
        client.clock.advance(std::time::Duration::from_secs(1));
        assert!(client.ask("one").await.is_err());
        assert_eq!(double.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let double = Double::start(|address, asked| match (asked.what.as_str(), asked.authorization.as_deref()) {
        ("POST /oauth2/token", None) => answer(200, &[], r#"{"access_token":"short","expires_in":300}"#),
        (_, Some("Bearer short")) => found(),
        _ => {
            let challenge = format!("Bearer realm=\"http://{address}/oauth2/token\",service=\"s\"");
            answer(401, &[("www-authenticate", &challenge)], "")
        }
    })
    .await;
    let client = Client::identity(&double, "refresh");
    assert_eq!(client.ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
    assert_eq!(double.asked().len(), 3);
}

#[tokio::test]
async fn many_refused_repositories_get_no_address_banned() {
    let mut world = bearer();
    world.registry.denial = Denial::Forbidden;
    let names: Vec<_> = (0..15).map(|number| format!("team/private-{number}")).collect();
    world.registry.private.extend(names.iter().cloned());
    let stage = Stage::new(world).await;
    stage.sim.world(|world| world.push_image("team/public", "one", &ImageSpec::default()));
    stage.ask_of("team/public", "one", stage.clock.now()).await.unwrap();
    stage.sim.reset_counts();
    let refused = async || {
        let mut kinds = Vec::new();
        for name in &names {
            kinds.push(stage.ask_of(name, "one", stage.clock.now()).await.unwrap_err().kind);
        }
        kinds.iter().filter(|kind| matches!(kind, Kind::Unauthorized | Kind::Forbidden)).count()
    };
    assert_eq!((refused().await, stage.sim.counts().registry_token), (10, 10));
    // Not even one more within three minutes, but for what was granted before and has expired.
    stage.pass(170);
    assert_eq!((refused().await, stage.sim.counts().registry_token), (0, 10));
    stage.pass(180);
    stage.ask_of("team/public", "one", stage.clock.now()).await.unwrap();
    assert_eq!(stage.sim.counts().registry_token, 11);
    assert_eq!((refused().await, stage.sim.counts().registry_token), (10, 21));
}

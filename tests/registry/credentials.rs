//! Basic credentials, Docker configs, rotation, and that nothing secret is shown.

use lastgreen::{
    clock::{Clock as _, Moment},
    registry::{Auth, Options, Registries, SetupError},
    upstream::Kind,
};
use lastgreen_sim::{ImageSpec, RegistryAuth, World};

use crate::{
    double::{Client, Double, answer, found},
    stage::{APP, Stage, options},
};

fn basic() -> World {
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Basic;
    world.registry.rotate("user", "secret");
    world
}

#[tokio::test]
async fn a_password_is_shown_after_it_was_asked_for() {
    let stage = Stage::basic(basic()).await;
    let digest = stage.push("one");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
    let shown: Vec<_> = stage.sim.take_seen().iter().map(|seen| seen.authorization.is_some()).collect();
    assert_eq!(shown, [false, true]);
    assert_eq!(stage.ask("two").await.unwrap(), None);
    let shown: Vec<_> = stage.sim.take_seen().iter().map(|seen| seen.authorization.is_some()).collect();
    assert_eq!(shown, [true]);
}

#[tokio::test]
async fn a_wrong_password_rests() {
    let mut world = basic();
    world.registry.rotate("user", "another");
    let stage = Stage::basic(world).await;
    let digest = stage.push("one");
    assert_eq!(stage.kind("one").await, Kind::Unauthorized);
    assert_eq!(stage.sim.counts().registry_head, 2);
    for name in [APP, "team/other", "third"] {
        let error = stage.ask_of(name, "two", Moment::START).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    assert_eq!(stage.sim.counts().registry_head, 2);
    stage.rewrite("password", "another");
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn a_rotation_is_taken_up_and_drops_what_the_old_one_saw() {
    let stage = Stage::basic(basic()).await;
    stage.push("one");
    stage.ask("one").await.unwrap();
    stage.sim.world(|world| world.registry.rotate("user", "third"));
    stage.rewrite("password", "third");
    stage.sim.reset_counts();
    assert!(stage.ask_of(APP, "one", Moment::START).await.unwrap().is_some());
    assert!(stage.sim.counts().registry_head > 0);
    // Back again is another account still.
    stage.sim.world(|world| world.registry.rotate("user", "secret"));
    stage.rewrite("password", "secret");
    stage.sim.reset_counts();
    assert!(stage.ask_of(APP, "one", Moment::START).await.unwrap().is_some());
    assert!(stage.sim.counts().registry_head > 0);
}

#[tokio::test]
async fn a_file_that_is_written_again_unchanged_changes_nothing() {
    let stage = Stage::basic(basic()).await;
    stage.push("one");
    stage.ask("one").await.unwrap();
    stage.sim.reset_counts();
    stage.rewrite("password", "secret");
    stage.ask_of(APP, "one", Moment::START).await.unwrap();
    assert_eq!(stage.sim.counts().registry(), 0);
}

#[tokio::test]
async fn missing_files_are_named() {
    let stage = Stage::basic(basic()).await;
    std::fs::remove_file(stage.folder.path().join("password")).unwrap();
    let error = stage.ask("one").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("password"), "{error}");
    let diagnosis = stage.registries.diagnose(&stage.image(APP)).await;
    assert!(diagnosis.to_string().contains("does not exist"), "{diagnosis}");
    assert_eq!(stage.sim.counts().registry(), 0);
}

async fn docker_config(world: World, entry: impl FnOnce(&str) -> String) -> Stage {
    Stage::with(world, |_, folder, host| {
        let path = folder.join("config.json");
        std::fs::write(&path, entry(&host)).unwrap();
        options(host, Auth::DockerConfig(path))
    })
    .await
}

#[tokio::test]
async fn a_docker_config_chooses_by_repository() {
    let mut world = basic();
    world.registry.credentials.push(lastgreen_sim::Credential {
        repositories: Some(vec!["other/app".to_owned()]),
        ..lastgreen_sim::Credential::new("narrow", "n")
    });
    world.registry.private = vec![APP.to_owned(), "other/app".to_owned()];
    let stage = docker_config(world, |host| {
        format!(
            r#"{{"auths":{{"http://{host}":{{"auth":"dXNlcjpzZWNyZXQ="}},
                           "{host}/other":{{"username":"narrow","password":"n"}}}}}}"#
        )
    })
    .await;
    stage.push("one");
    stage.sim.world(|world| world.push_image("other/app", "one", &ImageSpec::default()));
    assert!(stage.ask("one").await.unwrap().is_some());
    assert!(stage.ask_of("other/app", "one", Moment::START).await.unwrap().is_some());
    let shown: std::collections::BTreeSet<_> =
        stage.sim.seen().into_iter().filter_map(|seen| Some(seen.authorization?.value)).collect();
    assert_eq!(shown.len(), 2);
    // What stays in the file keeps what it knows.
    let host = stage.sim.registry_host();
    stage.sim.reset_counts();
    stage.rewrite("config.json", &format!(r#"{{"auths":{{"{host}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#));
    assert!(stage.ask_of(APP, "one", Moment::START).await.unwrap().is_some());
    assert_eq!(stage.sim.counts().registry(), 0);
}

#[tokio::test]
async fn a_helper_is_named_and_not_run() {
    let stage = docker_config(basic(), |host| {
        format!(r#"{{"auths":{{"{host}":{{}}}},"credHelpers":{{"{host}":"does-not-exist"}}}}"#)
    })
    .await;
    let error = stage.ask("one").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("helpers are never run"), "{error}");
}

#[tokio::test]
async fn a_broken_docker_config_shows_nothing() {
    let stage = docker_config(basic(), |_| r#"{"auths":{"x":"hunter2"#.to_owned()).await;
    let error = stage.ask("one").await.unwrap_err();
    assert!(error.message.contains("no Docker config") && !format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn of_several_offers_the_token_is_taken() {
    let double = Double::start(|address, asked| {
        if asked.what.starts_with("GET /token") {
            return answer(200, &[], r#"{"token":"t"}"#);
        }
        if asked.authorization.as_deref() == Some("Bearer t") {
            return found();
        }
        let bearer = format!("bearer realm=\"http://{address}/token\",scope=\"a:b:pull,push\"");
        answer(401, &[("www-authenticate", "Basic realm=\"x\""), ("www-authenticate", &bearer)], "")
    })
    .await;
    assert!(Client::basic(&double).ask("one").await.unwrap().is_some());
    let asked = double.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].what.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", asked[1].what);
    assert!(asked[1].authorization.as_ref().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn nothing_secret_is_in_what_is_printed() {
    let stage = Stage::basic(basic()).await;
    stage.push("one");
    stage.ask("one").await.unwrap();
    let printed = format!("{:?}", stage.registries);
    assert!(!printed.contains("secret") && !printed.contains("dXNlcjpzZWNyZXQ"), "{printed}");
}

#[tokio::test]
async fn a_registry_is_set_up_once() {
    let clock = Stage::new(World::default()).await.clock;
    let two = ["docker.io", "registry-1.docker.io"].map(Options::anonymous).to_vec();
    let error = Registries::new(two, std::sync::Arc::new(clock.clone())).unwrap_err();
    assert!(matches!(error, SetupError::Twice(host) if host == "docker.io"));
    assert!(clock.now() > Moment::START);
}

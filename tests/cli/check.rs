//! `check`: what is wrong, and what to do about it.

use lastgreen_sim::{Credential, Fault, RegistryAuth, Target, What};

use crate::stage::{Done, REPO, Stage};

/// The lines that say that something is wrong.
#[track_caller]
fn wrong(done: &Done) -> Vec<&str> {
    let lines: Vec<_> = done.stdout.lines().collect();
    for line in &lines {
        assert!(["ok ", "note ", "warning ", "WRONG "].iter().any(|word| line.starts_with(word)), "{}", done.stdout);
    }
    lines.into_iter().filter(|line| line.starts_with("WRONG")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    let stage = Stage::new().await;
    let done = stage.run(&["check"]).ended(0);
    let host = stage.sim.registry_host();
    assert!(done.stdout.lines().all(|line| line.starts_with("ok ") || line.starts_with("note ")), "{}", done.stdout);
    for subject in [
        "config",
        "token",
        "GitHub myorg/myrepo: credential",
        "GitHub myorg/myrepo: repository",
        "GitHub myorg/myrepo: pull requests",
        "GitHub myorg/myrepo: checks",
        "GitHub myorg/myrepo: budget",
        &format!("{host}/myorg/front"),
        &format!("{host}/myorg/back"),
    ] {
        let lines = done.stdout.lines().filter(|line| line.contains(&format!(" {subject}:"))).count();
        assert_eq!(lines, 1, "{subject} has one line: {}", done.stdout);
        assert_eq!(done.stdout.matches(&format!("{subject}:")).count(), 1, "{subject} is named once: {}", done.stdout);
    }
    assert_eq!(done.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_of_github() {
    let stage = Stage::new().await;
    stage.write("github", "not-the-token");
    let done = stage.run(&["check"]).ended(5);
    let lines = wrong(&done);
    assert_eq!(lines.len(), 1, "{}", done.stdout);
    assert!(lines[0].contains("GitHub myorg/myrepo") && lines[0].contains("wrong, expired or revoked"), "{}", lines[0]);
    // The registry is looked at all the same.
    done.says("myorg/front: can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_exist() {
    let stage = Stage::new().await;
    stage.reconfigure(&format!("repository: {REPO}"), "repository: myorg/other");
    let done = stage.run(&["check"]).ended(5);
    let lines = wrong(&done);
    assert_eq!(lines.len(), 1, "{}", done.stdout);
    assert!(lines[0].contains("myorg/other"), "{}", lines[0]);
    assert!(lines[0].contains("does not exist, or the credential cannot see it"), "{}", lines[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_repository_that_does_not_exist() {
    let stage = Stage::new().await;
    stage.reconfigure("/myorg/back:", "/myorg/bakc:");
    let done = stage.run(&["check"]).ended(5);
    let lines = wrong(&done);
    assert_eq!(lines.len(), 1, "{}", done.stdout);
    assert!(lines[0].contains("/myorg/bakc") && lines[0].contains("check the name"), "{}", lines[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses() {
    for auth in [RegistryAuth::Basic, RegistryAuth::Bearer] {
        let stage = Stage::new().await;
        stage.sim.world(|world| {
            world.registry.auth = auth;
            world.registry.credentials = vec![Credential::new("robot", "right")];
            world.registry.private = vec!["myorg/front".to_owned(), "myorg/back".to_owned()];
        });
        let anonymous = stage.run(&["check"]).ended(5);
        assert_eq!(wrong(&anonymous).len(), 2, "{}", anonymous.stdout);
        let host = stage.sim.registry_host();
        stage.write("user", "robot");
        stage.write("password", "mistaken");
        let folder = stage.folder().display();
        let files = format!("auth: {{ usernameFile: {folder}/user, passwordFile: {folder}/password }}");
        stage.reconfigure("plainHttp: true", &format!("plainHttp: true, {files}"));
        let refused = stage.run(&["check"]).ended(5);
        let lines = wrong(&refused);
        assert_eq!(lines.len(), 2, "{}", refused.stdout);
        for line in lines {
            assert!(line.contains(&host) && line.contains("credential"), "{auth:?}: {line}");
        }
        stage.write("password", "right");
        stage.run(&["check"]).ended(0).says("can be read with the configured credential");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_are_down() {
    let stage = Stage::new().await;
    stage.sim.fail(Fault::always(Target::GitHub, What::ConnectionReset));
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    let done = stage.run(&["check"]).ended(5);
    assert_eq!(wrong(&done).len(), 3, "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_the_repository_is_named_and_not_looked_up() {
    let stage = Stage::new().await;
    let text = stage.config().replace(&format!("repository: {REPO}"), "repository: myorg/my*");
    stage.configure(&text.replace("/myorg/front:", "/{owner}/{repo}-front:"));
    stage.sim.reset_counts();
    let done = stage.run(&["check"]).ended(0);
    done.says(
        "note     GitHub myorg/my*: which repositories there are is not looked up; `lastgreen resolve --repository",
    );
    done.says(&format!("ok       {}/myorg/back: can be read anonymously", stage.sim.registry_host()));
    assert!(!done.stdout.contains("front"), "{}", done.stdout);
    assert_eq!(stage.sim.counts().github(), 0);
}

//! No secret comes out, whatever is logged and whatever the upstreams say.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lastgreen_sim::{App, AppKey, Credential, Fault, Installation, RegistryAuth, Target, What};

use crate::{
    http::{Client, about, question},
    stage::{BEARER, Done, Stage},
};

const WRONG_BEARER: &str = "another-bearer-that-is-wrong";
const GITHUB: &str = "github-token-of-the-robot";
const USER: &str = "robot-of-the-registry";
const PASSWORD: &str = "password-of-the-registry";

/// A stage on which everybody must show who he is.
pub(crate) async fn stage(auth: RegistryAuth, app: bool) -> Stage {
    let stage = Stage::new().await;
    stage.sim.world(|world| {
        GITHUB.clone_into(&mut world.github.tokens[0].token);
        world.registry.auth = auth;
        world.registry.credentials = vec![Credential::new(USER, PASSWORD)];
        world.registry.private = vec!["myorg/front".to_owned(), "myorg/back".to_owned()];
        world.github.apps.push(App {
            id: 7,
            slug: "lastgreen".to_owned(),
            public_key: Some(AppKey::shared().public_pem.clone()),
            installations: vec![Installation { id: 70, account: "myorg".to_owned(), repositories: None, checks: true }],
        });
    });
    stage.write("github", GITHUB);
    stage.write("key", &AppKey::shared().private_pem);
    stage.write("user", USER);
    stage.write("password", PASSWORD);
    let folder = stage.folder().display();
    let mut text = stage.config().replace(
        "plainHttp: true",
        &format!("plainHttp: true, auth: {{ usernameFile: {folder}/user, passwordFile: {folder}/password }}"),
    );
    if app {
        let token = format!("auth: {{ tokenFile: {folder}/github }}");
        assert!(text.contains(&token), "{text}");
        text = text.replace(&token, &format!("auth: {{ app: {{ id: 7, privateKeyFile: {folder}/key }} }}"));
    }
    stage.configure(&text);
    stage
}

/// Every secret of the stage, those that were handed out on the way among them.
pub(crate) fn secrets(stage: &Stage) -> BTreeSet<String> {
    let mut secrets: BTreeSet<String> = [BEARER, WRONG_BEARER, GITHUB, PASSWORD].map(str::to_owned).into();
    secrets.insert(BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    secrets.extend(stage.sim.seen().into_iter().filter_map(|seen| seen.authorization).map(|sent| sent.value));
    secrets.extend(AppKey::shared().private_pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    stage.sim.world(|world| {
        secrets.extend(world.github.installation_tokens.iter().map(|issued| issued.token.clone()));
        secrets.extend(world.registry.tokens.keys().cloned());
    });
    secrets
}

/// Failures whose text holds what the upstream was sent.
fn echoes(stage: &Stage) -> Vec<(Target, What)> {
    let mut echoes = Vec::new();
    for status in [200, 401, 403, 404, 500] {
        // With GraphQL alone failing, an App gets as far as a token of its installation.
        for target in [Target::GitHub, Target::GraphQl, Target::Registry, Target::Token] {
            echoes.push((target, What::Echo(status)));
        }
    }
    let host = stage.sim.registry_host();
    let address = |user: &str, secret: &str| format!("http://{user}:{secret}@{host}/?token={secret}");
    echoes.push((Target::GitHub, What::RedirectTo(address("x", GITHUB))));
    echoes.push((Target::Registry, What::RedirectTo(address(USER, PASSWORD))));
    echoes.push((Target::Registry, What::CrossHostRealm(address(USER, PASSWORD))));
    echoes
}

/// Everything that one round of the program says: serving, resolving, checking.
fn everything_said(stage: &Stage, format: &str) -> String {
    let mut said = String::new();
    let serving = stage.serve("trace", &["--log-format", format]);
    let mut client = Client::connect(serving.plugin);
    for token in [BEARER, WRONG_BEARER] {
        client.send(question(token, &about("feature", None)));
        let reply = client.reply();
        said += &reply.head;
        said += &reply.body;
    }
    serving.terminate();
    let mut add = |done: Done| {
        said += &done.stdout;
        said += &done.stderr;
    };
    add(serving.ended().ended(0));
    add(stage.run_logging("trace", &["--log-format", format, "resolve", "-b", "feature", "--explain"]));
    add(stage.run_logging("trace", &["--log-format", format, "check"]));
    said
}

#[track_caller]
fn assert_silent(stage: &Stage, said: &str, when: &str) {
    for secret in secrets(stage) {
        if let Some(line) = said.lines().find(|line| line.contains(&secret)) {
            panic!("`{secret}` comes out {when}: {}", line.chars().take(300).collect::<String>());
        }
    }
}

async fn nothing_comes_out(auth: RegistryAuth, app: bool) {
    let stage = stage(auth, app).await;
    for (turn, format) in ["text", "json"].into_iter().enumerate() {
        let said = everything_said(&stage, format);
        assert!(said.contains(&stage.front) && said.contains(" 403 Forbidden"), "{said}");
        assert!(said.contains("TRACE"), "{said}");
        assert_silent(&stage, &said, "when all is well");
        // Each failure has its turn in one of the formats, and each target in both.
        for (nth, (target, what)) in echoes(&stage).into_iter().enumerate() {
            if (nth + nth / 4) % 2 == turn {
                stage.sim.fail(Fault::always(target.clone(), what.clone()));
                let said = everything_said(&stage, format);
                assert_silent(&stage, &said, &format!("when {target:?} fails with {what:?}"));
                stage.sim.clear_faults();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_out_with_a_token_and_basic_authentication() {
    nothing_comes_out(RegistryAuth::Basic, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_out_with_an_app_and_bearer_tokens() {
    nothing_comes_out(RegistryAuth::Bearer, true).await;
}

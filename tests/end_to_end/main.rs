//! The whole way with a real registry: images are pushed to Debian's `docker-registry` as CI pushes them, and the
//! program, served over a real connection, is asked as Argo CD asks.
//!
//! What it answers is held against what the registry itself says of each tag. GitHub is the simulated one.
//! Where `docker-registry` is not installed these tests say so and pass; with `LASTGREEN_REAL_SERVERS=required` they
//! fail.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/docker_registry.rs"]
mod docker_registry;
#[path = "../support/http.rs"]
mod http;
mod stage;
#[path = "../support/token_server.rs"]
mod token_server;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use docker_registry::{Access, DockerRegistry, Image, PASSWORD, USER};
use lastgreen_sim::sha;
use serde_json::json;
use stage::{BACK, FRONT, Setup, Stage};
use token_server::{Gives, TokenServer};

const REVISION: &str = "org.opencontainers.image.revision";
const VERSION: &str = "org.opencontainers.image.version";

/// What the build of a commit pushes: a plain image, and an index of two platforms with an attestation.
fn images(content: &str) -> (Image, Image) {
    let front = Image { content: format!("front of {content}"), ..Image::default() };
    let back = Image { content: format!("back of {content}"), index: Some([].into()), ..Image::default() };
    (front, back)
}

/// The same with the label that names their commit.
fn labelled(content: &str, revision: &str) -> (Image, Image) {
    let (mut front, mut back) = images(content);
    for image in [&mut front, &mut back] {
        image.labels =
            [(REVISION.to_owned(), revision.to_owned()), (VERSION.to_owned(), format!("1.0-{content}"))].into();
    }
    (front, back)
}

fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

/// The story of every mode: a build, a red push, the next build; then a newcomer whose images are missing.
async fn follows_the_last_green_build(stage: &Stage, push: impl Fn(&str) -> Option<String>) {
    let (one, two, three) = (sha("a1"), sha("a2"), sha("a3"));
    let built = stage.push_both(&push, &format!("sha-{one}"), images("a1")).await;
    stage.green("a1");
    stage.asks("feature").await.is(&built, "fresh", &one);
    stage.is_what_the_registry_says(&push, &format!("sha-{one}"), &built).await;

    stage.push_commit("a2");
    stage.red("a2");
    stage.push_both(&push, &format!("sha-{two}"), images("a2")).await;
    stage.asks("feature").await.is(&built, "fresh", &one);

    stage.push_commit("a3");
    stage.green("a3");
    // CI is green, and only one of the two images is there yet.
    let (front, back) = images("a3");
    stage.push(&push, FRONT, &format!("sha-{three}"), &front).await;
    stage.asks("feature").await.is(&built, "fresh", &one);
    stage.push(&push, BACK, &format!("sha-{three}"), &back).await;
    let next = stage.reported(&push, &format!("sha-{three}")).await;
    assert_ne!(next, built);
    stage.asks("feature").await.is(&next, "fresh", &three);
    stage.is_what_the_registry_says(&push, &format!("sha-{three}"), &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymously() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let stage = Stage::new(registry, Setup::default()).await;
    follows_the_last_green_build(&stage, |_| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_name_and_password() {
    let Some(registry) = DockerRegistry::start(&Access::Password) else { return };
    let stage = Stage::new(registry, Setup::password(PASSWORD)).await;
    follows_the_last_green_build(&stage, |_| Some(basic())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_docker_config() {
    let Some(registry) = DockerRegistry::start(&Access::Password) else { return };
    let entry = json!({"auth": BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"))});
    let config = json!({"auths": {registry.host(): entry}}).to_string();
    let stage = Stage::new(registry, Setup::docker_config(&config)).await;
    follows_the_last_green_build(&stage, |_| Some(basic())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens() {
    let tokens = TokenServer::start().await;
    let Some(registry) = DockerRegistry::start(&tokens.access()) else { return };
    let stage = Stage::new(registry, Setup { realm: tokens.host().to_owned(), ..Setup::password(PASSWORD) }).await;
    follows_the_last_green_build(&stage, |name| Some(format!("Bearer {}", tokens.token(name, &["pull", "push"]))))
        .await;
    assert_eq!(tokens.given(), 4, "one token for each image serves for five minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_credential() {
    let tokens = TokenServer::start().await;
    let Some(registry) = DockerRegistry::start(&tokens.access()) else { return };
    let stage = Stage::new(registry, Setup { realm: tokens.host().to_owned(), ..Setup::password(PASSWORD) }).await;
    let push = |name: &str| Some(format!("Bearer {}", tokens.token(name, &["pull", "push"])));
    let one = stage.push_both(&push, &format!("sha-{}", sha("a1")), images("a1")).await;
    stage.green("a1");
    stage.asks("feature").await.is(&one, "fresh", &sha("a1"));
    // The next build is there, but its images cannot be seen any more.
    stage.push_commit("a2");
    stage.green("a2");
    let two = stage.push_both(&push, &format!("sha-{}", sha("a2")), images("a2")).await;
    tokens.gives(Gives::Expired);
    stage.pass(600);
    let held = stage.asks("feature").await;
    held.is(&one, "held", &sha("a1"));
    assert!(held.reason().contains(stage.registry.host()), "{held:?}");
    tokens.gives(Gives::WrongScope);
    stage.pass(600);
    stage.asks("feature").await.is(&one, "held", &sha("a1"));
    tokens.gives(Gives::Good);
    stage.pass(600);
    stage.asks("feature").await.is(&two, "fresh", &sha("a2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_move_are_known_by_their_label() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let setup = Setup {
        tag: "pr-{number}",
        outputs: "version: \"{digestBack.label:org.opencontainers.image.version}\"",
        ..Setup::default()
    };
    let stage = Stage::new(registry, setup).await;
    let nobody = |_: &str| None;
    let one = stage.push_both(&nobody, "pr-1", labelled("one", &sha("a1"))).await;
    stage.green("a1");
    let reply = stage.asks("feature").await;
    reply.is(&one, "fresh", &sha("a1"));
    assert_eq!(reply.item()["version"], "1.0-one");
    stage.is_what_the_registry_says(&nobody, "pr-1", &one).await;

    // The next build moves the tag before its checks are done.
    stage.push_commit("a2");
    let two = stage.push_both(&nobody, "pr-1", labelled("two", &sha("a2"))).await;
    stage.asks("feature").await.is(&one, "fresh", &sha("a1"));
    stage.green("a2");
    let reply = stage.asks("feature").await;
    reply.is(&two, "fresh", &sha("a2"));
    assert_eq!(reply.item()["version"], "1.0-two");

    // A build of the test merge that GitHub made of this head.
    stage.push_commit("a3");
    stage.green("a3");
    let merge = stage.test_merge();
    let three = stage.push_both(&nobody, "pr-1", labelled("three", &merge)).await;
    stage.asks("feature").await.is(&three, "fresh", &sha("a3"));
    stage.is_what_the_registry_says(&nobody, "pr-1", &three).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_without_a_label_proves_nothing() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let stage = Stage::new(registry, Setup { tag: "pr-{number}", ..Setup::default() }).await;
    stage.push_both(&|_: &str| None, "pr-1", images("one")).await;
    stage.green("a1");
    let reply = stage.asks("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("label"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tags_and_missing_repositories_are_told_apart() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let stage = Stage::new(registry, Setup::default()).await;
    let nobody = |_: &str| None;
    stage.green("a1");
    let reply = stage.asks("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("so is its repository"), "{reply:?}");
    stage.push_both(&nobody, "old", images("old")).await;
    // Whether a repository exists is asked once an hour.
    stage.pass(3601);
    let reply = stage.asks("feature").await;
    reply.is_nothing("not-yet");
    assert!(!reply.reason().contains("so is its repository"), "{reply:?}");
    assert!(reply.reason().contains(&format!("sha-{}", sha("a1"))), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_no_missing_build() {
    let Some(registry) = DockerRegistry::start(&Access::Password) else { return };
    // A ledger that is trusted knows that nothing of ours is deployed.
    let stage = Stage::new(registry, Setup { trust_after: "0s", ..Setup::password(PASSWORD) }).await;
    stage.change_password("wrong");
    stage.push_both(&|_: &str| Some(basic()), &format!("sha-{}", sha("a1")), images("a1")).await;
    stage.green("a1");
    let reply = stage.asks("feature").await;
    reply.is_nothing("unknown");
    assert!(reply.reason().contains("credential"), "{reply:?}");
}

//! The registry client against a real registry: Debian's `docker-registry`.
//!
//! Where it is not installed these tests say so and pass; with `LASTGREEN_REAL_SERVERS=required` they fail.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/docker_registry.rs"]
mod docker_registry;
#[path = "../support/token_server.rs"]
mod token_server;

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use docker_registry::{Access, DockerRegistry, Image, PASSWORD, USER};
use lastgreen::{
    clock::{Clock as _, ManualClock, SystemClock},
    domain::{Digest, ImageName},
    registry::{Auth, Options, Presence, Registries},
    upstream::{Kind, UpstreamError},
};
use token_server::{Gives, TokenServer};

const REVISION: &str = "org.opencontainers.image.revision";
const APP: &str = "team/app";

struct Client {
    registries: Registries,
    clock: ManualClock,
    host: String,
}

impl Client {
    fn new(registry: &DockerRegistry, auth: Auth, realms: Vec<String>) -> Self {
        let clock = ManualClock::new(SystemClock::new().wall());
        let host = registry.host().to_owned();
        let options = Options { auth, realms, plain_http: true, ..Options::anonymous(&host) };
        let registries = Registries::new(vec![options], Arc::new(clock.clone())).unwrap();
        Self { registries, clock, host }
    }

    fn image(&self, name: &str) -> ImageName {
        format!("{}/{name}", self.host).parse().unwrap()
    }

    async fn ask(&self, name: &str, tag: &str) -> Result<Option<String>, UpstreamError> {
        let presence = self.registries.resolve(&self.image(name), &tag.parse().unwrap(), self.clock.now()).await?;
        Ok(match presence {
            Presence::Found { digest, .. } => Some(digest.to_string()),
            Presence::Absent { .. } => None,
        })
    }
}

fn image(content: &str) -> Image {
    Image {
        labels: [(REVISION.to_owned(), format!("label of {content}"))].into(),
        content: content.to_owned(),
        ..Image::default()
    }
}

fn index(content: &str) -> Image {
    let version = ("org.opencontainers.image.version".to_owned(), "7".to_owned());
    Image { index: Some([version].into()), ..image(content) }
}

/// The files of [`Auth::Basic`].
fn files(folder: &Path, user: &str, password: &str) -> Auth {
    let (username_file, password_file) = (folder.join("user"), folder.join("password"));
    std::fs::write(&username_file, user).unwrap();
    std::fs::write(&password_file, password).unwrap();
    Auth::Basic { username_file, password_file }
}

#[tokio::test]
async fn an_open_registry() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let client = Client::new(&registry, Auth::Anonymous, Vec::new());

    assert_eq!(client.registries.repository_exists(&client.image("team/none")).await.unwrap(), Some(false));
    assert!(!client.registries.diagnose(&client.image("team/none")).await.is_fine());

    let single = registry.push(None, APP, "single", &image("one")).await;
    let multi = registry.push(None, APP, "multi", &index("two")).await;
    assert_eq!(client.ask(APP, "single").await.unwrap(), Some(single.clone()));
    assert_eq!(client.ask(APP, "multi").await.unwrap(), Some(multi.clone()));
    assert_eq!(client.ask(APP, "none").await.unwrap(), None);
    assert_eq!(client.ask("team/none", "none").await.unwrap(), None);
    assert_eq!(client.registries.repository_exists(&client.image(APP)).await.unwrap(), Some(true));
    assert!(client.registries.diagnose(&client.image(APP)).await.is_fine());

    for (digest, revision) in [(single, "label of one"), (multi, "label of two")] {
        let labels = client.registries.labels(&client.image(APP), &digest.parse().unwrap()).await.unwrap();
        assert_eq!(labels.revision.as_deref(), Some(revision));
        assert_eq!(labels.all.contains_key("org.opencontainers.image.version"), revision.ends_with("two"));
    }
    let error = client.registries.labels(&client.image(APP), &Digest::of(b"?")).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn a_tag_that_moves() {
    let Some(registry) = DockerRegistry::start(&Access::Anyone) else { return };
    let client = Client::new(&registry, Auth::Anonymous, Vec::new());
    assert_eq!(client.ask(APP, "pr-1").await.unwrap(), None);
    for content in ["one", "two", "one"] {
        let pushed = registry.push(None, APP, "pr-1", &image(content)).await;
        client.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(client.ask(APP, "pr-1").await.unwrap(), Some(pushed));
    }
}

#[tokio::test]
async fn a_registry_with_a_private_ca() {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let Some(registry) = DockerRegistry::start_with(&Access::Anyone, Some((&certificate, &key))) else { return };
    let clock = Arc::new(SystemClock::new());
    let image = format!("{}/{APP}", registry.host()).parse().unwrap();

    let unknown = Registries::new(Vec::new(), clock.clone()).unwrap();
    let error = unknown.repository_exists(&image).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("certificate") && error.message.contains("`caFile`"), "{error}");

    let ca_file = Some(registry.folder().join("tls.pem"));
    let options = Options { ca_file, ..Options::anonymous(registry.host()) };
    let trusting = Registries::new(vec![options], clock).unwrap();
    assert_eq!(trusting.repository_exists(&image).await.unwrap(), Some(false));
}

#[tokio::test]
async fn a_registry_with_passwords() {
    let Some(registry) = DockerRegistry::start(&Access::Password) else { return };
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let pushed = registry.push(Some(&basic), APP, "one", &index("one")).await;

    let client = Client::new(&registry, files(registry.folder(), USER, PASSWORD), Vec::new());
    assert_eq!(client.ask(APP, "one").await.unwrap(), Some(pushed.clone()));
    assert_eq!(client.ask(APP, "none").await.unwrap(), None);
    let labels = client.registries.labels(&client.image(APP), &pushed.parse().unwrap()).await.unwrap();
    assert_eq!(labels.revision.as_deref(), Some("label of one"));

    let config = registry.folder().join("config.json");
    let entry = format!(r#"{{"auths":{{"{}/team":{{"auth":"{}"}}}}}}"#, registry.host(), &basic["Basic ".len()..]);
    std::fs::write(&config, entry).unwrap();
    let client = Client::new(&registry, Auth::DockerConfig(config), Vec::new());
    assert_eq!(client.ask(APP, "one").await.unwrap(), Some(pushed));
    assert_eq!(client.ask("other/app", "one").await.unwrap_err().kind, Kind::Unauthorized);

    for auth in [Auth::Anonymous, files(registry.folder(), USER, "wrong")] {
        let client = Client::new(&registry, auth, Vec::new());
        assert_eq!(client.ask(APP, "one").await.unwrap_err().kind, Kind::Unauthorized);
        assert!(!client.registries.diagnose(&client.image(APP)).await.is_fine());
    }
}

#[tokio::test]
async fn a_registry_with_tokens() {
    let server = TokenServer::start().await;
    let Some(registry) = DockerRegistry::start(&server.access()) else { return };
    let push = format!("Bearer {}", server.token(APP, &["pull", "push"]));
    let pushed = registry.push(Some(&push), APP, "one", &index("one")).await;

    // The token server has another port, and so is another place.
    let client = Client::new(&registry, files(registry.folder(), USER, PASSWORD), Vec::new());
    let error = client.ask(APP, "one").await.unwrap_err();
    assert!(error.message.contains("`realms`"), "{error}");
    assert_eq!(server.given(), 0);

    let realms = vec![server.host().to_owned()];
    let client = Client::new(&registry, files(registry.folder(), USER, PASSWORD), realms.clone());
    assert_eq!(client.ask(APP, "one").await.unwrap(), Some(pushed.clone()));
    assert_eq!(client.ask(APP, "none").await.unwrap(), None);
    let labels = client.registries.labels(&client.image(APP), &pushed.parse().unwrap()).await.unwrap();
    assert_eq!(labels.revision.as_deref(), Some("label of one"));
    assert_eq!(server.given(), 1);

    for bad in [Gives::Expired, Gives::WrongScope] {
        // A token that the registry itself refuses is a refusal, for a minute.
        let client = Client::new(&registry, Auth::Anonymous, realms.clone());
        server.gives(bad);
        assert_eq!(client.ask(APP, "one").await.unwrap_err().kind, Kind::Unauthorized, "{bad:?}");
        server.gives(Gives::Good);
        client.clock.advance(std::time::Duration::from_mins(1));
        assert_eq!(client.ask(APP, "one").await.unwrap(), Some(pushed.clone()), "{bad:?}");
    }

    let client = Client::new(&registry, files(registry.folder(), USER, "wrong"), realms);
    let error = client.ask(APP, "one").await.unwrap_err();
    assert!(error.message.contains("refuses the configured credential"), "{error}");
}

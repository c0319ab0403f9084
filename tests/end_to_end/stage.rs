//! The stage: a real registry, a simulated GitHub, and the program between them behind a real listener.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lastgreen::{
    app::{App, End},
    clock::ManualClock,
    config::Config,
    upstream::http::client,
};
use lastgreen_sim::{PersonalToken, Pull, Sim, World};
use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    docker_registry::{DockerRegistry, Image, USER},
    http,
};

pub(crate) const REPO: &str = "myorg/myrepo";
pub(crate) const FRONT: &str = "myorg/front";
pub(crate) const BACK: &str = "myorg/back";

/// The tasks that wait for the clock all the time: one keeps fresh what is asked for, one forgets, one looks after the ledger.
const BACKGROUND: usize = 3;

const TOKEN: &str = "strong-password";

/// What the kubelet and every other client would accept for an image.
const IMAGES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What the program is told.
pub(crate) struct Setup {
    /// The tag of both images.
    pub(crate) tag: &'static str,
    /// The password of [`USER`], in files; none is anonymous.
    pub(crate) password: Option<String>,
    /// A Docker `config.json`.
    pub(crate) docker_config: Option<String>,
    /// A token server; none is `""`.
    pub(crate) realm: String,
    /// Further keys of the answer.
    pub(crate) outputs: &'static str,
    pub(crate) trust_after: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            tag: "sha-{sha}",
            password: None,
            docker_config: None,
            realm: String::new(),
            outputs: "",
            trust_after: "1h",
        }
    }
}

impl Setup {
    pub(crate) fn password(password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::default() }
    }

    pub(crate) fn docker_config(text: &str) -> Self {
        Self { docker_config: Some(text.to_owned()), ..Self::default() }
    }
}

/// Digests of both images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    front: String,
    back: String,
}

/// Pull request 1 is `feature`, with `a1` as its head; nobody has looked at it yet.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) registry: DockerRegistry,
    clock: ManualClock,
    plugin: SocketAddr,
    _end: mpsc::Sender<End>,
    client: reqwest::Client,
}

impl Stage {
    pub(crate) async fn new(registry: DockerRegistry, setup: Setup) -> Self {
        let mut world = World::with_repository(REPO);
        world.create_branch(REPO, "feature", "m1");
        world.push(REPO, "feature", "a1", &[]);
        world.open_pull(REPO, Pull::new(1, "feature"));
        let clock = ManualClock::new(world.now);
        let sim = Sim::start(world).await;
        let text = config(&sim, registry.host(), registry.folder(), &setup);
        let (config, _) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let app = App::build(config, Arc::new(clock.clone())).unwrap();
        let plugin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = plugin.local_addr().unwrap();
        let (end, ends) = mpsc::channel(1);
        tokio::spawn(app.run(plugin, ops, ends));
        Self { sim, registry, clock, plugin: address, _end: end, client: client(None).unwrap() }
    }

    /// Lets time pass, for the program and for GitHub; the registry lives in the real one.
    pub(crate) fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// Rewrites the file with the program's password.
    pub(crate) fn change_password(&self, password: &str) {
        std::fs::write(self.registry.folder().join("lastgreen-password"), password).unwrap();
        self.pass(1);
    }

    pub(crate) fn push_commit(&self, commit: &str) {
        self.sim.world(|world| world.push(REPO, "feature", commit, &[]));
        self.pass(60);
    }

    pub(crate) fn green(&self, commit: &str) {
        self.sim.world(|world| world.green(REPO, commit));
        self.pass(60);
    }

    pub(crate) fn red(&self, commit: &str) {
        self.sim.world(|world| world.red(REPO, commit));
        self.pass(60);
    }

    /// The test merge of the pull request's head as it is now.
    pub(crate) fn test_merge(&self) -> String {
        self.sim.world(|world| {
            let repository = world.github.repository(REPO).unwrap();
            repository.pull(1).unwrap().test_merge.as_ref().unwrap().to_string()
        })
    }

    /// Pushes one image, with what `push` has to show for its name. CI takes its time.
    pub(crate) async fn push(
        &self,
        push: &impl Fn(&str) -> Option<String>,
        name: &str,
        tag: &str,
        image: &Image,
    ) -> String {
        self.pass(60);
        self.registry.push(push(name).as_deref(), name, tag, image).await
    }

    /// Pushes both and gives the digests that the registry told.
    pub(crate) async fn push_both(
        &self,
        push: &impl Fn(&str) -> Option<String>,
        tag: &str,
        (front, back): (Image, Image),
    ) -> Digests {
        Digests { front: self.push(push, FRONT, tag, &front).await, back: self.push(push, BACK, tag, &back).await }
    }

    /// The digests that the registry reports for a tag of both images.
    pub(crate) async fn reported(&self, push: &impl Fn(&str) -> Option<String>, tag: &str) -> Digests {
        let front = self.report(Method::HEAD, push(FRONT), FRONT, tag).await;
        Digests { front, back: self.report(Method::HEAD, push(BACK), BACK, tag).await }
    }

    /// Asserts that HEAD and GET of a tag both tell these digests, and that they are the content's own.
    pub(crate) async fn is_what_the_registry_says(
        &self,
        push: &impl Fn(&str) -> Option<String>,
        tag: &str,
        digests: &Digests,
    ) {
        assert_eq!(self.reported(push, tag).await, *digests);
        for (name, digest) in [(FRONT, &digests.front), (BACK, &digests.back)] {
            assert_eq!(self.report(Method::GET, push(name), name, tag).await, *digest);
        }
    }

    async fn report(&self, method: Method, authorization: Option<String>, name: &str, tag: &str) -> String {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.registry.host());
        let mut request = self.client.request(method.clone(), url).header(ACCEPT, IMAGES);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.unwrap().error_for_status().unwrap();
        let told = response.headers()["docker-content-digest"].to_str().unwrap().to_owned();
        if method == Method::GET {
            let bytes = response.bytes().await.unwrap();
            assert_eq!(lastgreen::domain::Digest::of(&bytes).to_string(), told);
        }
        told
    }

    /// Asks about a branch as Argo CD does, with the head that it has seen, and waits until nothing is under way any more:
    /// the registry may have been asked ahead for what was not needed, and time that passes would run out for that.
    pub(crate) async fn asks(&self, branch: &str) -> Reply {
        let head = self.sim.world(|world| world.github.repository(REPO).unwrap().branches[branch].to_string());
        let (plugin, question) = (self.plugin, http::question(TOKEN, &http::about(branch, Some(&head))));
        let ask = move || {
            let mut client = http::Client::connect(plugin);
            client.send(question);
            client.reply()
        };
        let reply = Reply(tokio::task::spawn_blocking(ask).await.unwrap());
        self.clock.sleeping_at_most(BACKGROUND).await;
        reply
    }
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Reply(http::Reply);

impl Reply {
    /// Asserts one item with these digests.
    #[track_caller]
    pub(crate) fn is(&self, digests: &Digests, standing: &str, commit: &str) {
        let item = self.item();
        assert_eq!(
            (&item["digestFront"], &item["digestBack"]),
            (&digests.front.clone().into(), &digests.back.clone().into()),
            "{self:?}"
        );
        assert_eq!(self.0.header("x-lastgreen-standing"), Some(standing), "{self:?}");
        assert_eq!(self.0.header("x-lastgreen-commit"), Some(commit), "{self:?}");
    }

    /// Asserts the empty list.
    #[track_caller]
    pub(crate) fn is_nothing(&self, standing: &str) {
        assert_eq!(self.0.body, r#"{"output":{"parameters":[]}}"#, "{self:?}");
        assert_eq!((self.0.status(), self.0.header("x-lastgreen-standing")), (200, Some(standing)), "{self:?}");
    }

    /// The one item.
    #[track_caller]
    pub(crate) fn item(&self) -> Value {
        assert_eq!(self.0.status(), 200, "{self:?}");
        let body: Value = serde_json::from_str(&self.0.body).unwrap();
        let items = body["output"]["parameters"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{self:?}");
        items[0].clone()
    }

    pub(crate) fn reason(&self) -> &str {
        self.0.header("x-lastgreen-reason").unwrap_or_default()
    }
}

fn config(sim: &Sim, host: &str, folder: &std::path::Path, setup: &Setup) -> String {
    let file = |name: &str, content: &str| {
        // Apart from the registry's own files.
        let path = folder.join(format!("lastgreen-{name}"));
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let auth = match (&setup.password, &setup.docker_config) {
        (Some(password), _) => {
            let (user, password) = (file("user", USER), file("password", password));
            format!(", auth: {{ usernameFile: {user}, passwordFile: {password} }}")
        }
        (None, Some(text)) => format!(", auth: {{ dockerConfigFile: {} }}", file("config.json", text)),
        (None, None) => String::new(),
    };
    let realms = if setup.realm.is_empty() { String::new() } else { format!(", realms: [\"{}\"]", setup.realm) };
    format!(
        "tokenFile: {}
ledger: {{ url: \"memory:\", trustAfter: {} }}
github:
  api: {}
  auth: {{ tokenFile: {} }}
registries:
  - {{ host: \"{host}\", plainHttp: true{auth}{realms} }}
generators:
  preview:
    build:
      repository: {REPO}
      images:
        digestFront: \"{host}/{FRONT}:{tag}\"
        digestBack: \"{host}/{BACK}:{tag}\"
      outputs: {{ {} }}
",
        file("token", TOKEN),
        setup.trust_after,
        sim.github_url(),
        file("github", PersonalToken::DEFAULT),
        setup.outputs,
        tag = setup.tag,
    )
}

//! The stage: the whole program before a simulated world, both listeners as routers, and a clock that stands still.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use lastgreen::{app::App, clock::ManualClock, config::Config, generator::Generator, http::Phase, ledger::Ledger};
use lastgreen_sim::{CheckRun, ImageSpec, PersonalToken, Pull, Sim, Status, World, sha};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

pub(crate) const REPO: &str = "myorg/myrepo";

/// An operator's token.
pub(crate) const TOKEN: &str = "strong-operator-password";

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) clock: ManualClock,
    pub(crate) ops: Router,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) generator: Arc<Generator>,
    plugin: Router,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The session that was begun, as a browser sends it.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

impl Stage {
    /// With the operator's token.
    pub(crate) async fn new() -> Self {
        Self::with(World::with_repository(REPO), "", "tokenFile: {folder}/ops").await
    }

    /// Before a world, with further lines of the build part or further generators, and these keys of `ops`.
    pub(crate) async fn with(mut world: World, build: &str, ops: &str) -> Self {
        world.push_image("myorg/front", "old", &ImageSpec::default());
        world.push_image("myorg/back", "old", &ImageSpec::default());
        let clock = ManualClock::new(world.now);
        let sim = Sim::start(world).await;
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("token", "strong-password\n");
        write("ops", TOKEN);
        write("github", PersonalToken::DEFAULT);
        let text = config(&sim, folder.path(), build, ops);
        let (config, _) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let mut app = App::build(config, Arc::new(clock.clone())).unwrap();
        let generator = Arc::clone(&app.generators["preview"]);
        let (_, phase) = watch::channel(Phase::Serving);
        let (plugin, ops) = (app.plugin_router(), app.ops_router(phase));
        Self { ledger: app.ledger, generator, plugin, ops, sim, clock, folder }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets time pass, for the world and for the program.
    pub(crate) fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// A branch from `main` with one commit, and its open pull request.
    pub(crate) fn pull(&self, number: u64, branch: &str, commit: &str) {
        self.sim.world(|world| {
            world.create_branch(REPO, branch, "m1");
            world.push(REPO, branch, commit, &[]);
            world.open_pull(REPO, Pull::new(number, branch));
        });
    }

    /// CI passes on a commit and pushes both images, a while ago.
    pub(crate) fn built(&self, commit: &str) -> [String; 2] {
        let digests = self.images(commit);
        self.sim.world(|world| world.green(REPO, commit));
        self.pass(60);
        digests
    }

    /// Both images of a commit, tagged by its sha.
    pub(crate) fn images(&self, commit: &str) -> [String; 2] {
        let tag = format!("sha-{}", sha(commit));
        self.sim.world(|world| {
            ["myorg/front", "myorg/back"].map(|name| world.push_image(name, &tag, &ImageSpec::default()))
        })
    }

    /// Asks as Argo CD does, and tells how it is answered.
    pub(crate) async fn ask(&self, branch: &str, number: Option<u64>) -> String {
        let parameters = match number {
            Some(number) => json!({ "branch": branch, "number": number.to_string() }),
            None => json!({ "branch": branch }),
        };
        self.ask_at("preview", parameters).await
    }

    /// Asks any generator, and tells how it is answered.
    pub(crate) async fn ask_at(&self, generator: &str, parameters: Value) -> String {
        let body = json!({ "applicationSetName": "fb-matrix", "input": { "parameters": parameters } });
        let request = Request::post(format!("/{generator}/api/v1/getparams.execute"))
            .header("authorization", "Bearer strong-password")
            .body(Body::from(body.to_string()))
            .unwrap();
        let reply = send(self.plugin.clone(), request).await;
        self.clock.idle().await;
        reply.header("x-lastgreen-standing").to_owned()
    }

    /// Lets time pass until there is an answer.
    pub(crate) async fn in_time(&self, answer: impl Future<Output = String>) -> String {
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                away = self.clock.sleeping_within(Duration::from_secs(2)) => self.clock.advance(away),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends anything to the operator's listener.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(self.ops.clone(), request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Looks with the operator's token, for JSON.
    pub(crate) async fn look(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[bearer().as_pair()], "").await
    }

    /// Looks with the operator's token, for a page.
    pub(crate) async fn page(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[bearer().as_pair(), HTML], "").await
    }

    pub(crate) async fn sign_in(&self, token: &str, more: &[(&str, &str)]) -> Reply {
        self.send(Method::POST, "/explain/sign-in", &[&[HTML], more].concat(), &format!("token={token}&next=")).await
    }

    /// What was asked of the upstreams since this was called last.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let counts = self.sim.counts();
        self.sim.reset_counts();
        (counts.github(), counts.registry())
    }
}

/// What browsers say.
pub(crate) const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

pub(crate) struct Bearer(String);

pub(crate) fn bearer() -> Bearer {
    Bearer(format!("Bearer {TOKEN}"))
}

impl Bearer {
    pub(crate) fn as_pair(&self) -> (&str, &str) {
        (header::AUTHORIZATION.as_str(), &self.0)
    }
}

async fn send(router: Router, request: Request<Body>) -> Reply {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

fn config(sim: &Sim, folder: &Path, build: &str, ops: &str) -> String {
    let (folder, host) = (folder.display().to_string(), sim.registry_host());
    format!(
        "ops: {{ {} }}
tokenFile: {folder}/token
ledger: {{ url: \"memory:\" }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }} }}
generators:
  preview:
    refresh: {{ ahead: true }}
    build:
      repository: {REPO}
      images:
        digestFront: \"{host}/myorg/front:sha-{{sha}}\"
        digestBack: \"{host}/myorg/back:sha-{{sha}}\"
{build}
",
        ops.replace("{folder}", &folder),
        sim.github_url(),
        build = build.replace("{folder}", &folder).replace("{host}", &host),
    )
}

/// A branch name that git takes.
pub(crate) const HOSTILE: &str = "x\"><img/src=q/onerror=alert(1)>&<script>alert(2)</script>";

/// A branch name that turns the direction of what follows.
pub(crate) const TURNING: &str = "fix/\u{202e}niam-otni-egrem";

/// A world with something of everything, looked at as Argo CD does.
pub(crate) async fn of_everything() -> Stage {
    let stage = Stage::with(World::with_repository(REPO), "", "tokenFile: {folder}/ops").await;
    let run = |name: &str, word: &str| CheckRun::completed(name, word);
    // Held: what was green once was pushed away.
    stage.pull(9, "experiment/new-cache", "h1");
    stage.built("h1");
    // Fresh, two commits behind its head.
    stage.pull(12, "feature/checkout-redesign", "c1");
    stage.built("c1");
    stage.pull(13, "fix/login-loop", "f1");
    stage.built("f1");
    stage.pull(15, HOSTILE, "x1");
    stage.built("x1");
    stage.pull(16, TURNING, "t1");
    stage.built("t1");
    stage.built("m1");
    for (branch, number) in [("experiment/new-cache", 9), ("feature/checkout-redesign", 12), ("fix/login-loop", 13)] {
        assert_eq!(stage.ask(branch, Some(number)).await, "fresh");
    }
    stage.pass(4 * 3600);
    stage.sim.world(|world| {
        world.force_push(REPO, "experiment/new-cache", "h2", &["m1"]);
        world.check(REPO, "h2", run("build", "failure").workflow("CI"));
        world.push(REPO, "feature/checkout-redesign", "c2", &[]);
        world.check(REPO, "c2", run("build", "success").workflow("CI"));
        world.check(REPO, "c2", run("unit (chrome)", "failure").workflow("CI"));
        world.check(REPO, "c2", run("unit (chrome)", "failure").workflow("CI"));
        world.check(REPO, "c2", run("docs", "skipped").workflow("Docs"));
        world.status(REPO, "c2", Status::new("argocd/preview", "pending"));
    });
    stage.pass(600);
    // Green, and its images are not there (yet).
    stage.pull(14, "chore/bump-dependencies", "d1");
    stage.sim.world(|world| {
        world.green(REPO, "d1");
        world.push(REPO, "feature/checkout-redesign", "c3", &[]);
        world.check(REPO, "c3", run("build", "success").workflow("CI"));
        world.check(
            REPO,
            "c3",
            CheckRun::running("e2e (a rather long name, with a matrix: chrome, linux)", "in_progress"),
        );
    });
    stage.pass(60);
    for (branch, number, standing) in [
        // GitHub is read twice before it is believed that a commit is gone.
        ("experiment/new-cache", Some(9), "held"),
        ("feature/checkout-redesign", Some(12), "fresh"),
        ("chore/bump-dependencies", Some(14), "not-yet"),
        (HOSTILE, Some(15), "fresh"),
        (TURNING, Some(16), "fresh"),
        ("main", None, "fresh"),
    ] {
        assert_eq!(stage.ask(branch, number).await, standing, "{branch}");
    }
    stage.pass(20);
    assert_eq!(stage.ask("experiment/new-cache", Some(9)).await, "held");
    stage.pass(20);
    stage.generator.settled().await;
    stage.asked();
    stage
}

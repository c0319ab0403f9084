//! The stage: the real program, wired as in production, before a simulated world and a clock that stands still.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use chrono::{DateTime, Utc};
use http_body_util::BodyExt as _;
use lastgreen::{
    app::App,
    clock::{Clock as _, ManualClock, Moment},
    config::Config,
    domain::Line,
    generator::Generator,
    ledger::{Ledger, Listed},
    metrics::Metrics,
};
use lastgreen_sim::{Counts, ImageSpec, PersonalToken, Pull, Sim, World, sha};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) use crate::setup::Setup;
use crate::setup::config;

/// The repository of all stories.
pub(crate) const REPO: &str = "myorg/myrepo";

/// Digests of a build, by the commit's short id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) front: String,
    pub(crate) back: String,
}

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) clock: ManualClock,
    pub(crate) folder: tempfile::TempDir,
    router: Router,
    ledger: Arc<Ledger>,
    generator: Arc<Generator>,
    metrics: Metrics,
}

/// An answer as it came over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Stage {
    /// A stage with `main` at `m1`, and nothing else.
    pub(crate) async fn new(setup: Setup) -> Self {
        let mut world = World::with_repository(REPO);
        // The registry knows both images, of an older build.
        world.push_image("myorg/front", "old", &ImageSpec::default());
        world.push_image("myorg/back", "old", &ImageSpec::default());
        Self::before(world, setup).await
    }

    pub(crate) async fn before(world: World, setup: Setup) -> Self {
        let clock = ManualClock::new(world.now);
        let sim = Sim::start(world).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        std::fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let text = config(&sim, folder.path().to_str().unwrap(), &setup);
        let (config, _) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let app = App::build(config, Arc::new(clock.clone())).unwrap();
        let generator = Arc::clone(app.generators.values().next().unwrap());
        let metrics = Metrics::new(app.watched());
        Self { router: app.plugin_router(), ledger: app.ledger, generator, metrics, sim, clock, folder }
    }

    /// The same world before a new process, and the ledger is lost.
    pub(crate) fn restarted_without_ledger(self, setup: &Setup) -> Self {
        for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(file));
        }
        self.restarted(setup)
    }

    /// The same world before a new process, whose memory is empty.
    pub(crate) fn restarted(self, setup: &Setup) -> Self {
        let text = config(&self.sim, self.folder.path().to_str().unwrap(), setup);
        let (config, _) = Config::parse(&text, "test.yaml").unwrap();
        let app = App::build(config, Arc::new(self.clock.clone())).unwrap();
        let generator = Arc::clone(app.generators.values().next().unwrap());
        let metrics = Metrics::new(app.watched());
        Self { router: app.plugin_router(), ledger: app.ledger, generator, metrics, ..self }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Lets time pass, for the world and for the program.
    pub(crate) fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// Pushes a commit to a branch.
    pub(crate) fn push(&self, branch: &str, commit: &str) {
        self.sim.world(|world| world.push(REPO, branch, commit, &[]));
    }

    /// A branch from `main` with one commit, and its open pull request.
    pub(crate) fn pull(&self, number: u64, branch: &str, commit: &str) {
        self.sim.world(|world| {
            world.create_branch(REPO, branch, "m1");
            world.push(REPO, branch, commit, &[]);
            world.open_pull(REPO, Pull::new(number, branch));
        });
    }

    /// CI passes on a commit, a while ago.
    pub(crate) fn green(&self, commit: &str) {
        self.sim.world(|world| world.green(REPO, commit));
        self.pass(60);
    }

    /// Both images of a commit, tagged by its sha.
    pub(crate) fn images(&self, commit: &str) -> Digests {
        self.tagged(&format!("sha-{}", sha(commit)), &ImageSpec::default())
    }

    /// Both images under a tag.
    pub(crate) fn tagged(&self, tag: &str, spec: &ImageSpec) -> Digests {
        self.sim.world(|world| Digests {
            front: world.push_image("myorg/front", tag, spec),
            back: world.push_image("myorg/back", tag, spec),
        })
    }

    /// CI passes on a commit and pushes both images.
    pub(crate) fn built(&self, commit: &str) -> Digests {
        let digests = self.images(commit);
        self.green(commit);
        digests
    }

    /// The test merge of a pull request's head as it is now.
    pub(crate) fn test_merge(&self, number: u64) -> String {
        self.sim.world(|world| {
            let repository = world.github.repository(REPO).unwrap();
            repository.pull(number).unwrap().test_merge.as_ref().unwrap().to_string()
        })
    }

    /// Asks about a branch.
    pub(crate) async fn ask(&self, branch: &str) -> Reply {
        self.ask_with(json!({ "branch": branch })).await
    }

    /// Asks about a pull request by number.
    pub(crate) async fn ask_number(&self, branch: &str, number: u64) -> Reply {
        self.ask_with(json!({ "branch": branch, "number": number.to_string() })).await
    }

    /// Asks about a branch with the head that was seen, and waits until nothing is under way any more: the registry may
    /// have been asked ahead for what was not needed, and time that passes would run out for that.
    pub(crate) async fn ask_head(&self, branch: &str, commit: &str) -> Reply {
        let reply = self.ask_with(json!({ "branch": branch, "head_sha": sha(commit) })).await;
        self.clock.idle().await;
        reply
    }

    /// Asks with these parameters.
    pub(crate) async fn ask_with(&self, parameters: Value) -> Reply {
        ask(self.router(), parameters).await
    }

    /// Waits for an answer that tries again.
    pub(crate) async fn until(&self, answer: tokio::task::JoinHandle<Reply>) -> Reply {
        until(&self.clock, answer).await
    }

    /// Asks about a branch in a task of its own.
    pub(crate) fn asking(&self, parameters: Value) -> tokio::task::JoinHandle<Reply> {
        tokio::spawn(ask(self.router(), parameters))
    }

    /// Earns the ledger's trust: with `trustAfter: 1s`, three questions that GitHub is asked for.
    pub(crate) async fn earn_trust(&self) {
        for _ in 0..3 {
            self.ask("main").await;
            self.pass(301);
        }
    }

    /// Looks for lines to forget, as is done every hour.
    pub(crate) async fn forget(&self, after: Duration) {
        self.generator.forget(after).await;
    }

    /// Keeps fresh what is asked for, as the process does all the time.
    pub(crate) fn keep_fresh(&self) -> tokio::task::JoinHandle<()> {
        let generator = Arc::clone(&self.generator);
        tokio::spawn(async move { generator.keep_fresh(std::future::pending()).await })
    }

    /// Waits until nothing is looked at ahead any more, and whoever was woken has had its turn.
    pub(crate) async fn settled(&self) {
        self.clock.caught_up().await;
        self.generator.settled().await;
    }

    /// Writes what no answer waits for.
    pub(crate) async fn flush(&self) {
        self.ledger.flush(self.soon()).await.unwrap();
    }

    /// When the ledger was told last that a pull request was asked for.
    pub(crate) async fn asked_at(&self, number: u64) -> Option<DateTime<Utc>> {
        self.listed(number).await?.asked_at
    }

    /// Forgets a pull request, as an operator does.
    pub(crate) async fn forget_line(&self, number: u64) {
        let key = self.listed(number).await.unwrap().key;
        assert!(self.ledger.forget(&key, self.soon()).await.unwrap());
    }

    async fn listed(&self, number: u64) -> Option<Listed> {
        let lines = self.ledger.list(self.soon()).await.unwrap();
        lines.into_iter().find(|listed| listed.key.line == Line::Pull(number))
    }

    fn soon(&self) -> Moment {
        self.clock.now() + Duration::from_secs(2)
    }

    /// What Prometheus would be told now.
    pub(crate) fn scraped(&self) -> String {
        self.metrics.text()
    }

    /// What was asked of the upstreams since this was called last.
    pub(crate) fn asked(&self) -> Counts {
        let counts = self.sim.counts();
        self.sim.reset_counts();
        counts
    }
}

/// Waits for an answer that tries again, letting just the time pass that it waits between its tries: at most two
/// seconds, and no exchange with an upstream has less time than three.
pub(crate) async fn until(clock: &ManualClock, mut answer: tokio::task::JoinHandle<Reply>) -> Reply {
    loop {
        tokio::select! {
            biased;
            reply = &mut answer => {
                // Time that passes next must not run out for what is still under way.
                clock.idle().await;
                return reply.unwrap();
            }
            away = clock.sleeping_within(Duration::from_secs(2)) => clock.advance(away),
        }
        // Whoever was woken gets his turn.
        tokio::task::yield_now().await;
    }
}

/// Asks a router as Argo CD does.
pub(crate) async fn ask(router: Router, parameters: Value) -> Reply {
    ask_at(router, "/preview", "fb-matrix", parameters).await
}

pub(crate) async fn ask_at(router: Router, path: &str, set: &str, parameters: Value) -> Reply {
    let body = json!({ "applicationSetName": set, "input": { "parameters": parameters } });
    let request = Request::post(format!("{path}/api/v1/getparams.execute"))
        .header("authorization", "Bearer strong-password")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    send(router, request).await
}

/// Sends any request.
pub(crate) async fn send(router: Router, request: Request<Body>) -> Reply {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    Reply { status: parts.status, headers: parts.headers, body }
}

impl Reply {
    /// Asserts one item with these digests and this standing.
    #[track_caller]
    pub(crate) fn is(&self, digests: &Digests, standing: &str) {
        assert_eq!(
            self.body,
            json!({"output": {"parameters": [{"digestBack": digests.back, "digestFront": digests.front}]}}),
            "{} {}",
            self.standing(),
            self.reason()
        );
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{}", self.reason());
    }

    /// Asserts the empty list with this standing.
    #[track_caller]
    pub(crate) fn is_nothing(&self, standing: &str) {
        assert_eq!(self.body, json!({"output": {"parameters": []}}), "{}", self.reason());
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{}", self.reason());
    }

    /// Asserts a refusal.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16) -> &str {
        assert_eq!(self.status.as_u16(), status, "{} {}", self.body, self.reason());
        self.body["message"].as_str().unwrap()
    }

    pub(crate) fn standing(&self) -> &str {
        self.headers.get("x-lastgreen-standing").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn reason(&self) -> &str {
        self.headers.get("x-lastgreen-reason").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn commit(&self) -> &str {
        self.headers.get("x-lastgreen-commit").map_or("", |value| value.to_str().unwrap())
    }
}

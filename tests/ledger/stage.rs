//! The stage: a simulated world, and processes before it that share a ledger or follow one another.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use lastgreen::{
    app::App,
    clock::{Clock as _, ManualClock, Moment},
    config::Config,
    domain::Line,
    generator::Generator,
    ledger::{Known, Ledger, LedgerError, LineKey},
};
use lastgreen_sim::{ImageSpec, PersonalToken, Pull, Sim, World, sha};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tower::ServiceExt as _;

/// The repository of all stories.
pub(crate) const REPO: &str = "myorg/myrepo";

/// What has not come about after so many looks never will: nothing takes a tenth of them when all is well.
const MANY: u32 = 10_000_000;

/// The world.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) folder: tempfile::TempDir,
    /// The image's tag, behind the colon.
    pub(crate) tag: &'static str,
    /// Further lines below the generator, indented by four.
    pub(crate) generator: &'static str,
    /// Further lines below its build part, indented by six.
    pub(crate) build: &'static str,
    /// Whether lines are looked at before they are asked for, which has stories of its own.
    pub(crate) ahead: bool,
    /// Further keys of the ledger.
    pub(crate) ledger: &'static str,
}

impl Stage {
    /// `main` at `m1`, and nothing else.
    pub(crate) async fn new() -> Self {
        crate::logs::apart();
        let mut world = World::with_repository(REPO);
        world.push_image("myorg/front", "old", &ImageSpec::default());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        std::fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let sim = Sim::start(world).await;
        Self { sim, folder, tag: "sha-{sha}", generator: "", build: "", ahead: false, ledger: "" }
    }

    /// The ledger's file, for those that are kept in one.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// A process that keeps its ledger in the file.
    pub(crate) fn on_file(&self) -> Replica {
        self.on(&format!("url: \"sqlite://{}\"", self.file().display()))
    }

    /// A process that keeps its ledger in this database.
    pub(crate) fn on_database(&self, url: &str) -> Replica {
        let file = self.folder.path().join("url");
        std::fs::write(&file, url).unwrap();
        self.on(&format!("urlFile: \"{}\"", file.display()))
    }

    /// A process whose configuration says this about the ledger.
    pub(crate) fn on(&self, ledger: &str) -> Replica {
        let text = self.config(ledger);
        let (config, _) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let clock = ManualClock::new(self.sim.world(|world| world.now));
        let app = App::build(config, Arc::new(clock.clone())).unwrap();
        let generator = Arc::clone(app.generators.values().next().unwrap());
        Replica { clock, router: app.plugin_router(), ledger: app.ledger, generator, keeping: None }
    }

    /// The configuration, with this about the ledger.
    pub(crate) fn config(&self, ledger: &str) -> String {
        let (folder, host, tag) = (self.folder.path().display(), self.sim.registry_host(), self.tag);
        let ahead = self.ahead;
        let generator = match self.generator.split_once("refresh: {") {
            Some((before, after)) => format!("{before}refresh: {{ ahead: {ahead},{after}"),
            None => format!("{}\n    refresh: {{ ahead: {ahead} }}", self.generator),
        };
        format!(
            "listen: 127.0.0.1:0
ops: {{ listen: \"127.0.0.1:0\" }}
tokenFile: {folder}/token
answerWithin: 1s
drainDelay: 0s
ledger: {{ {ledger}{} }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }} }}
generators:
  preview:
{}
    build:
      repository: {REPO}
{}      images:
        digest: \"{host}/myorg/front:{tag}\"
",
            self.ledger,
            self.sim.github_url(),
            generator,
            self.build,
        )
    }

    /// Lets time pass, for the world and for these processes.
    pub(crate) fn pass(&self, seconds: u32, replicas: &[&Replica]) {
        self.sim.world(|world| world.advance(seconds.into()));
        for replica in replicas {
            replica.clock.advance(Duration::from_secs(seconds.into()));
        }
    }

    /// A branch from `main` with one commit, and its open pull request.
    pub(crate) fn pull(&self, number: u64, branch: &str, commit: &str) {
        self.sim.world(|world| {
            world.create_branch(REPO, branch, "m1");
            world.push(REPO, branch, commit, &[]);
            world.open_pull(REPO, Pull::new(number, branch));
        });
    }

    /// CI has passed on a commit, a while ago, and pushed its image; its digest.
    pub(crate) fn built(&self, commit: &str) -> String {
        self.sim.world(|world| {
            let digest = world.push_image("myorg/front", &format!("sha-{}", sha(commit)), &ImageSpec::default());
            world.green(REPO, commit);
            world.advance(60);
            digest
        })
    }

    /// A further commit of a branch, and its build.
    pub(crate) fn pushed(&self, branch: &str, commit: &str) -> String {
        self.sim.world(|world| world.push(REPO, branch, commit, &[]));
        self.built(commit)
    }
}

/// A process.
pub(crate) struct Replica {
    pub(crate) clock: ManualClock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) generator: Arc<Generator>,
    router: Router,
    keeping: Option<Keeping>,
}

/// What looks after a process's ledger. Dropping it ends it without a word.
struct Keeping {
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replica {
    /// Has the ledger looked after from now on.
    pub(crate) fn keep(&mut self) {
        let (end, ended) = oneshot::channel();
        let work = Arc::clone(&self.ledger).keep(async {
            // A test that fails ends it by dropping the task.
            let _ = ended.await;
        });
        self.keeping = Some(Keeping { end: Some(end), task: tokio::spawn(work) });
    }

    /// Completes when whoever looks after a shared ledger waits for time to pass, or for others.
    pub(crate) async fn rested(&self) {
        self.clock.sleeping_within(Duration::from_millis(400)).await;
    }

    /// Nobody looks after the ledger any more: this process hears nothing.
    pub(crate) async fn deaf(&mut self) {
        if let Some(mut keeping) = self.keeping.take() {
            keeping.task.abort();
            // It was aborted just now.
            let _ = (&mut keeping.task).await;
        }
    }

    /// Ends it as `SIGTERM` does.
    pub(crate) async fn stop(mut self) {
        match self.keeping.take() {
            Some(mut keeping) => {
                // It listens until it is told.
                let _ = keeping.end.take().unwrap().send(());
                (&mut keeping.task).await.unwrap();
            }
            None => Arc::clone(&self.ledger).keep(std::future::ready(())).await,
        }
    }

    /// Ends it as `SIGKILL` does.
    pub(crate) async fn crash(mut self) {
        self.deaf().await;
    }

    /// Asks about a branch. It never ends where it would be tried again, for the clock stands still.
    pub(crate) async fn ask(&self, branch: &str) -> Reply {
        ask(self.router.clone(), json!({ "branch": branch })).await
    }

    /// Asks about a pull request.
    pub(crate) async fn ask_number(&self, branch: &str, number: u64) -> Reply {
        ask(self.router.clone(), json!({ "branch": branch, "number": number.to_string() })).await
    }

    /// Asks about a branch in a task of its own.
    pub(crate) fn asking(&self, branch: &str) -> JoinHandle<Reply> {
        tokio::spawn(ask(self.router.clone(), json!({ "branch": branch })))
    }

    /// Asks about a branch, and lets just the time pass that is waited between two tries: half a second, which no work
    /// at a ledger takes.
    pub(crate) async fn ask_through(&self, branch: &str) -> Reply {
        let mut answer = self.asking(branch);
        loop {
            tokio::select! {
                biased;
                reply = &mut answer => return reply.unwrap(),
                away = self.clock.sleeping_within(Duration::from_millis(600)) => self.clock.advance(away),
            }
            // Whoever was woken gets his turn.
            tokio::task::yield_now().await;
        }
    }

    /// A pull request of the repository, as the ledger names it.
    pub(crate) fn key(&self, number: u64) -> LineKey {
        let repository = self.ledger.repository(&REPO.parse().unwrap()).unwrap();
        LineKey { generator: "preview".into(), repository, line: Line::Pull(number) }
    }

    /// What the ledger knows of a pull request.
    pub(crate) async fn known(&self, number: u64) -> Result<Known, LedgerError> {
        self.ledger.known(&self.key(number), self.soon()).await
    }

    /// The commit that is recorded for a pull request.
    pub(crate) async fn recorded(&self, number: u64) -> String {
        match self.known(number).await.unwrap() {
            Known::Item(record) => record.build.commit().to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads the ledger anew, if that is not known to be needless.
    pub(crate) async fn refresh(&self) -> Result<(), String> {
        self.ledger.refresh(self.soon()).await.map_err(|error| error.to_string())
    }

    /// When work at the ledger that was begun now should be done.
    pub(crate) fn soon(&self) -> Moment {
        self.clock.now() + Duration::from_secs(10)
    }
}

/// An answer as it came over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Asks a router as Argo CD does.
async fn ask(router: Router, parameters: Value) -> Reply {
    let body = json!({ "applicationSetName": "fb-matrix", "input": { "parameters": parameters } });
    let request = Request::post("/preview/api/v1/getparams.execute")
        .header("authorization", "Bearer strong-password")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    Reply { status: parts.status, headers: parts.headers, body }
}

impl Reply {
    /// Asserts one item with this digest and this standing.
    #[track_caller]
    pub(crate) fn is(&self, digest: &str, standing: &str) {
        assert_eq!(self.body, json!({"output": {"parameters": [{"digest": digest}]}}), "{self:?}");
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{}", self.reason());
    }

    /// Asserts one item with this digest, of whatever standing.
    #[track_caller]
    pub(crate) fn shows(&self, digest: &str) {
        assert_eq!(self.body, json!({"output": {"parameters": [{"digest": digest}]}}), "{self:?}");
    }

    /// Asserts the empty list with this standing.
    #[track_caller]
    pub(crate) fn is_nothing(&self, standing: &str) {
        assert_eq!(self.body, json!({"output": {"parameters": []}}), "{self:?}");
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{}", self.reason());
    }

    /// Asserts that there is no answer; why.
    #[track_caller]
    pub(crate) fn is_refused(&self) -> &str {
        assert_eq!(self.status, StatusCode::SERVICE_UNAVAILABLE, "{self:?}");
        let message = self.body["message"].as_str().unwrap();
        message.strip_prefix("no answer yet: ").unwrap_or_else(|| panic!("{message}"))
    }

    pub(crate) fn standing(&self) -> &str {
        self.headers.get("x-lastgreen-standing").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn reason(&self) -> &str {
        self.headers.get("x-lastgreen-reason").map_or("", |value| value.to_str().unwrap())
    }
}

/// Waits until something outside of this process has come about.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..MANY {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came about: {what}");
}

/// Copies a ledger whose process has ended.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

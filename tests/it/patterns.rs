//! One generator for all repositories that fit a pattern.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{Router, http::StatusCode};
use lastgreen::{
    app::App,
    clock::{Clock as _, ManualClock},
    config::Config,
    domain::Line,
    generator::{Family, Generator, Lines},
    metrics::Metrics,
};
use lastgreen_sim::{Fault, ImageSpec, PersonalToken, Pull, Sim, Target, What, World, sha};
use serde_json::{Value, json};

use crate::stage::{Reply, Setup, Stage, ask_at, until};

const APP: &str = "myorg/app-shop";
const API: &str = "myorg/App-Api.js";
const OTHER: &str = "other/app-shop";

struct Org {
    sim: Sim,
    clock: ManualClock,
    folder: tempfile::TempDir,
    app: App,
}

impl Org {
    /// Three repositories, each with `main` at `m1`, before a generator for `myorg/app-*`.
    async fn new() -> Self {
        let mut world = World::with_repository(APP);
        for repo in [API, OTHER] {
            world.create_repository(repo);
            world.push(repo, "main", "m1", &[]);
        }
        for image in ["myorg/app-shop", "myorg/app-api.js", "other/app-shop"] {
            world.push_image(&format!("{image}-front"), "old", &ImageSpec::default());
        }
        let clock = ManualClock::new(world.now);
        let sim = Sim::start(world).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        std::fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let app = app(&sim, &folder, &clock);
        Self { sim, clock, folder, app }
    }

    fn restarted(self) -> Self {
        let app = app(&self.sim, &self.folder, &self.clock);
        Self { app, ..self }
    }

    /// Pull request 1 of a repository, `feature`, whose head is green, and the digest of its image.
    fn built(&self, repo: &str, commit: &str) -> String {
        let digest = self.sim.world(|world| {
            if world.github.repository(repo).unwrap().pull(1).is_none() {
                world.create_branch(repo, "feature", "m1");
                world.push(repo, "feature", commit, &[]);
                world.open_pull(repo, Pull::new(1, "feature"));
            } else {
                world.push(repo, "feature", commit, &[]);
            }
            world.green(repo, commit);
            let image = format!("{}-front", repo.to_ascii_lowercase());
            // What is in an image, and so its digest, is its own.
            let spec = ImageSpec::default().label("of", repo);
            world.push_image(&image, &format!("sha-{}", sha(commit)), &spec)
        });
        self.pass(60);
        digest
    }

    fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    async fn ask_with(&self, parameters: Value) -> Reply {
        ask_at(self.app.plugin_router(), "/org", "fb-matrix", parameters).await
    }

    async fn ask(&self, repo: &'static str) -> Reply {
        ask(self.app.plugin_router(), repo).await
    }

    fn family(&self) -> &Arc<Family> {
        &self.app.families["org"]
    }

    /// Its generator of a repository, as a question finds it.
    fn member(&self, repo: &str) -> Arc<Generator> {
        let parameters = json!({ "repository": repo });
        Lines::Family(Arc::clone(self.family())).meant(parameters.as_object().unwrap()).unwrap()
    }

    /// What was asked of GitHub and the registry since this was called last.
    fn asked(&self) -> (u64, u64) {
        let counts = self.sim.counts();
        self.sim.reset_counts();
        (counts.github(), counts.registry())
    }

    /// The ledger's lines, by the repository's number.
    async fn lines(&self) -> Vec<(u64, Line)> {
        let lines = self.app.ledger.list(self.clock.now() + Duration::from_secs(2)).await.unwrap();
        lines.into_iter().map(|listed| (listed.key.repository, listed.key.line)).collect()
    }

    fn id(&self, repo: &str) -> u64 {
        self.sim.world(|world| world.github.repository(repo).unwrap().id)
    }

    async fn settled(&self) {
        self.clock.caught_up().await;
        self.family().settled().await;
    }
}

fn app(sim: &Sim, folder: &tempfile::TempDir, clock: &ManualClock) -> App {
    let (folder, host) = (folder.path().display(), sim.registry_host());
    let text = format!(
        "tokenFile: {folder}/token
ledger: {{ url: \"sqlite://{folder}/ledger.db\" }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }} }}
generators:
  org:
    build:
      repository: myorg/app-*
      images:
        digestFront: \"{host}/{{owner}}/{{repo}}-front:sha-{{sha}}\"
",
        sim.github_url()
    );
    let (config, warnings) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(warnings, []);
    App::build(config, Arc::new(clock.clone())).unwrap()
}

async fn ask(router: Router, repo: &'static str) -> Reply {
    ask_at(router, "/org", "fb-matrix", json!({ "branch": "feature", "repository": repo })).await
}

#[track_caller]
fn is(reply: &Reply, digest: &str, standing: &str) {
    assert_eq!(reply.body, json!({"output": {"parameters": [{ "digestFront": digest }]}}), "{}", reply.reason());
    assert_eq!((reply.status, reply.standing()), (StatusCode::OK, standing), "{}", reply.reason());
}

#[tokio::test]
async fn each_repository_has_its_own_builds() {
    let org = Org::new().await;
    let (shop, api) = (org.built(APP, "a1"), org.built(API, "b1"));
    assert_ne!(shop, api);
    is(&org.ask(APP).await, &shop, "fresh");
    is(&org.ask(API).await, &api, "fresh");
    org.settled().await;
    org.asked();
    // Asked again it is answered from memory, each with its own; and case makes no difference.
    for _ in 0..2 {
        is(&org.ask(APP).await, &shop, "fresh");
        is(&org.ask(API).await, &api, "fresh");
        is(&org.ask("MyOrg/APP-shop").await, &shop, "fresh");
    }
    assert_eq!(org.asked(), (0, 0));
    let mut lines = org.lines().await;
    lines.sort();
    assert_eq!(lines, [(org.id(APP), Line::Pull(1)), (org.id(API), Line::Pull(1))]);
    // What becomes of one is nothing to the other.
    let newer = org.built(APP, "a2");
    org.pass(301);
    is(&org.ask(API).await, &api, "fresh");
    is(&org.ask(APP).await, &newer, "fresh");
}

#[tokio::test]
async fn records_are_apart_and_outlive_the_process() {
    let org = Org::new().await;
    let (shop, api) = (org.built(APP, "a1"), org.built(API, "b1"));
    is(&org.ask(APP).await, &shop, "fresh");
    is(&org.ask(API).await, &api, "fresh");
    org.settled().await;
    let org = org.restarted();
    org.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    is(&org.ask(API).await, &api, "held");
    is(&org.ask(APP).await, &shop, "held");
    // Nobody can say anything about one that was never asked for.
    let asked = ask(org.app.plugin_router(), "myorg/app-new");
    until(&org.clock, tokio::spawn(asked)).await.is_refused(503);
}

#[tokio::test]
async fn what_does_not_fit_is_never_looked_up() {
    let org = Org::new().await;
    org.built(OTHER, "c1");
    org.asked();
    for other in [OTHER, "other/app-", "myorg2/app-shop", "myorg/shop", "myorg/my-app-shop", "myorg/app"] {
        let reply = org.ask(other).await;
        let message = "input.parameters.repository: this generator answers for `myorg/app-*` only";
        assert_eq!(reply.is_refused(403), message, "{other}");
        let all = org.ask_with(json!({ "all": "true", "repository": other })).await;
        assert_eq!(all.is_refused(403), message, "{other}");
    }
    for (repository, start) in [
        (json!(""), "is empty"),
        (json!("<no value>"), "is `<no value>`"),
        (json!("myorg/{{repository}}"), "is the template `myorg/{{repository}}`, which nobody rendered"),
        (json!("app-shop"), "expected a repository as `owner/name`, got `app-shop`"),
        (json!("myorg/app-*"), "expected a repository as `owner/name`, got `myorg/app-*`"),
        (json!("myorg/app-/../../other/app-shop"), "expected a repository as `owner/name`"),
        (json!(7), "must be a string"),
        (json!(null), "must be a string"),
        (json!("myorg/app-..x"), "no image can have its name: expected an image as `host/name`, got `"),
    ] {
        let reply = org.ask_with(json!({ "branch": "feature", "repository": repository })).await;
        let message = reply.is_refused(400);
        assert!(message.starts_with(&format!("input.parameters.repository: {start}")), "{message}");
    }
    for parameters in [json!({ "branch": "feature" }), json!({ "all": "true" })] {
        let reply = org.ask_with(parameters).await;
        assert_eq!(
            reply.is_refused(400),
            "input.parameters.repository: is missing: this generator answers for `myorg/app-*`; pass the repository as \
             `owner/name`, such as `\"myorg/{{.repository}}\"`"
        );
    }
    org.settled().await;
    assert_eq!(org.asked(), (0, 0));
    assert_eq!(org.lines().await, []);
}

#[tokio::test]
async fn a_generator_of_one_repository_may_be_told_its_name() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask_with(json!({ "branch": "feature", "repository": "MyOrg/myrepo" })).await.is(&build, "fresh");
    stage.asked();
    let reply = stage.ask_with(json!({ "branch": "feature", "repository": "myorg/other" })).await;
    let message = "input.parameters.repository: this generator answers for `myorg/myrepo` only";
    assert_eq!(reply.is_refused(403), message);
    let reply = stage.ask_with(json!({ "branch": "feature", "repository": "myrepo" })).await;
    let message = "input.parameters.repository: expected a repository as `owner/name`, got `myrepo`";
    assert_eq!(reply.is_refused(400), message);
    assert_eq!((stage.asked().github(), stage.asked().registry()), (0, 0));
}

#[tokio::test]
async fn all_pull_requests_of_one_of_them() {
    let org = Org::new().await;
    let (shop, api) = (org.built(APP, "a1"), org.built(API, "b1"));
    let ask_all = |repo: &'static str| org.ask_with(json!({ "all": "true", "repository": repo }));
    let item =
        |digest: &str| json!({"output": {"parameters": [{"number": "1", "ready": "true", "digestFront": digest}]}});
    assert_eq!(ask_all(APP).await.body, item(&shop));
    assert_eq!(ask_all(API).await.body, item(&api));
    org.settled().await;
    // The lists are recorded apart, by names in whichever case.
    let org = org.restarted();
    org.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let ask_all = |repo: &'static str| org.ask_with(json!({ "all": "true", "repository": repo }));
    assert_eq!(ask_all("MYORG/App-Shop").await.body, item(&shop));
    assert_eq!(ask_all("myorg/app-api.js").await.body, item(&api));
}

#[tokio::test]
async fn ever_new_names_are_a_nuisance_to_nobody_else() {
    let org = Org::new().await;
    let shop = org.built(APP, "a1");
    is(&org.ask(APP).await, &shop, "fresh");
    org.settled().await;
    let fresh = {
        let family = Arc::clone(org.family());
        tokio::spawn(async move { family.keep_fresh(std::future::pending()).await })
    };
    let member = org.member(APP);
    let mut others: Vec<Weak<Generator>> = Vec::new();
    for number in 0..1000 {
        others.push(Arc::downgrade(&org.member(&format!("myorg/app-{number}"))));
        // Those that are kept fresh are let go, too.
        tokio::task::yield_now().await;
    }
    org.settled().await;
    let alive = others.iter().filter(|other| other.strong_count() > 0).count();
    assert_eq!(alive, 199);
    assert!(others[999].strong_count() > 0);
    assert!(Arc::ptr_eq(&member, &org.member(APP)), "the one whose repository is there has stayed");
    org.asked();
    is(&org.ask(APP).await, &shop, "fresh");
    assert_eq!(org.asked(), (0, 0));
    fresh.abort();
}

#[tokio::test]
async fn whoever_joins_later_is_kept_fresh_too() {
    let org = Org::new().await;
    let fresh = {
        let family = Arc::clone(org.family());
        tokio::spawn(async move { family.keep_fresh(std::future::pending()).await })
    };
    for (repo, commit) in [(APP, "a1"), (API, "b1")] {
        let digest = org.built(repo, commit);
        is(&org.ask(repo).await, &digest, "fresh");
        org.settled().await;
    }
    let page = Metrics::new(org.app.watched()).text();
    assert!(page.contains("lastgreen_hot_lines{generator=\"org\"} 2\n"), "{page}");
    let newer = [org.built(APP, "a2"), org.built(API, "b2")];
    for _ in 0..301 {
        org.pass(1);
        org.settled().await;
    }
    org.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    for (repo, digest) in [APP, API].into_iter().zip(&newer) {
        is(&org.ask(repo).await, digest, "fresh");
    }
    fresh.abort();
}

#[tokio::test]
async fn what_is_closed_is_forgotten_and_what_cannot_be_read_is_not_in_the_way() {
    let org = Org::new().await;
    for (repo, commit) in [(APP, "a1"), (API, "b1")] {
        let digest = org.built(repo, commit);
        is(&org.ask(repo).await, &digest, "fresh");
        org.settled().await;
    }
    let (shop, api) = (org.id(APP), org.id(API));
    let month = Duration::from_hours(30 * 24);
    let forget = async |org: &Org| {
        org.pass(31 * 24 * 3600);
        org.family().forget(month).await;
        let mut lines = org.lines().await;
        lines.sort();
        lines
    };
    // Both are open.
    assert_eq!(forget(&org).await, [(shop, Line::Pull(1)), (api, Line::Pull(1))]);
    // A new process has asked about none of them.
    let org = org.restarted();
    org.sim.world(|world| {
        world.delete_repository(APP);
        world.close_pull(API, 1);
    });
    // A ledger reads what it holds when it is used first.
    org.lines().await;
    assert_eq!(forget(&org).await, [(shop, Line::Pull(1))]);
}

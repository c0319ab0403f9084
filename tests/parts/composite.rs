//! Rows beside a build: three parts' worth of answers in one item each.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use lastgreen::{app::App, clock::ManualClock, config::Config};
use lastgreen_sim::{Fault, ImageSpec, PersonalToken, Pull, Sim, Target, What, World, sha};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::stage::{Reply, request, send};

const REPO: &str = "myorg/myrepo";

/// A world with pull requests, and a file with tenants.
struct Preview {
    sim: Sim,
    clock: ManualClock,
    folder: tempfile::TempDir,
    router: Router,
    /// Further keys of the generator, each a line.
    generator: String,
    query: String,
    trust_after: &'static str,
}

impl Preview {
    async fn new(generator: &str, query: &str) -> Self {
        let mut world = World::with_repository(REPO);
        world.push_image("myorg/front", "old", &ImageSpec::default());
        let clock = ManualClock::new(world.now);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        std::fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let (generator, query) = (generator.to_owned(), query.to_owned());
        let router = Router::new();
        let sim = Sim::start(world).await;
        let mut preview = Self { sim, clock, folder, router, generator, query, trust_after: "1h" };
        preview.execute(crate::stage::SCHEMA).await;
        preview.restart();
        preview
    }

    /// Another process; the one before is not told.
    fn restart(&mut self) {
        self.router = Router::new();
        let text = self.config();
        let (config, _) = Config::parse(&text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        self.router = App::build(config, Arc::new(self.clock.clone())).unwrap().plugin_router();
    }

    fn config(&self) -> String {
        let (folder, host) = (self.folder.path().display(), self.sim.registry_host());
        let mut text = format!(
            "tokenFile: {folder}/token
ledger: {{ url: \"sqlite://{folder}/ledger.db\", trustAfter: {} }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }} }}
generators:
  preview:
    refresh: {{ ahead: false }}
    build:
      repository: {REPO}
      images: {{ digest: \"{host}/myorg/front:sha-{{sha}}\" }}
    sql:
      url: \"sqlite://{folder}/tenants.db\"
      query: \"{}\"
",
            self.trust_after,
            self.sim.github_url(),
            self.query,
        );
        for line in self.generator.lines() {
            writeln!(text, "    {line}").unwrap();
        }
        text
    }

    async fn execute(&self, statements: &str) {
        let options =
            SqliteConnectOptions::new().filename(self.folder.path().join("tenants.db")).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The file with the tenants is away, or there again.
    fn away(&self, away: bool) {
        let (here, there) = (self.folder.path().join("tenants.db"), self.folder.path().join("away.db"));
        let (from, to) = if away { (here, there) } else { (there, here) };
        std::fs::rename(from, to).unwrap();
    }

    /// A pull request whose head is built; its digest.
    fn pull(&self, number: u64, branch: &str, commit: &str) -> String {
        self.sim.world(|world| {
            world.create_branch(REPO, branch, "m1");
            world.push(REPO, branch, commit, &[]);
            world.open_pull(REPO, Pull::new(number, branch));
        });
        self.built(commit)
    }

    fn built(&self, commit: &str) -> String {
        let digest = self.sim.world(|world| {
            world.green(REPO, commit);
            world.push_image("myorg/front", &format!("sha-{}", sha(commit)), &ImageSpec::default())
        });
        self.pass(60);
        digest
    }

    fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    async fn ask(&self, parameters: Value) -> Reply {
        self.asking(&parameters).await.unwrap()
    }

    fn asking(&self, parameters: &Value) -> tokio::task::JoinHandle<Reply> {
        let body = json!({ "applicationSetName": "fb-matrix", "input": { "parameters": parameters } });
        let request = request("/preview", "strong-password", Body::from(body.to_string()));
        tokio::spawn(send(self.router.clone(), request))
    }

    /// Asks, and lets just the time pass that is waited between two tries.
    async fn ask_through(&self, parameters: Value) -> Reply {
        let mut answer = self.asking(&parameters);
        loop {
            tokio::select! {
                biased;
                reply = &mut answer => return reply.unwrap(),
                away = self.clock.sleeping_within(Duration::from_millis(500)) => self.clock.advance(away),
            }
            tokio::task::yield_now().await;
        }
    }
}

const ALL: &str = "SELECT tenant, status FROM organization ORDER BY tenant";
const OF_TENANT: &str = "SELECT tenant, status FROM organization WHERE tenant = :tenant";

fn items(digest: &str, tenants: &[(&str, &str)]) -> Value {
    tenants.iter().map(|(tenant, status)| json!({"digest": digest, "tenant": tenant, "status": status})).collect()
}

const BOTH: &[(&str, &str)] = &[("Acme Corp", "active"), ("Gamma Industries", "trial")];

#[tokio::test]
async fn each_build_with_each_row() {
    let preview = Preview::new("", ALL).await;
    let digest = preview.pull(1, "feature", "a1");
    let reply = preview.ask(json!({"branch": "feature"})).await;
    reply.is(&items(&digest, BOTH), "fresh");
    assert_eq!(reply.headers["x-lastgreen-commit"], sha("a1"));
    // Every question is a real query, and GitHub is not asked again for it.
    preview.execute("DELETE FROM organization WHERE status = 'trial'").await;
    preview.sim.reset_counts();
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, &BOTH[..1]), "fresh");
    assert_eq!(preview.sim.counts(), lastgreen_sim::Counts::default());
    // What is not built yet is nothing, whatever the rows are.
    preview.sim.world(|world| world.create_branch(REPO, "new", "m1"));
    preview.sim.world(|world| world.push(REPO, "new", "n1", &[]));
    preview.ask(json!({"branch": "new"})).await.is(&json!([]), "not-yet");
}

#[tokio::test]
async fn an_outage_of_the_database_keeps_what_was_answered_whatever_is_asked() {
    let mut preview = Preview::new("", OF_TENANT).await;
    let first = preview.pull(1, "feature", "a1");
    let acme = &BOTH[..1];
    let ask = json!({"branch": "feature", "tenant": "Acme Corp"});
    preview.ask(ask.clone()).await.is(&items(&first, acme), "fresh");
    preview.away(true);
    let reply = preview.ask(ask.clone()).await;
    reply.is(&items(&first, acme), "held");
    assert!(reply.reason().starts_with("`sql` cannot say: the database cannot be used: "), "{}", reply.reason());
    // Its list is the line's, whatever its inputs are now; and the build goes on.
    preview.sim.world(|world| world.push(REPO, "feature", "a2", &[]));
    let second = preview.built("a2");
    let other = json!({"branch": "feature", "head_sha": sha("a2"), "tenant": "Gamma Industries"});
    preview.ask(other.clone()).await.is(&items(&second, acme), "held");
    preview.restart();
    preview.ask(other.clone()).await.is(&items(&second, acme), "held");
    preview.away(false);
    preview.ask(other).await.is(&items(&second, &BOTH[1..]), "fresh");
}

#[tokio::test]
async fn an_outage_of_github_keeps_the_build_and_asks_for_rows_all_the_same() {
    let preview = Preview::new("", ALL).await;
    let digest = preview.pull(1, "feature", "a1");
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, BOTH), "fresh");
    preview.pass(600);
    preview.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    preview.execute("DELETE FROM organization WHERE status = 'trial'").await;
    preview.ask_through(json!({"branch": "feature"})).await.is(&items(&digest, &BOTH[..1]), "held");
}

#[tokio::test]
async fn a_new_branch_in_an_outage_is_nobody_else_s_problem() {
    let mut preview = Preview::new("", ALL).await;
    preview.trust_after = "1s";
    preview.restart();
    let digest = preview.pull(1, "feature", "a1");
    for _ in 0..3 {
        preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, BOTH), "fresh");
        preview.pass(20);
    }
    preview.pull(2, "other", "b1");
    preview.away(true);
    // Nothing of it was ever answered, and the ledger is trusted to know that.
    for _ in 0..2 {
        let reply = preview.ask_through(json!({"branch": "other"})).await;
        reply.is(&json!([]), "unknown");
        assert!(reply.reason().contains("`sql` cannot say"), "{}", reply.reason());
    }
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, BOTH), "held");
    preview.away(false);
    preview.ask(json!({"branch": "other"})).await.has(2, "fresh");
}

#[tokio::test]
async fn on_a_ledger_that_is_not_trusted_nothing_is_guessed() {
    let preview = Preview::new("", ALL).await;
    preview.pull(1, "feature", "a1");
    preview.away(true);
    let reply = preview.ask_through(json!({"branch": "feature"})).await;
    assert!(reply.is_refused(503).starts_with("no answer yet: `sql` cannot say: "), "{reply:?}");
    preview.away(false);
    preview.ask(json!({"branch": "feature"})).await.has(2, "fresh");
}

#[tokio::test]
async fn an_emptied_product_is_a_deliberate_deletion_and_guarded() {
    let preview = Preview::new("guard: { minItems: 2, maxDrop: 60% }", ALL).await;
    let digest = preview.pull(1, "feature", "a1");
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, BOTH), "fresh");
    preview.execute("DELETE FROM organization").await;
    let reply = preview.ask(json!({"branch": "feature"})).await;
    reply.is(&items(&digest, BOTH), "held");
    assert!(reply.reason().starts_with("the guard holds back that 2 of 2 items vanish"), "{}", reply.reason());
    preview.execute("INSERT INTO organization VALUES ('Acme Corp', 'active')").await;
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, &BOTH[..1]), "fresh");
    // One is fewer than the guard looks at, after its window.
    preview.pass(600);
    preview.execute("DELETE FROM organization").await;
    preview.ask(json!({"branch": "feature"})).await.is(&json!([]), "fresh");
    preview.away(true);
    preview.ask(json!({"branch": "feature"})).await.is(&json!([]), "held");
}

#[tokio::test]
async fn rows_may_be_chosen_and_keys_must_not_collide() {
    let query = "SELECT tenant, status, 'x' AS digest FROM organization";
    let mut preview = Preview::new("", query).await;
    let digest = preview.pull(1, "feature", "a1");
    let reply = preview.ask(json!({"branch": "feature"})).await;
    assert_eq!(
        reply.is_refused(500),
        "the generator's parts do not fit together: `build` and `sql` both give the key `digest`, with different values; \
         rename it in one of them"
    );
    for (query, error) in [(
        "SELECT tenant, 1 AS number FROM organization",
        "`sql` gives the key `number`, which Argo CD's pull request generator fills itself; rename it",
    )] {
        query.clone_into(&mut preview.query);
        preview.restart();
        let reply = preview.ask(json!({"branch": "feature"})).await;
        assert_eq!(reply.is_refused(500), format!("the generator's parts do not fit together: {error}"));
    }
    preview.query = format!("{ALL}\"\n      onlyIf: {{ matchLabels: {{ status: active }} }}\n      # \"");
    preview.restart();
    preview.ask(json!({"branch": "feature"})).await.is(&items(&digest, &BOTH[..1]), "fresh");
    preview.query = preview.query.replace("status: active", "stat: active");
    preview.restart();
    let reply = preview.ask(json!({"branch": "feature"})).await;
    assert_eq!(
        reply.is_refused(500),
        "the generator's parts do not fit together: `onlyIf` of `sql` selects by the key `stat`, which no item has"
    );
}

#[tokio::test]
async fn whatever_the_author_of_a_pull_request_writes_concerns_nobody_else() {
    let mut preview = Preview::new("", OF_TENANT).await;
    preview.trust_after = "1s";
    preview.restart();
    let digest = preview.pull(1, "feature", "a1");
    let ask = |tenant: Value| json!({"branch": "feature", "tenant": tenant});
    for _ in 0..2 {
        preview.ask(ask(json!("Acme Corp"))).await.is(&items(&digest, &BOTH[..1]), "fresh");
        preview.pass(20);
    }
    preview.pull(2, "other", "b1");
    for odd in [json!("<no value>"), json!("x".repeat(5000)), json!("\u{0}"), json!([1])] {
        preview.ask(ask(odd.clone())).await.is(&items(&digest, &BOTH[..1]), "held");
        let reply = preview.ask_through(json!({"branch": "other", "tenant": odd})).await;
        reply.is(&json!([]), "unknown");
        assert!(reply.reason().contains("input.parameters.tenant"), "{}", reply.reason());
    }
}

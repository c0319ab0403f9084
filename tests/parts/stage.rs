//! The stage: the real program, wired as in production, before a database and a clock that stands still.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use chrono::DateTime;
use http_body_util::BodyExt as _;
use lastgreen::{
    app::App,
    clock::{Clock as _, ManualClock, Moment},
    config::Config,
    operator::{HeldView, Operator, Release},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tower::ServiceExt as _;

use crate::postgres::Postgres;

/// What the stories begin with.
pub(crate) const SCHEMA: &str = include_str!("../../examples/tenants/schema.sql");

/// Where the stories happen.
pub(crate) struct Stage {
    pub(crate) folder: Arc<tempfile::TempDir>,
    database: Database,
    /// The query.
    pub(crate) query: String,
    /// Further keys of the part, each a line.
    pub(crate) part: String,
    /// Further keys of the generator, each a line.
    pub(crate) generator: String,
    /// The ledger, if it is not a file of the stage's own.
    pub(crate) ledger: Option<String>,
}

/// The database that is asked.
#[derive(Clone)]
enum Database {
    Sqlite,
    Postgres(Arc<Postgres>, String),
}

/// A process.
pub(crate) struct Process {
    pub(crate) clock: ManualClock,
    pub(crate) app: App,
    pub(crate) router: Router,
    /// Its files and its database last as long as it does.
    beneath: (Arc<tempfile::TempDir>, Database),
}

/// An answer as it came over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Stage {
    fn new(database: Database) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        let query = "SELECT tenant, status FROM organization WHERE :status IS NULL OR status = :status ORDER BY tenant";
        let (part, generator) = (String::new(), String::new());
        Self { folder, database, query: query.to_owned(), part, generator, ledger: None }
    }

    /// Tenants in a file.
    pub(crate) async fn sqlite() -> Self {
        let stage = Self::new(Database::Sqlite);
        stage.execute(SCHEMA).await;
        stage
    }

    /// Tenants in a database of that name; `None` where PostgreSQL is not installed.
    pub(crate) async fn postgres(name: &str) -> Option<Self> {
        let server = Postgres::shared()?;
        server.create_database(name).await;
        let stage = Self::new(Database::Postgres(server, name.to_owned()));
        stage.execute(SCHEMA).await;
        Some(stage)
    }

    /// The database of that name, as another stage has made it.
    pub(crate) fn postgres_again(name: &str) -> Option<Self> {
        Some(Self::new(Database::Postgres(Postgres::shared()?, name.to_owned())))
    }

    /// Both.
    pub(crate) async fn both(name: &str) -> Vec<Self> {
        let sqlite = Self::sqlite().await;
        Self::postgres(name).await.into_iter().chain([sqlite]).collect()
    }

    /// With this query.
    pub(crate) fn asking(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.database, Database::Postgres(..))
    }

    /// The database's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("tenants.db")
    }

    pub(crate) fn url(&self) -> String {
        match &self.database {
            Database::Sqlite => format!("sqlite://{}", self.file().display()),
            Database::Postgres(server, name) => server.url(name),
        }
    }

    /// Changes the database.
    pub(crate) async fn execute(&self, statements: &str) {
        match &self.database {
            Database::Sqlite => {
                let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
                connection.close().await.unwrap();
            }
            Database::Postgres(server, name) => server.execute(name, statements).await,
        }
    }

    /// Ends all connections that ask for tenants; tells how many there were.
    pub(crate) async fn cut(&self) -> usize {
        match &self.database {
            Database::Sqlite => 0,
            Database::Postgres(server, name) => server.kill_backends(name, "%organization%").await,
        }
    }

    /// So many tenants, `0`, `1`, and so on.
    pub(crate) async fn tenants(&self, count: usize) {
        let rows: Vec<_> = (0..count).map(|number| format!("('{number:03}', 'active')")).collect();
        let insert = if rows.is_empty() {
            String::new()
        } else {
            format!("INSERT INTO organization (tenant, status) VALUES {}", rows.join(", "))
        };
        self.execute(&format!("DELETE FROM organization; {insert}")).await;
    }

    /// The database is away, or there again. Where it is a server, it only seems so: its URL leads nowhere.
    pub(crate) fn away(&self, process: &Process, away: bool) {
        let url = match (&self.database, away) {
            (_, false) => self.url(),
            (Database::Sqlite, true) => self.url().replace("tenants.db", "gone.db"),
            (Database::Postgres(..), true) => "postgres://postgres@127.0.0.1:1/gone".to_owned(),
        };
        std::fs::write(self.folder.path().join("url"), format!("{url}\n")).unwrap();
        // Such a file is looked at once in a second.
        process.clock.advance(Duration::from_secs(1));
    }

    /// The configuration.
    pub(crate) fn config(&self) -> String {
        let folder = self.folder.path().display();
        std::fs::write(self.folder.path().join("url"), self.url()).unwrap();
        let indented = |text: &str, by: &str| text.lines().flat_map(|line| [by, line, "\n"]).collect::<String>();
        let ledger = match &self.ledger {
            Some(url) => {
                std::fs::write(self.folder.path().join("ledger-url"), url).unwrap();
                format!("{{ urlFile: {folder}/ledger-url }}")
            }
            None => format!("{{ url: \"sqlite://{folder}/ledger.db\" }}"),
        };
        format!(
            "listen: 127.0.0.1:0\nops: {{ listen: \"127.0.0.1:0\" }}\ntokenFile: {folder}/token\nledger: {ledger}\n\
             generators:\n  tenants:\n{}    sql:\n      urlFile: {folder}/url\n      query: |\n{}{}",
            indented(&self.generator, "    "),
            indented(&self.query, "        "),
            indented(&self.part, "      "),
        )
    }

    /// A process.
    pub(crate) fn process(&self) -> Process {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000));
        self.process_of(&self.config(), clock)
    }

    /// Another process after that one, on the same ledger.
    pub(crate) async fn restarted(&self, process: Process) -> Process {
        let clock = process.clock.clone();
        process.end().await;
        self.process_of(&self.config(), clock)
    }

    /// A process with this configuration.
    pub(crate) fn process_of(&self, text: &str, clock: ManualClock) -> Process {
        let (config, _) = Config::parse(text, "test.yaml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let app = App::build(config, Arc::new(clock.clone())).unwrap();
        Process { clock, router: app.plugin_router(), app, beneath: (Arc::clone(&self.folder), self.database.clone()) }
    }
}

impl Process {
    /// Ends it as `SIGTERM` does.
    pub(crate) async fn end(self) {
        Arc::clone(&self.app.ledger).keep(std::future::ready(())).await;
        drop(self.beneath);
    }

    /// Asks with these inputs.
    pub(crate) async fn ask(&self, inputs: Value) -> Reply {
        send(self.router.clone(), question(&inputs)).await
    }

    /// Asks for all tenants.
    pub(crate) async fn all(&self) -> Reply {
        self.ask(json!({})).await
    }

    /// Asks, and lets just the time pass that is waited between two tries.
    pub(crate) async fn ask_through(&self, inputs: Value) -> Reply {
        let mut answer = tokio::spawn(send(self.router.clone(), question(&inputs)));
        loop {
            tokio::select! {
                biased;
                reply = &mut answer => return reply.unwrap(),
                away = self.clock.sleeping_within(Duration::from_millis(500)) => self.clock.advance(away),
            }
            // Whoever was woken gets his turn.
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.app.ledger), Arc::new(self.clock.clone()))
    }

    pub(crate) async fn held_back(&self) -> Vec<HeldView> {
        self.operator().held_back().await.unwrap()
    }

    /// Lets through what the guard holds back, as an operator does.
    pub(crate) async fn release(&self) -> Result<Vec<HeldView>, String> {
        let release = Release { generator: "tenants".to_owned() };
        self.operator().release(&release).await.map_err(|undone| undone.to_string())
    }

    pub(crate) fn soon(&self) -> Moment {
        self.clock.now() + Duration::from_secs(10)
    }
}

pub(crate) fn question(inputs: &Value) -> Request<Body> {
    let body = json!({ "applicationSetName": "fake-appset", "input": { "parameters": inputs } });
    request("/tenants", "strong-password", Body::from(body.to_string()))
}

pub(crate) fn request(path: &str, token: &str, body: Body) -> Request<Body> {
    Request::post(format!("{path}/api/v1/getparams.execute"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// Sends any request.
pub(crate) async fn send(router: Router, request: Request<Body>) -> Reply {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    Reply { status: parts.status, headers: parts.headers, body }
}

impl Reply {
    /// Asserts these items and this standing.
    #[track_caller]
    pub(crate) fn is(&self, items: &Value, standing: &str) {
        assert_eq!(self.body, json!({ "output": { "parameters": items } }), "{}", self.reason());
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{}", self.reason());
    }

    /// Asserts so many items with this standing.
    #[track_caller]
    pub(crate) fn has(&self, count: usize, standing: &str) {
        assert_eq!((self.status, self.standing()), (StatusCode::OK, standing), "{self:?}");
        assert_eq!(self.items().len(), count, "{}", self.reason());
    }

    #[track_caller]
    pub(crate) fn items(&self) -> &Vec<Value> {
        self.body["output"]["parameters"].as_array().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Asserts a refusal; why.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16) -> &str {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.body["message"].as_str().unwrap()
    }

    pub(crate) fn standing(&self) -> &str {
        self.headers.get("x-lastgreen-standing").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn reason(&self) -> &str {
        self.headers.get("x-lastgreen-reason").map_or("", |value| value.to_str().unwrap())
    }
}

//! The rows of a query: columns are keys, and every value is a text.
//!
//! ```text
//! inputs ─ bound by name ─ a connection (a few, kept) ─ postgres | sqlite: asked read-only, bounded ─ rows as texts
//!                            └ statement looked at first: what it takes, what it gives
//! ```
//!
//! A list comes whole or not at all: too many rows, a column without a text form, a database that is gone or too slow
//! are errors, and never fewer rows.

mod failure;
mod postgres;
mod sqlite;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use self::{
    failure::Failure,
    postgres::{Plan, Postgres},
    sqlite::Sqlite,
};
use super::part::{CannotSay, Values};
use crate::{
    clock::{Moment, SharedClock},
    database::{FileId, Work, file_id},
    domain::{Dialect, Statement, StatementError},
    upstream::{Calls, Secret, SecretFile},
};

/// The most bytes of all rows.
const MAX_BYTES: usize = 16 << 20;

/// How long what is known of a statement's columns is good: somebody may change the tables.
const PLAN_GOOD: Duration = Duration::from_mins(1);

/// Which database is asked.
#[derive(Debug)]
pub enum SqlSource {
    /// This file.
    Sqlite(PathBuf),
    /// The one of this URL.
    Postgres(Secret),
    /// The one of the URL in this file.
    UrlFile(SecretFile),
}

/// What a part is told by the configuration.
#[derive(Debug)]
pub struct SqlOptions {
    /// Where it asks.
    pub source: SqlSource,
    /// What it asks.
    pub query: String,
    /// How long one query may take.
    pub timeout: Duration,
    /// The most rows.
    pub max_rows: usize,
    /// The most connections.
    pub connections: usize,
    /// A CA that the server's certificate must come from, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// Answers with the rows of one query.
pub struct SqlPart {
    options: SqlOptions,
    /// The query as each kind of database reads it, or what is wrong with it there.
    postgres: Result<Statement, StatementError>,
    sqlite: Result<Statement, StatementError>,
    /// The names of all parameters.
    parameters: BTreeSet<String>,
    permits: Semaphore,
    idle: Mutex<Vec<Open>>,
    /// What is known of the statement, where that takes a question of its own, and since when.
    plan: Mutex<Option<(Moment, Place, Arc<Plan>)>>,
    /// How many queries are under way.
    work: Work,
    clock: SharedClock,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A file, and which one of that name it is.
    Sqlite(PathBuf, Option<FileId>),
    Postgres(Secret),
}

impl Place {
    /// The kind of database, as OpenTelemetry calls it.
    fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(..) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }
}

/// A connection, and where it leads.
struct Open {
    place: Place,
    connection: Connection,
}

enum Connection {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// What limits one query.
#[derive(Clone, Copy, Debug)]
struct Limits {
    rows: usize,
    bytes: usize,
}

impl Limits {
    /// Counts what a row takes.
    fn take(&mut self, row: &Values, all: usize) -> Result<(), Failure> {
        self.rows = self.rows.checked_sub(1).ok_or(Failure::TooManyRows(all))?;
        let bytes = row.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Failure::TooManyBytes(MAX_BYTES))?;
        Ok(())
    }
}

impl SqlPart {
    /// A part with one query. Nothing is opened yet.
    pub fn new(options: SqlOptions, clock: SharedClock) -> Self {
        let postgres = Statement::parse(&options.query, Dialect::Postgres);
        let sqlite = Statement::parse(&options.query, Dialect::Sqlite);
        let either = postgres.iter().chain(&sqlite);
        Self {
            parameters: either.flat_map(Statement::parameters).map(str::to_owned).collect(),
            postgres,
            sqlite,
            permits: Semaphore::new(options.connections),
            options,
            idle: Mutex::default(),
            plan: Mutex::default(),
            work: Work::default(),
            clock,
        }
    }

    /// Whether the database has something to do: that takes real time, whatever the clock says. A simulation must not let
    /// time pass meanwhile.
    pub fn is_working(&self) -> bool {
        self.work.is_under_way()
    }

    /// The names of the inputs that make a difference.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(String::as_str)
    }

    /// The rows, as items; in time, or not at all.
    pub async fn items(
        &self,
        parameters: &Map<String, Value>,
        _application_set: &str,
        until: Moment,
    ) -> Result<Vec<Values>, CannotSay> {
        self.in_time(until, self.ask(parameters)).await
    }

    /// What the query gives: the names of its columns, once the database has looked at it.
    pub async fn check(&self, until: Moment) -> Result<Vec<String>, CannotSay> {
        self.in_time(until, self.look()).await
    }

    async fn in_time<T>(&self, until: Moment, work: impl Future<Output = Result<T, Failure>>) -> Result<T, CannotSay> {
        let until = until.min(self.clock.now() + self.options.timeout);
        let done = tokio::select! {
            biased;
            done = work => done,
            () = self.clock.sleep_until(until) => Err(Failure::NoAnswer),
        };
        done.map_err(|failure| CannotSay { reason: failure.to_string() })
    }

    async fn ask(&self, parameters: &Map<String, Value>) -> Result<Vec<Values>, Failure> {
        let bound = |statement: &Statement| -> Vec<Option<String>> {
            statement.parameters().map(|name| parameters.get(name).and_then(text_of)).collect()
        };
        let _permit = self.permits.acquire().await.map_err(|_| Failure::NoAnswer)?;
        let _working = self.work.begin();
        let place = self.place()?;
        let mut traced = Calls::current().trace().query(place.system());
        let limits = Limits { rows: self.options.max_rows, bytes: MAX_BYTES };
        let mut fresh = false;
        loop {
            let reused = if fresh { None } else { self.idle_at(&place) };
            let was_reused = reused.is_some();
            let mut connection = match reused {
                Some(connection) => connection,
                None => self.connect(&place).await?,
            };
            let mut planned = false;
            let asked = match &mut connection {
                Connection::Sqlite(sqlite) => {
                    let statement = readable(&self.sqlite)?;
                    sqlite.ask(statement, &bound(statement), limits).await
                }
                Connection::Postgres(postgres) => {
                    let statement = readable(&self.postgres)?;
                    let known = self.plan_at(&place);
                    planned = known.is_some();
                    let plan = match known {
                        Some(plan) => Ok(plan),
                        None => self.plan_by(postgres, statement, &place).await,
                    };
                    match plan {
                        Ok(plan) => postgres.ask(&plan, &bound(statement), limits).await,
                        Err(failure) => Err(failure),
                    }
                }
            };
            match asked {
                Ok(items) => {
                    traced.done();
                    self.idle().push(Open { place, connection });
                    return Ok(items);
                }
                // The tables may be others than they were when they were looked at.
                Err(Failure::Refused(_)) if planned => {
                    *self.plan() = None;
                    self.idle().push(Open { place: place.clone(), connection });
                }
                // It may have been cut since it was used last, and so may all others.
                Err(Failure::Cut(_)) if was_reused => {
                    self.idle().clear();
                    fresh = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn plan_by(
        &self,
        postgres: &mut Postgres,
        statement: &Statement,
        place: &Place,
    ) -> Result<Arc<Plan>, Failure> {
        let plan = Arc::new(postgres.plan(statement, self.options.max_rows).await?);
        *self.plan() = Some((self.clock.now(), place.clone(), Arc::clone(&plan)));
        Ok(plan)
    }

    async fn look(&self) -> Result<Vec<String>, Failure> {
        let _permit = self.permits.acquire().await.map_err(|_| Failure::NoAnswer)?;
        let _working = self.work.begin();
        let place = self.place()?;
        match self.connect(&place).await? {
            Connection::Sqlite(mut sqlite) => sqlite.check(readable(&self.sqlite)?).await,
            Connection::Postgres(mut postgres) => {
                let statement = readable(&self.postgres)?;
                let plan = postgres.plan(statement, self.options.max_rows).await?;
                postgres.check(&plan, statement.parameters().count()).await?;
                Ok(plan.columns().map(str::to_owned).collect())
            }
        }
    }

    fn place(&self) -> Result<Place, Failure> {
        let sqlite = |path: PathBuf| {
            let id = file_id(&path);
            Place::Sqlite(path, id)
        };
        match &self.options.source {
            SqlSource::Sqlite(path) => Ok(sqlite(path.clone())),
            SqlSource::Postgres(url) => Ok(Place::Postgres(url.clone())),
            SqlSource::UrlFile(file) => {
                let url = file.read().map_err(|error| Failure::Unreachable(error.to_string()))?;
                let text = url.expose();
                if text.starts_with("postgres:") || text.starts_with("postgresql:") {
                    return Ok(Place::Postgres(url));
                }
                let path = text.strip_prefix("sqlite://").filter(|path| path.starts_with('/'));
                path.map(|path| sqlite(path.into())).ok_or_else(|| {
                    Failure::Unreachable(format!(
                        "`{}` must hold `sqlite:///absolute/path` or `postgres://user:password@host/database`",
                        file.path().display()
                    ))
                })
            }
        }
    }

    async fn connect(&self, place: &Place) -> Result<Connection, Failure> {
        match place {
            Place::Sqlite(path, _) => Sqlite::open(path).await.map(Connection::Sqlite),
            Place::Postgres(url) => {
                let ca_file = self.options.ca_file.as_deref();
                Postgres::connect(url, ca_file, self.options.timeout).await.map(Connection::Postgres)
            }
        }
    }

    /// A connection that leads there and that nobody uses just now; those that lead elsewhere are ended.
    fn idle_at(&self, place: &Place) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|open| open.place == *place);
        idle.pop().map(|open| open.connection)
    }

    fn plan_at(&self, place: &Place) -> Option<Arc<Plan>> {
        let now = self.clock.now();
        let plan = self.plan();
        let (since, of, plan) = plan.as_ref()?;
        (of == place && now.since(*since) < PLAN_GOOD).then(|| Arc::clone(plan))
    }

    fn plan(&self) -> MutexGuard<'_, Option<(Moment, Place, Arc<Plan>)>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SqlPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlPart").field("options", &self.options).finish_non_exhaustive()
    }
}

fn readable(statement: &Result<Statement, StatementError>) -> Result<&Statement, Failure> {
    statement.as_ref().map_err(|error| Failure::Refused(error.to_string()))
}

/// What an input is to a query.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// That each column has a name, and one of its own.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name == "?column?" {
            return Err(Failure::Refused("a column has no name; give it one with `AS`".to_owned()));
        }
        if !seen.insert(name) {
            return Err(Failure::Refused(format!("two columns have the name `{name}`")));
        }
    }
    if seen.is_empty() {
        return Err(Failure::Refused("the query has no column".to_owned()));
    }
    Ok(())
}

/// Why a column cannot be used.
fn no_text_form(column: &str, kind: &str) -> Failure {
    Failure::Refused(format!(
        "the column `{column}` has the type {kind}, which has no text form here; have the query make a text of it"
    ))
}

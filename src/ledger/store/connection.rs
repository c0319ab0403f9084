//! The way to the database: opened when it is first needed, bounded in time, and resting for a moment after a failure,
//! so that a thousand questions during an outage are not a thousand time-outs.

use std::{
    fs::{File, TryLockError},
    future::Future,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
    postgres::PgListener,
};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    Batch, Committed, LedgerError, News, Source,
    failure::{NO_ANSWER, describe, describe_problem},
    queries,
    schema::{self, Problem},
};
use crate::{
    clock::{Moment, SharedClock},
    ledger::IN_USE,
    upstream::Secret,
};

/// How long one piece of work at the database may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a failure is the answer without another try.
const REST: Duration = Duration::from_secs(1);

/// The channel on which replicas tell each other that something changed.
pub(super) const CHANNEL: &str = "lastgreen_ledger";

/// The name of the lock under which one of several replicas does the background work.
const BACKGROUND: &str = "SELECT pg_try_advisory_lock(7813242012)";

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

/// The way to one database.
#[derive(Debug)]
pub(in crate::ledger) struct Connection {
    source: Source,
    clock: SharedClock,
    open: AsyncMutex<Option<Arc<Open>>>,
    rest: Mutex<Option<(Moment, LedgerError)>>,
    /// How many pieces of work are under way.
    working: AtomicUsize,
}

/// A piece of work under way; it ends with whoever waits for it.
struct Working<'a>(&'a AtomicUsize);

impl<'a> Working<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A database that was opened.
#[derive(Debug)]
struct Open {
    pool: AnyPool,
    place: Place,
    /// A file's identity, so that one that was taken away is noticed.
    file: Option<FileId>,
    /// Held as long as the file is used: a second process would not hear of what the first one records.
    _lock: Option<File>,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Sqlite(PathBuf),
    Postgres(Secret),
}

type FileId = (u64, u64);

/// A connection on which PostgreSQL tells what other replicas record.
#[derive(Debug)]
pub(in crate::ledger) struct PgListening(PgListener);

impl Connection {
    pub(super) fn new(source: Source, clock: SharedClock) -> Self {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        Self { source, clock, open: AsyncMutex::default(), rest: Mutex::default(), working: AtomicUsize::default() }
    }

    /// Whether this process alone uses the ledger.
    pub(in crate::ledger) fn is_alone(&self) -> bool {
        match &self.source {
            Source::Memory | Source::Sqlite(_) => true,
            Source::Postgres(_) => false,
            Source::UrlFile(_) => matches!(self.place(), Ok(Place::Sqlite(_))),
        }
    }

    /// Whether the database has something to do: that takes real time, whatever the clock says.
    pub(super) fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    /// What changed after `change` in the ledger `id`.
    pub(super) async fn news(&self, id: &str, change: i64, until: Moment) -> Result<Option<News>, LedgerError> {
        self.work(until, |open| async move { queries::news(&open.pool, id, change).await }).await
    }

    /// Writes a batch.
    pub(super) async fn commit(&self, id: &str, batch: &Batch, until: Moment) -> Result<Committed, LedgerError> {
        self.work(until, |open| async move { queries::commit(&open.pool, open.place.kind(), id, batch).await }).await
    }

    /// A connection on which changes of other replicas are told; `None` for a database that has no other ones.
    pub(in crate::ledger) async fn listen(&self) -> Result<Option<PgListening>, LedgerError> {
        let until = self.clock.now() + PATIENCE;
        self.work(until, |open| async move {
            let Place::Postgres(url) = &open.place else { return Ok(None) };
            let mut listener = PgListener::connect(url.expose()).await?;
            listener.listen(CHANNEL).await?;
            Ok(Some(PgListening(listener)))
        })
        .await
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        let open = self.open.lock().await.take();
        if let Some(open) = open {
            open.pool.close().await;
        }
    }

    /// Does a piece of work in time.
    async fn work<T, W>(&self, until: Moment, work: impl FnOnce(Arc<Open>) -> W) -> Result<T, LedgerError>
    where
        W: Future<Output = Result<T, sqlx::Error>>,
    {
        self.rested()?;
        let _working = Working::begin(&self.working);
        // A file answers or fails at once; a host that is gone says nothing at all.
        let until = if self.is_alone() { until } else { until.min(self.clock.now() + PATIENCE) };
        let done = async {
            let open = self.open().await?;
            let kind = open.place.kind();
            work(open).await.map_err(|error| describe(kind, &error))
        };
        let done = tokio::select! {
            biased;
            done = done => done,
            () = self.clock.sleep_until(until) => Err(NO_ANSWER.to_owned()),
        };
        done.map_err(|what| self.failed(&what))
    }

    fn rested(&self) -> Result<(), LedgerError> {
        match &*self.rest.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((until, error)) if self.clock.now() < *until => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> LedgerError {
        let error = LedgerError::new(what);
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.as_ref().is_none_or(|(_, last)| *last != error) {
            tracing::error!(%error, "what is known is answered all the same; it is tried again every second");
        }
        *rest = Some((self.clock.now() + REST, error.clone()));
        error
    }

    /// The open database; another one if its URL or its file is another one now.
    async fn open(&self) -> Result<Arc<Open>, String> {
        let mut slot = self.open.lock().await;
        let place = self.place()?;
        if let Some(open) = &*slot {
            if open.place == place && open.file == place.file() {
                return Ok(Arc::clone(open));
            }
            tracing::warn!("the ledger is another one now; it is opened anew");
            let old = slot.take();
            if let Some(old) = old {
                old.pool.close().await;
            }
        }
        let open = Arc::new(open(place).await?);
        tracing::debug!(ledger = %open.place.name(), "the ledger is open");
        *slot = Some(Arc::clone(&open));
        Ok(open)
    }

    fn place(&self) -> Result<Place, String> {
        match &self.source {
            Source::Memory => Err("it is kept in memory".to_owned()),
            Source::Sqlite(path) => Ok(Place::Sqlite(path.clone())),
            Source::Postgres(url) => Ok(Place::Postgres(url.clone())),
            Source::UrlFile(file) => {
                let url = file.read().map_err(|error| error.to_string())?;
                let text = url.expose();
                if text.starts_with("postgres:") || text.starts_with("postgresql:") {
                    return Ok(Place::Postgres(url));
                }
                let path = text.strip_prefix("sqlite://").filter(|path| path.starts_with('/'));
                path.map(|path| Place::Sqlite(path.into())).ok_or_else(|| {
                    format!(
                        "`{}` must hold `sqlite:///absolute/path` or `postgres://user:password@host/database`",
                        file.path().display()
                    )
                })
            }
        }
    }
}

impl Place {
    fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    /// What may be shown of it.
    fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(_) => "PostgreSQL".to_owned(),
        }
    }

    fn file(&self) -> Option<FileId> {
        match self {
            Self::Sqlite(path) => file_id(path),
            Self::Postgres(_) => None,
        }
    }

    fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        let options = match self {
            Self::Sqlite(path) => AnyConnectOptions::from_str(&format!("sqlite://{}?mode=rwc", percent(path)))?,
            Self::Postgres(url) => AnyConnectOptions::from_str(url.expose())?,
        };
        // Statements hold branch names and more than belongs into a log.
        Ok(options.disable_statement_logging())
    }
}

async fn open(place: Place) -> Result<Open, String> {
    let kind = place.kind();
    let lock = match &place {
        Place::Sqlite(path) => Some(lock(path)?),
        Place::Postgres(_) => None,
    };
    let failed = |error: sqlx::Error| describe(kind, &error);
    let options = place.options().map_err(failed)?;
    // A pool would try again and again what a first connection is refused, and would not tell why.
    let mut first = AnyConnection::connect_with(&options).await.map_err(failed)?;
    set_up(&mut first, kind).await.map_err(failed)?;
    first.close().await.map_err(failed)?;
    let pool = AnyPoolOptions::new()
        // SQLite has one writer, and everything that is read often is in memory.
        .max_connections(if kind == Kind::Sqlite { 1 } else { 4 })
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| Box::pin(async move { set_up(connection, kind).await }))
        .connect_with(options)
        .await
        .map_err(failed)?;
    let mut connection = pool.acquire().await.map_err(failed)?;
    schema::prepare(&mut connection, kind, schema::STEPS).await.map_err(|problem| describe_problem(kind, &problem))?;
    drop(connection);
    Ok(Open { file: place.file(), pool, place, _lock: lock })
}

async fn set_up(connection: &mut AnyConnection, kind: Kind) -> Result<(), sqlx::Error> {
    let settings: &[&'static str] = match kind {
        // What was committed must outlive a crash of the machine, too: `synchronous = FULL`.
        Kind::Sqlite => &[
            "PRAGMA busy_timeout = 500",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA trusted_schema = OFF",
            "PRAGMA cell_size_check = ON",
        ],
        Kind::Postgres => &["SET statement_timeout = '2s'", "SET idle_in_transaction_session_timeout = '10s'"],
    };
    for setting in settings {
        connection.execute(*setting).await?;
    }
    Ok(())
}

/// Locks a file beside the ledger for as long as it is used.
fn lock(ledger: &Path) -> Result<File, String> {
    let mut path = ledger.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| {
        format!(
            "`{}` cannot be opened ({error}); does its directory exist, and may this user write there?",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("{IN_USE} (`{}` is locked); several replicas need PostgreSQL", path.display()))
        }
        Err(TryLockError::Error(error)) => Err(format!("`{}` cannot be locked: {error}", path.display())),
    }
}

/// A path as a URL takes it.
fn percent(path: &Path) -> String {
    use std::fmt::Write as _;
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        text
    })
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}

impl From<Problem> for sqlx::Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Sql(error) => error,
            Problem::Newer { .. } => Self::Protocol(describe_problem(Kind::Sqlite, &problem)),
        }
    }
}

impl PgListening {
    /// Waits until somebody has told of a change; an error where the connection is gone.
    pub(in crate::ledger) async fn told(&mut self) -> Result<(), sqlx::Error> {
        match self.0.try_recv().await? {
            Some(_) => Ok(()),
            // What was told while the connection was gone is lost.
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Whether this replica is the one that does the background work, for as long as this connection lives.
    pub(in crate::ledger) async fn leads(&mut self) -> Result<bool, sqlx::Error> {
        use sqlx::Row as _;
        sqlx::query(BACKGROUND).fetch_one(&mut self.0).await?.try_get(0)
    }
}

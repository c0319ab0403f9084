//! The way to the database: opened when it is first needed, bounded in time, and resting for a moment after a failure,
//! so that a thousand questions during an outage are not a thousand time-outs.

use std::{
    fs::File,
    future::Future,
    path::PathBuf,
    str::FromStr as _,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak},
    time::Duration,
};

use sqlx::{
    AnyConnection, ConnectOptions as _, Connection as _, Executor as _, any::AnyConnectOptions, postgres::PgListener,
};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    Batch, Committed, LedgerError, News, Source,
    failure::{NO_ANSWER, describe, describe_problem, tables_are_gone},
    file::{lock, percent},
    queries, schema,
};
use crate::{
    clock::{Moment, SharedClock},
    database::{FileId, Work, file_id},
    upstream::Secret,
};

/// How long one piece of work at the database may take.
pub(in crate::ledger) const PATIENCE: Duration = Duration::from_secs(2);

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
    work: Work,
}

/// A database that was opened.
#[derive(Debug)]
struct Open {
    place: Place,
    /// Connections that nobody uses just now.
    idle: Mutex<Vec<AnyConnection>>,
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

/// A connection on which PostgreSQL tells what other replicas record.
#[derive(Debug)]
pub(in crate::ledger) struct PgListening {
    listener: PgListener,
    /// What it was opened beside.
    open: Weak<Open>,
}

impl Connection {
    pub(super) fn new(source: Source, clock: SharedClock) -> Self {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        Self { source, clock, open: AsyncMutex::default(), rest: Mutex::default(), work: Work::default() }
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
        self.work.is_under_way()
    }

    /// What changed after `change` in the ledger `id`.
    pub(super) async fn news(&self, id: &str, change: i64, until: Moment) -> Result<Option<News>, LedgerError> {
        let work = |open: Arc<Open>| async move {
            let mut connection = open.connection().await?;
            let news = queries::news(&mut connection, id, change).await?;
            open.idle().push(connection);
            Ok(news)
        };
        self.work(until, work).await
    }

    /// Writes a batch into the ledger `id`, as of `seen` or later.
    pub(super) async fn commit(
        &self,
        id: &str,
        seen: i64,
        batch: &Batch,
        until: Moment,
    ) -> Result<Committed, LedgerError> {
        let work = |open: Arc<Open>| async move {
            let mut connection = open.connection().await?;
            let committed = queries::commit(&mut connection, open.place.kind(), id, seen, batch).await?;
            open.idle().push(connection);
            Ok(committed)
        };
        self.work(until, work).await
    }

    /// A connection on which changes of other replicas are told; `None` for a database that has no other ones.
    pub(in crate::ledger) async fn listen(&self) -> Result<Option<PgListening>, LedgerError> {
        let until = self.clock.now() + PATIENCE;
        self.work(until, |open| async move {
            let Place::Postgres(url) = &open.place else { return Ok(None) };
            let mut listener = PgListener::connect(url.expose()).await?;
            // Else it connects again by itself, without the lock, and who waits no longer than a beat is never told.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(Some(PgListening { listener, open: Arc::downgrade(&open) }))
        })
        .await
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        let open = self.open.lock().await.take();
        if let Some(open) = open {
            open.close().await;
        }
    }

    /// Does a piece of work in time.
    async fn work<T, W>(&self, until: Moment, work: impl FnOnce(Arc<Open>) -> W) -> Result<T, LedgerError>
    where
        W: Future<Output = Result<T, sqlx::Error>>,
    {
        self.rested()?;
        let patience = self.clock.now() + PATIENCE;
        let _working = self.work.begin();
        // A file answers or fails at once; a host that is gone says nothing at all.
        let given_up = if self.is_alone() { until } else { until.min(patience) };
        let done = async {
            let open = self.open().await?;
            let kind = open.place.kind();
            match work(open).await {
                Ok(done) => Ok(done),
                Err(error) => {
                    if tables_are_gone(kind, &error) {
                        self.close().await;
                    }
                    Err(describe(kind, &error))
                }
            }
        };
        tokio::select! {
            biased;
            done = done => done.map_err(|what| self.failed(&what)),
            // Who had no time to wait says nothing about the database.
            () = self.clock.sleep_until(given_up) => {
                Err(if until < patience { LedgerError::new(NO_ANSWER) } else { self.failed(NO_ANSWER) })
            }
        }
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
                old.close().await;
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
    let open = Open { file: None, idle: Mutex::default(), place, _lock: lock };
    let mut connection = open.connection().await.map_err(|error| describe(kind, &error))?;
    schema::prepare(&mut connection, kind, schema::STEPS).await.map_err(|problem| describe_problem(kind, &problem))?;
    open.idle().push(connection);
    Ok(Open { file: open.place.file(), ..open })
}

impl Open {
    /// A connection that works. Where none is left one is made: whoever waits in a pool is not told what is wrong.
    async fn connection(&self) -> Result<AnyConnection, sqlx::Error> {
        loop {
            let Some(mut idle) = self.idle().pop() else { break };
            if idle.ping().await.is_ok() {
                return Ok(idle);
            }
        }
        let mut connection = AnyConnection::connect_with(&self.place.options()?).await?;
        set_up(&mut connection, self.place.kind()).await?;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<AnyConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connections that nobody uses; the others end when they are done.
    async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for mut connection in idle {
            // It is gone in any case.
            if self.place.kind() == Kind::Sqlite {
                // What is left of a file that was taken away must not be read into the next one.
                let _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            }
            let _ = connection.close().await;
        }
    }
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
        Kind::Postgres => &[
            "SET statement_timeout = '2s'",
            "SET idle_in_transaction_session_timeout = '10s'",
            // What was committed must outlive a crash, whatever the server's default is.
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        ],
    };
    for setting in settings {
        connection.execute(*setting).await?;
    }
    Ok(())
}

impl PgListening {
    /// Whether it is connected to the database that is used now.
    pub(in crate::ledger) fn is_current(&self) -> bool {
        self.open.strong_count() > 0
    }

    /// Waits until somebody has told of a change; an error where the connection is gone.
    pub(in crate::ledger) async fn told(&mut self) -> Result<(), sqlx::Error> {
        match self.listener.try_recv().await? {
            Some(_) => Ok(()),
            // What was told while the connection was gone is lost.
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Whether this replica is the one that does the background work, for as long as this connection lives.
    pub(in crate::ledger) async fn leads(&mut self) -> Result<bool, sqlx::Error> {
        use sqlx::Row as _;
        sqlx::query(BACKGROUND).fetch_one(&mut self.listener).await?.try_get(0)
    }
}

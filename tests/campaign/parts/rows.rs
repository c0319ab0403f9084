//! A SQLite file with tenants, which the story changes, and takes away in one way or another.
//!
//! Each change is made while the story's thread waits: nobody else gets a turn meanwhile, however long the disk takes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

/// How long is waited for whoever reads: a query that nobody waits for any more ends soon.
const BUSY: Duration = Duration::from_secs(30);

/// A query of this never ends, whatever it selects by.
const ENDLESS: &str = "ALTER TABLE organization RENAME TO gone;
    CREATE VIEW organization AS
    WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more)
    SELECT 't' || n AS tenant, 's' || n AS status, 'r' || n AS region FROM more WHERE n < 0";

/// Why the database says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    TableGone,
    ColumnGone,
    FileGone,
    Garbage,
    Locked,
    Endless,
}

/// The file.
#[derive(Debug)]
pub(crate) struct RowsFile {
    path: PathBuf,
    away: Option<Away>,
    /// Holds the lock.
    locking: Option<SqliteConnection>,
}

/// Runs to its end in another thread, for which this one waits.
fn at_once<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work)
        });
        thread.join().unwrap()
    })
}

impl RowsFile {
    /// A file with no rows.
    pub(crate) fn new(folder: &Path) -> Self {
        let file = Self { path: folder.join("tenants.db"), away: None, locking: None };
        file.execute(
            "CREATE TABLE organization (tenant TEXT PRIMARY KEY, status TEXT NOT NULL, region TEXT NOT NULL)"
                .to_owned(),
        );
        file
    }

    pub(crate) fn url(folder: &Path) -> String {
        format!("sqlite://{}", folder.join("tenants.db").display())
    }

    async fn connect(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(BUSY);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    fn execute(&self, statements: String) {
        at_once(async {
            let mut connection = Self::connect(&self.path).await;
            connection.execute(AssertSqlSafe(statements)).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("away")
    }

    /// From now on it has these rows; it must be there.
    pub(crate) fn set<'a>(&self, rows: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let values: Vec<_> =
            rows.map(|(tenant, status, region)| format!("('{tenant}', '{status}', '{region}')")).collect();
        let insert = if values.is_empty() {
            String::new()
        } else {
            format!("INSERT INTO organization VALUES {};", values.join(", "))
        };
        self.execute(format!("BEGIN IMMEDIATE; DELETE FROM organization; {insert} COMMIT"));
    }

    /// It says nothing from now on.
    pub(crate) fn goes(&mut self, away: Away) {
        match away {
            Away::TableGone => self.execute("ALTER TABLE organization RENAME TO gone".to_owned()),
            Away::ColumnGone => self.execute("ALTER TABLE organization RENAME COLUMN tenant TO name".to_owned()),
            Away::Endless => self.execute(ENDLESS.to_owned()),
            Away::FileGone => std::fs::rename(&self.path, self.beside()).unwrap(),
            Away::Garbage => {
                std::fs::rename(&self.path, self.beside()).unwrap();
                std::fs::write(&self.path, b"this is no database\n".repeat(500)).unwrap();
            }
            Away::Locked => {
                let path = self.path.clone();
                self.locking = Some(at_once(async move {
                    let mut connection = Self::connect(&path).await;
                    connection.execute("BEGIN EXCLUSIVE").await.unwrap();
                    connection
                }));
            }
        }
        self.away = Some(away);
    }

    /// It is there again.
    pub(crate) fn returns(&mut self) {
        match self.away.take() {
            None => {}
            Some(Away::TableGone) => self.execute("ALTER TABLE gone RENAME TO organization".to_owned()),
            Some(Away::ColumnGone) => self.execute("ALTER TABLE organization RENAME COLUMN name TO tenant".to_owned()),
            Some(Away::Endless) => {
                self.execute("DROP VIEW organization; ALTER TABLE gone RENAME TO organization".to_owned());
            }
            Some(Away::FileGone | Away::Garbage) => std::fs::rename(self.beside(), &self.path).unwrap(),
            Some(Away::Locked) => {
                if let Some(mut connection) = self.locking.take() {
                    at_once(async move {
                        connection.execute("ROLLBACK").await.unwrap();
                        connection.close().await.unwrap();
                    });
                }
            }
        }
    }
}

//! The ledger's tables, and how older ones become today's.
//!
//! A ledger tells its schema's number and the lowest one whose program can still use it, so that replicas of two
//! versions can share one while they are rolled out.

use sqlx::{Any, AnyConnection, Executor as _, Row as _, Transaction};

use super::connection::Kind;

/// The lowest schema whose program can use today's tables.
const READABLE_FROM: i64 = 1;

/// What leads from each schema to the next one.
pub(super) const STEPS: &[&[&str]] = &[FIRST, LISTS];

const FIRST: &[&str] = &[
    "CREATE TABLE lastgreen_ledger (
        one BIGINT PRIMARY KEY CHECK (one = 1),
        schema_version BIGINT NOT NULL,
        readable_from BIGINT NOT NULL,
        id TEXT NOT NULL,
        change BIGINT NOT NULL)",
    "CREATE TABLE lastgreen_lines (
        generator TEXT NOT NULL,
        repository BIGINT NOT NULL,
        line TEXT NOT NULL,
        branch TEXT NOT NULL,
        record TEXT NOT NULL,
        seal TEXT NOT NULL,
        asked_at BIGINT NOT NULL,
        not_yet_seconds BIGINT NOT NULL,
        change BIGINT NOT NULL,
        PRIMARY KEY (generator, repository, line))",
    "CREATE INDEX lastgreen_lines_change ON lastgreen_lines (change)",
    "CREATE TABLE lastgreen_merges (
        repository BIGINT NOT NULL,
        number BIGINT NOT NULL,
        head_sha TEXT NOT NULL,
        merge_sha TEXT NOT NULL,
        change BIGINT NOT NULL,
        PRIMARY KEY (repository, number, head_sha, merge_sha))",
    "CREATE INDEX lastgreen_merges_change ON lastgreen_merges (change)",
    "CREATE TABLE lastgreen_repositories (
        name TEXT PRIMARY KEY,
        id BIGINT NOT NULL,
        change BIGINT NOT NULL)",
    "CREATE TABLE lastgreen_watches (
        generator TEXT NOT NULL,
        repository BIGINT NOT NULL,
        application_set TEXT NOT NULL,
        seen_seconds BIGINT NOT NULL,
        change BIGINT NOT NULL,
        PRIMARY KEY (generator, repository, application_set))",
];

/// What the parts beside `build` answered last. Programs that do not know it have no such parts.
const LISTS: &[&str] = &[
    "CREATE TABLE lastgreen_lists (
        generator TEXT NOT NULL,
        about TEXT NOT NULL,
        record TEXT NOT NULL,
        seal TEXT NOT NULL,
        asked_at BIGINT NOT NULL,
        change BIGINT NOT NULL,
        PRIMARY KEY (generator, about))",
    "CREATE INDEX lastgreen_lists_change ON lastgreen_lists (change)",
];

/// Why a ledger's tables cannot be used.
#[derive(Debug)]
pub(super) enum Problem {
    Sql(sqlx::Error),
    Newer {
        schema: i64,
        readable_from: i64,
    },
    /// The database cannot hold every text.
    Encoding(String),
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// Makes the tables today's. A ledger that newer programs have moved on is left as it is, if it can be used.
pub(super) async fn prepare(
    connection: &mut AnyConnection,
    kind: Kind,
    steps: &[&[&'static str]],
) -> Result<(), Problem> {
    let today = steps.len();
    if kind == Kind::Postgres {
        let encoding = sqlx::query("SELECT current_setting('server_encoding')").fetch_one(&mut *connection).await?;
        let encoding: String = encoding.try_get(0)?;
        if !["UTF8", "SQL_ASCII"].contains(&encoding.as_str()) {
            return Err(Problem::Encoding(encoding));
        }
    }
    if usable(version(connection, kind).await?, today)? >= today {
        return Ok(());
    }
    let mut work = sqlx::Connection::begin(connection).await?;
    if kind == Kind::Postgres {
        // Two replicas that start at once must not both change the tables; the number is only this lock's name.
        work.execute("SELECT pg_advisory_xact_lock(7813242011)").await?;
    }
    let found = usable(version(&mut work, kind).await?, today)?;
    if found < today {
        climb(&mut work, &steps[found..], found == 0, i64::try_from(today).unwrap_or(i64::MAX)).await?;
    }
    work.commit().await?;
    Ok(())
}

async fn climb(
    work: &mut Transaction<'_, Any>,
    steps: &[&[&'static str]],
    new: bool,
    schema: i64,
) -> Result<(), sqlx::Error> {
    for statement in steps.iter().flat_map(|step| step.iter()) {
        work.execute(*statement).await?;
    }
    if new {
        let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
        sqlx::query(
            "INSERT INTO lastgreen_ledger (one, schema_version, readable_from, id, change) VALUES (1, 0, 0, $1, 0)",
        )
        .bind(id)
        .execute(&mut **work)
        .await?;
    }
    sqlx::query("UPDATE lastgreen_ledger SET schema_version = $1, readable_from = $2 WHERE one = 1")
        .bind(schema)
        .bind(READABLE_FROM)
        .execute(&mut **work)
        .await?;
    Ok(())
}

/// A ledger's schema, and the lowest that can use it.
async fn version(connection: &mut AnyConnection, kind: Kind) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let tables = match kind {
        Kind::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'lastgreen_ledger'",
        Kind::Postgres => {
            "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE relname = 'lastgreen_ledger' AND relkind = 'r' \
             AND pg_catalog.pg_table_is_visible(oid)"
        }
    };
    let count: i64 = sqlx::query(tables).fetch_one(&mut *connection).await?.try_get(0)?;
    if count == 0 {
        return Ok(None);
    }
    let row = sqlx::query("SELECT schema_version, readable_from FROM lastgreen_ledger WHERE one = 1")
        .fetch_one(connection)
        .await?;
    Ok(Some((row.try_get(0)?, row.try_get(1)?)))
}

/// The schema that was found, 0 for none, if a program that knows `today` can use it.
fn usable(found: Option<(i64, i64)>, today: usize) -> Result<usize, Problem> {
    let Some((schema, readable_from)) = found else { return Ok(0) };
    if usize::try_from(readable_from).map_or(true, |needed| needed > today) {
        return Err(Problem::Newer { schema, readable_from });
    }
    Ok(usize::try_from(schema).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that today's schema may be followed by.
    const NEXT: &[&str] = &[
        "ALTER TABLE lastgreen_lines ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",
        "CREATE INDEX lastgreen_lines_note ON lastgreen_lines (note)",
    ];

    async fn connection(folder: &tempfile::TempDir) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}/ledger.db?mode=rwc", folder.path().display());
        <AnyConnection as sqlx::Connection>::connect(&url).await.unwrap()
    }

    async fn schema(connection: &mut AnyConnection) -> (i64, String) {
        let row = sqlx::query("SELECT schema_version, id FROM lastgreen_ledger").fetch_one(connection).await.unwrap();
        (row.get(0), row.get(1))
    }

    #[tokio::test]
    async fn an_older_ledger_is_moved_on_and_keeps_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = connection(&folder).await;
        prepare(&mut connection, Kind::Sqlite, STEPS).await.unwrap();
        let (version, id) = schema(&mut connection).await;
        assert_eq!(version, i64::try_from(STEPS.len()).unwrap());
        connection
            .execute("INSERT INTO lastgreen_lines VALUES ('preview', 1, '#1', 'feature', '{}', 'seal', 2, 3, 4)")
            .await
            .unwrap();
        let steps: Vec<_> = STEPS.iter().copied().chain([NEXT]).collect();
        for _ in 0..2 {
            prepare(&mut connection, Kind::Sqlite, &steps).await.unwrap();
            assert_eq!(schema(&mut connection).await, (version + 1, id.clone()));
            let row = sqlx::query("SELECT line, note FROM lastgreen_lines").fetch_one(&mut connection).await.unwrap();
            assert_eq!((row.get::<String, _>(0), row.get::<String, _>(1)), ("#1".to_owned(), "none".to_owned()));
        }
        // The program from before can still use it, and leaves it as it is.
        prepare(&mut connection, Kind::Sqlite, STEPS).await.unwrap();
        assert_eq!(schema(&mut connection).await, (version + 1, id));
    }

    #[tokio::test]
    async fn a_ledger_from_before_there_were_lists_is_used_by_both() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = connection(&folder).await;
        prepare(&mut connection, Kind::Sqlite, &STEPS[..1]).await.unwrap();
        assert!(connection.execute("SELECT * FROM lastgreen_lists").await.is_err());
        for steps in [STEPS, &STEPS[..1], STEPS] {
            prepare(&mut connection, Kind::Sqlite, steps).await.unwrap();
            assert_eq!(schema(&mut connection).await.0, 2);
            connection.execute("SELECT * FROM lastgreen_lists").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_step_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = connection(&folder).await;
        prepare(&mut connection, Kind::Sqlite, STEPS).await.unwrap();
        let before = schema(&mut connection).await;
        let broken: &[&str] = &["CREATE TABLE lastgreen_more (one BIGINT)", "CREATE TABLE lastgreen_more (one BIGINT)"];
        let steps: Vec<_> = STEPS.iter().copied().chain([broken]).collect();
        assert!(matches!(prepare(&mut connection, Kind::Sqlite, &steps).await, Err(Problem::Sql(_))));
        assert_eq!(schema(&mut connection).await, before);
        let more = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'lastgreen_more'";
        let count: i64 = sqlx::query(more).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(count, 0);
    }
}

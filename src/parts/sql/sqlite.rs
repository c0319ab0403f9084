//! SQLite: a file that is only read.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions as _, Decode, Executor as _, Row as _, SqlSafeStr as _, SqliteConnection,
    Statement as _, Type, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{Failure, Limits, check_names, no_text_form};
use crate::{domain::Statement, parts::part::Values};

/// How long is waited for a program that writes.
const BUSY: Duration = Duration::from_millis(500);

/// After how many of SQLite's own instructions is looked whether anybody still waits.
const STEPS: i32 = 10_000;

/// An open file.
pub(super) struct Sqlite {
    connection: SqliteConnection,
    /// Ends what runs when nobody waits for it any more.
    given_up: Arc<AtomicBool>,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(BUSY)
            .pragma("query_only", "ON")
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let given_up = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&given_up);
        connection.lock_handle().await?.set_progress_handler(STEPS, move || !told.load(Ordering::Relaxed));
        Ok(Self { connection, given_up })
    }

    /// The names of the query's columns.
    pub(super) async fn check(&mut self, statement: &Statement) -> Result<Vec<String>, Failure> {
        let sql = numbered(statement);
        // Nothing but a query can stand there.
        let inside = AssertSqlSafe(format!("SELECT * FROM ({sql}\n)"));
        self.connection.prepare(inside.into_sql_str()).await?;
        let prepared = self.connection.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
        let names = || prepared.columns().iter().map(Column::name);
        check_names(names())?;
        Ok(names().map(str::to_owned).collect())
    }

    pub(super) async fn ask(
        &mut self,
        statement: &Statement,
        bound: &[Option<String>],
        mut limits: Limits,
    ) -> Result<Vec<Values>, Failure> {
        let all = limits.rows;
        let mut query = sqlx::query(AssertSqlSafe(numbered(statement)));
        for value in bound {
            query = query.bind(value.clone());
        }
        let mut rows = query.fetch(&mut self.connection);
        let mut items = Vec::new();
        while let Some(row) = rows.try_next().await? {
            if items.is_empty() {
                check_names(row.columns().iter().map(Column::name))?;
            }
            let item = item(&row)?;
            limits.take(&item, all)?;
            items.push(item);
        }
        Ok(items)
    }
}

fn numbered(statement: &Statement) -> String {
    statement.render(|place| format!("?{}", place + 1))
}

fn item(row: &SqliteRow) -> Result<Values, Failure> {
    let columns = row.columns().iter().enumerate();
    columns.map(|(index, column)| Ok((column.name().to_owned(), text(row, index)?))).collect()
}

/// A value as a text, by the type that it has itself: a column's own says little in SQLite.
fn text(row: &SqliteRow, index: usize) -> Result<String, Failure> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(String::new());
    }
    let column = &row.columns()[index];
    let kind = value.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "TEXT" => get::<String>(row, index)?,
        "REAL" => format!("{:?}", get::<f64>(row, index)?),
        "INTEGER" => {
            let number = get::<i64>(row, index)?;
            match (column.type_info().name(), number) {
                ("BOOLEAN", 0) => "false".to_owned(),
                ("BOOLEAN", 1) => "true".to_owned(),
                _ => number.to_string(),
            }
        }
        _ => return Err(no_text_form(column.name(), &kind)),
    })
}

fn get<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, Failure>
where
    T: Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
{
    Ok(row.try_get_unchecked(index)?)
}

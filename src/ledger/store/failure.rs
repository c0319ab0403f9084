//! What goes wrong with a database, as a sentence that says what to do. Nothing secret is in it: no URL, no password.

use std::io;

use super::{connection::Kind, schema::Problem};

/// What happened to a ledger of this kind.
pub(super) fn describe(kind: Kind, error: &sqlx::Error) -> String {
    match (kind, error) {
        (Kind::Sqlite, sqlx::Error::Database(error)) => sqlite(error.code().as_deref(), error.message()),
        (Kind::Postgres, sqlx::Error::Database(error)) => postgres(error.code().as_deref(), error.message()),
        (_, sqlx::Error::Configuration(_)) => "its URL cannot be understood".to_owned(),
        (_, sqlx::Error::Io(error)) => format!("the database cannot be reached: {}", reach(error)),
        (_, sqlx::Error::Tls(error)) => format!("TLS to the database failed: {error}"),
        (_, sqlx::Error::PoolTimedOut) => NO_ANSWER.to_owned(),
        (_, sqlx::Error::RowNotFound) => {
            "its table `lastgreen_ledger` is empty: it is not whole; restore a backup".to_owned()
        }
        (_, error) => error.to_string(),
    }
}

/// What is said where time is up.
pub(super) const NO_ANSWER: &str = "the database gave no answer in time";

/// What is wrong with a ledger's tables.
pub(super) fn describe_problem(kind: Kind, problem: &Problem) -> String {
    match problem {
        Problem::Sql(error) => describe(kind, error),
        Problem::Newer { schema, readable_from } => format!(
            "a newer lastgreen has changed it (its schema is {schema} and needs a program that knows {readable_from}); \
             run that version, or a backup from before with this one"
        ),
        Problem::Encoding(encoding) => format!(
            "the database's encoding is {encoding}, which has no place for every branch name; make one with UTF8"
        ),
    }
}

/// Whether a ledger that was opened has lost its tables, so that it is to be opened anew.
pub(super) fn tables_are_gone(kind: Kind, error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    match kind {
        Kind::Sqlite => error.message().starts_with("no such table"),
        Kind::Postgres => error.code().as_deref() == Some("42P01"),
    }
}

/// SQLite's result codes (sqlite.org/rescode.html); the low byte is the primary one.
fn sqlite(code: Option<&str>, message: &str) -> String {
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xff);
    match primary {
        5 | 6 => "the file is locked by another program".to_owned(),
        8 => "the file cannot be written: it, or its directory, is read-only".to_owned(),
        10 => format!("the disk fails or is full ({message})"),
        11 | 26 => format!(
            "the file is damaged or no ledger ({message}); restore a backup, or move it away: then the ledger is new"
        ),
        13 => "the disk is full".to_owned(),
        14 => "the file cannot be opened; does its directory exist, and may this user write there?".to_owned(),
        _ => message.to_owned(),
    }
}

/// PostgreSQL's SQLSTATE codes (its manual, appendix A).
fn postgres(code: Option<&str>, message: &str) -> String {
    let code = code.unwrap_or_default();
    match code {
        "28P01" | "28000" => "PostgreSQL refuses the user or the password".to_owned(),
        "3D000" => "the database does not exist".to_owned(),
        "42501" => format!("the user lacks a privilege ({message}); it must own the tables, or may create them"),
        "53100" => "the disk of PostgreSQL is full".to_owned(),
        "53300" => "PostgreSQL has no connection left".to_owned(),
        "25006" => "PostgreSQL is read-only here: is this a standby?".to_owned(),
        "57P01" | "57P02" | "57P03" => "PostgreSQL is shutting down or starting".to_owned(),
        "57014" => NO_ANSWER.to_owned(),
        _ => format!("PostgreSQL: {message} ({code})"),
    }
}

fn reach(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was cut".to_owned()
        }
        _ => error.to_string(),
    }
}

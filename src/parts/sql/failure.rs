//! What goes wrong with a query, as a sentence. Nothing secret is in it: no URL, no password.

use std::io;

use thiserror::Error;

/// Why there are no rows. The text is the same for the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// The database does not take the query, or what it gives cannot be used.
    #[error("the query fails: {0}")]
    Refused(String),
    /// There is no way to the database.
    #[error("the database cannot be used: {0}")]
    Unreachable(String),
    /// The connection broke down.
    #[error("the database cannot be used: {0}")]
    Cut(String),
    /// It took too long.
    #[error("the database gave no answer in time")]
    NoAnswer,
    /// More rows than are allowed.
    #[error("the query has more than {0} rows (`maxRows`)")]
    TooManyRows(usize),
    /// More than may be held.
    #[error("the rows of the query have more than {0} bytes")]
    TooManyBytes(usize),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast::<sqlx::postgres::PgDatabaseError>() {
                Ok(error) => postgres(error.code(), error.message()),
                Err(error) => sqlite(error.code().as_deref(), error.message()),
            },
            sqlx::Error::Configuration(_) => Self::Unreachable("its URL cannot be understood".to_owned()),
            sqlx::Error::Io(error) => Self::Cut(reach(&error)),
            sqlx::Error::Tls(error) => Self::Unreachable(format!("TLS failed: {error}")),
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => {
                Self::Cut("the connection was cut".to_owned())
            }
            error => Self::Refused(error.to_string()),
        }
    }
}

/// SQLSTATE codes (PostgreSQL's manual, appendix A).
fn postgres(code: &str, message: &str) -> Failure {
    match code {
        "28P01" | "28000" => Failure::Unreachable("PostgreSQL refuses the user or the password".to_owned()),
        "3D000" => Failure::Unreachable("the database does not exist".to_owned()),
        "53300" => Failure::Unreachable("PostgreSQL has no connection left".to_owned()),
        "57P01" | "57P02" | "57P03" | "57P05" => Failure::Cut("PostgreSQL is shutting down or starting".to_owned()),
        "57014" => Failure::NoAnswer,
        _ => Failure::Refused(format!("{message} ({code})")),
    }
}

/// Result codes of SQLite (sqlite.org/rescode.html); the low byte is the primary one.
fn sqlite(code: Option<&str>, message: &str) -> Failure {
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xff);
    match primary {
        5 | 6 => Failure::Unreachable("the file is locked by another program".to_owned()),
        9 => Failure::NoAnswer,
        10 => Failure::Unreachable(format!("the disk fails ({message})")),
        11 | 26 => Failure::Unreachable(format!("the file is damaged or no database ({message})")),
        14 => Failure::Unreachable("the file cannot be opened; does it exist, and may this user read it?".to_owned()),
        _ => Failure::Refused(message.to_owned()),
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

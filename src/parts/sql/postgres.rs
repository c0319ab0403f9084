//! PostgreSQL: asked in read-only transactions, with everything going in and coming out as text.
//!
//! The server is asked once what types the parameters and the columns have. A parameter is a text that is cast to the
//! type that its place wants; a column is cast to text by the server, which knows best how.

use std::{fmt::Write as _, path::Path, str::FromStr as _, time::Duration};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    SqlSafeStr as _, Statement as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{Failure, Limits, check_names, no_text_form};
use crate::{domain::Statement, parts::part::Values, upstream::Secret};

/// Types whose cast to text says what is meant.
const PLAIN: &[&str] = &[
    "bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "text", "varchar", "bpchar", "name", "char",
    "uuid", "date", "time", "timetz", "interval", "macaddr", "macaddr8", "xml", "bit", "varbit",
];

/// Types that JSON writes better: times as in RFC 3339, addresses without a mask that says nothing.
const AS_JSON: &[&str] = &["timestamp", "timestamptz", "inet", "cidr"];

/// The types of some columns and their names; what is said to be a column's type is never a domain.
const TYPES: &str = "SELECT pg_catalog.format_type(t.oid, NULL), t.typname::text, t.typtype::text, t.typcategory::text,
         t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
     FROM unnest($1::int8[]) WITH ORDINALITY AS given (oid, n) JOIN pg_catalog.pg_type t ON t.oid = given.oid::oid
     ORDER BY n";

/// The name of the statement that is only looked at.
const PROBE: &str = "lastgreen_probe";

/// A connection.
pub(super) struct Postgres(PgConnection);

/// A query as it is asked.
#[derive(Debug)]
pub(super) struct Plan {
    sql: String,
    /// The columns by name, and whether they are JSON.
    columns: Vec<(String, bool)>,
}

impl Plan {
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }
}

impl Postgres {
    pub(super) async fn connect(url: &Secret, ca_file: Option<&Path>, timeout: Duration) -> Result<Self, Failure> {
        let mut options = PgConnectOptions::from_str(url.expose())?.disable_statement_logging();
        if let Some(file) = ca_file {
            options = options.ssl_root_cert(file).ssl_mode(PgSslMode::VerifyFull);
        }
        let mut connection = options.application_name("lastgreen").connect().await?;
        let settings = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}; SET standard_conforming_strings = on;
             SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'",
            timeout.as_millis()
        );
        connection.execute(AssertSqlSafe(settings)).await?;
        Ok(Self(connection))
    }

    /// What the server says of a query: the types of its parameters and columns.
    pub(super) async fn plan(&mut self, statement: &Statement, max_rows: usize) -> Result<Plan, Failure> {
        // What was said of the same text before may not be so any more.
        self.0.clear_cached_statements().await?;
        let types = self.parameter_types(statement).await?;
        let query = statement.render(|place| match types[place].as_str() {
            "text" => format!("${}", place + 1),
            kind => format!("((${}::text)::{kind})", place + 1),
        });
        let all = format!("SELECT * FROM ({query}\n) AS lastgreen");
        let text = sqlx::postgres::PgTypeInfo::with_name("text");
        let prepared = self.0.prepare_with(AssertSqlSafe(all).into_sql_str(), &vec![text; types.len()]).await?;
        let names: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        check_names(names.iter().map(String::as_str))?;
        let oids: Option<Vec<i64>> =
            prepared.columns().iter().map(|column| Some(i64::from(column.type_info().oid()?.0))).collect();
        let oids = oids.ok_or_else(|| Failure::Refused("a column has no type".to_owned()))?;
        let kinds = sqlx::query(TYPES).bind(oids).fetch_all(&mut self.0).await?;
        let mut sql = "SELECT ".to_owned();
        let mut columns = Vec::with_capacity(names.len());
        for (index, (name, kind)) in names.iter().zip(&kinds).enumerate() {
            let (declared, base): (String, String) = (kind.try_get(0)?, kind.try_get(1)?);
            let (class, category, built_in): (String, String, bool) =
                (kind.try_get(2)?, kind.try_get(3)?, kind.try_get(4)?);
            let is = |names: &[&str]| built_in && names.contains(&base.as_str());
            let (quoted, json) = (format!("\"{}\"", name.replace('"', "\"\"")), is(&["json", "jsonb"]));
            let text = if json || is(PLAIN) || class == "e" || category == "S" {
                format!("{quoted}::text")
            } else if is(AS_JSON) {
                format!("to_json({quoted}) #>> '{{}}'")
            } else {
                return Err(no_text_form(name, &declared));
            };
            let comma = if index == 0 { "" } else { ", " };
            write!(sql, "{comma}{text}").expect("writing to a string cannot fail");
            columns.push((name.clone(), json));
        }
        write!(sql, " FROM ({query}\n) AS lastgreen LIMIT {}", max_rows.saturating_add(1))
            .expect("writing to a string cannot fail");
        Ok(Plan { sql, columns })
    }

    /// The type that each parameter's place wants.
    async fn parameter_types(&mut self, statement: &Statement) -> Result<Vec<String>, Failure> {
        let count = statement.parameters().count();
        if count == 0 {
            return Ok(Vec::new());
        }
        let sql = statement.render(|place| format!("${}", place + 1));
        let mut wanted = vec!["unknown"; count];
        loop {
            let probe = format!("PREPARE {PROBE} ({}) AS {sql}", wanted.join(", "));
            match sqlx::query(AssertSqlSafe(probe)).persistent(false).execute(&mut self.0).await {
                Ok(_) => break,
                // Where nothing tells the type, as with `:status IS NULL`, a text will do.
                Err(error) => match undetermined(&error).and_then(|place| wanted.get_mut(place)) {
                    Some(kind) if *kind == "unknown" => *kind = "text",
                    _ => return Err(error.into()),
                },
            }
        }
        let types = "SELECT parameter_types::text[] FROM pg_catalog.pg_prepared_statements WHERE name = $1";
        let types: Vec<String> = sqlx::query(types).bind(PROBE).fetch_one(&mut self.0).await?.try_get(0)?;
        let done = format!("DEALLOCATE {PROBE}");
        sqlx::query(AssertSqlSafe(done)).persistent(false).execute(&mut self.0).await?;
        if types.len() == count { Ok(types) } else { Err(Failure::Refused("its parameters are unclear".to_owned())) }
    }

    /// Whether the query may be executed, without that it is.
    pub(super) async fn check(&mut self, plan: &Plan, parameters: usize) -> Result<(), Failure> {
        let mut query = sqlx::query(AssertSqlSafe(format!("EXPLAIN {}", plan.sql))).persistent(false);
        for _ in 0..parameters {
            query = query.bind(None::<String>);
        }
        query.execute(&mut self.0).await?;
        Ok(())
    }

    pub(super) async fn ask(
        &mut self,
        plan: &Plan,
        bound: &[Option<String>],
        mut limits: Limits,
    ) -> Result<Vec<Values>, Failure> {
        let all = limits.rows;
        let mut query = sqlx::query(AssertSqlSafe(plan.sql.as_str()));
        for value in bound {
            query = query.bind(value.as_deref());
        }
        let mut rows = query.fetch(&mut self.0);
        let mut items = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let mut item = Values::new();
            for (index, (name, is_json)) in plan.columns.iter().enumerate() {
                let text: &str = row.try_get::<Option<&str>, _>(index)?.unwrap_or_default();
                item.insert(name.clone(), if *is_json { compact(text) } else { text.to_owned() });
            }
            limits.take(&item, all)?;
            items.push(item);
        }
        Ok(items)
    }
}

/// The parameter whose type the server could not tell, counted from 0.
fn undetermined(error: &sqlx::Error) -> Option<usize> {
    let sqlx::Error::Database(error) = error else { return None };
    // Said in the server's own language, but with `$1` in it.
    if !["42P18", "42P08"].contains(&error.code()?.as_ref()) {
        return None;
    }
    let digits = error.message().split_once('$')?.1;
    let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// JSON without the white space between its words.
fn compact(json: &str) -> String {
    let (mut text, mut in_string, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if in_string {
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn numbers_stay_as_they_are() {
        assert_eq!(
            compact("{ \"a\" : 1.10, \"b\\\" :\" : [ 1e400, \"x y\" ] }"),
            r#"{"a":1.10,"b\" :":[1e400,"x y"]}"#
        );
    }

    proptest! {
        #[test]
        fn compact_json_is_the_same(key in ".{0,6}", text in ".{0,8}", number in any::<i64>()) {
            let value = json!({ key: [text, number, null], "o": {} });
            let compacted = compact(&format!("{value:#}"));
            prop_assert_eq!(&compacted, &value.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&compacted).unwrap(), value);
        }
    }
}

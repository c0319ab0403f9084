//! Where parameters are found, and where nothing is one.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn translated(text: &str, dialect: Dialect) -> Result<(String, Vec<String>), StatementError> {
    let statement = Statement::parse(text, dialect)?;
    let sql = statement.render(|number| format!("${}", number + 1));
    Ok((sql, statement.parameters().map(str::to_owned).collect()))
}

#[test]
fn parameters_are_found_and_nothing_else_is_one() {
    use Dialect::{Postgres, Sqlite};
    for (dialect, text, sql, names) in [
        (Postgres, "SELECT a FROM t WHERE s = :status", "SELECT a FROM t WHERE s =  $1 ", "status"),
        (Postgres, "select :a::int, :b, :a", "select  $1 ::int,  $2 ,  $3 ", "a b a"),
        (Postgres, "SELECT 'x :no '':no', \":no\", a::text", "SELECT 'x :no '':no', \":no\", a::text", ""),
        (Postgres, r"SELECT E'\':no', e'\\', :a", r"SELECT E'\':no', e'\\',  $1 ", "a"),
        (Postgres, "SELECT E'a'\n  '\\':no', :a", "SELECT E'a'\n  '\\':no',  $1 ", "a"),
        (Postgres, r"SELECT '\', :a, name'\', :b", r"SELECT '\',  $1 , name'\',  $2 ", "a b"),
        (Postgres, "SELECT 1 -- :no\n+ :a", "SELECT 1 -- :no\n+  $1 ", "a"),
        (Postgres, "SELECT /* :no /* :no */ :no */ :a", "SELECT /* :no /* :no */ :no */  $1 ", "a"),
        (Sqlite, "SELECT /* :no /* :no */ :a", "SELECT /* :no /* :no */  $1 ", "a"),
        (Postgres, "SELECT $$:no$$, $q$ :no $$ $q$, :a", "SELECT $$:no$$, $q$ :no $$ $q$,  $1 ", "a"),
        (Postgres, "SELECT a$b$, :a", "SELECT a$b$,  $1 ", "a"),
        (
            Postgres,
            "SELECT j ? 'k', j @> '{}', f(n := :a), x[1:2]",
            "SELECT j ? 'k', j @> '{}', f(n :=  $1 ), x[1:2]",
            "a",
        ),
        (Sqlite, "SELECT [:no], `:no`, :a", "SELECT [:no], `:no`,  $1 ", "a"),
        (Postgres, "SELECT x[:a]", "SELECT x[ $1 ]", "a"),
        (Sqlite, " -- first\n(SELECT :a) ; -- last\n", " -- first\n(SELECT  $1 ) ", "a"),
        (Postgres, "WITH x AS (SELECT 1) TABLE x;", "WITH x AS (SELECT 1) TABLE x", ""),
        (Postgres, "SELECT 'é', ü:a", "SELECT 'é', ü $1 ", "a"),
        (Postgres, "values (1)", "values (1)", ""),
    ] {
        let (got, parameters) = translated(text, dialect).unwrap();
        assert_eq!((got.as_str(), parameters.join(" ").as_str()), (sql, names), "{text}");
    }
}

#[test]
fn what_is_no_single_query_is_refused() {
    use Dialect::{Postgres, Sqlite};
    for (dialect, text, error) in [
        (
            Postgres,
            "DELETE FROM t",
            "expected one query that reads, which begins with `SELECT`, `WITH`, `VALUES` or `TABLE`, got `DELETE`",
        ),
        (Sqlite, "  /* SELECT */ pragma x", "got `pragma`"),
        (Postgres, "", "got ``"),
        (Postgres, "'SELECT'", "got `'SELECT'`"),
        (Postgres, ":a", "got `:a`"),
        (Postgres, "SELECT 1; SELECT 2", "expected one query, got more behind its `;`"),
        (Postgres, "SELECT 1;;", "expected one query, got more behind its `;`"),
        (Postgres, "SELECT 'a", "`'` without its end"),
        (Postgres, "SELECT E'a\\'", "`'` without its end"),
        (Postgres, "SELECT \"a", "`\"` without its end"),
        (Postgres, "SELECT /* /* */", "`/*` without its end"),
        (Postgres, "SELECT $x$ a", "`$$` without its end"),
        (Sqlite, "SELECT [a", "`[` without its end"),
        (Postgres, "SELECT $1", "parameters have names, as `:status`; got `$1`"),
        (Postgres, "SELECT $x", "parameters have names, as `:status`; got `$x`"),
        (Sqlite, "SELECT ?", "got `?`"),
        (Sqlite, "SELECT ?12", "got `?12`"),
        (Sqlite, "SELECT @x", "got `@x`"),
        (Sqlite, "SELECT :1", "got `:1`"),
        (Postgres, "SELECT '\0'", "it holds a NUL character"),
    ] {
        let got = translated(text, dialect).unwrap_err().to_string();
        assert!(got.ends_with(error), "{text}: {got}");
    }
}

/// Pieces of SQL in which nothing is a parameter, each complete in itself.
fn harmless() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(" ".to_owned()),
        Just(" , ".to_owned()),
        Just("::int ".to_owned()),
        Just(" x + 1.5e3 ".to_owned()),
        "[a-z_][a-z0-9_]{0,5} ".prop_filter("a string of its own kind", |word| word != "e "),
        "[^'\0]{0,8}".prop_map(|text| format!(" '{text}''' ")),
        "[^\"\0]{0,8}".prop_map(|text| format!("\"{text}\" ")),
        "[^\n\0]{0,8}".prop_map(|text| format!(" --{text}\n")),
        "[^*/\0]{0,8}".prop_map(|text| format!("/*{text}*/")),
    ]
}

proptest! {
    #[test]
    fn between_harmless_pieces_every_parameter_is_found(
        parts in prop::collection::vec((harmless(), prop::option::of("[a-z_][a-zA-Z0-9_]{0,6}")), 0..12),
    ) {
        let mut text = "SELECT ".to_owned();
        let (mut sql, mut names) = (text.clone(), Vec::new());
        for (piece, parameter) in &parts {
            text.push_str(piece);
            sql.push_str(piece);
            if let Some(name) = parameter {
                write!(text, ":{name}").unwrap();
                names.push(name.clone());
                write!(sql, " ${} ", names.len()).unwrap();
            }
            // A name ends where something else begins.
            text.push(' ');
            sql.push(' ');
        }
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            prop_assert_eq!(translated(&text, dialect), Ok((sql.clone(), names.clone())));
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "(SELECT )?[ -~é\n]{0,40}") {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            if let Ok(statement) = Statement::parse(&text, dialect) {
                let names: Vec<_> = statement.parameters().map(str::to_owned).collect();
                // What is left of it, with its names put back, is the text up to its `;`.
                let mut pieces = String::new();
                for piece in &statement.pieces {
                    match piece {
                        Piece::Text(text) => pieces.push_str(text),
                        Piece::Parameter(name) => write!(pieces, ":{name}").unwrap(),
                    }
                }
                prop_assert!(text.starts_with(&pieces), "{} {}", text, pieces);
                let all_there = names.iter().all(|name| text.contains(&format!(":{name}")));
                prop_assert!(all_there);
            }
        }
    }
}

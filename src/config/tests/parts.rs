//! The parts beside `build`, and who may ask.

use super::super::*;
use crate::domain::{Condition, Requirement, Selector};

/// As little as is needed, and no GitHub.
const SMALL: &str = "\
tokenFile: /t
generators:
  tenants:
    sql:
      url: postgres://reader@db/organization
      query: SELECT tenant, status FROM organization
";

fn errors(text: &str) -> Vec<String> {
    Config::parse(text, "c").unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// The one error of [`SMALL`] with something replaced or, if `old` is empty, a line of the part appended.
#[track_caller]
fn error(old: &str, new: &str) -> String {
    let text = if old.is_empty() { format!("{SMALL}      {new}\n") } else { SMALL.replace(old, new) };
    let errors = errors(&text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}

#[test]
fn a_generator_needs_no_build_and_then_no_github() {
    let (config, warnings) = Config::parse(SMALL, "c").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.github, None);
    let tenants = &config.generators["tenants"];
    let sql = Sql {
        place: Database::Postgres("postgres://reader@db/organization".to_owned()),
        query: "SELECT tenant, status FROM organization".to_owned(),
        timeout: Duration::from_secs(5),
        max_rows: 10_000,
        connections: 4,
        ca_file: None,
        only_if: Selector::default(),
    };
    assert_eq!((tenants.sql.as_ref(), tenants.build.as_ref()), (Some(&sql), None));
    let guard = Guard { max_drop: 20, min_items: 5, window: Duration::from_mins(10) };
    assert_eq!(tenants.guard, Some(guard));
    let off = Config::parse(&format!("{SMALL}    guard: off\n"), "c").unwrap().0;
    assert_eq!(off.generators["tenants"].guard, None);
    let build = "    build: { repository: a/b, images: { d: \"ghcr.io/a/b:{sha}\" } }\n";
    assert_eq!(
        errors(&format!("{SMALL}{build}")),
        ["c:1:1: github: missing; expected a map with `auth` and more: a generator has a `build` part"]
    );
    assert_eq!(
        errors("tokenFile: /t\ngenerators: { a: {} }\n"),
        ["c:2:18: generators.a.build: missing; expected a map with `repository` and `images`; or `sql`, a map with \
             `url` and `query`; or `plugins`, a map with plugins"]
    );
}

#[test]
fn what_belongs_to_another_part_is_warned_of() {
    let text = format!("{SMALL}    hold: never\n    refresh: {{}}\n");
    let warnings: Vec<_> = Config::parse(&text, "c").unwrap().1.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "c:7:11: generators.tenants.hold: this means something beside `build` only",
            "c:8:14: generators.tenants.refresh: this means something beside `build` only",
        ]
    );
}

#[test]
fn databases_and_queries() {
    let url = "postgres://reader@db/organization";
    let key = "c:5:12: generators.tenants.sql.url:";
    let secret = error(url, "postgres://reader:hunter2@db/organization");
    assert_eq!(
        secret,
        format!("{key} it holds a password: write the whole URL into a file and name that by `urlFile`")
    );
    for wrong in ["sqlite://relative.db", "mysql://a/b", "\"memory:\""] {
        let wrong = error(url, wrong);
        assert!(
            wrong.starts_with(&format!("{key} expected `postgres://user@host/database` or `sqlite:///")),
            "{wrong}"
        );
    }
    assert_eq!(error("", "urlFile: /u"), format!("{key} `url` and `urlFile` exclude each other"));
    assert_eq!(
        error("      url: postgres://reader@db/organization\n", ""),
        "c:5:7: generators.tenants.sql: expected `url` with `postgres://user@host/database` or \
         `sqlite:///absolute/path/file.db`, or `urlFile` with a file that holds such a URL"
    );
    let key = "c:6:14: generators.tenants.sql.query:";
    let query = "SELECT tenant, status FROM organization";
    assert_eq!(
        error(query, "DELETE FROM organization"),
        format!(
            "{key} expected one query that reads, which begins with `SELECT`, `WITH`, `VALUES` or `TABLE`, got `DELETE`"
        )
    );
    assert_eq!(error(query, "SELECT 1; SELECT 2"), format!("{key} expected one query, got more behind its `;`"));
    assert_eq!(error(query, "SELECT $1"), format!("{key} parameters have names, as `:status`; got `$1`"));
    assert_eq!(
        error(&format!("\n      query: {query}"), ""),
        "c:5:7: generators.tenants.sql.query: missing; expected a query as `SELECT tenant, status FROM organization`"
    );
    // In whose SQL a query is written is not known where the URL is in a file.
    let in_file = SMALL.replace("url: postgres://reader@db/organization", "urlFile: /u");
    for either in ["SELECT $$a$$", "SELECT [a] FROM b"] {
        Config::parse(&in_file.replace(query, either), "c").unwrap();
    }
    assert_eq!(errors(&in_file.replace(query, "DROP TABLE a")).len(), 1);
    let number = "c:7:16: generators.tenants.sql.maxRows: expected a whole number from 1 to 100000, got the number 0";
    assert_eq!(error("", "maxRows: 0"), number);
    assert_eq!(
        error("", "timeout: 1h"),
        "c:7:16: generators.tenants.sql.timeout: expected a duration from 100ms to 25s, got `1h`"
    );
    let sqlite = SMALL.replace(url, "sqlite:///a.db");
    assert_eq!(
        errors(&format!("{sqlite}      caFile: /c\n")),
        ["c:7:15: generators.tenants.sql.caFile: a file needs no CA"]
    );
}

#[test]
fn selectors_are_those_of_kubernetes() {
    let text = format!(
        "{SMALL}      onlyIf: {{ matchLabels: {{ a: \"1\" }}, matchExpressions: [ {{ key: b, operator: NotIn, values: \
         [x, \"\"] }}, {{ key: c, operator: Exists }}, {{ key: d, operator: DoesNotExist, values: [] }} ] }}\n"
    );
    let (config, _) = Config::parse(&text, "c").unwrap();
    let is = |key: &str, is| Requirement { key: key.to_owned(), is };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let wanted = Selector::new(vec![
        is("a", Condition::In(words(&["1"]))),
        is("b", Condition::NotIn(words(&["x", ""]))),
        is("c", Condition::Exists),
        is("d", Condition::DoesNotExist),
    ]);
    assert_eq!(config.generators["tenants"].sql.as_ref().unwrap().only_if, wanted);
    let one = |text: &str| error("", &format!("onlyIf: {{ matchExpressions: [ {{ {text} }} ] }}"));
    let key = "generators.tenants.sql.onlyIf.matchExpressions[0]";
    assert_eq!(one("key: a, operator: In"), format!("c:7:37: {key}: `In` and `NotIn` need `values`"));
    assert_eq!(
        one("key: a, operator: Exists, values: [b]"),
        format!("c:7:73: {key}.values: `Exists` and `DoesNotExist` take no `values`")
    );
    assert_eq!(
        one("key: a, operator: in, values: [b]"),
        format!("c:7:57: {key}.operator: expected `In` or `NotIn` or `Exists` or `DoesNotExist`, got `in`")
    );
}

#[test]
fn guards_have_a_share() {
    let guard = |text: &str| error("    sql:", &format!("    guard: {text}\n    sql:"));
    let key = "c:4:23: generators.tenants.guard.maxDrop: expected a share from `0%` to `100%`, got";
    for (wrong, got) in [("20", "the number 20"), ("101%", "`101%`"), ("\"-1%\"", "`-1%`"), ("+1%", "`+1%`")] {
        assert_eq!(guard(&format!("{{ maxDrop: {wrong} }}")), format!("{key} {got}"));
    }
    assert_eq!(guard("on"), "c:4:12: generators.tenants.guard: expected `off`, got `on`");
    assert_eq!(
        guard("false"),
        "c:4:12: generators.tenants.guard: expected `off`, or a map with `maxDrop`, `minItems` and `window`, got `false`"
    );
    assert_eq!(
        guard("{ window: 0s }"),
        "c:4:22: generators.tenants.guard.window: expected a duration from 1s to 7d, got `0s`"
    );
}

#[test]
fn who_may_ask() {
    let text = SMALL.replace("    sql:", "    tokenFile: /own\n    allow: { applicationSets: [\"fb-*\"] }\n    sql:");
    let (config, _) = Config::parse(&text, "c").unwrap();
    let tenants = &config.generators["tenants"];
    assert_eq!(tenants.token_file.as_deref(), Some(Path::new("/own")));
    assert_eq!(tenants.application_sets, ["fb-*"]);
    assert_eq!(config.check_files().len(), 2);
    let ops = format!("ops: {{ tokenFile: /own }}\n{text}");
    assert_eq!(
        errors(&ops),
        ["c:1:6: ops: its `tokenFile` is Argo CD's too: what may ask must not be able to change anything"]
    );
}

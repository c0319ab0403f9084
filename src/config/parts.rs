//! The keys of a generator's parts beside `build`, and of what looks after them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Database, Guard, Sql,
    file::database_url,
    read::{Field, all},
};
use crate::domain::{Condition, Dialect, Requirement, Selector, Statement};

/// What an absent key means; the schema tells the same.
pub(super) mod defaults {
    use std::time::Duration;

    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
    pub(crate) const MAX_ROWS: u32 = 10_000;
    pub(crate) const CONNECTIONS: u32 = 4;
    pub(crate) const MAX_DROP: u8 = 20;
    pub(crate) const MIN_ITEMS: u32 = 5;
    pub(crate) const WINDOW: Duration = Duration::from_mins(10);
}

/// The most rows and connections.
pub(super) const MOST_ROWS: u32 = 100_000;
pub(super) const MOST_CONNECTIONS: u32 = 100;

/// The form of a share, for the schema.
pub(super) const PERCENT_PATTERN: &str = "^(100|[1-9]?[0-9])%$";

const URL: &str = "`postgres://user@host/database` or `sqlite:///absolute/path/file.db`";

/// The part that asks a database.
pub(super) fn sql(field: &Field<'_>) -> Option<Sql> {
    let mut map = field.map("a map with `url` or `urlFile`, and `query`")?;
    let url_field = map.get("url");
    let url = url_field.as_ref().map(|field| database_url(field, URL));
    let url_file = map.maybe("urlFile", |field| field.file().map(Database::UrlFile));
    let query_field = map.require("query", "a query as `SELECT tenant, status FROM organization`");
    let query = query_field.as_ref().and_then(|field| field.text("one query that reads"));
    let timeout_range = Duration::from_millis(100)..=Duration::from_secs(25);
    let timeout = map.or("timeout", defaults::TIMEOUT, |field| field.duration(timeout_range));
    let max_rows = map.or("maxRows", defaults::MAX_ROWS, |field| up_to(field, MOST_ROWS));
    let connections = map.or("connections", defaults::CONNECTIONS, |field| up_to(field, MOST_CONNECTIONS));
    let ca_field = map.get("caFile");
    let ca_file = ca_field.as_ref().map_or(Some(None), |field| field.file().map(Some));
    let only_if = map.or("onlyIf", Selector::default(), selector);
    let whole = map.whole().clone();
    map.finish(&[]);
    let place = match (url, url_file?) {
        (Some(url), None) => url?,
        (None, Some(file)) => file,
        (Some(_), Some(_)) => {
            url_field?.error("`url` and `urlFile` exclude each other");
            return None;
        }
        (None, None) => {
            whole.error(format_args!("expected `url` with {URL}, or `urlFile` with a file that holds such a URL"));
            return None;
        }
    };
    if let (Some(field), Some(query)) = (&query_field, query) {
        // Where the URL is in a file, either will do; it is looked at again once it is known.
        let dialects: &[Dialect] = match &place {
            Database::Postgres(_) => &[Dialect::Postgres],
            Database::Sqlite(_) => &[Dialect::Sqlite],
            Database::UrlFile(_) => &[Dialect::Sqlite, Dialect::Postgres],
        };
        let read: Vec<_> = dialects.iter().map(|dialect| Statement::parse(query, *dialect)).collect();
        if let (true, Some(Err(error))) = (read.iter().all(Result::is_err), read.last()) {
            field.error(error);
        }
    }
    if let (Some(field), Database::Sqlite(_)) = (ca_field, &place) {
        field.error("a file needs no CA");
    }
    Some(Sql {
        place,
        query: query?.to_owned(),
        timeout: timeout?,
        max_rows: max_rows?,
        connections: connections?,
        ca_file: ca_file?,
        only_if: only_if?,
    })
}

fn up_to(field: &Field<'_>, most: u32) -> Option<u32> {
    field.integer(1..=most.into()).and_then(|number| u32::try_from(number).ok())
}

/// What looks after a generator's answers.
#[expect(clippy::option_option, reason = "off and wrong are two things")]
pub(super) fn guard(field: &Field<'_>) -> Option<Option<Guard>> {
    if field.is_text() {
        return field.choice(&[("off", ())]).map(|()| None);
    }
    let mut map = field.map("`off`, or a map with `maxDrop`, `minItems` and `window`")?;
    let max_drop = map.or("maxDrop", defaults::MAX_DROP, percent);
    let min_items = map.or("minItems", defaults::MIN_ITEMS, |field| up_to(field, MOST_ROWS));
    let range = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
    let window = map.or("window", defaults::WINDOW, |field| field.duration(range));
    map.finish(&[]);
    Some(Some(Guard { max_drop: max_drop?, min_items: min_items?, window: window? }))
}

/// What is looked after where nothing is said.
pub(super) fn usual_guard() -> Guard {
    Guard { max_drop: defaults::MAX_DROP, min_items: defaults::MIN_ITEMS, window: defaults::WINDOW }
}

fn percent(field: &Field<'_>) -> Option<u8> {
    let what = "a share from `0%` to `100%`";
    let digits = field.text(what)?.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let share = digits.and_then(|digits| digits.parse::<u8>().ok()).filter(|share| *share <= 100);
    share.or_else(|| field.expected(what))
}

/// A selector as Kubernetes has it.
pub(super) fn selector(field: &Field<'_>) -> Option<Selector> {
    let mut map = field.map("a map with `matchLabels` or `matchExpressions`")?;
    let labels = map.or("matchLabels", BTreeMap::new(), |field| {
        let map = field.map("a map of keys and values")?;
        let pairs = all(map.named().map(|(key, field)| Some((key.to_owned(), field.template()?.to_owned()))))?;
        Some(pairs.into_iter().collect())
    });
    let expressions = map.or("matchExpressions", Vec::new(), |field| {
        let items = field.list("a list of maps with `key`, `operator` and `values`")?;
        all(items.iter().map(requirement))
    });
    map.finish(&[]);
    let labels = labels?.into_iter().map(|(key, value)| Requirement { key, is: Condition::In(vec![value]) });
    Some(Selector::new(labels.chain(expressions?).collect()))
}

/// What makes a condition of values.
type Make = fn(Vec<String>) -> Condition;

fn requirement(field: &Field<'_>) -> Option<Requirement> {
    let mut map = field.map("a map with `key`, `operator` and `values`")?;
    let key = map.require("key", "a key of the items").and_then(|field| field.text("a key of the items"));
    let operator = map.require("operator", "`In`, `NotIn`, `Exists` or `DoesNotExist`");
    let operators: [(&str, (bool, Make)); 4] = [
        ("In", (true, Condition::In)),
        ("NotIn", (true, Condition::NotIn)),
        ("Exists", (false, |_| Condition::Exists)),
        ("DoesNotExist", (false, |_| Condition::DoesNotExist)),
    ];
    let operator = operator.and_then(|field| field.choice(&operators));
    let values_field = map.get("values");
    let values = values_field.as_ref().map_or(Some(Vec::new()), |field| {
        let items = field.list("a list of values")?;
        all(items.iter().map(|item| item.template().map(str::to_owned)))
    });
    let whole = map.whole().clone();
    map.finish(&[]);
    let (key, (wants_values, make), values) = (key?, operator?, values?);
    match (wants_values, values_field) {
        (true, _) if values.is_empty() => whole.error("`In` and `NotIn` need `values`"),
        (false, Some(field)) if !values.is_empty() => field.error("`Exists` and `DoesNotExist` take no `values`"),
        _ => {}
    }
    Some(Requirement { key: key.to_owned(), is: make(values) })
}

//! The parts beside `build`, what looks after them, and who may ask.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::Time;
use crate::config::{duration, generator, parts};

/// Who may ask.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Allow {
    /// Names of ApplicationSets, with `*` and `?`.
    #[schemars(extend("default" = [generator::defaults::ANY_SET]))]
    application_sets: Option<Vec<String>>,
}

/// The rows of a query: columns are keys, and every value is a text.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["url"] }, { "required": ["urlFile"] }])
)]
pub(super) struct Sql {
    /// The database, `postgres://user@host/database` or `sqlite:///absolute/path`. A URL with a password belongs into
    /// `urlFile`.
    #[schemars(extend("pattern" = "^(sqlite:///.+|postgres(ql)?://.+)$"))]
    url: Option<String>,
    /// A file with the URL in it, instead of `url`. It is read again when it changes.
    #[schemars(extend("examples" = ["/secrets/tenants/url"]))]
    url_file: Option<String>,
    /// One query that reads. `:name` is the input parameter of that name as a text, or NULL where it is absent.
    #[schemars(extend("examples" = ["SELECT tenant, status FROM organization WHERE status = :status"]))]
    query: String,
    /// How long it may take, from `100ms` to `25s`.
    #[schemars(extend("default" = duration::show(parts::defaults::TIMEOUT)))]
    timeout: Option<Time>,
    /// The most rows; more of them are an error, and never a list that was cut.
    #[schemars(range(min = 1, max = parts::MOST_ROWS), extend("default" = parts::defaults::MAX_ROWS))]
    max_rows: Option<u32>,
    /// The most connections.
    #[schemars(range(min = 1, max = parts::MOST_CONNECTIONS), extend("default" = parts::defaults::CONNECTIONS))]
    connections: Option<u32>,
    /// A CA that PostgreSQL's certificate must come from, as PEM; the name in it must be the URL's host.
    ca_file: Option<String>,
    /// Which items are wanted, by their keys and by those of the parts before; the others are left out.
    only_if: Option<Selector>,
}

/// Which items are wanted, as Kubernetes selects by labels.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Selector {
    /// Keys and the values that they must have.
    #[schemars(extend("default" = {}))]
    match_labels: Option<BTreeMap<String, String>>,
    /// What else must be so, all of it.
    #[schemars(extend("default" = []))]
    match_expressions: Option<Vec<Requirement>>,
}

/// What one key must be.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("oneOf" = [
        { "properties": { "operator": { "enum": ["In", "NotIn"] } }, "required": ["values"] },
        { "properties": { "operator": { "enum": ["Exists", "DoesNotExist"] } } },
    ])
)]
pub(super) struct Requirement {
    /// The key.
    key: String,
    /// `In` and `NotIn` look at the value, `Exists` and `DoesNotExist` whether there is such a key.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    operator: String,
    /// The values of `In` and `NotIn`.
    values: Option<Vec<String>>,
}

/// When an answer that shrinks is held back: if more than `maxDrop` of the items at the beginning of a window would be
/// gone, and there were at least `minItems`; `off` for never. `lastgreen guard release` lets it through.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("type" = ["object", "string"], "pattern" = "^off$")
)]
pub(super) struct Guard {
    /// How many of the items may vanish.
    #[schemars(extend("default" = format!("{}%", parts::defaults::MAX_DROP), "pattern" = parts::PERCENT_PATTERN))]
    max_drop: Option<String>,
    /// How few items are not looked at.
    #[schemars(range(min = 1, max = parts::MOST_ROWS), extend("default" = parts::defaults::MIN_ITEMS))]
    min_items: Option<u32>,
    /// How long it adds up what vanishes, from `1s` to `7d`.
    #[schemars(extend("default" = duration::show(parts::defaults::WINDOW)))]
    window: Option<Time>,
}

//! Resolvers: one function for each object type, over plain data of the world.
//!
//! [`Thing`] says what an object is; its module says what its fields are. A field that none of them knows is noted in the
//! [`Context`] and becomes an HTTP 500 that names it, so that no test is answered with a null that GitHub would not give.

mod checks;
mod commit;
mod connection;
mod pull;
mod repository;

use std::cell::RefCell;

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use chrono::{DateTime, SecondsFormat, TimeZone as _, Utc};
use serde_json::{Value, json};

use super::Standing;
use super::access::Access;
use super::cost::Cost;
use crate::world::{CheckRun, Commit, Comparison, Oid, Pull, Repository, Status, World};

pub(super) use checks::Suite;
pub(super) use connection::Connection;

/// What a resolver gives.
type Resolved<'w> = Result<ResolvedValue<'w>, FieldError>;

/// What all resolvers of a query share.
pub(super) struct Context<'w> {
    world: &'w World,
    access: &'w Access,
    standing: Option<Standing>,
    cost: Cost,
    unresolved: RefCell<Vec<String>>,
}

impl<'w> Context<'w> {
    pub(super) fn new(world: &'w World, access: &'w Access, standing: Option<Standing>, cost: Cost) -> Self {
        Self { world, access, standing, cost, unresolved: RefCell::default() }
    }

    /// `Type.field` of everything that was asked for and is not simulated.
    pub(super) fn unresolved(&self) -> Vec<String> {
        self.unresolved.borrow().clone()
    }

    fn unknown<'a>(&self, type_name: &str, info: &ResolveInfo<'_>) -> Resolved<'a> {
        let name = format!("{type_name}.{}", info.field_name());
        let mut unresolved = self.unresolved.borrow_mut();
        if !unresolved.contains(&name) {
            unresolved.push(name.clone());
        }
        Err(FieldError { message: name })
    }
}

const BETWEEN: char = '\u{1f}';

/// A field error with GitHub's type.
fn typed_error(kind: &str, message: impl std::fmt::Display) -> FieldError {
    FieldError { message: format!("{kind}{BETWEEN}{message}") }
}

/// The type and the text of a field error.
pub(super) fn split_error(message: &str) -> (&str, &str) {
    let message = message.strip_prefix("resolver error: ").unwrap_or(message);
    message.split_once(BETWEEN).unwrap_or(("", message))
}

/// A leaf of anything that is JSON.
#[expect(clippy::unnecessary_wraps, reason = "what a resolver gives")]
fn leaf<'w>(value: impl Into<Value>) -> Resolved<'w> {
    Ok(ResolvedValue::Leaf(bytes(value.into())))
}

#[expect(clippy::unnecessary_wraps, reason = "what a resolver gives")]
fn null<'w>() -> Resolved<'w> {
    Ok(ResolvedValue::null())
}

fn bytes(value: Value) -> JsonValue {
    serde_json::from_value(value).expect("JSON is JSON")
}

/// A time as GitHub writes it.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text argument.
fn text<'a>(info: &'a ResolveInfo<'_>, name: &str) -> Option<&'a str> {
    info.arguments().get(name)?.as_str()
}

/// A number argument.
fn number(info: &ResolveInfo<'_>, name: &str) -> Option<i64> {
    info.arguments().get(name)?.as_i64()
}

/// What an object of an answer is.
#[derive(Clone)]
pub(super) enum Thing<'w> {
    Repository(&'w Repository),
    /// A repository's ref: prefix, name, target.
    Ref(&'w Repository, &'static str, String, Oid),
    Commit(&'w Repository, &'w Oid, &'w Commit),
    Pull(&'w Repository, &'w Pull),
    /// A commit as a member of a pull request.
    PullCommit(&'w Repository, &'w Pull, &'w Oid, &'w Commit),
    Comparison(&'w Repository, Oid, Oid, Comparison),
    Rollup(&'w Repository, &'w Oid),
    CommitStatus(&'w Repository, &'w Oid),
    Run(&'w Repository, &'w Oid, &'w CheckRun),
    Status(&'w Repository, &'w Oid, &'w Status),
    Suite(&'w Repository, &'w Oid, Suite<'w>),
    /// Anything that is no more than a few values and objects.
    Record(&'static str, Vec<(&'static str, Cell<'w>)>),
}

/// A field of a record.
#[derive(Clone)]
pub(super) enum Cell<'w> {
    Leaf(Value),
    Object(Box<Thing<'w>>),
    List(Vec<Thing<'w>>),
}

/// A thing in the context of a query.
struct Object<'w> {
    context: &'w Context<'w>,
    thing: Thing<'w>,
}

impl<'w> Context<'w> {
    #[expect(clippy::unnecessary_wraps, reason = "what a resolver gives")]
    fn object(&'w self, thing: Thing<'w>) -> Resolved<'w> {
        Ok(self.value(thing))
    }

    fn value(&'w self, thing: Thing<'w>) -> ResolvedValue<'w> {
        ResolvedValue::object(Object { context: self, thing })
    }

    fn nullable(&'w self, thing: Option<Thing<'w>>) -> Resolved<'w> {
        thing.map_or_else(null, |thing| self.object(thing))
    }

    /// A commit of a repository's network, by sha.
    fn commit(&'w self, repository: &'w Repository, oid: &Oid) -> Option<Thing<'w>> {
        let (oid, commit) = self.world.github.commit(repository, oid)?;
        Some(Thing::Commit(repository, oid, commit))
    }
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        match &self.thing {
            Thing::Repository(_) => "Repository",
            Thing::Ref(..) => "Ref",
            Thing::Commit(..) => "Commit",
            Thing::Pull(..) => "PullRequest",
            Thing::PullCommit(..) => "PullRequestCommit",
            Thing::Comparison(..) => "Comparison",
            Thing::Rollup(..) => "StatusCheckRollup",
            Thing::CommitStatus(..) => "Status",
            Thing::Run(..) => "CheckRun",
            Thing::Status(..) => "StatusContext",
            Thing::Suite(..) => "CheckSuite",
            Thing::Record(name, _) => name,
        }
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let context: &'a Context<'a> = self.context;
        match &self.thing {
            Thing::Repository(at) => repository::repository(context, at, info),
            Thing::Ref(at, prefix, name, oid) => repository::reference(context, at, prefix, name, oid, info),
            Thing::Commit(at, oid, commit) => commit::commit(context, at, oid, commit, info),
            Thing::Pull(at, pull) => pull::pull(context, at, pull, info),
            Thing::PullCommit(at, pull, oid, commit) => pull::pull_commit(context, at, pull, oid, commit, info),
            Thing::Comparison(at, base, head, comparison) => {
                commit::comparison(context, at, base, head, comparison, info)
            }
            Thing::Rollup(at, oid) => checks::rollup(context, at, oid, info),
            Thing::CommitStatus(at, oid) => checks::commit_status(context, at, oid, info),
            Thing::Run(at, oid, run) => checks::run(context, at, oid, run, info),
            Thing::Status(at, oid, status) => checks::status(context, at, oid, status, info),
            Thing::Suite(at, oid, suite) => checks::suite(context, at, oid, suite, info),
            Thing::Record(name, fields) => match fields.iter().find(|(field, _)| *field == info.field_name()) {
                Some((_, Cell::Leaf(value))) => leaf(value.clone()),
                Some((_, Cell::Object(thing))) => context.object((**thing).clone()),
                Some((_, Cell::List(things))) => {
                    Ok(ResolvedValue::list(things.iter().map(|thing| context.value(thing.clone()))))
                }
                None => context.unknown(name, info),
            },
        }
    }
}

/// A record of leaves.
fn record<'w>(type_name: &'static str, fields: Vec<(&'static str, Value)>) -> Thing<'w> {
    Thing::Record(type_name, fields.into_iter().map(|(name, value)| (name, Cell::Leaf(value))).collect())
}

/// A user, or a bot.
fn actor<'w>(login: &str) -> Thing<'w> {
    let bot = login.ends_with("[bot]");
    let id = json!(format!("U_{login}"));
    record(
        if bot { "Bot" } else { "User" },
        vec![
            ("login", json!(login.trim_end_matches("[bot]"))),
            ("id", id),
            ("url", json!(format!("https://github.com/{login}"))),
        ],
    )
}

/// The root of a query.
pub(super) struct Root<'w>(&'w Context<'w>);

impl<'w> Root<'w> {
    pub(super) fn new(context: &'w Context<'w>) -> Self {
        Self(context)
    }
}

impl ObjectValue for Root<'_> {
    fn type_name(&self) -> &'static str {
        "Query"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let context: &'a Context<'a> = self.0;
        match info.field_name() {
            "viewer" => context.object(record(
                "User",
                vec![("login", json!(context.access.login)), ("id", json!(format!("U_{}", context.access.login)))],
            )),
            "rateLimit" if info.arguments().get("dryRun").and_then(JsonValue::as_bool) == Some(true) => {
                context.unknown("Query.rateLimit(dryRun: true) as", info)
            }
            "rateLimit" => context.nullable(context.standing.map(|standing| {
                let reset = Utc.timestamp_opt(standing.reset, 0).single().unwrap_or_default();
                record(
                    "RateLimit",
                    vec![
                        ("limit", json!(standing.limit)),
                        ("cost", json!(context.cost.points)),
                        ("remaining", json!(standing.remaining)),
                        ("used", json!(standing.used)),
                        ("nodeCount", json!(context.cost.nodes)),
                        ("resetAt", json!(time(reset))),
                    ],
                )
            })),
            "repository" => {
                let (owner, name) = (text(info, "owner").unwrap_or_default(), text(info, "name").unwrap_or_default());
                let full = format!("{owner}/{name}");
                let follow = info.arguments().get("followRenames").and_then(JsonValue::as_bool).unwrap_or(true);
                let world = &context.world.github;
                let found = if follow { world.repository_followed(&full) } else { world.repository(&full) };
                match found.filter(|at| context.access.sees(at)) {
                    Some(at) => context.object(Thing::Repository(at)),
                    None => Err(typed_error(
                        "NOT_FOUND",
                        format!("Could not resolve to a Repository with the name '{full}'."),
                    )),
                }
            }
            _ => context.unknown("Query", info),
        }
    }
}

//! Check runs, suites, statuses and the roll-up over them.

use std::collections::BTreeMap;

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Cell, Connection, Context, Resolved, Thing, actor, leaf, null, record, text, time, typed_error};
use crate::world::{CheckApp, CheckRun, CheckSuite, Oid, Repository, Status};

const CONTEXTS: (&str, &str) = ("StatusCheckRollupContextConnection", "StatusCheckRollupContextEdge");

/// A check suite: the runs that share its id, or one without runs.
#[derive(Clone)]
pub(in crate::github) enum Suite<'w> {
    Of(Vec<&'w CheckRun>),
    Empty(&'w CheckSuite),
}

/// The roll-up of a commit: null without any context, refused without the permission.
pub(super) fn rollup_of<'w>(context: &'w Context<'w>, at: &'w Repository, oid: &'w Oid) -> Resolved<'w> {
    if let Some(why) = context.access.refused_checks(at) {
        return Err(typed_error("FORBIDDEN", why));
    }
    let any = !runs(at, oid).is_empty() || !latest(at, oid).is_empty();
    context.nullable(any.then_some(Thing::Rollup(at, oid)))
}

/// All runs, superseded ones too.
pub(in crate::github) fn runs<'w>(at: &'w Repository, oid: &Oid) -> &'w [CheckRun] {
    at.checks.get(oid).map(Vec::as_slice).unwrap_or_default()
}

/// The latest status of each context, in the order in which the contexts first came.
fn latest<'w>(at: &'w Repository, oid: &Oid) -> Vec<&'w Status> {
    let mut out: Vec<&Status> = Vec::new();
    for status in at.statuses.get(oid).into_iter().flatten() {
        match out.iter_mut().find(|one| one.context == status.context) {
            Some(one) if one.created_at <= status.created_at => *one = status,
            Some(_) => {}
            None => out.push(status),
        }
    }
    out
}

/// What a context adds to the roll-up.
fn run_state(run: &CheckRun) -> &str {
    match (run.status.as_str(), run.conclusion.as_deref()) {
        ("completed", Some("success" | "neutral" | "skipped")) => "SUCCESS",
        ("completed", Some("failure" | "timed_out" | "cancelled" | "action_required" | "startup_failure")) => "FAILURE",
        _ => "PENDING",
    }
}

/// The worst of all contexts that are listed, superseded ones among them.
fn worst<'a>(states: impl Iterator<Item = &'a str>) -> &'static str {
    let all: Vec<String> = states.map(str::to_ascii_uppercase).collect();
    let has = |state: &str| all.iter().any(|one| one == state);
    ["ERROR", "FAILURE", "EXPECTED", "PENDING"].into_iter().find(|state| has(state)).unwrap_or("SUCCESS")
}

fn counts<'w, 'a>(type_name: &'static str, states: impl Iterator<Item = &'a str>) -> Cell<'w> {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for state in states {
        *counted.entry(state.to_ascii_uppercase()).or_default() += 1;
    }
    let rows = counted
        .into_iter()
        .map(|(state, count)| record(type_name, vec![("state", json!(state)), ("count", json!(count))]));
    Cell::List(rows.collect())
}

pub(super) fn rollup<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let (runs, statuses) = (runs(at, oid), latest(at, oid));
    match info.field_name() {
        "id" => leaf(format!("SCR_{}_{oid}", at.id)),
        "commit" => context.nullable(context.commit(at, oid)),
        "state" => leaf(worst(runs.iter().map(run_state).chain(statuses.iter().map(|status| status.state.as_str())))),
        "contexts" => contexts(context, at, oid, runs, &statuses, info),
        _ => context.unknown("StatusCheckRollup", info),
    }
}

fn contexts<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    runs: &'w [CheckRun],
    statuses: &[&'w Status],
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let things = runs
        .iter()
        .map(|run| Thing::Run(at, oid, run))
        .chain(statuses.iter().map(|status| Thing::Status(at, oid, status)));
    let word = |run: &'w CheckRun| {
        run.conclusion.as_deref().filter(|_| run.status == "completed").unwrap_or(run.status.as_str())
    };
    let more = vec![
        ("checkRunCount", Cell::Leaf(json!(runs.len()))),
        ("statusContextCount", Cell::Leaf(json!(statuses.len()))),
        ("checkRunCountsByState", counts("CheckRunStateCount", runs.iter().map(word))),
        (
            "statusContextCountsByState",
            counts("StatusContextStateCount", statuses.iter().map(|one| one.state.as_str())),
        ),
    ];
    Connection::resolve(context, info, CONTEXTS, things.collect(), |thing| thing, more)
}

pub(super) fn commit_status<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let statuses = latest(at, oid);
    match info.field_name() {
        "id" => leaf(format!("ST_{}_{oid}", at.id)),
        "commit" => context.nullable(context.commit(at, oid)),
        "state" => leaf(worst(statuses.iter().map(|status| status.state.as_str()))),
        "contexts" => Ok(ResolvedValue::list(
            statuses.into_iter().map(|status| context.value(Thing::Status(at, oid, status))).collect::<Vec<_>>(),
        )),
        "context" => {
            let wanted = text(info, "name").unwrap_or_default();
            let found = statuses.into_iter().find(|status| status.context == wanted);
            context.nullable(found.map(|status| Thing::Status(at, oid, status)))
        }
        "combinedContexts" => contexts(context, at, oid, runs(at, oid), &statuses, info),
        _ => context.unknown("Status", info),
    }
}

fn required<'w>(required: bool, info: &ResolveInfo<'_>) -> Resolved<'w> {
    let told = ["pullRequestId", "pullRequestNumber"]
        .iter()
        .any(|name| info.arguments().get(*name).is_some_and(|value| !value.is_null()));
    if told { leaf(required) } else { Err(typed_error("", "A pull request ID or pull request number is required.")) }
}

pub(super) fn run<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    run: &'w CheckRun,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let page = || format!("https://github.com/{}/actions/runs/{}/job/{}", at.full_name(), run.suite, run.id);
    match info.field_name() {
        "id" => leaf(format!("CR_{}", run.id)),
        "databaseId" => leaf(run.id),
        "name" => leaf(run.name.as_str()),
        "status" => leaf(run.status.to_ascii_uppercase()),
        "conclusion" => {
            leaf(run.conclusion.as_deref().filter(|_| run.status == "completed").map(str::to_ascii_uppercase))
        }
        "startedAt" => leaf(run.started_at.map(time)),
        "completedAt" => leaf(run.completed_at.filter(|_| run.status == "completed").map(time)),
        "detailsUrl" | "url" | "permalink" => leaf(page()),
        "title" | "summary" | "text" | "externalId" => null(),
        "isRequired" => required(run.required, info),
        "repository" => context.object(Thing::Repository(at)),
        "checkSuite" => {
            let all = runs(at, oid).iter().filter(|one| one.suite == run.suite).collect();
            context.object(Thing::Suite(at, oid, Suite::Of(all)))
        }
        _ => context.unknown("CheckRun", info),
    }
}

pub(super) fn status<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    status: &'w Status,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(format!("SC_{}_{oid}_{}", at.id, status.context)),
        "context" => leaf(status.context.as_str()),
        "state" => leaf(status.state.to_ascii_uppercase()),
        "createdAt" => leaf(status.created_at.map(time)),
        "creator" => context.nullable(status.creator.as_deref().map(actor)),
        "description" => leaf(status.description.as_deref()),
        "targetUrl" => null(),
        "isRequired" => required(status.required, info),
        "commit" => context.nullable(context.commit(at, oid)),
        _ => context.unknown("StatusContext", info),
    }
}

/// `Commit.checkSuites`.
pub(super) fn suites<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    if let Some(why) = context.access.refused_checks(at) {
        return Err(typed_error("FORBIDDEN", why));
    }
    let mut by_id: BTreeMap<u64, Vec<&CheckRun>> = BTreeMap::new();
    for run in runs(at, oid) {
        by_id.entry(run.suite).or_default().push(run);
    }
    let mut all: Vec<Suite<'_>> = by_id.into_values().map(Suite::Of).collect();
    all.extend(at.suites.get(oid).into_iter().flatten().map(Suite::Empty));
    let filter = info.arguments().get("filterBy").and_then(JsonValue::as_object);
    if let Some(app) = filter.and_then(|filter| filter.get("appId")).and_then(JsonValue::as_i64) {
        all.retain(|suite| i64::try_from(suite.app().id) == Ok(app));
    }
    if let Some(name) = filter.and_then(|filter| filter.get("checkName")).and_then(JsonValue::as_str) {
        all.retain(|suite| matches!(suite, Suite::Of(runs) if runs.iter().any(|run| run.name == name)));
    }
    Connection::resolve(
        context,
        info,
        ("CheckSuiteConnection", "CheckSuiteEdge"),
        all,
        |one| Thing::Suite(at, oid, one),
        Vec::new(),
    )
}

impl Suite<'_> {
    fn id(&self) -> u64 {
        match self {
            Self::Of(runs) => runs[0].suite,
            Self::Empty(suite) => suite.id,
        }
    }

    fn app(&self) -> &CheckApp {
        match self {
            Self::Of(runs) => &runs[0].app,
            Self::Empty(suite) => &suite.app,
        }
    }

    fn created(&self) -> DateTime<Utc> {
        match self {
            Self::Of(runs) => runs.iter().filter_map(|run| run.suite_created_at).min(),
            Self::Empty(suite) => suite.created_at,
        }
        .unwrap_or_default()
    }

    fn updated(&self) -> DateTime<Utc> {
        match self {
            Self::Of(runs) => runs
                .iter()
                .filter_map(|run| run.completed_at.or(run.started_at))
                .max()
                .unwrap_or_else(|| self.created()),
            Self::Empty(_) => self.created(),
        }
    }

    fn status(&self) -> String {
        match self {
            Self::Of(runs) => {
                let open = runs.iter().find(|run| run.status != "completed");
                open.map_or_else(|| "COMPLETED".to_owned(), |run| run.status.to_ascii_uppercase())
            }
            Self::Empty(suite) => suite.status.to_ascii_uppercase(),
        }
    }

    /// Once all is completed, the conclusion of the highest priority.
    fn conclusion(&self) -> Option<String> {
        const BY_PRIORITY: [&str; 8] =
            ["startup_failure", "failure", "timed_out", "cancelled", "action_required", "stale", "success", "neutral"];
        match self {
            Self::Of(runs) if runs.iter().all(|run| run.status == "completed") => {
                let has = |word: &&str| runs.iter().any(|run| run.conclusion.as_deref() == Some(*word));
                let first = BY_PRIORITY.into_iter().find(has).map(str::to_owned);
                first.or_else(|| runs[0].conclusion.clone()).map(|word| word.to_ascii_uppercase())
            }
            Self::Of(_) => None,
            Self::Empty(suite) => suite.conclusion.as_deref().map(str::to_ascii_uppercase),
        }
    }

    fn workflow(&self) -> Option<(&str, &str)> {
        match self {
            Self::Of(runs) => runs[0].workflow.as_deref().map(|name| (name, runs[0].event.as_str())),
            Self::Empty(suite) => suite.workflow.as_deref().map(|name| (name, suite.event.as_str())),
        }
    }
}

pub(super) fn suite<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    suite: &Suite<'w>,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(format!("CS_{}", suite.id())),
        "databaseId" => leaf(suite.id()),
        "status" => leaf(suite.status()),
        "conclusion" => leaf(suite.conclusion()),
        "createdAt" => leaf(time(suite.created())),
        "updatedAt" => leaf(time(suite.updated())),
        "commit" => context.nullable(context.commit(at, oid)),
        "repository" => context.object(Thing::Repository(at)),
        "app" => context.object(app(suite.app())),
        "workflowRun" => context.nullable(suite.workflow().map(|(name, event)| workflow_run(suite, name, event))),
        "checkRuns" => {
            let mut all = match suite {
                Suite::Of(runs) => runs.clone(),
                Suite::Empty(_) => Vec::new(),
            };
            if let Some(filter) = info.arguments().get("filterBy").and_then(JsonValue::as_object) {
                if filter.keys().any(|key| !matches!(key.as_str(), "checkName" | "appId")) {
                    return context.unknown("CheckSuite.checkRuns(filterBy)", info);
                }
                if let Some(name) = filter.get("checkName").and_then(JsonValue::as_str) {
                    all.retain(|run| run.name == name);
                }
                if let Some(app) = filter.get("appId").and_then(JsonValue::as_i64) {
                    all.retain(|run| i64::try_from(run.app.id) == Ok(app));
                }
            }
            Connection::resolve(
                context,
                info,
                ("CheckRunConnection", "CheckRunEdge"),
                all,
                |run| Thing::Run(at, oid, run),
                Vec::new(),
            )
        }
        _ => context.unknown("CheckSuite", info),
    }
}

fn app<'w>(app: &CheckApp) -> Thing<'w> {
    record(
        "App",
        vec![
            ("id", json!(format!("A_{}", app.id))),
            ("databaseId", json!(app.id)),
            ("slug", json!(app.slug)),
            ("name", json!(app.name)),
        ],
    )
}

fn workflow_run<'w>(suite: &Suite<'_>, name: &str, event: &str) -> Thing<'w> {
    // Stable and different for different names; Actions numbers workflows, the simulator their letters.
    let workflow = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) & 0x00ff_ffff;
    let workflow = record(
        "Workflow",
        vec![("id", json!(format!("W_{workflow}"))), ("databaseId", json!(workflow)), ("name", json!(name))],
    );
    let leaf = |value: Value| Cell::Leaf(value);
    Thing::Record(
        "WorkflowRun",
        vec![
            ("id", leaf(json!(format!("WFR_{}", suite.id())))),
            ("databaseId", leaf(json!(suite.id()))),
            ("runNumber", leaf(json!(suite.id() % 10_000))),
            ("event", leaf(json!(event))),
            ("createdAt", leaf(json!(time(suite.created())))),
            ("updatedAt", leaf(json!(time(suite.updated())))),
            ("workflow", Cell::Object(Box::new(workflow))),
        ],
    )
}

//! Commits and comparisons.

use apollo_compiler::resolvers::ResolveInfo;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::repository::{PULLS, filtered};
use super::{Cell, Connection, Context, Resolved, Thing, actor, checks, leaf, time};
use crate::world::{Commit, Comparison, Oid, Person, Repository};

pub(super) fn commit<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    oid: &'w Oid,
    commit: &'w Commit,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let headline = commit.message.lines().next().unwrap_or_default();
    match info.field_name() {
        "id" => leaf(format!("C_{}_{oid}", at.id)),
        "oid" => leaf(&**oid),
        "abbreviatedOid" => leaf(&oid[..7]),
        "message" => leaf(commit.message.as_str()),
        "messageHeadline" => leaf(headline),
        "messageBody" => leaf(commit.message[headline.len()..].trim_start_matches('\n')),
        "url" | "commitUrl" => leaf(format!("https://github.com/{}/commit/{oid}", at.full_name())),
        "committedDate" => leaf(time(commit.committed())),
        "authoredDate" => leaf(time(commit.authored())),
        "committer" => context.object(person(&commit.committer, commit.committed())),
        "author" => context.object(person(&commit.author, commit.authored())),
        "committedViaWeb" => leaf(commit.committer.email == "noreply@github.com"),
        "repository" => context.object(Thing::Repository(at)),
        "parents" => list(context, at, info, "CommitConnection", commit.parents.iter().collect(), Vec::new()),
        "history" => {
            if let Some(name) = ["author", "path", "since", "until"]
                .into_iter()
                .find(|name| info.arguments().get(*name).is_some_and(|value| !value.is_null()))
            {
                return context.unknown(&format!("Commit.history({name})"), info);
            }
            let log = context.world.github.log(at, oid);
            list(context, at, info, "CommitHistoryConnection", log.iter().collect(), Vec::new())
        }
        "associatedPullRequests" => {
            let github = &context.world.github;
            let with = at
                .pulls
                .iter()
                .filter(|pull| pull.head_sha.as_ref() == Some(oid) || github.pull_commits(at, pull).contains(oid));
            let pulls = filtered(with.map(|pull| (at, pull)).collect(), info);
            Connection::resolve(context, info, PULLS, pulls, |(at, pull)| Thing::Pull(at, pull), Vec::new())
        }
        "statusCheckRollup" => checks::rollup_of(context, at, oid),
        "status" => {
            let any = at.statuses.get(oid).is_some_and(|all| !all.is_empty());
            context.nullable(any.then_some(Thing::CommitStatus(at, oid)))
        }
        "checkSuites" => checks::suites(context, at, oid, info),
        _ => context.unknown("Commit", info),
    }
}

fn list<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    info: &ResolveInfo<'_>,
    type_name: &'static str,
    oids: Vec<&Oid>,
    more: Vec<(&'static str, Cell<'w>)>,
) -> Resolved<'w> {
    let thing = |oid: &Oid| context.commit(at, oid).expect("history holds commits that exist");
    Connection::resolve(context, info, (type_name, "CommitEdge"), oids, thing, more)
}

fn person<'w>(person: &Person, date: DateTime<Utc>) -> Thing<'w> {
    let user = match &person.login {
        Some(login) => Cell::Object(Box::new(actor(login))),
        None => Cell::Leaf(Value::Null),
    };
    Thing::Record(
        "GitActor",
        vec![
            ("name", Cell::Leaf(json!(person.name))),
            ("email", Cell::Leaf(json!(person.email))),
            ("date", Cell::Leaf(json!(time(date)))),
            ("user", user),
        ],
    )
}

pub(super) fn comparison<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    base: &Oid,
    head: &Oid,
    comparison: &Comparison,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(format!("CMP_{}_{base}_{head}", at.id)),
        "aheadBy" => leaf(comparison.ahead.len()),
        "behindBy" => leaf(comparison.behind_by),
        "status" => leaf(comparison.status().to_ascii_uppercase()),
        "baseTarget" => context.nullable(context.commit(at, base)),
        "headTarget" => context.nullable(context.commit(at, head)),
        "commits" => {
            let ahead = comparison.ahead.iter().take(250).collect();
            list(context, at, info, "ComparisonCommitConnection", ahead, Vec::new())
        }
        _ => context.unknown("Comparison", info),
    }
}

//! Repositories and refs.

use apollo_compiler::resolvers::ResolveInfo;
use apollo_compiler::response::JsonValue;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Connection, Context, Resolved, Thing, leaf, null, number, record, text, typed_error};
use crate::world::{Oid, Pull, PullState, Repository};

pub(super) const PULLS: (&str, &str) = ("PullRequestConnection", "PullRequestEdge");

pub(super) fn repository<'w>(context: &'w Context<'w>, at: &'w Repository, info: &ResolveInfo<'_>) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(format!("R_{}", at.id)),
        "databaseId" => leaf(at.id),
        "nameWithOwner" => leaf(at.full_name()),
        "name" => leaf(at.name.as_str()),
        "url" => leaf(format!("https://github.com/{}", at.full_name())),
        "owner" => context.object(owner(&at.owner)),
        "isPrivate" => leaf(at.private),
        "isFork" => leaf(at.fork_of.is_some()),
        "isArchived" | "isDisabled" | "isEmpty" => leaf(info.field_name() == "isEmpty" && at.branches.is_empty()),
        "visibility" => leaf(if at.private { "PRIVATE" } else { "PUBLIC" }),
        "parent" => {
            let parent = at.fork_of.as_ref().and_then(|name| context.world.github.repository_followed(name));
            context.nullable(parent.filter(|parent| context.access.sees(parent)).map(Thing::Repository))
        }
        "defaultBranchRef" => context.nullable(branch(at, &at.default_branch)),
        "ref" => context.nullable(named_ref(at, text(info, "qualifiedName").unwrap_or_default())),
        "refs" => {
            let names = match text(info, "refPrefix").unwrap_or_default() {
                "refs/heads/" => at.branches.keys().collect(),
                _ => Vec::new(),
            };
            Connection::resolve(
                context,
                info,
                ("RefConnection", "RefEdge"),
                names,
                |name| branch(at, name).expect("a branch of the repository"),
                Vec::new(),
            )
        }
        "object" => object(context, at, info),
        "pullRequest" => {
            let wanted = number(info, "number").unwrap_or_default();
            let found = u64::try_from(wanted).ok().and_then(|number| at.pull(number));
            let text = format!("Could not resolve to a PullRequest with the number of {wanted}.");
            found.map_or_else(|| Err(typed_error("NOT_FOUND", text)), |pull| context.object(Thing::Pull(at, pull)))
        }
        "pullRequests" => {
            let pulls = filtered(at.pulls.iter().map(|pull| (at, pull)).collect(), info);
            Connection::resolve(context, info, PULLS, pulls, |(at, pull)| Thing::Pull(at, pull), Vec::new())
        }
        _ => context.unknown("Repository", info),
    }
}

/// An account that owns repositories.
pub(super) fn owner<'w>(login: &str) -> Thing<'w> {
    record(
        "Organization",
        vec![
            ("login", json!(login)),
            ("id", json!(format!("O_{login}"))),
            ("url", json!(format!("https://github.com/{login}"))),
        ],
    )
}

pub(super) fn branch<'w>(at: &'w Repository, name: &str) -> Option<Thing<'w>> {
    at.branches.get(name).map(|tip| Thing::Ref(at, "refs/heads/", name.to_owned(), tip.clone()))
}

/// A ref by its full or short name; also those that GitHub keeps of pull requests.
fn named_ref<'w>(at: &'w Repository, name: &str) -> Option<Thing<'w>> {
    if let Some(found) = name.strip_prefix("refs/heads/").and_then(|short| branch(at, short)) {
        return Some(found);
    }
    if let Some(rest) = name.strip_prefix("refs/pull/")
        && let Some((number, which)) = rest.split_once('/')
        && let Some(pull) = number.parse().ok().and_then(|number| at.pull(number))
    {
        let oid = match which {
            "head" => pull.head_sha.clone(),
            "merge" if pull.state == PullState::Open => pull.test_merge.clone(),
            _ => None,
        };
        return oid.map(|oid| Thing::Ref(at, "refs/pull/", rest.to_owned(), oid));
    }
    branch(at, name)
}

/// `object(oid)` or `object(expression)`.
fn object<'w>(context: &'w Context<'w>, at: &'w Repository, info: &ResolveInfo<'_>) -> Resolved<'w> {
    let full = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(oid) = text(info, "oid") {
        if !full(oid) {
            return Err(typed_error("", format!("Could not coerce value \"{oid}\" to GitObjectID")));
        }
        return context.nullable(context.commit(at, &Oid::from(oid.to_ascii_lowercase())));
    }
    let Some(expression) = text(info, "expression") else { return null() };
    if full(expression) {
        return context.nullable(context.commit(at, &Oid::from(expression)));
    }
    let short = expression.strip_prefix("refs/heads/").unwrap_or(expression);
    if let Some(tip) = at.branches.get(short) {
        return context.nullable(context.commit(at, tip));
    }
    if expression.contains([':', '^', '~', '@']) {
        return context.unknown(&format!("Repository.object(expression: {expression:?})"), info);
    }
    null()
}

/// Pull requests by the filters and the order of the arguments.
pub(super) fn filtered<'w>(
    mut pulls: Vec<(&'w Repository, &'w Pull)>,
    info: &ResolveInfo<'_>,
) -> Vec<(&'w Repository, &'w Pull)> {
    if let Some(states) = info.arguments().get("states").and_then(JsonValue::as_array) {
        let states: Vec<&str> = states.iter().filter_map(JsonValue::as_str).collect();
        pulls.retain(|(_, pull)| states.contains(&state(pull)));
    }
    if let Some(head) = text(info, "headRefName") {
        pulls.retain(|(_, pull)| pull.head == head);
    }
    if let Some(base) = text(info, "baseRefName") {
        pulls.retain(|(_, pull)| pull.base == base);
    }
    let order = info.arguments().get("orderBy").and_then(JsonValue::as_object);
    let asked = |key: &str| order.and_then(|order| order.get(key)).and_then(JsonValue::as_str);
    let stamp = |pull: &Pull| -> DateTime<Utc> {
        let at = if asked("field") == Some("UPDATED_AT") { pull.updated_at } else { pull.created_at };
        at.unwrap_or_default()
    };
    pulls.sort_by_key(|(_, pull)| (stamp(pull), pull.number));
    if asked("direction") == Some("DESC") {
        pulls.reverse();
    }
    pulls
}

/// GitHub's word for the state.
pub(super) fn state(pull: &Pull) -> &'static str {
    match pull.state {
        PullState::Open => "OPEN",
        PullState::Closed => "CLOSED",
        PullState::Merged => "MERGED",
    }
}

pub(super) fn reference<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    prefix: &str,
    name: &str,
    oid: &Oid,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(format!("REF_{}_{prefix}{name}", at.id)),
        "name" => leaf(name),
        "prefix" => leaf(prefix),
        "repository" => context.object(Thing::Repository(at)),
        "target" => context.nullable(context.commit(at, oid)),
        "associatedPullRequests" => {
            // All pull requests whose head this branch is, wherever they go.
            let github = &context.world.github;
            let from_here = github.repositories.iter().filter(|base| context.access.sees(base)).flat_map(|base| {
                base.pulls
                    .iter()
                    .filter(move |pull| {
                        pull.head == name && github.head_repository(base, pull).is_some_and(|head| head.id == at.id)
                    })
                    .map(move |pull| (base, pull))
            });
            let pulls = filtered(from_here.collect(), info);
            Connection::resolve(context, info, PULLS, pulls, |(at, pull)| Thing::Pull(at, pull), Vec::new())
        }
        "compare" => {
            let head = text(info, "headRef").unwrap_or_default();
            let head = if head.len() == 40 && head.bytes().all(|b| b.is_ascii_hexdigit()) {
                Some(Oid::from(head))
            } else {
                at.branches.get(head.strip_prefix("refs/heads/").unwrap_or(head)).cloned()
            };
            let head = head.filter(|head| context.world.github.commit(at, head).is_some());
            context.nullable(head.map(|head| {
                let comparison = context.world.github.compare(at, oid, &head);
                Thing::Comparison(at, oid.clone(), head, comparison)
            }))
        }
        _ => context.unknown("Ref", info),
    }
}

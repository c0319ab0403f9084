//! The parts of REST that a reader of CI needs.

use chrono::SecondsFormat;
use http::Method;
use serde_json::{Value, json};

use super::access::{self, Access};
use super::{apps, message, not_found, pulls, rated, spend};
use crate::wire::{Answer, Ask, decoded};
use crate::world::{CheckRun, Commit, Oid, Repository, Status, World};

pub(super) fn answer(world: &mut World, ask: &Ask, path: &str) -> Answer {
    let parts: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let get = ask.method == Method::GET;
    match parts.as_slice() {
        ["app", rest @ ..] => apps::answer(world, ask, rest),
        ["repos", owner, name, "installation"] if get => apps::of_repository(world, ask, &format!("{owner}/{name}")),
        rest => {
            let Some(access) = access::access(world, ask) else { return message(401, "Bad credentials") };
            if rest == ["rate_limit"] && get {
                return rate_limit(world, &access);
            }
            let standing = spend(world, &access.principal, "core", 1);
            if standing.is_some_and(|standing| standing.exhausted) {
                let text = format!("API rate limit exceeded for {}.", access.principal.replace(':', " ID "));
                return rated(message(403, &text), standing, "core");
            }
            let answer = if get { read(world, &access, ask, rest) } else { not_found() };
            rated(answer, standing, "core")
        }
    }
}

/// `GET /rate_limit`, which is free.
fn rate_limit(world: &mut World, access: &Access) -> Answer {
    let mut resources = json!({});
    for resource in ["core", "graphql"] {
        let Some(standing) = spend(world, &access.principal, resource, 0) else {
            return message(404, "Rate limiting is not enabled.");
        };
        resources[resource] = json!({"limit": standing.limit, "used": standing.used,
            "remaining": standing.remaining, "reset": standing.reset});
    }
    let rate = resources["core"].clone();
    Answer::json(200, &json!({"resources": resources, "rate": rate}))
}

fn read(world: &World, access: &Access, ask: &Ask, parts: &[&str]) -> Answer {
    match parts {
        ["user"] if access.installation => message(403, access.refusal()),
        ["user"] => Answer::json(200, &json!({"login": access.login, "id": 1, "type": "User"})),
        ["repositories", id] => {
            let found = world.github.repositories.iter().find(|at| at.id.to_string() == *id);
            found.filter(|at| access.sees(at)).map_or_else(not_found, |at| Answer::json(200, &repository(at)))
        }
        ["repos", owner, name, rest @ ..] => {
            let full = format!("{owner}/{name}");
            if let Some(at) = world.github.repository(&full) {
                return if access.sees(at) { of_repository(world, access, ask, at, rest) } else { not_found() };
            }
            match world.github.repository_followed(&full).filter(|at| access.sees(at)) {
                Some(at) => moved(world, ask, at, rest),
                None => not_found(),
            }
        }
        ["repositories", id, rest @ ..] => {
            let found = world.github.repositories.iter().find(|at| at.id.to_string() == *id);
            match found.filter(|at| access.sees(at)) {
                Some(at) => of_repository(world, access, ask, at, rest),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

/// A renamed repository: to where it is by its id.
fn moved(world: &World, ask: &Ask, at: &Repository, rest: &[&str]) -> Answer {
    let base = if world.github.enterprise { "/api/v3" } else { "" };
    let host = ask.header(http::header::HOST).unwrap_or("localhost");
    let mut url = format!("http://{host}{base}/repositories/{}", at.id);
    for part in rest {
        url.push('/');
        url.push_str(part);
    }
    let body = json!({"message": "Moved Permanently", "url": url, "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"});
    Answer::json(301, &body).with("location", url)
}

fn of_repository(world: &World, access: &Access, ask: &Ask, at: &Repository, rest: &[&str]) -> Answer {
    match rest {
        [] => Answer::json(200, &repository(at)),
        ["pulls"] => pulls::list(world, access, ask, at),
        ["compare", basehead @ ..] => compare(world, at, &basehead.join("/")),
        ["commits", reference @ .., "check-runs"] if !reference.is_empty() => {
            if let Some(why) = access.refused_checks(at) {
                return message(403, why);
            }
            let Some((oid, _)) = resolved(world, at, &reference.join("/")) else {
                return message(422, "No commit found for SHA");
            };
            check_runs(ask, at, oid)
        }
        ["commits", reference @ .., "status"] if !reference.is_empty() => {
            match resolved(world, at, &reference.join("/")) {
                Some((oid, _)) => combined_status(at, oid),
                None => message(422, "No commit found for SHA"),
            }
        }
        ["commits", reference @ ..] if !reference.is_empty() => {
            let reference = reference.join("/");
            match resolved(world, at, &reference) {
                Some((oid, commit)) => Answer::json(200, &commit_json(at, oid, commit)),
                None => message(422, &format!("No commit found for SHA: {reference}")),
            }
        }
        _ => not_found(),
    }
}

pub(super) fn repository(at: &Repository) -> Value {
    json!({
        "id": at.id,
        "node_id": format!("R_{}", at.id),
        "name": at.name,
        "full_name": at.full_name(),
        "private": at.private,
        "fork": at.fork_of.is_some(),
        "default_branch": at.default_branch,
        "owner": {"login": at.owner, "type": "Organization"},
    })
}

/// A commit by sha, branch, full ref, or `owner:branch` of a fork.
fn resolved<'a>(world: &'a World, at: &'a Repository, reference: &str) -> Option<(&'a Oid, &'a Commit)> {
    if let Some((owner, branch)) = reference.split_once(':') {
        let fork = world.github.network(at).find(|fork| fork.owner.eq_ignore_ascii_case(owner))?;
        return world.github.commit(at, fork.branches.get(branch)?);
    }
    let full = reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_hexdigit());
    let named = at.branches.get(reference.trim_start_matches("refs/").trim_start_matches("heads/"));
    let oid = named.cloned().or_else(|| full.then(|| Oid::from(reference)))?;
    world.github.commit(at, &oid)
}

fn commit_json(at: &Repository, oid: &Oid, commit: &Commit) -> Value {
    let person = |person: &crate::world::Person, date: chrono::DateTime<chrono::Utc>| json!({"name": person.name, "email": person.email, "date": date.to_rfc3339_opts(SecondsFormat::Secs, true)});
    let account = |person: &crate::world::Person| match &person.login {
        Some(login) => json!({"login": login}),
        None => Value::Null,
    };
    let parents: Vec<Value> = commit.parents.iter().map(|parent| json!({"sha": &**parent})).collect();
    json!({
        "sha": &**oid,
        "html_url": format!("https://github.com/{}/commit/{oid}", at.full_name()),
        "commit": {
            "author": person(&commit.author, commit.authored()),
            "committer": person(&commit.committer, commit.committed()),
            "message": commit.message,
        },
        "author": account(&commit.author),
        "committer": account(&commit.committer),
        "parents": parents,
    })
}

/// `compare/{base}...{head}`.
fn compare(world: &World, at: &Repository, basehead: &str) -> Answer {
    let Some((base, head)) = basehead.split_once("...") else { return not_found() };
    let (Some((base, base_commit)), Some((head, _))) = (resolved(world, at, base), resolved(world, at, head)) else {
        return not_found();
    };
    let comparison = world.github.compare(at, base, head);
    let Some((merge_base, merge_commit)) = comparison.merge_base.as_ref().and_then(|oid| world.github.commit(at, oid))
    else {
        return message(404, "No common ancestor between the two commits.");
    };
    let commits: Vec<Value> = comparison
        .ahead
        .iter()
        .take(250)
        .filter_map(|oid| world.github.commit(at, oid))
        .map(|(oid, commit)| commit_json(at, oid, commit))
        .collect();
    Answer::json(
        200,
        &json!({
            "status": comparison.status(),
            "ahead_by": comparison.ahead.len(),
            "behind_by": comparison.behind_by,
            "total_commits": comparison.ahead.len(),
            "base_commit": commit_json(at, base, base_commit),
            "merge_base_commit": commit_json(at, merge_base, merge_commit),
            "commits": commits,
        }),
    )
}

/// `commits/{ref}/status`: the newest status of each context, and what they amount to.
fn combined_status(at: &Repository, oid: &Oid) -> Answer {
    let all = at.statuses.get(oid).map_or(&[][..], Vec::as_slice);
    let newest: Vec<&Status> = (0..all.len())
        .filter(|nth| all[nth + 1..].iter().all(|later| later.context != all[*nth].context))
        .map(|nth| &all[nth])
        .collect();
    let any = |states: &[&str]| newest.iter().any(|status| states.contains(&status.state.as_str()));
    let state = match newest.as_slice() {
        [] => "pending",
        _ if any(&["failure", "error"]) => "failure",
        _ if any(&["pending"]) => "pending",
        _ => "success",
    };
    let shown: Vec<Value> =
        newest.iter().map(|status| json!({"context": status.context, "state": status.state})).collect();
    Answer::json(
        200,
        &json!({"state": state, "statuses": shown, "sha": &**oid, "total_count": newest.len(), "repository": repository(at)}),
    )
}

/// `commits/{ref}/check-runs`; `filter=latest` leaves, of one name within one suite, only the newest.
fn check_runs(ask: &Ask, at: &Repository, oid: &Oid) -> Answer {
    let one = |name: &str| ask.parameters(name).next();
    let mut runs: Vec<&CheckRun> = at.checks.get(oid).map(|all| all.iter().collect()).unwrap_or_default();
    if one("filter").as_deref() != Some("all") {
        let all = runs.clone();
        runs.retain(|run| {
            !all.iter().any(|other| other.suite == run.suite && other.name == run.name && other.id > run.id)
        });
    }
    if let Some(name) = one("check_name") {
        runs.retain(|run| run.name == name);
    }
    if let Some(status) = one("status") {
        runs.retain(|run| run.status == status);
    }
    if let Some(app) = one("app_id") {
        runs.retain(|run| run.app.id.to_string() == app);
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    let size = one("per_page").and_then(|size| size.parse::<usize>().ok()).unwrap_or(30).clamp(1, 100);
    let page = one("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
    let date = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let shown: Vec<Value> = runs
        .iter()
        .skip(size * (page - 1))
        .take(size)
        .map(|run| {
            json!({
                "id": run.id,
                "name": run.name,
                "head_sha": &**oid,
                "status": run.status,
                "conclusion": run.conclusion,
                "started_at": date(run.started_at),
                "completed_at": date(run.completed_at),
                "app": {"id": run.app.id, "slug": run.app.slug, "name": run.app.name},
                "check_suite": {"id": run.suite},
            })
        })
        .collect();
    let answer = Answer::json(200, &json!({"total_count": runs.len(), "check_runs": shown}));
    if size * page < runs.len() {
        let url = format!("{}?per_page={size}&page={}", ask.path, page + 1);
        let host = ask.header(http::header::HOST).unwrap_or("localhost");
        return answer.with("link", format!("<http://{host}{url}>; rel=\"next\""));
    }
    answer
}

//! `GET /repos/{owner}/{name}/pulls`, as Argo CD's pull request generator lists them.

use std::cmp::Reverse;

use chrono::{DateTime, SecondsFormat, Utc};
use http::header;
use serde_json::{Value, json};

use super::access::Access;
use super::{message, rest};
use crate::wire::{Answer, Ask};
use crate::world::{Pull, PullState, Repository, World};

/// Who opened what a deleted account had opened.
const GHOST: &str = "ghost";

/// What a listing is asked for.
struct Wanted {
    state: String,
    base: Option<String>,
    ascending: bool,
    size: usize,
    page: usize,
}

impl Wanted {
    /// Reads the parameters. GitHub looks over names that it does not know; here they are an error, as are its own that are not
    /// simulated.
    fn of(ask: &Ask) -> Result<Self, String> {
        const KNOWN: [&str; 6] = ["state", "base", "sort", "direction", "per_page", "page"];
        let names = ask.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next());
        if let Some(name) = names.flatten().find(|name| !KNOWN.contains(name)) {
            return Err(format!("the simulator does not know the parameter {name:?}"));
        }
        let one = |name: &str| ask.parameters(name).next();
        let choice = |name: &str, of: &[&str]| match one(name) {
            None => Ok(of[0].to_owned()),
            Some(value) if of.contains(&value.as_str()) => Ok(value),
            Some(value) => Err(format!("{name} cannot be {value:?}")),
        };
        let number = |name: &str, default: usize| match one(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| format!("{name} is no number: {value:?}")),
        };
        choice("sort", &["created"])?;
        Ok(Self {
            state: choice("state", &["open", "closed", "all"])?,
            base: one("base"),
            ascending: choice("direction", &["desc", "asc"])? == "asc",
            size: number("per_page", 30)?.clamp(1, 100),
            page: number("page", 1)?.max(1),
        })
    }

    fn takes(&self, pull: &Pull) -> bool {
        let state = match self.state.as_str() {
            "open" => pull.state == PullState::Open,
            "closed" => pull.state != PullState::Open,
            _ => true,
        };
        state && self.base.as_ref().is_none_or(|base| *base == pull.base)
    }
}

/// A page of pull requests, the newest first.
pub(super) fn list(world: &World, access: &Access, ask: &Ask, at: &Repository) -> Answer {
    let wanted = match Wanted::of(ask) {
        Ok(wanted) => wanted,
        Err(why) => return message(422, &format!("Validation Failed: {why}")),
    };
    let mut pulls: Vec<&Pull> = at.pulls.iter().filter(|pull| wanted.takes(pull)).collect();
    pulls.sort_by_key(|pull| Reverse((pull.created_at, pull.number)));
    if wanted.ascending {
        pulls.reverse();
    }
    let shown = pulls.iter().skip(wanted.size * (wanted.page - 1)).take(wanted.size);
    let shown: Vec<Value> = shown.map(|pull| pull_json(world, access, at, pull)).collect();
    let answer = Answer::json(200, &Value::from(shown));
    match links(world, ask, at, wanted.page, pulls.len().div_ceil(wanted.size)) {
        links if links.is_empty() => answer,
        links => answer.with("link", links),
    }
}

/// The `Link` header: the way to the other pages, by the repository's id.
fn links(world: &World, ask: &Ask, at: &Repository, page: usize, last: usize) -> String {
    let base = if world.github.enterprise { "/api/v3" } else { "" };
    let host = ask.header(header::HOST).unwrap_or("localhost");
    let kept = ask.query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("page="));
    let kept: String = kept.flat_map(|pair| [pair, "&"]).collect();
    let to = |page: usize, rel: &str| {
        format!("<http://{host}{base}/repositories/{}/pulls?{kept}page={page}>; rel=\"{rel}\"", at.id)
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(to(page - 1, "prev"));
    }
    if page < last {
        links.push(to(page + 1, "next"));
        links.push(to(last, "last"));
    }
    if page > 1 {
        links.push(to(1, "first"));
    }
    links.join(", ")
}

fn pull_json(world: &World, access: &Access, at: &Repository, pull: &Pull) -> Value {
    let head = world.github.head_repository(at, pull);
    let account = |login: &str| json!({"login": login, "type": "User"});
    let side = |branch: &str, sha: Option<&str>, repository: Option<&Repository>| {
        let owner = repository.map(|at| at.owner.as_str());
        json!({
            "label": owner.map_or_else(|| format!("unknown:{branch}"), |owner| format!("{owner}:{branch}")),
            "ref": branch,
            "sha": sha,
            "user": owner.map(account),
            "repo": repository.filter(|at| access.sees(at)).map(rest::repository),
        })
    };
    let date = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let labels: Vec<Value> = pull.labels.iter().map(|name| json!({"name": name, "default": false})).collect();
    json!({
        "id": pull.id,
        "node_id": format!("PR_{}", pull.id),
        "html_url": format!("https://github.com/{}/pull/{}", at.full_name(), pull.number),
        "number": pull.number,
        "state": if pull.state == PullState::Open { "open" } else { "closed" },
        "title": pull.title,
        "draft": pull.draft,
        "user": account(pull.author.as_deref().unwrap_or(GHOST)),
        "labels": labels,
        "created_at": date(pull.created_at),
        "updated_at": date(pull.updated_at),
        "merged_at": date(pull.updated_at.filter(|_| pull.state == PullState::Merged)),
        "merge_commit_sha": pull.merge_commit.as_deref().or(pull.test_merge.as_deref()),
        "head": side(&pull.head, Some(pull.head_sha()), head),
        "base": side(&pull.base, pull.base_sha.as_deref(), Some(at)),
    })
}

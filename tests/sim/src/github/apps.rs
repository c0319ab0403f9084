//! REST as an App uses it: who it is, where it is installed, tokens for an installation.

use chrono::{Duration, SecondsFormat};
use http::Method;
use serde_json::{Value, json};

use super::{access, message, not_found};
use crate::wire::{Answer, Ask};
use crate::world::{App, Installation, InstallationToken, World};

/// Everything under `/app`.
pub(super) fn answer(world: &mut World, ask: &Ask, parts: &[&str]) -> Answer {
    let get = ask.method == Method::GET;
    match parts {
        [] if get => {
            with_app(world, ask, |_, app| Answer::json(200, &json!({"id": app.id, "slug": app.slug, "name": app.slug})))
        }
        ["installations"] if get => with_app(world, ask, |_, app| {
            let all: Vec<Value> = app.installations.iter().map(|one| installation(app, one)).collect();
            Answer::json(200, &json!(all))
        }),
        ["installations", id] if get => with_app(world, ask, |_, app| {
            let found = app.installations.iter().find(|one| one.id.to_string() == *id);
            found.map_or_else(not_found, |one| Answer::json(200, &installation(app, one)))
        }),
        ["installations", id, "access_tokens"] if ask.method == Method::POST => mint(world, ask, id),
        _ => not_found(),
    }
}

/// `GET /repos/{owner}/{name}/installation`.
pub(super) fn of_repository(world: &World, ask: &Ask, full_name: &str) -> Answer {
    with_app(world, ask, |world, app| {
        let Some(at) = world.github.repository(full_name) else { return not_found() };
        let found = app.installations.iter().find(|one| {
            one.account.eq_ignore_ascii_case(&at.owner)
                && one
                    .repositories
                    .as_ref()
                    .is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(full_name)))
        });
        found.map_or_else(not_found, |one| Answer::json(200, &installation(app, one)))
    })
}

/// An account with all its links, as REST always shows it.
fn account(login: &str) -> Value {
    let url = format!("https://api.github.com/users/{login}");
    let mut out = json!({
        "login": login,
        "id": 1,
        "node_id": format!("O_{login}"),
        "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": format!("https://github.com/{login}"),
        "type": "Organization",
        "site_admin": false,
    });
    for link in ["followers", "following", "gists", "starred", "subscriptions", "repos", "events", "received_events"] {
        out[format!("{link}_url")] = json!(format!("{url}/{link}"));
    }
    out["organizations_url"] = json!(format!("{url}/orgs"));
    out
}

/// Answers the holder of an App's JWT.
fn with_app(world: &World, ask: &Ask, answer: impl FnOnce(&World, &App) -> Answer) -> Answer {
    match access::app(world, ask) {
        Ok(app) => answer(world, app),
        Err(why) => message(401, why),
    }
}

fn installation(app: &App, one: &Installation) -> Value {
    json!({
        "id": one.id,
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": 1,
        "target_type": "Organization",
        "account": account(&one.account),
        "access_tokens_url": format!("https://api.github.com/app/installations/{}/access_tokens", one.id),
        "repositories_url": "https://api.github.com/installation/repositories",
        "html_url": format!("https://github.com/organizations/{}/settings/installations/{}", one.account, one.id),
        "events": [],
        "single_file_name": null,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "repository_selection": if one.repositories.is_some() { "selected" } else { "all" },
        "permissions": permissions(one),
        "suspended_at": null,
    })
}

fn permissions(one: &Installation) -> Value {
    let mut out = json!({"contents": "read", "metadata": "read", "pull_requests": "read", "statuses": "read"});
    if one.checks {
        out["checks"] = json!("read");
    }
    out
}

/// `POST /app/installations/{id}/access_tokens`.
fn mint(world: &mut World, ask: &Ask, id: &str) -> Answer {
    let app = match access::app(world, ask) {
        Ok(app) => app,
        Err(why) => return message(401, why),
    };
    let Some(one) = app.installations.iter().find(|one| one.id.to_string() == id) else { return not_found() };
    let expires_at = world.now + Duration::hours(1);
    let token = format!("ghs_sim{}x{:032}", one.id, world.github.installation_tokens.len() + 1);
    let body = json!({
        "token": token,
        "expires_at": expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "permissions": permissions(one),
        "repository_selection": if one.repositories.is_some() { "selected" } else { "all" },
    });
    let minted = InstallationToken { token, installation: one.id, expires_at };
    world.github.installation_tokens.push(minted);
    Answer::json(201, &body)
}

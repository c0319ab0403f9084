//! GitHub: GraphQL over its published schema and the parts of REST that go with it.

mod access;
mod app_key;
mod apps;
mod cost;
mod graphql;
mod pulls;
mod resolve;
mod rest;
mod schema;

pub use app_key::AppKey;
pub use cost::{Cost, CostError, cost};
pub use schema::schema;

use chrono::Duration;
use http::{Method, header};
use serde_json::json;

use crate::sim::{Kind, Shared};
use crate::wire::{Answer, Ask};
use crate::world::{Budget, World};

/// What a request asks for.
pub(crate) fn kind(ask: &Ask) -> Kind {
    if ask.path == "/graphql" || ask.path == "/api/graphql" {
        Kind::GraphQl
    } else if ask.method == Method::POST && ask.path.ends_with("/access_tokens") {
        Kind::TokenMint
    } else {
        Kind::Rest
    }
}

/// Answers a request.
pub(crate) fn answer(shared: &Shared, ask: &Ask) -> Answer {
    if ask.header(header::USER_AGENT).is_none_or(str::is_empty) {
        return Answer::new(
            403,
            "text/html",
            "\r\nRequest forbidden by administrative rules. Please make sure your request has a User-Agent header\r\n",
        );
    }
    let mut world = shared.world();
    let mut lagging = shared.lagging();
    if let Some(old) = lagging.as_mut() {
        std::mem::swap(&mut world.github.repositories, old);
    }
    let answer = routed(&mut world, shared, ask);
    if let Some(old) = lagging.as_mut() {
        std::mem::swap(&mut world.github.repositories, old);
    }
    answer
}

fn routed(world: &mut World, shared: &Shared, ask: &Ask) -> Answer {
    let enterprise = world.github.enterprise;
    let graphql = if enterprise { "/api/graphql" } else { "/graphql" };
    if ask.path == graphql {
        return graphql::answer(world, shared, ask);
    }
    let path = if enterprise { ask.path.strip_prefix("/api/v3") } else { Some(ask.path.as_str()) };
    match path.filter(|path| *path != "/graphql") {
        Some(path) => rest::answer(world, ask, path),
        None => not_found(),
    }
}

/// GitHub's 404.
fn not_found() -> Answer {
    message(404, "Not Found")
}

/// An answer that is a message.
fn message(status: u16, text: &str) -> Answer {
    Answer::json(
        status,
        &json!({"message": text, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()}),
    )
}

/// How a credential stands to one of its limits.
#[derive(Debug, Clone, Copy)]
struct Standing {
    limit: u64,
    used: u64,
    remaining: u64,
    /// Seconds since the epoch.
    reset: i64,
    exhausted: bool,
}

/// Spends from an hourly budget, unless nothing is left of it. `None`: this server has no limits.
fn spend(world: &mut World, principal: &str, resource: &str, points: u64) -> Option<Standing> {
    let limit = if resource == "graphql" { world.github.limits.graphql } else { world.github.limits.rest };
    if world.github.enterprise {
        return None;
    }
    let now = world.now;
    let fresh = Budget { used: 0, reset_at: now + Duration::hours(1) };
    let budget = world.github.budgets.entry(format!("{principal}/{resource}")).or_insert_with(|| fresh.clone());
    if budget.reset_at <= now {
        *budget = fresh;
    }
    let exhausted = budget.used >= limit && points > 0;
    if !exhausted {
        budget.used += points;
    }
    Some(Standing {
        limit,
        used: budget.used,
        remaining: limit.saturating_sub(budget.used),
        reset: budget.reset_at.timestamp(),
        exhausted,
    })
}

/// Shows the budget in the headers, as every answer does.
fn rated(answer: Answer, standing: Option<Standing>, resource: &str) -> Answer {
    let Some(standing) = standing else { return answer };
    answer
        .with("x-ratelimit-limit", standing.limit)
        .with("x-ratelimit-remaining", standing.remaining)
        .with("x-ratelimit-used", standing.used)
        .with("x-ratelimit-reset", standing.reset)
        .with("x-ratelimit-resource", resource)
}

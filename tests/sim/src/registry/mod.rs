//! The OCI registry: the pull half of the distribution protocol, as docker-registry 2.8 and GHCR speak it.

mod auth;
mod pull;

use http::Method;
use serde_json::json;

use crate::sim::{Kind, Service, Shared};
use crate::wire::{Answer, Ask};
use crate::world::{Realm, RegistryAuth, RegistryWorld};

/// What a path asks for.
pub(crate) fn kind(path: &str) -> Kind {
    if path == "/token" {
        return Kind::Token;
    }
    match Route::of(path) {
        Some(Route::Manifest(..)) => Kind::Manifest,
        Some(Route::Blob(..)) => Kind::Blob,
        Some(Route::Tags(_)) => Kind::TagsList,
        Some(Route::Root) | None => Kind::Other,
    }
}

/// A path of the protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'a> {
    Root,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Tags(&'a str),
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        if rest.is_empty() {
            return Some(Self::Root);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return is_name(name).then_some(Self::Tags(name));
        }
        let (name, what, reference) = match (rest.rsplit_once("/manifests/"), rest.rsplit_once("/blobs/")) {
            (Some((name, reference)), _) => (name, false, reference),
            (None, Some((name, reference))) => (name, true, reference),
            (None, None) => return None,
        };
        if !is_name(name) || reference.contains('/') {
            return None;
        }
        Some(if what { Self::Blob(name, reference) } else { Self::Manifest(name, reference) })
    }

    /// The repository it is about.
    fn name(self) -> Option<&'a str> {
        match self {
            Self::Root => None,
            Self::Manifest(name, _) | Self::Blob(name, _) | Self::Tags(name) => Some(name),
        }
    }
}

/// Whether a text is a repository name by the specification's grammar.
fn is_name(name: &str) -> bool {
    name.split('/').all(|part| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        let ends = bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
        ends && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
    })
}

/// Answers a request to the registry, or to the token server of another host.
pub(crate) fn answer(shared: &Shared, service: Service, ask: &Ask) -> Answer {
    let mut world = shared.world();
    let own_tokens = world.registry.auth == RegistryAuth::Bearer && world.registry.realm == Realm::Same;
    if ask.path == "/token" && (service == Service::Realm || own_tokens) {
        return auth::token(&mut world, ask);
    }
    if service == Service::Realm {
        return Answer::new(404, "text/plain", "404 page not found\n");
    }
    if let Some(clean) = cleaned(&ask.path) {
        return Answer::new(301, "text/html; charset=utf-8", "").with("location", clean);
    }
    let Some(route) = Route::of(&ask.path) else {
        return Answer::new(404, "text/plain; charset=utf-8", "404 page not found\n");
    };
    if !matches!(ask.method, Method::GET | Method::HEAD) {
        return error(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    if let Some(refused) = auth::refused(&world, shared, ask, route.name()) {
        return refused.with("docker-distribution-api-version", "registry/2.0");
    }
    if let Route::Manifest(..) = route
        && let Some((limit, left)) = world.registry.pull_limit
    {
        return limited(&mut world.registry, ask, route, (limit, left));
    }
    answered(&world.registry, ask, route)
}

/// A manifest where pulls are counted.
fn limited(registry: &mut RegistryWorld, ask: &Ask, route: Route<'_>, (limit, left): (u64, u64)) -> Answer {
    let is_pull = ask.method == Method::GET;
    let answer = match left {
        0 if is_pull => error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit."),
        _ => answered(registry, ask, route),
    };
    let left = left.saturating_sub(u64::from(is_pull));
    registry.pull_limit = Some((limit, left));
    answer.with("ratelimit-limit", format!("{limit};w=21600")).with("ratelimit-remaining", format!("{left};w=21600"))
}

fn answered(registry: &RegistryWorld, ask: &Ask, route: Route<'_>) -> Answer {
    let answer = match route {
        Route::Root => Answer::json(200, &json!({})),
        Route::Manifest(name, reference) => pull::manifest(registry, ask, name, reference),
        Route::Blob(name, digest) => pull::blob(registry, name, digest),
        Route::Tags(name) => pull::tags(registry, ask, name),
    };
    answer.with("docker-distribution-api-version", "registry/2.0")
}

/// A path without dot segments and empty ones, if it has any: registries redirect there, into another repository if one is
/// careless with names.
fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let trailing = path.ends_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let slash = if trailing && !parts.is_empty() { "/" } else { "" };
    let clean = format!("/{}{slash}", parts.join("/"));
    (clean != path).then_some(clean)
}

/// An error as the protocol writes it.
fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"errors": [{"code": code, "message": message}]}))
}

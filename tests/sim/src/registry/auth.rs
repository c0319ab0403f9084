//! Who may read: challenges, the token endpoint, and tokens bound to a scope and a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{Duration, SecondsFormat};
use http::{Method, header};
use serde_json::json;

use super::error;
use crate::sim::Shared;
use crate::wire::{Answer, Ask};
use crate::world::{Credential, Denial, IssuedToken, Realm, RegistryAuth, RegistryWorld, World};

/// Refuses whoever may not ask this.
pub(super) fn refused(world: &World, shared: &Shared, ask: &Ask, name: Option<&str>) -> Option<Answer> {
    let registry = &world.registry;
    match registry.auth {
        RegistryAuth::Anonymous => None,
        RegistryAuth::Basic => basic(registry, ask, name),
        RegistryAuth::Bearer => bearer(world, shared, ask, name),
    }
}

fn basic(registry: &RegistryWorld, ask: &Ask, name: Option<&str>) -> Option<Answer> {
    let Some(who) = given(ask).and_then(|(user, password)| registry.credential(&user, &password)) else {
        return Some(
            error(401, "UNAUTHORIZED", "authentication required")
                .with("www-authenticate", "Basic realm=\"simulated registry\""),
        );
    };
    let denied = name.is_some_and(|name| !registry.may_read(Some(who), name));
    denied.then(|| error(403, "DENIED", "requested access to the resource is denied"))
}

fn bearer(world: &World, shared: &Shared, ask: &Ask, name: Option<&str>) -> Option<Answer> {
    let token = ask.header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let why = match token.map(|token| world.registry.tokens.get(token)) {
        None => None,
        Some(None) => Some("invalid_token"),
        Some(Some(issued)) if issued.expires_at <= world.now => Some("invalid_token"),
        Some(Some(issued)) => match name {
            Some(name) if !issued.pull.iter().any(|one| one == name) => Some("insufficient_scope"),
            _ => return None,
        },
    };
    let realm = match world.registry.realm {
        Realm::Same => shared.registry,
        Realm::Other => shared.realm,
    };
    let mut challenge = format!("Bearer realm=\"http://{realm}/token\",service=\"{}\"", service(shared));
    // Without a repository GHCR names one that nobody has.
    let name = name.unwrap_or("user/image");
    for (key, value) in [("scope", Some(format!("repository:{name}:pull"))), ("error", why.map(str::to_owned))] {
        if let Some(value) = value {
            challenge = format!("{challenge},{key}=\"{value}\"");
        }
    }
    Some(error(401, "UNAUTHORIZED", "authentication required").with("www-authenticate", challenge))
}

fn service(shared: &Shared) -> String {
    shared.registry.to_string()
}

/// `GET /token?service=…&scope=repository:name:pull`.
pub(super) fn token(world: &mut World, ask: &Ask) -> Answer {
    if ask.method != Method::GET {
        return error(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    let registry = &world.registry;
    let who: Option<&Credential> = match given(ask) {
        None if ask.headers.contains_key(header::AUTHORIZATION) => return denied(401),
        None => None,
        Some((user, password)) => match registry.credential(&user, &password) {
            None => return denied(401),
            Some(who) => Some(who),
        },
    };
    let mut pull = Vec::new();
    for scope in ask.parameters("scope").flat_map(|scopes| scopes.split(' ').map(str::to_owned).collect::<Vec<_>>()) {
        let mut parts = scope.splitn(3, ':');
        let (Some("repository"), Some(name), Some(actions)) = (parts.next(), parts.next(), parts.next()) else {
            return error(400, "UNSUPPORTED", "invalid scope");
        };
        // To a stranger, what is not there looks like what is private.
        let readable = registry.may_read(who, name) && (who.is_some() || registry.repositories.contains_key(name));
        match (readable, registry.denial) {
            (true, _) if actions.split(',').any(|action| action == "pull") => pull.push(name.to_owned()),
            (true, _) | (false, Denial::Powerless) => {}
            (false, Denial::Unauthorized) => return denied(401),
            (false, Denial::Forbidden) => return denied(403),
        }
    }
    let expires_at = world.now + Duration::seconds(registry.token_seconds);
    let token = format!("sim-registry-token-{}", registry.tokens.len() + 1);
    let mut body = json!({"token": token});
    if registry.says_expiry {
        body["expires_in"] = json!(registry.token_seconds);
        body["issued_at"] = json!(world.now.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    world.registry.tokens.insert(token, IssuedToken { pull, expires_at });
    Answer::json(200, &body)
}

fn denied(status: u16) -> Answer {
    let code = if status == 401 { "UNAUTHORIZED" } else { "DENIED" };
    error(
        status,
        code,
        if status == 401 { "authentication required" } else { "requested access to the resource is denied" },
    )
}

/// The name and password of a Basic header.
fn given(ask: &Ask) -> Option<(String, String)> {
    let (scheme, value) = ask.header(header::AUTHORIZATION)?.split_once(' ')?;
    let text = STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(text).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

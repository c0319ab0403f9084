//! Manifests, blobs and tag listings.

use std::ops::Bound;

use http::header;
use serde_json::json;

use super::error;
use crate::wire::{Answer, Ask};
use crate::world::RegistryWorld;

/// `GET|HEAD /v2/<name>/manifests/<reference>`.
pub(super) fn manifest(registry: &RegistryWorld, ask: &Ask, name: &str, reference: &str) -> Answer {
    let unknown = || error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let Some(images) = registry.repositories.get(name) else { return unknown() };
    let digest = if reference.starts_with("sha256:") {
        reference
    } else if is_tag(reference) {
        let Some(digest) = images.tags.get(reference) else { return unknown() };
        digest
    } else {
        return error(404, "MANIFEST_INVALID", "manifest invalid");
    };
    let Some((digest, stored)) = images.manifests.get_key_value(digest) else { return unknown() };
    if !accepts(ask, &stored.media_type) {
        let what = if stored.media_type.contains("index") { "OCI index" } else { "manifest" };
        return error(404, "MANIFEST_UNKNOWN", &format!("{what} found, but accept header does not support it"));
    }
    let etag = format!("\"{digest}\"");
    let known = ask.header(header::IF_NONE_MATCH).is_some_and(|held| held == etag || held == digest);
    if known {
        return Answer::new(304, "text/plain", "").with("etag", etag);
    }
    let mut answer = Answer::new(200, "text/plain", stored.bytes.clone());
    answer = answer.with("content-type", &stored.media_type);
    answer.with("docker-content-digest", digest).with("etag", etag)
}

/// Exactly named media types only: a wildcard does not count, as in distribution.
fn accepts(ask: &Ask, media_type: &str) -> bool {
    ask.headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|one| one.trim() == media_type))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `GET|HEAD /v2/<name>/blobs/<digest>`.
pub(super) fn blob(registry: &RegistryWorld, name: &str, digest: &str) -> Answer {
    let Some(bytes) = registry.repositories.get(name).and_then(|images| images.blobs.get(digest)) else {
        return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    Answer::new(200, "application/octet-stream", bytes.clone())
        .with("docker-content-digest", digest)
        .with("etag", format!("\"{digest}\""))
}

/// `GET /v2/<name>/tags/list`.
pub(super) fn tags(registry: &RegistryWorld, ask: &Ask, name: &str) -> Answer {
    let Some(images) = registry.repositories.get(name) else {
        return Answer::json(
            404,
            &json!({"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry",
                "detail": {"name": name}}]}),
        );
    };
    let last = ask.parameters("last").next().unwrap_or_default();
    let after = if last.is_empty() { Bound::Unbounded } else { Bound::Excluded(last) };
    let rest: Vec<&String> = images.tags.range((after, Bound::Unbounded)).map(|(tag, _)| tag).collect();
    let asked = ask.parameters("n").next();
    let size = match asked.as_deref().map(str::parse::<usize>) {
        Some(Ok(size)) if !registry.ignores_page_size => size,
        Some(Err(_)) => return error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested"),
        _ => usize::MAX,
    };
    let page = &rest[..rest.len().min(size)];
    let answer = Answer::json(200, &json!({"name": name, "tags": page}));
    match page.last() {
        Some(last) if page.len() < rest.len() => {
            answer.with("link", format!("</v2/{name}/tags/list?last={last}&n={size}>; rel=\"next\""))
        }
        _ => answer,
    }
}

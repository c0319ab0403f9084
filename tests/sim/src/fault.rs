//! Failing on command: where, how, how often.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::sim::{Kind, Seen, Service};
use crate::wire::Answer;

/// More than anybody reads.
static HUGE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b' '; 64 << 20]));

/// A fault: from now on, whatever hits the target fails so.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where.
    pub on: Target,
    /// How.
    pub what: What,
    /// How often; `None` is until it is cleared.
    pub times: Option<u32>,
}

impl Fault {
    /// For ever.
    pub fn always(on: Target, what: What) -> Self {
        Self { on, what, times: None }
    }

    /// Once.
    pub fn once(on: Target, what: What) -> Self {
        Self { on, what, times: Some(1) }
    }
}

/// Requests that a fault or a hold is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Everything at GitHub.
    GitHub,
    /// GitHub's GraphQL.
    GraphQl,
    /// GraphQL requests whose body, document and variables, contains this.
    GraphQlWith(String),
    /// GitHub's REST, where the path (without `/api/v3`) begins so; `""` is all of it.
    Rest(String),
    /// Everything at the registry, its own token endpoint included.
    Registry,
    /// Manifests, of one repository or tag or of all.
    Manifests {
        /// The image repository; `None` is any.
        repository: Option<String>,
        /// The tag or digest; `None` is any.
        tag: Option<String>,
    },
    /// Blobs.
    Blobs,
    /// Tag listings.
    TagsList,
    /// The token endpoint, wherever it is.
    Token,
    /// Everything at the second listener.
    Realm,
}

impl Target {
    /// All manifests.
    pub fn manifests() -> Self {
        Self::Manifests { repository: None, tag: None }
    }

    /// The manifests of one repository.
    pub fn manifests_of(repository: &str) -> Self {
        Self::Manifests { repository: Some(repository.to_owned()), tag: None }
    }

    /// One manifest.
    pub fn manifest(repository: &str, tag: &str) -> Self {
        Self::Manifests { repository: Some(repository.to_owned()), tag: Some(tag.to_owned()) }
    }

    /// Whether a request is meant.
    pub fn matches(&self, seen: &Seen) -> bool {
        match self {
            Self::GitHub => seen.service == Service::GitHub,
            Self::GraphQl => seen.kind == Kind::GraphQl,
            Self::GraphQlWith(text) => seen.kind == Kind::GraphQl && seen.body.contains(text.as_str()),
            Self::Rest(prefix) => {
                let path = seen.path.strip_prefix("/api/v3").unwrap_or(&seen.path);
                seen.service == Service::GitHub && seen.kind != Kind::GraphQl && path.starts_with(prefix.as_str())
            }
            Self::Registry => seen.service == Service::Registry,
            Self::Manifests { repository, tag } => {
                seen.kind == Kind::Manifest
                    && seen.path.strip_prefix("/v2/").and_then(|path| path.rsplit_once("/manifests/")).is_some_and(
                        |(name, reference)| {
                            repository.as_deref().is_none_or(|one| one == name)
                                && tag.as_deref().is_none_or(|one| one == reference)
                        },
                    )
            }
            Self::Blobs => seen.kind == Kind::Blob,
            Self::TagsList => seen.kind == Kind::TagsList,
            Self::Token => seen.kind == Kind::Token,
            Self::Realm => seen.service == Service::Realm,
        }
    }
}

impl From<Service> for Target {
    fn from(service: Service) -> Self {
        match service {
            Service::GitHub => Self::GitHub,
            Service::Registry => Self::Registry,
            Service::Realm => Self::Realm,
        }
    }
}

/// Ways to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A status and a body.
    Status(u16, String),
    /// 429, with this `Retry-After` if any.
    TooManyRequests {
        /// The header's value, seconds or a date or nonsense.
        retry_after: Option<String>,
    },
    /// GitHub's secondary limit: 403, `Retry-After: 60`, its text.
    SecondaryLimit,
    /// GitHub's primary limit for GraphQL: 200 with an error of type `RATE_LIMITED` and nothing remaining.
    RateLimited200,
    /// 200 with an error and without data.
    GraphqlErrorIn200 {
        /// GitHub's error type.
        kind: String,
        /// Its text.
        message: String,
        /// Where; response keys separated by dots, empty for nowhere.
        path: String,
    },
    /// 200 with data, save for one path that is null with an error.
    PartialData {
        /// GitHub's error type.
        kind: String,
        /// Its text.
        message: String,
        /// Where; response keys separated by dots.
        path: String,
    },
    /// The first half of the true body.
    TruncatedJson,
    /// 200 with a page of HTML.
    NotJson,
    /// The connection is reset instead of an answer.
    ConnectionReset,
    /// No answer until it is released or the client goes away.
    Hang,
    /// A well-formed digest header that names something else.
    WrongDigestHeader,
    /// No digest header.
    NoDigestHeader,
    /// A digest header that is no digest.
    MalformedDigestHeader,
    /// 200 with 64 MiB of body.
    HugeBody,
    /// 307 to there.
    RedirectTo(String),
    /// 401 with a challenge that names this realm.
    CrossHostRealm(String),
    /// 405 to HEAD; GET works.
    HeadNotAllowed,
    /// A body that does not have the digest that the headers tell; HEAD is left alone.
    LyingBody,
    /// 200 without a body.
    EmptyBody200,
    /// This status, and all that the request showed to be let in repeated in the body, as every service words its errors.
    Echo(u16),
}

impl What {
    /// Whether such a request can fail so at all.
    pub(crate) fn concerns(&self, method: &Method) -> bool {
        match self {
            Self::HeadNotAllowed => *method == Method::HEAD,
            Self::LyingBody => *method != Method::HEAD,
            _ => true,
        }
    }

    /// The failure, if it takes the place of the true answer.
    pub(crate) fn instead(&self, seen: &Seen, error_type: &str) -> Option<Answer> {
        let github = seen.service == Service::GitHub;
        Some(match self {
            Self::Status(status, body) => {
                let content_type = if body.starts_with(['{', '[']) { "application/json" } else { "text/plain" };
                Answer::new(*status, content_type, body.clone())
            }
            Self::TooManyRequests { retry_after } => {
                let body = if github {
                    json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."})
                } else {
                    json!({"errors": [{"code": "TOOMANYREQUESTS", "message": "rate limited"}]})
                };
                let answer = Answer::json(429, &body);
                match retry_after {
                    Some(value) => answer.with("retry-after", value),
                    None => answer,
                }
            }
            Self::SecondaryLimit => Answer::json(
                403,
                &json!({
                    "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits",
                    "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                }),
            )
            .with("retry-after", 60),
            Self::RateLimited200 => {
                Answer::json(200, &json!({"errors": [{"type": error_type, "message": "API rate limit already exceeded for user ID 1."}]}))
                    .with("x-ratelimit-remaining", 0)
            }
            Self::GraphqlErrorIn200 { kind, message, path } => {
                let mut error = json!({"type": kind, "message": message});
                if !path.is_empty() {
                    error["path"] = segments(path);
                }
                Answer::json(200, &json!({"data": null, "errors": [error]}))
            }
            Self::NotJson => Answer::new(200, "text/html; charset=utf-8", "<!DOCTYPE html><html><body>Unicorn!</body></html>"),
            Self::HugeBody => Answer::new(200, "application/json", HUGE.clone()),
            Self::RedirectTo(url) => Answer::new(307, "text/plain", "").with("location", url),
            Self::CrossHostRealm(realm) => {
                let scope = seen
                    .path
                    .strip_prefix("/v2/")
                    .and_then(|path| path.rsplit_once("/manifests/").or_else(|| path.rsplit_once("/blobs/")))
                    .map_or_else(String::new, |(name, _)| format!(",scope=\"repository:{name}:pull\""));
                Answer::json(401, &json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}))
                    .with("www-authenticate", format!("Bearer realm=\"{realm}\",service=\"registry\"{scope}"))
            }
            Self::HeadNotAllowed => Answer::new(405, "text/plain", "").with("allow", "GET"),
            Self::EmptyBody200 => Answer::new(200, "application/json", ""),
            Self::Echo(status) => {
                let shown = shown(seen);
                let error = json!({"type": "INTERNAL", "code": "DENIED", "message": shown, "path": ["repository"]});
                let message = format!("Bad credentials: {shown}");
                Answer::json(*status, &json!({"message": message, "details": shown, "errors": [error]}))
            }
            Self::PartialData { .. }
            | Self::TruncatedJson
            | Self::ConnectionReset
            | Self::Hang
            | Self::WrongDigestHeader
            | Self::NoDigestHeader
            | Self::MalformedDigestHeader
            | Self::LyingBody => return None,
        })
    }

    /// Bends the true answer.
    pub(crate) fn bend(&self, answer: &mut Answer) {
        const DIGEST: &str = "docker-content-digest";
        match self {
            Self::TruncatedJson => answer.body.truncate(answer.body.len() / 2),
            Self::WrongDigestHeader => {
                let other = format!("sha256:{}", "0123456789abcdef".repeat(4));
                *answer = std::mem::replace(answer, Answer::new(200, "text/plain", "")).with(DIGEST, other);
            }
            Self::NoDigestHeader => {
                answer.headers.remove(DIGEST);
                answer.headers.remove(header::ETAG);
            }
            Self::MalformedDigestHeader => {
                answer.headers.insert(DIGEST, HeaderValue::from_static("not a digest"));
            }
            Self::LyingBody => {
                // One more blank: still JSON, still the same meaning, not the same bytes.
                let mut body = answer.body.to_vec();
                body.push(b'\n');
                answer.body = body.into();
            }
            Self::PartialData { kind, message, path } => {
                let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
                let mut at = body.get_mut("data");
                for key in path.split('.') {
                    at = at.and_then(|value| match key.parse::<usize>() {
                        Ok(index) if value.is_array() => value.get_mut(index),
                        _ => value.get_mut(key),
                    });
                }
                if let Some(value) = at {
                    *value = Value::Null;
                }
                let error = json!({"type": kind, "message": message, "path": segments(path)});
                match body.get_mut("errors").and_then(Value::as_array_mut) {
                    Some(errors) => errors.push(error),
                    None => body["errors"] = json!([error]),
                }
                answer.body = body.to_string().into();
            }
            _ => {}
        }
    }
}

/// What a request showed to be let in: as it came, and name and password in the clear.
fn shown(seen: &Seen) -> String {
    let Some(sent) = &seen.authorization else { return "nothing".to_owned() };
    let clear = STANDARD.decode(&sent.value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    format!("{} {}, which is {}", sent.scheme, sent.value, clear.as_deref().unwrap_or("secret"))
}

fn segments(path: &str) -> Value {
    path.split('.').map(|key| key.parse::<u64>().map_or_else(|_| json!(key), |index| json!(index))).collect()
}

//! One request: who asks, whether he may, and what there is.

use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::{
    Shared,
    selector::Selector,
    state::{GoneAs, Kind, State, Watcher, error_event},
    stream::stream,
};
use crate::wire::{Answer, Ask, Body, Reset};

/// Who the token is.
const USER: &str = "system:serviceaccount:lastgreen:lastgreen";

/// What a path names.
struct Target<'a> {
    namespace: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
}

/// What is answered that is no success, as a Status.
struct Refusal {
    code: u16,
    reason: &'static str,
    message: String,
}

pub(super) fn answer(shared: &Shared, ask: &Ask) -> Result<Response<Body>, Reset> {
    shared.change(|state| {
        let query = if ask.query.is_empty() { String::new() } else { format!("?{}", ask.query) };
        state.seen.push(format!("{} {}{query}", ask.method, ask.path));
        if state.hanging {
            // A body that never comes; whoever waits for it has to give up.
            let (writer, body) = stream();
            state.watchers.push(Watcher {
                writer,
                namespace: String::new(),
                selector: Selector::default(),
                bookmarks: false,
            });
            return Ok(Response::new(body));
        }
        if let Some(code) = state.failing {
            return Ok(whole(Answer::new(code, "text/plain", "something in between failed\n"), ask));
        }
        match known(state, ask) {
            Ok(response) => Ok(response),
            Err(refusal) => {
                let body = status(refusal.code, refusal.reason, &refusal.message);
                Ok(whole(Answer::json(refusal.code, &body), ask))
            }
        }
    })
}

fn known(state: &mut State, ask: &Ask) -> Result<Response<Body>, Refusal> {
    let bearer = ask.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    if bearer != Some(state.token.as_str()) {
        return Err(refuse(401, "Unauthorized", "Unauthorized"));
    }
    let target = Target::of(&ask.path);
    let is_watch = ask.parameters("watch").any(|value| value == "true" || value == "1");
    let verb = match (ask.method.as_str(), &target) {
        ("GET", Some(Target { name: Some(_), .. })) => "get",
        ("GET", _) if is_watch => "watch",
        ("GET", _) => "list",
        _ => "create",
    };
    let Some(target) = target else {
        let message = format!("forbidden: User \"{USER}\" cannot {verb} path \"{}\"", ask.path);
        return Err(refuse(403, "Forbidden", &message));
    };
    if !may(state, verb, &target) {
        let (resource, namespace) = (target.resource, target.namespace);
        let what = target.name.map_or_else(|| resource.to_owned(), |name| format!("{resource} \"{name}\""));
        return Err(refuse(
            403,
            "Forbidden",
            &format!(
                "{what} is forbidden: User \"{USER}\" cannot {verb} resource \"{resource}\" in API group \"\" in the \
                 namespace \"{namespace}\""
            ),
        ));
    }
    let accepts = ask.header(header::ACCEPT).unwrap_or("*/*");
    if !["application/json", "application/*", "*/*"].iter().any(|kind| accepts.contains(kind)) {
        return Err(refuse(406, "NotAcceptable", "only the following media types are accepted: application/json"));
    }
    let kind = Kind::of(target.resource).ok_or_else(|| refuse(404, "NotFound", "the server could not find it"))?;
    match verb {
        "get" => get(state, kind, &target, ask),
        "watch" if kind == Kind::Service => watch(state, &target, ask),
        "list" => list(state, kind, &target, ask),
        _ => Err(refuse(405, "MethodNotAllowed", "this is not simulated")),
    }
}

impl<'a> Target<'a> {
    /// `/api/v1/namespaces/{namespace}/{resource}` and an object's name.
    fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix("/api/v1/namespaces/")?.split('/');
        let target = Self { namespace: parts.next()?, resource: parts.next()?, name: parts.next() };
        let whole = !target.namespace.is_empty() && !target.resource.is_empty() && target.name != Some("");
        (whole && parts.next().is_none()).then_some(target)
    }
}

fn may(state: &State, verb: &str, target: &Target<'_>) -> bool {
    state.rules.iter().any(|rule| {
        let named = rule.names.is_empty() || target.name.is_some_and(|name| rule.names.iter().any(|one| one == name));
        rule.namespace == target.namespace
            && rule.resource == target.resource
            && rule.verbs.iter().any(|granted| granted == verb)
            && named
    })
}

fn get(state: &State, kind: Kind, target: &Target<'_>, ask: &Ask) -> Result<Response<Body>, Refusal> {
    let name = target.name.unwrap_or_default();
    let Some(object) = state.get(kind, target.namespace, name) else {
        return Err(refuse(404, "NotFound", &format!("{} \"{name}\" not found", target.resource)));
    };
    let mut object = object.clone();
    object["kind"] = json!(kind.name());
    object["apiVersion"] = json!("v1");
    Ok(whole(Answer::json(200, &object), ask))
}

fn list(state: &mut State, kind: Kind, target: &Target<'_>, ask: &Ask) -> Result<Response<Body>, Refusal> {
    let selector = selector(ask)?;
    let limit = match ask.parameters("limit").next() {
        None => usize::MAX,
        Some(text) => match text.parse() {
            Ok(0) => usize::MAX,
            Ok(limit) => limit,
            Err(_) => return Err(refuse(400, "BadRequest", "limit: invalid syntax")),
        },
    };
    let wanted = ask.parameters("resourceVersion").next().filter(|version| !version.is_empty());
    let (version, all) = match ask.parameters("continue").next() {
        Some(_) if wanted.as_deref().is_some_and(|version| version != "0") => {
            let message = "specifying resource version is not allowed when using continue";
            return Err(refuse(400, "BadRequest", message));
        }
        Some(token) => {
            let version: Option<u64> = token.strip_prefix("from-").and_then(|version| version.parse().ok());
            let Some(version) = version else {
                return Err(refuse(400, "BadRequest", "continue key is not valid"));
            };
            let Some(rest) = state.rest(version) else {
                let message = "The provided continue parameter is too old to display a consistent list result.";
                return Err(refuse(410, "Expired", message));
            };
            (version, rest)
        }
        None => {
            not_to_come(state, wanted.as_deref())?;
            (state.version, state.list(kind, target.namespace, &selector))
        }
    };
    let (items, more) = state.page(version, all, limit);
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if more {
        metadata["continue"] = json!(format!("from-{version}"));
    }
    let body =
        json!({ "kind": format!("{}List", kind.name()), "apiVersion": "v1", "metadata": metadata, "items": items });
    Ok(whole(Answer::json(200, &body), ask))
}

fn watch(state: &mut State, target: &Target<'_>, ask: &Ask) -> Result<Response<Body>, Refusal> {
    let selector = selector(ask)?;
    if ask.parameters("sendInitialEvents").next().is_some() {
        return Err(refuse(422, "Invalid", "sendInitialEvents is forbidden for watch unless the feature is enabled"));
    }
    if ask.parameters("timeoutSeconds").any(|seconds| seconds.parse::<u32>().is_err()) {
        return Err(refuse(400, "BadRequest", "timeoutSeconds: invalid syntax"));
    }
    let wanted = ask.parameters("resourceVersion").next().filter(|version| !version.is_empty());
    let since = not_to_come(state, wanted.as_deref())?;
    let (writer, body) = stream();
    if since.is_some_and(|since| !state.knows(since)) {
        if state.gone == GoneAs::Status {
            return Err(refuse(410, "Expired", "too old resource version"));
        }
        writer.line(&error_event(410));
        return Ok(chunked(body));
    }
    let bookmarks = ask.parameters("allowWatchBookmarks").any(|value| value == "true" || value == "1");
    state.watch(Watcher { writer, namespace: target.namespace.to_owned(), selector, bookmarks }, since);
    Ok(chunked(body))
}

/// The version that is wanted, if it is one that was; `None` is any.
fn not_to_come(state: &State, wanted: Option<&str>) -> Result<Option<u64>, Refusal> {
    match wanted {
        None | Some("0") => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Err(_) => Err(refuse(400, "BadRequest", &format!("resourceVersion: Invalid value: \"{text}\""))),
            Ok(version) if version > state.version => Err(refuse(
                504,
                "Timeout",
                &format!("Too large resource version: {version}, current: {}", state.version),
            )),
            Ok(version) => Ok(Some(version)),
        },
    }
}

fn selector(ask: &Ask) -> Result<Selector, Refusal> {
    let text = ask.parameters("labelSelector").next().unwrap_or_default();
    Selector::parse(&text).ok_or_else(|| refuse(400, "BadRequest", "unable to parse requirement"))
}

fn whole(answer: Answer, ask: &Ask) -> Response<Body> {
    answer.into_response(&ask.method)
}

fn chunked(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(code: u16, reason: &'static str, message: &str) -> Refusal {
    Refusal { code, reason, message: message.to_owned() }
}

/// A Status, as everything is that is no success.
pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}

//! `/explain`: why previews are as they are, as JSON for programs and as a page for people.
//!
//! | request | wants | gives |
//! |---|---|---|
//! | `GET /explain` | a look | all lines, or one of them with `branch` or `number` |
//! | `POST /explain/look` | an operator | the same of one line, once the upstreams were asked anew |
//! | `GET /explain/sign-in` | nothing | the form for a token |
//! | `POST /explain/sign-in` | nothing but a token in its form | a session, which is a cookie |
//! | `POST /explain/sign-out` | an operator | the end of it |
//!
//! A browser cannot send a bearer token by itself, so it may bring a session in its place, here and nowhere else. The
//! cookie is `SameSite=Strict` and seen below `/explain` only; what is posted with it must also bring the form's own
//! token, which only our pages have. Signing in is the one POST without a token: it is how one is brought. It reads a
//! small form, changes nothing here, and tells no more than a bearer token would.

mod line;
mod list;
mod page;
mod parts;
mod query;
mod session;
#[cfg(test)]
mod tests;
mod text;

use std::{fmt::Display, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    routing::{get, post},
};
use http_body_util::Full;
use maud::Markup;
use serde::Serialize;

use self::{
    query::{Format, Query},
    session::Session,
};
use super::{
    body,
    ops::Ops,
    reply::{self, Problem, Reply},
    tokens::Tokens,
};
use crate::{
    clock::SharedClock,
    explain::{Explain, Found, Unexplained},
};

/// Where the page lives.
const PATH: &str = "/explain";
const LOOK: &str = "/explain/look";
const SIGN_IN: &str = "/explain/sign-in";
const SIGN_OUT: &str = "/explain/sign-out";
const STYLE: &str = "/explain/style.css";
const SCRIPT: &str = "/explain/script.js";
const ICON: &str = "/explain/icon.svg";

/// What a page may do: nothing that is not ours, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who may see explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever has an operator's token.
    HasToken,
    /// Whoever reaches the port.
    Anybody,
}

/// What explains, to whom.
#[derive(Debug)]
pub struct Explainer {
    explain: Explain,
    who: Who,
}

impl Explainer {
    /// Shows these explanations to those.
    pub fn new(explain: Explain, who: Who) -> Self {
        Self { explain, who }
    }
}

/// Somebody who may see a page.
#[derive(Clone, Debug)]
struct Visitor {
    /// What must go with what a session posts; nothing where nobody is signed in.
    form: Option<String>,
    /// Whether an operator's token could sign somebody in who is not.
    may_sign_in: bool,
}

/// The routes; none where nobody may see anything.
pub(super) fn routes(ops: &Ops) -> Router<Arc<Ops>> {
    if ops.explain.is_none() {
        return Router::new();
    }
    let asset = |kind: &'static str, text: &'static str| get(async move || asset(kind, text));
    Router::new()
        .route(PATH, get(show))
        .route(LOOK, post(look))
        .route(SIGN_IN, get(async |request: Request| ask_for_token(&request)).post(sign_in))
        .route(SIGN_OUT, post(sign_out))
        .route(STYLE, asset("text/css; charset=utf-8", include_str!("explain/style.css")))
        .route(SCRIPT, asset("text/javascript; charset=utf-8", include_str!("explain/script.js")))
        .route(ICON, asset("image/svg+xml", include_str!("explain/icon.svg")))
}

/// Whether a POST is let through without a bearer token: whoever signs in, and whoever has signed in and posts a form of
/// our own.
pub(super) fn admits(ops: &Ops, request: &Request) -> bool {
    let (Some(explainer), Some(tokens)) = (&ops.explain, &ops.tokens) else { return false };
    match request.uri().path() {
        SIGN_IN => true,
        LOOK | SIGN_OUT => {
            let given = query::form_of(request.uri().query().unwrap_or_default());
            let session = session(explainer, tokens, request.headers());
            matches!((session, given), (Ok(Some(session)), Some(given)) if session.has_form(&given))
        }
        _ => false,
    }
}

/// The session that a request brings.
fn session(explainer: &Explainer, tokens: &Tokens, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    Ok(session::of(headers, &tokens.hashes()?, explainer.explain.clock().wall()))
}

async fn show(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    let Some(explainer) = &ops.explain else { return reply::problem(&Problem::NotPost) };
    let text = request.uri().query().unwrap_or_default();
    let query = Query::parse(text);
    let format = query.as_ref().map_or(Format::Any, |query| query.format).settle(request.headers());
    let visitor = match visitor(&ops, explainer, &request) {
        Ok(visitor) => visitor,
        Err(problem) => return refused(&ops, &request, &problem, format),
    };
    let query = match query {
        Ok(query) => query,
        Err(wrong) => return wrong_query(&wrong, &visitor, format),
    };
    if !query.means_a_line() {
        let overview = explainer.explain.overview(&query.filter).await;
        return shown(format, &overview, || list::page(&overview, &query, &visitor, None));
    }
    found(explainer, &query, &visitor, format).await
}

/// One line, or those among which it is to be chosen.
async fn found(explainer: &Explainer, query: &Query, visitor: &Visitor, format: Format) -> Reply {
    match explainer.explain.line(&query.which).await {
        Ok(Found::One(story)) => shown(format, &story, || line::page(&story, query, visitor)),
        Ok(Found::List(story)) => shown(format, &story, || parts::page(&story, query, visitor)),
        Ok(Found::Several(overview)) => {
            let note = "Several lines have this name. Choose one.";
            shown(format, &overview, || list::page(&overview, query, visitor, Some(note)))
        }
        Err(why) => unexplained(&why, query, visitor, format),
    }
}

/// Asks the upstreams anew. Who may was looked at already, as with every POST.
async fn look(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    let Some(explainer) = &ops.explain else { return reply::problem(&Problem::NotPost) };
    let (parts, body) = request.into_parts();
    let read = body::read(body, explainer.explain.clock()).await;
    let visitor = Visitor { form: None, may_sign_in: true };
    let form = match &read {
        Ok(body) => Query::parse(&String::from_utf8_lossy(body)),
        Err(problem) => return secured(reply::problem(problem)),
    };
    let format = form.as_ref().map_or(Format::Any, |query| query.format).settle(&parts.headers);
    let query = match form {
        Ok(query) => query,
        Err(wrong) => return wrong_query(&wrong, &visitor, format),
    };
    match explainer.explain.look(&query.which).await {
        // What is read again must not look again.
        Ok(()) if format == Format::Html => see_other(&query.address()),
        Ok(()) => found(explainer, &query, &visitor, format).await,
        Err(why) => unexplained(&why, &query, &visitor, format),
    }
}

fn ask_for_token(request: &Request) -> Reply {
    let next = query::next_of(request.uri().query().unwrap_or_default());
    html(StatusCode::OK, page::sign_in(&next, None, None))
}

async fn sign_in(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    let (Some(explainer), Some(tokens)) = (&ops.explain, &ops.tokens) else {
        return reply::problem(&Problem::NotPost);
    };
    let (parts, body) = request.into_parts();
    let clock: &SharedClock = explainer.explain.clock();
    let body = match body::read(body, clock).await {
        Ok(body) => body,
        Err(problem) => return secured(reply::problem(&problem)),
    };
    let (token, next) = query::signing_in(&body);
    let hashes = match tokens.hashes() {
        Ok(hashes) => hashes,
        Err(problem) => return secured(reply::problem(&problem)),
    };
    let Some(session) = Session::begin(token.trim(), &hashes, clock.wall()) else {
        tracing::warn!("somebody could not sign in at /explain: the token is none of those in `ops.tokenFile`");
        let wrong = Some("This token is not one of those in the file that `ops.tokenFile` names.");
        return html(StatusCode::FORBIDDEN, page::sign_in(&next, wrong, None));
    };
    let mut response = see_other(&query::back_to(&next));
    set_cookie(&mut response, &session.cookie(is_https(&parts.headers)));
    response
}

async fn sign_out(request: Request) -> Reply {
    let mut response = see_other(PATH);
    set_cookie(&mut response, &session::no_cookie(is_https(request.headers())));
    response
}

/// Who looks, if that is somebody who may.
fn visitor(ops: &Ops, explainer: &Explainer, request: &Request) -> Result<Visitor, Problem> {
    let session = match &ops.tokens {
        Some(tokens) => session(explainer, tokens, request.headers()),
        None => Ok(None),
    };
    if let Ok(Some(session)) = &session {
        return Ok(Visitor { form: Some(session.form()), may_sign_in: false });
    }
    let may_sign_in = ops.tokens.is_some();
    match explainer.who {
        Who::Anybody => Ok(Visitor { form: None, may_sign_in }),
        Who::HasToken => ops.authorize(request).map(|()| Visitor { form: None, may_sign_in }),
    }
}

/// Nobody who may look: people are asked to sign in.
fn refused(ops: &Ops, request: &Request, problem: &Problem, format: Format) -> Reply {
    if format != Format::Html {
        return secured(reply::problem(problem));
    }
    let plain = reply::problem(problem);
    if ops.tokens.is_none() || plain.status() != StatusCode::FORBIDDEN {
        let why = match ops.tokens {
            None => {
                "Nobody may see this: set `ops.tokenFile` in lastgreen's configuration to a file with a token, or \
                     `ops.explain: open` to show it to whoever reaches this port."
            }
            Some(_) => "lastgreen cannot read its token file; its log says why.",
        };
        return html(plain.status(), page::message("Not to be seen", why, None));
    }
    let text = request.uri().query().unwrap_or_default();
    html(plain.status(), page::sign_in(text, None, again(request.headers(), text).as_deref()))
}

/// Where a page that asks for a token goes on to by itself: a strict cookie is not sent when a link leads here from
/// another site, but it is when the page itself asks again, which it does once.
fn again(headers: &HeaderMap, query: &str) -> Option<String> {
    let from_elsewhere = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    (from_elsewhere && !query::is_again(query)).then(|| query::again(query))
}

fn wrong_query(wrong: &str, visitor: &Visitor, format: Format) -> Reply {
    match format {
        Format::Html => html(StatusCode::BAD_REQUEST, page::message("This address is wrong", wrong, Some(visitor))),
        Format::Any | Format::Json => secured(reply::problem(&Problem::BadQuestion(wrong.to_owned()))),
    }
}

fn unexplained(why: &Unexplained, query: &Query, visitor: &Visitor, format: Format) -> Reply {
    let status = match why {
        Unexplained::NoSuchGenerator { .. } | Unexplained::NeverSeen => StatusCode::NOT_FOUND,
        Unexplained::Unnamed(_)
        | Unexplained::NoLines(_)
        | Unexplained::NoRepository(_)
        | Unexplained::Refused(_)
        | Unexplained::Bad(_) => StatusCode::BAD_REQUEST,
        Unexplained::Busy | Unexplained::Late => StatusCode::SERVICE_UNAVAILABLE,
    };
    if format == Format::Html {
        return html(status, line::unexplained(why, query, visitor));
    }
    secured(reply::respond(status, &serde_json::json!({ "message": why.to_string() })))
}

fn shown(format: Format, data: &impl Serialize, page: impl FnOnce() -> Markup) -> Reply {
    if format == Format::Html {
        return html(StatusCode::OK, page());
    }
    match serde_json::to_vec(data) {
        Ok(text) => respond(StatusCode::OK, "application/json", text),
        Err(error) => {
            tracing::error!(%error, "an explanation is no JSON");
            secured(reply::problem(&Problem::Refused(crate::generator::Refusal::Internal)))
        }
    }
}

fn html(status: StatusCode, page: Markup) -> Reply {
    respond(status, "text/html; charset=utf-8", page.into_string().into_bytes())
}

fn see_other(address: &(impl Display + ?Sized)) -> Reply {
    let mut response = respond(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Vec::new());
    // Addresses are made of what is escaped.
    let address = HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static(PATH));
    response.headers_mut().insert(header::LOCATION, address);
    response
}

fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Reply {
    let mut response = Reply::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    secured(response)
}

/// What is ours and the same for everybody; its address changes with it.
fn asset(kind: &'static str, text: &'static str) -> Reply {
    let mut response = respond(StatusCode::OK, kind, text.as_bytes().to_vec());
    let long = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, long);
    response
}

/// A response that no cache keeps, no other site frames, and no browser guesses about.
fn secured(mut response: Reply) -> Reply {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept, Authorization, Cookie"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn set_cookie(response: &mut Reply, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Whether the browser came by TLS, which ends in front of this process.
fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

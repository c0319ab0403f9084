//! One exchange with GitHub: octocrab over reqwest, raw answers, nothing judged.
//!
//! octocrab's typed calls drop headers, error types and partial data, and its own authentication goes by host names;
//! so it carries requests that are complete. A connection that broke before anything was answered is tried once more:
//! that is a server closing an idle connection. A time-out or a status is not.

use std::{fmt, sync::OnceLock};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, uri::Scheme};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use octocrab::{
    AuthState, OctoBody, Octocrab, OctocrabBuilder,
    service::middleware::{base_uri::BaseUriLayer, reqwest_connector::ReqwestConnector},
};

use super::{SERVICE, address::Address};
use crate::{
    clock::{Moment, SharedClock},
    upstream::{Kind, Secret, Traffic, UpstreamError, http as pipe},
};

/// The largest answer that is read.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Pinned: GitHub dates its REST API.
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");

/// A request without its credential.
#[derive(Clone, Debug, Hash)]
pub(super) struct Call {
    method: Method,
    /// Path and query below the origin.
    path: String,
    body: Option<String>,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None }
    }

    pub(super) fn post(path: String, body: String) -> Self {
        Self { method: Method::POST, path, body: Some(body) }
    }

    pub(super) fn is_get(&self) -> bool {
        self.method == Method::GET
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// When the request was sent.
    pub(super) sent: Moment,
    /// When the answer had been read.
    pub(super) received: Moment,
    /// GitHub's own time.
    pub(super) date: DateTime<Utc>,
}

impl Answer {
    /// Strikes the credential that was sent out of the body: what GitHub says is logged.
    pub(super) fn hide(&mut self, secret: &Secret) {
        let secret = secret.expose().as_bytes();
        // Anything shorter is no token of GitHub's, and might be a word of the answer.
        let Some(first) = secret.first().filter(|_| secret.len() >= 16) else { return };
        let mut from = 0;
        while let Some(at) = self.body[from..].iter().position(|byte| byte == first) {
            from += at;
            if self.body[from..].starts_with(secret) {
                self.body[from..from + secret.len()].fill(b'*');
            }
            from += 1;
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }
}

pub(super) struct Transport {
    pub(super) address: Address,
    http: reqwest::Client,
    clock: SharedClock,
    pub(super) traffic: Traffic,
    /// Built at the first request: octocrab starts a task, which needs the runtime.
    octocrab: OnceLock<Octocrab>,
}

impl Transport {
    pub(super) fn new(address: Address, http: reqwest::Client, clock: SharedClock) -> Self {
        Self { address, http, clock, traffic: Traffic::default(), octocrab: OnceLock::new() }
    }

    pub(super) async fn exchange(&self, call: &Call, credential: &HeaderValue) -> Result<Answer, UpstreamError> {
        let sent = self.clock.now();
        let origin = &self.address.origin;
        let port = origin.port_u16().or_else(|| (origin.scheme() == Some(&Scheme::HTTPS)).then_some(443));
        let mut sending = self.traffic.sent(&call.method, origin.host().unwrap_or_default(), port);
        let (sent, response) = match self.octocrab().execute(request(call, credential)?).await {
            Ok(response) => (sent, response),
            Err(error) if broke(&error) => {
                let sent = self.clock.now();
                (sent, self.octocrab().execute(request(call, credential)?).await.map_err(|error| trouble(&error))?)
            }
            Err(error) => return Err(trouble(&error)),
        };
        sending.answered(response.status());
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                malformed("its answer is larger than any that was asked for")
            } else {
                unavailable("its answer broke off")
            }
        })?;
        sending.done();
        let date = parts.headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes().into(),
            sent,
            received: self.clock.now(),
            date: date.map_or_else(|| self.clock.wall(), DateTime::from),
        })
    }

    fn octocrab(&self) -> &Octocrab {
        self.octocrab.get_or_init(|| {
            let built = OctocrabBuilder::new_empty()
                .with_service(ReqwestConnector::new(self.http.clone()))
                .with_layer(&BaseUriLayer::new(self.address.origin.clone()))
                .with_auth(AuthState::None)
                .build();
            match built {
                Ok(octocrab) => octocrab,
                Err(never) => match never {},
            }
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.address).finish_non_exhaustive()
    }
}

fn request(call: &Call, credential: &HeaderValue) -> Result<Request<OctoBody>, UpstreamError> {
    let mut builder = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(header::AUTHORIZATION, credential)
        .header(header::ACCEPT, "application/vnd.github+json")
        .header(HeaderName::from_static("x-github-api-version"), API_VERSION);
    if call.body.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    let body = call.body.clone().map_or_else(OctoBody::empty, OctoBody::from);
    builder.body(body).map_err(|_| malformed("it led to an address that is no URL"))
}

/// Whether a connection was lost before anything was answered.
fn broke(error: &octocrab::Error) -> bool {
    below(error).is_some_and(|error| error.is_request() && !error.is_timeout() && !error.is_connect())
}

fn trouble(error: &octocrab::Error) -> UpstreamError {
    unavailable(below(error).map_or("the connection broke", pipe::describe))
}

/// The error of reqwest that octocrab and its layers wrapped.
fn below(error: &octocrab::Error) -> Option<&reqwest::Error> {
    let mut error: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        error = error.source()?;
    }
}

pub(super) fn unavailable(message: &str) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Unavailable, message)
}

pub(super) fn malformed(message: &str) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Malformed, message)
}

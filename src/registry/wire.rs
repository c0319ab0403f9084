//! One request and its reply, with everything that never depends on what is asked: pace, breaker, redirects, retry, 429.

use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
};

use super::{account::Account, host::Host, limit};
use crate::{
    clock::Moment,
    upstream::{
        Kind, UpstreamError,
        http::{self, BodyError},
        urgency,
    },
};

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// What is read of a reply that is no success; GHCR's 429 says there how long to wait.
const ERROR_BYTES: usize = 8 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) form: Option<String>,
    pub(super) redirects: Redirects,
    /// How much of a successful reply is read; `None` if its body does not matter.
    pub(super) limit: Option<usize>,
    /// What errors call the server that is asked.
    pub(super) whom: &'static str,
}

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// None.
    Never,
    /// To the same scheme, host and port.
    SameOrigin,
    /// Anywhere, but elsewhere without credentials.
    Anywhere,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Host {
    /// Sends a request and reads the reply. A 429 is an error, and a pause for the whole account.
    pub(super) async fn send(&self, account: &Account, mut request: Request) -> Result<Reply, UpstreamError> {
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.exchange(account, &request).await?;
            if !reply.status.is_redirection() || reply.status == StatusCode::NOT_MODIFIED {
                return Ok(reply);
            }
            request = self.redirected(request, &reply)?;
        }
        Err(self.error(Kind::Malformed, format!("it redirects more than {MAX_REDIRECTS} times")))
    }

    /// The request that a redirect asks for.
    pub(super) fn redirected(&self, mut request: Request, reply: &Reply) -> Result<Request, UpstreamError> {
        let wrong = |message: &str| Err(self.error(Kind::Malformed, message));
        let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(target) = location.and_then(|text| request.url.join(text).ok()) else {
            return wrong("it redirects to nowhere");
        };
        let same_origin = target.origin() == request.url.origin();
        match request.redirects {
            Redirects::Never => return wrong("its token server redirects, which is not followed"),
            Redirects::SameOrigin if !same_origin => {
                return wrong("it redirects to another host, which is not followed here");
            }
            _ => {}
        }
        let safe = target.scheme() == "https" || (target.scheme() == "http" && self.settings.plain_http());
        if !safe {
            return wrong("it redirects to a place without TLS, which is not followed");
        }
        if !same_origin {
            request.authorization = None;
        }
        request.url = target;
        Ok(request)
    }

    async fn exchange(&self, account: &Account, request: &Request) -> Result<Reply, UpstreamError> {
        let turn = async {
            if urgency::current().is_ahead() {
                account.spare(self.now()).map_err(|until| self.without_pulls(until))?;
            }
            account.pace.turn().await.map_err(|until| self.limited(until))
        };
        let question = (request.method.as_str(), request.url.as_str());
        self.breaker(&request.url).carry(question, turn, self.sent(account, request)).await
    }

    async fn sent(&self, account: &Account, request: &Request) -> Result<Reply, UpstreamError> {
        let url = &request.url;
        let host = url.host_str().unwrap_or_default();
        let mut sending = self.traffic.sent(&request.method, host, url.port_or_known_default());
        let response = self.transmit(request).await?;
        sending.answered(response.status());
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(quota) = limit::quota(&headers, self.now()) {
            account.has_pulls(quota);
        }
        let body = match (status.is_success(), request.limit) {
            _ if request.method == Method::HEAD => Vec::new(),
            (true, None) => Vec::new(),
            (true, Some(limit)) => http::body(response, limit).await.map_err(|error| match error {
                BodyError::TooLarge(_) => self.error(Kind::Malformed, error.to_string()),
                BodyError::Broken(_) => self.error(Kind::Unavailable, error.to_string()),
            })?,
            (false, _) => http::body(response, ERROR_BYTES).await.unwrap_or_default(),
        };
        sending.done();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let streak = account.limited();
            let pause = limit::pause(&headers, &body, self.clock.wall(), streak, fastrand::f64());
            let until = self.now() + pause;
            account.pace.pause_until(until);
            tracing::warn!(registry = self.settings.host, seconds = pause.as_secs(), "it asked us to slow down (429)");
            return Err(self.limited(until));
        }
        account.not_limited();
        // A 501 is no failure, but the answer of one that does not know HEAD.
        if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            return Err(self.unexpected(request.whom, status));
        }
        Ok(Reply { status, headers, body })
    }

    /// A connection that broke before an answer is tried once more: it was idle, and closed just then.
    async fn transmit(&self, request: &Request) -> Result<reqwest::Response, UpstreamError> {
        let send = || {
            let mut builder = self
                .http
                .request(request.method.clone(), request.url.clone())
                .header(ACCEPT, request.accept)
                .header(ACCEPT_ENCODING, "identity");
            if let Some(authorization) = &request.authorization {
                builder = builder.header(AUTHORIZATION, authorization);
            }
            if let Some(form) = &request.form {
                builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
            }
            builder.send()
        };
        let broke = |error: &reqwest::Error| !error.is_timeout() && !error.is_connect() && !error.is_builder();
        let outcome = match send().await {
            Err(error) if broke(&error) => send().await,
            outcome => outcome,
        };
        outcome.map_err(|error| self.error(Kind::Unavailable, http::describe(&error)))
    }

    fn without_pulls(&self, until: Moment) -> UpstreamError {
        let message = "nobody waits for this yet, and no pulls are left";
        UpstreamError::only_ahead(self.settings.host.as_str(), until, message)
    }

    fn limited(&self, until: Moment) -> UpstreamError {
        self.error(Kind::Limited { until }, "it asked us to slow down (429)")
    }

    /// A status that means the same whatever was asked.
    pub(super) fn unexpected(&self, who: &str, status: StatusCode) -> UpstreamError {
        let kind = if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            Kind::Unavailable
        } else {
            Kind::Malformed
        };
        self.error(kind, format!("{who} answered {}", status.as_u16()))
    }
}

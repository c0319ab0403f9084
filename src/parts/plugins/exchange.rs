//! One question to a plugin, and what its answer's status means.

use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use std::{sync::Arc, time::Duration};

use super::target::Target;
use crate::{
    clock::{Moment, SharedClock},
    upstream::{
        Calls, Kind, Secret, UpstreamError,
        http::{self, BodyError},
    },
};

/// The largest answer that is read.
const MAX_BYTES: usize = 1 << 20;

/// The pause after a 429 that names none, and the longest, in seconds.
const PAUSE: (u64, u64) = (5, 300);

/// One question.
pub(super) struct Exchange<'a> {
    pub(super) target: &'a Target,
    pub(super) clock: &'a SharedClock,
    /// What errors call the plugin.
    pub(super) service: &'a Arc<str>,
    pub(super) body: &'a str,
    pub(super) token: Option<&'a Secret>,
}

impl Exchange<'_> {
    /// The body of a 200.
    pub(super) async fn carry(&self) -> Result<Vec<u8>, UpstreamError> {
        let target = self.target;
        let turn = async { target.pace.turn().await.map_err(|until| self.limited(until)) };
        target.breaker.carry(self.body, turn, self.in_time()).await
    }

    async fn in_time(&self) -> Result<Vec<u8>, UpstreamError> {
        tokio::select! {
            biased;
            outcome = self.sent() => outcome,
            () = self.clock.sleep_until(self.clock.now() + self.target.timeout) => {
                Err(self.error(Kind::Unavailable, http::NO_ANSWER))
            }
        }
    }

    async fn sent(&self) -> Result<Vec<u8>, UpstreamError> {
        let url = &self.target.url;
        let host = url.host_str().unwrap_or_default();
        let mut traced = Calls::current().trace().request(&Method::POST, host, url.port_or_known_default());
        let response = self.transmit(traced.headers()).await?;
        let status = response.status();
        traced.answered(status);
        if status != StatusCode::OK {
            let error = self.refused(status, response.headers());
            // A connection with something left to read could not be used again.
            let _ = http::body(response, MAX_BYTES).await;
            traced.done();
            return Err(error);
        }
        let body = http::body(response, MAX_BYTES).await.map_err(|error| match error {
            BodyError::TooLarge(_) => self.error(Kind::Malformed, error.to_string()),
            BodyError::Broken(_) => self.error(Kind::Unavailable, error.to_string()),
        })?;
        traced.done();
        Ok(body)
    }

    /// A connection that broke before an answer is tried once more: it was idle, and closed just then.
    async fn transmit(&self, trace: HeaderMap) -> Result<reqwest::Response, UpstreamError> {
        let authorization = self.authorization()?;
        let send = || {
            let request = self.target.http.post(self.target.url.clone());
            let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "identity");
            let request = request.header(CONTENT_TYPE, "application/json").headers(trace.clone());
            let request = match &authorization {
                Some(value) => request.header(AUTHORIZATION, value.clone()),
                None => request,
            };
            request.body(self.body.to_owned()).send()
        };
        let broke = |error: &reqwest::Error| !error.is_timeout() && !error.is_connect() && !error.is_builder();
        let outcome = match send().await {
            Err(error) if broke(&error) => send().await,
            outcome => outcome,
        };
        outcome.map_err(|error| self.error(Kind::Unavailable, http::describe(&error)))
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, UpstreamError> {
        let Some(token) = self.token else { return Ok(None) };
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| self.error(Kind::Malformed, "its token holds what no token can hold"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// What an answer means that is no 200.
    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> UpstreamError {
        let code = status.as_u16();
        let path = self.target.url.path();
        let with = if self.token.is_some() { "the token" } else { "a question without a token" };
        match code {
            401 => self.error(Kind::Unauthorized, format!("it refuses {with} (401)")),
            403 => self.error(Kind::Forbidden, format!("it refuses {with} (403)")),
            404 | 405 => self.error(Kind::NotFound, format!("nothing answers at its path `{path}` ({code})")),
            429 => {
                let named = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let until = self.clock.now() + Duration::from_secs(named.unwrap_or(PAUSE.0).clamp(1, PAUSE.1));
                self.target.pace.pause_until(until);
                self.limited(until)
            }
            300..=399 => {
                let message =
                    format!("it redirects ({code}), which is not followed: its address must be the final one");
                self.error(Kind::Malformed, message)
            }
            408 | 500.. => self.error(Kind::Unavailable, format!("it answered {code}")),
            _ => self.error(Kind::Malformed, format!("it answered {code} and not 200")),
        }
    }

    fn limited(&self, until: Moment) -> UpstreamError {
        self.error(Kind::Limited { until }, "it asked us to slow down (429)")
    }

    fn error(&self, kind: Kind, message: impl Into<Arc<str>>) -> UpstreamError {
        UpstreamError::new(Arc::clone(self.service), kind, message)
    }
}

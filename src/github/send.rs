//! Sending with a credential: admitted, let through, sent, redirected, learnt from, classified.
//!
//! What every answer can say is judged here: limits, failures of the service, addresses that moved. What a refusal
//! means is judged by [`judge_status`], once whoever asked has done what can be done about it.

use std::sync::Arc;

use http::{HeaderValue, header};

use super::{
    SERVICE,
    auth::{Authority, Grant, unauthorized},
    credential::{Credential, Holder, Resource, speaks_of_limit},
    envelope,
    transport::{Answer, Call, Transport, malformed, unavailable},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::Repo,
    upstream::{Breaker, Kind, Secret, Traffic, UpstreamError},
};

/// A renamed repository redirects once, a transferred and renamed one twice.
const MAX_REDIRECTS: usize = 3;

/// How old a token must be before its refusal is believed: GitHub takes a moment to spread a new one.
const TOKEN_SPREADS: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Sender {
    transport: Transport,
    pub(super) breaker: Breaker,
    clock: SharedClock,
}

impl Sender {
    pub(super) fn new(transport: Transport, clock: SharedClock) -> Self {
        Self { transport, breaker: Breaker::new(SERVICE, Arc::clone(&clock)), clock }
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.transport.traffic
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A REST path below the origin.
    pub(super) fn rest(&self, path: &str) -> String {
        format!("{}{path}", self.transport.address.rest)
    }

    /// The call that carries a GraphQL request.
    pub(super) fn graphql(&self, body: String) -> Call {
        Call::post(self.transport.address.graphql.clone(), body)
    }

    /// Sends with one credential; 2xx, 401, 403 and 404 are left to judge.
    pub(super) async fn send(
        &self,
        credential: &Credential,
        resource: Resource,
        call: &Call,
        token: &Secret,
    ) -> Result<Answer, UpstreamError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| refused(&credential.holder, "holds characters that no token has"))?;
        bearer.set_sensitive(true);
        let mut call = call.clone();
        for _ in 0..=MAX_REDIRECTS {
            let exchange = async {
                let mut answer = self.transport.exchange(&call, &bearer).await?;
                answer.hide(token);
                credential.learn(resource, &answer);
                if answer.status.is_server_error() {
                    return Err(unavailable(&format!("it answers {}", answer.status.as_u16())));
                }
                Ok(answer)
            };
            let answer = self.breaker.carry(&call, credential.admit(resource), exchange).await?;
            if speaks_of_limit(&answer) {
                return Err(credential.limited(resource, &answer));
            }
            match answer.status.as_u16() {
                301 | 302 | 307 | 308 if call.is_get() => {
                    let location = answer.header(header::LOCATION.as_str()).unwrap_or_default();
                    let path = self.transport.address.within(location);
                    call = Call::get(path.ok_or_else(|| malformed("it redirects to somewhere else"))?);
                }
                200 | 201 | 401 | 403 | 404 => return Ok(answer),
                status => return Err(unexpected(status)),
            }
        }
        Err(malformed("it redirects in circles"))
    }

    /// Sends with the credential that is `repo`'s; 2xx and 404 are left to judge.
    ///
    /// A refused token is replaced once, and a new one that was refused is given a moment to spread.
    pub(super) async fn send_for(
        self: &Arc<Self>,
        authority: &Authority,
        repo: &Repo,
        resource: Resource,
        call: &Call,
    ) -> Result<(Answer, Grant), UpstreamError> {
        // Before anything is waited for that another question is doing: a token is made for all at once.
        self.breaker.ready()?;
        let mut grant = authority.grant(self, repo, None).await?;
        let mut answer = self.send(&grant.credential, resource, call, &grant.token).await?;
        if answer.status.as_u16() == 401 {
            let next = authority.grant(self, repo, Some(&grant.token)).await?;
            if next.token != grant.token {
                grant = next;
                answer = self.send(&grant.credential, resource, call, &grant.token).await?;
            }
        }
        let spread = grant.minted.map(|minted| minted + TOKEN_SPREADS);
        if let Some(spread) = spread.filter(|spread| answer.status.as_u16() == 403 && self.clock.now() < *spread) {
            self.clock.sleep_until(spread).await;
            answer = self.send(&grant.credential, resource, call, &grant.token).await?;
        }
        judge_status(&grant.credential, &answer)?;
        Ok((answer, grant))
    }
}

/// Turns a refusal into an error.
pub(super) fn judge_status(credential: &Credential, answer: &Answer) -> Result<(), UpstreamError> {
    match answer.status.as_u16() {
        401 => Err(match &credential.holder {
            holder @ Holder::Token(_) => refused(holder, "was refused (401): it is wrong, expired or revoked"),
            holder @ Holder::App { .. } => {
                refused(holder, "was refused (401): it is not this App's key, or this machine's clock is wrong")
            }
            Holder::Installation { app } => unauthorized(format!(
                "it refuses the token (401) that it made for the App {app}; is the installation suspended?"
            )),
        }),
        403 => {
            let message = envelope::message_of(&answer.body).unwrap_or_default();
            tracing::warn!(
                %message,
                wants = answer.header("x-accepted-github-permissions").unwrap_or_default(),
                "GitHub forbids a request"
            );
            let hint = if answer.header("x-github-sso").is_some() || message.contains("SAML") {
                "the organisation demands single sign-on: authorise the token for it"
            } else if message.contains("IP allow list") {
                "the organisation's IP allow list does not have this machine's address"
            } else if message.contains("suspended") {
                "the account or installation is suspended"
            } else {
                "the credential lacks a permission (403): it needs Contents, Pull requests, Checks and Commit \
                 statuses: read (a classic token: `repo`)"
            };
            Err(UpstreamError::new(SERVICE, Kind::Forbidden, hint))
        }
        _ => Ok(()),
    }
}

fn refused(holder: &Holder, what: &str) -> UpstreamError {
    unauthorized(match holder {
        Holder::Token(path) => format!("the token in `{}` {what}", path.display()),
        Holder::App { id, key } => format!("the key of the App {id} in `{}` {what}", key.display()),
        Holder::Installation { app } => format!("the token for the App {app} {what}"),
    })
}

fn unexpected(status: u16) -> UpstreamError {
    match status {
        300..=399 => malformed("its address redirects; `github.api` must be the final one"),
        _ => malformed(&format!("it answers {status}")),
    }
}

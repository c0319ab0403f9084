//! Tokens: one fetch for many callers, kept as long as they hold.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::HeaderValue};
use serde::Deserialize;

use super::{
    account::{Account, Refusal, Token},
    challenge::TokenServer,
    credential::Credential,
    host::Host,
    wire::{Redirects, Request},
};
use crate::upstream::{Kind, UpstreamError, urgency};

/// How long a token holds that does not say: the distribution specification's default.
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// No token is used for longer.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// A token is given up earlier by a tenth of its life, at most by this.
const MARGIN: Duration = Duration::from_secs(10);
/// What is said where many repositories were refused.
const MANY_REFUSALS: &str = "its token server refused many repositories lately, and bans those who go on; the next one \
                             waits a few minutes";
/// The most that a token server may answer.
const MAX_BYTES: usize = 64 * 1024;

/// What a token server answers, as far as it matters.
#[derive(Deserialize)]
struct Grant {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Grant {
    fn header(&self) -> Option<HeaderValue> {
        let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let token = given(&self.token).or_else(|| given(&self.access_token))?;
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn life(&self) -> Duration {
        let named = self.expires_in.as_ref().and_then(serde_json::Value::as_f64).filter(|seconds| *seconds > 0.0);
        let life = named.map_or(DEFAULT_LIFE, |seconds| {
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE)
        });
        life.saturating_sub((life / 10).min(MARGIN))
    }
}

impl Host {
    /// A token to pull from a repository, other than the one of generation `refused`; and whether it was fetched
    /// just now.
    pub(super) async fn token(
        &self,
        account: &Account,
        server: &TokenServer,
        name: &str,
        refused: Option<u64>,
    ) -> Result<(Token, bool), UpstreamError> {
        let repository = account.repository(name);
        let mut repository = if let Ok(free) = repository.try_lock() {
            free
        } else {
            // Somebody is fetching a token: that is waited for, unless it hangs.
            self.breaker(&server.address()).ready()?;
            repository.lock().await
        };
        let now = self.now();
        repository.refused(now)?;
        if let Some(token) = &repository.token
            && now < token.expires
            && refused.is_none_or(|refused| token.generation > refused)
        {
            return Ok((token.clone(), false));
        }
        // What was granted before is no risk.
        if repository.token.is_none() {
            let risky = |until| self.error(Kind::Limited { until }, MANY_REFUSALS);
            self.refusals.check(now).map_err(risky)?;
        }
        // Whoever it is for, questions wait behind it.
        match urgency::question(self.fetch_token(account, server, name)).await {
            Ok((header, life)) => {
                repository.generation += 1;
                let token = Token { header, got: now, expires: now + life, generation: repository.generation };
                repository.token = Some(token.clone());
                repository.refusal = None;
                Ok((token, true))
            }
            Err(error) => {
                // Whoever waited for this fetch gets its outcome instead of trying again.
                let now = self.now();
                repository.refusal = Some(Refusal { until: now + error.kind.lifetime(now), error: error.clone() });
                Err(error)
            }
        }
    }

    async fn fetch_token(
        &self,
        account: &Account,
        server: &TokenServer,
        name: &str,
    ) -> Result<(HeaderValue, Duration), UpstreamError> {
        let scope = format!("repository:{name}:pull");
        let mut request = Request {
            method: Method::GET,
            url: server.question(&scope),
            accept: "application/json",
            authorization: account.credential.basic_header(),
            form: None,
            redirects: Redirects::Never,
            limit: Some(MAX_BYTES),
            whom: "its token server",
        };
        if let Credential::Identity { token } = &account.credential {
            request.method = Method::POST;
            request.url = server.address();
            request.form = Some(server.form(&scope, token.expose()));
        }
        let _showing = account.show(|| self.now()).await?;
        let reply = self.send(account, request).await?;
        match reply.status {
            status if status.is_success() => {}
            // A refused refresh token is OAuth's `invalid_grant`, a 400.
            StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST if !account.is_anonymous() => {
                self.refusals.note(self.now());
                let error = self.refusal(
                    StatusCode::UNAUTHORIZED,
                    format!("its token server refuses the configured credential ({})", reply.status.as_u16()),
                );
                account.refuse(&error, self.now());
                return Err(error);
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.refusals.note(self.now());
                return Err(self.refused(account, name, reply.status));
            }
            status => return Err(self.unexpected("its token server", status)),
        }
        account.accept();
        // Not even the parser's own words: they quote what they could not read.
        let senseless = || self.error(Kind::Malformed, "its token server's answer is no token");
        granted(&reply.body).ok_or_else(senseless)
    }
}

/// The token in a token server's answer, as a header, and how long it may be used.
pub(super) fn granted(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let grant: Grant = serde_json::from_slice(body).ok()?;
    Some((grant.header()?, grant.life()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_up_a_little_early() {
        let life = |expires_in: &str| {
            let grant: Grant = serde_json::from_str(&format!(r#"{{"token":"t","expires_in":{expires_in}}}"#)).unwrap();
            grant.life().as_secs()
        };
        assert_eq!(life("300"), 290);
        assert_eq!(life("100"), 90);
        assert_eq!(life("50"), 45);
        for odd in ["null", "0", "-5", r#""300""#, "{}"] {
            assert_eq!(life(odd), 54, "{odd}");
        }
        assert_eq!(life("1e300"), 24 * 60 * 60 - 10);
    }

    #[test]
    fn both_names_of_a_token_are_known() {
        let header = |text: &str| {
            let grant: Grant = serde_json::from_str(text).unwrap();
            grant.header().map(|header| header.to_str().unwrap().to_owned())
        };
        assert_eq!(header(r#"{"token":"a","access_token":"b"}"#).as_deref(), Some("Bearer a"));
        assert_eq!(header(r#"{"token":"","access_token":"b"}"#).as_deref(), Some("Bearer b"));
        assert_eq!(header(r#"{"token":"a\nb"}"#), None);
        assert_eq!(header("{}"), None);
    }
}

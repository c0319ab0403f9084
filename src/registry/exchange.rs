//! A question to a registry, asked with the credential in the way that it wants it shown.
//!
//! There is no ping. A question is sent with what is held; a 401 says what is wanted, and the question is sent once
//! more. What was learned is remembered, so that afterwards a question is one request.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::{
    account::{Account, Scheme, Token},
    challenge::{Offer, TokenServer},
    credential::Credential,
    host::Host,
    wire::{Redirects, Reply, Request},
};
use crate::{
    clock::Moment,
    upstream::{UpstreamError, urgency},
};

/// From which age on a 403 (private ECR) or 400 (public ECR) may mean that the token expired.
const SUSPECT: Duration = Duration::from_secs(5);

/// A question about one repository.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) repository: &'a str,
    pub(super) method: Method,
    /// Below `/v2/`; made of checked names only.
    pub(super) path: String,
    pub(super) accept: &'static str,
    pub(super) redirects: Redirects,
    pub(super) limit: Option<usize>,
    /// Whether a final 401 concerns the whole repository, rather than this question.
    pub(super) decisive: bool,
}

/// What a question is sent with.
#[derive(Debug)]
enum Held {
    Nothing,
    Basic,
    Token { token: Token, fresh: bool },
}

impl Held {
    fn generation(&self) -> Option<u64> {
        match self {
            Self::Token { token, .. } => Some(token.generation),
            _ => None,
        }
    }

    /// Whether it is a token that was just got, and has not expired on its way.
    fn is_fresh(&self, now: Moment) -> bool {
        matches!(self, Self::Token { token, fresh: true } if now < token.expires)
    }

    fn token((token, fresh): (Token, bool)) -> Self {
        Self::Token { token, fresh }
    }
}

impl Host {
    /// The reply to a question: a success, 404, 405 or 501. A 404 was given to the configured credential.
    pub(super) async fn ask(&self, account: &Account, question: &Question<'_>) -> Result<Reply, UpstreamError> {
        // Before anything is waited for that another question is doing: a credential is tried by one at a time.
        self.breaker(&self.settings.origin).ready()?;
        let mut held = self.held(account, question.repository).await?;
        let mut reply = self.show(account, question, &held).await?;
        if reply.status == StatusCode::NOT_FOUND && !account.is_anonymous() && matches!(held, Held::Nothing) {
            self.make_it_ask(account, question).await?;
            held = self.held(account, question.repository).await?;
            if !matches!(held, Held::Nothing) {
                reply = self.show(account, question, &held).await?;
            }
        }
        if let Some(better) = self.better(account, question, &held, &reply).await? {
            held = better;
            reply = self.show(account, question, &held).await?;
        }
        self.judge(account, question, reply).await
    }

    /// What the registry is known to want.
    async fn held(&self, account: &Account, repository: &str) -> Result<Held, UpstreamError> {
        let scheme = account.scheme();
        if let Scheme::Bearer(server) = scheme {
            return self.token(account, &server, repository, None).await.map(Held::token);
        }
        account.repository(repository).lock().await.refused(self.now())?;
        let basic = scheme == Scheme::Basic && matches!(account.credential, Credential::Basic { .. });
        Ok(if basic { Held::Basic } else { Held::Nothing })
    }

    async fn show(&self, account: &Account, question: &Question<'_>, held: &Held) -> Result<Reply, UpstreamError> {
        let mut url = self.settings.origin.clone();
        let (path, query) = question.path.split_once('?').unwrap_or((&question.path, ""));
        url.set_path(&format!("/v2/{path}"));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let request = |authorization| Request {
            method: question.method.clone(),
            url,
            accept: question.accept,
            authorization,
            form: None,
            redirects: question.redirects,
            limit: question.limit,
            whom: "it",
        };
        match held {
            Held::Nothing => self.send(account, request(None)).await,
            Held::Token { token, .. } => self.send(account, request(Some(token.header.clone()))).await,
            Held::Basic => {
                let showing = account.show(|| self.now()).await?;
                let sent = self.send(account, request(account.credential.basic_header()));
                // Questions wait behind a credential that is tried.
                let reply = if showing.is_trial() { urgency::question(sent).await } else { sent.await }?;
                if reply.status != StatusCode::UNAUTHORIZED {
                    account.accept();
                } else if !account.is_accepted() && Offer::read(&reply.headers).bearer.is_none() {
                    account.refuse(&self.refused(account, question.repository, reply.status), self.now());
                }
                Ok(reply)
            }
        }
    }

    /// Some registries show a stranger a 404 where they would ask a docker client for its login: at `/v2/`.
    async fn make_it_ask(&self, account: &Account, question: &Question<'_>) -> Result<(), UpstreamError> {
        if account.scheme() != Scheme::Unasked {
            return Ok(());
        }
        let ping = Question { method: Method::GET, path: String::new(), limit: None, ..question.clone() };
        let reply = self.show(account, &ping, &Held::Nothing).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            // Learns the scheme; the token, if it is one, is kept.
            self.better(account, question, &Held::Nothing, &reply).await?;
        } else if reply.status.is_success() {
            account.learn(Scheme::Open);
        } else {
            return Err(self.unexpected("it", reply.status));
        }
        Ok(())
    }

    /// With what to ask once more, if that may help.
    async fn better(
        &self,
        account: &Account,
        question: &Question<'_>,
        held: &Held,
        reply: &Reply,
    ) -> Result<Option<Held>, UpstreamError> {
        match reply.status {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
                return match (held, account.scheme()) {
                    (Held::Token { token, fresh: false }, Scheme::Bearer(server))
                        if self.now().since(token.got) > SUSPECT =>
                    {
                        self.renewed(account, &server, question, held).await
                    }
                    _ => Ok(None),
                };
            }
            _ => return Ok(None),
        }
        let offer = Offer::read(&reply.headers);
        let known = account.scheme();
        let server = match (offer.bearer, &known, held) {
            (Some(bearer), ..) => {
                Some(bearer.server(&self.settings).map_err(|message| self.refusal(StatusCode::UNAUTHORIZED, message))?)
            }
            // Nothing is offered, but a token was refused.
            (None, Scheme::Bearer(server), Held::Token { .. }) => Some(server.clone()),
            _ => None,
        };
        if let Some(server) = server {
            let same = known == Scheme::Bearer(server.clone());
            if same && held.is_fresh(self.now()) {
                return Ok(None);
            }
            account.learn(Scheme::Bearer(server.clone()));
            return self.renewed(account, &server, question, held).await;
        }
        let basic = offer.basic && matches!(account.credential, Credential::Basic { .. });
        if !basic || matches!(held, Held::Basic) {
            return Ok(None);
        }
        account.learn(Scheme::Basic);
        Ok(Some(Held::Basic))
    }

    async fn renewed(
        &self,
        account: &Account,
        server: &TokenServer,
        question: &Question<'_>,
        held: &Held,
    ) -> Result<Option<Held>, UpstreamError> {
        self.token(account, server, question.repository, held.generation()).await.map(Held::token).map(Some)
    }

    async fn judge(&self, account: &Account, question: &Question<'_>, reply: Reply) -> Result<Reply, UpstreamError> {
        match reply.status {
            status if status.is_success() => Ok(reply),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(reply),
            StatusCode::UNAUTHORIZED => {
                let error = self.refused(account, question.repository, reply.status);
                if question.decisive {
                    // Each of its tags would be refused alike. A 403 is not kept so: a firewall's may be for one tag.
                    account.repository(question.repository).lock().await.refuse(error.clone(), self.now());
                }
                Err(error)
            }
            StatusCode::FORBIDDEN => Err(self.refused(account, question.repository, reply.status)),
            status => Err(self.unexpected("it", status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_token_that_expired_on_its_way_is_not_fresh() {
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        let token =
            Token { header: HeaderValue::from_static("Bearer t"), got: at(10), expires: at(300), generation: 1 };
        for (held, now, fresh) in [
            (Held::token((token.clone(), true)), 10, true),
            (Held::token((token.clone(), true)), 299, true),
            (Held::token((token.clone(), true)), 300, false),
            (Held::token((token, false)), 10, false),
            (Held::Basic, 10, false),
        ] {
            assert_eq!(held.is_fresh(at(now)), fresh, "{held:?} at {now}");
        }
    }
}

//! A GitHub App: a key signs for the App, the App asks for tokens of its installations.
//!
//! A token is minted once for all who wait for it, and again five minutes before it expires; where minting fails, the
//! old token serves on until it does expire. Its lifetime is measured from the answer's own `Date`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use octocrab::jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};

use super::{
    SERVICE,
    auth::{Grant, unauthorized},
    credential::{Credential, Holder, Resource},
    envelope,
    send::{Sender, judge_status},
    transport::{Answer, Call, malformed},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::Repo,
    upstream::{Cache, Kind, PaceLimits, Secret, SecretFile, UpstreamError, urgency},
};

/// How long before its end a token is replaced.
const RENEW_BEFORE: Duration = Duration::from_mins(5);

/// How long after a failure that is tried again, while the old token still serves.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// How long an installation is believed to be a repository's.
const INSTALLATION_FOR: Duration = Duration::from_hours(1);

pub(super) struct App {
    id: u64,
    key: SecretFile,
    parsed: Mutex<Option<(Secret, EncodingKey)>>,
    own: Credential,
    pace: PaceLimits,
    clock: SharedClock,
    by_repo: Cache<Repo, u64>,
    installations: Mutex<HashMap<u64, Arc<Installation>>>,
}

struct Installation {
    id: u64,
    credential: Arc<Credential>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    minted: Option<Minted>,
    failed: Option<Failed>,
}

#[derive(Clone)]
struct Minted {
    token: Secret,
    at: Moment,
    renew: Moment,
    expires: Moment,
    permissions: Option<Permissions>,
}

struct Failed {
    error: UpstreamError,
    until: Moment,
    key: Option<Secret>,
}

/// What an installation may do, by GitHub's own names (`checks` → `read`).
pub(super) type Permissions = HashMap<String, String>;

#[derive(Deserialize)]
struct InstallationAnswer {
    id: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
    expires_at: DateTime<Utc>,
    permissions: Option<Permissions>,
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

impl App {
    pub(super) fn new(id: u64, key: SecretFile, pace: PaceLimits, clock: SharedClock) -> Self {
        let holder = Holder::App { id, key: key.path().to_owned() };
        Self {
            id,
            key,
            parsed: Mutex::default(),
            own: Credential::new(holder, pace, Arc::clone(&clock)),
            pace,
            by_repo: Cache::new(10_000, Arc::clone(&clock)),
            installations: Mutex::default(),
            clock,
        }
    }

    pub(super) fn key(&self) -> Option<Secret> {
        self.key.read().ok()
    }

    pub(super) fn credentials(&self) -> Vec<Arc<Credential>> {
        self.installations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|installation| Arc::clone(&installation.credential))
            .collect()
    }

    /// Forgets which installation is whose: the key has changed.
    pub(super) fn forget(&self) {
        self.by_repo.clear();
    }

    /// A token for `repo`, another than `refused`.
    pub(super) async fn grant(
        self: &Arc<Self>,
        sender: &Arc<Sender>,
        repo: &Repo,
        refused: Option<&Secret>,
    ) -> Result<Grant, UpstreamError> {
        let installation = self.installation(sender, repo).await?;
        let minted = self.token(sender, &installation, refused).await;
        if matches!(&minted, Err(error) if error.kind == Kind::NotFound) {
            self.by_repo.forget(repo).await;
        }
        let minted = minted?;
        Ok(Grant {
            credential: Arc::clone(&installation.credential),
            token: minted.token,
            minted: Some(minted.at),
            permissions: minted.permissions,
        })
    }

    async fn installation(
        self: &Arc<Self>,
        sender: &Arc<Sender>,
        repo: &Repo,
    ) -> Result<Arc<Installation>, UpstreamError> {
        let load = {
            let (app, sender, repo) = (Arc::clone(self), Arc::clone(sender), repo.clone());
            move || {
                let (app, sender, repo) = (Arc::clone(&app), Arc::clone(&sender), repo.clone());
                async move {
                    let call = Call::get(sender.rest(&format!("/repos/{repo}/installation")));
                    let answer = app.ask(&sender, &call).await?;
                    match answer.status.as_u16() {
                        404 => Err(UpstreamError::new(
                            SERVICE,
                            Kind::NotFound,
                            format!(
                                "the App {} is not installed for the repository `{repo}`, or there is none",
                                app.id
                            ),
                        )),
                        _ => parse::<InstallationAnswer>(&answer).map(|installation| installation.id),
                    }
                }
            }
        };
        let id = self.by_repo.get(repo.clone(), self.clock.now() - INSTALLATION_FOR, load).await?;
        let mut installations = self.installations.lock().unwrap_or_else(PoisonError::into_inner);
        let installation = installations.entry(id).or_insert_with(|| {
            let holder = Holder::Installation { app: self.id };
            let credential = Arc::new(Credential::new(holder, self.pace, Arc::clone(&self.clock)));
            Arc::new(Installation { id, credential, state: tokio::sync::Mutex::default() })
        });
        Ok(Arc::clone(installation))
    }

    async fn token(
        &self,
        sender: &Sender,
        installation: &Installation,
        refused: Option<&Secret>,
    ) -> Result<Minted, UpstreamError> {
        let mut state = installation.state.lock().await;
        let now = self.clock.now();
        if let Some(minted) = &state.minted
            && refused == Some(&minted.token)
        {
            state.minted = None;
        }
        let usable = state.minted.clone().filter(|minted| now < minted.expires);
        // While GitHub is in trouble the old token serves: what may be sent then are questions.
        let may_wait = |minted: &Minted| now < minted.renew || !sender.breaker.is_well();
        if let Some(minted) = usable.clone().filter(may_wait) {
            return Ok(minted);
        }
        let key = self.key();
        if let Some(failed) = state.failed.as_ref().filter(|failed| now < failed.until && failed.key == key) {
            return usable.ok_or_else(|| failed.error.clone());
        }
        // Whoever it is for, questions wait behind it.
        match urgency::question(self.mint(sender, installation.id)).await {
            Ok(minted) => {
                *state = State { minted: Some(minted.clone()), failed: None };
                Ok(minted)
            }
            Err(error) => {
                let now = self.clock.now();
                let serves = usable.as_ref().map_or(Duration::ZERO, |minted| minted.expires.since(now));
                let pause = error.kind.lifetime(now).max(RENEW_AGAIN.min(serves));
                state.failed = Some(Failed { until: now + pause, error: error.clone(), key });
                usable.ok_or(error)
            }
        }
    }

    async fn mint(&self, sender: &Sender, installation: u64) -> Result<Minted, UpstreamError> {
        let call =
            Call::post(sender.rest(&format!("/app/installations/{installation}/access_tokens")), "{}".to_owned());
        let answer = self.ask(sender, &call).await?;
        if answer.status.as_u16() == 404 {
            let message = format!("the App {} is not installed any more", self.id);
            return Err(UpstreamError::new(SERVICE, Kind::NotFound, message));
        }
        let token: TokenAnswer = parse(&answer)?;
        let lifetime = (token.expires_at - answer.date).to_std().unwrap_or_default();
        let expires = answer.received + lifetime;
        tracing::debug!(installation, "a token was minted");
        Ok(Minted {
            token: Secret::new(token.token),
            at: answer.received,
            // A token that lives shorter than our margin is used for half its life.
            renew: (expires - RENEW_BEFORE).max(answer.received + lifetime / 2),
            expires,
            permissions: token.permissions,
        })
    }

    /// Asks as the App itself; anything but success and 404 is an error.
    async fn ask(&self, sender: &Sender, call: &Call) -> Result<Answer, UpstreamError> {
        let answer = sender.send(&self.own, Resource::Core, call, &self.jwt()?).await?;
        if envelope::message_of(&answer.body).is_some_and(|message| message.contains("Integration not found")) {
            return Err(unauthorized(format!("there is no App {}; check its `id`", self.id)));
        }
        judge_status(&self.own, &answer)?;
        Ok(answer)
    }

    fn jwt(&self) -> Result<Secret, UpstreamError> {
        let text = self.key.read().map_err(|error| unauthorized(error.to_string()))?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let bad = |_| {
            let path = self.key.path().display();
            unauthorized(format!(
                "`{path}` holds no usable private key: the PEM file that GitHub made for the App is expected (RSA)"
            ))
        };
        let key = match parsed.take() {
            Some((known, key)) if known == text => key,
            _ => EncodingKey::from_rsa_pem(text.expose().as_bytes()).map_err(bad)?,
        };
        // Our clock may be ahead of GitHub's, and ten minutes are the most that GitHub takes.
        let now = self.clock.wall().timestamp();
        let claims = Claims { iat: now - 60, exp: now + 9 * 60, iss: self.id.to_string() };
        let token = encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(bad)?;
        *parsed = Some((text, key));
        Ok(Secret::new(token))
    }
}

fn parse<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, UpstreamError> {
    serde_json::from_slice(&answer.body).map_err(|_| malformed("its answer to the App makes no sense"))
}

//! What is remembered about one credential at one registry: pace, how it is shown, tokens, refusals.
//!
//! Refusals are remembered because credentials that are shown again and again get an address banned. One that says
//! that the credential is wrong stops everything that would show it (a breaker, from a minute up to a quarter of an
//! hour); one that concerns a repository stops that repository for a minute. A changed credential is another account,
//! and so begins without either.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex as AsyncMutex;

use super::{challenge::TokenServer, credential::Credential};
use crate::{
    clock::Moment,
    upstream::{Pace, Quota, Trouble, UpstreamError},
};

/// The first pause after a refusal.
const REFUSED: Duration = Duration::from_mins(1);
/// The longest pause after many.
const REFUSED_LONGEST: Duration = Duration::from_mins(15);

/// How long it is believed that no pulls are left, unless the registry says something else. It does not say when they
/// are back.
const WITHOUT_PULLS: Duration = Duration::from_mins(15);

/// One credential at one registry.
#[derive(Debug)]
pub(super) struct Account {
    /// Distinguishes accounts in cache keys.
    pub(super) id: u64,
    pub(super) credential: Credential,
    pub(super) pace: Pace,
    scheme: Mutex<Scheme>,
    repositories: Mutex<HashMap<String, Arc<AsyncMutex<Repository>>>>,
    breaker: Mutex<Option<Breaker>>,
    /// When the credential's latest rest ends or ended.
    rested: Mutex<Moment>,
    /// Held while a credential that was never accepted is shown: fifty callers must not be fifty refusals.
    trial: AsyncMutex<()>,
    accepted: AtomicBool,
    limited: AtomicU32,
    /// Until when it is believed that no pulls are left.
    without_pulls: Mutex<Moment>,
    /// What the registry said last of how many are left.
    quota: Mutex<Option<Quota>>,
}

/// How the registry wants the credential to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Scheme {
    /// It never asked.
    #[default]
    Unasked,
    /// It was asked whether it asks, and does not.
    Open,
    /// With every request.
    Basic,
    /// As a token of this server.
    Bearer(TokenServer),
}

/// What is remembered about a repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) token: Option<Token>,
    /// Counts the tokens, so that a refused one is told from its successor.
    pub(super) generation: u64,
    pub(super) refusal: Option<Refusal>,
}

/// A token for one repository.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) got: Moment,
    pub(super) expires: Moment,
    pub(super) generation: u64,
}

/// An error that is the answer until then.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) error: UpstreamError,
    pub(super) until: Moment,
}

#[derive(Debug)]
struct Breaker {
    refusal: Refusal,
    times: u32,
}

/// The right to show the credential; held until the answer was recorded.
#[derive(Debug)]
pub(super) struct Showing<'a> {
    alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Showing<'_> {
    /// Whether it was never accepted, so that all others wait.
    pub(super) fn is_trial(&self) -> bool {
        self.alone.is_some()
    }
}

impl Repository {
    /// The refusal that still holds.
    pub(super) fn refused(&self, now: Moment) -> Result<(), UpstreamError> {
        match &self.refusal {
            Some(refusal) if now < refusal.until => Err(refusal.error.clone()),
            _ => Ok(()),
        }
    }

    /// Remembers that this repository is refused.
    pub(super) fn refuse(&mut self, error: UpstreamError, now: Moment) {
        self.refusal = Some(Refusal { error, until: now + REFUSED });
    }
}

impl Account {
    pub(super) fn new(id: u64, credential: Credential, pace: Pace) -> Self {
        Self {
            id,
            credential,
            pace,
            scheme: Mutex::default(),
            repositories: Mutex::default(),
            breaker: Mutex::default(),
            rested: Mutex::default(),
            trial: AsyncMutex::default(),
            accepted: AtomicBool::default(),
            limited: AtomicU32::default(),
            without_pulls: Mutex::default(),
            quota: Mutex::default(),
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.credential == Credential::Anonymous
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, scheme: Scheme) {
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = scheme;
    }

    /// What is remembered about a repository. Names come from the configuration, so there are few.
    pub(super) fn repository(&self, name: &str) -> Arc<AsyncMutex<Repository>> {
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = repositories.get(name) {
            return Arc::clone(repository);
        }
        Arc::clone(repositories.entry(name.to_owned()).or_default())
    }

    /// Since when the credential neither is limited nor rests; `None` while it does.
    pub(super) fn well_since(&self, now: Moment) -> Option<Moment> {
        let rested = *self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        let well = self.pace.paused().is_none() && self.check(now).is_ok();
        well.then(|| self.pace.last_pause().max(rested).min(now))
    }

    /// Waits until the credential may be shown; an error while the breaker is open.
    pub(super) async fn show(&self, now: impl Fn() -> Moment) -> Result<Showing<'_>, UpstreamError> {
        if self.is_anonymous() {
            return Ok(Showing { alone: None });
        }
        self.check(now())?;
        if self.accepted.load(Ordering::Relaxed) {
            return Ok(Showing { alone: None });
        }
        let alone = self.trial.lock().await;
        self.check(now())?;
        Ok(Showing { alone: Some(alone) })
    }

    fn check(&self, now: Moment) -> Result<(), UpstreamError> {
        match &*self.breaker.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(breaker) if now < breaker.refusal.until => Err(breaker.refusal.error.clone()),
            _ => Ok(()),
        }
    }

    /// The credential was taken.
    pub(super) fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the credential was taken, and not refused since.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The credential is wrong: opens the breaker, twice as long each time in a row.
    pub(super) fn refuse(&self, error: &UpstreamError, now: Moment) {
        self.accepted.store(false, Ordering::Relaxed);
        if self.is_anonymous() {
            return;
        }
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        // Requests that were under way when it opened are one refusal, not many.
        if breaker.as_ref().is_some_and(|breaker| now < breaker.refusal.until) {
            return;
        }
        let times = breaker.as_ref().map_or(0, |breaker| breaker.times);
        let pause = REFUSED.saturating_mul(1 << times.min(8)).min(REFUSED_LONGEST);
        tracing::warn!(registry = %error.service, seconds = pause.as_secs(), "{}; the credential rests", error.message);
        *self.rested.lock().unwrap_or_else(PoisonError::into_inner) = now + pause;
        *breaker = Some(Breaker {
            refusal: Refusal { error: error.clone(), until: now + pause },
            times: times.saturating_add(1),
        });
    }

    /// The registry says how many pulls are left.
    pub(super) fn has_pulls(&self, quota: Quota) {
        let until = if quota.remaining == 0 { quota.seen_at + WITHOUT_PULLS } else { Moment::START };
        *self.without_pulls.lock().unwrap_or_else(PoisonError::into_inner) = until;
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner) = Some(quota);
    }

    /// What the registry said last of how many pulls are left, if it says that.
    pub(super) fn quota(&self) -> Option<Quota> {
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the credential rests, if it does.
    pub(super) fn rests(&self, now: Moment) -> Option<Trouble> {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = &breaker.as_ref().filter(|breaker| now < breaker.refusal.until)?.refusal;
        Some(Trouble { why: Arc::clone(&refusal.error.message), until: refusal.until })
    }

    /// Whether something that nobody waits for may be sent; else from when on.
    pub(super) fn spare(&self, now: Moment) -> Result<(), Moment> {
        let until = *self.without_pulls.lock().unwrap_or_else(PoisonError::into_inner);
        if until > now { Err(until) } else { Ok(()) }
    }

    /// Counts a 429 and says how many there were in a row.
    pub(super) fn limited(&self) -> u32 {
        self.limited.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Something else than a 429 came.
    pub(super) fn not_limited(&self) {
        self.limited.store(0, Ordering::Relaxed);
    }
}

//! OCI registries: which digest a tag names, and what an image says of itself.
//!
//! ```text
//! Registries   caches, by account and image           mod
//!   Host       settings, credentials, accounts        host options credential docker_config
//!     lookup   HEAD a tag, GET a manifest, …          lookup labels diagnosis
//!     exchange asked with what is held, 401 → better  exchange challenge token account
//!     wire     pace, breaker, redirects, retry, 429   wire limit
//! ```
//!
//! Absence is only a 404 that was given to the configured credential. 401, 403, 429, 5xx and nonsense are errors of
//! different kinds, and none of them ever means "not built".
//!
//! The hot path is written here on reqwest, and not on oci-client: a look-up is one HEAD, its status and `Retry-After`
//! decide, and credentials go to the registry's own token server alone.
//!
//! Not done: a refresh token (`identitytoken`) is only posted as OAuth 2 wants it; token servers that know GET alone
//! are not asked so. Digests other than SHA-256 are not known.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

mod account;
mod challenge;
mod credential;
mod diagnosis;
mod docker_config;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host;
mod labels;
mod limit;
mod lookup;
mod options;
mod refusals;
mod token;
mod wire;

use self::{account::Account, host::Host, options::canonical};
pub use self::{
    diagnosis::Diagnosis,
    labels::Labels,
    options::{Auth, Options, SetupError},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Digest, ImageName, Tag},
    upstream::{Cache, Failing, Kind, Service, Terms, UpstreamError, http},
};

/// How long it is believed that a repository exists, or does not.
const EXISTENCE: Duration = Duration::from_hours(1);
/// How many tags are remembered: those that nobody has found yet, and those of builds that are yet to be recorded. What is
/// recorded is not looked up again.
const TAGS: u64 = 10_000;
/// How many images' labels are remembered, each of some 32 KiB at most.
const LABELS: u64 = 4_000;
/// How many repositories' existence is remembered.
const REPOSITORIES: u64 = 4_000;

/// All registries, by host. One that nothing was said about is asked anonymously over TLS.
#[derive(Debug)]
pub struct Registries {
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    client: reqwest::Client,
    clock: SharedClock,
    tags: Cache<(u64, ImageName, Tag), Presence>,
    labels: Cache<(u64, ImageName, Digest), Arc<Labels>>,
    existence: Arc<Cache<(u64, ImageName), Option<bool>>>,
    /// The images that could not be read when they were asked for last.
    failing: Arc<Failing<ImageName>>,
}

/// Whether a tag is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Found {
        /// What it names.
        digest: Digest,
        /// When the registry was asked.
        seen_at: Moment,
    },
    /// It is not, said the registry to the configured credential.
    Absent {
        /// When the registry was asked.
        seen_at: Moment,
    },
}

/// Everything that a request needs.
#[derive(Debug)]
struct Target {
    host: Arc<Host>,
    account: Arc<Account>,
    image: ImageName,
}

impl Registries {
    /// The registries with these settings.
    pub fn new(options: Vec<Options>, clock: SharedClock) -> Result<Self, SetupError> {
        let client =
            http::client(None).map_err(|source| SetupError::Client { host: "all registries".to_owned(), source })?;
        let mut hosts = HashMap::new();
        for options in options {
            let host = Host::new(&options, &client, &clock)?;
            match hosts.entry(host.settings.host.clone()) {
                hash_map::Entry::Occupied(entry) => return Err(SetupError::Twice(entry.key().clone())),
                hash_map::Entry::Vacant(entry) => entry.insert(Arc::new(host)),
            };
        }
        Ok(Self {
            hosts: Mutex::new(hosts),
            client,
            tags: Cache::new(TAGS, Arc::clone(&clock)),
            labels: Cache::new(LABELS, Arc::clone(&clock)),
            existence: Arc::new(Cache::new(REPOSITORIES, Arc::clone(&clock))),
            failing: Arc::default(),
            clock,
        })
    }

    /// The digest that a tag names, as seen at `not_before` or later; with [`Moment::START`], as ever seen.
    pub async fn resolve(&self, image: &ImageName, tag: &Tag, not_before: Moment) -> Result<Presence, UpstreamError> {
        let target = self.target(image)?;
        let key = (target.account.id, image.clone(), tag.clone());
        let (existence, failing) = (Arc::clone(&self.existence), Arc::clone(&self.failing));
        let tag = tag.clone();
        let load = move || {
            let (target, tag) = (Arc::clone(&target), tag.clone());
            let (existence, failing) = (Arc::clone(&existence), Arc::clone(&failing));
            async move {
                let seen_at = target.host.now();
                let outcome = target.host.digest(&target.account, &target.image, &tag).await;
                failing.note(&target.image, outcome.as_ref().err(), target.host.now());
                let Some(digest) = outcome? else {
                    return Ok(Presence::Absent { seen_at });
                };
                existence.put((target.account.id, target.image.clone()), seen_at, Some(true)).await;
                Ok(Presence::Found { digest, seen_at })
            }
        };
        self.tags.get(key, not_before, load).await
    }

    /// Labels and annotations of an image. They never change, and are read once.
    pub async fn labels(&self, image: &ImageName, digest: &Digest) -> Result<Arc<Labels>, UpstreamError> {
        let target = self.target(image)?;
        let key = (target.account.id, image.clone(), digest.clone());
        let (digest, failing) = (digest.clone(), Arc::clone(&self.failing));
        let load = move || {
            let (target, digest, failing) = (Arc::clone(&target), digest.clone(), Arc::clone(&failing));
            async move {
                let outcome = target.host.read_labels(&target.account, &target.image, &digest).await;
                // That a part of the image is not there is an answer.
                let failure = outcome.as_ref().err().filter(|error| error.kind != Kind::NotFound);
                failing.note(&target.image, failure, target.host.now());
                outcome.map(Arc::new)
            }
        };
        self.labels.get(key, Moment::START, load).await
    }

    /// Whether the image's repository exists, as known for at most an hour; `None` where the registry does not tell.
    pub async fn repository_exists(&self, image: &ImageName) -> Result<Option<bool>, UpstreamError> {
        let target = self.target(image)?;
        let key = (target.account.id, image.clone());
        let load = move || {
            let target = Arc::clone(&target);
            async move {
                match target.host.exists(&target.account, &target.image).await {
                    Err(error) if matches!(error.kind, Kind::Unauthorized | Kind::Forbidden) => Ok(None),
                    outcome => outcome,
                }
            }
        };
        self.existence.get(key, self.clock.now() - EXISTENCE, load).await
    }

    /// What a person should know about the image's repository. Asks anew.
    pub async fn diagnose(&self, image: &ImageName) -> Diagnosis {
        match self.target(image) {
            Ok(target) => target.host.diagnose(&target.account, image).await,
            Err(error) => Diagnosis::Wrong(format!("{image}: {}", error.message)),
        }
    }

    /// Since when all of these can be asked for: their registries are up and neither limit nor refuse us, and the latest
    /// question about each was answered; `None` while that is not so. What was never asked for is not known to fail.
    pub fn well_since<'a>(&self, images: impl IntoIterator<Item = &'a ImageName>) -> Option<Moment> {
        images.into_iter().try_fold(Moment::START, |since, image| {
            let target = self.target(image).ok()?;
            let reachable = target.host.well_since(&target.account)?;
            Some(since.max(self.failing.well_since(image)?).max(reachable))
        })
    }

    /// How many requests were sent to each registry, by what came of them, and whether it is up. What was sent to its
    /// token servers counts as its own.
    pub fn traffic(&self) -> Vec<Service> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut services: Vec<_> = hosts.values().map(|host| host.service()).collect();
        services.sort_by(|a, b| a.host.cmp(&b.host));
        services
    }

    /// On which terms each registry is asked now.
    pub fn terms(&self) -> Vec<Terms> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut terms: Vec<_> = hosts.values().flat_map(|host| host.terms()).collect();
        terms.sort_by(|a, b| a.host.cmp(&b.host));
        terms
    }

    fn target(&self, image: &ImageName) -> Result<Arc<Target>, UpstreamError> {
        let host = self.host(image.host())?;
        let account = host.account(image.name())?;
        Ok(Arc::new(Target { host, account, image: image.clone() }))
    }

    fn host(&self, name: &str) -> Result<Arc<Host>, UpstreamError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(canonical(name)) {
            return Ok(Arc::clone(host));
        }
        let host = Host::new(&Options::anonymous(name), &self.client, &self.clock)
            .map_err(|error| UpstreamError::new(name, Kind::Malformed, error.to_string()))?;
        let host = Arc::new(host);
        hosts.insert(canonical(name).to_owned(), Arc::clone(&host));
        Ok(host)
    }
}

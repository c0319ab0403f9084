//! Plugin services as Kubernetes knows them: Services with the label `argocd.argoproj.io/plugin: "true"` in the
//! configured namespaces, and the tokens that their annotations name.
//!
//! ```text
//! keep: namespace by namespace, list and watch ──► find(namespace, name) ──► Found ──► Endpoint
//!                                 get Secret ──► token(namespace, key)
//! ```
//!
//! * `api`: the three requests, bounded and classified; no type of kube leaves it and its neighbours.
//! * `namespace`: what is known of one, and how that is kept up to date.
//! * `service`: what a Service says of itself, and what may be wrong with that.
//! * `secrets`: tokens.
//!
//! Finding a Service sends nothing to it. It is asked only where a generator's configuration names it.

mod api;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod namespace;
mod secrets;
mod service;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;

use self::{api::Api, namespace::Namespace, secrets::Secrets};
pub use self::{
    api::SetupError,
    service::{Endpoint, Found, Overrides},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::SecretKey,
    upstream::{Secret, UpstreamError},
};

/// How old a token may be that was read from a Secret.
pub const TOKEN_AGE: Duration = Duration::from_mins(1);

/// How long a question waits for the first list of Services.
const FIRST_LIST: Duration = Duration::from_secs(3);

/// Where Kubernetes is, and where is looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The namespaces that are looked in.
    pub namespaces: Vec<String>,
    /// The address of the API; by default that of the cluster around this pod, with the pod's own account.
    pub api: Option<String>,
    /// A file with the token for it.
    pub token_file: Option<PathBuf>,
    /// The CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// What is known of the plugin services.
#[derive(Debug)]
pub struct Kubernetes {
    api: Arc<Api>,
    namespaces: Vec<Namespace>,
    secrets: Secrets,
    clock: SharedClock,
}

/// A namespace, for people.
#[derive(Clone, Debug)]
pub struct NamespaceState {
    /// Its name.
    pub name: String,
    /// Its Services with the label; `None` while they were never listed.
    pub services: Option<Vec<Arc<Found>>>,
    /// Why it is not watched.
    pub trouble: Option<UpstreamError>,
}

impl Kubernetes {
    /// Nothing is sent yet; it must be made inside of a runtime.
    pub fn new(options: Options, clock: SharedClock) -> Result<Self, SetupError> {
        let api = Arc::new(Api::new(&options, &clock)?);
        let namespaces = options.namespaces.into_iter().map(Namespace::new).collect();
        Ok(Self { namespaces, secrets: Secrets::new(Arc::clone(&api), &clock), api, clock })
    }

    /// Keeps what is known up to date, until `end` completes.
    pub async fn keep(&self, end: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = end => {}
            _ = join_all(self.namespaces.iter().map(|namespace| namespace.keep(&self.api, &self.clock))) => {}
        }
    }

    /// Looks into every namespace once; [`Kubernetes::state`] says what came of it.
    pub async fn look(&self) {
        join_all(self.namespaces.iter().map(|namespace| namespace.look(&self.api))).await;
    }

    /// A Service with the label, as it is known; waits for the first list, but not for long. Else why it is not known.
    pub async fn find(&self, namespace: &str, name: &str, until: Moment) -> Result<Arc<Found>, String> {
        let Some(place) = self.namespaces.iter().find(|place| place.name == namespace) else {
            return Err(format!("the namespace `{namespace}` is not one of those that are looked in"));
        };
        let until = until.min(self.clock.now() + FIRST_LIST);
        let Some(known) = place.read(&self.clock, until).await else {
            return Err(format!("the Services of the namespace `{namespace}` have not been read yet"));
        };
        match (known.services, known.trouble) {
            (None, None) => Err(format!("the Services of the namespace `{namespace}` have not been read yet")),
            (None, Some(trouble)) => {
                Err(format!("the Services of the namespace `{namespace}` are not known: {trouble}"))
            }
            (Some(services), _) => services.get(name).cloned().ok_or_else(|| {
                format!(
                    "the namespace `{namespace}` has no Service `{name}` with the label \
                     `argocd.argoproj.io/plugin: \"true\"`"
                )
            }),
        }
    }

    /// A token, read at `not_before` or later.
    pub async fn token(&self, namespace: &str, key: &SecretKey, not_before: Moment) -> Result<Secret, UpstreamError> {
        self.secrets.get((namespace.to_owned(), key.clone()), not_before).await
    }

    /// All that is known.
    pub fn state(&self) -> Vec<NamespaceState> {
        let state = |namespace: &Namespace| {
            let known = namespace.known();
            NamespaceState {
                name: namespace.name.clone(),
                services: known.services.map(|services| services.into_values().collect()),
                trouble: known.trouble,
            }
        };
        self.namespaces.iter().map(state).collect()
    }
}

//! One namespace: its labelled Services, as they were listed and as the watch says that they changed.
//!
//! ```text
//! list ──► watch ── a change ──► what is known
//!   ▲        │  └── it ended, or broke off: watch on from the last version
//!   └────────┘ the version is too old (410), or the watch is refused: list again
//! ```
//!
//! What was known last stays in use while neither can be had.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Service;
use kube::core::WatchEvent;
use tokio::sync::watch;

use super::{
    api::{Api, Trouble},
    service::{Found, Overrides},
};
use crate::{
    clock::{Moment, SharedClock},
    upstream::UpstreamError,
};

/// The time from the beginning of a round to that of the next, at least, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A server ends a watch before; one that does not is gone.
const WATCH: Duration = Duration::from_mins(5);

/// One namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: String,
    known: watch::Sender<Known>,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By name; `None` until they were listed.
    pub(super) services: Option<BTreeMap<String, Arc<Found>>>,
    /// Why they cannot be read, or watched, any more.
    pub(super) trouble: Option<UpstreamError>,
}

/// The rounds of listing and watching.
struct Rounds<'a> {
    namespace: &'a Namespace,
    api: &'a Api,
    clock: &'a SharedClock,
    /// From where on is watched; `None` if there is to be a list first.
    version: Option<String>,
}

impl Namespace {
    pub(super) fn new(name: String) -> Self {
        Self { name, known: watch::Sender::default() }
    }

    /// What is known now.
    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// What is known, once there is anything: a list, or why there is none. `None` if that takes longer than `until`.
    pub(super) async fn read(&self, clock: &SharedClock, until: Moment) -> Option<Known> {
        let mut changes = self.known.subscribe();
        tokio::select! {
            biased;
            known = changes.wait_for(|known| known.services.is_some() || known.trouble.is_some()) => {
                Some(known.ok()?.clone())
            }
            () = clock.sleep_until(until) => None,
        }
    }

    /// Keeps what is known up to date, without an end.
    pub(super) async fn keep(&self, api: &Api, clock: &SharedClock) {
        let mut rounds = Rounds { namespace: self, api, clock, version: None };
        let mut pause = PAUSE.0;
        loop {
            let began = clock.now();
            match rounds.round().await {
                Ok(()) => {}
                Err(Trouble::Gone) => rounds.version = None,
                Err(Trouble::Other(error)) => self.failed(error),
            }
            // A round that lasted was a good one, whatever it ended with.
            pause = if clock.now().since(began) >= PAUSE.1 { PAUSE.0 } else { pause };
            clock.sleep_until(began + pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Looks once, without a word to the log: whether its Services can be listed and watched, and which there are.
    pub(super) async fn look(&self, api: &Api) {
        let looked = async {
            let listed = api.list(&self.name).await?;
            let services = self.named(&listed.services);
            self.known.send_modify(|known| known.services = Some(services));
            api.watch(&self.name, &listed.version).await.map(drop)
        };
        let trouble = looked.await.err().map(Trouble::into_error);
        self.known.send_modify(|known| known.trouble = trouble);
    }

    fn named(&self, services: &[Service]) -> BTreeMap<String, Arc<Found>> {
        let found = services.iter().filter_map(|service| Found::of(&self.name, service));
        found.map(|found| (found.name.clone(), Arc::new(found))).collect()
    }

    /// Takes over a list.
    fn listed(&self, services: &[Service]) {
        let found = self.named(services);
        let before = self.known().services.unwrap_or_default();
        for gone in before.values().filter(|service| !found.contains_key(&service.name)) {
            log_gone(gone);
        }
        for new in found.values() {
            log_found(new, before.get(&new.name));
        }
        self.known.send_modify(|known| known.services = Some(found));
    }

    /// Takes over a change.
    fn changed(&self, service: &Service, deleted: bool) {
        let Some(found) = Found::of(&self.name, service).map(Arc::new) else { return };
        self.known.send_modify(|known| {
            let services = known.services.get_or_insert_default();
            if deleted {
                if services.remove(&found.name).is_some() {
                    log_gone(&found);
                }
            } else {
                let before = services.insert(found.name.clone(), Arc::clone(&found));
                log_found(&found, before.as_ref());
            }
        });
    }

    /// It is watched.
    fn well(&self) {
        self.known.send_if_modified(|known| {
            let over = known.trouble.take().is_some();
            if over {
                tracing::info!(namespace = self.name, "the Services of the namespace are watched again");
            }
            over
        });
    }

    fn failed(&self, error: UpstreamError) {
        self.known.send_if_modified(|known| {
            if known.trouble.as_ref().is_some_and(|before| before.message == error.message) {
                return false;
            }
            let used =
                if known.services.is_some() { "what was known last is used" } else { "nothing is known of them" };
            tracing::warn!(namespace = self.name, %error, "the Services of the namespace are not watched; {used}");
            known.trouble = Some(error);
            true
        });
    }
}

impl Rounds<'_> {
    /// Lists if that is due, and watches until the server ends the watch.
    async fn round(&mut self) -> Result<(), Trouble> {
        let version = if let Some(version) = self.version.take() {
            version
        } else {
            let listed = self.api.list(&self.namespace.name).await?;
            self.namespace.listed(&listed.services);
            listed.version
        };
        // Where it cannot be watched, the next round lists.
        let mut watch = self.api.watch(&self.namespace.name, &version).await?;
        self.version = Some(version);
        self.namespace.well();
        let end = self.clock.now() + WATCH;
        loop {
            let event = tokio::select! {
                biased;
                event = watch.next() => event,
                () = self.clock.sleep_until(end) => None,
            };
            match event {
                None => return Ok(()),
                Some(event) => self.take(event?),
            }
        }
    }

    fn take(&mut self, event: WatchEvent<Service>) {
        let (version, service, deleted) = match event {
            WatchEvent::Added(service) | WatchEvent::Modified(service) => (None, Some(service), false),
            WatchEvent::Deleted(service) => (None, Some(service), true),
            WatchEvent::Bookmark(bookmark) => (Some(bookmark.metadata.resource_version), None, false),
            // Taken for what it is when it was read.
            WatchEvent::Error(_) => (None, None, false),
        };
        if let Some(service) = &service {
            self.namespace.changed(service, deleted);
        }
        let version = version.or_else(|| service?.metadata.resource_version);
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            self.version = Some(version);
        }
    }
}

fn log_found(found: &Found, before: Option<&Arc<Found>>) {
    if before.is_some_and(|before| **before == *found) {
        return;
    }
    let (namespace, service) = (&found.namespace, &found.name);
    match found.endpoint(&Overrides::default()) {
        Ok(_) if before.is_some() => tracing::info!(namespace, service, "a plugin's Service changed"),
        Ok(_) => tracing::info!(namespace, service, "a plugin's Service was found"),
        Err(problem) => tracing::warn!(namespace, service, problem, "a plugin's Service cannot be used as it is"),
    }
}

fn log_gone(found: &Found) {
    tracing::info!(namespace = found.namespace, service = found.name, "a plugin's Service is gone");
}

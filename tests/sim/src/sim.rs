//! The running simulator: the world behind sockets, what was asked of it, and the levers of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fault::{Fault, Target};
use crate::world::{Repository, World};
use crate::{serve, wire};

/// The simulated services, running. Dropping it ends them and their connections.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// GitHub.
    GitHub,
    /// The registry.
    Registry,
    /// The token server on another host.
    Realm,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A GraphQL query.
    GraphQl,
    /// A REST request.
    Rest,
    /// A new installation token.
    TokenMint,
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
    /// A tag listing.
    TagsList,
    /// A registry token.
    Token,
    /// Anything else.
    Other,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Who was asked.
    pub service: Service,
    /// For what.
    pub kind: Kind,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query string, without `?`.
    pub query: String,
    /// The credential that came with it.
    pub authorization: Option<Authorization>,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

/// An `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `Basic`, `Bearer`, `token`.
    pub scheme: String,
    /// The rest of it, to look for leaks.
    pub value: String,
}

/// How much was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// GraphQL queries.
    pub graphql: u64,
    /// REST requests, token mints excluded.
    pub rest: u64,
    /// Requests for installation tokens.
    pub tokens_minted: u64,
    /// HEADs of manifests.
    pub registry_head: u64,
    /// GETs of manifests.
    pub registry_get: u64,
    /// Blobs.
    pub registry_blob: u64,
    /// Requests to token endpoints, on whatever host.
    pub registry_token: u64,
    /// Tag listings.
    pub tags_list: u64,
    /// Everything else that reached the registry, `/v2/` among it.
    pub registry_other: u64,
    /// Requests that reached the second listener (its tokens count in `registry_token` as well).
    pub realm: u64,
}

impl Counts {
    /// Everything asked of GitHub.
    pub fn github(&self) -> u64 {
        self.graphql + self.rest + self.tokens_minted
    }

    /// Everything asked of the registry and its token servers.
    pub fn registry(&self) -> u64 {
        self.registry_head
            + self.registry_get
            + self.registry_blob
            + self.registry_token
            + self.tags_list
            + self.registry_other
    }

    fn add(&mut self, seen: &Seen) {
        if seen.service == Service::Realm {
            self.realm += 1;
        }
        let counter = match (seen.kind, seen.method.as_str()) {
            (Kind::GraphQl, _) => &mut self.graphql,
            (Kind::Rest, _) => &mut self.rest,
            (Kind::TokenMint, _) => &mut self.tokens_minted,
            (Kind::Manifest, "HEAD") => &mut self.registry_head,
            (Kind::Manifest, _) => &mut self.registry_get,
            (Kind::Blob, _) => &mut self.registry_blob,
            (Kind::Token, _) => &mut self.registry_token,
            (Kind::TagsList, _) => &mut self.tags_list,
            (Kind::Other, _) => &mut self.registry_other,
        };
        *counter += 1;
    }
}

/// How slow the services are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    /// Milliseconds of every answer of GitHub.
    pub github_ms: u64,
    /// Milliseconds of every answer of the registry and the token servers.
    pub registry_ms: u64,
    /// Microseconds for every node that a GraphQL query asks for, on top.
    pub per_node_us: u64,
}

/// What the servers and the test share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<Fault>>,
    /// GitHub's repositories as a replica that lags behind still sees them.
    lagging: Mutex<Option<Vec<Repository>>>,
    latency: Mutex<Latency>,
    points: Mutex<u64>,
    counts: watch::Sender<Counts>,
    held: watch::Sender<Held>,
    pub(crate) github: SocketAddr,
    pub(crate) registry: SocketAddr,
    pub(crate) realm: SocketAddr,
}

#[derive(Debug, Default)]
struct Held {
    targets: Vec<Target>,
    hanging: BTreeMap<u64, Seen>,
    /// Those of them that a gateway gave up.
    given_up: BTreeSet<u64>,
    last: u64,
}

/// Takes a hanging request off the list, however it ends.
struct Hanging<'a> {
    held: &'a watch::Sender<Held>,
    id: u64,
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.held.send_if_modified(|held| held.hanging.remove(&self.id).is_some());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn saw(&self, seen: &Seen) {
        lock(&self.seen).push(seen.clone());
        self.counts.send_modify(|counts| counts.add(seen));
    }

    /// Waits as long as a hold is on the request.
    pub(crate) async fn pass(&self, seen: &Seen) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.targets.iter().any(|target| target.matches(seen)))
            .await
            .map(drop)
            .expect("the sender is in self");
    }

    /// Waits until a release or a clearing of faults means the request, or it is given up; tells whether it goes on. If the
    /// client goes away, so does the entry.
    pub(crate) async fn hang(&self, seen: &Seen) -> bool {
        let mut id = 0;
        self.held.send_modify(|held| {
            held.last += 1;
            id = held.last;
            held.hanging.insert(id, seen.clone());
        });
        let _entry = Hanging { held: &self.held, id };
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.hanging.contains_key(&id)).await.map(drop).expect("the sender is in self");
        !self.held.send_if_modified(|held| held.given_up.remove(&id))
    }

    /// The fault that meets a request, one of its times being used up.
    pub(crate) fn fault(&self, seen: &Seen, method: &http::Method) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let nth = faults
            .iter()
            .position(|fault| fault.times != Some(0) && fault.what.concerns(method) && fault.on.matches(seen))?;
        let fault = &mut faults[nth];
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.clone())
    }

    pub(crate) fn lagging(&self) -> MutexGuard<'_, Option<Vec<Repository>>> {
        lock(&self.lagging)
    }

    pub(crate) fn latency(&self) -> Latency {
        *lock(&self.latency)
    }

    pub(crate) fn spend(&self, points: u64) {
        *lock(&self.points) += points;
    }
}

impl Sim {
    /// Serves a world on free ports of the loopback.
    ///
    /// # Panics
    /// If the loopback has no free port.
    pub async fn start(world: World) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_on(world, any, any).await.expect("the loopback has free ports")
    }

    /// Serves a world on these addresses; the token server of another host gets a free port.
    pub async fn start_on(world: World, github: SocketAddr, registry: SocketAddr) -> io::Result<Self> {
        let github = TcpListener::bind(github).await?;
        let registry = TcpListener::bind(registry).await?;
        let realm = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            seen: Mutex::default(),
            faults: Mutex::default(),
            lagging: Mutex::default(),
            latency: Mutex::default(),
            points: Mutex::default(),
            counts: watch::Sender::default(),
            held: watch::Sender::default(),
            github: github.local_addr()?,
            registry: registry.local_addr()?,
            realm: realm.local_addr()?,
        });
        let listeners = [(github, Service::GitHub), (registry, Service::Registry), (realm, Service::Realm)];
        let tasks = listeners.into_iter().map(|(listener, service)| {
            let shared = Arc::clone(&shared);
            wire::serve(listener, move |ask| {
                let shared = Arc::clone(&shared);
                async move { serve::answer(&shared, service, ask).await }
            })
        });
        let tasks = tasks.collect();
        Ok(Self { shared, tasks })
    }

    /// The base URL of GitHub's REST API, as `github.api` of a config: with `/api/v3` if the world is an Enterprise Server.
    pub fn github_url(&self) -> String {
        let path = if self.shared.world().github.enterprise { "/api/v3" } else { "" };
        format!("http://{}{path}", self.shared.github)
    }

    /// The registry as `host:port`.
    pub fn registry_host(&self) -> String {
        self.shared.registry.to_string()
    }

    /// The token server of another host, as `host:port`.
    pub fn realm_host(&self) -> String {
        self.shared.realm.to_string()
    }

    /// Looks at the world, or changes it.
    pub fn world<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        change(&mut self.shared.world())
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// All requests since this was called last.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.shared.seen))
    }

    /// How much was asked since the start or the last reset.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Sets all counters, the points among them, to zero.
    pub fn reset_counts(&self) {
        self.shared.counts.send_modify(|counts| *counts = Counts::default());
        *lock(&self.shared.points) = 0;
    }

    /// GraphQL points spent since the start or the last reset.
    pub fn points_spent(&self) -> u64 {
        *lock(&self.shared.points)
    }

    /// Makes something fail. Of several faults on one request the oldest that is not used up counts.
    pub fn fail(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Ends all faults, and lets everything go on that hangs.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
        self.shared.held.send_modify(|held| held.hanging.clear());
    }

    /// From now on such requests are counted, and then wait.
    pub fn hold(&self, on: impl Into<Target>) {
        let target = on.into();
        self.shared.held.send_modify(|held| held.targets.push(target));
    }

    /// Lets such requests go on, held or hanging.
    pub fn release(&self, on: impl Into<Target>) {
        let target = on.into();
        self.shared.held.send_modify(|held| {
            held.targets.retain(|one| *one != target);
            held.hanging.retain(|_, seen| !target.matches(seen));
        });
    }

    /// Waits until the counters are so. It waits for ever if they never are: a test gives up by its own time-out.
    ///
    /// # Panics
    /// Never: the counters live as long as the simulator.
    pub async fn wait_for(&self, mut predicate: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        *counts.wait_for(|counts| predicate(counts)).await.expect("the sender is in self")
    }

    /// Waits until exactly so many requests hang by [`What::Hang`](crate::What::Hang).
    ///
    /// # Panics
    /// Never: the list lives as long as the simulator.
    pub async fn wait_hanging(&self, number: usize) {
        let mut held = self.shared.held.subscribe();
        held.wait_for(|held| held.hanging.len() == number).await.map(drop).expect("the sender is in self");
    }

    /// How many requests hang by [`What::Hang`](crate::What::Hang).
    pub fn hanging(&self) -> usize {
        self.shared.held.borrow().hanging.len()
    }

    /// Ends everything that hangs with 504, as a gateway does that has waited long enough. What comes after hangs again.
    pub fn give_up(&self) {
        self.shared.held.send_modify(|held| {
            let hanging = std::mem::take(&mut held.hanging);
            held.given_up.extend(hanging.into_keys());
        });
    }

    /// From now on GitHub answers as of now, whatever changes: the stale reads of a replica that lags behind.
    pub fn lag_github(&self) {
        let now = self.shared.world().github.repositories.clone();
        *self.shared.lagging() = Some(now);
    }

    /// GitHub's replica has caught up.
    pub fn catch_up(&self) {
        *self.shared.lagging() = None;
    }

    /// Makes the services slow.
    pub fn set_latency(&self, latency: Latency) {
        *lock(&self.shared.latency) = latency;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

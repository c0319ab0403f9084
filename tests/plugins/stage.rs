//! A cluster, what is known of it, and a clock that stands still.

use std::{future::pending, sync::Arc, time::Duration};

use lastgreen::{
    clock::{Clock as _, ManualClock, Moment},
    kubernetes::{Found, Kubernetes, NamespaceState, Options},
    parts::{
        part::{CannotSay, Values},
        plugins::{PluginOptions, PluginPart, PluginPlace},
    },
};
use lastgreen_sim::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The namespace of most tests.
pub(crate) const TEAM: &str = "team";

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) clock: ManualClock,
    pub(crate) kubernetes: Arc<Kubernetes>,
    pub(crate) folder: tempfile::TempDir,
    keeping: JoinHandle<()>,
}

impl Stage {
    /// One namespace, watched as soon as it can be.
    pub(crate) async fn new() -> Self {
        Self::of(&[TEAM]).await
    }

    pub(crate) async fn of(namespaces: &[&str]) -> Self {
        Self::before(Cluster::start(namespaces).await, namespaces)
    }

    /// Before a cluster of any kind.
    pub(crate) fn before(cluster: Cluster, namespaces: &[&str]) -> Self {
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), Cluster::TOKEN).unwrap();
        let options = Options {
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            api: Some(cluster.url()),
            token_file: Some(folder.path().join("token")),
            ca_file: None,
        };
        let kubernetes = Arc::new(Kubernetes::new(options, Arc::new(clock.clone())).unwrap());
        let keeping = tokio::spawn({
            let kubernetes = Arc::clone(&kubernetes);
            async move { kubernetes.keep(pending()).await }
        });
        Self { cluster, clock, kubernetes, folder, keeping }
    }

    /// A Service of the team with one port, an address of the cluster and these annotations.
    pub(crate) fn apply(&self, name: &str, annotations: &[(&str, &str)]) {
        self.cluster.plugin(TEAM, name, &cluster_ip(), annotations);
    }

    /// A Service of the team that is another name for a port of this machine.
    pub(crate) fn apply_external(&self, name: &str, port: u16, annotations: &[(&str, &str)]) {
        let port = port.to_string();
        let annotations = [annotations, &[("lastgreen.io/port", port.as_str())]].concat();
        self.cluster.plugin(TEAM, name, &json!({ "type": "ExternalName", "externalName": "localhost" }), &annotations);
    }

    /// What is known of the namespace with this index.
    pub(crate) fn known(&self, index: usize) -> NamespaceState {
        self.kubernetes.state().swap_remove(index)
    }

    /// The names of the Services that are known.
    pub(crate) fn names(&self) -> Vec<String> {
        let services = self.known(0).services.unwrap_or_default();
        services.iter().map(|service| service.name.clone()).collect()
    }

    /// Why the namespace is not watched.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.known(0).trouble.map(|trouble| trouble.to_string())
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            assert!(!self.keeping.is_finished(), "nothing is kept up to date any more");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until these Services are known, and no others.
    pub(crate) async fn knows(&self, names: &[&str]) {
        self.until(|stage| stage.names() == names).await;
    }

    /// Lets the pause between two rounds pass, once one has begun. No request is given up meanwhile: each has ten seconds.
    pub(crate) async fn next_round(&self) {
        let away = self.clock.sleeping_within(Duration::from_secs(8)).await;
        self.clock.advance(away);
        self.clock.caught_up().await;
    }

    /// Waits until something is so, round after round.
    pub(crate) async fn in_rounds(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            tokio::select! {
                biased;
                () = self.until(&is_so) => return,
                () = self.next_round() => {}
            }
        }
    }

    pub(crate) fn soon(&self) -> Moment {
        self.clock.now() + Duration::from_secs(9)
    }

    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Found>, String> {
        self.kubernetes.find(TEAM, name, self.soon()).await
    }

    /// A part that is the Service of this name.
    pub(crate) fn part(&self, service: &str) -> PluginPart {
        let place = PluginPlace::Service {
            kubernetes: Arc::clone(&self.kubernetes),
            namespace: TEAM.to_owned(),
            name: service.to_owned(),
            port: None,
        };
        PluginPart::new(options(place), Arc::new(self.clock.clone())).unwrap()
    }

    /// What a part says when it is asked about a branch.
    pub(crate) async fn ask(&self, part: &PluginPart) -> Result<Vec<Values>, CannotSay> {
        part.items(&branch(), "set", self.soon()).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// The spec of a Service with one port and an address of its own, at which nothing is.
pub(crate) fn cluster_ip() -> Value {
    json!({ "type": "ClusterIP", "clusterIP": "127.0.0.1", "ports": [{ "port": 4355, "protocol": "TCP" }] })
}

/// What a plugin is configured with that is as usual.
pub(crate) fn options(place: PluginPlace) -> PluginOptions {
    PluginOptions {
        generator: "preview".into(),
        name: "other".into(),
        place,
        token_file: None,
        ca_file: None,
        path: None,
        timeout: None,
        inputs: None,
        keys: None,
    }
}

/// The parameters of a question.
pub(crate) fn branch() -> serde_json::Map<String, Value> {
    json!({ "branch": "feature", "number": "7" }).as_object().unwrap().clone()
}

/// An item with these values.
pub(crate) fn item<const N: usize>(values: [(&str, &str); N]) -> Values {
    values.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

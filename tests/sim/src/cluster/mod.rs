//! A simulated Kubernetes API server, as far as finding Services and reading Secrets goes.
//!
//! It lists and watches Services and gets Secrets as the real one does, and refuses what the real one refuses: no token,
//! a verb that no Role grants, a version that is compacted or still to come, a page of a list that is gone. A watch is a
//! stream of chunks that tell of every change since its version, and of bookmarks only where they are asked for.

mod answer;
mod selector;
mod state;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::state::{Kind, State};
use crate::wire;

pub use self::state::{GoneAs, Rule};

/// A cluster that is served on the loopback; dropping it ends it.
pub struct Cluster {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What the server and its handle share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// How many requests there were, and how many watches are open.
    counted: watch::Sender<(usize, usize)>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panics with the cluster")
    }

    /// Changes the state, and tells whoever waits for that.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        let counts = (state.seen.len(), state.open());
        drop(state);
        self.counted.send_replace(counts);
        result
    }
}

impl Cluster {
    /// The token that is known, and may do what the Roles say.
    pub const TOKEN: &str = "cluster-token";

    /// An empty cluster whose one account may list and watch Services in these namespaces, and nothing else.
    ///
    /// # Panics
    /// Where the loopback has no port left.
    pub async fn start(namespaces: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback");
        let address = listener.local_addr().expect("it is bound");
        let rules = namespaces.iter().map(|namespace| Rule::new(namespace, "services", &["list", "watch"])).collect();
        let shared = Arc::new(Shared { state: Mutex::new(State::new(rules)), counted: watch::Sender::default() });
        let server = {
            let shared = Arc::clone(&shared);
            wire::serve(listener, move |ask| {
                let shared = Arc::clone(&shared);
                async move { answer::answer(&shared, &ask) }
            })
        };
        Self { address, shared, server }
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates a Service or replaces it. A namespace and a name are all that its metadata must have.
    pub fn apply_service(&self, service: Value) {
        self.shared.change(|state| state.apply(Kind::Service, service));
    }

    /// A Service in front of a plugin, with the label and these annotations.
    pub fn plugin(&self, namespace: &str, name: &str, spec: &Value, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.apply_service(json!({
            "metadata": {
                "namespace": namespace,
                "name": name,
                "labels": { "argocd.argoproj.io/plugin": "true" },
                "annotations": annotations,
            },
            "spec": spec,
        }));
    }

    /// Deletes a Service.
    pub fn delete_service(&self, namespace: &str, name: &str) {
        self.shared.change(|state| state.delete(Kind::Service, namespace, name));
    }

    /// Creates or replaces a Secret with one key, with the label of a plugin's.
    pub fn secret(&self, namespace: &str, name: &str, key: &str, value: &[u8]) {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.encode(value);
        let labels = json!({ "argocd.argoproj.io/plugin": "true" });
        self.apply_secret(json!({
            "metadata": { "namespace": namespace, "name": name, "labels": labels },
            "type": "Opaque",
            "data": { key: value },
        }));
    }

    /// Creates or replaces a Secret.
    pub fn apply_secret(&self, secret: Value) {
        self.shared.change(|state| state.apply(Kind::Secret, secret));
    }

    /// Deletes a Secret.
    pub fn delete_secret(&self, namespace: &str, name: &str) {
        self.shared.change(|state| state.delete(Kind::Secret, namespace, name));
    }

    /// Grants something.
    pub fn grant(&self, rule: Rule) {
        self.shared.change(|state| state.rules.push(rule));
    }

    /// Takes a verb for a resource of a namespace away.
    pub fn revoke(&self, namespace: &str, resource: &str, verb: &str) {
        self.shared.change(|state| {
            for rule in state.rules.iter_mut().filter(|rule| rule.namespace == namespace && rule.resource == resource) {
                rule.verbs.retain(|granted| granted != verb);
            }
        });
    }

    /// Forgets the past, as etcd does every five minutes: a version from before is gone.
    pub fn compact(&self) {
        self.shared.change(State::compact);
    }

    /// How it is said that a version is gone to one who watches from there.
    pub fn say_gone_as(&self, gone: GoneAs) {
        self.shared.change(|state| state.gone = gone);
    }

    /// Sends bookmarks to all who asked for them.
    pub fn bookmark(&self) {
        self.shared.change(State::bookmark);
    }

    /// Ends all watches, as the server does when their time is over.
    pub fn end_watches(&self) {
        self.shared.change(|state| state.watchers.clear());
    }

    /// Cuts all watches off in the middle of a chunk.
    pub fn cut_watches(&self) {
        self.shared.change(State::cut);
    }

    /// Sends an ERROR event to all watches, and ends them.
    pub fn fail_watches(&self, code: u16) {
        self.shared.change(|state| state.fail_watches(code));
    }

    /// Sends any line to all watches.
    pub fn say_to_watches(&self, line: &str) {
        self.shared.change(|state| state.say(line));
    }

    /// Answers everything with this status and no Status, as what is in front of it does, until told otherwise.
    pub fn fail(&self, status: Option<u16>) {
        self.shared.change(|state| state.failing = status);
    }

    /// Answers nothing any more, until told otherwise.
    pub fn hang(&self, hanging: bool) {
        self.shared.change(|state| state.hanging = hanging);
    }

    /// Ends what was the known token; another one is known now.
    pub fn rotate_token(&self, token: &str) {
        self.shared.change(|state| token.clone_into(&mut state.token));
    }

    /// The requests since this was called last: `GET /path?query`.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().seen)
    }

    /// Waits until so many watches are open.
    pub async fn watched_by(&self, count: usize) {
        let mut counted = self.shared.counted.subscribe();
        let _ = counted.wait_for(|(_, open)| *open == count).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

//! The three requests that are sent to Kubernetes: list Services, watch them, get a Secret.
//!
//! kube has the types and the connection. What comes back is read here, since its own reading has no bounds and logs
//! what it cannot parse, which may be a Secret.

use std::{env, fmt, path::Path, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame};
use hyper_util::{client::legacy, rt::TokioExecutor};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{
    Client, Config, Resource,
    api::{GetParams, ListParams, WatchParams},
    client::{Body, ConfigExt as _},
    core::{ObjectList, Request, Status, WatchEvent},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tower::Layer as _;

use super::Options;
use crate::{
    clock::SharedClock,
    upstream::{Kind, SecretFile, UpstreamError, http as upstream_http},
};

/// What errors call it.
const SERVICE: &str = "Kubernetes";
/// The label of a plugin's Service, and of its Secret.
pub(super) const LABEL: (&str, &str) = ("argocd.argoproj.io/plugin", "true");
/// Where a pod finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long an answer, or the beginning of a watch, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many Services are listed at once, and how many there may be in a namespace.
const PAGE: u32 = 100;
const MAX_SERVICES: usize = 1000;
/// The largest answer that is read, and the largest event of a watch.
const MAX_BYTES: usize = 16 << 20;
const MAX_EVENT: usize = 2 << 20;
/// What is read of an answer that is no success.
const ERROR_BYTES: usize = 64 << 10;
/// How long a server is asked to watch.
const WATCH_SECONDS: u32 = 290;
/// The pause after a 429 that names none, and the longest.
const PAUSE: (u64, u64) = (5, 300);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum SetupError {
    /// There is no cluster around.
    #[error(
        "this is no pod of a cluster (the environment has no KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT): \
         elsewhere `kubernetes.api` says where Kubernetes is"
    )]
    NoCluster,
    /// The address cannot be used.
    #[error("the address of Kubernetes is no URL")]
    Address,
    /// The CA file cannot be read or holds no certificate.
    #[error("cannot read certificates in the CA file `{path}`: {problem}")]
    CaFile {
        /// The file.
        path: String,
        /// Why not.
        problem: String,
    },
    /// Anything else.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] Box<kube::Error>),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The version that was named is too old (410): only a new list helps.
    Gone,
    /// Anything else.
    Other(UpstreamError),
}

impl Trouble {
    /// As an error, where nothing else is tried.
    pub(super) fn into_error(self) -> UpstreamError {
        match self {
            Self::Gone => error(Kind::Unavailable, "it answered 410"),
            Self::Other(error) => error,
        }
    }
}

/// All Services with the label, and the version of that list.
pub(super) struct Listed {
    pub(super) services: Vec<Service>,
    pub(super) version: String,
}

/// Kubernetes.
pub(super) struct Api {
    client: Client,
    token: Option<SecretFile>,
    clock: SharedClock,
}

impl Api {
    /// Where the options say, or around this pod.
    pub(super) fn new(options: &Options, clock: &SharedClock) -> Result<Self, SetupError> {
        let account = |file: &str| Some(Path::new(ACCOUNT).join(file));
        let (address, token, ca) = match &options.api {
            Some(api) => (api.clone(), None, None),
            None => (around().ok_or(SetupError::NoCluster)?, account("token"), account("ca.crt")),
        };
        let mut config = Config::new(address.parse::<Uri>().map_err(|_| SetupError::Address)?);
        if let Some(path) = options.ca_file.clone().or(ca) {
            config.root_cert = Some(certificates(&path)?);
            // It is read again when it changes.
            config.root_cert_file = Some(path);
        }
        let connector = config.rustls_https_connector().map_err(|error| SetupError::Tls(Box::new(error)))?;
        let connections: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let client = Client::new(config.base_uri_layer().layer(connections), "default");
        let token = options.token_file.clone().or(token).map(|path| SecretFile::new(path, Arc::clone(clock)));
        Ok(Self { client, token, clock: Arc::clone(clock) })
    }

    /// Lists the Services of a namespace that have the label, page by page.
    pub(super) async fn list(&self, namespace: &str) -> Result<Listed, Trouble> {
        let what = format!("list Services in the namespace `{namespace}`");
        let mut services = Vec::new();
        let mut params = ListParams::default().labels(&selector()).limit(PAGE);
        loop {
            let request = requests::<Service>(namespace).list(&params).map_err(|_| odd())?;
            let page: ObjectList<Service> = self.read(request, &what).await?;
            services.extend(page.items);
            if services.len() > MAX_SERVICES {
                let message =
                    format!("the namespace `{namespace}` has more than {MAX_SERVICES} Services with the label");
                return Err(malformed(message));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(Listed { services, version: page.metadata.resource_version.unwrap_or_default() }),
            }
        }
    }

    /// Watches the Services of a namespace that have the label, from a version on.
    pub(super) async fn watch(&self, namespace: &str, version: &str) -> Result<Watch, Trouble> {
        let params = WatchParams::default().labels(&selector()).timeout(WATCH_SECONDS);
        let request = requests::<Service>(namespace).watch(&params, version).map_err(|_| odd())?;
        let what = format!("watch Services in the namespace `{namespace}`");
        let body = self.in_time(self.send(request, &what)).await?;
        Ok(Watch { body, bytes: Vec::new() })
    }

    /// Gets a Secret; `None` if there is none.
    pub(super) async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, UpstreamError> {
        let request = requests::<Secret>(namespace).get(name, &GetParams::default());
        let what = format!("get the Secret `{name}` in the namespace `{namespace}`");
        let read = async { self.read(request.map_err(|_| odd())?, &what).await };
        match read.await {
            Ok(secret) => Ok(Some(secret)),
            Err(Trouble::Other(error)) if error.kind == Kind::NotFound => Ok(None),
            Err(trouble) => Err(trouble.into_error()),
        }
    }

    /// The whole answer to a request.
    async fn read<T: DeserializeOwned>(&self, request: http::Request<Vec<u8>>, what: &str) -> Result<T, Trouble> {
        self.in_time(async {
            let body = self.send(request, what).await?;
            let bytes = whole(body, MAX_BYTES).await?;
            // What it says of the text might be a part of a Secret.
            serde_json::from_slice(&bytes).map_err(|_| malformed("its answer makes no sense"))
        })
        .await
    }

    /// Sends a request that is answered with 200, or else is refused.
    async fn send(&self, mut request: http::Request<Vec<u8>>, what: &str) -> Result<Body, Trouble> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(upstream_http::USER_AGENT));
        if let Some(file) = &self.token {
            let token = file.read().map_err(|problem| Trouble::Other(error(Kind::Unavailable, problem.to_string())))?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| malformed("the token in the token file is no token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let response = self.client.send(request.map(Body::from)).await.map_err(|problem| broken(&problem))?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let (parts, body) = response.into_parts();
        let status =
            whole(body, ERROR_BYTES).await.ok().and_then(|bytes| serde_json::from_slice::<Status>(&bytes).ok());
        Err(self.refused(parts.status.as_u16(), status.as_ref(), &parts.headers, what))
    }

    fn refused(&self, status: u16, said: Option<&Status>, headers: &HeaderMap, what: &str) -> Trouble {
        let (kind, message) = match status {
            410 => return Trouble::Gone,
            401 => (Kind::Unauthorized, "it refuses lastgreen's token (401)".to_owned()),
            403 => {
                (Kind::Forbidden, format!("lastgreen may not {what} (403): its ServiceAccount needs a Role for that"))
            }
            // An answer without a Status comes from something that is no Kubernetes.
            404 if said.is_some() => (Kind::NotFound, format!("cannot {what} (404)")),
            429 => {
                let named = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let pause = Duration::from_secs(named.unwrap_or(PAUSE.0).clamp(1, PAUSE.1));
                (Kind::Limited { until: self.clock.now() + pause }, "it asked us to slow down (429)".to_owned())
            }
            408 | 500.. => (Kind::Unavailable, format!("it answered {status}")),
            _ => (Kind::Malformed, format!("it answered {status}: is this the address of Kubernetes?")),
        };
        Trouble::Other(error(kind, message))
    }

    /// The outcome, if it comes in time.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.clock.sleep_until(self.clock.now() + PATIENCE) => {
                Err(Trouble::Other(error(Kind::Unavailable, upstream_http::NO_ANSWER)))
            }
        }
    }
}

/// Changes as they come.
pub(super) struct Watch {
    body: Body,
    bytes: Vec<u8>,
}

impl Watch {
    /// The next event; `None` if the server ends the watch, as it does every few minutes.
    pub(super) async fn next(&mut self) -> Option<Result<WatchEvent<Service>, Trouble>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.bytes.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Some(event(&line));
            }
            if self.bytes.len() > MAX_EVENT {
                return Some(Err(malformed("an event of the watch is too large")));
            }
            match self.body.frame().await? {
                Ok(frame) => take(&mut self.bytes, frame),
                Err(_) => return Some(Err(Trouble::Other(error(Kind::Unavailable, "the watch broke off")))),
            }
        }
    }
}

fn event(line: &[u8]) -> Result<WatchEvent<Service>, Trouble> {
    match serde_json::from_slice(line) {
        Ok(WatchEvent::Error(status)) if status.code == 410 => Err(Trouble::Gone),
        Ok(WatchEvent::Error(status)) => {
            let kind = if status.code >= 500 { Kind::Unavailable } else { Kind::Malformed };
            Err(Trouble::Other(error(kind, format!("the watch failed ({})", status.code))))
        }
        Ok(event) => Ok(event),
        Err(_) => Err(malformed("an event of the watch makes no sense")),
    }
}

fn selector() -> String {
    format!("{}={}", LABEL.0, LABEL.1)
}

/// Requests about the objects of a kind in a namespace.
fn requests<K: Resource<DynamicType = ()>>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace)))
}

async fn whole(mut body: Body, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Trouble::Other(error(Kind::Unavailable, "its body broke off")))?;
        take(&mut bytes, frame);
        if bytes.len() > limit {
            return Err(malformed(format!("its body has more than {limit} bytes")));
        }
    }
    Ok(bytes)
}

/// Adds what a frame brings; trailers bring nothing.
fn take(bytes: &mut Vec<u8>, frame: Frame<Bytes>) {
    if let Ok(data) = frame.into_data() {
        bytes.extend_from_slice(&data);
    }
}

fn error(kind: Kind, message: impl Into<Arc<str>>) -> UpstreamError {
    UpstreamError::new(SERVICE, kind, message)
}

fn malformed(message: impl Into<Arc<str>>) -> Trouble {
    Trouble::Other(error(Kind::Malformed, message))
}

/// A request that cannot be built.
fn odd() -> Trouble {
    malformed("a request to it cannot be built")
}

/// What went wrong below HTTP.
fn broken(problem: &kube::Error) -> Trouble {
    Trouble::Other(error(Kind::Unavailable, upstream_http::connect_trouble(problem).unwrap_or("the connection broke")))
}

/// Where a pod finds the cluster that it is in.
fn around() -> Option<String> {
    let of = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (host, port) = (of("KUBERNETES_SERVICE_HOST")?, of("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(format!("https://{host}:{port}"))
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, SetupError> {
    let problem = |problem: String| SetupError::CaFile { path: path.display().to_string(), problem };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| problem(error.to_string()))?
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect();
    let found = found.map_err(|error| problem(error.to_string()))?;
    if found.is_empty() { Err(problem("it holds none".to_owned())) } else { Ok(found) }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("token", &self.token).finish_non_exhaustive()
    }
}

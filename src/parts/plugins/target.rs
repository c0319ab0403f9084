//! Who is asked: an address of the configuration, or what a Service says at the moment.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;
use thiserror::Error;

use crate::{
    clock::SharedClock,
    domain::{Inputs, PluginPath, PluginTimeout, SecretKey, ServicePort},
    kubernetes::{Endpoint, Kubernetes, Overrides},
    upstream::{
        Breaker, Pace, PaceLimits, SecretFile,
        http::{self, ClientError},
    },
};

/// How fast one plugin is asked at most: Argo CD asks about one pull request after the other.
const PACE: (u32, u32) = (200, 16);

/// What a plugin part is told by the configuration.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// The generator that it is a part of.
    pub generator: Arc<str>,
    /// Its name in there.
    pub name: Arc<str>,
    /// Where it is.
    pub place: PluginPlace,
    /// The file with its token.
    pub token_file: Option<PathBuf>,
    /// Further CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Its path.
    pub path: Option<PluginPath>,
    /// How long is waited for it.
    pub timeout: Option<PluginTimeout>,
    /// What is passed on.
    pub inputs: Option<Inputs>,
    /// The keys that its items must have; others are left out. Without them an item has what it has.
    pub keys: Option<std::collections::BTreeSet<String>>,
}

/// Where a plugin is.
#[derive(Clone, Debug)]
pub enum PluginPlace {
    /// At an address, without its path.
    Url(String),
    /// Behind a Service.
    Service {
        /// Where the Service is known.
        kubernetes: Arc<Kubernetes>,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The port, where the Service's own word does not count.
        port: Option<ServicePort>,
    },
}

/// Why a plugin part cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Its address is none.
    #[error("its address is no URL")]
    Address,
    /// There is no HTTP client for it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Where a plugin is asked, with all that goes with that: another address is another service.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) token: Token,
    pub(super) timeout: Duration,
    pub(super) inputs: Inputs,
    pub(super) http: reqwest::Client,
    pub(super) pace: Pace,
    pub(super) breaker: Breaker,
    /// What the Service said that it was made of.
    endpoint: Option<Endpoint>,
}

/// What it is let in by.
#[derive(Debug)]
pub(super) enum Token {
    None,
    File(SecretFile),
    Secret { namespace: String, key: SecretKey },
}

impl PluginOptions {
    /// What a Service's annotations do not decide.
    pub(super) fn overrides(&self) -> Overrides {
        let port = match &self.place {
            PluginPlace::Url(_) => None,
            PluginPlace::Service { port, .. } => port.clone(),
        };
        Overrides {
            port,
            path: self.path.clone(),
            timeout: self.timeout,
            inputs: self.inputs.clone(),
            has_token: self.token_file.is_some(),
        }
    }

    /// What errors call it.
    pub(super) fn service(&self) -> Arc<str> {
        format!("the plugin `{}`", self.name).into()
    }

    /// The target at an address of the configuration.
    pub(super) fn at(&self, base: &str, clock: &SharedClock) -> Result<Target, SetupError> {
        let path = self.path.clone().unwrap_or_default();
        let url = Url::parse(&format!("{}{path}", base.trim_end_matches('/'))).map_err(|_| SetupError::Address)?;
        let http = http::client(self.ca_file.as_deref())?;
        let inputs = self.inputs.clone().unwrap_or(Inputs::All);
        let timeout = self.timeout.unwrap_or_default();
        Ok(self.target(url, Token::None, timeout, inputs, http, clock))
    }

    /// The target behind a Service of a namespace.
    pub(super) fn behind(
        &self,
        endpoint: Endpoint,
        namespace: &str,
        clock: &SharedClock,
    ) -> Result<Target, SetupError> {
        let mut url = Url::parse(&endpoint.address()).map_err(|_| SetupError::Address)?;
        url.set_path(endpoint.path.as_str());
        // Its name is the cluster's business, its address is not looked up.
        let known = endpoint.address.map(|address| (endpoint.host.as_str(), SocketAddr::new(address, endpoint.port)));
        let ca_file = self.ca_file.as_deref();
        let http = if endpoint.inside { http::client_nearby(ca_file, known)? } else { http::client(ca_file)? };
        let token = match &endpoint.token {
            Some(key) => Token::Secret { namespace: namespace.to_owned(), key: key.clone() },
            None => Token::None,
        };
        let (timeout, inputs) = (endpoint.timeout, endpoint.inputs.clone());
        Ok(Target { endpoint: Some(endpoint), ..self.target(url, token, timeout, inputs, http, clock) })
    }

    fn target(
        &self,
        url: Url,
        token: Token,
        timeout: PluginTimeout,
        inputs: Inputs,
        http: reqwest::Client,
        clock: &SharedClock,
    ) -> Target {
        let token = match &self.token_file {
            Some(file) => Token::File(SecretFile::new(file, Arc::clone(clock))),
            None => token,
        };
        let limit = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let pace = PaceLimits { per_second: limit(PACE.0), concurrent: limit(PACE.1) };
        Target {
            url,
            token,
            timeout: timeout.get(),
            inputs,
            http,
            pace: Pace::new(pace, Arc::clone(clock)),
            breaker: Breaker::new(self.service(), Arc::clone(clock)),
            endpoint: None,
        }
    }
}

impl Target {
    /// Whether it is what a Service says.
    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        self.endpoint.as_ref() == Some(endpoint)
    }
}

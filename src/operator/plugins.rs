//! What an operator can see of other plugins: those that are configured, and what Kubernetes knows. Names and addresses,
//! never a token.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    kubernetes::{Endpoint, Found, Kubernetes, NamespaceState, Overrides},
    parts::plugins::{PluginPart, PluginPlace, PluginState},
};

/// The operator's view of the plugins.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    parts: Vec<Arc<PluginPart>>,
    kubernetes: Option<Arc<Kubernetes>>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginsView {
    /// The plugins of the configuration.
    pub plugins: Vec<PluginView>,
    /// The namespaces that are looked in.
    pub namespaces: Vec<NamespaceView>,
    /// The Services that were found there.
    pub services: Vec<ServiceView>,
}

/// A plugin of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginView {
    /// Its generator.
    pub generator: String,
    /// Its name in there.
    pub plugin: String,
    /// The address that it was configured with.
    pub url: Option<String>,
    /// The namespace of its Service.
    pub namespace: Option<String>,
    /// Its Service.
    pub service: Option<String>,
    /// `unasked`, `well` or `failing`.
    pub state: String,
    /// Why it could not say when it was asked last.
    pub problem: Option<String>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceView {
    /// Its name.
    pub namespace: String,
    /// `unread`, `watched` or `lost`.
    pub state: String,
    /// Why it is not watched.
    pub problem: Option<String>,
}

/// A Service with the label, as its annotations have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Where it is asked.
    pub address: Option<String>,
    /// The port of that.
    pub port: Option<u16>,
    /// The path of that.
    pub path: Option<String>,
    /// What is passed on: names, or `*`.
    pub inputs: Option<String>,
    /// Where its token is: the Secret and its key.
    pub token: Option<String>,
    /// Why it cannot be used as it is.
    pub problem: Option<String>,
    /// The plugins that are it, as `generator/plugin`.
    pub used_by: Vec<String>,
}

impl Plugins {
    /// An operator of these plugins.
    pub fn new(parts: Vec<Arc<PluginPart>>, kubernetes: Option<Arc<Kubernetes>>) -> Self {
        Self { parts, kubernetes }
    }

    /// All that there is to see.
    pub fn view(&self) -> PluginsView {
        let state = self.kubernetes.as_ref().map(|kubernetes| kubernetes.state()).unwrap_or_default();
        let services = state.iter().flat_map(|namespace| namespace.services.iter().flatten());
        PluginsView {
            plugins: self.parts.iter().map(|part| PluginView::of(part)).collect(),
            services: services.map(|service| self.service(service)).collect(),
            namespaces: state.iter().map(NamespaceView::of).collect(),
        }
    }

    fn service(&self, service: &Found) -> ServiceView {
        let is_it = |part: &&Arc<PluginPart>| match &part.options().place {
            PluginPlace::Service { namespace, name, .. } => *namespace == service.namespace && *name == service.name,
            PluginPlace::Url(_) => false,
        };
        let used = self.parts.iter().filter(is_it);
        let used_by = used.map(|part| format!("{}/{}", part.options().generator, part.options().name)).collect();
        let (said, problem) = match service.endpoint(&Overrides::default()) {
            Ok(endpoint) => (Some(endpoint), None),
            Err(problem) => (None, Some(problem)),
        };
        let said = said.as_ref();
        ServiceView {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            address: said.map(Endpoint::address),
            port: said.map(|said| said.port),
            path: said.map(|said| said.path.to_string()),
            inputs: said.map(|said| said.inputs.to_string()),
            token: said.and_then(|said| said.token.as_ref().map(ToString::to_string)),
            problem,
            used_by,
        }
    }
}

impl PluginView {
    fn of(part: &PluginPart) -> Self {
        let options = part.options();
        let (url, service) = match &options.place {
            PluginPlace::Url(url) => (Some(url.clone()), None),
            PluginPlace::Service { namespace, name, .. } => (None, Some((namespace.clone(), name.clone()))),
        };
        let (namespace, service) = service.unzip();
        let (state, problem) = match part.state() {
            PluginState::Unasked => ("unasked", None),
            PluginState::Well => ("well", None),
            PluginState::Failing(why) => ("failing", Some(why.reason)),
        };
        Self {
            generator: options.generator.to_string(),
            plugin: options.name.to_string(),
            url,
            namespace,
            service,
            state: state.to_owned(),
            problem,
        }
    }
}

impl NamespaceView {
    fn of(namespace: &NamespaceState) -> Self {
        let state = match (&namespace.trouble, &namespace.services) {
            (Some(_), _) => "lost",
            (None, Some(_)) => "watched",
            (None, None) => "unread",
        };
        Self {
            namespace: namespace.name.clone(),
            state: state.to_owned(),
            problem: namespace.trouble.as_ref().map(ToString::to_string),
        }
    }
}

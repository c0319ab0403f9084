//! What a labelled Service says of itself, and what follows from it: where its plugin is asked, and how.
//!
//! Whoever may write Services in a namespace writes these annotations, so all is bounded and parsed, and none of it can
//! name another host than the Service's own, or a Secret of another namespace. What is wrong makes this Service
//! unusable, and no other.

use std::{collections::BTreeMap, fmt::Display, net::IpAddr, str::FromStr};

use k8s_openapi::{
    api::core::v1::{Service, ServicePort as Port},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::domain::{Inputs, NameError, PluginPath, PluginTimeout, SecretKey, ServicePort, excerpt, is_label};

/// What our annotations begin with.
const PREFIX: &str = "lastgreen.io/";

/// The annotations that are known.
const KNOWN: [&str; 6] = ["port", "scheme", "path", "token", "timeout", "inputs"];

/// The longest value of an annotation that is looked at.
const MAX_BYTES: usize = 4096;

/// A Service with the label of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    place: Result<Place, String>,
    ports: Vec<KnownPort>,
    /// By their names without the prefix.
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Behind an address of its own.
    Cluster(IpAddr),
    /// Its name is resolved to its pods.
    Headless,
    /// Another name for a host.
    External(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownPort {
    number: u16,
    name: Option<String>,
    secure: bool,
    /// The pods' port, if it is known by number.
    target: Option<u16>,
}

/// What the configuration says instead of the annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The port.
    pub port: Option<ServicePort>,
    /// The path.
    pub path: Option<PluginPath>,
    /// How long is waited.
    pub timeout: Option<PluginTimeout>,
    /// What is passed on.
    pub inputs: Option<Inputs>,
    /// Whether the token comes from elsewhere.
    pub has_token: bool,
}

/// Where a plugin is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is asked over TLS.
    pub secure: bool,
    /// The host, by name.
    pub host: String,
    /// Whether that is inside of the cluster.
    pub inside: bool,
    /// The host's address, where the name is not resolved.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The path.
    pub path: PluginPath,
    /// The token, in a Secret of the Service's own namespace.
    pub token: Option<SecretKey>,
    /// How long is waited.
    pub timeout: PluginTimeout,
    /// What is passed on.
    pub inputs: Inputs,
}

impl Endpoint {
    /// Scheme, host and port, as a URL has them.
    pub fn address(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl Found {
    /// What a Service of the namespace says.
    pub(super) fn of(namespace: &str, service: &Service) -> Option<Self> {
        let name = service.metadata.name.clone().filter(|name| is_label(name))?;
        let spec = service.spec.as_ref();
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let annotations = service.metadata.annotations.iter().flatten();
        // Of too much there is kept what is needed to say so.
        let kept = |value: &str| value.chars().take(MAX_BYTES + 1).collect();
        let ours = annotations.filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), kept(value))));
        let ours = ours.take(KNOWN.len() + 1);
        Some(Self {
            namespace: namespace.to_owned(),
            name,
            place: place(service),
            ports: ports.iter().filter_map(KnownPort::of).collect(),
            annotations: ours.collect(),
        })
    }

    /// Where its plugin is asked; else what is wrong with the Service, for people.
    pub fn endpoint(&self, overrides: &Overrides) -> Result<Endpoint, String> {
        if let Some(unknown) = self.annotations.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            let known = KNOWN.map(|key| format!("{PREFIX}{key}")).join(", ");
            return Err(format!("its annotation `{PREFIX}{}` is not known; known are {known}", excerpt(unknown)));
        }
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let wanted = match &overrides.port {
            Some(port) => Some(port.clone()),
            None => self.annotation("port")?,
        };
        let port = self.port(place, wanted.as_ref())?;
        let secure = self.annotation::<Scheme>("scheme")?.map_or(port.secure, |scheme| scheme.secure);
        let token = if overrides.has_token { None } else { self.annotation("token")? };
        let path = or_annotation(overrides.path.as_ref(), || self.annotation("path"))?;
        let timeout = or_annotation(overrides.timeout.as_ref(), || self.annotation("timeout"))?;
        let inputs = or_annotation(overrides.inputs.as_ref(), || self.annotation("inputs"))?;
        let own_name = || format!("{}.{}.svc", self.name, self.namespace);
        let (host, address, port) = match place {
            Place::Cluster(address) => (own_name(), Some(*address), port.number),
            Place::Headless => {
                let target = port.target.ok_or_else(|| {
                    format!("it is headless, and its port {} names its pods' port and does not number it", port.number)
                })?;
                (own_name(), None, target)
            }
            Place::External(host) => (host.clone(), None, port.number),
        };
        Ok(Endpoint {
            secure,
            host,
            inside: !matches!(place, Place::External(_)),
            address,
            port,
            path: path.unwrap_or_default(),
            token,
            timeout: timeout.unwrap_or_default(),
            inputs: inputs.unwrap_or(Inputs::All),
        })
    }

    /// The value of one of our annotations.
    fn annotation<T: FromStr<Err = NameError>>(&self, key: &str) -> Result<Option<T>, String> {
        let Some(text) = self.annotations.get(key) else { return Ok(None) };
        let wrong = |why: &dyn Display| format!("its annotation `{PREFIX}{key}` is wrong: {why}");
        if text.len() > MAX_BYTES {
            return Err(wrong(&format_args!("it has more than {MAX_BYTES} bytes")));
        }
        text.trim().parse().map(Some).map_err(|error| wrong(&error))
    }

    fn port(&self, place: &Place, wanted: Option<&ServicePort>) -> Result<KnownPort, String> {
        let found = wanted.and_then(|wanted| self.ports.iter().find(|port| port.is(wanted)));
        match (found, wanted, self.ports.as_slice()) {
            (Some(port), ..) | (None, None, [port]) => Ok(port.clone()),
            // Nobody forwards it, so that any will do.
            (None, Some(ServicePort::Number(number)), _) if matches!(place, Place::External(_)) => {
                Ok(KnownPort { number: *number, name: None, secure: *number == 443, target: Some(*number) })
            }
            (None, _, []) => Err(match place {
                Place::External(_) => {
                    format!("it has no ports: say by the annotation `{PREFIX}port` which number is meant")
                }
                Place::Cluster(_) | Place::Headless => "it has no ports".to_owned(),
            }),
            (None, None, ports) => Err(format!(
                "it has several ports ({}): say by the annotation `{PREFIX}port` which is meant",
                list(ports)
            )),
            (None, Some(wanted), ports) => Err(format!("it has no port {wanted}; it has {}", list(ports))),
        }
    }
}

/// What the configuration says, else what the annotation does.
fn or_annotation<T: Clone>(
    said: Option<&T>,
    annotation: impl FnOnce() -> Result<Option<T>, String>,
) -> Result<Option<T>, String> {
    said.map_or_else(annotation, |said| Ok(Some(said.clone())))
}

fn list(ports: &[KnownPort]) -> String {
    let one = |port: &KnownPort| match &port.name {
        Some(name) => format!("{} `{}`", port.number, excerpt(name)),
        None => port.number.to_string(),
    };
    let mut shown: Vec<_> = ports.iter().take(5).map(one).collect();
    if ports.len() > shown.len() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn place(service: &Service) -> Result<Place, String> {
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        let name = spec.and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
        let host = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if is_host_name(&host) {
            return Ok(Place::External(host));
        }
        return Err(format!("its externalName `{}` is no name of a host", excerpt(name)));
    }
    match spec.and_then(|spec| spec.cluster_ip.as_deref()) {
        Some("None") => Ok(Place::Headless),
        None | Some("") => Err("it has no cluster IP yet".to_owned()),
        Some(text) => match text.parse() {
            Ok(address) => Ok(Place::Cluster(address)),
            Err(_) => Err(format!("its cluster IP `{}` is no address", excerpt(text))),
        },
    }
}

/// Whether a text is a host's name, and can not be taken for an address, however that is written.
fn is_host_name(text: &str) -> bool {
    let part = |part: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        (1..=63).contains(&part.len()) && part.bytes().all(inside) && !part.starts_with('-') && !part.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(part) && !is_number
}

impl KnownPort {
    fn of(port: &Port) -> Option<Self> {
        let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
        if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
            return None;
        }
        let (whole, name) = (number(port.port)?, port.name.clone());
        let secure = whole == 443
            || name.as_deref().is_some_and(|name| name == "https" || name.starts_with("https-"))
            || port.app_protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("https"));
        let target = match &port.target_port {
            None => Some(whole),
            Some(IntOrString::Int(target)) => number(*target),
            Some(IntOrString::String(target)) => target.parse().ok().and_then(number),
        };
        Some(Self { number: whole, name, secure, target })
    }

    fn is(&self, wanted: &ServicePort) -> bool {
        match wanted {
            ServicePort::Number(number) => self.number == *number,
            ServicePort::Name(name) => self.name.as_ref() == Some(name),
        }
    }
}

struct Scheme {
    secure: bool,
}

impl FromStr for Scheme {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "http" => Ok(Self { secure: false }),
            "https" => Ok(Self { secure: true }),
            _ => Err(NameError::new("`http` or `https`", text)),
        }
    }
}

#[cfg(test)]
mod tests;

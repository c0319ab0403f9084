//! What an operator may say about a registry, and what is known about the well-known ones.

use std::{collections::HashSet, num::NonZeroU32, path::PathBuf};

use reqwest::Url;
use thiserror::Error;

use crate::{
    domain::ImageName,
    upstream::{PaceLimits, http::ClientError},
};

/// One registry's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host as images name it, with its port where it has one: `ghcr.io`, `localhost:5000`, `docker.io`.
    pub host: String,
    /// With what to pull.
    pub auth: Auth,
    /// Token servers on other hosts, as `host` or `host:port`, beside the well-known pairs.
    pub realms: Vec<String>,
    /// How fast it may be asked; by default what is known to be welcome there.
    pub pace: Option<PaceLimits>,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Further CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl Options {
    /// The settings of a registry that nothing was said about: anonymous, over TLS.
    pub fn anonymous(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            auth: Auth::Anonymous,
            realms: Vec::new(),
            pace: None,
            plain_http: false,
            ca_file: None,
        }
    }
}

/// With what to pull from a registry.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Nothing.
    Anonymous,
    /// A user name and a password (or token), each in a file of its own.
    Basic {
        /// The file with the user name.
        username_file: PathBuf,
        /// The file with the password.
        password_file: PathBuf,
    },
    /// A Docker `config.json`, a Kubernetes `dockerconfigjson`, or a legacy `dockercfg`.
    DockerConfig(PathBuf),
}

/// Why the registries could not be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A host is no host.
    #[error("registry `{0}`: expected a host such as `ghcr.io` or `localhost:5000`, without scheme and path")]
    Host(String),
    /// A realm is no host.
    #[error("registry `{host}`: the realm `{realm}` is no host such as `auth.example.com` or `auth.example.com:8443`")]
    Realm {
        /// The registry.
        host: String,
        /// What was given.
        realm: String,
    },
    /// Two entries for one registry.
    #[error("registry `{0}` is listed twice")]
    Twice(String),
    /// The HTTP client could not be built.
    #[error("registry `{host}`: {source}")]
    Client {
        /// The registry.
        host: String,
        /// Why not.
        source: ClientError,
    },
}

/// What is known about a registry.
#[derive(Debug)]
pub(super) struct Known {
    host: &'static str,
    /// Where its API is served, if not at its own name.
    api: Option<&'static str>,
    /// Its token server, if that is another host.
    realm: Option<&'static str>,
    per_second: u32,
    concurrent: u32,
    /// What helps where it refuses us.
    hint: Option<&'static str>,
}

const KNOWN: [Known; 5] = [
    // All requests of an address, HEAD included, fall under an abuse limit of some thousand a minute.
    Known {
        host: "docker.io",
        api: Some("registry-1.docker.io"),
        realm: Some("auth.docker.io"),
        per_second: 10,
        concurrent: 4,
        hint: Some("Docker Hub answers the same for a repository that does not exist"),
    },
    // 44 000 reads a minute by its own words, shared by everything behind one address.
    Known {
        host: "ghcr.io",
        api: None,
        realm: None,
        per_second: 20,
        concurrent: 8,
        hint: Some(
            "GHCR takes a classic personal access token with `read:packages`; a GitHub App's token cannot pull private \
             packages",
        ),
    },
    // Bans an address for an hour after 30 refusals in 3 minutes.
    Known {
        host: "registry.gitlab.com",
        api: None,
        realm: Some("gitlab.com"),
        per_second: 10,
        concurrent: 4,
        hint: Some("GitLab takes a deploy token with `read_registry`"),
    },
    // Answers 429 to bursts of few requests a second.
    Known { host: "quay.io", api: None, realm: None, per_second: 5, concurrent: 4, hint: None },
    Known {
        host: "nvcr.io",
        api: None,
        realm: Some("authn.nvidia.com"),
        per_second: OTHERS.0,
        concurrent: OTHERS.1,
        hint: None,
    },
];

/// ECR, Artifact Registry and ACR allow hundreds a second, one's own registry what one gives it.
const OTHERS: (u32, u32) = (50, 16);

/// A registry's identity: the names of Docker Hub are one.
pub(super) fn canonical(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        _ => host,
    }
}

/// Options that were checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) host: String,
    /// `https://registry-1.docker.io/`
    pub(super) origin: Url,
    /// Host and port of the token servers that are allowed beside the registry itself.
    pub(super) realms: HashSet<(String, u16)>,
    pub(super) pace: PaceLimits,
    pub(super) hint: Option<&'static str>,
}

impl Checked {
    pub(super) fn new(options: &Options) -> Result<Self, SetupError> {
        let wrong = || SetupError::Host(options.host.clone());
        if options.host.contains('/') {
            return Err(wrong());
        }
        let image: ImageName = format!("{}/x", options.host).parse().map_err(|_| wrong())?;
        let host = canonical(image.host()).to_owned();
        let known = KNOWN.iter().find(|known| known.host == host);
        let scheme = if options.plain_http { "http" } else { "https" };
        let api = known.and_then(|known| known.api).unwrap_or(&host);
        let origin = Url::parse(&format!("{scheme}://{api}/")).map_err(|_| wrong())?;

        let mut realms = HashSet::new();
        realms.extend(known.and_then(|known| known.realm).map(|realm| (realm.to_owned(), 443)));
        for realm in &options.realms {
            let place = place(scheme, realm)
                .ok_or_else(|| SetupError::Realm { host: host.clone(), realm: crate::domain::excerpt(realm) })?;
            realms.insert(place);
        }
        let (per_second, concurrent) = known.map_or(OTHERS, |known| (known.per_second, known.concurrent));
        let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let pace =
            options.pace.unwrap_or(PaceLimits { per_second: positive(per_second), concurrent: positive(concurrent) });
        Ok(Self { origin, realms, pace, hint: known.and_then(|known| known.hint), host })
    }

    pub(super) fn plain_http(&self) -> bool {
        self.origin.scheme() == "http"
    }

    /// Whether credentials may go to this place beside the registry itself.
    pub(super) fn trusts(&self, realm: &Url) -> bool {
        let (Some(host), Some(port)) = (realm.host_str(), realm.port_or_known_default()) else { return false };
        let own = (self.origin.host_str(), self.origin.port_or_known_default());
        own == (Some(host), Some(port)) || self.realms.contains(&(host.to_owned(), port))
    }
}

/// Host and port of `host` or `host:port`.
fn place(scheme: &str, text: &str) -> Option<(String, u16)> {
    let url = Url::parse(&format!("{scheme}://{text}/")).ok()?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    // `https://host` would parse as a host named `https`.
    (bare && !text.contains('/')).then_some(())?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &str, realms: &[&str]) -> Result<Checked, SetupError> {
        let realms = realms.iter().map(|&realm| realm.to_owned()).collect();
        Checked::new(&Options { realms, ..Options::anonymous(host) })
    }

    #[test]
    fn docker_hub_is_one_registry_with_an_api_elsewhere() {
        for name in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            let hub = checked(name, &[]).unwrap();
            assert_eq!((hub.host.as_str(), hub.origin.as_str()), ("docker.io", "https://registry-1.docker.io/"));
            assert!(hub.trusts(&Url::parse("https://auth.docker.io/token").unwrap()));
            assert_eq!(hub.pace.per_second.get(), 10);
        }
    }

    #[test]
    fn credentials_go_to_the_registry_and_to_listed_places_only() {
        let registry = checked("reg.example:5000", &["auth.example", "auth.example:8443"]).unwrap();
        for good in ["https://reg.example:5000/t", "https://auth.example/t", "https://auth.example:8443/t?a=b"] {
            assert!(registry.trusts(&Url::parse(good).unwrap()), "{good}");
        }
        // A pair belongs to its registry: what is right for Docker Hub is wrong here.
        for bad in ["https://reg.example/t", "https://auth.docker.io/token", "https://auth.example.evil/t"] {
            assert!(!registry.trusts(&Url::parse(bad).unwrap()), "{bad}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in ["", "ghcr", "https://ghcr.io", "ghcr.io/x", "a b.c", "user@ghcr.io", "ghcr.io:99999"] {
            assert!(matches!(checked(bad, &[]), Err(SetupError::Host(_))), "{bad}");
        }
        for bad in ["", "https://a.b", "a.b/c", "u@a.b", "a.b?x"] {
            assert!(matches!(checked("ghcr.io", &[bad]), Err(SetupError::Realm { .. })), "{bad}");
        }
    }
}

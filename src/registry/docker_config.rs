//! Docker's `config.json`, Kubernetes' `dockerconfigjson`, the legacy `dockercfg`.
//!
//! Keys are matched as Kubernetes does it (globs in each part of the host, ports equal, a path as prefix), with two
//! differences: a path ends at a `/`, so that `host/my` does not cover `host/my-org`, and only the longest match is
//! used, because trying several would be as many refusals. Helpers named in the file are never run: whoever may write
//! a Secret must not name a program.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose};
use serde::Deserialize;
use wildmatch::WildMatch;

use super::{credential::Credential, options::canonical};
use crate::upstream::Secret;

/// The credentials of such a file.
pub(super) struct DockerConfig {
    entries: Vec<Entry>,
    helpers: Vec<String>,
    store: bool,
}

struct Entry {
    host: String,
    port: Option<String>,
    path: String,
    credential: Result<Option<Credential>, BadEntry>,
}

#[derive(Clone, Copy)]
struct BadEntry;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Login>>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Reads the file's text. The error says where it is wrong, never what is there.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |error: &serde_json::Error| format!("it is no Docker config (line {})", error.line());
        let file: File = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        let modern = file.auths.is_some() || file.creds_store.is_some() || !file.cred_helpers.is_empty();
        let auths = if modern {
            file.auths.unwrap_or_default()
        } else {
            let bare: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(text).map_err(|error| wrong(&error))?;
            // What does not look like a login is one of the many settings of a modern file without logins.
            bare.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_value(value).ok()?))).collect()
        };
        Ok(Self {
            entries: auths.into_iter().map(|(key, login)| Entry::new(&key, login)).collect(),
            helpers: file.cred_helpers.into_keys().map(|key| split(&key).0).collect(),
            store: file.creds_store.is_some_and(|store| !store.is_empty()),
        })
    }

    /// The credential for a repository; anonymous where no key matches.
    pub(super) fn select(&self, host: &str, name: &str) -> Result<Credential, String> {
        let best = self.entries.iter().filter(|entry| entry.covers(host, name)).max_by_key(|entry| entry.weight());
        match best.map(|entry| (entry, entry.credential.clone())) {
            None | Some((_, Ok(None))) => Ok(Credential::Anonymous),
            Some((_, Ok(Some(credential)))) => Ok(credential),
            Some((entry, Err(BadEntry))) => Err(format!(
                "its entry for `{}` is neither `auth` (base64 of user:password) nor `username` and `password`",
                crate::domain::excerpt(&entry.host)
            )),
        }
    }

    /// Whether a credential is still in the file.
    pub(super) fn holds(&self, credential: &Credential) -> bool {
        self.entries.iter().any(|entry| matches!(&entry.credential, Ok(Some(own)) if own == credential))
    }

    /// Whether a helper that is not run might know more.
    pub(super) fn has_helper(&self, host: &str) -> bool {
        self.store || self.helpers.iter().any(|helper| canonical(helper) == host)
    }
}

impl Entry {
    fn new(key: &str, login: Login) -> Self {
        let (authority, path) = split(key);
        let authority = canonical(&authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (authority, None),
        };
        Self { host: host.to_owned(), port, path, credential: login.credential() }
    }

    fn covers(&self, host: &str, name: &str) -> bool {
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        };
        let within = || name.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.port.as_deref() == port && covers_host(&self.host, host) && (self.path.is_empty() || within())
    }

    /// What makes one match better than another.
    fn weight(&self) -> (usize, bool, usize) {
        (self.path.len(), !self.host.contains(['*', '?']), self.host.len())
    }
}

impl Login {
    /// `Ok(None)` for an entry without a login: a credential store leaves such behind.
    fn credential(self) -> Result<Option<Credential>, BadEntry> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credential::Identity { token: Secret::new(token) }));
        }
        if let Some(auth) = given(self.auth) {
            let bytes = general_purpose::STANDARD
                .decode(auth.trim())
                .or_else(|_| general_purpose::STANDARD_NO_PAD.decode(auth.trim()))
                .map_err(|_| BadEntry)?;
            let text = String::from_utf8(bytes).map_err(|_| BadEntry)?;
            let (username, password) = text.split_once(':').ok_or(BadEntry)?;
            return Ok(Some(Credential::basic(username, password.trim_end_matches('\0'))));
        }
        match (given(self.username), given(self.password)) {
            (Some(username), Some(password)) => Ok(Some(Credential::basic(&username, &password))),
            (None, None) => Ok(None),
            _ => Err(BadEntry),
        }
    }
}

/// Host (with port) and path of a key, without scheme and without the API version that old clients wrote.
fn split(key: &str) -> (String, String) {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_end_matches('/');
    let path = match path.split_once('/').unwrap_or((path, "")) {
        ("v1" | "v2", rest) => rest,
        _ => path,
    };
    (host.to_ascii_lowercase(), path.to_owned())
}

/// Part by part, so that a glob never reaches over a dot.
fn covers_host(pattern: &str, host: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('.'), host.split('.'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if WildMatch::new(pattern).matches(part) => {}
            _ => return false,
        }
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user name that a config selects, `-` for anonymous.
    fn user(config: &str, host: &str, name: &str) -> String {
        match DockerConfig::parse(config).unwrap().select(host, name) {
            Ok(Credential::Anonymous) => "-".to_owned(),
            Ok(Credential::Basic { username, .. }) => username.expose().to_owned(),
            Ok(Credential::Identity { token }) => format!("identity:{}", token.expose()),
            Err(error) => error,
        }
    }

    #[test]
    fn keys_come_in_many_shapes() {
        let login = r#"{"username":"u","password":"p"}"#;
        for (key, host, name) in [
            ("ghcr.io", "ghcr.io", "a/b"),
            ("GHCR.io", "ghcr.io", "a/b"),
            ("https://ghcr.io", "ghcr.io", "a/b"),
            ("https://ghcr.io/", "ghcr.io", "a/b"),
            ("https://ghcr.io/v2/", "ghcr.io", "a/b"),
            ("http://localhost:5000", "localhost:5000", "b"),
            ("https://index.docker.io/v1/", "docker.io", "library/nginx"),
            ("registry-1.docker.io", "docker.io", "library/nginx"),
            ("ghcr.io/a", "ghcr.io", "a/b"),
            ("ghcr.io/a/b", "ghcr.io", "a/b"),
            ("*.azurecr.io", "one.azurecr.io", "a/b"),
            ("*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-west-1.amazonaws.com", "a"),
            ("reg?.example", "reg1.example", "a"),
        ] {
            let modern = format!(r#"{{"auths":{{"{key}":{login}}}}}"#);
            assert_eq!(user(&modern, host, name), "u", "{key}");
            let legacy = format!(r#"{{"{key}":{login}}}"#);
            assert_eq!(user(&legacy, host, name), "u", "{key}");
        }
        for (key, host, name) in [
            ("ghcr.io/a", "ghcr.io", "ab/c"),
            ("ghcr.io/a", "ghcr.io", "b"),
            ("*.io", "a.ghcr.io", "b"),
            ("*", "ghcr.io", "b"),
            ("ghcr.io", "ghcr.io:5000", "b"),
            ("ghcr.io:5000", "ghcr.io", "b"),
            ("ghcr.io", "ghcr.io.evil", "b"),
        ] {
            assert_eq!(user(&format!(r#"{{"auths":{{"{key}":{login}}}}}"#), host, name), "-", "{key}");
        }
    }

    #[test]
    fn the_longest_match_wins() {
        let config = r#"{"auths":{
            "*.example.com":{"username":"glob","password":"p"},
            "reg.example.com":{"username":"host","password":"p"},
            "reg.example.com/team":{"username":"team","password":"p"},
            "reg.example.com/team/app":{"username":"app","password":"p"}}}"#;
        assert_eq!(user(config, "other.example.com", "x"), "glob");
        assert_eq!(user(config, "reg.example.com", "x"), "host");
        assert_eq!(user(config, "reg.example.com", "team/x"), "team");
        assert_eq!(user(config, "reg.example.com", "team/app"), "app");
    }

    #[test]
    fn logins_come_in_many_shapes() {
        let entry = |login: &str| user(&format!(r#"{{"auths":{{"r.io":{login}}}}}"#), "r.io", "a");
        assert_eq!(entry(r#"{"auth":"dTpwOnA="}"#), "u");
        assert_eq!(entry(r#"{"auth":"dTpwOnA"}"#), "u");
        assert_eq!(entry(r#"{"auth":"PHRva2VuPjo=","identitytoken":"t"}"#), "identity:t");
        assert_eq!(entry("{}"), "-");
        assert!(entry(r#"{"auth":"!"}"#).contains("r.io"));
        assert!(entry(r#"{"username":"u"}"#).contains("r.io"));
        assert_eq!(user("{}", "r.io", "a"), "-");
    }

    #[test]
    fn helpers_are_known_but_not_run() {
        let config = DockerConfig::parse(r#"{"auths":{"a.io":{}},"credHelpers":{"b.io":"ecr-login"}}"#).unwrap();
        assert_eq!((config.has_helper("a.io"), config.has_helper("b.io")), (false, true));
        assert!(DockerConfig::parse(r#"{"credsStore":"desktop"}"#).unwrap().has_helper("a.io"));
    }

    #[test]
    fn nothing_of_a_broken_file_is_shown() {
        for text in ["hunter2", r#"{"auths":{"r.io":"hunter2"}}"#, r#"{"auths":"hunter2"}"#] {
            let error = DockerConfig::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

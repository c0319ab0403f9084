//! What the registry knows: images, and who may read them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::image::{ImageEntry, ImageSpec};

/// The registry half of the world.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryWorld {
    /// How it asks who is there.
    pub auth: RegistryAuth,
    /// Which server gives tokens.
    pub realm: Realm,
    /// Names and passwords that are accepted now; change them to rotate.
    pub credentials: Vec<Credential>,
    /// How long tokens live, in seconds of the world's time.
    pub token_seconds: i64,
    /// Whether the token server says how long (GHCR does not).
    pub says_expiry: bool,
    /// What a caller gets who asks for a token for something he may not read.
    pub denial: Denial,
    /// Whether `n` of a tag listing is ignored, as docker-registry 2.8 does.
    pub ignores_page_size: bool,
    /// How many pulls there are in six hours, and how many are left: Docker Hub says so with each manifest. A HEAD is none.
    pub pull_limit: Option<(u64, u64)>,
    /// Image repositories that only credentials read.
    pub private: Vec<String>,
    /// Images of a world file, pushed as it is loaded.
    pub images: Vec<ImageEntry>,
    /// What is stored, by repository.
    #[serde(skip)]
    pub repositories: BTreeMap<String, ImageRepository>,
    /// Tokens given out.
    #[serde(skip)]
    pub tokens: BTreeMap<String, IssuedToken>,
    /// How often each `repository:tag` was pushed.
    #[serde(skip)]
    pub(crate) pushes: BTreeMap<String, u64>,
}

impl Default for RegistryWorld {
    fn default() -> Self {
        Self {
            auth: RegistryAuth::Anonymous,
            realm: Realm::Same,
            credentials: Vec::new(),
            token_seconds: 300,
            says_expiry: true,
            denial: Denial::Forbidden,
            ignores_page_size: false,
            pull_limit: None,
            private: Vec::new(),
            images: Vec::new(),
            repositories: BTreeMap::new(),
            tokens: BTreeMap::new(),
            pushes: BTreeMap::new(),
        }
    }
}

impl RegistryWorld {
    pub(super) fn push(&mut self, repository: &str, tag: &str, spec: &ImageSpec, now: DateTime<Utc>) -> String {
        let nth = self.pushes.entry(format!("{repository}:{tag}")).or_default();
        *nth += 1;
        let content = spec.content.clone().unwrap_or_else(|| format!("{repository}:{tag}, push {nth}"));
        let images = self.repositories.entry(repository.to_owned()).or_default();
        let digest = images.store(spec, &content, now);
        images.tags.insert(tag.to_owned(), digest.clone());
        digest
    }

    /// Replaces all credentials by one; tokens that were given out live on until they expire.
    pub fn rotate(&mut self, username: &str, password: &str) {
        self.credentials = vec![Credential::new(username, password)];
    }

    /// The credential that a name and password are, if they are one.
    pub(crate) fn credential(&self, username: &str, password: &str) -> Option<&Credential> {
        self.credentials.iter().find(|one| one.username == username && one.password == password)
    }

    /// Whether somebody may read a repository.
    pub(crate) fn may_read(&self, who: Option<&Credential>, repository: &str) -> bool {
        match who {
            None => !self.private.iter().any(|name| name == repository),
            Some(one) => {
                one.repositories.as_ref().is_none_or(|names| names.iter().any(|name| name == repository))
                    || self.may_read(None, repository)
            }
        }
    }
}

/// How the registry asks who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryAuth {
    /// Not at all.
    Anonymous,
    /// Name and password with every request.
    Basic,
    /// Tokens from a token server.
    Bearer,
}

/// Which server the challenge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Realm {
    /// The registry itself, at `/token`.
    Same,
    /// Another host: the simulator's second listener.
    Other,
}

/// What the token server tells those who may not read what they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// 401.
    Unauthorized,
    /// 403, as GHCR.
    Forbidden,
    /// A token without access, as distribution's own; the registry answers 401 `insufficient_scope` then.
    Powerless,
}

/// A name and a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The private repositories it may read; `None` is all.
    #[serde(default)]
    pub repositories: Option<Vec<String>>,
}

impl Credential {
    /// One that may read everything.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned(), repositories: None }
    }
}

/// A token that was given out.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The repositories it may pull from.
    pub pull: Vec<String>,
    /// When it ends, by the world's time.
    pub expires_at: DateTime<Utc>,
}

/// Images of one name.
#[derive(Debug, Clone, Default)]
pub struct ImageRepository {
    /// Tags, and the digests they lead to.
    pub tags: BTreeMap<String, String>,
    /// Manifests by digest.
    pub manifests: BTreeMap<String, StoredManifest>,
    /// Blobs by digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

/// A manifest as it was pushed.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

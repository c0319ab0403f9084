//! The credentials of one registry, read from files that may change at any time.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose};
use reqwest::header::HeaderValue;

use super::{docker_config::DockerConfig, options::Auth};
use crate::{
    clock::SharedClock,
    upstream::{Secret, SecretError, SecretFile},
};

/// What is shown to a registry or its token server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    Anonymous,
    Basic {
        username: Secret,
        password: Secret,
    },
    /// A refresh token that the token server itself gave out.
    Identity {
        token: Secret,
    },
}

impl Credential {
    pub(super) fn basic(username: &str, password: &str) -> Self {
        Self::Basic { username: Secret::new(username), password: Secret::new(password) }
    }

    /// The `Authorization` of HTTP's basic scheme, where that can be had.
    pub(super) fn basic_header(&self) -> Option<HeaderValue> {
        let Self::Basic { username, password } = self else { return None };
        let pair = format!("{}:{}", username.expose(), password.expose());
        let mut value = HeaderValue::try_from(format!("Basic {}", general_purpose::STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Where a registry's credentials come from.
pub(super) enum Source {
    Anonymous,
    Basic { username: SecretFile, password: SecretFile },
    DockerConfig(SecretFile),
}

/// A source and what was last read from it.
pub(super) struct Credentials {
    source: Source,
    current: Mutex<Option<(Vec<Secret>, Arc<Keyring>)>>,
}

/// One state of the files.
#[derive(Debug)]
pub(super) enum Keyring {
    One(Credential),
    Docker { config: DockerConfig, path: PathBuf },
}

impl Credentials {
    pub(super) fn new(auth: &Auth, clock: &SharedClock) -> Self {
        let file = |path: &PathBuf| SecretFile::new(path, Arc::clone(clock));
        let source = match auth {
            Auth::Anonymous => Source::Anonymous,
            Auth::Basic { username_file, password_file } => {
                Source::Basic { username: file(username_file), password: file(password_file) }
            }
            Auth::DockerConfig(path) => Source::DockerConfig(file(path)),
        };
        Self { source, current: Mutex::default() }
    }

    /// What the files hold now; the same `Arc` for as long as they hold the same.
    pub(super) fn current(&self) -> Result<Arc<Keyring>, SecretError> {
        let read = match &self.source {
            Source::Anonymous => Vec::new(),
            Source::Basic { username, password } => vec![username.read()?, password.read()?],
            Source::DockerConfig(file) => vec![file.read()?],
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, keyring)) = &*current
            && *known == read
        {
            return Ok(Arc::clone(keyring));
        }
        let keyring = Arc::new(self.parse(&read)?);
        *current = Some((read, Arc::clone(&keyring)));
        Ok(keyring)
    }

    fn parse(&self, read: &[Secret]) -> Result<Keyring, SecretError> {
        Ok(match (&self.source, read) {
            (Source::DockerConfig(file), [text]) => Keyring::Docker {
                config: DockerConfig::parse(text.expose())
                    .map_err(|problem| SecretError { path: file.path().to_owned(), problem })?,
                path: file.path().to_owned(),
            },
            (Source::Basic { .. }, [username, password]) => {
                Keyring::One(Credential::Basic { username: username.clone(), password: password.clone() })
            }
            _ => Keyring::One(Credential::Anonymous),
        })
    }
}

impl Keyring {
    /// The credential for a repository.
    pub(super) fn select(&self, host: &str, name: &str) -> Result<Credential, SecretError> {
        match self {
            Self::One(credential) => Ok(credential.clone()),
            Self::Docker { config, path } => {
                config.select(host, name).map_err(|problem| SecretError { path: path.clone(), problem })
            }
        }
    }

    /// Whether a credential is still to be used.
    pub(super) fn holds(&self, credential: &Credential) -> bool {
        match self {
            Self::One(own) => own == credential,
            Self::Docker { config, .. } => *credential == Credential::Anonymous || config.holds(credential),
        }
    }

    /// Whether the file points to a helper, which is never run.
    pub(super) fn has_helper(&self, host: &str) -> bool {
        matches!(self, Self::Docker { config, .. } if config.has_helper(host))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

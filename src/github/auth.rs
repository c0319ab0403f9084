//! Which credential a question goes out with, and what to do when it is refused.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    SERVICE,
    app::{App, Permissions},
    budget::Budget,
    credential::{Credential, Holder, Resource},
    send::Sender,
};
use crate::{
    clock::{Moment, SharedClock},
    domain::Repo,
    upstream::{Kind, PaceLimits, PaceUse, Secret, SecretFile, UpstreamError},
};

/// How fine-grained tokens begin.
pub(super) const FINE_GRAINED: &str = "github_pat_";

/// How to log in, by file only.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A file with a token.
    Token(PathBuf),
    /// A GitHub App.
    App {
        /// The App's number.
        id: u64,
        /// The file with its private key.
        private_key_file: PathBuf,
    },
}

/// A credential that may be used now.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) credential: Arc<Credential>,
    pub(super) token: Secret,
    /// When the token was made, where it was made for us.
    pub(super) minted: Option<Moment>,
    /// What it may do, where GitHub told.
    pub(super) permissions: Option<Permissions>,
}

pub(super) struct Authority {
    kind: Mode,
    seen: Mutex<Seen>,
}

/// What the secret file held when it was last looked at.
#[derive(Default)]
struct Seen {
    looked: bool,
    secret: Option<Secret>,
}

enum Mode {
    Token { file: SecretFile, current: Mutex<Option<(Secret, Arc<Credential>)>>, pace: PaceLimits, clock: SharedClock },
    App(Arc<App>),
}

impl Authority {
    pub(super) fn new(auth: Auth, pace: PaceLimits, clock: SharedClock) -> Self {
        let kind = match auth {
            Auth::Token(path) => {
                Mode::Token { file: SecretFile::new(path, Arc::clone(&clock)), current: Mutex::default(), pace, clock }
            }
            Auth::App { id, private_key_file } => {
                let key = SecretFile::new(private_key_file, Arc::clone(&clock));
                Mode::App(Arc::new(App::new(id, key, pace, clock)))
            }
        };
        Self { kind, seen: Mutex::default() }
    }

    /// Whether the secret file changed since this was asked last; then failures of the old one are worth nothing.
    pub(super) fn rotated(&self) -> bool {
        let secret = match &self.kind {
            Mode::Token { file, .. } => file.read().ok(),
            Mode::App(app) => app.key(),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let rotated = seen.looked && seen.secret != secret;
        *seen = Seen { looked: true, secret };
        drop(seen);
        if rotated && let Mode::App(app) = &self.kind {
            app.forget();
        }
        rotated
    }

    /// A credential for `repo`, with another token than `refused`.
    pub(super) async fn grant(
        &self,
        sender: &Arc<Sender>,
        repo: &Repo,
        refused: Option<&Secret>,
    ) -> Result<Grant, UpstreamError> {
        match &self.kind {
            Mode::App(app) => app.grant(sender, repo, refused).await,
            Mode::Token { file, current, pace, clock } => {
                let token = file.read().map_err(|error| unauthorized(error.to_string()))?;
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                // Another token is another credential: the pauses of the old one are not its own.
                let credential = match current.take() {
                    Some((known, credential)) if known == token => credential,
                    _ => {
                        let holder = Holder::Token(file.path().to_owned());
                        Arc::new(Credential::new(holder, *pace, Arc::clone(clock)))
                    }
                };
                *current = Some((token.clone(), Arc::clone(&credential)));
                Ok(Grant { credential, token, minted: None, permissions: None })
            }
        }
    }

    /// The budget that is nearest to its end.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.credentials().iter().filter_map(|credential| credential.budget()).min_by_key(|budget| budget.remaining)
    }

    /// The budget of one resource, of several credentials the one that is nearest to its end.
    pub(super) fn budget_of(&self, resource: Resource) -> Option<Budget> {
        let budgets = self.credentials().into_iter().filter_map(|credential| credential.budget_of(resource));
        budgets.min_by_key(|budget| budget.remaining)
    }

    /// Each credential in use, for people, and how its pace is used.
    pub(super) fn usage(&self) -> Vec<(String, PaceUse)> {
        let name = |holder: &Holder| match holder {
            Holder::Token(_) => "token".to_owned(),
            Holder::App { id, .. } => format!("App {id}"),
            Holder::Installation { app } => format!("installation of App {app}"),
        };
        self.credentials().iter().map(|credential| (name(&credential.holder), credential.usage())).collect()
    }

    /// Since when GitHub limits none of the credentials; `None` while it limits one.
    pub(super) fn well_since(&self) -> Option<Moment> {
        self.credentials().iter().try_fold(Moment::START, |since, credential| Some(since.max(credential.well_since()?)))
    }

    fn credentials(&self) -> Vec<Arc<Credential>> {
        match &self.kind {
            Mode::App(app) => app.credentials(),
            Mode::Token { current, .. } => {
                let current = current.lock().unwrap_or_else(PoisonError::into_inner);
                current.iter().map(|(_, credential)| Arc::clone(credential)).collect()
            }
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

pub(super) fn unauthorized(message: impl Into<Arc<str>>) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Unauthorized, message)
}

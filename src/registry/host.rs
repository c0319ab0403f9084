//! One registry: its settings, its client, an account for each credential that is in use there, and a breaker for each
//! server that it sends us to.

use std::{
    collections::HashMap,
    iter,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use reqwest::Url;

use super::{
    account::{Account, Scheme},
    credential::{Credential, Credentials, Keyring},
    options::{Checked, Options, SetupError},
    refusals::Refusals,
};
use crate::{
    clock::{Moment, SharedClock},
    upstream::{Breaker, Kind, Pace, PaceUse, SecretError, Service, Terms, Traffic, UpstreamError, http},
};

/// How many servers of one registry are told apart.
const BREAKERS: usize = 64;

/// One registry.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) settings: Checked,
    pub(super) http: reqwest::Client,
    pub(super) clock: SharedClock,
    /// Whether it was seen not to know HEAD.
    pub(super) without_head: AtomicBool,
    /// What its token servers refused lately.
    pub(super) refusals: Refusals,
    pub(super) name: Arc<str>,
    pub(super) traffic: Traffic,
    credentials: Credentials,
    accounts: Mutex<Accounts>,
    /// By origin: the registry, its token servers, and where its blobs are.
    breakers: Mutex<HashMap<String, Arc<Breaker>>>,
}

#[derive(Debug, Default)]
struct Accounts {
    keyring: Option<Arc<Keyring>>,
    by_credential: HashMap<Credential, Arc<Account>>,
    made: u64,
}

impl Host {
    /// A registry by its settings; `client` serves all that have no CA of their own.
    pub(super) fn new(options: &Options, client: &reqwest::Client, clock: &SharedClock) -> Result<Self, SetupError> {
        let settings = Checked::new(options)?;
        let http = match &options.ca_file {
            None => client.clone(),
            Some(path) => {
                http::client(Some(path)).map_err(|source| SetupError::Client { host: settings.host.clone(), source })?
            }
        };
        Ok(Self {
            name: settings.host.as_str().into(),
            credentials: Credentials::new(&options.auth, clock),
            settings,
            http,
            clock: Arc::clone(clock),
            without_head: AtomicBool::default(),
            refusals: Refusals::default(),
            traffic: Traffic::default(),
            accounts: Mutex::default(),
            breakers: Mutex::default(),
        })
    }

    /// The account for a repository, by what the credential files hold now.
    pub(super) fn account(&self, repository: &str) -> Result<Arc<Account>, UpstreamError> {
        let keyring = self.credentials.current().map_err(|error| self.unreadable(&error))?;
        let credential = keyring.select(&self.settings.host, repository).map_err(|error| self.unreadable(&error))?;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.keyring.as_ref().is_some_and(|known| Arc::ptr_eq(known, &keyring)) {
            accounts.by_credential.retain(|credential, _| keyring.holds(credential));
            accounts.keyring = Some(keyring);
        }
        if let Some(account) = accounts.by_credential.get(&credential) {
            return Ok(Arc::clone(account));
        }
        accounts.made += 1;
        let pace = Pace::new(self.settings.pace, Arc::clone(&self.clock));
        let account = Arc::new(Account::new(accounts.made, credential.clone(), pace));
        accounts.by_credential.insert(credential, Arc::clone(&account));
        Ok(account)
    }

    /// The breaker of the server at `url`.
    pub(super) fn breaker(&self, url: &Url) -> Arc<Breaker> {
        let origin = url.origin().ascii_serialization();
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = breakers.get(&origin) {
            return Arc::clone(breaker);
        }
        // A registry may redirect to any number of places.
        if breakers.len() >= BREAKERS {
            breakers.clear();
        }
        let breaker = Arc::new(Breaker::new(Arc::clone(&self.name), Arc::clone(&self.clock)));
        breakers.insert(origin, Arc::clone(&breaker));
        breaker
    }

    /// How many requests were sent to it, and whether it is up.
    pub(super) fn service(&self) -> Service {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let up = breakers.values().all(|breaker| breaker.is_well());
        Service { host: Arc::clone(&self.name), requests: self.traffic.counts().collect(), up }
    }

    /// On which terms it is asked now, by each credential that is in use there.
    pub(super) fn terms(&self) -> Vec<Terms> {
        let now = self.now();
        let open = {
            let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            breakers.values().filter_map(|breaker| breaker.trouble()).max_by_key(|trouble| trouble.until)
        };
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts: Vec<_> = accounts.by_credential.values().cloned().collect();
        accounts.sort_by_key(|account| account.id);
        let terms = |account: Option<&Account>, pace: PaceUse| Terms {
            host: Arc::clone(&self.name),
            account: account.map(|account| if account.is_anonymous() { "anonymous" } else { "credential" }.to_owned()),
            pace,
            quota: account.and_then(Account::quota),
            rests: account.and_then(|account| account.rests(now)),
            open: open.clone(),
        };
        if accounts.is_empty() {
            // Nothing was sent yet.
            let unused = Pace::new(self.settings.pace, Arc::clone(&self.clock));
            return vec![terms(None, unused.usage())];
        }
        accounts.iter().map(|account| terms(Some(account), account.pace.usage())).collect()
    }

    /// Since when it and the account's token server are up, and neither limit nor refuse us; `None` while they are not.
    pub(super) fn well_since(&self, account: &Account) -> Option<Moment> {
        let server = match account.scheme() {
            Scheme::Bearer(server) => Some(server.address()),
            Scheme::Unasked | Scheme::Open | Scheme::Basic => None,
        };
        let mut servers = iter::once(&self.settings.origin).chain(&server);
        let account = account.well_since(self.now())?;
        servers.try_fold(account, |since, server| Some(since.max(self.breaker(server).well_since()?)))
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn error(&self, kind: Kind, message: impl Into<Arc<str>>) -> UpstreamError {
        UpstreamError::new(Arc::clone(&self.name), kind, message)
    }

    /// A repository that is refused to us, by the registry or its token server, and what may help.
    pub(super) fn refused(&self, account: &Account, repository: &str, status: reqwest::StatusCode) -> UpstreamError {
        let (whom, why) = if account.is_anonymous() {
            ("anonymous callers", "it is private or does not exist")
        } else {
            ("the configured credential", "the credential is wrong or lacks access, or it does not exist")
        };
        self.refusal(status, format!("`{repository}` is refused to {whom} ({}): {why}", status.as_u16()))
    }

    /// A 401 or 403 with `message`, and what may help.
    pub(super) fn refusal(&self, status: reqwest::StatusCode, mut message: String) -> UpstreamError {
        if self.credentials.current().is_ok_and(|keyring| keyring.has_helper(&self.settings.host)) {
            message.push_str("; the Docker config names a credential helper, and helpers are never run");
        }
        if let Some(hint) = self.settings.hint {
            message.push_str("; ");
            message.push_str(hint);
        }
        let kind = if status == reqwest::StatusCode::FORBIDDEN { Kind::Forbidden } else { Kind::Unauthorized };
        self.error(kind, message)
    }

    /// Files that cannot be read say nothing about the registry, and may be there in a second.
    fn unreadable(&self, error: &SecretError) -> UpstreamError {
        self.error(Kind::Unavailable, error.to_string())
    }
}

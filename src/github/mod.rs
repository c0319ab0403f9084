//! GitHub: what is the head of a line, what did CI say of its commits.
//!
//! ```text
//! GitHub        cached and coalesced questions
//!   sweep       many lines together, before anybody waits for them
//!   on_its_way  what somebody is reading already: who asks for it waits
//!   read        a document or a path each, judged as a whole
//!   send        credential, limits, redirects, refusals
//!   transport   one exchange, through octocrab
//! ```
//!
//! One question is one GraphQL request: an own branch, the pull requests with that head name and the commits of the
//! first two come together, with every check. Missing data never become "no checks": an answer is whole or an error.

mod address;
mod app;
mod auth;
mod budget;
mod credential;
mod diagnosis;
mod documents;
mod envelope;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod map;
mod on_its_way;
mod open;
mod read;
mod send;
mod size;
mod sweep;
mod transport;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use self::{
    address::Address, auth::Authority, credential::Resource, on_its_way::OnItsWay, read::Reader, send::Sender,
    size::Sizes, transport::Transport,
};
pub use self::{
    address::SetupError,
    auth::Auth,
    budget::Budget,
    diagnosis::{Diagnosis, Finding, Health},
    documents::documents,
    sweep::{How, Promise, Sweep, Wanted},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, Check, CommitFacts, CommitSha, Commits, Listing, Repo, Snapshot},
    upstream::{Cache, Failing, PaceLimits, PaceUse, Service, Terms, UpstreamError, http},
};

/// What errors call this upstream.
const SERVICE: &str = "GitHub";

/// How many repositories' listings are remembered.
const LISTINGS: u64 = 1_000;
/// How many lines are remembered.
const SNAPSHOTS: u64 = 120_000;

/// How long a commit that GitHub does not know is not asked for again.
const ABSENT_FOR: Duration = Duration::from_secs(15);

/// Which GitHub, as whom, how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// The REST root: `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server.
    pub api: String,
    /// How to log in.
    pub auth: Auth,
    /// Further CAs to trust.
    pub ca_file: Option<PathBuf>,
    /// The pace of each credential.
    pub pace: PaceLimits,
}

/// What a snapshot is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The repository.
    pub repo: Repo,
    /// What in it.
    pub by: By,
    /// How many commits are wanted at once, 1 to 100.
    pub walk: u32,
}

/// By what a line is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// A pull request, open or not.
    Number(u64),
    /// An own branch and the open pull requests with that head name.
    Branch(Branch),
}

/// Whose commits are read on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CommitsOf {
    /// A pull request's own.
    Pull(u64),
    /// Those that are reachable from a head.
    History(CommitSha),
}

/// Further checks of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChecksPage {
    /// The checks, superseded ones too.
    pub checks: Vec<Check>,
    /// GitHub's cursor to further ones.
    pub more: Option<String>,
}

/// GitHub, as one credential sees it.
#[derive(Debug)]
pub struct GitHub {
    reader: Arc<Reader>,
    clock: SharedClock,
    snapshots: Cache<(Repo, By), Arc<Snapshot>>,
    on_its_way: OnItsWay,
    listings: Cache<Repo, Arc<Listing>>,
    sizes: Sizes,
    commits: Cache<(Repo, CommitsOf, String), Arc<Commits>>,
    checks: Cache<(Repo, CommitSha, String), Arc<ChecksPage>>,
    facts: Cache<(Repo, CommitSha), Option<Arc<CommitFacts>>>,
    ancestry: Cache<(Repo, CommitSha, CommitSha), Option<bool>>,
}

impl GitHub {
    /// A client; nothing is sent, and no secret is read yet.
    pub fn new(options: Options, clock: SharedClock) -> Result<Self, SetupError> {
        let Options { api, auth, ca_file, pace } = options;
        let client = http::client(ca_file.as_deref())?;
        let transport = Transport::new(Address::parse(&api)?, client, Arc::clone(&clock));
        let sender = Arc::new(Sender::new(transport, Arc::clone(&clock)));
        let authority = Authority::new(auth, pace, Arc::clone(&clock));
        Ok(Self {
            reader: Arc::new(Reader { sender, authority, failing: Failing::default() }),
            snapshots: Cache::new(SNAPSHOTS, Arc::clone(&clock)),
            on_its_way: OnItsWay::default(),
            listings: Cache::new(LISTINGS, Arc::clone(&clock)),
            sizes: Sizes::default(),
            commits: Cache::new(1024, Arc::clone(&clock)),
            checks: Cache::new(1024, Arc::clone(&clock)),
            facts: Cache::new(50_000, Arc::clone(&clock)),
            ancestry: Cache::new(50_000, Arc::clone(&clock)),
            clock,
        })
    }

    /// What GitHub says of a line, in a read that began at `not_before` or later.
    ///
    /// A pull request that does not exist is a snapshot without one; a repository that does not exist, or that the
    /// credential cannot see, is an error.
    pub async fn snapshot(&self, ask: Ask, not_before: Moment) -> Result<Arc<Snapshot>, UpstreamError> {
        self.notice_rotation();
        if !self.is_fresh(&ask, not_before).await {
            self.on_its_way.arrived(&ask.repo, &ask.by, not_before).await;
        }
        let key = sweep::key(&ask);
        let load = {
            let reader = Arc::clone(&self.reader);
            move || {
                let (reader, ask) = (Arc::clone(&reader), ask.clone());
                async move { reader.snapshot(&ask).await.map(Arc::new) }
            }
        };
        self.snapshots.get(key, not_before, load).await
    }

    /// Whether [`GitHub::snapshot`] would answer without asking.
    pub async fn is_fresh(&self, ask: &Ask, not_before: Moment) -> bool {
        self.snapshots.peek(&sweep::key(ask)).await.is_some_and(|(began, _)| began >= not_before)
    }

    /// Older commits than a snapshot has.
    pub async fn more_commits(
        &self,
        repo: &Repo,
        of: &CommitsOf,
        cursor: &str,
        not_before: Moment,
    ) -> Result<Arc<Commits>, UpstreamError> {
        self.notice_rotation();
        let key = (repo.clone(), of.clone(), cursor.to_owned());
        let load = {
            let (reader, key) = (Arc::clone(&self.reader), key.clone());
            move || {
                let (reader, (repo, of, cursor)) = (Arc::clone(&reader), key.clone());
                async move { reader.more_commits(&repo, &of, &cursor).await.map(Arc::new) }
            }
        };
        self.commits.get(key, not_before, load).await
    }

    /// Further checks of a commit.
    pub async fn more_checks(
        &self,
        repo: &Repo,
        sha: CommitSha,
        cursor: &str,
        not_before: Moment,
    ) -> Result<Arc<ChecksPage>, UpstreamError> {
        self.notice_rotation();
        let key = (repo.clone(), sha, cursor.to_owned());
        let load = {
            let (reader, key) = (Arc::clone(&self.reader), key.clone());
            move || {
                let (reader, (repo, sha, cursor)) = (Arc::clone(&reader), key.clone());
                async move { reader.more_checks(&repo, sha, &cursor).await.map(Arc::new) }
            }
        };
        self.checks.get(key, not_before, load).await
    }

    /// A commit by its object name. It never changes, so it is asked for until it is known.
    pub async fn commit(&self, repo: &Repo, sha: CommitSha) -> Result<Option<Arc<CommitFacts>>, UpstreamError> {
        self.notice_rotation();
        let key = (repo.clone(), sha);
        if let Some((_, Some(facts))) = self.facts.peek(&key).await {
            return Ok(Some(facts));
        }
        let load = {
            let (reader, repo) = (Arc::clone(&self.reader), repo.clone());
            move || {
                let (reader, repo) = (Arc::clone(&reader), repo.clone());
                async move { Ok(reader.commit(&repo, sha).await?.map(Arc::new)) }
            }
        };
        self.facts.get(key, self.clock.now() - ABSENT_FOR, load).await
    }

    /// Whether `ancestor` is `descendant` or reachable from it; not so where GitHub does not know one of them.
    pub async fn is_ancestor(
        &self,
        repo: &Repo,
        ancestor: CommitSha,
        descendant: CommitSha,
    ) -> Result<bool, UpstreamError> {
        if ancestor == descendant {
            return Ok(true);
        }
        self.notice_rotation();
        let key = (repo.clone(), ancestor, descendant);
        if let Some((_, Some(known))) = self.ancestry.peek(&key).await {
            return Ok(known);
        }
        let load = {
            let (reader, repo) = (Arc::clone(&self.reader), repo.clone());
            move || {
                let (reader, repo) = (Arc::clone(&reader), repo.clone());
                async move { reader.is_ancestor(&repo, ancestor, descendant).await }
            }
        };
        let known = self.ancestry.get(key, self.clock.now() - ABSENT_FOR, load).await?;
        Ok(known.unwrap_or(false))
    }

    /// Who the credential is and what it may read of `repo`; nothing of it is cached.
    pub async fn diagnose(&self, repo: &Repo) -> Diagnosis {
        self.notice_rotation();
        self.reader.diagnose(repo).await
    }

    /// What is left of the credential's budget, of several the smallest; `None` while GitHub has named none.
    pub fn budget(&self) -> Option<Budget> {
        self.reader.authority.budget()
    }

    /// How many requests were sent to GitHub, by what came of them, and whether it is up.
    pub fn traffic(&self) -> Service {
        let sender = &self.reader.sender;
        Service { host: SERVICE.into(), requests: sender.traffic().counts().collect(), up: sender.breaker.is_well() }
    }

    /// On which terms it is asked now, by each credential; what it says itself is in [`GitHub::budgets`].
    pub fn terms(&self) -> Vec<Terms> {
        let open = self.reader.sender.breaker.trouble();
        let of = |(account, pace): (String, PaceUse)| {
            let (host, account) = (SERVICE.into(), Some(account));
            Terms { host, account, pace, quota: None, rests: None, open: open.clone() }
        };
        self.reader.authority.usage().into_iter().map(of).collect()
    }

    /// What is left of each budget that GitHub has named, by its name.
    pub fn budgets(&self) -> Vec<(&'static str, Budget)> {
        let named = [("GraphQL", Resource::Graphql), ("REST", Resource::Core)];
        let budget = |(name, resource)| Some((name, self.reader.authority.budget_of(resource)?));
        named.into_iter().filter_map(budget).collect()
    }

    /// Since when GitHub is there for questions about `repo`: it is up, limits nobody, and did not fail or refuse the
    /// latest one; `None` while it is not. What was never asked is not known to fail.
    pub fn well_since(&self, repo: &Repo) -> Option<Moment> {
        let reader = &self.reader;
        let up = reader.sender.breaker.well_since()?;
        Some(up.max(reader.authority.well_since()?).max(reader.failing.well_since(repo)?))
    }

    /// Failures of an old secret must not outlive it.
    fn notice_rotation(&self) {
        if self.reader.authority.rotated() {
            tracing::info!("the secret for GitHub has changed");
            self.snapshots.clear();
            self.commits.clear();
            self.checks.clear();
            self.facts.clear();
            self.ancestry.clear();
        }
    }
}

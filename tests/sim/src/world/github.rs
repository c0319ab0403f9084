//! What GitHub knows: repositories with their commits, and who may ask.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::checks::{CheckRun, CheckSuite, Status};
use super::names::Oid;
use super::pull::Pull;

/// The GitHub half of the world.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitHubWorld {
    /// Served as GitHub Enterprise Server: REST under `/api/v3`, GraphQL at `/api/graphql`.
    pub enterprise: bool,
    /// All repositories, forks among them.
    pub repositories: Vec<Repository>,
    /// Personal tokens that are accepted.
    pub tokens: Vec<PersonalToken>,
    /// Apps, by whose keys JWTs are verified.
    pub apps: Vec<App>,
    /// Requests and points per hour and credential.
    pub limits: Limits,
    /// Installation tokens minted so far.
    #[serde(skip)]
    pub installation_tokens: Vec<InstallationToken>,
    /// What was used of the limits, by `principal/resource`.
    #[serde(skip)]
    pub budgets: BTreeMap<String, Budget>,
    /// The last database id given out.
    #[serde(skip)]
    pub(crate) serial: u64,
}

impl Default for GitHubWorld {
    fn default() -> Self {
        Self {
            enterprise: false,
            repositories: Vec::new(),
            tokens: vec![PersonalToken::default()],
            apps: Vec::new(),
            limits: Limits::default(),
            installation_tokens: Vec::new(),
            budgets: BTreeMap::new(),
            serial: 0,
        }
    }
}

impl GitHubWorld {
    /// A repository by its present name, in any case.
    pub fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.full_name().eq_ignore_ascii_case(full_name))
    }

    /// A repository by its present name, to change it.
    ///
    /// # Panics
    /// If there is none: a test that names a repository it did not make is wrong.
    pub fn repository_mut(&mut self, full_name: &str) -> &mut Repository {
        self.repositories
            .iter_mut()
            .find(|repository| repository.full_name().eq_ignore_ascii_case(full_name))
            .unwrap_or_else(|| panic!("the world has no repository {full_name}"))
    }

    /// A repository by its present name or, failing that, by one it had before. A new repository under an old name hides the
    /// old one.
    pub fn repository_followed(&self, full_name: &str) -> Option<&Repository> {
        self.repository(full_name).or_else(|| {
            self.repositories
                .iter()
                .find(|repository| repository.former_names.iter().any(|old| old.eq_ignore_ascii_case(full_name)))
        })
    }

    /// The next database id.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.serial += 1;
        1_000_000 + self.serial
    }
}

/// A repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// GitHub's numeric id, which outlives a rename; 0 lets the world choose.
    #[serde(default)]
    pub id: u64,
    /// The owner's login.
    pub owner: String,
    /// The name without the owner.
    pub name: String,
    /// `owner/name` as it was before renames.
    #[serde(default)]
    pub former_names: Vec<String>,
    /// Whether only those with access see it.
    #[serde(default)]
    pub private: bool,
    /// The default branch; `main` if not told.
    #[serde(default = "Repository::main")]
    pub default_branch: String,
    /// `owner/name` of the repository that this one was forked from.
    #[serde(default)]
    pub fork_of: Option<String>,
    /// Branch tips.
    #[serde(default)]
    pub branches: BTreeMap<String, Oid>,
    /// Commits that were pushed here; the whole fork network sees them.
    #[serde(default)]
    pub commits: BTreeMap<Oid, Commit>,
    /// Pull requests into this repository.
    #[serde(default)]
    pub pulls: Vec<Pull>,
    /// Check runs that apps reported here, in the order they came.
    #[serde(default)]
    pub checks: BTreeMap<Oid, Vec<CheckRun>>,
    /// Commit statuses that were reported here, in the order they came.
    #[serde(default)]
    pub statuses: BTreeMap<Oid, Vec<Status>>,
    /// Check suites that have no runs, such as a fork's workflow that waits for approval.
    #[serde(default)]
    pub suites: BTreeMap<Oid, Vec<CheckSuite>>,
}

impl Repository {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// A pull request by number.
    pub fn pull(&self, number: u64) -> Option<&Pull> {
        self.place_of(number).map(|place| &self.pulls[place])
    }

    /// A pull request by number, to change it.
    ///
    /// # Panics
    /// If there is none.
    pub fn pull_mut(&mut self, number: u64) -> &mut Pull {
        let place = self.place_of(number).unwrap_or_else(|| panic!("no pull request {number}"));
        &mut self.pulls[place]
    }

    /// Where a pull request is: mostly where it would be if none before it were missing.
    fn place_of(&self, number: u64) -> Option<usize> {
        let is = |place: &usize| self.pulls.get(*place).is_some_and(|pull| pull.number == number);
        let first = self.pulls.first()?.number;
        let likely = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        likely.filter(is).or_else(|| self.pulls.iter().position(|pull| pull.number == number))
    }

    fn main() -> String {
        "main".to_owned()
    }
}

/// A commit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commit {
    /// Parents, the first being the branch it was made on.
    pub parents: Vec<Oid>,
    /// The whole message.
    pub message: String,
    /// When it was written; by default when the world began or the push happened.
    pub authored_at: Option<DateTime<Utc>>,
    /// When it was committed; by default as `authored_at`.
    pub committed_at: Option<DateTime<Utc>>,
    /// Who wrote it.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
}

impl Commit {
    /// When it was written.
    pub fn authored(&self) -> DateTime<Utc> {
        self.authored_at.unwrap_or_default()
    }

    /// When it was committed.
    pub fn committed(&self) -> DateTime<Utc> {
        self.committed_at.or(self.authored_at).unwrap_or_default()
    }
}

/// An author or committer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    /// As in the commit.
    pub name: String,
    /// As in the commit.
    pub email: String,
    /// The GitHub account that the address belongs to, if any.
    pub login: Option<String>,
}

impl Default for Person {
    fn default() -> Self {
        Self { name: "Dev".to_owned(), email: "dev@example.com".to_owned(), login: Some("dev".to_owned()) }
    }
}

impl Person {
    /// GitHub itself, as it signs merges made on its side.
    pub fn github() -> Self {
        Self { name: "GitHub".to_owned(), email: "noreply@github.com".to_owned(), login: Some("web-flow".to_owned()) }
    }
}

/// A personal access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonalToken {
    /// The secret itself.
    pub token: String,
    /// The user it belongs to; tokens of one user share one budget.
    pub login: String,
    /// Classic or fine-grained.
    pub kind: TokenKind,
    /// Whether a fine-grained token may read checks of private repositories. GitHub offers no such permission, hence `false`.
    pub checks: bool,
    /// The private repositories it may see; `None` is all.
    pub repositories: Option<Vec<String>>,
}

impl PersonalToken {
    /// The token that a world has if it names none.
    pub const DEFAULT: &'static str = "sim-classic-token";
}

impl Default for PersonalToken {
    fn default() -> Self {
        Self {
            token: Self::DEFAULT.to_owned(),
            login: "lastgreen-bot".to_owned(),
            kind: TokenKind::Classic,
            checks: false,
            repositories: None,
        }
    }
}

/// The two kinds of personal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// With the `repo` scope: reads everything.
    Classic,
    /// Reads what it was given.
    FineGrained,
}

/// A GitHub App.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The app id, which its JWTs name as issuer.
    pub id: u64,
    /// Its short name.
    #[serde(default)]
    pub slug: String,
    /// The public half of its key, as PEM. Without one every JWT is refused.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Where it is installed.
    #[serde(default)]
    pub installations: Vec<Installation>,
}

/// An installation of an App.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// The installation id.
    pub id: u64,
    /// The account it is installed on.
    pub account: String,
    /// `owner/name` of the repositories it may see; `None` is all of the account.
    #[serde(default)]
    pub repositories: Option<Vec<String>>,
    /// Whether it was given `checks: read`.
    #[serde(default = "yes")]
    pub checks: bool,
}

/// An installation token that was minted.
#[derive(Debug, Clone)]
pub struct InstallationToken {
    /// The secret itself.
    pub token: String,
    /// Whose it is.
    pub installation: u64,
    /// When it ends, by the world's time.
    pub expires_at: DateTime<Utc>,
}

/// Hourly limits of one credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// GraphQL points.
    pub graphql: u64,
    /// REST requests.
    pub rest: u64,
    /// The `type` of the GraphQL error that says so: `RATE_LIMITED`, or `RATE_LIMIT` as GitHub has also been seen to write.
    pub error_type: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self { graphql: 5000, rest: 5000, error_type: "RATE_LIMITED".to_owned() }
    }
}

/// What one credential used of one limit.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Points or requests used in this window.
    pub used: u64,
    /// When the window ends.
    pub reset_at: DateTime<Utc>,
}

fn yes() -> bool {
    true
}

//! Who the credential is and what it may read, each with what to do about it.

use serde::Deserialize;
use serde_json::json;

use super::{
    Budget,
    auth::FINE_GRAINED,
    documents,
    envelope::{self, CHECKS_HINT, Fault, Meaning, STATUSES_HINT, no_repository},
    read::Reader,
    wire::{Nodes, Rollup},
};
use crate::{
    domain::Repo,
    upstream::{Secret, UpstreamError},
};

/// What was found out about a credential and a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was looked at, in order.
    pub findings: Vec<Finding>,
    /// What is left of the credential's budget.
    pub budget: Option<Budget>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, in a word or two.
    pub subject: &'static str,
    /// Whether it is as it should be.
    pub health: Health,
    /// What was found, or what to do.
    pub detail: String,
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, but less well.
    Doubtful,
    /// It does not work.
    Bad,
}

impl Diagnosis {
    /// Whether nothing is bad.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.health != Health::Bad)
    }

    fn note(&mut self, subject: &'static str, health: Health, detail: impl Into<String>) {
        self.findings.push(Finding { subject, health, detail: detail.into() });
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    viewer: Option<Viewer>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Viewer {
    login: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    name_with_owner: String,
    is_private: bool,
    default_branch_ref: Option<Branch>,
    pull_requests: Option<Nodes<Option<Number>>>,
}

#[derive(Deserialize)]
struct Number {}

#[derive(Deserialize)]
struct Branch {
    name: String,
    target: Option<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    status_check_rollup: Option<serde_json::Value>,
}

impl Reader {
    pub(super) async fn diagnose(&self, repo: &Repo) -> Diagnosis {
        let mut diagnosis = Diagnosis { findings: Vec::new(), budget: None };
        if let Err(error) = self.look(repo, &mut diagnosis).await {
            diagnosis.note("GitHub", Health::Bad, error.message.to_string());
        }
        diagnosis.budget = self.authority.budget();
        match diagnosis.budget {
            Some(Budget { limit, remaining, .. }) => {
                let health = if remaining * 10 < limit { Health::Doubtful } else { Health::Good };
                diagnosis.note("budget", health, format!("{remaining} of {limit} points an hour are left"));
            }
            // Where nothing could be read, nothing is known of limits either.
            None if diagnosis.is_good() => diagnosis.note("budget", Health::Good, "GitHub names no limit"),
            None => {}
        }
        diagnosis
    }

    async fn look(&self, repo: &Repo, diagnosis: &mut Diagnosis) -> Result<(), UpstreamError> {
        let (answer, grant, faults) = self.graphql(repo, documents::DIAGNOSIS, json!({})).await?;
        if faults.iter().any(|fault| fault.meaning(repo) == Meaning::Limit) {
            return Err(grant.credential.limited(super::credential::Resource::Graphql, &answer));
        }
        let scopes = answer.header("x-oauth-scopes").map(str::to_owned);
        let data: Data = match envelope::data(&answer.body) {
            Ok(data) => data,
            Err(error) => return Err(faults.iter().find_map(|fault| failure(fault, repo)).unwrap_or(error)),
        };
        let who = data.viewer.map_or_else(|| "someone".to_owned(), |viewer| viewer.login);
        let nature = if grant.permissions.is_some() { "a GitHub App's installation" } else { token_kind(&grant.token) };
        diagnosis.note("credential", Health::Good, format!("{who}, {nature}"));

        let Some(repository) = data.repository else {
            let error = faults.iter().find_map(|fault| failure(fault, repo)).unwrap_or_else(|| no_repository(repo));
            diagnosis.note("repository", Health::Bad, error.message.to_string());
            return Ok(());
        };
        let privacy = if repository.is_private { "private" } else { "public" };
        let shown = format!("{}, {privacy}", repository.name_with_owner);
        diagnosis.note("repository", Health::Good, shown);

        let forbidden = |part: &str, not: &str| {
            let mut faults = faults.iter().filter(|fault| fault.names().any(|name| name == part));
            faults
                .find(|fault| not.is_empty() || fault.names().all(|name| name != not))
                .and_then(|fault| failure(fault, repo))
        };
        let lacks = |permission: &str| {
            repository.is_private && grant.permissions.as_ref().is_some_and(|all| !all.contains_key(permission))
        };

        match &repository.default_branch_ref {
            Some(branch) if branch.target.is_some() && !lacks("contents") => {
                diagnosis.note("contents", Health::Good, format!("the head of `{}` can be read", branch.name));
            }
            None if forbidden("defaultBranchRef", "").is_none() && !lacks("contents") => {
                diagnosis.note("contents", Health::Doubtful, "the repository has no commits");
            }
            _ => diagnosis.note("contents", Health::Bad, "the credential needs the permission Contents: read"),
        }

        if forbidden("pullRequests", "").is_some() || repository.pull_requests.is_none() || lacks("pull_requests") {
            diagnosis.note("pull requests", Health::Bad, "the credential needs the permission Pull requests: read");
        } else {
            diagnosis.note("pull requests", Health::Good, "can be read");
        }

        let rollup = repository.default_branch_ref.and_then(|branch| branch.target?.status_check_rollup);
        if let Some(error) = forbidden("statusCheckRollup", "workflowRun") {
            diagnosis.note("checks", Health::Bad, error.message.to_string());
        } else if lacks("checks") || repository.is_private && grant.token.expose().starts_with(FINE_GRAINED) {
            diagnosis.note("checks", Health::Bad, CHECKS_HINT);
        } else if lacks("statuses") {
            diagnosis.note("checks", Health::Bad, STATUSES_HINT);
        } else if rollup.is_some_and(|rollup| serde_json::from_value::<Rollup>(rollup).is_ok()) {
            diagnosis.note("checks", Health::Good, "can be read");
        } else {
            diagnosis.note(
                "checks",
                Health::Doubtful,
                "the default branch's head has none, so nothing shows that they can be read",
            );
        }
        if faults.iter().any(|fault| fault.names().any(|name| name == "workflowRun")) || lacks("actions") {
            let advice = "workflows have no names without the permission Actions: read; equal checks of two are one";
            diagnosis.note("workflows", Health::Doubtful, advice);
        }
        if let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) {
            let enough = !repository.is_private || scopes.split(',').any(|scope| scope.trim() == "repo");
            let health = if enough { Health::Good } else { Health::Bad };
            diagnosis.note("scopes", health, scopes);
        }
        Ok(())
    }
}

fn failure(fault: &Fault, repo: &Repo) -> Option<UpstreamError> {
    match fault.meaning(repo) {
        Meaning::Failure(error) => Some(error),
        Meaning::Tolerable | Meaning::Limit => None,
    }
}

/// GitHub's tokens tell their kind by how they begin.
fn token_kind(token: &Secret) -> &'static str {
    let token = token.expose();
    if token.starts_with(FINE_GRAINED) {
        "a fine-grained token"
    } else if token.starts_with("ghp_") {
        "a classic token"
    } else if token.starts_with("ghs_") {
        "an installation's or a workflow's token"
    } else {
        "a token"
    }
}

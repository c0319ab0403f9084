//! The questions: a document or a path each, and what their answers mean.

use std::sync::Arc;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Ask, By, ChecksPage, CommitsOf, SERVICE,
    auth::{Authority, FINE_GRAINED, Grant},
    credential::Resource,
    documents,
    envelope::{self, CHECKS_HINT, Fault, Meaning, STATUSES_HINT, no_repository},
    map::{self, Mapper},
    send::Sender,
    transport::{Answer, Call, malformed, unavailable},
    wire,
};
use crate::{
    clock::Moment,
    domain::{CommitFacts, CommitSha, Commits, Listed, Repo, Repository, Snapshot, Source},
    upstream::{Failing, Kind, UpstreamError},
};

/// Commits per further page.
const PAGE: u32 = 20;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) sender: Arc<Sender>,
    pub(super) authority: Authority,
    /// The repositories that could not be read when they were asked for last.
    pub(super) failing: Failing<Repo>,
}

/// A page of open pull requests.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) began: Moment,
    pub(super) repository: Repository,
    pub(super) listed: Vec<Listed>,
    /// The cursor of the next page.
    pub(super) next: Option<String>,
}

impl Reader {
    pub(super) async fn snapshot(&self, ask: &Ask) -> Result<Snapshot, UpstreamError> {
        let walk = ask.walk.clamp(1, 100);
        match &ask.by {
            By::Number(number) => {
                // GraphQL's integers have 32 bits, and no pull request has a higher number.
                let number = i32::try_from(*number).unwrap_or(i32::MAX);
                let variables = json!({ "number": number, "walk": walk });
                let (answer, grant, mut found): (_, _, wire::PullRepository) =
                    self.repository(&ask.repo, documents::PULL, variables).await?;
                let snapshot = by_number(&answer, &mut found)?;
                reads_checks(&grant, &found.identity, &snapshot)?;
                Ok(snapshot)
            }
            By::Branch(branch) => {
                let variables = json!({
                    "ref": format!("refs/heads/{branch}"), "head": branch.as_str(), "walk": walk,
                });
                let (answer, grant, mut found): (_, _, wire::BranchRepository) =
                    self.repository(&ask.repo, documents::BRANCH, variables).await?;
                let snapshot = by_branch(&answer, &mut found)?;
                reads_checks(&grant, &found.identity, &snapshot)?;
                Ok(snapshot)
            }
        }
    }

    /// A page of open pull requests, and where the next one begins.
    pub(super) async fn page(&self, repo: &Repo, size: u32, after: Option<&str>) -> Result<Page, UpstreamError> {
        let variables = json!({ "page": size, "after": after });
        let (answer, _, mut found): (_, _, wire::ListedRepository) =
            self.repository(repo, documents::PULLS, variables).await?;
        let next = found.pulls.more()?;
        // What is odd about one is told to whoever asks for it.
        let listed = found.pulls.nodes.into_iter().flatten().filter_map(|pull| map::listed(pull, &answer).ok());
        Ok(Page { began: answer.sent, repository: map::repository(&found.identity)?, listed: listed.collect(), next })
    }

    /// Some pull requests at once, each with so many of its newest commits; those that there are.
    pub(super) async fn together(
        &self,
        repo: &Repo,
        wanted: &[(u64, u32)],
    ) -> Result<Vec<(u64, Snapshot)>, UpstreamError> {
        let mut variables = serde_json::Map::new();
        for (i, (number, walk)) in wanted.iter().enumerate() {
            variables.insert(format!("n{i}"), i32::try_from(*number).unwrap_or(i32::MAX).into());
            variables.insert(format!("w{i}"), (*walk).clamp(1, 100).into());
        }
        let mut mapper = Mapper::default();
        let document = documents::together(wanted.len());
        let (answer, grant, mut found): (_, _, wire::ManyPulls) =
            self.repository(repo, &document, Value::Object(variables)).await?;
        let mut snapshots = Vec::with_capacity(wanted.len());
        for (i, (number, _)) in wanted.iter().enumerate() {
            let Some(Some(pull)) = found.pulls.remove(&format!("p{i}")) else { continue };
            let Ok(snapshot) = of_pull(&answer, &found.identity, Some(pull), &mut mapper) else { continue };
            reads_checks(&grant, &found.identity, &snapshot)?;
            snapshots.push((*number, snapshot));
        }
        Ok(snapshots)
    }

    pub(super) async fn more_commits(
        &self,
        repo: &Repo,
        of: &CommitsOf,
        cursor: &str,
    ) -> Result<Commits, UpstreamError> {
        match of {
            CommitsOf::Pull(number) => {
                let variables = json!({ "number": number, "page": PAGE, "before": cursor });
                let (_, _, found): (_, _, wire::PullPage) =
                    self.repository(repo, documents::PULL_COMMITS, variables).await?;
                Mapper::default().own_commits(found.pull.ok_or_else(gone)?.commits)
            }
            CommitsOf::History(head) => {
                let variables = json!({ "oid": head.as_str(), "page": PAGE, "after": cursor });
                let (_, _, found): (_, _, wire::AtCommit<wire::History>) =
                    self.repository(repo, documents::HISTORY, variables).await?;
                Mapper::default().history(found.commit.ok_or_else(gone)?.history)
            }
        }
    }

    pub(super) async fn more_checks(
        &self,
        repo: &Repo,
        sha: CommitSha,
        cursor: &str,
    ) -> Result<ChecksPage, UpstreamError> {
        let variables = json!({ "oid": sha.as_str(), "after": cursor });
        let (_, _, found): (_, _, wire::AtCommit<wire::CommitChecks>) =
            self.repository(repo, documents::CHECKS, variables).await?;
        // There was a first page: "no checks" would be a lie.
        let rollup = found.commit.ok_or_else(gone)?.status_check_rollup.ok_or_else(gone)?;
        map::checks(rollup, &mut map::Words::default())
    }

    pub(super) async fn commit(&self, repo: &Repo, sha: CommitSha) -> Result<Option<CommitFacts>, UpstreamError> {
        let variables = json!({ "oid": sha.as_str() });
        let (_, _, found): (_, _, wire::AtCommit<wire::Facts>) =
            self.repository(repo, documents::COMMIT, variables).await?;
        found.commit.map(map::facts).transpose().map(Option::flatten)
    }

    /// Whether one commit is reachable from the other; `None` if GitHub does not know both.
    pub(super) async fn is_ancestor(
        &self,
        repo: &Repo,
        ancestor: CommitSha,
        descendant: CommitSha,
    ) -> Result<Option<bool>, UpstreamError> {
        #[derive(serde::Deserialize)]
        struct Comparison {
            status: String,
        }
        let path = self.sender.rest(&format!("/repos/{repo}/compare/{ancestor}...{descendant}?per_page=1"));
        let outcome = self.sender.send_for(&self.authority, repo, Resource::Core, &Call::get(path)).await;
        self.failing.note(repo, outcome.as_ref().err(), self.sender.now());
        let (answer, _) = outcome?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let comparison: Comparison =
            serde_json::from_slice(&answer.body).map_err(|_| malformed("its comparison makes no sense"))?;
        match comparison.status.as_str() {
            "ahead" | "identical" => Ok(Some(true)),
            "behind" | "diverged" => Ok(Some(false)),
            _ => Err(malformed("its comparison makes no sense")),
        }
    }

    /// Asks about a repository, and remembers whether that failed.
    async fn repository<R: DeserializeOwned>(
        &self,
        repo: &Repo,
        document: &str,
        variables: Value,
    ) -> Result<(Answer, Grant, R), UpstreamError> {
        let outcome = self.whole(repo, document, variables).await;
        self.failing.note(repo, outcome.as_ref().err(), self.sender.now());
        outcome
    }

    /// Asks about a repository, and believes only an answer that is whole.
    async fn whole<R: DeserializeOwned>(
        &self,
        repo: &Repo,
        document: &str,
        variables: Value,
    ) -> Result<(Answer, Grant, R), UpstreamError> {
        let (answer, grant, faults) = self.graphql(repo, document, variables).await?;
        for fault in &faults {
            tracing::debug!(kind = ?fault.kind, path = ?fault.path, message = fault.message, "GitHub reports an error");
        }
        match envelope::judge(&faults, repo) {
            Meaning::Limit => return Err(grant.credential.limited(Resource::Graphql, &answer)),
            Meaning::Failure(error) => return Err(error),
            Meaning::Tolerable => {}
        }
        let repository = repository(&answer.body, repo)?;
        Ok((answer, grant, repository))
    }

    /// Sends a document; the faults of its answer are left to judge, data or not.
    pub(super) async fn graphql(
        &self,
        repo: &Repo,
        document: &str,
        mut variables: Value,
    ) -> Result<(Answer, Grant, Vec<Fault>), UpstreamError> {
        if let Value::Object(variables) = &mut variables {
            variables.insert("owner".to_owned(), repo.owner().into());
            variables.insert("name".to_owned(), repo.name().into());
        }
        let call = self.sender.graphql(json!({ "query": document, "variables": variables }).to_string());
        let (answer, grant) = self.sender.send_for(&self.authority, repo, Resource::Graphql, &call).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(malformed("there is no GraphQL API at its address; check `github.api`"));
        }
        let (has_data, faults) = envelope::faults(&answer.body)?;
        if !has_data && faults.is_empty() {
            return Err(malformed("its answer has neither data nor errors"));
        }
        Ok((answer, grant, faults))
    }
}

/// The repository in an answer whose faults were judged.
pub(super) fn repository<R: DeserializeOwned>(body: &[u8], repo: &Repo) -> Result<R, UpstreamError> {
    let root: wire::Root<R> = envelope::data(body)?;
    root.repository.ok_or_else(|| no_repository(repo))
}

pub(super) fn by_number(answer: &Answer, found: &mut wire::PullRepository) -> Result<Snapshot, UpstreamError> {
    of_pull(answer, &found.identity, found.pull.take(), &mut Mapper::default())
}

fn of_pull(
    answer: &Answer,
    identity: &wire::Identity,
    pull: Option<wire::WholePull>,
    mapper: &mut Mapper,
) -> Result<Snapshot, UpstreamError> {
    let pull = pull.map(|whole| {
        let mut pull = map::pull(&whole.pull)?;
        mapper.walk(&mut pull, whole.walk)?;
        Ok::<_, UpstreamError>(pull)
    });
    Ok(Snapshot {
        began: answer.sent,
        github_time: answer.date,
        repository: map::repository(identity)?,
        own_branch: None,
        pulls: pull.transpose()?.into_iter().collect(),
        named: answer.sent,
        more_pulls: false,
    })
}

pub(super) fn by_branch(answer: &Answer, found: &mut wire::BranchRepository) -> Result<Snapshot, UpstreamError> {
    let mut mapper = Mapper::default();
    let own_branch = found.branch.take().map(|branch| mapper.tip(branch.target)).transpose()?;
    let mut pulls = found.pulls.nodes.iter().map(map::pull).collect::<Result<Vec<_>, _>>()?;
    for walked in found.walked.nodes.drain(..) {
        // Both lists are of one instant, but nothing promises it: a pull request without its scalars is left out,
        // commits of another head than its own are not its commits.
        let known = pulls.iter_mut().find(|pull| pull.number == walked.number);
        if let Some(pull) = known.filter(|pull| pull.head == walked.head_ref_oid.0) {
            mapper.walk(pull, walked.walk)?;
        }
    }
    pulls.sort_by_key(|pull| pull.number);
    Ok(Snapshot {
        began: answer.sent,
        github_time: answer.date,
        repository: map::repository(&found.identity)?,
        own_branch,
        pulls,
        named: answer.sent,
        more_pulls: found.pulls.page_info.has_next_page,
    })
}

/// Refuses to believe an absence of checks from a credential that would not see them.
///
/// GitHub does not always say so by an error: a private repository's roll-up may just be empty, or hold statuses alone.
fn reads_checks(grant: &Grant, identity: &wire::Identity, snapshot: &Snapshot) -> Result<(), UpstreamError> {
    if !identity.is_private {
        return Ok(());
    }
    if let Some(permissions) = &grant.permissions {
        for (name, hint) in [("checks", CHECKS_HINT), ("statuses", STATUSES_HINT)] {
            if !permissions.contains_key(name) {
                return Err(UpstreamError::new(SERVICE, Kind::Forbidden, hint));
            }
        }
    }
    let walked = snapshot.pulls.iter().filter_map(|pull| pull.commits.as_ref());
    let mut commits = snapshot.own_branch.iter().map(|tip| &tip.commits).chain(walked).flat_map(|some| &some.loaded);
    // Should GitHub ever give fine-grained tokens this permission, one check run is proof of it.
    let mut proven = || commits.any(|commit| commit.checks.iter().any(|check| check.source != Source::Status));
    if grant.token.expose().starts_with(FINE_GRAINED) && !proven() {
        return Err(UpstreamError::new(SERVICE, Kind::Forbidden, CHECKS_HINT));
    }
    Ok(())
}

/// Something that was there a moment ago.
fn gone() -> UpstreamError {
    unavailable("what was read a moment ago is gone")
}

//! GitHub's data as its documents ask for them; a `null` where none is expected fails the whole answer, and so does a
//! field that is not there where its `null` would mean "none".

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

use crate::domain::{CommitSha, NameError};

/// An object name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Oid(pub(super) CommitSha);

impl TryFrom<String> for Oid {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) DateTime<Utc>);

impl TryFrom<String> for Time {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(&text).map(|time| Self(time.to_utc()))
    }
}

/// A value or `null`, which must be there: what was left out on the way is not "none".
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// `data` of every document that asks about one repository.
#[derive(Debug, Deserialize)]
pub(super) struct Root<R> {
    #[serde(deserialize_with = "nullable", bound(deserialize = "R: Deserialize<'de>"))]
    pub(super) repository: Option<R>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) database_id: u64,
    pub(super) name_with_owner: String,
    pub(super) is_private: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRepository {
    #[serde(flatten)]
    pub(super) identity: Identity,
    #[serde(deserialize_with = "nullable")]
    pub(super) pull: Option<WholePull>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchRepository {
    #[serde(flatten)]
    pub(super) identity: Identity,
    #[serde(deserialize_with = "nullable")]
    pub(super) branch: Option<Ref>,
    pub(super) pulls: Pulls,
    pub(super) walked: Nodes<WalkedPull>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ref {
    pub(super) target: Target,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) oid: Oid,
    pub(super) history: Forwards<Commit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pulls {
    pub(super) nodes: Vec<Pull>,
    #[serde(rename = "pageInfo")]
    pub(super) page_info: HasNext,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HasNext {
    pub(super) has_next_page: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) state: String,
    pub(super) is_cross_repository: bool,
    pub(super) head_ref_name: String,
    pub(super) head_ref_oid: Oid,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WalkedPull {
    pub(super) number: u64,
    pub(super) head_ref_oid: Oid,
    #[serde(flatten)]
    pub(super) walk: Walk,
}

#[derive(Debug, Deserialize)]
pub(super) struct WholePull {
    #[serde(flatten)]
    pub(super) pull: Pull,
    #[serde(flatten)]
    pub(super) walk: Walk,
}

/// A page of open pull requests; one that is gone while it is listed is a `null`.
#[derive(Debug, Deserialize)]
pub(super) struct ListedRepository {
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) pulls: Forwards<Option<ListedPull>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedPull {
    #[serde(flatten)]
    pub(super) pull: Pull,
    #[serde(deserialize_with = "nullable")]
    pub(super) potential_merge_commit: Option<Merge>,
    pub(super) commits: Backwards<ListedCommit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListedCommit {
    pub(super) commit: ListedHead,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedHead {
    pub(super) oid: Oid,
    #[serde(deserialize_with = "nullable")]
    pub(super) status_check_rollup: Option<ListedRollup>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListedRollup {
    pub(super) state: String,
}

/// Some pull requests by their aliases.
#[derive(Debug, Deserialize)]
pub(super) struct ManyPulls {
    #[serde(flatten)]
    pub(super) identity: Identity,
    #[serde(flatten)]
    pub(super) pulls: HashMap<String, Option<WholePull>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Walk {
    #[serde(deserialize_with = "nullable")]
    pub(super) potential_merge_commit: Option<Merge>,
    pub(super) commits: Backwards<PullCommit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Merge {
    pub(super) oid: Oid,
    pub(super) parents: Nodes<Parent>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullCommit {
    pub(super) commit: Commit,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullPage {
    #[serde(deserialize_with = "nullable")]
    pub(super) pull: Option<PullCommits>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullCommits {
    pub(super) commits: Backwards<PullCommit>,
}

/// `object(oid)` of which a commit's fields were asked for; another object has none of them.
#[derive(Debug, Deserialize)]
pub(super) struct AtCommit<C> {
    #[serde(deserialize_with = "nullable", bound(deserialize = "C: Deserialize<'de>"))]
    pub(super) commit: Option<C>,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    pub(super) history: Forwards<Commit>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Commit {
    pub(super) oid: Oid,
    pub(super) parents: Nodes<Parent>,
    #[serde(deserialize_with = "nullable")]
    pub(super) status_check_rollup: Option<Rollup>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Parent {
    pub(super) oid: Oid,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitChecks {
    #[serde(deserialize_with = "nullable")]
    pub(super) status_check_rollup: Option<Rollup>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rollup {
    pub(super) contexts: Forwards<Context>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    /// Missing where the object is no commit.
    pub(super) oid: Option<Oid>,
    pub(super) parents: Option<Nodes<Parent>>,
    pub(super) message: Option<String>,
    pub(super) committer: Option<Actor>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Actor {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Nodes<T> {
    pub(super) nodes: Vec<T>,
}

/// A connection that is read from its beginning.
#[derive(Debug, Deserialize)]
pub(super) struct Forwards<T> {
    pub(super) nodes: Vec<T>,
    #[serde(rename = "pageInfo")]
    page_info: Onwards,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Onwards {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<T> Forwards<T> {
    /// Where it goes on; `Err` if there is more but no way to it.
    pub(super) fn more(&mut self) -> Result<Option<String>, NoCursor> {
        cursor(self.page_info.has_next_page, self.page_info.end_cursor.take())
    }
}

/// A connection that is read from its end.
#[derive(Debug, Deserialize)]
pub(super) struct Backwards<T> {
    pub(super) nodes: Vec<T>,
    #[serde(rename = "pageInfo")]
    page_info: Back,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Back {
    has_previous_page: bool,
    start_cursor: Option<String>,
}

impl<T> Backwards<T> {
    /// Where it goes on; `Err` if there is more but no way to it.
    pub(super) fn more(&mut self) -> Result<Option<String>, NoCursor> {
        cursor(self.page_info.has_previous_page, self.page_info.start_cursor.take())
    }
}

/// There is more, but GitHub did not say where.
#[derive(Debug)]
pub(super) struct NoCursor;

fn cursor(more: bool, cursor: Option<String>) -> Result<Option<String>, NoCursor> {
    match (more, cursor) {
        (false, _) => Ok(None),
        (true, Some(cursor)) => Ok(Some(cursor)),
        (true, None) => Err(NoCursor),
    }
}

/// A context of a roll-up.
#[derive(Debug, Deserialize)]
#[serde(tag = "__typename")]
pub(super) enum Context {
    CheckRun(CheckRun),
    StatusContext(StatusContext),
    /// What GitHub may add one day.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckRun {
    pub(super) database_id: Option<u64>,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) started_at: Option<Time>,
    pub(super) completed_at: Option<Time>,
    pub(super) check_suite: CheckSuite,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckSuite {
    pub(super) created_at: Time,
    pub(super) app: Option<App>,
    /// Only GitHub Actions has one, and only who may read Actions sees it.
    pub(super) workflow_run: Option<WorkflowRun>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct App {
    pub(super) database_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WorkflowRun {
    pub(super) event: String,
    pub(super) workflow: Workflow,
}

#[derive(Debug, Deserialize)]
pub(super) struct Workflow {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusContext {
    pub(super) context: String,
    pub(super) state: String,
    pub(super) created_at: Time,
}

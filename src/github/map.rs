//! From GitHub's data to the domain's.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    ChecksPage,
    transport::{Answer, malformed},
    wire::{self, Context},
};
use crate::{
    domain::{Check, CheckState, Commit, CommitFacts, CommitSha, Commits, Listed, Pull, Repository, Source, Tip},
    upstream::UpstreamError,
};

impl From<wire::NoCursor> for UpstreamError {
    fn from(_: wire::NoCursor) -> Self {
        malformed("its answer has more pages but no way to them")
    }
}

/// Maps commits; one that is met twice in an answer is kept once.
#[derive(Default)]
pub(super) struct Mapper {
    seen: HashMap<CommitSha, Arc<Commit>>,
    words: Words,
}

/// Words that an answer says again and again, each kept once.
#[derive(Default)]
pub(super) struct Words(HashSet<Arc<str>>);

impl Words {
    fn one(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let word: Arc<str> = word.into();
        self.0.insert(Arc::clone(&word));
        word
    }
}

impl Mapper {
    pub(super) fn tip(&mut self, target: wire::Target) -> Result<Tip, UpstreamError> {
        Ok(Tip { head: target.oid.0, commits: self.history(target.history)? })
    }

    pub(super) fn history(&mut self, mut history: wire::Forwards<wire::Commit>) -> Result<Commits, UpstreamError> {
        let more = history.more()?;
        let loaded = history.nodes.into_iter().map(|commit| self.commit(commit)).collect::<Result<Vec<_>, _>>()?;
        Ok(Commits { loaded: snug(loaded), more })
    }

    pub(super) fn own_commits(
        &mut self,
        mut commits: wire::Backwards<wire::PullCommit>,
    ) -> Result<Commits, UpstreamError> {
        let more = commits.more()?;
        let loaded = commits.nodes.into_iter().map(|node| self.commit(node.commit)).collect::<Result<Vec<_>, _>>()?;
        Ok(Commits { loaded: snug(loaded), more })
    }

    pub(super) fn walk(&mut self, pull: &mut Pull, walk: wire::Walk) -> Result<(), UpstreamError> {
        pull.test_merge = walk.potential_merge_commit.and_then(|merge| test_merge(&merge, pull.head));
        pull.commits = Some(self.own_commits(walk.commits)?);
        Ok(())
    }

    fn commit(&mut self, commit: wire::Commit) -> Result<Arc<Commit>, UpstreamError> {
        let sha = commit.oid.0;
        let page = commit.status_check_rollup.map(|rollup| checks(rollup, &mut self.words)).transpose()?;
        let page = page.unwrap_or_default();
        let parents = parents(&commit.parents);
        let commit = Arc::new(Commit { sha, parents, checks: page.checks, more_checks: page.more });
        match self.seen.get(&sha) {
            Some(seen) if *seen == commit => Ok(Arc::clone(seen)),
            _ => {
                self.seen.insert(sha, Arc::clone(&commit));
                Ok(commit)
            }
        }
    }
}

pub(super) fn repository(identity: &wire::Identity) -> Result<Repository, UpstreamError> {
    let name = identity.name_with_owner.parse().map_err(|_| malformed("its repository has no usable name"))?;
    Ok(Repository { id: identity.database_id, name })
}

/// A pull request by its scalars.
pub(super) fn pull(pull: &wire::Pull) -> Result<Pull, UpstreamError> {
    let branch = pull.head_ref_name.parse().map_err(|_| malformed("its pull request has no usable head branch"))?;
    Ok(Pull {
        number: pull.number,
        open: pull.state == "OPEN",
        from_fork: pull.is_cross_repository,
        branch,
        head: pull.head_ref_oid.0,
        test_merge: None,
        commits: None,
    })
}

/// GitHub goes on naming the last merge it could make; only one of this very head is its test merge.
fn test_merge(merge: &wire::Merge, head: CommitSha) -> Option<CommitSha> {
    let second = merge.parents.nodes.get(1).map(|parent| parent.oid.0);
    (second == Some(head)).then_some(merge.oid.0)
}

/// A pull request of a page.
pub(super) fn listed(mut listed: wire::ListedPull, answer: &Answer) -> Result<Listed, UpstreamError> {
    let mut pull = pull(&listed.pull)?;
    pull.test_merge = listed.potential_merge_commit.and_then(|merge| test_merge(&merge, pull.head));
    let more = listed.commits.more()?;
    // GitHub lists commits by their dates, so the last one need not be the head.
    let head = listed.commits.nodes.pop().map(|node| node.commit).filter(|commit| commit.oid.0 == pull.head);
    let state = head.and_then(|head| head.status_check_rollup).map(|rollup| rollup.state);
    let passed = state.as_deref() == Some("SUCCESS");
    Ok(Listed { pull, passed, more, began: answer.sent, github_time: answer.date })
}

pub(super) fn facts(facts: wire::Facts) -> Result<Option<CommitFacts>, UpstreamError> {
    let Some(sha) = facts.oid else { return Ok(None) };
    let (Some(linked), Some(message)) = (facts.parents, facts.message) else {
        return Err(malformed("its answer lacks something that was asked for"));
    };
    let by_github = facts.committer.is_some_and(|committer| {
        committer.name.as_deref() == Some("GitHub") && committer.email.as_deref() == Some("noreply@github.com")
    });
    let headline = message.lines().next().unwrap_or_default().to_owned();
    Ok(Some(CommitFacts { sha: sha.0, parents: parents(&linked), headline, by_github }))
}

pub(super) fn checks(mut rollup: wire::Rollup, words: &mut Words) -> Result<ChecksPage, UpstreamError> {
    let more = rollup.contexts.more()?;
    let checks = rollup.contexts.nodes.into_iter().map(|context| check(context, words)).collect();
    Ok(ChecksPage { checks: snug(checks), more })
}

/// Without room to grow. What is collected from a list of something larger has the whole room of that.
fn snug<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}

/// Three are asked for: a commit with more (an octopus merge) is told from an ordinary merge all the same.
fn parents(parents: &wire::Nodes<wire::Parent>) -> Vec<CommitSha> {
    parents.nodes.iter().map(|parent| parent.oid.0).collect()
}

fn check(context: Context, words: &mut Words) -> Check {
    match context {
        Context::CheckRun(run) => check_run(run, words),
        Context::StatusContext(status) => Check {
            source: Source::Status,
            state: match status.state.as_str() {
                "SUCCESS" => CheckState::Passed,
                "FAILURE" | "ERROR" => CheckState::Failed,
                _ => CheckState::Pending,
            },
            word: words.one(&status.state.to_ascii_lowercase()),
            name: words.one(&status.context),
            started_at: Some(status.created_at.0),
            changed_at: Some(status.created_at.0),
            id: 0,
        },
        Context::Unknown => Check {
            source: Source::Status,
            name: words.one("a check of an unknown kind"),
            state: CheckState::Pending,
            word: words.one("unknown"),
            started_at: None,
            changed_at: None,
            id: 0,
        },
    }
}

fn check_run(run: wire::CheckRun, words: &mut Words) -> Check {
    let completed = run.status == "COMPLETED";
    let conclusion = run.conclusion.as_deref().filter(|_| completed);
    let state = match conclusion {
        Some("SUCCESS") => CheckState::Passed,
        Some("SKIPPED" | "NEUTRAL") => CheckState::Skipped,
        Some("FAILURE" | "TIMED_OUT" | "CANCELLED" | "ACTION_REQUIRED" | "STARTUP_FAILURE") => CheckState::Failed,
        _ => CheckState::Pending,
    };
    let word = words.one(&conclusion.unwrap_or(&run.status).to_ascii_lowercase());
    let suite = run.check_suite;
    let started = run.started_at.map(|time| time.0);
    let created = suite.created_at.0;
    let run_of = suite.workflow_run.map(|run| (words.one(&run.workflow.name), words.one(&run.event)));
    let (workflow, event) = run_of.unzip();
    Check {
        source: Source::Run { app: suite.app.and_then(|app| app.database_id), workflow, event },
        name: words.one(&run.name),
        state,
        word,
        started_at: started.or_else(|| completed.then_some(created)),
        changed_at: run.completed_at.map(|time| time.0).or(started).or(Some(created)),
        id: run.database_id.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: &str, conclusion: &Value, started: &Value) -> Check {
        let run = json!({
            "__typename": "CheckRun", "databaseId": 41_000_000_000_u64, "name": "build", "status": status,
            "conclusion": conclusion, "startedAt": started, "completedAt": null,
            "checkSuite": { "createdAt": "2026-11-01T10:00:00Z", "app": { "databaseId": 15368 }, "workflowRun": null },
        });
        check(serde_json::from_value(run).unwrap(), &mut Words::default())
    }

    #[test]
    fn what_was_left_out_is_not_none() {
        let read = |commit: Value| serde_json::from_value::<wire::Commit>(commit);
        let (oid, parents) = ("a".repeat(40), json!({ "nodes": [] }));
        let whole = json!({ "oid": oid, "parents": parents, "statusCheckRollup": null });
        assert!(read(whole).unwrap().status_check_rollup.is_none());
        assert!(read(json!({ "oid": oid, "parents": parents })).is_err());
        let identity = json!({ "databaseId": 1, "nameWithOwner": "a/b", "isPrivate": false });
        assert!(serde_json::from_value::<wire::PullRepository>(identity).is_err());
    }

    #[test]
    fn every_conclusion_has_its_state() {
        for (status, conclusion, state, word) in [
            ("COMPLETED", json!("SUCCESS"), CheckState::Passed, "success"),
            ("COMPLETED", json!("NEUTRAL"), CheckState::Skipped, "neutral"),
            ("COMPLETED", json!("SKIPPED"), CheckState::Skipped, "skipped"),
            ("COMPLETED", json!("FAILURE"), CheckState::Failed, "failure"),
            ("COMPLETED", json!("TIMED_OUT"), CheckState::Failed, "timed_out"),
            ("COMPLETED", json!("CANCELLED"), CheckState::Failed, "cancelled"),
            ("COMPLETED", json!("ACTION_REQUIRED"), CheckState::Failed, "action_required"),
            ("COMPLETED", json!("STARTUP_FAILURE"), CheckState::Failed, "startup_failure"),
            ("COMPLETED", json!("STALE"), CheckState::Pending, "stale"),
            ("COMPLETED", json!("WHATEVER"), CheckState::Pending, "whatever"),
            ("COMPLETED", json!(null), CheckState::Pending, "completed"),
            ("IN_PROGRESS", json!("SUCCESS"), CheckState::Pending, "in_progress"),
            ("WAITING", json!(null), CheckState::Pending, "waiting"),
            ("WHATEVER", json!(null), CheckState::Pending, "whatever"),
        ] {
            let check = run(status, &conclusion, &json!(null));
            assert_eq!((check.state, &*check.word), (state, word));
        }
    }

    #[test]
    fn a_queued_run_is_the_newest_and_a_completed_one_is_as_old_as_its_suite() {
        assert_eq!(run("QUEUED", &json!(null), &json!(null)).started_at, None);
        let completed = run("COMPLETED", &json!("SUCCESS"), &json!(null));
        assert_eq!(completed.started_at.unwrap().to_rfc3339(), "2026-11-01T10:00:00+00:00");
        assert_eq!(completed.id, 41_000_000_000);
    }

    #[test]
    fn statuses_and_unknown_contexts() {
        for (state, expected) in [
            ("SUCCESS", CheckState::Passed),
            ("PENDING", CheckState::Pending),
            ("EXPECTED", CheckState::Pending),
            ("FAILURE", CheckState::Failed),
            ("ERROR", CheckState::Failed),
            ("NEW", CheckState::Pending),
        ] {
            let status = json!({ "__typename": "StatusContext", "context": "ci", "state": state, "createdAt": "2026-11-01T10:00:00Z" });
            assert_eq!(
                check(serde_json::from_value(status).unwrap(), &mut Words::default()).state,
                expected,
                "{state}"
            );
        }
        let unknown = json!({ "__typename": "Oracle", "mood": "bad" });
        let unknown = check(serde_json::from_value(unknown).unwrap(), &mut Words::default());
        assert_eq!(unknown.state, CheckState::Pending);
    }
}

//! Pull requests.

use apollo_compiler::resolvers::ResolveInfo;
use serde_json::Value;

use super::repository::{branch, owner, state};
use super::{Connection, Context, Resolved, Thing, actor, checks, leaf, null, time};
use crate::world::{Commit, HeadRepository, Mergeability, Oid, Pull, PullState, Repository};

pub(super) fn pull<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    pull: &'w Pull,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    let head = context.world.github.head_repository(at, pull).filter(|head| context.access.sees(head));
    match info.field_name() {
        "id" => leaf(format!("PR_{}", pull.id)),
        "databaseId" => leaf(pull.id),
        "fullDatabaseId" => leaf(pull.id.to_string()),
        "number" => leaf(pull.number),
        "title" => leaf(pull.title.as_str()),
        "url" | "permalink" => leaf(format!("https://github.com/{}/pull/{}", at.full_name(), pull.number)),
        "state" => leaf(state(pull)),
        "closed" => leaf(pull.state != PullState::Open),
        "merged" => leaf(pull.state == PullState::Merged),
        "isDraft" => leaf(pull.draft),
        "author" => context.nullable(pull.author.as_deref().map(actor)),
        "createdAt" => leaf(pull.created_at.map(time)),
        "updatedAt" => leaf(pull.updated_at.map(time)),
        "repository" | "baseRepository" => context.object(Thing::Repository(at)),
        "headRefName" => leaf(pull.head.as_str()),
        "headRefOid" => leaf(&**pull.head_sha()),
        "headRef" => context.nullable(head.and_then(|head| branch(head, &pull.head))),
        "headRepository" => context.nullable(head.map(Thing::Repository)),
        "headRepositoryOwner" => context.nullable(head.map(|head| owner(&head.owner))),
        "isCrossRepository" => leaf(pull.head_repository != HeadRepository::Own),
        "baseRefName" => leaf(pull.base.as_str()),
        "baseRefOid" => leaf(pull.base_sha.as_deref()),
        "baseRef" => context.nullable(branch(at, &pull.base)),
        "mergeable" => leaf(match pull.mergeable {
            _ if pull.state != PullState::Open => "UNKNOWN",
            Mergeability::Mergeable => "MERGEABLE",
            Mergeability::Conflicting => "CONFLICTING",
            Mergeability::Unknown => "UNKNOWN",
        }),
        "potentialMergeCommit" => {
            let merge = pull.test_merge.as_ref().filter(|_| pull.state != PullState::Merged);
            context.nullable(merge.and_then(|oid| context.commit(at, oid)))
        }
        "mergeCommit" => context.nullable(pull.merge_commit.as_ref().and_then(|oid| context.commit(at, oid))),
        "statusCheckRollup" => match context.world.github.commit(at, pull.head_sha()) {
            Some((oid, _)) => checks::rollup_of(context, at, oid),
            None => null(),
        },
        "commits" => Connection::resolve(
            context,
            info,
            ("PullRequestCommitConnection", "PullRequestCommitEdge"),
            context.world.github.pull_commits(at, pull),
            |oid| {
                let (oid, commit) = context.world.github.commit(at, &oid).expect("history holds commits that exist");
                Thing::PullCommit(at, pull, oid, commit)
            },
            Vec::new(),
        ),
        _ => context.unknown("PullRequest", info),
    }
}

pub(super) fn pull_commit<'w>(
    context: &'w Context<'w>,
    at: &'w Repository,
    pull: &'w Pull,
    oid: &'w Oid,
    commit: &'w Commit,
    info: &ResolveInfo<'_>,
) -> Resolved<'w> {
    match info.field_name() {
        "id" => leaf(Value::String(format!("PURC_{}_{oid}", pull.id))),
        "commit" => context.object(Thing::Commit(at, oid, commit)),
        "pullRequest" => context.object(Thing::Pull(at, pull)),
        _ => context.unknown("PullRequestCommit", info),
    }
}

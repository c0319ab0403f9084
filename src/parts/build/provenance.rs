//! What an image says it was built from: the commit itself, or GitHub's test merge of it.
//!
//! CI on `pull_request` builds GitHub's test merge of head and base by default, and labels the image with it. Such a
//! revision counts as the head that was merged; every other commit that is not on the walk is foreign.

use super::{
    considered::{Found, Look},
    images::{ImageFinder, Origin, Tagged, Wanted, context, render, yes},
};
use crate::{
    clock::Moment,
    domain::{CommitSha, Digest, Names},
    registry::Presence,
    upstream::UpstreamError,
};

impl ImageFinder {
    /// Whether an image with this revision was built from `origin`.
    pub(super) async fn built_from(
        &self,
        revision: &str,
        digest: &Digest,
        origin: Origin,
        wanted: &Wanted<'_>,
    ) -> Result<Tagged, UpstreamError> {
        let Ok(revision) = revision.parse::<CommitSha>() else {
            return Ok(Found::Other("was built from something that is no commit".to_owned()).into());
        };
        let commit = wanted.green.commit();
        if wanted.chain.contains(revision) {
            // A revision on the walk counts as itself, even where it is a merge.
            return Ok(if revision == commit && origin == Origin::Head {
                yes(digest).into()
            } else {
                Found::Other(format!("was built from {}", revision.short(7))).into()
            });
        }
        let Some(head) = self.head_of_test_merge(revision, wanted).await? else {
            return Ok(Found::Other(format!("was built from {}, which is not on the walk", revision.short(7))).into());
        };
        let found = if head == commit && origin == Origin::TestMerge(revision) {
            yes(digest)
        } else {
            Found::Other(format!("was built from {}, a test merge of {}", revision.short(7), head.short(7)))
        };
        Ok(Tagged { found, believed: false, test_merge: (head == commit).then_some(revision) })
    }

    /// The head that `revision` is a test merge of, if it is one of a commit on the walk.
    async fn head_of_test_merge(
        &self,
        revision: CommitSha,
        wanted: &Wanted<'_>,
    ) -> Result<Option<CommitSha>, UpstreamError> {
        // Only a pull request has test merges.
        let Some(number) = wanted.number else { return Ok(None) };
        if let Some(head) = self.ledger.head_of_merge(wanted.repository.id, number, revision) {
            return Ok(Some(head));
        }
        let Some(facts) = self.github.commit(&wanted.repository.name, revision).await? else { return Ok(None) };
        let &[base, head] = facts.parents.as_slice() else { return Ok(None) };
        let test_merge = facts.by_github && facts.headline == format!("Merge {head} into {base}");
        Ok((test_merge && wanted.chain.contains(head)).then_some(head))
    }

    /// Where a tag of the commit is absent for longer, looks whether the workflow tags the test merge instead.
    pub(super) async fn hint_at_test_merges(&self, wanted: &Wanted<'_>, merges: &[CommitSha], looks: &mut [Look]) {
        let Some(&merge) = merges.first() else { return };
        for spec in &self.specs {
            for (name, template) in &spec.candidates {
                if template.names() != Names::Head {
                    continue;
                }
                let Some(Ok(tag)) = render(template, Origin::Head, wanted) else { continue };
                let reference = format!("{name}:{tag}");
                let Some(look) =
                    looks.iter_mut().find(|look| look.reference == reference && look.found == Found::Absent)
                else {
                    continue;
                };
                let Ok(Presence::Absent { seen_at }) = self.registries.resolve(name, &tag, Moment::START).await else {
                    continue;
                };
                // A build that is merely late should not cost a request more.
                if !self.sightings.stays_away(name, &tag, seen_at) && !wanted.patience.thorough {
                    continue;
                }
                let Ok(other) = template.render(&context(&merge, None, wanted)) else { continue };
                if let Ok(Some(_)) = self.resolve(name, &other, wanted.patience.guess_since()).await {
                    look.found = Found::OnlyTestMerge { reference: format!("{name}:{other}") };
                }
            }
        }
    }
}

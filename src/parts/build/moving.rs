//! Tags that move: what such a tag names now, and what that was built from.
//!
//! A look is believed for as long as it can be: where the image says that it is the wanted commit's, until CI says
//! something more about that commit; where it is absent or another's, as long as an absence is.

use super::{
    considered::Found,
    images::{ImageFinder, Origin, Tagged, Wanted, incomplete, yes},
};
use crate::{
    domain::{Digest, ImageName, Tag},
    registry::Presence,
    upstream::{Kind, UpstreamError},
};

impl ImageFinder {
    /// Whether a tag that moves is there and was built from `origin`, and whether that was believed without proof.
    pub(super) async fn look_up_moving(
        &self,
        name: &ImageName,
        tag: &Tag,
        origin: Origin,
        wanted: &Wanted<'_>,
    ) -> Result<Tagged, UpstreamError> {
        let patience = wanted.patience;
        let mut since = patience.safely_since();
        loop {
            let (tagged, seen_at) = match self.registries.resolve(name, tag, since).await? {
                Presence::Absent { seen_at } => (None, seen_at),
                Presence::Found { digest, seen_at } => {
                    (Some(self.labelled(name, &digest, origin, wanted).await?), seen_at)
                }
            };
            let due = match &tagged {
                // Nothing but the order of the reads speaks for it.
                Some(Tagged { believed: true, .. }) => patience.unproven_since().max(wanted.began),
                // It is what it should be; only CI can make it anything else.
                Some(Tagged { found: Found::Yes { .. }, .. }) if patience.is_quiet_since(seen_at) => since,
                Some(_) | None => patience.moving_since(),
            };
            if seen_at >= due {
                return Ok(match tagged {
                    Some(tagged) => tagged,
                    None => self.absent(name).await.into(),
                });
            }
            since = due;
        }
    }

    /// What a moving tag that is there was built from, as its image says.
    async fn labelled(
        &self,
        name: &ImageName,
        digest: &Digest,
        origin: Origin,
        wanted: &Wanted<'_>,
    ) -> Result<Tagged, UpstreamError> {
        let labels = match self.registries.labels(name, digest).await {
            Ok(labels) => labels,
            // Somebody has cleaned up a part of the image: that is no build, and nobody else's problem.
            Err(error) if error.kind == Kind::NotFound => {
                return Ok(incomplete(&error).into());
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = &labels.unusable {
            return Ok(Found::Other(format!("cannot be used: {why}")).into());
        }
        match labels.revision.clone() {
            None if self.trust_head && wanted.is_head && origin == Origin::Head => {
                Ok(Tagged { found: yes(digest), believed: true, test_merge: None })
            }
            None => Ok(Found::Unlabelled.into()),
            Some(revision) => self.built_from(&revision, digest, origin, wanted).await,
        }
    }
}

//! What was pushed to the registry, in the oracle's own words: which digest was built from what.

use std::{collections::HashMap, rc::Rc};

use crate::{
    hub::{Hub, Line, Sha},
    rules::{IMAGES, Tags},
};

/// What an image was built from: the commit itself, or a test merge of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Head,
    Merge(Sha),
}

/// One pushed image.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// Which one of [`IMAGES`].
    pub(crate) image: usize,
    pub(crate) commit: Sha,
    pub(crate) origin: Origin,
    /// Whether its label says so.
    pub(crate) labelled: bool,
}

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) digests: HashMap<String, Built>,
    pub(crate) tags: HashMap<(usize, String), String>,
}

impl Shelf {
    /// Notes an image that was pushed.
    pub(crate) fn put(&mut self, tag: &str, digest: String, built: Built) {
        self.tags.insert((built.image, tag.to_owned()), digest.clone());
        self.digests.insert(digest, built);
    }

    fn at(&self, image: usize, tag: &str) -> Option<&Built> {
        self.digests.get(self.tags.get(&(image, tag.to_owned()))?)
    }

    /// Whether a tag leads to this commit's build of this origin, for every image.
    fn all(&self, tag: &str, commit: &Sha, origin: &Origin) -> bool {
        (0..IMAGES.len())
            .all(|image| self.at(image, tag).is_some_and(|built| built.commit == *commit && built.origin == *origin))
    }

    /// Whether all images of a commit can be found by whoever looks now. `seen` tells which test merges were seen for
    /// sure: one that was not cannot be found by its tag after the base has moved.
    pub(crate) fn complete(
        &self,
        tags: Tags,
        hub: &Hub,
        line: &Line,
        commit: &Sha,
        seen: impl Fn(&Sha) -> bool,
    ) -> bool {
        let merges = &hub.commit(commit).merges;
        match (tags, line) {
            (Tags::Sha, _) | (Tags::ShaOrMerge, Line::Branch(_)) => {
                self.all(&format!("sha-{commit}"), commit, &Origin::Head)
            }
            (Tags::ShaOrMerge, Line::Pull(number)) => {
                let pull = &hub.pulls[number];
                let shown = |merge: &Sha| {
                    pull.open && pull.head == *commit && pull.merge.as_ref().is_some_and(|(now, _)| now == merge)
                };
                // Of many test merges only the first and the four newest are tried.
                let found = |merge: &Sha| {
                    merges.len() <= 5
                        && (shown(merge) || seen(merge))
                        && self.all(&format!("sha-{merge}"), commit, &Origin::Merge(Rc::clone(merge)))
                };
                self.all(&format!("sha-{commit}"), commit, &Origin::Head) || merges.iter().any(found)
            }
            (Tags::Moving, Line::Branch(_)) => false,
            (Tags::Moving, Line::Pull(number)) => {
                let tag = format!("pr-{number}");
                let proven = |built: &Built| {
                    built.labelled
                        && match &built.origin {
                            Origin::Head => true,
                            Origin::Merge(merge) => merges.contains(merge),
                        }
                };
                self.at(0, &tag).is_some_and(|front| proven(front) && self.all(&tag, commit, &front.origin))
                    && self.at(1, &tag).is_some_and(proven)
            }
        }
    }
}

//! What is answered, and why nothing else can be.
//!
//! A [`Build`] is made from a [`GreenBuild`] and complete [`Images`], an item from a build, an empty list only for one of
//! the reasons in [`WhyNothing`], and a [`List`] from what sources said. There is no other way to an [`Answer`].

use std::{collections::BTreeMap, fmt};

use super::{CommitSha, Digest, GreenBuild, ImageName, List, Tag};

/// One image of a build, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its repository.
    pub image: ImageName,
    /// The tag that led to it.
    pub tag: Tag,
    /// Its digest (of the index, where there is one).
    pub digest: Digest,
    /// Those of its labels and annotations that the outputs use.
    pub labels: BTreeMap<String, String>,
    /// The commit that it was built from. All images of a build share it; kept apart because an image may one day
    /// come from an ancestor that left its sources unchanged.
    pub built_from: CommitSha,
}

/// Every image that the configuration wants, by its key. Never empty, never partial. In the order of the keys: there are
/// few of them, and as many of these as there are lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images(Box<[(Box<str>, BuiltImage)]>);

impl Images {
    /// The images, if each of `wanted` was found and there is at least one.
    pub fn complete<'a>(
        wanted: impl IntoIterator<Item = &'a str>,
        found: BTreeMap<String, BuiltImage>,
    ) -> Option<Self> {
        let all = wanted.into_iter().all(|key| found.contains_key(key));
        if all { Self::recorded(found) } else { None }
    }

    /// The images of a build that was recorded, perhaps under another configuration, if there is at least one.
    pub(crate) fn recorded(images: BTreeMap<String, BuiltImage>) -> Option<Self> {
        let images: Box<[_]> = images.into_iter().map(|(key, image)| (key.into(), image)).collect();
        (!images.is_empty()).then_some(Self(images))
    }

    /// These with others in the place of their own of the same keys.
    fn with(&self, others: impl IntoIterator<Item = (Box<str>, BuiltImage)>) -> Self {
        let mut all: BTreeMap<_, _> = self.0.iter().cloned().collect();
        all.extend(others);
        Self(all.into_iter().collect())
    }

    /// The image with that key.
    pub fn get(&self, key: &str) -> Option<&BuiltImage> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All images by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BuiltImage)> {
        self.0.iter().map(|(key, image)| (&**key, image))
    }
}

/// The last green build: a commit that was seen green, and all its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    commit: CommitSha,
    test_merge: Option<CommitSha>,
    images: Images,
}

impl Build {
    /// The build of a green commit, or of one of its test merges.
    pub fn new(green: GreenBuild, test_merge: Option<CommitSha>, images: Images) -> Self {
        Self { commit: green.commit(), test_merge, images }
    }

    /// A build that was recorded, when its commit had been seen green.
    pub(crate) fn recorded(commit: CommitSha, test_merge: Option<CommitSha>, images: Images) -> Self {
        Self { commit, test_merge, images }
    }

    /// Whether `other` is this build, save that this one may have more images.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_of(other) && other.images.iter().all(|(key, image)| self.images.get(key) == Some(image))
    }

    /// This build with these images in the place of its own of the same keys.
    #[must_use]
    pub(crate) fn with_images(&self, images: BTreeMap<String, BuiltImage>) -> Self {
        let images = images.into_iter().map(|(key, image)| (key.into(), image));
        Self { images: self.images.with(images), ..*self }
    }

    /// This build with those images of `other` that it lacks, if they are of the same one.
    #[must_use]
    pub fn with_more_of(&self, other: &Self) -> Self {
        if !self.is_of(other) {
            return self.clone();
        }
        Self { images: other.images.with(self.images.0.iter().cloned()), ..*self }
    }

    /// Whether both are of the same commit, and of the same test merge of it.
    fn is_of(&self, other: &Self) -> bool {
        (self.commit, self.test_merge) == (other.commit, other.test_merge)
    }

    /// The commit.
    pub fn commit(&self) -> CommitSha {
        self.commit
    }

    /// The test merge of that commit which the images were built from, if it was one.
    pub fn test_merge(&self) -> Option<CommitSha> {
        self.test_merge
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.images
    }
}

/// One item of the answer: every key of the generator, every value a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item(BTreeMap<String, String>);

impl Item {
    /// The item with these values, rendered from a build.
    pub(crate) fn rendered(_from: &Build, values: BTreeMap<String, String>) -> Self {
        Self(values)
    }

    /// Keys and values.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// How an answer stands to what the upstreams say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The item is the last green build.
    Fresh,
    /// The item was answered before and is kept.
    Held,
    /// There is nothing yet, the upstreams say.
    NotYet,
    /// The upstreams could not say.
    Unknown,
}

impl Standing {
    /// The word for headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Held => "held",
            Self::NotYet => "not-yet",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an empty list, which deletes a preview, is the right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNothing {
    /// Nothing was ever answered for the line, and the upstreams say that there is nothing.
    NotYet,
    /// Nothing was ever answered for the line, the ledger is trusted to know that, and the upstreams cannot say.
    NeverAnswered,
    /// The generator's `hold` ended.
    HoldEnded,
    /// The pull request comes from a fork, and the generator refuses forks.
    ForkRefused,
}

/// What Argo CD gets: one item, or deliberately none; or what sources said, in which that is nothing special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One item.
    Item {
        /// The item.
        item: Item,
        /// Fresh or held.
        standing: Standing,
        /// The commit of its digests.
        commit: CommitSha,
        /// What was passed over and why; stable text.
        reason: String,
    },
    /// What sources said, with the item of a build where there is one.
    List {
        /// The items.
        list: List,
        /// Fresh or held.
        standing: Standing,
        /// The commit of the build.
        commit: Option<CommitSha>,
        /// What could not be said, or was passed over, and why; stable text.
        reason: String,
    },
    /// The empty list.
    Nothing {
        /// Why this is right.
        why: WhyNothing,
        /// What was considered and why it was not enough; stable text.
        reason: String,
    },
}

impl Answer {
    /// How the answer stands.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Item { standing, .. } | Self::List { standing, .. } => *standing,
            Self::Nothing { why: WhyNothing::NeverAnswered, .. } => Standing::Unknown,
            Self::Nothing { .. } => Standing::NotYet,
        }
    }

    /// The reason for people.
    pub fn reason(&self) -> &str {
        match self {
            Self::Item { reason, .. } | Self::List { reason, .. } | Self::Nothing { reason, .. } => reason,
        }
    }
}

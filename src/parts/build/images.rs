//! Which images belong to a green commit.
//!
//! Candidates are whole sets: all images of the commit itself, or all of one of its test merges; never a mixture.
//! Within a set each image's templates are tried in order. A tag that names a commit says by itself to which set it
//! belongs; a moving tag is asked what it was built from, and belongs to the set that its revision label names.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;

use super::{
    considered::{Found, Look},
    patience::Patience,
    sightings::Sightings,
};
use crate::{
    clock::Moment,
    domain::{
        Branch, Build, BuiltImage, Chain, CommitSha, Digest, GreenBuild, ImageName, ImageSpec, Images, Names, Tag,
        TagContext, TagTemplate,
    },
    github::GitHub,
    ledger::Ledger,
    registry::{Presence, Registries},
    upstream::{Kind, UpstreamError},
};

/// Looks up the images of commits.
pub(super) struct ImageFinder {
    pub(super) specs: Vec<ImageSpec>,
    /// Label names that the outputs need, by image key.
    pub(super) labels: BTreeMap<String, Vec<String>>,
    /// Whether a moving tag without a revision is believed to be the head's.
    pub(super) trust_head: bool,
    pub(super) registries: Arc<Registries>,
    pub(super) github: Arc<GitHub>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sightings: Arc<Sightings>,
}

/// The commit that images are wanted of, and its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) green: GreenBuild,
    pub(super) repository: &'a crate::domain::Repository,
    pub(super) chain: &'a Chain,
    pub(super) branch: &'a Branch,
    pub(super) number: Option<u64>,
    pub(super) is_head: bool,
    pub(super) recorded: Option<&'a Build>,
    /// How old a look at what is absent or moving may be.
    pub(super) patience: Patience,
    /// When GitHub was asked for the head: a tag that is believed to be the head's must have been read later.
    pub(super) began: Moment,
}

/// What the look-up came to.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) result: Outcome,
    pub(super) looks: Vec<Look>,
    /// Whether a moving tag was believed without proof, so that the head must be read again.
    pub(super) believed: bool,
}

/// What a look-up came to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Every image was found.
    Complete(Build),
    /// At least one is not there.
    Absent,
    /// At least one registry could not say.
    Unknown(UpstreamError),
}

/// What a set of images was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Head,
    TestMerge(CommitSha),
}

/// One image looked up for one origin.
pub(super) struct Tried {
    pub(super) key: String,
    pub(super) looks: Vec<Look>,
    pub(super) image: Option<BuiltImage>,
    pub(super) error: Option<UpstreamError>,
    believed: bool,
    /// The test merge of the wanted commit that a label named.
    test_merge: Option<CommitSha>,
}

/// A tag that was looked up.
pub(super) struct Tagged {
    pub(super) found: Found,
    pub(super) believed: bool,
    pub(super) test_merge: Option<CommitSha>,
}

impl From<Found> for Tagged {
    fn from(found: Found) -> Self {
        Self { found, believed: false, test_merge: None }
    }
}

impl ImageFinder {
    /// The images of a green commit.
    pub(super) async fn find(&self, wanted: Wanted<'_>) -> Search {
        let commit = wanted.green.commit();
        let merges =
            wanted.number.map_or_else(Vec::new, |number| self.ledger.merges_of(wanted.repository.id, number, commit));
        let mut looks: Vec<Look> = Vec::new();
        let mut error = None;
        let mut origins = self.origins(&wanted, &merges);
        let mut next = 0;
        while let Some(&origin) = origins.get(next) {
            next += 1;
            let tried = join_all(self.specs.iter().map(|spec| self.try_image(spec, origin, wanted))).await;
            let believed = tried.iter().any(|one| one.believed);
            let mut found = BTreeMap::new();
            for one in tried {
                looks.extend(one.looks.into_iter().filter(|look| !looks.contains(look)).collect::<Vec<_>>());
                error = error.or(one.error);
                // A label may name a test merge that was never seen before; its set is then worth trying.
                if let Some(merge) = one.test_merge.map(Origin::TestMerge)
                    && !origins.contains(&merge)
                {
                    origins.push(merge);
                }
                if let Some(image) = one.image {
                    found.insert(one.key, image);
                }
            }
            let keys = self.specs.iter().map(|spec| spec.key.as_str());
            if let Some(images) = Images::complete(keys, found) {
                let test_merge = match origin {
                    Origin::Head => None,
                    Origin::TestMerge(merge) => Some(merge),
                };
                let build = Build::new(wanted.green, test_merge, images);
                looks.retain(|look| matches!(look.found, Found::Yes { .. }));
                return Search { result: Outcome::Complete(build), looks, believed };
            }
        }
        if error.is_none() {
            self.hint_at_test_merges(&wanted, &merges, &mut looks).await;
        }
        let result = error.map_or(Outcome::Absent, Outcome::Unknown);
        Search { result, looks, believed: false }
    }

    /// The sets worth trying, the recorded one first: a set that some image can never belong to is not asked for.
    fn origins(&self, wanted: &Wanted<'_>, merges: &[CommitSha]) -> Vec<Origin> {
        let possible = |names: &[Names]| {
            self.specs.iter().all(|spec| spec.candidates.iter().any(|(_, template)| names.contains(&template.names())))
        };
        let recorded = wanted.recorded.filter(|build| build.commit() == wanted.green.commit());
        let recorded = recorded.map(|build| build.test_merge().map_or(Origin::Head, Origin::TestMerge));
        let head = possible(&[Names::Head, Names::Moving]).then_some(Origin::Head);
        let merges =
            merges.iter().copied().map(Origin::TestMerge).filter(|_| possible(&[Names::TestMerge, Names::Moving]));
        let mut origins = Vec::new();
        for origin in recorded.into_iter().chain(head).chain(merges) {
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        // With nothing to try, the templates still have to say why.
        if origins.is_empty() {
            origins.push(Origin::Head);
        }
        origins
    }

    /// One image for one origin: the recorded one, else the first of its templates that leads to it.
    pub(super) async fn try_image(&self, spec: &ImageSpec, origin: Origin, wanted: Wanted<'_>) -> Tried {
        let mut tried = Tried {
            key: spec.key.clone(),
            looks: Vec::new(),
            image: None,
            error: None,
            believed: false,
            test_merge: None,
        };
        if let Some(image) = recorded(spec, origin, &wanted) {
            tried.looks.push(look(&spec.key, format!("{}:{}", image.image, image.tag), yes(&image.digest)));
            tried.image = Some(image.clone());
            return self.with_labels(tried).await;
        }
        for (name, template) in &spec.candidates {
            let tag = match render(template, origin, &wanted) {
                None => continue,
                Some(Ok(tag)) => tag,
                Some(Err(why)) => {
                    tried.looks.push(look(&spec.key, format!("{name}:{template}"), Found::Unrenderable(why)));
                    continue;
                }
            };
            let reference = format!("{name}:{tag}");
            match self.look_up(name, &tag, template.names(), origin, &wanted).await {
                Err(error) => {
                    tried.looks.push(look(&spec.key, reference, Found::Unknown(error.to_string())));
                    tried.error = Some(error);
                    return tried;
                }
                Ok(tagged) => {
                    let digest = match &tagged.found {
                        Found::Yes { digest } => Some(digest.clone()),
                        _ => None,
                    };
                    tried.test_merge = tried.test_merge.or(tagged.test_merge);
                    tried.looks.push(look(&spec.key, reference, tagged.found));
                    if let Some(digest) = digest {
                        tried.believed = tagged.believed;
                        tried.image = Some(BuiltImage {
                            image: name.clone(),
                            tag,
                            digest,
                            labels: BTreeMap::new(),
                            built_from: wanted.green.commit(),
                        });
                        return self.with_labels(tried).await;
                    }
                }
            }
        }
        tried
    }

    /// Whether a tag is there and was built from `origin`, and whether that was believed without proof.
    async fn look_up(
        &self,
        name: &ImageName,
        tag: &Tag,
        names: Names,
        origin: Origin,
        wanted: &Wanted<'_>,
    ) -> Result<Tagged, UpstreamError> {
        if names != Names::Moving {
            // A tag that names a commit never moves: once found, found for good. Only absence is asked again.
            return Ok(match self.resolve(name, tag, wanted.patience.absent_since()).await? {
                Some(digest) => yes(&digest).into(),
                None => self.absent(name).await.into(),
            });
        }
        self.look_up_moving(name, tag, origin, wanted).await
    }

    /// The digest of a tag that names a commit, found at any time, or absent at `absent_since` or later.
    pub(super) async fn resolve(
        &self,
        name: &ImageName,
        tag: &Tag,
        absent_since: Moment,
    ) -> Result<Option<Digest>, UpstreamError> {
        let presence = match self.registries.resolve(name, tag, Moment::START).await? {
            Presence::Absent { seen_at } if seen_at < absent_since => {
                self.registries.resolve(name, tag, absent_since).await?
            }
            presence => presence,
        };
        Ok(match presence {
            Presence::Found { digest, .. } => Some(digest),
            Presence::Absent { .. } => None,
        })
    }

    /// Why a tag is absent: a repository that does not exist is a typo more often than a build to come.
    pub(super) async fn absent(&self, name: &ImageName) -> Found {
        match self.registries.repository_exists(name).await {
            Ok(Some(false)) => {
                self.sightings.warn_of_missing_repository(name);
                Found::NoRepository
            }
            // That the question failed says nothing about the tag, which is absent.
            Ok(_) | Err(_) => Found::Absent,
        }
    }

    /// The labels that the outputs use.
    async fn with_labels(&self, mut tried: Tried) -> Tried {
        let Some((image, wanted)) = tried.image.as_mut().zip(self.labels.get(&tried.key)) else { return tried };
        if wanted.iter().all(|name| image.labels.contains_key(name)) {
            return tried;
        }
        match self.registries.labels(&image.image, &image.digest).await {
            Ok(labels) => {
                for name in wanted {
                    let value = labels.all.get(name).cloned().unwrap_or_default();
                    image.labels.insert(name.clone(), value);
                }
            }
            // A part that is not there (yet) makes the image incomplete, which is nobody else's problem.
            Err(error) if error.kind == Kind::NotFound => {
                let reference = format!("{}:{}", image.image, image.tag);
                tried.looks.retain(|look| look.reference != reference);
                tried.looks.push(look(&tried.key, reference, incomplete(&error)));
                tried.image = None;
            }
            Err(error) => {
                tried.image = None;
                tried.error = Some(error);
            }
        }
        tried
    }

    /// Asks for what `head` would need before GitHub has answered, and what nothing is known of; what comes of it is
    /// found in the cache. Whether what is known is too old hangs on what CI says.
    pub(super) async fn look_ahead(&self, head: CommitSha, branch: &Branch, number: Option<u64>) {
        let context = TagContext { commit: &head, test_merge: None, number, branch };
        join_all(self.specs.iter().map(async |spec| {
            let Some((name, template)) = spec.candidates.first() else { return };
            if template.names() == Names::TestMerge {
                return;
            }
            if let Ok(tag) = template.render(&context) {
                // Whatever came of it is in the cache; a failure shows when it is asked for in earnest.
                let _ = self.registries.resolve(name, &tag, Moment::START).await;
            }
        }))
        .await;
    }
}

/// The recorded image, if it is of this commit and origin and the config still wants it from that repository.
fn recorded<'a>(spec: &ImageSpec, origin: Origin, wanted: &Wanted<'a>) -> Option<&'a BuiltImage> {
    let build = wanted.recorded?;
    let same =
        build.commit() == wanted.green.commit() && origin == build.test_merge().map_or(Origin::Head, Origin::TestMerge);
    let image = build.images().get(&spec.key).filter(|_| same)?;
    spec.candidates.iter().any(|(name, _)| *name == image.image).then_some(image)
}

/// The tag of a template for an origin; `None` where the template can never lead there.
pub(super) fn render(template: &TagTemplate, origin: Origin, wanted: &Wanted<'_>) -> Option<Result<Tag, String>> {
    let commit = wanted.green.commit();
    let merge = match (template.names(), origin) {
        (Names::Head, Origin::TestMerge(_)) => return None,
        (Names::TestMerge, Origin::TestMerge(merge)) => Some(merge),
        // A template of test merges gets here only where no set is possible, and then says so itself.
        (Names::Head | Names::Moving | Names::TestMerge, _) => None,
    };
    Some(template.render(&context(&commit, merge.as_ref(), wanted)).map_err(|why| why.to_string()))
}

pub(super) fn context<'a>(
    commit: &'a CommitSha,
    test_merge: Option<&'a CommitSha>,
    wanted: &Wanted<'a>,
) -> TagContext<'a> {
    TagContext { commit, test_merge, number: wanted.number, branch: wanted.branch }
}

fn look(key: &str, reference: String, found: Found) -> Look {
    Look { key: key.to_owned(), reference, found }
}

pub(super) fn incomplete(error: &UpstreamError) -> Found {
    Found::Other(format!("is there, but incomplete: {error}"))
}

pub(super) fn yes(digest: &Digest) -> Found {
    Found::Yes { digest: digest.clone() }
}

//! A recorded build under another configuration than the one it was recorded with.
//!
//! An image keeps its recorded digest whatever becomes of its tag template. One that is new to the configuration, or
//! lives in another repository now, is looked up for the recorded commit, and recorded once it is found; until then
//! its key is empty, and the reason says so. The item itself is never dropped for that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    BuildPart, Meant,
    considered::Found,
    images::{ImageFinder, Origin, Wanted},
    patience::Patience,
};
use crate::{
    clock::Moment,
    domain::{BuiltImage, Chain, ChainEnd, Commit, GreenBuild, ImageSpec, Line, Repository, excerpt},
    ledger::Record,
};

/// The images of a recorded build that today's configuration wants.
#[derive(Clone, Debug, Default)]
pub struct Renewed {
    /// Those that are to be had, by key.
    pub images: BTreeMap<String, BuiltImage>,
    /// Why others are not.
    pub missing: Vec<String>,
}

impl BuildPart {
    /// The images of a recorded build, as today's configuration wants them, as far as they are to be had by `until`.
    pub async fn renewed(&self, meant: &Meant, record: &Record, until: Moment) -> Renewed {
        let mut renewed = Renewed::default();
        let lacking: Vec<_> = self.options.images.iter().filter(|spec| !self.finder.has(spec, record)).collect();
        for spec in &self.options.images {
            if let Some(image) = record.build.images().get(&spec.key)
                && in_place(spec, image)
            {
                renewed.images.insert(spec.key.clone(), image.clone());
            }
        }
        if lacking.is_empty() {
            return renewed;
        }
        let found = tokio::select! {
            biased;
            found = self.look_up_again(meant, record, &lacking) => found,
            () = self.clock.sleep_until(until) => Renewed {
                missing: vec!["the registry gave no answer in time".to_owned()],
                ..Renewed::default()
            },
        };
        if !found.images.is_empty() {
            let build = record.build.with_images(found.images.clone());
            let amended = Record { build, ..record.clone() };
            // That it cannot be recorded costs only another look-up.
            let _ = self.ledger.amend(&meant.key, record, &amended, until).await;
        }
        renewed.images.extend(found.images);
        renewed.missing = found.missing;
        renewed
    }

    async fn look_up_again(&self, meant: &Meant, record: &Record, lacking: &[&ImageSpec]) -> Renewed {
        let build = &record.build;
        let repository = Repository { id: meant.key.repository, name: self.options.repository.clone() };
        let commit = Commit { sha: build.commit(), parents: Vec::new(), checks: Vec::new(), more_checks: None };
        let chain = Chain { commits: vec![Arc::new(commit)], end: ChainEnd::Complete };
        let wanted = Wanted {
            green: GreenBuild::recorded(build),
            repository: &repository,
            chain: &chain,
            branch: &record.branch,
            number: match meant.key.line {
                Line::Pull(number) => Some(number),
                Line::Branch(_) => None,
            },
            is_head: false,
            recorded: Some(build),
            patience: Patience {
                asked: self.clock.now(),
                quiet_for: Duration::ZERO,
                pending: self.options.settled,
                thorough: false,
            },
            began: Moment::START,
        };
        let origin = build.test_merge().map_or(Origin::Head, Origin::TestMerge);
        let tries = join_all(lacking.iter().map(|spec| self.finder.try_image(spec, origin, wanted))).await;
        let mut renewed = Renewed::default();
        for tried in tries {
            let why = tried.looks.iter().find(|look| !matches!(look.found, Found::Yes { .. }));
            let why = match (tried.error, why) {
                (Some(error), _) => error.to_string(),
                (None, Some(look)) => format!("{} {}", excerpt(&look.reference), look.found),
                (None, None) => "no template leads to the recorded build".to_owned(),
            };
            match tried.image {
                Some(image) => drop(renewed.images.insert(tried.key, image)),
                None => renewed.missing.push(format!("`{}` is not whole: {why}", tried.key)),
            }
        }
        renewed
    }
}

impl ImageFinder {
    /// Whether a record has all that the configuration wants of an image.
    fn has(&self, spec: &ImageSpec, record: &Record) -> bool {
        let labels = self.labels.get(&spec.key).map_or(&[][..], Vec::as_slice);
        record
            .build
            .images()
            .get(&spec.key)
            .is_some_and(|image| in_place(spec, image) && labels.iter().all(|label| image.labels.contains_key(label)))
    }
}

/// Whether an image lives where the configuration says that it does.
fn in_place(spec: &ImageSpec, image: &BuiltImage) -> bool {
    spec.candidates.iter().any(|(name, _)| *name == image.image)
}

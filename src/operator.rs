//! What an operator can see of the ledger and do to it: over the operator's listener, and from the command line where
//! no service runs.

pub mod plugins;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    clock::SharedClock,
    domain::{Branch, Line},
    ledger::{HeldBack, Known, Ledger, LedgerError, LineKey, ListKey, ListRecord, Listed},
};

/// How long a look at the ledger may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which lines are meant: all that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Which {
    /// The generator's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// The pull request's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// An own branch without a pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// GitHub's number of the repository, where several have such a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<u64>,
}

/// A line of the ledger, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// The generator's name.
    pub generator: String,
    /// The repository's name, where it is known.
    pub repository: Option<String>,
    /// GitHub's number of the repository.
    pub repository_id: u64,
    /// The pull request's number, if the line is one.
    pub number: Option<u64>,
    /// The branch under which it was recorded, or which it is.
    pub branch: Option<String>,
    /// `item`, `nothing` or `unreadable`.
    pub known: String,
    /// Why it cannot be read.
    pub problem: Option<String>,
    /// The recorded commit.
    pub commit: Option<String>,
    /// The test merge that its images were built from.
    pub test_merge: Option<String>,
    /// Its images by key.
    pub images: BTreeMap<String, ImageView>,
    /// When it was recorded.
    pub recorded_at: Option<DateTime<Utc>>,
    /// When it was asked last, to the hour.
    pub asked_at: Option<DateTime<Utc>>,
}

/// A recorded image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageView {
    /// The reference that led to it.
    pub reference: String,
    /// Its digest.
    pub digest: String,
}

/// Answers of a generator, for people: they are held because too many items would vanish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    /// The generator's name.
    pub generator: String,
    /// The inputs, or the line.
    pub about: String,
    /// How many items would vanish.
    pub vanish: usize,
    /// Of how many.
    pub of: usize,
    /// Whether an operator lets them.
    pub released: bool,
}

/// Which answers are let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// All of this generator.
    pub generator: String,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Undone {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such line.
    #[error("the ledger has no such line; `lastgreen ledger list` shows all")]
    NoSuchLine,
    /// The guard holds nothing back.
    #[error("the guard of `{0}` holds nothing back; `lastgreen guard list` shows what is held back")]
    NothingHeld(String),
    /// Somebody else changed it at the same time.
    #[error("it has changed in the meantime; look at it again")]
    Crossed,
    /// Several lines fit.
    #[error("several lines fit: name the generator, and the repository by its id")]
    Several,
    /// No line was named.
    #[error("name one line: by the generator, and by the pull request's number or the branch")]
    Unnamed,
}

/// The operator's view of the ledger.
#[derive(Clone, Debug)]
pub struct Operator {
    ledger: Arc<Ledger>,
    clock: SharedClock,
}

impl Operator {
    /// An operator of this ledger.
    pub fn new(ledger: Arc<Ledger>, clock: SharedClock) -> Self {
        Self { ledger, clock }
    }

    /// The lines that fit, in order.
    pub async fn lines(&self, which: &Which) -> Result<Vec<LineView>, Undone> {
        Ok(self.listed(which).await?.into_iter().map(|(_, view)| view).collect())
    }

    /// Forgets the one line that fits, as if it had never been seen; tells what it was.
    pub async fn forget(&self, which: &Which) -> Result<LineView, Undone> {
        if which.generator.is_none() || which.number.is_some() == which.branch.is_some() {
            return Err(Undone::Unnamed);
        }
        let mut lines = self.listed(which).await?.into_iter();
        let (key, view) = match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            (None, _) => return Err(Undone::NoSuchLine),
            (Some(_), Some(_)) => return Err(Undone::Several),
        };
        self.ledger.forget(&key, self.clock.now() + PATIENCE).await?;
        tracing::warn!(generator = %key.generator, line = %key.line, "forgotten by the operator");
        Ok(view)
    }

    /// What the guards hold back, in order.
    pub async fn held_back(&self) -> Result<Vec<HeldView>, Undone> {
        let held = self.ledger.held_back(self.clock.now() + PATIENCE).await?;
        Ok(held.iter().filter_map(|(key, record)| HeldView::of(key, record)).collect())
    }

    /// Lets through what the guard of a generator holds back now, and no more than that; tells what it is.
    pub async fn release(&self, release: &Release) -> Result<Vec<HeldView>, Undone> {
        let until = self.clock.now() + PATIENCE;
        let held = self.ledger.held_back(until).await?;
        let mut released = Vec::new();
        for (key, record) in held.into_iter().filter(|(key, _)| *key.generator == *release.generator) {
            let Some(view) = HeldView::of(&key, &record) else { continue };
            if !self.ledger.release(&key, &record, until).await? {
                return Err(Undone::Crossed);
            }
            tracing::warn!(generator = %key.generator, about = %key.about, vanish = view.vanish, of = view.of, "released by the operator: the items may vanish");
            released.push(HeldView { released: true, ..view });
        }
        if released.is_empty() { Err(Undone::NothingHeld(release.generator.clone())) } else { Ok(released) }
    }

    async fn listed(&self, which: &Which) -> Result<Vec<(LineKey, LineView)>, Undone> {
        let all = self.ledger.list(self.clock.now() + PATIENCE).await?;
        let views = all.into_iter().map(|line| (line.key.clone(), LineView::of(&line)));
        Ok(views.filter(|(_, view)| which.fits(view)).collect())
    }
}

impl Which {
    /// Whether a line fits.
    pub fn fits(&self, line: &LineView) -> bool {
        let fits = |wanted: Option<&str>, is: Option<&str>| wanted.is_none() || wanted == is;
        let own_branch = line.branch.as_deref().filter(|_| line.number.is_none());
        fits(self.generator.as_deref(), Some(&line.generator))
            && fits(self.branch.as_deref(), own_branch)
            && self.number.is_none_or(|wanted| line.number == Some(wanted))
            && self.repository_id.is_none_or(|wanted| wanted == line.repository_id)
    }
}

impl HeldView {
    fn of(key: &ListKey, record: &ListRecord) -> Option<Self> {
        let HeldBack { vanish, of } = record.guarded.held_back?;
        let released = record.guarded.released.is_some_and(|released| released >= vanish);
        Some(Self { generator: key.generator.to_string(), about: key.about.to_string(), vanish, of, released })
    }
}

impl LineView {
    fn of(listed: &Listed) -> Self {
        let record = match &listed.known {
            Ok(Known::Item(record)) => Some(record),
            _ => None,
        };
        let (number, own_branch) = match &listed.key.line {
            Line::Pull(number) => (Some(*number), None),
            Line::Branch(branch) => (None, Some(branch)),
        };
        let images = record.map(|record| {
            let view = |image: &crate::domain::BuiltImage| ImageView {
                reference: format!("{}:{}", image.image, image.tag),
                digest: image.digest.to_string(),
            };
            record.build.images().iter().map(|(key, image)| (key.to_owned(), view(image))).collect()
        });
        Self {
            generator: listed.key.generator.to_string(),
            repository: listed.repository.as_ref().map(ToString::to_string),
            repository_id: listed.key.repository,
            number,
            branch: record.map(|record| &record.branch).or(own_branch).map(Branch::to_string),
            known: match &listed.known {
                Ok(Known::Item(_)) => "item",
                Ok(Known::Nothing | Known::Never) => "nothing",
                Err(_) => "unreadable",
            }
            .to_owned(),
            problem: listed.known.as_ref().err().map(ToString::to_string),
            commit: record.map(|record| record.build.commit().to_string()),
            test_merge: record.and_then(|record| record.build.test_merge()).map(|sha| sha.to_string()),
            images: images.unwrap_or_default(),
            recorded_at: record.map(|record| record.recorded_at),
            asked_at: listed.asked_at,
        }
    }
}

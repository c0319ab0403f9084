//! The heart: from a question to the last green build of its line.
//!
//! ```text
//! question ─ read (GitHub, and ahead of it the registry) ─ choose the line ─ doubt a stale head ─ walk ─ resolution
//!                                                                                        └ gate + images per commit
//! ```
//!
//! What comes out is a [`Resolution`]: *ready* with a build, *not yet*, or *unknown*, and everything that was
//! considered. Whether that is answered, held or refused is decided one floor up.

mod ahead;
mod all;
mod bounded;
mod considered;
mod gate;
mod hot;
mod images;
mod line;
mod moving;
mod patience;
mod provenance;
mod renewal;
mod resolution;
mod sightings;
mod stillness;
mod unread;
mod walk;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

pub use self::{
    all::pull_keys,
    considered::{Considered, Found, Look},
    renewal::Renewed,
    resolution::{Meant, Outcome, Resolution},
};
use self::{
    hot::Hot,
    images::ImageFinder,
    line::{MeantLine, Reading},
    sightings::Sightings,
    stillness::Stillness,
    walk::View,
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, ChainEnd, CiPolicy, ImageSpec, NoLine, Question, QuestionError, Repo},
    github::{Ask, By, GitHub},
    ledger::Ledger,
    registry::Registries,
};

/// What a build part is told by the configuration.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BuildOptions {
    /// The generator's name.
    pub generator: Arc<str>,
    /// The repository.
    pub repository: Repo,
    /// The images.
    pub images: Vec<ImageSpec>,
    /// Label names that the outputs need, by image key.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Whether a moving tag without a revision is believed to be the head's.
    pub trust_head: bool,
    /// What counts as green.
    pub ci: CiPolicy,
    /// How many commits are walked.
    pub walk: u32,
    /// Whether pull requests from forks may have previews.
    pub forks: bool,
    /// How old a head that is not final may be.
    pub pending: Duration,
    /// How old a final one may be.
    pub settled: Duration,
    /// Whether lines are looked at before they are asked for.
    pub ahead: bool,
    /// Whether a build is all of an answer; else it is not recorded before all of it is known.
    pub alone: bool,
}

/// Answers for the commits and images of one repository.
pub struct BuildPart {
    options: BuildOptions,
    github: Arc<GitHub>,
    ledger: Arc<Ledger>,
    finder: ImageFinder,
    sightings: Arc<Sightings>,
    hot: Hot,
    stillness: Stillness,
    /// How much is looked at ahead just now.
    under_way: watch::Sender<usize>,
    clock: SharedClock,
}

impl BuildPart {
    /// A part for one repository.
    pub fn new(
        options: BuildOptions,
        github: Arc<GitHub>,
        registries: Arc<Registries>,
        ledger: Arc<Ledger>,
        clock: SharedClock,
    ) -> Self {
        let sightings = Arc::new(Sightings::new());
        let finder = ImageFinder {
            specs: options.images.clone(),
            labels: options.labels.clone(),
            trust_head: options.trust_head,
            registries,
            github: Arc::clone(&github),
            ledger: Arc::clone(&ledger),
            sightings: Arc::clone(&sightings),
        };
        Self {
            stillness: Stillness::new(options.pending, options.settled),
            options,
            github,
            ledger,
            finder,
            sightings,
            hot: Hot::default(),
            under_way: watch::Sender::default(),
            clock,
        }
    }

    /// The repository.
    pub fn repository(&self) -> &Repo {
        &self.options.repository
    }

    /// How many lines are kept fresh.
    pub fn hot_lines(&self) -> usize {
        self.hot.len()
    }

    /// What it is told by the configuration.
    pub fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// When a line will be looked at before anybody asks for it, if it will: by the replica that leads.
    pub fn next_look(&self, number: Option<u64>, branch: &Branch) -> Option<Moment> {
        let by = number.map(By::Number).into_iter().chain([By::Branch(branch.clone())]);
        by.filter_map(|by| self.hot.due(&by)).min()
    }

    /// Since when GitHub and the registries of all images are up, and neither limit nor refuse us, as far as is known;
    /// `None` while that is not so.
    pub fn upstreams_well_since(&self) -> Option<Moment> {
        let images = self.options.images.iter().flat_map(|spec| &spec.candidates).map(|(image, _)| image);
        let github = self.github.well_since(&self.options.repository)?;
        Some(github.max(self.finder.registries.well_since(images)?))
    }

    /// What the upstreams say to a question. `thorough`, for people, reads GitHub anew and looks further where an image is
    /// missing.
    ///
    /// # Errors
    /// Only for a question that no pull request can cause.
    pub async fn resolve(self: &Arc<Self>, question: &Question, thorough: bool) -> Result<Resolution, QuestionError> {
        let since = self.clock.now() - self.options.settled;
        if !thorough {
            let in_memory = self.github.is_fresh(&self.ask(question), since).await;
            self.notice(question, in_memory);
        }
        let (resolution, began) = self.resolve_read(question, thorough).await?;
        self.looked(question, &resolution, began, None);
        Ok(resolution)
    }

    /// The same, and when GitHub was asked for what it rests on.
    async fn resolve_read(&self, question: &Question, thorough: bool) -> Result<(Resolution, Moment), QuestionError> {
        let asked = self.clock.now();
        // Final heads may be old; what turns out not to be final is looked at again, if memory is older than that.
        let mut since = if thorough { asked } else { asked - self.options.settled };
        loop {
            let reading = match self.read(question, since).await {
                Ok(reading) => reading,
                Err(error) => return Ok((self.unread(question, &error), asked)),
            };
            let began = reading.snapshot.began;
            let resolution = self.consider(question, &reading, asked, thorough).await?;
            // What another replica recorded may rest on a newer read than this one.
            let heard = resolution.line.as_ref().and_then(|meant| self.ledger.heard(&meant.key));
            // The same line may have been read since by its number, or by its name.
            let overtaken = match (&resolution.outcome, &resolution.line) {
                (Outcome::Ready(build), Some(meant)) => self.ledger.overtaken(&meant.key, build, began),
                _ => resolution.disowns.filter(|as_of| began < *as_of),
            };
            let since_again = match &resolution {
                _ if overtaken.is_some() => overtaken.unwrap_or(asked),
                _ if heard.is_some_and(|heard| began < heard) => heard.unwrap_or(asked),
                // What memory shows does not fit: a newer read may, or the second read is due.
                Resolution { doubted: Some(doubt), .. } if doubt.is_new || doubt.again_at <= asked => asked,
                Resolution { is_final: true, .. } => return Ok((resolution, began)),
                _ => asked - self.stillness.patience_with(&resolution, asked),
            };
            if began >= since_again {
                return Ok((resolution, began));
            }
            since = since_again;
        }
    }

    /// What a question asks of GitHub.
    fn ask(&self, question: &Question) -> Ask {
        Ask { repo: self.options.repository.clone(), by: ahead::by(question), walk: self.options.walk }
    }

    /// Chooses the line, doubts its head, walks it.
    async fn consider(
        &self,
        question: &Question,
        reading: &Reading,
        asked: Moment,
        thorough: bool,
    ) -> Result<Resolution, QuestionError> {
        let mut meant = match self.choose(question, reading) {
            Ok(meant) => meant,
            Err(no_line) => {
                let resolution = self.no_line(question, reading, no_line, asked)?;
                if no_line != NoLine::HeadOfNone || resolution.doubted.is_some() {
                    return Ok(resolution);
                }
                if let Some(doubt) = self.doubt_name(reading, asked) {
                    return Ok(Resolution::doubted(resolution.line, doubt));
                }
                // A second read agrees that this head is nobody's any more: the name has to do.
                let by_name = Question { head_sha: None, ..question.clone() };
                return Box::pin(self.consider(&by_name, reading, asked, thorough)).await;
            }
        };
        if meant.from_fork && !self.options.forks {
            self.remember(question, reading, &meant);
            self.sightings.believe(meant.key.repository, &meant.key.line, meant.head);
            let reason = "the pull request comes from a fork, which this generator refuses (`forks: refuse`)";
            let refused = Resolution::of(Outcome::ForkRefused, Some(meant.meant()), reason);
            let good_until = reading.snapshot.began + self.options.settled;
            return Ok(Resolution { is_final: true, good_until, ..refused });
        }
        let mut walk = match self.walk_of(reading, &mut meant).await {
            Ok(walk) => walk,
            Err(error) => return Ok(self.failed_early(&meant, &error)),
        };
        self.remember(question, reading, &meant);
        let record = match self.record_of(&mut meant, &walk.chain(), &reading.snapshot.repository).await {
            Ok(record) => record,
            Err(error) => return Ok(self.failed_early(&meant, &error)),
        };
        let record = record.as_deref();
        // A commit that is missing may only not be loaded yet.
        let mut chain = walk.chain();
        while self.missing(question, &meant, &chain, record).is_some() && matches!(chain.end, ChainEnd::Unloaded(_)) {
            chain = match walk.reach(chain.commits.len()).await {
                Ok(chain) => chain,
                Err(error) => {
                    let inherited = meant.inherited.take();
                    let failed = Resolution::failed(Some(meant.meant()), &error, self.clock.now());
                    return Ok(Resolution { inherited, ..failed });
                }
            };
        }
        let times = (reading.snapshot.began, asked);
        if let Err(doubt) = self.doubt(question, &meant, &chain, record, times) {
            let inherited = meant.inherited.take();
            return Ok(Resolution { inherited, ..Resolution::doubted(Some(meant.meant()), doubt) });
        }
        // It was settled that the head that was asked with is not this line's; whose it is may change.
        let is_strange = question.number.is_none()
            && question.head_sha.is_some()
            && self.missing(question, &meant, &chain, record) == question.head_sha;
        if is_strange && let Some(doubt) = self.doubt_name(reading, asked) {
            let inherited = meant.inherited.take();
            return Ok(Resolution { inherited, ..Resolution::doubted(Some(meant.meant()), doubt) });
        }
        self.sightings.believe(reading.snapshot.repository.id, &meant.key.line, meant.head);
        let view = View { meant: &meant, record, asked, thorough };
        let resolution = self.walk(question, &mut walk, view).await;
        let mut good_until = if meant.other_unreadable { Moment::START } else { resolution.good_until };
        if is_strange {
            good_until = good_until.min(reading.snapshot.named + self.options.settled);
        }
        let MeantLine { other_unreadable: ambiguous, inherited, disowns, .. } = meant;
        Ok(Resolution { ambiguous, good_until, inherited, disowns, ..resolution })
    }
}

impl fmt::Debug for BuildPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildPart").field("options", &self.options).finish_non_exhaustive()
    }
}

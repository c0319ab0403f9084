//! The heart: from a question to the last green build of its line.
//!
//! ```text
//! question ─ read (GitHub, and ahead of it the registry) ─ choose the line ─ doubt a stale head ─ walk ─ resolution
//!                                                                                        └ gate + images per commit
//! ```
//!
//! What comes out is a [`Resolution`]: *ready* with a build, *not yet*, or *unknown*, and everything that was
//! considered. Whether that is answered, held or refused is decided one floor up.

mod considered;
mod gate;
mod images;
mod line;
mod sightings;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

pub use self::considered::{Considered, Found, Look};
use self::{
    considered::reason,
    gate::Walk,
    images::{ImageFinder, Outcome as ImageOutcome, Wanted},
    line::{MeantLine, Reading, StaleRead},
    sightings::Sightings,
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Branch, Build, Chain, ChainEnd, CiPolicy, ImageSpec, Question, QuestionError, Repo, Verdict},
    github::GitHub,
    ledger::{Ledger, LineKey, Record},
    registry::Registries,
    upstream::UpstreamError,
};

/// What a build part is told by the configuration.
#[derive(Clone, Debug)]
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
}

/// Answers for the commits and images of one repository.
pub struct BuildPart {
    options: BuildOptions,
    github: Arc<GitHub>,
    ledger: Arc<Ledger>,
    finder: ImageFinder,
    sightings: Arc<Sightings>,
    clock: SharedClock,
}

/// What the upstreams came to say.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This is the last green build.
    Ready {
        /// The build.
        build: Build,
        /// Whether the record is of a newer commit of the same walk.
        older_than_recorded: bool,
    },
    /// There is none.
    NotYet,
    /// They could not say.
    Unknown,
    /// The pull request comes from a fork, and forks are refused.
    ForkRefused,
}

/// The line that a question meant.
#[derive(Clone, Debug)]
pub struct Meant {
    /// Its key in the ledger.
    pub key: LineKey,
    /// The head branch's name.
    pub branch: Branch,
    /// Whether that branch is the repository's own.
    pub own: bool,
}

/// Everything about one attempt at an answer.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What came out.
    pub outcome: Outcome,
    /// The line, where it could be told.
    pub line: Option<Meant>,
    /// Whether several lines may be meant, so that nobody can tell whether it was answered before.
    pub ambiguous: bool,
    /// The one explanation.
    pub reason: String,
    /// Every commit that was considered.
    pub considered: Vec<Considered>,
    /// The earliest moment at which asking again may help.
    pub again_at: Option<Moment>,
    /// Whether an upstream is down, limits us or refuses us.
    pub upstream_failed: bool,
    /// Whether the head is decided for good, as far as anybody can tell.
    pub is_final: bool,
    /// The doubt that made it unknown.
    doubted: Option<StaleRead>,
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
        Self { options, github, ledger, finder, sightings, clock }
    }

    /// The repository.
    pub fn repository(&self) -> &Repo {
        &self.options.repository
    }

    /// What the upstreams say to a question. `thorough` looks further where an image is missing, for people.
    ///
    /// # Errors
    /// Only for a question that no pull request can cause.
    pub async fn resolve(&self, question: &Question, thorough: bool) -> Result<Resolution, QuestionError> {
        let asked = self.clock.now();
        // Final heads may be old; what turns out not to be final is looked at again, if memory is older than that.
        let mut since = asked - self.options.settled;
        loop {
            let reading = match self.read(question, since).await {
                Ok(reading) => reading,
                Err(error) => return Ok(self.unread(question, &error)),
            };
            let began = reading.snapshot.began;
            let resolution = self.consider(question, reading, asked, thorough).await?;
            let since_again = match &resolution {
                // What memory shows does not fit: a newer read may, or the second read is due.
                Resolution { doubted: Some(doubt), .. } if doubt.is_new || doubt.again_at <= asked => asked,
                Resolution { is_final: true, .. } => return Ok(resolution),
                _ => asked - self.options.pending,
            };
            if began >= since_again {
                return Ok(resolution);
            }
            since = since_again;
        }
    }

    /// Chooses the line, doubts its head, walks it.
    async fn consider(
        &self,
        question: &Question,
        reading: Reading,
        asked: Moment,
        thorough: bool,
    ) -> Result<Resolution, QuestionError> {
        let meant = match self.choose(question, &reading) {
            Ok(meant) => meant,
            Err(no_line) => return self.no_line(question, &reading, no_line),
        };
        if meant.from_fork && !self.options.forks {
            let reason = "the pull request comes from a fork, which this generator refuses (`forks: refuse`)";
            return Ok(Resolution {
                is_final: true,
                ..Resolution::of(Outcome::ForkRefused, Some(meant.meant()), reason)
            });
        }
        let mut walk = match self.walk_of(&reading, &meant).await {
            Ok(walk) => walk,
            Err(error) => return Ok(Resolution::failed(Some(meant.meant()), &error, self.clock.now())),
        };
        self.remember(&reading, &meant);
        let record = match self.record_of(&meant, &walk.chain(), &reading.snapshot.repository).await {
            Ok(record) => record,
            Err(error) => return Ok(Resolution::failed(Some(meant.meant()), &error, self.clock.now())),
        };
        let record = record.as_deref();
        if let Err(doubt) = self.doubt(question, &meant, &walk.chain(), record, (reading.snapshot.began, asked)) {
            let mut resolution = Resolution::of(Outcome::Unknown, Some(meant.meant()), doubt.reason.clone());
            resolution.again_at = Some(doubt.again_at);
            resolution.doubted = Some(doubt);
            return Ok(resolution);
        }
        self.sightings.believe(reading.snapshot.repository.id, &meant.key.line, meant.head);
        let since = asked - self.options.pending;
        let resolution = self.walk(&mut walk, &meant, record, since.max(Moment::START), thorough).await;
        Ok(match resolution {
            Walked::Done(resolution) => resolution,
            Walked::ReadAgain(resolution) => self.confirm(question, &meant, resolution).await,
        })
    }

    /// Walks the line: the newest commit that is green and complete wins.
    async fn walk(
        &self,
        walk: &mut Walk<'_>,
        meant: &MeantLine,
        record: Option<&Record>,
        since: Moment,
        thorough: bool,
    ) -> Walked {
        let recorded = record.map(|record| &record.build);
        let mut considered: Vec<Considered> = Vec::new();
        let mut unknown: Option<UpstreamError> = None;
        let mut index = 0;
        let outcome = loop {
            let chain = match walk.reach(index).await {
                Ok(chain) => chain,
                Err(error) => {
                    unknown = unknown.or(Some(error));
                    break None;
                }
            };
            let Some(commit) = chain.commits.get(index).cloned() else { break None };
            let judged = match walk.judge(&commit).await {
                Ok(judged) => judged,
                Err(error) => {
                    let verdict = Err(error.to_string());
                    considered.push(Considered { commit: commit.sha, verdict, checks: Vec::new(), looks: Vec::new() });
                    unknown = unknown.or(Some(error));
                    if record.is_some() {
                        break None;
                    }
                    index += 1;
                    continue;
                }
            };
            let mut entry = Considered {
                commit: commit.sha,
                verdict: Ok(judged.verdict.clone()),
                checks: judged.checks,
                looks: Vec::new(),
            };
            if let Verdict::Green(green) = judged.verdict {
                let wanted = Wanted {
                    green,
                    repository: walk.repository,
                    chain: &chain,
                    branch: &meant.branch,
                    number: meant.number(),
                    is_head: index == 0,
                    recorded,
                    since,
                    thorough,
                };
                let search = self.finder.find(wanted).await;
                entry.looks = search.looks;
                match search.result {
                    ImageOutcome::Complete(build) => {
                        considered.push(entry);
                        break Some((build, search.believed));
                    }
                    ImageOutcome::Absent => {}
                    ImageOutcome::Unknown(error) => {
                        unknown = unknown.or(Some(error));
                        considered.push(entry);
                        if record.is_some() {
                            break None;
                        }
                        index += 1;
                        continue;
                    }
                }
            }
            considered.push(entry);
            index += 1;
        };
        self.conclude(outcome, considered, unknown.as_ref(), meant, record, &walk.chain())
    }

    /// Turns the end of a walk into a resolution.
    fn conclude(
        &self,
        outcome: Option<(Build, bool)>,
        considered: Vec<Considered>,
        unknown: Option<&UpstreamError>,
        meant: &MeantLine,
        record: Option<&Record>,
        chain: &Chain,
    ) -> Walked {
        let passed_over = match &outcome {
            Some(_) => &considered[..considered.len() - 1],
            None => &considered[..],
        };
        let mut why = reason(passed_over);
        let head_red = considered.first().is_some_and(|head| matches!(head.verdict, Ok(Verdict::Red(_))));
        let (outcome, believed) = match (outcome, unknown) {
            (Some((build, believed)), _) => {
                let older_than_recorded = record.is_some_and(|record| {
                    let position = |sha| chain.position(sha);
                    matches!((position(record.build.commit()), position(build.commit())), (Some(old), Some(new)) if new > old)
                });
                (Outcome::Ready { build, older_than_recorded }, believed)
            }
            (None, Some(error)) => {
                if why.is_empty() {
                    why = error.to_string();
                }
                (Outcome::Unknown, false)
            }
            (None, None) => {
                why = match (why.is_empty(), chain.end) {
                    (true, _) => "the pull request has no commits of its own".to_owned(),
                    (false, ChainEnd::Limit) => {
                        format!("none of the {} newest commits will do: {why}", chain.commits.len())
                    }
                    (false, _) => format!("no commit will do: {why}"),
                };
                (Outcome::NotYet, false)
            }
        };
        let at_head = matches!(&outcome, Outcome::Ready { build, .. } if build.commit() == meant.head);
        let now = self.clock.now();
        let resolution = Resolution {
            line: Some(meant.meant()),
            ambiguous: false,
            reason: why,
            again_at: unknown.map(|error| now + error.kind.lifetime(now)),
            upstream_failed: unknown.is_some(),
            is_final: unknown.is_none() && (at_head || head_red),
            doubted: None,
            outcome,
            considered,
        };
        if believed { Walked::ReadAgain(resolution) } else { Walked::Done(resolution) }
    }

    /// A moving tag was believed to be the head's: the head must still be the same now that its digest is known.
    async fn confirm(&self, question: &Question, meant: &MeantLine, resolution: Resolution) -> Resolution {
        let reading = match self.read(question, self.clock.now()).await {
            Ok(reading) => reading,
            Err(error) => return Resolution::failed(Some(meant.meant()), &error, self.clock.now()),
        };
        match self.still_green(question, meant, &reading).await {
            Ok(true) => resolution,
            Ok(false) => {
                let reason = "the head moved or lost its green while its images were looked up";
                Resolution {
                    again_at: Some(self.clock.now()),
                    ..Resolution::of(Outcome::Unknown, resolution.line, reason)
                }
            }
            Err(error) => Resolution::failed(Some(meant.meant()), &error, self.clock.now()),
        }
    }

    async fn still_green(
        &self,
        question: &Question,
        meant: &MeantLine,
        reading: &Reading,
    ) -> Result<bool, UpstreamError> {
        let Ok(again) = self.choose(question, reading) else { return Ok(false) };
        if again.head != meant.head || again.key != meant.key {
            return Ok(false);
        }
        let mut walk = self.walk_of(reading, &again).await?;
        let chain = walk.reach(0).await?;
        let Some(head) = chain.commits.first() else { return Ok(false) };
        Ok(matches!(walk.judge(head).await?.verdict, Verdict::Green(_)))
    }
}

/// How a walk ended.
enum Walked {
    Done(Resolution),
    /// As `Done`, if the head is still the same.
    ReadAgain(Resolution),
}

impl Resolution {
    /// The same, for another reason.
    #[must_use]
    pub fn because(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }

    fn of(outcome: Outcome, line: Option<Meant>, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            line,
            ambiguous: false,
            reason: reason.into(),
            considered: Vec::new(),
            again_at: None,
            upstream_failed: false,
            is_final: false,
            doubted: None,
        }
    }

    fn failed(line: Option<Meant>, error: &UpstreamError, now: Moment) -> Self {
        Self {
            again_at: Some(now + error.kind.lifetime(now)),
            upstream_failed: true,
            ..Self::of(Outcome::Unknown, line, error.to_string())
        }
    }
}

impl fmt::Debug for BuildPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildPart").field("options", &self.options).finish_non_exhaustive()
    }
}

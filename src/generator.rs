//! From a question to an answer: the table of what is answered when.
//!
//! | | never answered before | answered before |
//! |---|---|---|
//! | ready | the item, recorded before it is sent | the item |
//! | ready, but older than what was answered last on the same walk | | what was answered last |
//! | not yet | `[]` | held, until `hold` ends it |
//! | unknown, ledger trusted | `[]` | held |
//! | unknown, ledger new | refused | held |
//!
//! An empty list deletes a preview and a refusal freezes all of them, so both are given only where nothing better is
//! true; before a refusal the time that is left is used to try again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use thiserror::Error;

use crate::{
    clock::{Moment, SharedClock},
    domain::{
        Answer, Branch, Build, ImageSpec, Item, Line, OutputContext, OutputImage, OutputTemplate, Question,
        QuestionError, Standing, WhyNothing,
    },
    ledger::{Candidate, Known, Ledger, Record, Recorded, TrustKey},
    parts::build::{BuildPart, Meant, Outcome, Resolution},
};

/// How long an item is kept while the upstreams say that there is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// For good.
    Forever,
    /// For that long, not counting time in which they could not say.
    For(Duration),
    /// Not at all.
    Never,
}

/// What a generator is told by the configuration.
#[derive(Clone, Debug)]
pub struct GeneratorOptions {
    /// Its name.
    pub name: Arc<str>,
    /// When an answer is due.
    pub answer_within: Duration,
    /// How long items are kept.
    pub hold: Hold,
    /// The images, by which the item's first keys are named.
    pub images: Vec<ImageSpec>,
    /// Further keys of the item.
    pub outputs: Vec<(String, OutputTemplate)>,
}

/// One generator.
#[derive(Debug)]
pub struct Generator {
    options: GeneratorOptions,
    build: BuildPart,
    ledger: Arc<Ledger>,
    clock: SharedClock,
}

/// Why a question is not answered. The text is the same for the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The question is one that no pull request can cause.
    #[error(transparent)]
    Bad(#[from] QuestionError),
    /// Nobody can say, and whether it was answered before is not known either.
    #[error("no answer yet: {0}")]
    Unavailable(String),
    /// A bug.
    #[error("lastgreen broke down over this question; its log says where")]
    Internal,
}

/// How long is waited at least and at most before a refused question is tried again.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// What the table says.
enum Decision {
    Answer(Answer),
    /// Refuse, unless asking again from then on helps.
    Refuse {
        reason: String,
        again_at: Option<Moment>,
    },
}

impl Generator {
    /// A generator with one build part.
    pub fn new(options: GeneratorOptions, build: BuildPart, ledger: Arc<Ledger>, clock: SharedClock) -> Self {
        Self { options, build, ledger, clock }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.options.name
    }

    /// Answers a question in time.
    pub async fn answer(self: &Arc<Self>, question: &Question) -> Result<Answer, Refusal> {
        let deadline = self.clock.now() + self.options.answer_within;
        let mut said = None;
        loop {
            let resolution = self.resolve_by(question, deadline).await?;
            let (reason, again_at) = match self.decide(question, resolution).await {
                Decision::Answer(answer) => return Ok(answer),
                Decision::Refuse { reason, again_at } => (reason, again_at),
            };
            let now = self.clock.now();
            let next = again_at.unwrap_or(now).clamp(now + TRY_AGAIN.0, now + TRY_AGAIN.1);
            // The first reason is the cause; that a later try was cut off by the deadline is not.
            let reason = said.get_or_insert(reason);
            if next >= deadline {
                return Err(Refusal::Unavailable(reason.clone()));
            }
            self.clock.sleep_until(next).await;
        }
    }

    /// What the upstreams say, with all that was considered, for people.
    pub async fn explain(&self, question: &Question) -> Result<Resolution, QuestionError> {
        self.build.resolve(question, true).await
    }

    /// The item of a resolution that found a build.
    pub fn item_of(&self, resolution: &Resolution) -> Option<Item> {
        match (&resolution.outcome, &resolution.line) {
            (Outcome::Ready(build), Some(meant)) => Some(self.item(build, meant, &meant.branch)),
            _ => None,
        }
    }

    /// What the upstreams say until the deadline; what is not known by then is unknown. The work goes on all the same,
    /// so that the next question finds it done.
    async fn resolve_by(self: &Arc<Self>, question: &Question, deadline: Moment) -> Result<Resolution, Refusal> {
        let work = {
            let (this, question) = (Arc::clone(self), question.clone());
            tokio::spawn(async move { this.build.resolve(&question, false).await })
        };
        tokio::select! {
            biased;
            done = work => Ok(done.map_err(|_| Refusal::Internal)??),
            () = self.clock.sleep_until(deadline) => Ok(self.build.late(question)),
        }
    }

    /// The table.
    async fn decide(&self, question: &Question, resolution: Resolution) -> Decision {
        let trust = self.trust_key(question);
        self.ledger.watched(&trust, !resolution.upstream_failed && self.build.upstreams_are_well());
        let known = match &resolution.line {
            None => Ok(Known::Never),
            Some(meant) => self.ledger.known(&meant.key).await,
        };
        let known = match known {
            Ok(known) => known,
            Err(error) => return self.unreadable(&resolution, &error.to_string()),
        };
        match (&resolution.outcome, known) {
            (Outcome::Ready(build), known) => self.ready(build, &known, &resolution, &trust).await,
            (Outcome::ForkRefused, known) => self.fork_refused(&known, resolution).await,
            (Outcome::NotYet, Known::Item(record)) => self.not_yet(record, resolution).await,
            (Outcome::NotYet, known) => {
                if let (Known::Never, Some(meant)) = (&known, &resolution.line) {
                    // That this cannot be recorded makes the answer no less true.
                    let _ = self.ledger.record_nothing(&meant.key, &known).await;
                }
                nothing(WhyNothing::NotYet, resolution.reason)
            }
            (Outcome::Unknown, known) => self.unknown(&known, resolution, &trust),
        }
    }

    /// Ready: recorded first, then answered; never back to an older commit of the same walk.
    async fn ready(&self, build: &Build, known: &Known, resolution: &Resolution, trust: &TrustKey) -> Decision {
        let Some(meant) = &resolution.line else {
            return Decision::Refuse { reason: resolution.reason.clone(), again_at: resolution.again_at };
        };
        let newer = resolution.newer();
        let candidate =
            Candidate { build, branch: &meant.branch, own: meant.own, as_of: resolution.as_of, newer: &newer };
        match self.ledger.record(&meant.key, candidate).await {
            Ok(Recorded::Yes) => {
                let item = self.item(build, meant, &meant.branch);
                let (commit, reason) = (build.commit(), resolution.reason.clone());
                Decision::Answer(Answer::Item { item, standing: Standing::Fresh, commit, reason })
            }
            Ok(Recorded::Superseded(record)) => self.held(&record, meant, &resolution.reason),
            Err(error) => {
                tracing::error!(generator = %self.options.name, line = %meant.key.line, %error, "a build cannot be recorded and is not answered");
                self.unknown(known, resolution.clone().because(error.to_string()), trust)
            }
        }
    }

    /// Not yet, though it was answered before: held, until the operator's `hold` ends it.
    async fn not_yet(&self, record: Arc<Record>, resolution: Resolution) -> Decision {
        let Some(meant) = &resolution.line else { return nothing(WhyNothing::NotYet, resolution.reason) };
        let spent = self.ledger.not_yet_for(&meant.key, true);
        let ended = match self.options.hold {
            Hold::Forever => false,
            Hold::For(limit) => spent >= limit,
            Hold::Never => true,
        };
        let known = Known::Item(Arc::clone(&record));
        if ended && self.ledger.record_nothing(&meant.key, &known).await == Ok(true) {
            self.audit(meant, &record, "its hold ended", &resolution.reason);
            return nothing(WhyNothing::HoldEnded, resolution.reason);
        }
        self.held(&record, meant, &resolution.reason)
    }

    /// Forks are refused: the operator's word, even where a build was answered before.
    async fn fork_refused(&self, known: &Known, resolution: Resolution) -> Decision {
        if let Some(meant) = &resolution.line {
            if let Known::Item(record) = known {
                self.audit(meant, record, "forks are refused", &resolution.reason);
            }
            // The operator's word stands whether or not it can be recorded.
            let _ = self.ledger.record_nothing(&meant.key, known).await;
        }
        nothing(WhyNothing::ForkRefused, resolution.reason)
    }

    /// Nobody can say.
    fn unknown(&self, known: &Known, resolution: Resolution, trust: &TrustKey) -> Decision {
        match (known, &resolution.line) {
            (Known::Item(record), Some(meant)) => {
                self.ledger.not_yet_for(&meant.key, false);
                self.held(record, meant, &resolution.reason)
            }
            _ if resolution.ambiguous => Decision::Refuse { reason: resolution.reason, again_at: resolution.again_at },
            (Known::Nothing, _) => nothing(WhyNothing::NeverAnswered, resolution.reason),
            _ if self.ledger.trusted(trust) => nothing(WhyNothing::NeverAnswered, resolution.reason),
            _ => Decision::Refuse { reason: resolution.reason, again_at: resolution.again_at },
        }
    }

    /// Whether it was answered before cannot be read.
    fn unreadable(&self, resolution: &Resolution, error: &str) -> Decision {
        tracing::error!(generator = %self.options.name, error, "the ledger cannot be read");
        Decision::Refuse { reason: error.to_owned(), again_at: resolution.again_at }
    }

    fn held(&self, record: &Record, meant: &Meant, reason: &str) -> Decision {
        Decision::Answer(Answer::Item {
            item: self.item(&record.build, meant, &record.branch),
            standing: Standing::Held,
            commit: record.build.commit(),
            reason: reason.to_owned(),
        })
    }

    /// The item of a build, by today's configuration: every key, every value a string.
    fn item(&self, build: &Build, meant: &Meant, branch: &Branch) -> Item {
        let images = build.images();
        let image = |key: &str| {
            images.get(key).map(|image| OutputImage {
                pinned: image.image.pinned(&image.digest),
                digest: &image.digest,
                tag: Some(&image.tag),
                labels: &image.labels,
            })
        };
        let number = match meant.key.line {
            Line::Pull(number) => Some(number),
            Line::Branch(_) => None,
        };
        let commit = build.commit();
        let context = OutputContext { commit: &commit, branch, number, images: &image };
        let digests = self.options.images.iter().map(|spec| {
            let digest = images.get(&spec.key).map_or_else(String::new, |image| image.digest.to_string());
            (spec.key.clone(), digest)
        });
        let outputs = self.options.outputs.iter().map(|(key, template)| (key.clone(), template.render(&context)));
        Item::rendered(build, digests.chain(outputs).collect::<BTreeMap<_, _>>())
    }

    fn trust_key(&self, question: &Question) -> TrustKey {
        TrustKey {
            generator: Arc::clone(&self.options.name),
            repository: self.build.repository().clone(),
            application_set: question.application_set.as_str().into(),
        }
    }

    /// The one event that says why a preview that existed is withdrawn.
    fn audit(&self, meant: &Meant, record: &Record, why: &str, reason: &str) {
        tracing::warn!(
            generator = %self.options.name,
            line = %meant.key.line,
            branch = %meant.branch,
            commit = %record.build.commit(),
            why,
            reason,
            "an empty list follows an item: the preview is withdrawn"
        );
    }
}

fn nothing(why: WhyNothing, reason: String) -> Decision {
    Decision::Answer(Answer::Nothing { why, reason })
}

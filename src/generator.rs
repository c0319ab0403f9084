//! From a question to an answer: the table of what is answered when.
//!
//! | | never answered before | answered before |
//! |---|---|---|
//! | ready | the item, recorded before it is sent | the item |
//! | ready, but older than what was answered last on the same walk | | what was answered last |
//! | ready, but it cannot be recorded | as *unknown* | held |
//! | not yet | `[]` | held, until `hold` ends it |
//! | unknown, ledger trusted | `[]` | held |
//! | unknown, ledger new | refused | held |
//! | whatever but ready, and the ledger or the record cannot be read | refused | held if still in memory |
//!
//! An empty list deletes a preview and a refusal freezes all of them, so both are given only where nothing better is
//! true; before a refusal the time that is left is used to try again.
//!
//! Where there are other parts beside the build, `composite` puts their lists beside its item; a generator without a
//! build is a [`PlainGenerator`]. A [`Family`] has a generator for each repository that fits a pattern.

mod batch;
mod book;
mod composite;
mod family;
mod guard;
mod heard;
mod item;
mod known;
mod parts;
mod plain;
mod served;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use thiserror::Error;

pub use self::book::{About, Book, Noted, Seen, Shelf, Stood};
use self::item::images_of;
pub use self::{
    family::{Family, Lines},
    guard::Guard,
    heard::{Heard, ListAnswered, ListNoted, PartSaid},
    parts::{Part, Parts, Source},
    plain::PlainGenerator,
    served::Served,
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{
        Answer, Branch, Build, ImageSpec, Item, Misfit, OutputTemplate, Question, QuestionError, Standing, WhyNothing,
    },
    ledger::{Candidate, Epoch, Known, Ledger, LedgerError, LineKey, ListKey, Record, Recorded, TrustKey},
    parts::build::{BuildPart, Meant, Outcome, Resolution},
    upstream::Calls,
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

/// One generator with a build part.
#[derive(Debug)]
pub struct Generator {
    options: GeneratorOptions,
    build: Arc<BuildPart>,
    /// The parts beside it.
    parts: Arc<Parts>,
    /// The open pull requests, for who asks for all of them.
    pulls: Parts,
    ledger: Arc<Ledger>,
    book: Book,
    clock: SharedClock,
}

/// An answer, and how long it may be repeated.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Whether the same question may get it again without another look.
    pub repeat: Option<Repeat>,
    /// When GitHub was asked for what it rests on, where it was.
    pub read_at: Option<Moment>,
}

/// On what condition an answer may be repeated: [`Generator::repeats`].
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    until: Moment,
    /// The state of the ledger that it was made of.
    epoch: Epoch,
}

impl Repeat {
    fn holds(&self, ledger: &Ledger, clock: &SharedClock) -> bool {
        let now = clock.now();
        now <= self.until && ledger.is_unchanged(self.epoch, now)
    }
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
    /// The parts' answers do not fit together.
    #[error("the generator's parts do not fit together: {0}")]
    Misfit(Misfit),
    /// The question is about a repository that the generator does not answer for.
    #[error("input.parameters.repository: this generator answers for `{0}` only")]
    Elsewhere(String),
    /// A bug.
    #[error("lastgreen broke down over this question; its log says where")]
    Internal,
}

/// How long is waited at least and at most before a refused question is tried again.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Why an empty list follows an item, where the operator's `hold` says so.
const HOLD_ENDED: &str = "its hold ended";

/// How many lines are looked at in one go whether they are gone: each costs a look at GitHub.
const FORGET_AT_ONCE: usize = 50;

/// What came of looking whether a line is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgotten {
    /// It was looked at.
    Looked,
    /// Its repository cannot be read.
    Unreadable,
}

/// What the table says.
enum Decision {
    Answer {
        answer: Answer,
        /// Until when it is what would be answered again, if nobody records anything.
        good_until: Moment,
    },
    /// A second read is due then, and settles it; without it, this is the answer.
    Settle { otherwise: Answer, again_at: Moment },
    /// Refuse, unless asking again from then on helps.
    Refuse { reason: String, again_at: Option<Moment> },
}

impl Generator {
    /// A generator with one build part, and perhaps others beside it.
    pub fn new(
        options: GeneratorOptions,
        build: BuildPart,
        (parts, guard): (Arc<Parts>, Option<Guard>),
        (ledger, book): (Arc<Ledger>, Book),
        clock: SharedClock,
    ) -> Self {
        let build = Arc::new(build);
        let pulls = Part { name: "pulls".into(), source: Source::Pulls(Arc::clone(&build)), only_if: None };
        let name = Arc::clone(&options.name);
        let pulls = Parts::new(name, vec![pulls], (None, guard), Arc::clone(&ledger), Arc::clone(&clock));
        Self { options, build, parts, pulls, ledger, book, clock }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.options.name
    }

    /// The parts beside the build.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The open pull requests, as who asks for all of them gets them.
    pub fn pulls(&self) -> &Parts {
        &self.pulls
    }

    /// What it is told by the configuration.
    pub fn options(&self) -> &GeneratorOptions {
        &self.options
    }

    /// What it looks at.
    pub fn build(&self) -> &BuildPart {
        &self.build
    }

    /// What it answered last.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether an answer may be given again now, without another look at anything.
    pub fn repeats(&self, repeat: &Repeat) -> bool {
        repeat.holds(&self.ledger, &self.clock)
    }

    /// Answers a question in time; the parts beside the build are asked with the question's parameters.
    pub async fn answer(
        self: &Arc<Self>,
        question: &Question,
        parameters: &Map<String, Value>,
    ) -> Result<Answered, Refusal> {
        let (began, calls) = (self.clock.now(), Calls::anew());
        let noted = self.note_answer(question, parameters, began + self.options.answer_within);
        let (answered, is_news) = calls.clone().scope(noted).await;
        self.log(question, &answered, is_news, (&calls, self.clock.now().since(began)));
        answered
    }

    /// Says how a question was answered: to everybody if that is news.
    fn log(
        &self,
        question: &Question,
        answered: &Result<Answered, Refusal>,
        is_news: bool,
        (calls, took): (&Calls, Duration),
    ) {
        let (standing, commit, reason) = match answered {
            Ok(Answered { answer, .. }) => (answer.standing().as_str(), answer.commit(), answer.reason().to_owned()),
            Err(refusal) => ("refused", None, refusal.to_string()),
        };
        let commit = commit.map(tracing::field::display);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let Question { application_set, branch, number, .. } = question;
        let (generator, upstream_calls) = (&self.options.name, calls.count());
        let trace_id = calls.trace().id().map(tracing::field::display);
        calls.trace().note(|span| {
            span.text("lastgreen.application_set", application_set);
            span.text("lastgreen.branch", branch);
            span.number("lastgreen.upstream_calls", upstream_calls.into());
            span.flag("lastgreen.news", is_news);
            if let Some(number) = number {
                span.number("lastgreen.number", *number);
            }
        });
        // The level of an event is fixed where it stands.
        if is_news {
            tracing::info!(%generator, application_set, %branch, number, standing, commit, reason, upstream_calls, milliseconds, trace_id, "answered");
        } else {
            tracing::debug!(%generator, application_set, %branch, number, standing, commit, reason, upstream_calls, milliseconds, trace_id, "answered");
        }
    }

    /// Answers a question by then, and notes what it answered.
    async fn answer_by(
        self: &Arc<Self>,
        question: &Question,
        parameters: &Map<String, Value>,
        deadline: Moment,
    ) -> Result<Answered, Refusal> {
        self.note_answer(question, parameters, deadline).await.0
    }

    /// The same, and whether it is another answer than the last one.
    async fn note_answer(
        self: &Arc<Self>,
        question: &Question,
        parameters: &Map<String, Value>,
        deadline: Moment,
    ) -> (Result<Answered, Refusal>, bool) {
        let mut seen = None;
        let answered = self.answer_by_the_table(question, parameters, deadline, &mut seen).await;
        let answer = answered.as_ref().map(|answered| &answered.answer);
        let is_news = self.book.note(question, seen, answer, self.clock.now());
        (answered, is_news)
    }

    async fn answer_by_the_table(
        self: &Arc<Self>,
        question: &Question,
        parameters: &Map<String, Value>,
        deadline: Moment,
        seen: &mut Option<Seen>,
    ) -> Result<Answered, Refusal> {
        // What the upstreams do not say by then is unknown; what is left is for the ledger.
        let last_word = deadline - self.options.answer_within.mul_f64(0.1);
        let mut said = None;
        loop {
            // Which line is meant may hang on what is recorded. If that cannot be read, the table says so below.
            let _ = self.ledger.refresh(last_word).await;
            // What is recorded from here on may be news to this answer.
            let epoch = self.ledger.epoch();
            let (resolution, beside) = self.resolve_and_ask(question, parameters, last_word).await?;
            *seen = Some(Seen::of(&resolution));
            let beside = beside.zip(resolution.line.clone());
            if let Some((said, meant)) = &beside {
                self.parts.note_said(&ListKey::of_line(&meant.key), said);
            }
            let read_at = Some(resolution.as_of).filter(|as_of| *as_of != Moment::START);
            let decision = self.decide(question, resolution, deadline).await;
            let decision = match &beside {
                Some((asked, meant)) => self.compose(decision, meant, asked, deadline).await?,
                None => decision,
            };
            let (reason, again_at) = match decision {
                Decision::Answer { answer, good_until } => {
                    let repeat = Repeat { until: good_until, epoch };
                    return Ok(Answered { answer, repeat: self.repeats(&repeat).then_some(repeat), read_at });
                }
                Decision::Refuse { reason, again_at } => (reason, again_at),
                Decision::Settle { otherwise, again_at } => {
                    if again_at >= last_word {
                        return Ok(Answered { answer: otherwise, repeat: None, read_at });
                    }
                    self.clock.sleep_until(again_at).await;
                    continue;
                }
            };
            let now = self.clock.now();
            let next = again_at.unwrap_or(now).clamp(now + TRY_AGAIN.0, now + TRY_AGAIN.1);
            // The first reason is the cause; that a later try was cut off by the deadline is not.
            let reason = said.get_or_insert(reason);
            if next >= last_word {
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
            (Outcome::Ready(build), Some(meant)) => Some(self.item(build, &images_of(build), meant, &meant.branch)),
            _ => None,
        }
    }

    /// Keeps fresh what is asked for, until `end` completes; of several replicas the one that leads does.
    pub async fn keep_fresh(&self, end: impl Future<Output = ()>) {
        Arc::clone(&self.build).keep_fresh(|| self.ledger.leads(), end).await;
    }

    /// How many lines are kept fresh.
    pub fn hot_lines(&self) -> usize {
        self.build.hot_lines()
    }

    /// Completes once nothing is looked at ahead any more. A simulation must not let time pass meanwhile.
    pub async fn settled(&self) {
        self.build.settled().await;
    }

    /// Forgets lines that nobody has asked for as long as that, and that GitHub says are closed or gone.
    pub async fn forget(&self, limit: Duration) {
        for key in self.ledger.not_asked_for(&self.options.name, limit, FORGET_AT_ONCE) {
            if self.forget_line(&key, limit).await == Forgotten::Unreadable {
                return;
            }
        }
    }

    /// Forgets a line if GitHub says that it is closed or gone.
    async fn forget_line(&self, key: &LineKey, limit: Duration) -> Forgotten {
        let until = self.clock.now() + self.options.answer_within;
        match self.build.is_gone(key).await {
            Ok(true) => match self.ledger.forget_unasked(key, limit, until).await {
                Ok(true) => {
                    tracing::info!(generator = %key.generator, line = %key.line, "forgotten: nobody asks for it, and it is closed or gone");
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "nothing can be forgotten"),
            },
            // It may be asked for again; it is looked at again when it was not.
            Ok(false) => self.ledger.asked(key),
            Err(error) => {
                tracing::debug!(%error, "whether lines are gone cannot be read");
                return Forgotten::Unreadable;
            }
        }
        Forgotten::Looked
    }

    /// What the upstreams say until the deadline; what is not known by then is unknown. The work goes on all the same,
    /// so that the next question finds it done.
    async fn resolve_by(self: &Arc<Self>, question: &Question, deadline: Moment) -> Result<Resolution, Refusal> {
        let work = {
            let (this, question) = (Arc::clone(self), question.clone());
            let calls = Calls::current();
            tokio::spawn(calls.scope(async move { this.build.resolve(&question, false).await }))
        };
        tokio::select! {
            biased;
            done = work => Ok(done.map_err(|_| Refusal::Internal)??),
            () = self.clock.sleep_until(deadline) => Ok(self.build.late(question)),
        }
    }

    /// The table.
    async fn decide(&self, question: &Question, resolution: Resolution, until: Moment) -> Decision {
        let trust = self.trust_key(question);
        if let Some(trust) = &trust {
            let failed = resolution.upstream_failed;
            self.ledger.watched(trust, if failed { None } else { self.build.upstreams_well_since() });
        }
        let known = match &resolution.line {
            None => self.ledger.refresh(until).await.map(|()| Known::Never),
            Some(meant) => {
                self.ledger.asked(&meant.key);
                match &resolution.inherited {
                    Some(record) => Ok(Known::Item(Arc::clone(record))),
                    None => self.ledger.known(&meant.key, until).await,
                }
            }
        };
        if let (Ok(Known::Nothing), Some(meant)) = (&known, &resolution.line)
            && !matches!(resolution.outcome, Outcome::Ready(_))
            && let Some(record) = self.ledger.take_withdrawn(&meant.key)
        {
            // Its record came through after all, when nobody waited for it any more.
            self.audit(meant, &record, HOLD_ENDED, &resolution.reason);
        }
        let trusted = trust.is_some_and(|trust| self.ledger.trusted(&trust));
        match (&resolution.outcome, known) {
            (Outcome::Ready(build), known) => {
                let build = build.clone();
                self.ready(build, known, resolution, trusted, until).await
            }
            (Outcome::ForkRefused, known) => self.fork_refused(known.ok(), resolution, until).await,
            (_, Err(error)) => self.unreadable(&resolution, &error),
            (Outcome::NotYet, Ok(Known::Item(record))) => self.not_yet(record, resolution, until).await,
            // What it came from was answered, perhaps; that cannot be read.
            (Outcome::NotYet, _) if resolution.ambiguous => refuse(resolution),
            (Outcome::NotYet, Ok(known)) => {
                // That this cannot be recorded makes the answer no less true; it is tried again.
                if let Some(meant) = &resolution.line
                    && (known == Known::Never && !resolution.unseen || resolution.disowns)
                    && self.ledger.record_nothing(&meant.key, name_of(meant), (&known, true), until).await.is_err()
                {
                    return nothing(WhyNothing::NotYet, resolution.reason);
                }
                nothing_until(resolution.good_until, WhyNothing::NotYet, resolution.reason)
            }
            (Outcome::Unknown, Ok(known)) => self.unknown(&known, resolution, trusted, until).await,
        }
    }

    /// Ready: recorded first, then answered; never back to an older commit of the same walk.
    async fn ready(
        &self,
        build: Build,
        known: Result<Known, LedgerError>,
        resolution: Resolution,
        trusted: bool,
        until: Moment,
    ) -> Decision {
        let Some(meant) = resolution.line.clone() else { return refuse(resolution) };
        let newer = resolution.newer();
        let candidate =
            Candidate { build, branch: meant.branch.clone(), own: meant.own, as_of: resolution.as_of, newer };
        match self.ledger.record(&meant.key, &candidate, until).await {
            Ok(Recorded::Yes) => {
                let build = candidate.build;
                let item = self.item(&build, &images_of(&build), &meant, &meant.branch);
                let (commit, reason) = (build.commit(), resolution.reason);
                let answer = Answer::Item { item, standing: Standing::Fresh, commit, reason };
                Decision::Answer { answer, good_until: resolution.good_until }
            }
            Ok(Recorded::Superseded(record)) => {
                self.held(&record, &meant, (&resolution.reason, Moment::START), until).await
            }
            Err(error) => {
                tracing::error!(generator = %self.options.name, line = %meant.key.line, %error, "a build cannot be recorded and is not answered");
                match known {
                    Ok(known) => self.unknown(&known, resolution.because(error.to_string()), trusted, until).await,
                    Err(unread) => self.unreadable(&resolution, &unread),
                }
            }
        }
    }

    /// Not yet, though it was answered before: held, until the operator's `hold` ends it.
    async fn not_yet(&self, record: Arc<Record>, resolution: Resolution, until: Moment) -> Decision {
        let Some(meant) = &resolution.line else { return nothing(WhyNothing::NotYet, resolution.reason) };
        let spent = self.ledger.not_yet_for(&meant.key, true);
        let ended = match self.options.hold {
            Hold::Forever => false,
            Hold::For(limit) => spent >= limit,
            Hold::Never => true,
        };
        let known = Known::Item(Arc::clone(&record));
        if ended && self.ledger.record_nothing(&meant.key, name_of(meant), (&known, false), until).await == Ok(true) {
            self.audit(meant, &record, HOLD_ENDED, &resolution.reason);
            return nothing(WhyNothing::HoldEnded, resolution.reason);
        }
        let good_until = match self.options.hold {
            Hold::For(limit) => resolution.good_until.min(self.clock.now() + limit.saturating_sub(spent)),
            Hold::Forever | Hold::Never => resolution.good_until,
        };
        // An end that cannot be recorded is tried again.
        let good_until = if ended { Moment::START } else { good_until };
        self.held(&record, meant, (&resolution.reason, good_until), until).await
    }

    /// Forks are refused: the operator's word, even where a build was answered before.
    async fn fork_refused(&self, known: Option<Known>, resolution: Resolution, until: Moment) -> Decision {
        if let (Some(meant), Some(known)) = (&resolution.line, &known) {
            let is_news = self.ledger.say_withdrawn(&meant.key);
            // The operator's word stands whether or not it can be recorded; while it cannot, the item stays known.
            let recorded = self.ledger.record_nothing(&meant.key, name_of(meant), (known, false), until).await;
            // Where somebody else was quicker, he has said it.
            if let (Known::Item(record), true) = (known, is_news && recorded != Ok(false)) {
                self.audit(meant, record, "forks are refused", &resolution.reason);
            }
        }
        let good_until = if known == Some(Known::Nothing) { resolution.good_until } else { Moment::START };
        nothing_until(good_until, WhyNothing::ForkRefused, resolution.reason)
    }

    /// Nobody can say.
    async fn unknown(&self, known: &Known, resolution: Resolution, trusted: bool, until: Moment) -> Decision {
        match (known, &resolution.line) {
            (Known::Item(record), Some(meant)) => {
                self.ledger.not_yet_for(&meant.key, false);
                self.held(record, meant, (&resolution.reason, Moment::START), until).await
            }
            _ if resolution.ambiguous => refuse(resolution),
            (Known::Nothing, _) => nothing(WhyNothing::NeverAnswered, resolution.reason),
            _ if trusted => match (resolution.is_doubted(), resolution.again_at) {
                // An empty list for what the next read may show would be hasty.
                (true, Some(again_at)) => {
                    let otherwise = Answer::Nothing { why: WhyNothing::NeverAnswered, reason: resolution.reason };
                    Decision::Settle { otherwise, again_at }
                }
                _ => nothing(WhyNothing::NeverAnswered, resolution.reason),
            },
            _ => refuse(resolution),
        }
    }

    /// Whether it was answered before cannot be read.
    fn unreadable(&self, resolution: &Resolution, error: &LedgerError) -> Decision {
        tracing::debug!(generator = %self.options.name, %error, "whether it was answered before cannot be read");
        Decision::Refuse { reason: error.to_string(), again_at: resolution.again_at }
    }

    /// What was answered last, for a reason and as long as that is good.
    async fn held(
        &self,
        record: &Record,
        meant: &Meant,
        (reason, good_until): (&str, Moment),
        until: Moment,
    ) -> Decision {
        let renewed = self.build.renewed(meant, record, until).await;
        // What is missing is looked for again.
        let good_until = if renewed.missing.is_empty() { good_until } else { Moment::START };
        let reasons: Vec<_> =
            renewed.missing.iter().map(String::as_str).chain([reason]).filter(|reason| !reason.is_empty()).collect();
        let answer = Answer::Item {
            item: self.item(&record.build, &renewed.images, meant, &record.branch),
            standing: Standing::Held,
            commit: record.build.commit(),
            reason: reasons.join("; "),
        };
        Decision::Answer { answer, good_until }
    }

    /// What is trusted apart; nothing while the repository was never seen.
    fn trust_key(&self, question: &Question) -> Option<TrustKey> {
        Some(TrustKey {
            generator: Arc::clone(&self.options.name),
            repository: self.ledger.repository(self.build.repository())?,
            application_set: question.application_set.as_str().into(),
        })
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

/// The head branch of a line, and whether it is an own one.
fn name_of(meant: &Meant) -> (&Branch, bool) {
    (&meant.branch, meant.own)
}

fn refuse(resolution: Resolution) -> Decision {
    Decision::Refuse { reason: resolution.reason, again_at: resolution.again_at }
}

fn nothing(why: WhyNothing, reason: String) -> Decision {
    nothing_until(Moment::START, why, reason)
}

fn nothing_until(good_until: Moment, why: WhyNothing, reason: String) -> Decision {
    Decision::Answer { answer: Answer::Nothing { why, reason }, good_until }
}

//! From a question to an answer: `table` says what is answered when.
//!
//! ```text
//! question ─ what upstreams and other parts say, in time ─ table ─ composite ─ answer
//!               └ tried again while there is time, before it is refused
//! ```
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
mod names;
mod parts;
mod plain;
mod served;
mod table;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use thiserror::Error;

pub use self::book::{About, Book, Noted, Seen, Shelf, Stood};
pub use self::{
    family::{Family, Lines},
    guard::Guard,
    heard::{Heard, ListAnswered, ListNoted, PartSaid},
    parts::{Part, Parts, Source},
    plain::PlainGenerator,
    served::Served,
};
use self::{item::images_of, names::Names, table::Decision};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Answer, ImageSpec, Item, Misfit, OutputTemplate, Question, QuestionError},
    ledger::{Epoch, Ledger, LineKey, ListKey},
    parts::build::{BuildPart, Outcome, Resolution},
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
    names: Names,
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
        Self { options, build, parts, pulls, ledger, book, names: Names::default(), clock }
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
        if let Ok(answer) = answer {
            self.note_name(question, seen.as_ref().and_then(|seen| seen.line.as_ref()), answer);
        }
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
}

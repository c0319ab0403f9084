//! Why a preview is as it is, for people: what every generator serves, and of one line the whole story.
//!
//! ```text
//! ledger (what is served) ┐
//! books (what was said)   ├─ rows ─ filtered, sorted, a page of them
//!                         ├─ one line ─ its story: commits, checks with their rules, images, other parts
//!                         └─ one list ─ its parts, and what the guard makes of it
//! GitHub, registries ─ budgets
//! ```
//!
//! All of it is known already: nothing here asks an upstream or waits for one, so that looking costs nobody anything.
//! Only [`Explain::look`] asks anew, for one line, as the command line does; what it finds changes no answer.
//!
//! What comes out is plain data, and its JSON a contract: `docs/explain.md`.

mod join;
mod looks;
mod parts;
mod rows;
mod rules;
mod services;
mod story;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::Map;
use thiserror::Error;
use tokio::sync::Semaphore;

use self::looks::{Look, Looks};
pub use self::{
    parts::{GuardView, HeldBackView, ListStory, PartView},
    rows::{Filter, Order, PER_PAGE, Sort, State},
    services::{Budget, QuotaView, ServiceView, TroubleView},
    story::{CheckView, CommitView, Effect, Image, ImageView, Served, Source, Story, Verdict},
    view::{GeneratorView, LineStory, NextLook, Overview, Policy, Row, text},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Question, QuestionError, Repo},
    generator::{self, Generator, Lines, Refusal, Seen},
    github::GitHub,
    ledger::{Ledger, LedgerError},
    registry::Registries,
};

/// How long a look at the ledger may take.
const LEDGER: Duration = Duration::from_secs(3);

/// How long a new look at the upstreams may take.
const LOOK: Duration = Duration::from_secs(25);

/// How many new looks there are at once.
const AT_ONCE: usize = 2;

/// What explains.
#[derive(Debug)]
pub struct Explain {
    generators: BTreeMap<Arc<str>, generator::Served>,
    ledger: Arc<Ledger>,
    github: Option<Arc<GitHub>>,
    registries: Arc<Registries>,
    /// Where GitHub shows repositories to people, without a slash at its end.
    web: Option<String>,
    looks: Looks,
    looking: Semaphore,
    clock: SharedClock,
}

/// Which line is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// The generator's name; a sole one need not be named.
    pub generator: Option<String>,
    /// The head branch's name.
    pub branch: Option<String>,
    /// The pull request.
    pub number: Number,
    /// The repository, where the generator answers for several.
    pub repository: Option<Repo>,
    /// GitHub's number of the repository, where several have such a line.
    pub repository_id: Option<u64>,
    /// What a list is about that stands beside no build.
    pub about: Option<String>,
}

/// Which pull request is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Number {
    /// Any, or none.
    #[default]
    Any,
    /// None: the branch without a pull request.
    None,
    /// This one.
    Is(u64),
}

/// What was found of a line.
#[derive(Debug)]
pub enum Found {
    /// The one that fits.
    One(Box<LineStory>),
    /// It is a list that stands beside no build.
    List(Box<ListStory>),
    /// Several fit.
    Several(Overview),
}

/// Why something is not explained.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unexplained {
    /// There is no such generator.
    #[error("there is no generator `{name}`; there are: {known}")]
    NoSuchGenerator {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There are several, and none was named.
    #[error("there are several generators: name one of {0}")]
    Unnamed(String),
    /// It has no lines.
    #[error("generator `{0}` has no `build` part, and so no branches: name one of its lists by `about`")]
    NoLines(String),
    /// It answers for several repositories, and none was named.
    #[error("this generator answers for `{0}`: name the repository by `repository`")]
    NoRepository(String),
    /// It does not answer for that.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The line was never seen.
    #[error("nobody has asked for this since lastgreen began, and the ledger does not know it")]
    NeverSeen,
    /// The question is one that no pull request can cause.
    #[error(transparent)]
    Bad(#[from] QuestionError),
    /// Others look just now.
    #[error("others have the upstreams asked anew just now: try again in a moment")]
    Busy,
    /// GitHub or a registry took too long.
    #[error("GitHub or a registry took too long; what is found is kept all the same: look again in a moment")]
    Late,
}

impl Explain {
    /// Explains these generators. `web` is where GitHub shows repositories to people.
    pub fn new(
        generators: impl IntoIterator<Item = generator::Served>,
        ledger: Arc<Ledger>,
        (github, registries): (Option<Arc<GitHub>>, Arc<Registries>),
        web: Option<String>,
        clock: SharedClock,
    ) -> Self {
        let (looks, looking) = (Looks::default(), Semaphore::new(AT_ONCE));
        let generators = generators.into_iter().map(|served| (Arc::clone(served.name()), served)).collect();
        Self { generators, ledger, github, registries, web, looks, looking, clock }
    }

    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Every line that fits, a page of them.
    pub async fn overview(&self, filter: &Filter) -> Overview {
        let now = self.now();
        let (rows, problem) = self.rows(now).await;
        self.page(filter, rows, problem, now)
    }

    /// The story of one line, or of one list.
    pub async fn line(&self, which: &Which) -> Result<Found, Unexplained> {
        let served = self.generator(which.generator.as_deref())?;
        let now = self.now();
        let (mut rows, problem) = self.rows(now).await;
        rows.retain(|row| row.generator == *served.name() && row.fits(which));
        if rows.len() > 1 {
            return Ok(Found::Several(self.page(&Filter::default(), rows, problem, now)));
        }
        let row = rows.pop();
        if let Some((row, list)) = row.as_ref().and_then(|row| Some((row, row.list.as_ref()?))) {
            return Ok(Found::List(Box::new(self.list_story(served, (row, list), problem, now))));
        }
        if which.about.is_some() {
            return Err(Unexplained::NeverSeen);
        }
        let lines = lines_of(served)?;
        let look = self.looks.get(lines.name(), which, row.as_ref());
        if row.is_none() && look.is_none() {
            return Err(Unexplained::NeverSeen);
        }
        let repository = row.as_ref().and_then(|row| row.repository.clone());
        let repository = repository.or_else(|| self.looks.repository(lines.name(), which));
        let generator = match lines {
            Lines::Sole(generator) => Arc::clone(generator),
            // What fits no more is told as the others are.
            Lines::Family(_) => lines.of(repository.as_ref()).or_else(|_| lines.of(None))?,
        };
        let story = self.story(&generator, (row.as_ref(), repository), look.as_deref(), problem, now);
        Ok(Found::One(Box::new(story)))
    }

    /// Asks GitHub and the registries anew for one line, and keeps what they say for [`Explain::line`].
    pub async fn look(&self, which: &Which) -> Result<(), Unexplained> {
        let lines = lines_of(self.generator(which.generator.as_deref())?)?;
        let generator = self.meant(lines, which)?;
        let question = question(which)?;
        let _turn = self.looking.try_acquire().map_err(|_| Unexplained::Busy)?;
        let resolution = tokio::select! {
            biased;
            resolution = generator.explain(&question) => resolution?,
            () = self.clock.sleep_until(self.clock.now() + LOOK) => return Err(Unexplained::Late),
        };
        tracing::info!(generator = %generator.name(), branch = %question.branch, "looked at anew, for people");
        let repository = generator.build().repository();
        let look = Look::new(&resolution, Seen::of(&resolution), (&question, repository), self.clock.now());
        self.looks.keep(generator.name(), look);
        Ok(())
    }

    /// The generator of the repository that is meant.
    fn meant(&self, lines: &Lines, which: &Which) -> Result<Arc<Generator>, Unexplained> {
        match (lines, &which.repository) {
            (_, Some(_)) | (Lines::Sole(_), None) => Ok(lines.of(which.repository.as_ref())?),
            (Lines::Family(_), None) => {
                let names = which.repository_id.map(|id| self.ledger.names_of(id)).unwrap_or_default();
                let fitting = names.iter().find_map(|name| lines.of(Some(name)).ok());
                fitting.ok_or_else(|| Unexplained::NoRepository(lines.repositories()))
            }
        }
    }

    /// All lines, and what is wrong with the ledger if it cannot be read.
    async fn rows(&self, now: Now) -> (Vec<rows::Line>, Option<String>) {
        let until = self.clock.now() + LEDGER;
        let listed =
            async { Ok::<_, LedgerError>((self.ledger.list(until).await?, self.ledger.list_lists(until).await?)) };
        let ((lines, lists), problem) = match listed.await {
            Ok(listed) => (listed, None),
            Err(error) => (Default::default(), Some(error.to_string())),
        };
        let mut rows = join::lines(lines, &self.generators, now);
        rows.extend(join::lists(lists, &self.generators, now));
        (rows, problem)
    }

    fn page(&self, filter: &Filter, rows: Vec<rows::Line>, problem: Option<String>, now: Now) -> Overview {
        let page = rows::page(rows, filter);
        Overview {
            now: now.wall,
            generators: self.generators.values().map(GeneratorView::of).collect(),
            counts: page.counts,
            total: page.total,
            matching: page.matching,
            page: page.number,
            pages: page.pages,
            per_page: PER_PAGE,
            lines: page.lines.iter().map(|line| Row::of(line, now)).collect(),
            budgets: self.budgets(now),
            services: self.services(now),
            problem,
        }
    }

    fn generator(&self, name: Option<&str>) -> Result<&generator::Served, Unexplained> {
        let known = || self.generators.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => self
                .generators
                .get(name)
                .ok_or_else(|| Unexplained::NoSuchGenerator { name: crate::domain::excerpt(name), known: known() }),
            None => match (self.generators.first_key_value(), self.generators.len()) {
                (Some((_, sole)), 1) => Ok(sole),
                _ => Err(Unexplained::Unnamed(known())),
            },
        }
    }

    fn now(&self) -> Now {
        Now { moment: self.clock.now(), wall: self.clock.wall() }
    }
}

/// The lines of a generator that has some.
fn lines_of(served: &generator::Served) -> Result<&Lines, Unexplained> {
    match served {
        generator::Served::Lines(lines) => Ok(lines),
        generator::Served::Plain(generator) => Err(Unexplained::NoLines(generator.name().to_string())),
    }
}

/// The present by both clocks.
#[derive(Clone, Copy, Debug)]
struct Now {
    moment: Moment,
    wall: DateTime<Utc>,
}

impl Now {
    /// A moment by the wall clock; the clock's beginning stands for none.
    fn wall(self, moment: Moment) -> Option<DateTime<Utc>> {
        let past = self.wall - delta(self.moment.since(moment));
        // What is shown has whole seconds.
        (moment != Moment::START).then(|| (past + delta(moment.since(self.moment))).round_subsecs(0))
    }
}

fn delta(duration: Duration) -> TimeDelta {
    // Beyond that no date would be left.
    TimeDelta::from_std(duration.min(Duration::from_hours(24 * 365 * 100))).unwrap_or_default()
}

/// A question about a line, as Argo CD would ask it.
fn question(which: &Which) -> Result<Question, QuestionError> {
    let mut parameters = Map::new();
    parameters.insert("branch".to_owned(), which.branch.as_deref().unwrap_or_default().into());
    if let Number::Is(number) = which.number {
        parameters.insert("number".to_owned(), number.into());
    }
    Question::parse("", &parameters)
}

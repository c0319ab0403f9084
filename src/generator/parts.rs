//! The parts beside `build`: asked together, their lists put together, and recorded before they are answered.
//!
//! ```text
//! ask ─ each part: a list, or it cannot say ─ settle ─ what was recorded stands in ─ product ─ guard ─ recorded ─ list
//! ```

mod settle;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Map, Value};

pub(super) use self::settle::{Settled, Unsettled};
use super::{
    Refusal,
    guard::Guard,
    heard::{Heard, PartSaid},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Answer, List, Misfit, QuestionError, Selector, TAKEN_KEYS, inputs},
    ledger::{Ledger, ListKey},
    parts::{
        build::{BuildPart, pull_keys},
        part::CannotSay,
        plugins::PluginPart,
        sql::SqlPart,
    },
};

/// How long a look at a part may take before anybody asks.
const CHECK: Duration = Duration::from_secs(10);

/// The build's name among the parts.
const BUILD: &str = "build";

/// One part beside `build`.
#[derive(Debug)]
pub struct Part {
    /// Its name, as the configuration has it.
    pub name: Arc<str>,
    /// Where its items come from.
    pub source: Source,
    /// Which items of the product so far, with its own keys, are wanted.
    pub only_if: Option<Selector>,
}

/// Where items come from.
#[derive(Debug)]
pub enum Source {
    /// The rows of a query.
    Sql(Box<SqlPart>),
    /// What another plugin answers.
    Plugin(Arc<PluginPart>),
    /// The open pull requests of a repository, by number and branch.
    Pulls(Arc<BuildPart>),
}

impl Part {
    /// The names of the inputs that make a difference to it, as texts.
    fn inputs(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.source {
            Source::Sql(sql) => Box::new(sql.parameters()),
            Source::Plugin(_) | Source::Pulls(_) => Box::new(iter::empty()),
        }
    }

    /// What a source says of what it is asked: the keys of its items.
    pub async fn check(&self, until: Moment) -> Result<Vec<String>, CannotSay> {
        match &self.source {
            Source::Sql(sql) => sql.check(until).await,
            // Nobody asks it before there is a question.
            Source::Plugin(plugin) => Ok(plugin.options().keys.iter().flatten().cloned().collect()),
            Source::Pulls(_) => Ok(pull_keys().to_vec()),
        }
    }

    async fn list(&self, inputs: &Map<String, Value>, set: &str, until: Moment) -> Result<List, CannotSay> {
        let items = match &self.source {
            Source::Sql(sql) => sql.items(inputs, set, until).await,
            Source::Plugin(plugin) => plugin.items(inputs, set, until).await,
            Source::Pulls(build) => build.pulls_until(until).await,
        };
        items.map(List::said)
    }
}

/// All parts beside `build` of one generator, in order.
#[derive(Debug)]
pub struct Parts {
    generator: Arc<str>,
    all: Vec<Part>,
    /// The keys of the build beside them, if there is one.
    build_keys: Option<BTreeSet<String>>,
    guard: Option<Guard>,
    /// Why a part could not say when it was asked last, by its name: the log is told what is new.
    silent: Mutex<BTreeMap<Arc<str>, CannotSay>>,
    heard: Heard,
    ledger: Arc<Ledger>,
    clock: SharedClock,
}

/// What the parts said to one question.
#[derive(Debug)]
pub(super) struct Said {
    /// When they were asked.
    as_of: Moment,
    /// With what, in one form.
    inputs: Option<Arc<str>>,
    lists: Vec<Result<List, CannotSay>>,
}

impl Parts {
    /// These parts of that generator, looked after by a guard, perhaps beside a build with such keys.
    pub fn new(
        generator: Arc<str>,
        all: Vec<Part>,
        (build_keys, guard): (Option<BTreeSet<String>>, Option<Guard>),
        ledger: Arc<Ledger>,
        clock: SharedClock,
    ) -> Self {
        let (silent, heard) = (Mutex::default(), Heard::default());
        Self { generator, all, build_keys, guard, silent, heard, ledger, clock }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a database has something to do for any of them. A simulation must not let time pass meanwhile.
    pub fn is_working(&self) -> bool {
        self.all.iter().any(|part| matches!(&part.source, Source::Sql(sql) if sql.is_working()))
    }

    /// Each part.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.all.iter()
    }

    /// Whose they are.
    pub fn generator(&self) -> &Arc<str> {
        &self.generator
    }

    /// What they said last.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// What looks after them, if anything does.
    pub fn guard(&self) -> Option<Guard> {
        self.guard
    }

    /// Notes what was said about something.
    pub(super) fn note_said(&self, key: &ListKey, said: &Said) {
        let parts = self.all.iter().zip(&said.lists).map(|(part, list)| {
            let list = list.as_ref().map(List::len).map_err(Clone::clone);
            (Arc::clone(&part.name), PartSaid { at: said.as_of, said: list })
        });
        self.heard.said(key, said.inputs.as_deref(), parts, self.clock.now());
    }

    /// Notes how it was answered.
    pub(super) fn note_answer(&self, key: &ListKey, answer: Result<&Answer, &Refusal>) {
        self.heard.answered(key, answer, self.clock.now());
    }

    /// Looks at what is asked of each source, and says what is wrong with it before anybody is told so.
    pub async fn check(&self) {
        for part in &self.all {
            let checked = part.check(self.clock.now() + CHECK).await.map_err(|error| error.to_string());
            let checked = checked.and_then(|keys| {
                self.check_known_keys(&part.name, &keys).map_err(|misfit| misfit.to_string())?;
                Ok(keys)
            });
            match checked {
                Ok(keys) => tracing::info!(generator = %self.generator, part = %part.name, ?keys, "checked"),
                Err(error) => {
                    tracing::error!(generator = %self.generator, part = %part.name, error, "a part cannot be used");
                }
            }
        }
    }

    /// Whether the keys of a part can stand beside those of the build.
    pub fn check_known_keys(&self, part: &Arc<str>, keys: &[String]) -> Result<(), Misfit> {
        let Some(build_keys) = &self.build_keys else { return Ok(()) };
        let (part, first) = (Arc::clone(part), vec![Arc::from(BUILD)]);
        match keys.iter().find(|key| build_keys.contains(*key) || TAKEN_KEYS.contains(&key.as_str())) {
            Some(key) if build_keys.contains(key) => Err(Misfit::Clash { first, second: part, key: key.clone() }),
            Some(key) => Err(Misfit::Taken { part, key: key.clone() }),
            None => Ok(()),
        }
    }

    /// Those of a question's inputs that make a difference.
    pub(super) fn inputs(&self, parameters: &Map<String, Value>) -> Result<Map<String, Value>, QuestionError> {
        let mut inputs = inputs(self.all.iter().flat_map(Part::inputs), parameters)?;
        // Other plugins get theirs as they are.
        for part in &self.all {
            if let Source::Plugin(plugin) = &part.source {
                for (name, value) in plugin.inputs().select(parameters) {
                    inputs.entry(name).or_insert(value);
                }
            }
        }
        Ok(inputs)
    }

    /// What is said where a question's inputs are no good: with a build beside them they may be anybody's words, so that
    /// no part can say, and nobody else is concerned.
    pub(super) fn say_nothing(&self, why: &QuestionError) -> Said {
        let cannot_say = || Err(CannotSay { reason: why.to_string() });
        Said { as_of: self.clock.now(), inputs: None, lists: self.all.iter().map(|_| cannot_say()).collect() }
    }

    /// Asks all parts at once.
    pub(super) async fn ask(&self, inputs: &Map<String, Value>, set: &str, until: Moment) -> Said {
        // What others have recorded so far is older than what is asked now. If it cannot be read, that is said below.
        let _ = self.ledger.refresh(until).await;
        let as_of = self.clock.now();
        let lists = join_all(self.all.iter().map(|part| part.list(inputs, set, until))).await;
        for (part, list) in self.all.iter().zip(&lists) {
            self.note(part, list);
        }
        let inputs = Some(Value::Object(inputs.clone()).to_string().into());
        Said { as_of, inputs, lists }
    }

    /// What the parts would say if none could be asked.
    pub(super) fn unasked(&self, reason: &str) -> Said {
        let cannot_say = |_: &Part| Err(CannotSay { reason: reason.to_owned() });
        Said { as_of: self.clock.now(), inputs: None, lists: self.all.iter().map(cannot_say).collect() }
    }

    /// Tells the log when a part falls silent, for another reason, or speaks again.
    fn note(&self, part: &Part, said: &Result<List, CannotSay>) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        match said {
            Ok(_) if silent.is_empty() => {}
            Ok(_) => {
                if silent.remove(&part.name).is_some() {
                    tracing::info!(generator = %self.generator, part = %part.name, "it can say again");
                }
            }
            Err(cannot_say) if silent.get(&part.name) == Some(cannot_say) => {}
            Err(cannot_say) => {
                let reason = &cannot_say.reason;
                tracing::warn!(generator = %self.generator, part = %part.name, reason, "a part cannot say; what it said last is answered");
                silent.insert(Arc::clone(&part.name), cannot_say.clone());
            }
        }
    }
}

//! The parts beside `build`: asked together, their lists put together, and recorded before they are answered.
//!
//! ```text
//! ask ─ each part: a list, or it cannot say ─ settle ─ what was recorded stands in ─ product ─ guard ─ recorded ─ list
//! ```
//!
//! | | recorded before | never recorded |
//! |---|---|---|
//! | all parts say | the product, recorded first; the former one while the guard holds it back | the product, recorded first |
//! | a part cannot say | its list is the one recorded last | nobody can say |
//! | it cannot be recorded | the former product | nobody can say |

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Map, Value};

use super::{
    Refusal,
    guard::{Guard, Judged},
    heard::{Heard, PartSaid},
};
use crate::{
    clock::{Moment, SharedClock},
    domain::{Answer, Contribution, List, Misfit, QuestionError, Selector, TAKEN_KEYS, inputs, product, vanished},
    ledger::{Guarded, KnownLists, Ledger, LedgerError, ListKey, ListRecord},
    parts::{
        build::{BuildPart, pull_keys},
        part::CannotSay,
        plugins::PluginPart,
        sql::SqlPart,
    },
};

/// How often a record is tried that others cross.
const TRIES: usize = 4;

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

/// What is answered.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) list: List,
    /// Whether something of it was answered before and is kept.
    pub(super) held: bool,
    pub(super) reasons: Vec<String>,
}

/// Why nothing is.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// Nobody can say.
    Unknown(String),
    /// The parts do not fit together.
    Misfit(Misfit),
}

impl From<LedgerError> for Unsettled {
    fn from(error: LedgerError) -> Self {
        Self::Unknown(error.to_string())
    }
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

    /// Why nobody can say what these lists are, if nobody can: a part does not say, and nothing of it is recorded.
    pub(super) async fn unknown(&self, key: &ListKey, said: &Said, until: Moment) -> Option<String> {
        if said.lists.iter().all(Result::is_ok) {
            return None;
        }
        match self.ledger.lists(key, until).await {
            Ok(known) => self.lists(said, &known).err(),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What is answered, beside the one item of a build where there is one: recorded, if it is news.
    pub(super) async fn settle(
        &self,
        key: &ListKey,
        build: Option<&List>,
        said: &Said,
        until: Moment,
    ) -> Result<Settled, Unsettled> {
        for _ in 0..TRIES {
            let known = self.ledger.lists(key, until).await?;
            let lists = self.lists(said, &known).map_err(Unsettled::Unknown)?;
            if build.is_some() {
                Self::check_keys(&lists.of_parts).map_err(Unsettled::Misfit)?;
            }
            let list = self.product(build, &lists.of_parts).map_err(Unsettled::Misfit)?;
            let record = known.record.as_deref();
            let is_known = known.is_stored && record.is_some_and(|record| record.has(&lists.of_parts));
            let held_back = record.and_then(|record| record.guarded.held_back);
            // What is held back ends with an answer that is as before.
            if is_known && (held_back.is_none() || !lists.all_say) {
                if lists.all_say {
                    self.ledger.lists_are_so(key, said.as_of);
                } else {
                    self.ledger.lists_asked(key);
                }
                return Ok(Settled { list, held: !lists.all_say, reasons: lists.reasons });
            }
            let former = record.and_then(|record| self.former(build, record));
            if former.is_none()
                && build.is_none()
                && known.version == 0
                && !self.ledger.has_room_for_lists(&key.generator)
            {
                tracing::warn!(generator = %self.generator, about = %key.about, "answered without being recorded: too many different inputs were asked for");
                let reasons = vec!["not recorded: too many different inputs were asked for".to_owned()];
                return Ok(Settled { list, held: false, reasons });
            }
            if let Some(settled) = self.write(key, (&known, former), lists, (list, said.as_of), until).await? {
                return Ok(settled);
            }
        }
        Err(Unsettled::Unknown("other replicas changed the same lists again and again".to_owned()))
    }

    /// Records what is news, or that the guard holds it back. `None` if somebody else was quicker.
    async fn write(
        &self,
        key: &ListKey,
        (known, former): (&KnownLists, Option<List>),
        lists: Lists,
        (list, as_of): (List, Moment),
        until: Moment,
    ) -> Result<Option<Settled>, Unsettled> {
        let now = self.clock.wall();
        let record = known.record.as_deref();
        let none = Guarded::default();
        let guarded = record.map_or(&none, |record| &record.guarded);
        let judged = match (&self.guard, &former) {
            (Some(guard), Some(former)) => guard.judge(guarded, former, &list, now),
            _ => Judged::Pass(none.clone()),
        };
        let mut parts = record.map(|record| record.parts.clone()).unwrap_or_default();
        match (judged, former) {
            (Judged::Hold(held_back, guarded_now), Some(former)) => {
                let reason = format!(
                    "the guard holds back that {} of {} items vanish; `lastgreen guard release {}` lets them go",
                    held_back.vanish, held_back.of, self.generator
                );
                if guarded_now != *guarded {
                    let record = ListRecord { parts, guarded: guarded_now, recorded_at: now };
                    let written = self.ledger.record_lists(key, known.version, record, as_of, until).await;
                    // Where this cannot be recorded, it is held back all the same.
                    if written == Ok(false) {
                        return Ok(None);
                    }
                    tracing::error!(generator = %self.generator, about = %key.about, vanish = held_back.vanish, of = held_back.of, "the guard holds an answer back; `lastgreen guard release` lets it through");
                }
                self.ledger.lists_asked(key);
                let reasons = [vec![reason], lists.reasons].concat();
                Ok(Some(Settled { list: former, held: true, reasons }))
            }
            (Judged::Pass(guarded) | Judged::Hold(_, guarded), former) => {
                parts.extend(lists.of_parts);
                let record = ListRecord { parts, guarded, recorded_at: now };
                match self.ledger.record_lists(key, known.version, record, as_of, until).await {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        if let Some(former) = &former {
                            self.audit(key, former, &list);
                        }
                        Ok(Some(Settled { list, held: !lists.all_say, reasons: lists.reasons }))
                    }
                    Err(error) => {
                        tracing::error!(generator = %self.generator, about = %key.about, %error, "an answer cannot be recorded and is not given");
                        let list = former.ok_or(Unsettled::Unknown(error.to_string()))?;
                        let reasons = [vec![error.to_string()], lists.reasons].concat();
                        Ok(Some(Settled { list, held: true, reasons }))
                    }
                }
            }
        }
    }

    /// The list of each part: what it says, if nobody has recorded something newer; else what is recorded of it.
    fn lists(&self, said: &Said, known: &KnownLists) -> Result<Lists, String> {
        let mut lists = Lists { of_parts: BTreeMap::new(), all_say: true, reasons: Vec::new() };
        let mut missing = Vec::new();
        for (part, said_now) in self.all.iter().zip(&said.lists) {
            let recorded = known.record.as_ref().and_then(|record| record.parts.get(&part.name));
            let list = match (said_now, recorded) {
                (Ok(_), Some(recorded)) if known.as_of > said.as_of => {
                    lists.all_say = false;
                    lists.reasons.push(format!("a newer answer of `{}` was recorded meanwhile", part.name));
                    recorded
                }
                (Ok(list), _) => list,
                (Err(cannot_say), recorded) => {
                    let reason = format!("`{}` cannot say: {cannot_say}", part.name);
                    let Some(recorded) = recorded else {
                        missing.push(reason);
                        missing.extend(known.unreadable.iter().map(|why| format!("its record cannot be read: {why}")));
                        continue;
                    };
                    lists.all_say = false;
                    lists.reasons.push(reason);
                    recorded
                }
            };
            lists.of_parts.insert(Arc::clone(&part.name), list.clone());
        }
        if missing.is_empty() { Ok(lists) } else { Err(missing.join("; ")) }
    }

    /// What was answered before, if every part was there then and they still fit together.
    fn former(&self, build: Option<&List>, record: &ListRecord) -> Option<List> {
        self.product(build, &record.parts).ok()
    }

    fn product(&self, build: Option<&List>, lists: &BTreeMap<Arc<str>, List>) -> Result<List, Misfit> {
        let contributions = self.all.iter().filter_map(|part| {
            let list = lists.get(&part.name)?;
            Some(Contribution { part: Arc::clone(&part.name), list, only_if: part.only_if.as_ref() })
        });
        let build = build.map(|build| (Arc::from(BUILD), build.clone()));
        product(build, contributions)?.ok_or(Misfit::NoParts)
    }

    /// That no part gives a key which Argo CD fills beside those of a pull request.
    fn check_keys(lists: &BTreeMap<Arc<str>, List>) -> Result<(), Misfit> {
        for (part, list) in lists {
            let taken = list.items().iter().flat_map(BTreeMap::keys).find(|key| TAKEN_KEYS.contains(&key.as_str()));
            if let Some(key) = taken {
                return Err(Misfit::Taken { part: Arc::clone(part), key: key.clone() });
            }
        }
        Ok(())
    }

    /// The one event that says that items which were answered are gone.
    fn audit(&self, key: &ListKey, former: &List, now: &List) {
        let gone = vanished(former, now);
        if now.is_empty() && !former.is_empty() {
            tracing::warn!(generator = %self.generator, about = %key.about, gone, "an empty list follows items: what they made is withdrawn");
        } else if gone > 0 {
            tracing::info!(generator = %self.generator, about = %key.about, gone, left = now.len(), "items are gone");
        }
    }
}

/// The lists that an answer is made of.
struct Lists {
    of_parts: BTreeMap<Arc<str>, List>,
    /// Whether every part says so now.
    all_say: bool,
    reasons: Vec<String>,
}

impl ListRecord {
    /// Whether these are recorded.
    fn has(&self, lists: &BTreeMap<Arc<str>, List>) -> bool {
        lists.iter().all(|(part, list)| self.parts.get(part) == Some(list))
    }
}

//! What is answered when parts have said their lists: put together, looked after by the guard, recorded first.
//!
//! | | recorded before | never recorded |
//! |---|---|---|
//! | all parts say | the product, recorded first; the former one while the guard holds it back | the product, recorded first |
//! | a part cannot say | its list is the one recorded last | nobody can say |
//! | it cannot be recorded | the former product | nobody can say |

use std::{collections::BTreeMap, sync::Arc};

use super::{BUILD, Parts, Said};
use crate::{
    clock::Moment,
    domain::{Contribution, List, Misfit, TAKEN_KEYS, product, vanished},
    generator::guard::Judged,
    ledger::{Guarded, KnownLists, LedgerError, ListKey, ListRecord},
};

/// How often a record is tried that others cross.
const TRIES: usize = 4;

/// What is answered.
#[derive(Debug)]
pub(in crate::generator) struct Settled {
    pub(in crate::generator) list: List,
    /// Whether something of it was answered before and is kept.
    pub(in crate::generator) held: bool,
    pub(in crate::generator) reasons: Vec<String>,
}

/// Why nothing is.
#[derive(Debug)]
pub(in crate::generator) enum Unsettled {
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
    /// Why nobody can say what these lists are, if nobody can: a part does not say, and nothing of it is recorded.
    pub(in crate::generator) async fn unknown(&self, key: &ListKey, said: &Said, until: Moment) -> Option<String> {
        if said.lists.iter().all(Result::is_ok) {
            return None;
        }
        match self.ledger.lists(key, until).await {
            Ok(known) => self.lists(said, &known).err(),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What is answered, beside the one item of a build where there is one: recorded, if it is news.
    pub(in crate::generator) async fn settle(
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

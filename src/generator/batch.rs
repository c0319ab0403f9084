//! All open pull requests in one answer, for Argo CD's *Merge* generator: one call instead of a thousand.
//!
//! Each has an item with the same keys: its `number`, the keys of a line's item, and `ready`. Where a line's own answer
//! would be the empty list its values are empty and `ready` is `false`, so that an ApplicationSet without a selector on
//! `ready` would deploy empty digests. Each line is answered, recorded and held as if it had been asked for alone.
//!
//! The list itself is recorded and guarded as a part's list is: where GitHub cannot give all of it, the one recorded last
//! is answered. Without one nobody can say which previews there are, and no trust in the ledger replaces that.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::{
    Answered, Generator, Refusal,
    parts::{Settled, Unsettled},
};
use crate::{
    clock::Moment,
    domain::{Answer, Branch, List, Listing, Misfit, Question, READY, Standing},
    ledger::ListKey,
    parts::part::Values,
};

/// How many lines are answered at once.
const AT_ONCE: usize = 64;

/// A pull request's answer.
struct One {
    number: u64,
    values: Option<Values>,
    held: bool,
}

impl Generator {
    /// Answers for all open pull requests at once.
    pub async fn answer_all(self: &Arc<Self>, set: &str, parameters: &Map<String, Value>) -> Result<Answered, Refusal> {
        let key = ListKey::of_pulls(&self.options.name, self.build.repository());
        let answer = self.list_all(&key, set, parameters).await;
        self.pulls.note_answer(&key, answer.as_ref());
        Ok(Answered { answer: answer?, repeat: None, read_at: None })
    }

    async fn list_all(
        self: &Arc<Self>,
        key: &ListKey,
        set: &str,
        parameters: &Map<String, Value>,
    ) -> Result<Answer, Refusal> {
        let deadline = self.clock.now() + self.options.answer_within;
        // What GitHub has not listed by then is left to the ledger, and the lines have their time, too.
        let listed_by = self.clock.now() + self.options.answer_within / 2;
        let said = self.pulls.ask(&Map::new(), set, listed_by).await;
        self.pulls.note_said(key, &said);
        let listed = match self.pulls.settle(key, None, &said, deadline).await {
            Ok(listed) => listed,
            Err(Unsettled::Unknown(reason)) => return Err(Refusal::Unavailable(reason)),
            Err(Unsettled::Misfit(misfit)) => return Err(Refusal::Misfit(misfit)),
        };
        if let Some(listing) = self.build.listing().filter(|_| !listed.held) {
            self.build.read_all(&listing).await;
        }
        // With a deadline they are looked at, and so every one is known.
        self.all_of(listed, (set, parameters), Some(deadline)).await?.ok_or(Refusal::Internal)
    }

    /// The answers for these pull requests; without a deadline, what is known of them, if that is so of each.
    pub(super) async fn all_of(
        self: &Arc<Self>,
        listed: Settled,
        (set, parameters): (&str, &Map<String, Value>),
        deadline: Option<Moment>,
    ) -> Result<Option<Answer>, Refusal> {
        let listing = self.build.listing();
        let questions: Vec<_> =
            listed.list.items().iter().filter_map(|pull| question(set, pull, listing.as_deref())).collect();
        let answers = questions.into_iter().map(|question| self.one(question, parameters, deadline));
        let answers: Vec<_> = stream::iter(answers).buffered(AT_ONCE).collect().await;
        let answers: Option<Vec<_>> = answers.into_iter().collect::<Result<_, _>>()?;
        let Some(answers) = answers else { return Ok(None) };
        let held = answers.iter().filter(|one| one.held).count();
        let ready = answers.iter().filter(|one| one.values.is_some()).count();
        let mut reasons = listed.reasons;
        reasons.push(format!("{ready} of {} are ready, {held} of them held", answers.len()));
        let list = List::of_pulls(answers.into_iter().map(|one| (one.number, one.values)).collect(), self.keys());
        let standing = if listed.held || held > 0 { Standing::Held } else { Standing::Fresh };
        Ok(Some(Answer::List { list, standing, commit: None, reason: reasons.join("; ") }))
    }

    async fn one(
        self: &Arc<Self>,
        (number, question): (u64, Question),
        parameters: &Map<String, Value>,
        deadline: Option<Moment>,
    ) -> Result<Option<One>, Refusal> {
        let answer = match deadline {
            Some(deadline) => self.answer_by(&question, parameters, deadline).await?.answer,
            None => match self.known(&question).await? {
                Some(answer) => answer,
                None => return Ok(None),
            },
        };
        let held = answer.standing() == Standing::Held;
        let values = match answer {
            Answer::Item { item, .. } => Some(item.values().clone()),
            Answer::List { list, .. } => match list.items() {
                [] => None,
                [one] => Some(one.clone()),
                _ => return Err(Refusal::Misfit(Misfit::Several)),
            },
            Answer::Nothing { .. } => None,
        };
        if values.as_ref().is_some_and(|values| values.contains_key(READY)) {
            return Err(Refusal::Misfit(Misfit::Ready));
        }
        Ok(Some(One { number, held: held && values.is_some(), values }))
    }

    /// The keys that every line's item has.
    fn keys(&self) -> impl Iterator<Item = String> {
        let images = self.options.images.iter().map(|image| image.key.clone());
        images.chain(self.options.outputs.iter().map(|(key, _)| key.clone()))
    }
}

/// The question about one of the listed pull requests.
fn question(set: &str, pull: &Values, listing: Option<&Listing>) -> Option<(u64, Question)> {
    let number = pull.get("number")?.parse().ok()?;
    let branch: Branch = pull.get("branch")?.parse().ok()?;
    let head_sha = listing.and_then(|listing| listing.by_number(number)).map(|listed| listed.pull.head);
    Some((number, Question { application_set: set.to_owned(), branch, number: Some(number), head_sha }))
}

//! A generator without a build part: its answers are what its parts say, recorded by the inputs that they were asked
//! with, and held while they cannot say.
//!
//! An empty list is an answer like any other: a tenant that is gone is to be deprovisioned. An error never is one.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    FORGET_AT_ONCE, Refusal, TRY_AGAIN,
    parts::{Parts, Unsettled},
};
use crate::{
    clock::SharedClock,
    domain::{Answer, Standing},
    ledger::{Ledger, ListKey},
};

/// A generator without a build part.
#[derive(Debug)]
pub struct PlainGenerator {
    pub(super) name: Arc<str>,
    pub(super) answer_within: Duration,
    pub(super) parts: Parts,
    ledger: Arc<Ledger>,
    pub(super) clock: SharedClock,
}

impl PlainGenerator {
    /// A generator of that name with these parts, whose answers are due so soon.
    pub fn new(name: Arc<str>, answer_within: Duration, parts: Parts, ledger: Arc<Ledger>, clock: SharedClock) -> Self {
        Self { name, answer_within, parts, ledger, clock }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its parts.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Answers a question in time; while nobody can say, the time that is left is used to ask again.
    pub async fn answer(&self, set: &str, parameters: &Map<String, Value>) -> Result<Answer, Refusal> {
        let inputs = self.parts.inputs(parameters)?;
        let key = ListKey::of_inputs(&self.name, &Value::Object(inputs.clone()).to_string());
        let answer = self.ask_and_settle(&key, &inputs, set).await;
        self.parts.note_answer(&key, answer.as_ref());
        answer
    }

    async fn ask_and_settle(&self, key: &ListKey, inputs: &Map<String, Value>, set: &str) -> Result<Answer, Refusal> {
        let deadline = self.clock.now() + self.answer_within;
        // What the sources do not say by then is unknown; what is left is for the ledger.
        let last_word = self.clock.now() + self.answer_within.mul_f64(0.9);
        let mut said_first = None;
        loop {
            let said = self.parts.ask(inputs, set, last_word).await;
            self.parts.note_said(key, &said);
            let reason = match self.parts.settle(key, None, &said, deadline).await {
                Ok(settled) => {
                    let standing = if settled.held { Standing::Held } else { Standing::Fresh };
                    let reason = settled.reasons.join("; ");
                    return Ok(Answer::List { list: settled.list, standing, commit: None, reason });
                }
                Err(Unsettled::Misfit(misfit)) => return Err(Refusal::Misfit(misfit)),
                Err(Unsettled::Unknown(reason)) => reason,
            };
            // The first reason is the cause; that a later try was cut off by the deadline is not.
            let reason = said_first.get_or_insert(reason);
            let next = self.clock.now() + TRY_AGAIN.0;
            if next >= last_word {
                return Err(Refusal::Unavailable(reason.clone()));
            }
            self.clock.sleep_until(next).await;
        }
    }

    /// Forgets what nobody has asked for as long as that.
    pub async fn forget(&self, limit: Duration) {
        for key in self.ledger.lists_not_asked_for(&self.name, limit, FORGET_AT_ONCE) {
            match self.ledger.forget_lists(&key, self.clock.now() + self.answer_within).await {
                Ok(true) => {
                    tracing::info!(generator = %key.generator, about = %key.about, "forgotten: nobody asks for it");
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "nothing can be forgotten");
                    return;
                }
            }
        }
    }
}

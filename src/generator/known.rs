//! Answers without a look: what was answered last, for who asks more often than it may make us look.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Generator, PlainGenerator, Refusal,
    parts::{Settled, Unsettled},
    table::Decision,
};
use crate::{
    domain::{Answer, Question, Standing},
    ledger::ListKey,
};

/// Why what was answered last is answered.
const TOO_OFTEN: &str = "asked more often than `inbound` allows";

impl Generator {
    /// What is known of a line, by the table for what nobody can say; nothing where that refuses.
    pub async fn known(self: &Arc<Self>, question: &Question) -> Result<Option<Answer>, Refusal> {
        let deadline = self.clock.now() + self.options.answer_within;
        let resolution = self.build.unasked(question, TOO_OFTEN);
        let meant = resolution.line.clone();
        let decision = self.decide(question, resolution, deadline).await;
        let decision = match meant.filter(|_| !self.parts.is_empty()) {
            Some(meant) => self.compose(decision, &meant, &self.parts.unasked(TOO_OFTEN), deadline).await?,
            None => decision,
        };
        Ok(match decision {
            Decision::Answer { answer, .. } | Decision::Settle { otherwise: answer, .. } => Some(answer),
            Decision::Refuse { .. } => None,
        })
    }

    /// What is known of all open pull requests.
    pub async fn known_all(
        self: &Arc<Self>,
        set: &str,
        parameters: &Map<String, Value>,
    ) -> Result<Option<Answer>, Refusal> {
        let deadline = self.clock.now() + self.options.answer_within;
        let key = ListKey::of_pulls(&self.options.name, self.build.repository());
        let answer = match self.pulls.settle(&key, None, &self.pulls.unasked(TOO_OFTEN), deadline).await {
            Ok(listed) => self.all_of(listed, (set, parameters), None).await?,
            Err(Unsettled::Unknown(_)) => None,
            Err(Unsettled::Misfit(misfit)) => return Err(Refusal::Misfit(misfit)),
        };
        if let Some(answer) = &answer {
            self.pulls.note_answer(&key, Ok(answer));
        }
        Ok(answer)
    }
}

impl PlainGenerator {
    /// What is known of such inputs.
    pub async fn known(&self, parameters: &Map<String, Value>) -> Result<Option<Answer>, Refusal> {
        let deadline = self.clock.now() + self.answer_within;
        let inputs = self.parts.inputs(parameters)?;
        let key = ListKey::of_inputs(&self.name, &Value::Object(inputs).to_string());
        match self.parts.settle(&key, None, &self.parts.unasked(TOO_OFTEN), deadline).await {
            Ok(Settled { list, reasons, .. }) => {
                let reason = reasons.join("; ");
                let answer = Answer::List { list, standing: Standing::Held, commit: None, reason };
                self.parts.note_answer(&key, Ok(&answer));
                Ok(Some(answer))
            }
            Err(Unsettled::Unknown(_)) => Ok(None),
            Err(Unsettled::Misfit(misfit)) => Err(Refusal::Misfit(misfit)),
        }
    }
}

//! A build, and the other parts beside it.
//!
//! The record is the line's: it keeps each other part's list as last answered. A part that cannot say contributes that
//! list, whatever its inputs are now. If there is none the whole answer is *unknown*, and the table applies to the line:
//! so a build is not recorded before all of its answer is known.

use serde_json::{Map, Value};

use super::{
    Generator, Refusal,
    parts::{Said, Unsettled},
    table::Decision,
};
use crate::{
    clock::Moment,
    domain::{Answer, List, Question, Standing},
    ledger::ListKey,
    parts::build::{Meant, Outcome, Resolution},
};

impl Generator {
    /// Resolves a question, and asks the other parts meanwhile.
    pub(super) async fn resolve_and_ask(
        self: &std::sync::Arc<Self>,
        question: &Question,
        parameters: &Map<String, Value>,
        last_word: Moment,
    ) -> Result<(Resolution, Option<Said>), Refusal> {
        if self.parts.is_empty() {
            return Ok((self.resolve_by(question, last_word).await?, None));
        }
        let asked = async {
            match self.parts.inputs(parameters) {
                Ok(inputs) => self.parts.ask(&inputs, &question.application_set, last_word).await,
                Err(why) => self.parts.say_nothing(&why),
            }
        };
        let (resolution, said) = tokio::join!(self.resolve_by(question, last_word), asked);
        let mut resolution = resolution?;
        if let (Outcome::Ready(_), Some(meant)) = (&resolution.outcome, &resolution.line)
            && let Some(reason) = self.parts.unknown(&ListKey::of_line(&meant.key), &said, last_word).await
        {
            resolution.outcome = Outcome::Unknown;
            resolution.upstream_failed = true;
            resolution.reason = reason;
        }
        Ok((resolution, Some(said)))
    }

    /// Puts the other parts' lists beside a build that is answered.
    pub(super) async fn compose(
        &self,
        decision: Decision,
        meant: &Meant,
        said: &Said,
        until: Moment,
    ) -> Result<Decision, Refusal> {
        let Decision::Answer { answer: Answer::Item { item, standing, commit, reason }, .. } = decision else {
            return Ok(decision);
        };
        let build = List::of_build(&item);
        match self.parts.settle(&ListKey::of_line(&meant.key), Some(&build), said, until).await {
            Ok(settled) => {
                let standing = if settled.held { Standing::Held } else { standing };
                let reasons: Vec<_> =
                    settled.reasons.into_iter().chain([reason]).filter(|reason| !reason.is_empty()).collect();
                let reason = reasons.join("; ");
                let answer = Answer::List { list: settled.list, standing, commit: Some(commit), reason };
                // The other parts are asked each time.
                Ok(Decision::Answer { answer, good_until: Moment::START })
            }
            Err(Unsettled::Misfit(misfit)) => Err(Refusal::Misfit(misfit)),
            Err(Unsettled::Unknown(reason)) => Ok(Decision::Refuse { reason, again_at: None }),
        }
    }
}

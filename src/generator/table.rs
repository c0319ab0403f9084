//! The table of what is answered when.
//!
//! | | never answered before | answered before |
//! |---|---|---|
//! | ready | the item, recorded before it is sent | the item |
//! | ready, but older than what was answered last on the same walk | | what was answered last |
//! | ready, but it cannot be recorded | as *unknown* | held |
//! | not yet | `[]` | held, until `hold` ends it |
//! | not yet, only for want of images that the configuration adds | `[]` | held, whatever `hold` says |
//! | unknown, ledger trusted | `[]` | held |
//! | unknown, ledger new | refused | held |
//! | whatever but ready, and the ledger or the record cannot be read | refused | held if still in memory |
//!
//! An empty list deletes a preview and a refusal freezes all of them, so both are given only where nothing better is
//! true; before a refusal the time that is left is used to try again.

use std::sync::Arc;

use super::{Generator, Hold, item::images_of};
use crate::{
    clock::Moment,
    domain::{Answer, Branch, Build, CommitSha, Line, Question, Standing, WhyNothing},
    ledger::{Candidate, Known, LedgerError, Record, Recorded, TrustKey},
    parts::build::{Meant, Outcome, Resolution},
};

/// Why an empty list follows an item, where the operator's `hold` says so.
const HOLD_ENDED: &str = "its hold ended";

/// What the table says.
pub(super) enum Decision {
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
    /// What is answered.
    pub(super) async fn decide(&self, question: &Question, resolution: Resolution, until: Moment) -> Decision {
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
            self.audit(withdrawn(meant, &record), HOLD_ENDED, &resolution.reason);
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
                    && (known == Known::Never && !resolution.unseen || resolution.disowns.is_some())
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
                self.held(record, &meant, (&resolution.reason, Moment::START), until).await
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
        if resolution.reconfigured {
            // Nothing was taken back that was answered: only the configuration wants more of it.
            self.ledger.not_yet_for(&meant.key, None);
            return self.held(record, meant, (&resolution.reason, resolution.good_until), until).await;
        }
        let spent = self.ledger.not_yet_for(&meant.key, self.build.upstreams_well_since());
        let ended = match self.options.hold {
            Hold::Forever => false,
            Hold::For(limit) => spent >= limit,
            Hold::Never => true,
        };
        let known = Known::Item(Arc::clone(&record));
        if ended && self.ledger.record_nothing(&meant.key, name_of(meant), (&known, false), until).await == Ok(true) {
            self.audit(withdrawn(meant, &record), HOLD_ENDED, &resolution.reason);
            return nothing(WhyNothing::HoldEnded, resolution.reason);
        }
        let good_until = match self.options.hold {
            Hold::For(limit) => resolution.good_until.min(self.clock.now() + limit.saturating_sub(spent)),
            Hold::Forever | Hold::Never => resolution.good_until,
        };
        // An end that cannot be recorded is tried again.
        let good_until = if ended { Moment::START } else { good_until };
        self.held(record, meant, (&resolution.reason, good_until), until).await
    }

    /// Forks are refused: the operator's word, even where a build was answered before.
    async fn fork_refused(&self, known: Option<Known>, resolution: Resolution, until: Moment) -> Decision {
        if let (Some(meant), Some(known)) = (&resolution.line, &known) {
            let is_news = self.ledger.say_withdrawn(&meant.key);
            // The operator's word stands whether or not it can be recorded; while it cannot, the item stays known.
            let recorded = self.ledger.record_nothing(&meant.key, name_of(meant), (known, false), until).await;
            // Where somebody else was quicker, he has said it.
            if let (Known::Item(record), true) = (known, is_news && recorded != Ok(false)) {
                self.audit(withdrawn(meant, record), "forks are refused", &resolution.reason);
            }
        }
        let good_until = if known == Some(Known::Nothing) { resolution.good_until } else { Moment::START };
        nothing_until(good_until, WhyNothing::ForkRefused, resolution.reason)
    }

    /// Nobody can say.
    async fn unknown(&self, known: &Known, resolution: Resolution, trusted: bool, until: Moment) -> Decision {
        match (known, &resolution.line) {
            (Known::Item(record), Some(meant)) => {
                self.ledger.not_yet_for(&meant.key, None);
                self.held(Arc::clone(record), meant, (&resolution.reason, Moment::START), until).await
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
        mut record: Arc<Record>,
        meant: &Meant,
        (reason, good_until): (&str, Moment),
        until: Moment,
    ) -> Decision {
        let renewed = loop {
            let version = self.ledger.version(&meant.key);
            let renewed = self.build.renewed(meant, &record, until).await;
            // The registry may have been asked meanwhile, and another build been recorded.
            let is_another = |now: &Arc<Record>| now.build.commit() != record.build.commit();
            match self.ledger.item(&meant.key).filter(is_another) {
                Some(now) if self.ledger.version(&meant.key) != version => record = now,
                _ => break renewed,
            }
        };
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
    pub(super) fn audit(&self, (line, branch, commit): (&Line, &Branch, CommitSha), why: &str, reason: &str) {
        tracing::warn!(
            generator = %self.options.name,
            %line,
            %branch,
            %commit,
            why,
            reason,
            "an empty list follows an item: the preview is withdrawn"
        );
    }
}

/// What is withdrawn with a line's item.
fn withdrawn<'a>(meant: &'a Meant, record: &Record) -> (&'a Line, &'a Branch, CommitSha) {
    (&meant.key.line, &meant.branch, record.build.commit())
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

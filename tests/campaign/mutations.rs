//! Rules that matter, each broken on purpose: by configuration or by the stage, never in the program. The oracle judges
//! by the unbroken rule, and must object.

use std::time::Duration;

use crate::{
    oracle::Promise,
    parts::{Guard, PartRules},
    rules::{Hold, LedgerKind, Rules, Tags},
};

/// A broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Nothing is held.
    HoldOff,
    /// A build is answered that is older than what was answered last.
    GoesBack,
    /// A required check that is missing counts as green.
    RequireDropped,
    /// No checks count as green.
    NoChecksPass,
    /// Green is believed at once.
    SettleOff,
    /// What was answered is recorded later: a crash loses it.
    RecordAfterSend,
    /// A new ledger is trusted.
    TrustFromTheStart,
    /// The registry serves another commit's image under a commit's tag.
    CarelessRegistry,
    /// Tags without proof are believed to be the head's.
    HeadTrusted,
    /// Forks are allowed.
    ForksAllowed,
    /// Answers come when they come.
    LateAnswers,
    /// No build is ever found.
    Silent,
    /// What is settled is remembered for an hour.
    LongMemory,
    /// Two replicas, each with a ledger of its own.
    LedgersApart,
    /// Two replicas with one ledger, asked sooner than the one can know what the other has recorded.
    HeardTooLate,
    /// What vanishes is not looked at.
    GuardOff,
    /// What vanishes is held back, be it ever so little.
    GuardTooStrict,
    /// Another plugin that is down has an empty list.
    OutageIsEmpty,
    /// What the parts said last is lost with the process.
    ListsNotKept,
    /// The query does not look at its inputs.
    InputsIgnored,
}

impl Mutation {
    /// All of them, with their names and the promises that they may break.
    pub(crate) const ALL: [(Self, &str, &[Promise]); 20] = [
        (Self::HoldOff, "hold_off", &[Promise::NothingWithdrawn]),
        (Self::GoesBack, "an_older_build", &[Promise::NeverBack]),
        (Self::RequireDropped, "missing_check_taken_for_green", &[Promise::OnlyGreen]),
        (Self::NoChecksPass, "no_checks_taken_for_green", &[Promise::OnlyGreen]),
        (Self::SettleOff, "green_believed_at_once", &[Promise::OnlyGreen]),
        (
            Self::RecordAfterSend,
            "recorded_after_it_was_sent",
            &[Promise::NothingLost, Promise::NobodyElses, Promise::NothingWithdrawn, Promise::NeverBack],
        ),
        (Self::TrustFromTheStart, "trusted_from_the_start", &[Promise::NothingWithdrawn]),
        (Self::CarelessRegistry, "another_commits_image", &[Promise::OneCommit]),
        (Self::HeadTrusted, "tags_believed_without_proof", &[Promise::OneCommit, Promise::OnlyGreen]),
        (Self::ForksAllowed, "forks_allowed", &[Promise::OnlyGreen]),
        (Self::LateAnswers, "late_answers", &[Promise::InTime]),
        (Self::Silent, "nothing_is_ever_found", &[Promise::Alive]),
        (Self::LongMemory, "remembered_too_long", &[Promise::Alive, Promise::NothingWithdrawn, Promise::Form]),
        (
            Self::LedgersApart,
            "ledgers_apart",
            &[Promise::NothingLost, Promise::NobodyElses, Promise::NothingWithdrawn, Promise::NeverBack],
        ),
        (Self::HeardTooLate, "heard_too_late", &[Promise::NothingLost, Promise::NothingWithdrawn, Promise::NeverBack]),
        (Self::GuardOff, "guard_off", &[Promise::NothingLost, Promise::NothingWithdrawn]),
        (Self::GuardTooStrict, "guard_too_strict", &[Promise::LetGo]),
        (Self::OutageIsEmpty, "an_outage_is_an_empty_list", &[Promise::NothingLost, Promise::NothingWithdrawn]),
        (Self::ListsNotKept, "lists_not_kept", &[Promise::NobodyElses]),
        (Self::InputsIgnored, "inputs_ignored", &[Promise::AsSaid]),
    ];

    /// Whether it breaks a rule of the parts beside a build.
    pub(crate) fn is_of_parts(self) -> bool {
        matches!(
            self,
            Self::GuardOff | Self::GuardTooStrict | Self::OutageIsEmpty | Self::ListsNotKept | Self::InputsIgnored
        )
    }

    /// Those of the parts that it breaks.
    pub(crate) fn prepare_parts(self, rules: &mut PartRules) {
        let window = Duration::from_mins(10);
        match self {
            Self::GuardOff => rules.guard = Some(Guard { max_drop: 20, min_items: 2, window }),
            Self::GuardTooStrict => rules.guard = Some(Guard { max_drop: 80, min_items: 20, window }),
            _ => {}
        }
    }

    /// The rules that it breaks, at their strictest.
    pub(crate) fn prepare(self, rules: &mut Rules) {
        match self {
            Self::HoldOff => rules.hold = Hold::Forever,
            Self::RequireDropped => rules.require = true,
            Self::TrustFromTheStart => {
                rules.trust_after = Duration::from_hours(1);
                rules.ledger = LedgerKind::Memory;
            }
            Self::ListsNotKept | Self::RecordAfterSend => rules.ledger = LedgerKind::Sqlite,
            Self::HeadTrusted => rules.tags = Tags::Moving,
            Self::ForksAllowed => rules.forks = false,
            Self::NoChecksPass => rules.require = false,
            _ => {}
        }
    }
}

//! What is left of budgets: what a service says itself, and what we allow ourselves. Where a service tells no number there
//! is none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Explain, Now, delta,
    view::{rfc3339, rfc3339_maybe},
};
use crate::upstream::{Quota, Terms, Trouble};

/// What is left of a budget.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Whose.
    pub name: String,
    /// Points or requests an hour.
    pub limit: u64,
    /// What is left of them.
    pub remaining: u64,
    /// When all of them are back.
    #[serde(serialize_with = "rfc3339")]
    pub reset_at: DateTime<Utc>,
}

/// On which terms a service is asked, with one credential.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its host, or `GitHub`.
    pub host: String,
    /// With which credential; nothing where nothing was sent yet.
    pub account: Option<String>,
    /// Requests a second that we allow ourselves.
    pub per_second: u32,
    /// Requests at the same time that we allow ourselves.
    pub concurrent: u32,
    /// Those under way.
    pub under_way: usize,
    /// Those that were sent in the last minute.
    pub last_minute: u64,
    /// Until when it has asked to be left alone.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub paused_until: Option<DateTime<Utc>>,
    /// What it has said itself is left.
    pub quota: Option<QuotaView>,
    /// Why the credential rests.
    pub rests: Option<TroubleView>,
    /// Why it is left alone.
    pub open: Option<TroubleView>,
}

/// What a service has said is left.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaView {
    /// Of how many, where it says that.
    pub limit: Option<u64>,
    /// How many.
    pub remaining: u64,
    /// In how many seconds, where it says that.
    pub window_seconds: Option<u64>,
    /// When it said so.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub seen_at: Option<DateTime<Utc>>,
}

/// What is wrong, and until when nothing is sent for it.
#[derive(Clone, Debug, Serialize)]
pub struct TroubleView {
    /// Why.
    pub why: String,
    /// Until when; one that has passed is due.
    #[serde(serialize_with = "rfc3339_maybe")]
    pub until: Option<DateTime<Utc>>,
}

impl Explain {
    /// What is left of each budget that GitHub has named.
    pub(super) fn budgets(&self, now: Now) -> Vec<Budget> {
        let budgets = self.github.iter().flat_map(|github| github.budgets());
        let view = |(resource, budget): (&str, crate::github::Budget)| Budget {
            name: format!("GitHub {resource}"),
            limit: budget.limit,
            remaining: budget.remaining,
            reset_at: now.wall + delta(budget.reset_in),
        };
        budgets.map(view).collect()
    }

    /// On which terms each service is asked.
    pub(super) fn services(&self, now: Now) -> Vec<ServiceView> {
        let github = self.github.iter().flat_map(|github| github.terms());
        github.chain(self.registries.terms()).map(|terms| ServiceView::of(terms, now)).collect()
    }
}

impl ServiceView {
    fn of(terms: Terms, now: Now) -> Self {
        let trouble = |Trouble { why, until }| TroubleView { why: why.to_string(), until: now.wall(until) };
        let quota = |Quota { limit, remaining, window, seen_at }| QuotaView {
            limit,
            remaining,
            window_seconds: window.as_ref().map(Duration::as_secs),
            seen_at: now.wall(seen_at),
        };
        Self {
            host: terms.host.to_string(),
            account: terms.account,
            per_second: terms.pace.per_second,
            concurrent: terms.pace.concurrent,
            under_way: terms.pace.under_way,
            last_minute: terms.pace.last_minute,
            paused_until: terms.pace.paused_until.and_then(|until| now.wall(until)),
            quota: terms.quota.map(quota),
            rests: terms.rests.map(trouble),
            open: terms.open.map(trouble),
        }
    }
}

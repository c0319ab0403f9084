//! One credential and what GitHub said about its limits.
//!
//! A secondary limit stops everything that the credential does; a used-up budget only its own resource, since REST
//! and GraphQL are counted apart. GitHub's reset is an epoch: it is compared with GitHub's own `Date`, never with our
//! wall clock.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;

use super::{SERVICE, transport::Answer};
use crate::{
    clock::{Moment, SharedClock},
    upstream::{Kind, Pace, PaceLimits, Permit, UpstreamError},
};

/// GitHub's advice where it names no time.
const UNNAMED_PAUSE: Duration = Duration::from_mins(1);

/// No pause is longer: budgets are reset every hour.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Core,
    Graphql,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Points or requests an hour.
    pub limit: u64,
    /// What is left of them.
    pub remaining: u64,
    /// When all of them are back.
    pub reset_in: Duration,
}

#[derive(Clone, Copy)]
struct Known {
    limit: u64,
    remaining: u64,
    epoch: u64,
    resets: Moment,
}

/// Whose credential it is, for messages.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// A token in a file.
    Token(PathBuf),
    /// An App, which shows its key.
    App { id: u64, key: PathBuf },
    /// An installation of an App.
    Installation { app: u64 },
}

pub(super) struct Credential {
    pub(super) holder: Holder,
    clock: SharedClock,
    pace: Pace,
    budgets: Mutex<[Option<Known>; 2]>,
}

impl Credential {
    pub(super) fn new(holder: Holder, pace: PaceLimits, clock: SharedClock) -> Self {
        Self { holder, pace: Pace::new(pace, SharedClock::clone(&clock)), clock, budgets: Mutex::default() }
    }

    /// The right to send one request.
    pub(super) async fn admit(&self, resource: Resource) -> Result<Permit, UpstreamError> {
        let permit = self.pace.turn().await.map_err(slow_down)?;
        let now = self.clock.now();
        match self.known()[resource as usize] {
            Some(known) if known.remaining == 0 && known.resets > now => Err(used_up(known.resets)),
            _ => Ok(permit),
        }
    }

    /// Remembers what an answer says of the budget.
    pub(super) fn learn(&self, asked: Resource, answer: &Answer) {
        let resource = match answer.header("x-ratelimit-resource") {
            Some("core") => Resource::Core,
            Some("graphql") => Resource::Graphql,
            Some(_) => return,
            None => asked,
        };
        let numbers = (
            answer.number("x-ratelimit-limit"),
            answer.number("x-ratelimit-remaining"),
            answer.number("x-ratelimit-reset"),
        );
        let (Some(limit), Some(mut remaining), Some(epoch)) = numbers else { return };
        let known = &mut self.known()[resource as usize];
        if let Some(known) = known {
            match epoch.cmp(&known.epoch) {
                // Answers overtake each other.
                std::cmp::Ordering::Less => return,
                std::cmp::Ordering::Equal => remaining = remaining.min(known.remaining),
                std::cmp::Ordering::Greater => {}
            }
        }
        let wait = u64::try_from(answer.date.timestamp()).map_or(0, |date| epoch.saturating_sub(date));
        let resets = answer.received + Duration::from_secs(wait).min(LONGEST_PAUSE);
        *known = Some(Known { limit, remaining, epoch, resets });
    }

    /// Stops what an answer that spoke of a limit tells us to stop.
    pub(super) fn limited(&self, resource: Resource, answer: &Answer) -> UpstreamError {
        let pause = if let Some(wait) = answer.header("retry-after").and_then(|wait| retry_after(wait, answer)) {
            wait
        } else if answer.number("x-ratelimit-remaining") == Some(0) {
            match self.known()[resource as usize] {
                // `learn` has already noted it; it stops this resource alone.
                Some(known) if known.remaining == 0 && known.resets > answer.received => return used_up(known.resets),
                _ => UNNAMED_PAUSE,
            }
        } else {
            UNNAMED_PAUSE
        };
        let until = answer.received + pause.clamp(Duration::from_secs(1), LONGEST_PAUSE);
        self.pace.pause_until(until);
        tracing::warn!(seconds = pause.as_secs(), status = %answer.status, "GitHub asks to slow down");
        slow_down(until)
    }

    /// Whether GitHub limits it now.
    pub(super) fn is_limited(&self) -> bool {
        self.pace.paused().is_some() || self.budget().is_some_and(|budget| budget.remaining == 0)
    }

    /// The budget that is nearest to its end.
    pub(super) fn budget(&self) -> Option<Budget> {
        let now = self.clock.now();
        self.known()
            .iter()
            .flatten()
            .filter(|known| known.resets > now)
            .map(|known| Budget { limit: known.limit, remaining: known.remaining, reset_in: known.resets.since(now) })
            .min_by_key(|budget| budget.remaining.saturating_mul(1000) / budget.limit.max(1))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, [Option<Known>; 2]> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Whether an answer with this status speaks of a limit rather than of a permission.
pub(super) fn speaks_of_limit(answer: &Answer) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status == StatusCode::FORBIDDEN
            && (answer.header("retry-after").is_some()
                || answer.number("x-ratelimit-remaining") == Some(0)
                || super::envelope::message_of(&answer.body).is_some_and(|message| is_limit(&message)))
}

/// Whether GitHub's words are those of a limit.
pub(super) fn is_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("rate limit") || message.contains("abuse detection")
}

fn retry_after(wait: &str, answer: &Answer) -> Option<Duration> {
    if let Ok(seconds) = wait.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::<chrono::Utc>::from(httpdate::parse_http_date(wait).ok()?);
    Some((until - answer.date).to_std().unwrap_or_default())
}

fn used_up(until: Moment) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Limited { until }, "the hour's rate limit of this credential is used up")
}

fn slow_down(until: Moment) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Limited { until }, "it asks to slow down (secondary rate limit)")
}

//! One credential and what GitHub said about its limits.
//!
//! A secondary limit stops everything that the credential does; a used-up budget only its own resource, since REST
//! and GraphQL are counted apart. GitHub's reset is an epoch: it is compared with GitHub's own `Date`, never with our
//! wall clock.
//!
//! What is fetched ahead of questions is sent only while [`budget`](super::budget) can spare it, a few at a time. That
//! it is refused neither pauses the credential nor says anything about GitHub.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    SERVICE,
    budget::{Budget, Known, Recent, WINDOW},
    transport::Answer,
};
use crate::{
    clock::{Moment, SharedClock},
    upstream::{Kind, Pace, PaceLimits, PaceUse, Permit, UpstreamError, urgency},
};

/// GitHub's advice where it names no time.
const UNNAMED_PAUSE: Duration = Duration::from_mins(1);

/// No pause is longer: budgets are reset every hour.
const LONGEST_PAUSE: Duration = WINDOW;

/// How many GraphQL exchanges that nobody waits for are under way at the same time.
const AHEAD: usize = 3;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Core,
    Graphql,
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
    ahead: Arc<Semaphore>,
    spent: Mutex<Spent>,
}

/// What is known of its limits, by resource.
#[derive(Default)]
struct Spent {
    hour: [Option<Known>; 2],
    minute: [Recent; 2],
    /// When the latest budget that was used up is back.
    back: Moment,
}

/// The right to send one request; held until its answer was read.
pub(super) struct Admission<'a> {
    credential: &'a Credential,
    resource: Resource,
    began: Moment,
    _permit: Permit,
    _ahead: Option<OwnedSemaphorePermit>,
}

impl Credential {
    pub(super) fn new(holder: Holder, pace: PaceLimits, clock: SharedClock) -> Self {
        let pace = Pace::new(pace, SharedClock::clone(&clock));
        Self { holder, pace, clock, ahead: Arc::new(Semaphore::new(AHEAD)), spent: Mutex::default() }
    }

    /// The right to send one request.
    pub(super) async fn admit(&self, resource: Resource) -> Result<Admission<'_>, UpstreamError> {
        let urgency = urgency::current();
        let spare = || if urgency.is_ahead() { self.spare(resource) } else { Ok(()) };
        spare().map_err(kept)?;
        let ahead = tokio::select! {
            biased;
            () = urgency.raised() => None,
            ahead = self.place(resource) => ahead,
        };
        let permit = self.pace.turn().await.map_err(slow_down)?;
        // Others have spent something while this waited.
        spare().map_err(kept)?;
        let now = self.clock.now();
        let mut spent = self.spent();
        match spent.hour[resource as usize] {
            Some(known) if known.remaining == 0 && known.resets > now => return Err(used_up(known.resets)),
            _ => spent.minute[resource as usize].sent(now),
        }
        drop(spent);
        Ok(Admission { credential: self, resource, began: now, _permit: permit, _ahead: ahead })
    }

    /// Whether something that nobody waits for may be sent now; else from when on.
    pub(super) fn spare(&self, resource: Resource) -> Result<(), Moment> {
        let now = self.clock.now();
        let mut spent = self.spent();
        // A server that names no limit has none.
        let Some(known) = spent.hour[resource as usize] else { return Ok(()) };
        known.spare(now)?;
        spent.minute[resource as usize].spare(resource, now)
    }

    /// A place among what nobody waits for; REST has no such bound of its own.
    async fn place(&self, resource: Resource) -> Option<OwnedSemaphorePermit> {
        match resource {
            Resource::Graphql => Arc::clone(&self.ahead).acquire_owned().await.ok(),
            Resource::Core => None,
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
        let mut spent = self.spent();
        if let Some(known) = spent.hour[resource as usize] {
            match epoch.cmp(&known.epoch) {
                // Answers overtake each other.
                std::cmp::Ordering::Less => return,
                std::cmp::Ordering::Equal => remaining = remaining.min(known.remaining),
                std::cmp::Ordering::Greater => {}
            }
        }
        let wait = u64::try_from(answer.date.timestamp()).map_or(0, |date| epoch.saturating_sub(date));
        let resets = answer.received + Duration::from_secs(wait).min(LONGEST_PAUSE);
        spent.hour[resource as usize] = Some(Known { limit, remaining, epoch, resets });
        if remaining == 0 {
            spent.back = spent.back.max(resets);
        }
    }

    /// Stops what an answer that spoke of a limit tells us to stop.
    pub(super) fn limited(&self, resource: Resource, answer: &Answer) -> UpstreamError {
        let pause = if let Some(wait) = answer.header("retry-after").and_then(|wait| retry_after(wait, answer)) {
            wait
        } else if answer.number("x-ratelimit-remaining") == Some(0) {
            match self.spent().hour[resource as usize] {
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

    /// How its pace is used now.
    pub(super) fn usage(&self) -> PaceUse {
        self.pace.usage()
    }

    /// Since when GitHub does not limit it; `None` while it does.
    pub(super) fn well_since(&self) -> Option<Moment> {
        let limited = self.pace.paused().is_some() || self.budget().is_some_and(|budget| budget.remaining == 0);
        let last = self.pace.last_pause().max(self.spent().back);
        (!limited).then(|| last.min(self.clock.now()))
    }

    /// The budget that is nearest to its end.
    pub(super) fn budget(&self) -> Option<Budget> {
        let budgets = [Resource::Core, Resource::Graphql].into_iter().filter_map(|resource| self.budget_of(resource));
        budgets.min_by_key(|budget| budget.remaining.saturating_mul(1000) / budget.limit.max(1))
    }

    /// What is left of one resource's budget.
    pub(super) fn budget_of(&self, resource: Resource) -> Option<Budget> {
        let now = self.clock.now();
        let known = self.spent().hour[resource as usize].filter(|known| known.resets > now)?;
        Some(Budget { limit: known.limit, remaining: known.remaining, reset_in: known.resets.since(now) })
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let now = self.credential.clock.now();
        self.credential.spent().minute[self.resource as usize].took(now, now.since(self.began));
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

fn kept(until: Moment) -> UpstreamError {
    let message = "nobody waits for this yet, and what is left of this credential's rate limit is kept for questions";
    UpstreamError::only_ahead(SERVICE, until, message)
}

fn slow_down(until: Moment) -> UpstreamError {
    UpstreamError::new(SERVICE, Kind::Limited { until }, "it asks to slow down (secondary rate limit)")
}

//! What can go wrong with an upstream, as a value with a lifetime of its own.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::clock::Moment;

/// A failed look-up: which service, what kind, and a sentence for people.
///
/// The text is stable for the same cause: no times, no ids, no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{service}: {message}")]
pub struct UpstreamError {
    /// `GitHub`, or the registry's host.
    pub service: Arc<str>,
    /// What it means for caches and retries.
    pub kind: Kind,
    /// What happened and what to do, as a lower-case fragment.
    pub message: Arc<str>,
    /// Before when nothing is sent anyway, where that is known.
    pub not_before: Option<Moment>,
    /// Whether only work that nobody waits for is refused so: a question would have been let through. It says nothing
    /// about the service, and is the answer to no question.
    pub only_ahead: bool,
}

/// What a failure means. None of these ever means "not built".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing asked for is not there, or is hidden from us.
    NotFound,
    /// The credential was refused (401).
    Unauthorized,
    /// The credential lacks a permission (403 that is no limit).
    Forbidden,
    /// The service or our own pace says to wait until then.
    Limited {
        /// When to ask again.
        until: Moment,
    },
    /// 5xx, no connection, a time-out.
    Unavailable,
    /// An answer that makes no sense.
    Malformed,
}

impl Kind {
    /// How long a failure of this kind is believed without asking again.
    pub fn lifetime(self, now: Moment) -> Duration {
        match self {
            Self::Limited { until } => until.since(now),
            // A blip must not be kept; an outage is the breaker's business.
            Self::Unavailable => Duration::from_secs(1),
            Self::Malformed => Duration::from_secs(5),
            Self::NotFound => Duration::from_secs(15),
            // A refused credential asked again and again gets the address banned (GitLab: 30 in 3 minutes).
            Self::Unauthorized | Self::Forbidden => Duration::from_mins(1),
        }
    }
}

impl UpstreamError {
    /// An error of `service`.
    pub fn new(service: impl Into<Arc<str>>, kind: Kind, message: impl Into<Arc<str>>) -> Self {
        Self { service: service.into(), kind, message: message.into(), not_before: None, only_ahead: false }
    }

    /// The refusal of work that nobody waits for: a question would be let through.
    pub fn only_ahead(service: impl Into<Arc<str>>, until: Moment, message: impl Into<Arc<str>>) -> Self {
        Self { only_ahead: true, ..Self::new(service, Kind::Limited { until }, message) }
    }

    /// The earliest moment at which asking again may help.
    pub fn again_at(&self, now: Moment) -> Moment {
        let believed = now + self.kind.lifetime(now);
        self.not_before.map_or(believed, |not_before| not_before.max(believed))
    }
}

//! Time, passed in.
//!
//! Two kinds of time are kept apart: a [`Moment`] is monotonic and decides how fresh something is, when a pause ends
//! and when an answer is due; wall time is for what is compared with other systems' timestamps or shown to people.
//! Everything that decides by time asks a [`Clock`], so tests move time instead of waiting for it.

use std::{
    fmt,
    ops::{Add, Sub},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

mod manual;
mod system;

pub use self::{manual::ManualClock, system::SystemClock};

/// A source of time that can also wait.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The monotonic present.
    fn now(&self) -> Moment;

    /// The wall-clock present.
    fn wall(&self) -> DateTime<Utc>;

    /// Completes once [`Clock::now`] has reached `until`.
    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()>;
}

/// The clock as everything holds it.
pub type SharedClock = Arc<dyn Clock>;

/// A point on a clock's monotonic scale: the time since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The clock's beginning: nothing is older.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment `since_start` after the clock's beginning.
    pub const fn after_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time since the clock's beginning.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

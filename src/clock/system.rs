//! The real clock.

use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Clock, Moment};

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    #[expect(clippy::disallowed_methods, reason = "this is where time enters the program")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment::after_start(self.start.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "this is where time enters the program")]
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where waiting enters the program")]
    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        let deadline = self.start + until.since_start();
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

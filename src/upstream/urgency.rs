//! Who waits for a piece of upstream work: a question in flight, or nobody yet.
//!
//! It goes with the task, since everything between a question and a socket would else have to hand it on. What is
//! fetched [`ahead`] of questions waits while questions wait, and may be refused where a question would not be; as soon
//! as a question waits for the same thing, it is *raised* and is as urgent as that.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

tokio::task_local! {
    static CURRENT: Urgency;
}

/// How urgent something is. Clones are the same: raising one raises all.
#[derive(Clone, Debug, Default)]
pub struct Urgency(Option<Arc<Ahead>>);

#[derive(Debug, Default)]
struct Ahead {
    raised: AtomicBool,
    notify: Notify,
}

/// How urgent the current task's work is: a question's, unless something else was said.
pub fn current() -> Urgency {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Runs a future as work that nobody waits for yet.
pub fn ahead<F: Future>(work: F) -> impl Future<Output = F::Output> {
    Urgency::ahead().scope(work)
}

/// Runs a future as a question's, whoever began it: what everybody will need, or what others wait behind.
pub fn question<F: Future>(work: F) -> impl Future<Output = F::Output> {
    Urgency::question().scope(work)
}

impl Urgency {
    /// That of a question in flight.
    pub fn question() -> Self {
        Self(None)
    }

    /// That of work which nobody waits for yet.
    pub fn ahead() -> Self {
        Self(Some(Arc::default()))
    }

    /// A new one that is as urgent as this one is now, and is raised apart.
    #[must_use]
    pub fn apart(&self) -> Self {
        if self.is_ahead() { Self::ahead() } else { Self::question() }
    }

    /// Whether nobody waits for it.
    pub fn is_ahead(&self) -> bool {
        self.0.as_ref().is_some_and(|ahead| !ahead.raised.load(Ordering::Acquire))
    }

    /// From now on a question waits for it.
    pub fn raise(&self) {
        if let Some(ahead) = &self.0
            && !ahead.raised.swap(true, Ordering::AcqRel)
        {
            ahead.notify.notify_waiters();
        }
    }

    /// Completes once a question waits for it; at once if one does already.
    pub async fn raised(&self) {
        let Some(ahead) = &self.0 else { return };
        // Made before the look, so that what happens between the two is not missed.
        let notified = ahead.notify.notified();
        if self.is_ahead() {
            notified.await;
        }
    }

    /// Runs a future with this urgency. A task that it spawns begins as a question's.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        Box::pin(CURRENT.scope(self, work))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn it_goes_with_the_task_and_can_be_raised() {
        assert!(!current().is_ahead());
        ahead(async {
            let urgency = current();
            assert!(urgency.is_ahead() && urgency.apart().is_ahead());
            assert!(!question(async { current().is_ahead() }).await);
            let apart = urgency.apart();
            let raised = urgency.raised();
            tokio::pin!(raised);
            assert!(poll!(raised.as_mut()).is_pending());
            urgency.clone().raise();
            raised.await;
            urgency.raised().await;
            assert!(!current().is_ahead() && apart.is_ahead());
        })
        .await;
        assert!(!current().is_ahead());
    }
}

//! How many requests a question has led to, and in which trace. What is on its way for somebody else counts for who
//! began it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::trace::Trace;

tokio::task_local! {
    static CURRENT: Calls;
}

/// A count of requests that goes with the task. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    count: Arc<AtomicU32>,
    trace: Trace,
}

impl Calls {
    /// A count of its own for a question with that trace.
    pub fn of(trace: Trace) -> Self {
        Self { count: Arc::default(), trace }
    }

    /// The count of the current task; one of its own where there is none.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// A count of its own in the trace of the current task.
    pub fn anew() -> Self {
        Self::of(Self::current().trace)
    }

    /// The trace of what is counted.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Runs a future that counts here. A task that it spawns does not.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// How many there were so far.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one.
    pub(super) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::upstream::Traffic;

    #[tokio::test]
    async fn each_request_counts_for_who_sent_it() {
        let (traffic, calls) = (Traffic::default(), Calls::default());
        calls
            .clone()
            .scope(async {
                drop(traffic.sent(&Method::GET, "host", None));
                let here = Calls::current();
                tokio::spawn(async move { here.scope(async { Calls::current().add() }).await }).await.unwrap();
            })
            .await;
        drop(traffic.sent(&Method::GET, "host", None));
        assert_eq!(calls.count(), 2);
    }
}

//! How many requests a question has led to. What is on its way for somebody else counts for who began it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

tokio::task_local! {
    static CURRENT: Calls;
}

/// A count of requests that goes with the task. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<AtomicU32>);

impl Calls {
    /// The count of the current task; one of its own where there is none.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs a future that counts here. A task that it spawns does not.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// How many there were so far.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Traffic;

    #[tokio::test]
    async fn each_request_counts_for_who_sent_it() {
        let (traffic, calls) = (Traffic::default(), Calls::default());
        calls
            .clone()
            .scope(async {
                drop(traffic.sent());
                let here = Calls::current();
                tokio::spawn(async move { here.scope(async { Calls::current().add() }).await }).await.unwrap();
            })
            .await;
        drop(traffic.sent());
        assert_eq!(calls.count(), 2);
    }
}

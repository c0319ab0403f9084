//! A bounded cache whose freshness is the caller's business.
//!
//! moka bounds it and coalesces the callers; it has no clock that can be passed in, so every entry carries the moment
//! its load *began*, and a caller says how old that may be. An invalidation is therefore just a later moment: a load
//! that began before it can never satisfy a caller who came after it, in whatever order they finish.
//! The load runs in a task of its own: a caller that goes away loses nothing, and the next finds the work done.
//!
//! It is as urgent as whoever began it, and becomes a question's when a question joins it. That it was refused because
//! nobody waited for it is nothing that is known: it is never kept, and a question that hears it loads by itself.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    Calls, UpstreamError,
    urgency::{self, Urgency},
};
use crate::clock::{Moment, SharedClock};

/// Values and failures by key.
pub struct Cache<K, V> {
    entries: moka::future::Cache<K, Entry<V>>,
    loads: Loads<K>,
    clock: SharedClock,
}

/// How urgent the loads under way are, and how many wait for each.
type Loads<K> = Arc<Mutex<HashMap<K, (Urgency, usize)>>>;

#[derive(Clone)]
struct Entry<V> {
    began: Moment,
    outcome: Result<V, Failure>,
}

#[derive(Clone)]
struct Failure {
    error: UpstreamError,
    until: Moment,
}

impl<V> Entry<V> {
    /// Whether this entry answers a caller who needs something that began at `not_before` or later.
    fn serves(&self, not_before: Moment, now: Moment) -> bool {
        match &self.outcome {
            Ok(_) => self.began >= not_before,
            // A failure is believed for its own lifetime, however urgent the caller is: asking again at once is
            // what gets credentials banned.
            Err(failure) => now < failure.until,
        }
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache for at most `capacity` entries.
    pub fn new(capacity: u64, clock: SharedClock) -> Self {
        let entries = moka::future::Cache::builder()
            .max_capacity(capacity)
            // A new key must never be refused because old ones are hot.
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        Self { entries, loads: Loads::default(), clock }
    }

    /// The value whose load began at `not_before` or later: from memory, from a load already under way, or by `load`.
    pub async fn get<F, Fut>(&self, key: K, not_before: Moment, load: F) -> Result<V, UpstreamError>
    where
        F: Fn() -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<V, UpstreamError>> + Send + 'static,
    {
        let urgency = urgency::current();
        loop {
            if let Some(entry) = self.entries.get(&key).await
                && entry.serves(not_before, self.clock.now())
            {
                return entry.outcome.map_err(|failure| failure.error);
            }
            let entry = match self.load(key.clone(), not_before, load.clone(), &urgency).await {
                Err(error) if error.only_ahead && !urgency.is_ahead() => continue,
                outcome => outcome?,
            };
            // Whoever joined a load that began before its own `not_before` goes round again. A failure that was
            // only just found is an answer, whatever its lifetime; what no question would have been told is none.
            match entry.outcome {
                Ok(value) if entry.began >= not_before => return Ok(value),
                Err(failure) if !failure.error.only_ahead => return Err(failure.error),
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn load<F, Fut>(
        &self,
        key: K,
        not_before: Moment,
        load: F,
        urgency: &Urgency,
    ) -> Result<Entry<V>, UpstreamError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, UpstreamError>> + Send + 'static,
    {
        let entries = self.entries.clone();
        let clock = Arc::clone(&self.clock);
        let joined = Joined::new(&self.loads, &key, urgency);
        let shared = joined.urgency.clone();
        let work = async move {
            let refused = Arc::new(OnceLock::new());
            let init = {
                let (clock, refused) = (Arc::clone(&clock), Arc::clone(&refused));
                let (entries, key) = (entries.clone(), key.clone());
                async move {
                    let began = clock.now();
                    let error = match load().await {
                        Ok(value) => return Entry { began, outcome: Ok(value) },
                        Err(error) => error,
                    };
                    let now = clock.now();
                    if error.only_ahead {
                        let _ = refused.set(error.clone());
                        if let Some(known) = entries.get(&key).await {
                            return known;
                        }
                        return Entry { began, outcome: Err(Failure { error, until: now }) };
                    }
                    Entry { began, outcome: Err(Failure { until: now + error.kind.lifetime(now), error }) }
                }
            };
            let stale = |entry: &Entry<V>| !entry.serves(not_before, clock.now());
            let entry = entries.entry(key).or_insert_with_if(init, stale).await.into_value();
            drop(joined);
            refused.get().cloned().map_or(Ok(entry), Err)
        };
        let mut task = tokio::spawn(Calls::current().scope(shared.clone().scope(work)));
        let done = tokio::select! {
            biased;
            done = &mut task => done,
            // Whoever waits for this load is as urgent as a question now, and so is the load.
            () = urgency.raised() => {
                shared.raise();
                task.await
            }
        };
        done.map_err(|_| {
            UpstreamError::new(
                "lastgreen",
                super::Kind::Malformed,
                "a look-up broke off; this is a bug, its log line says where",
            )
        })?
    }

    /// What is known without asking, however old, and when its load began.
    pub async fn peek(&self, key: &K) -> Option<(Moment, V)> {
        let entry = self.entries.get(key).await?;
        Some((entry.began, entry.outcome.ok()?))
    }

    /// Puts in what was learned by other means, unless something newer is known.
    pub async fn put(&self, key: K, began: Moment, value: V) {
        let older = move |entry: &Entry<V>| entry.outcome.is_err() || entry.began < began;
        self.entries.entry(key).or_insert_with_if(async move { Entry { began, outcome: Ok(value) } }, older).await;
    }

    /// Forgets a failure, so that the next caller asks again (a credential was changed).
    pub async fn forget(&self, key: &K) {
        self.entries.invalidate(key).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries.invalidate_all();
    }
}

/// One of those who wait for the load of a key.
struct Joined<K: Hash + Eq> {
    loads: Loads<K>,
    key: K,
    urgency: Urgency,
}

impl<K: Hash + Eq + Clone> Joined<K> {
    fn new(loads: &Loads<K>, key: &K, urgency: &Urgency) -> Self {
        let mut known = loads.lock().unwrap_or_else(PoisonError::into_inner);
        let (shared, waiting) = known.entry(key.clone()).or_insert_with(|| (urgency.apart(), 0));
        *waiting += 1;
        let shared = shared.clone();
        drop(known);
        if !urgency.is_ahead() {
            shared.raise();
        }
        Self { loads: Arc::clone(loads), key: key.clone(), urgency: shared }
    }
}

impl<K: Hash + Eq> Drop for Joined<K> {
    fn drop(&mut self) {
        let mut known = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, waiting)) = known.get_mut(&self.key) {
            *waiting -= 1;
            if *waiting == 0 {
                known.remove(&self.key);
            }
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.entries.weighted_size()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

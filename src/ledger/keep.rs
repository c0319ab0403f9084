//! What is done beside the questions: hearing of what other replicas record, and writing in batches what no answer
//! waits for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Ledger, LedgerError, LineKey, Memory,
    merges::Merges,
    mirror::State,
    store::{Batch, Committed, News, PATIENCE, PgListening, Store},
};
use crate::clock::Moment;

/// How often a shared ledger is read, whether or not anything was told: what is heard is good for less than a second.
const BEAT: Duration = Duration::from_millis(400);

/// How often this process's own ledger is looked after.
const SLOW_BEAT: Duration = Duration::from_secs(5);

/// How long the last batch may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(3);

/// How much later a line must be asked again for that to be worth writing, in seconds.
const ASKED_STEP: u64 = 3600;

/// How much longer a set must have been watched, or a hold's clock have run, for that to be worth writing, in seconds.
const CLOCK_STEP: u64 = 60;

impl Ledger {
    /// Looks after the ledger until `end` completes.
    pub async fn keep(self: Arc<Self>, end: impl Future<Output = ()> + Send) {
        let mut listening = None;
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                () = self.beat(&mut listening) => {}
            }
        }
        drop(listening);
        let until = self.clock.now() + LAST_BATCH;
        if let Err(error) = self.flush(until).await {
            tracing::warn!(%error, "when lines were asked last, and for how long sets were watched, is not written to the end");
        }
        self.store.close().await;
    }

    /// Whether this replica is the one that does the background work.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    async fn beat(self: &Arc<Self>, listening: &mut Option<PgListening>) {
        let beat = if self.store.is_alone() { SLOW_BEAT } else { BEAT };
        let next = self.clock.now() + beat;
        // Whoever asks is told what is wrong, and the log was.
        let _ = self.news_and_flush(self.clock.now() + beat.max(PATIENCE)).await;
        self.listen(listening).await;
        let told = async {
            match listening {
                Some(connection) => connection.told().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let lost = tokio::select! {
            biased;
            told = told => !told,
            () = self.clock.sleep_until(next) => false,
        };
        if lost {
            *listening = None;
            self.leads.store(false, Ordering::Relaxed);
            // A connection that is cut again and again must not keep this process busy.
            self.clock.sleep_until(next).await;
        }
    }

    async fn news_and_flush(self: &Arc<Self>, until: Moment) -> Result<(), LedgerError> {
        {
            let _alone = self.reading.lock().await;
            self.read_news(until).await?;
        }
        self.flush(until).await
    }

    /// Makes sure that PostgreSQL tells of changes, and that one replica leads.
    async fn listen(&self, listening: &mut Option<PgListening>) {
        let Store::Sql(connection) = &self.store else { return };
        if self.store.is_alone() {
            self.leads.store(true, Ordering::Relaxed);
            return;
        }
        if !listening.as_ref().is_some_and(PgListening::is_current) {
            self.leads.store(false, Ordering::Relaxed);
            *listening = connection.listen().await.unwrap_or_default();
        }
        if let Some(connection) = listening
            && !self.leads()
        {
            let leads = tokio::select! {
                biased;
                leads = connection.leads() => leads.ok(),
                () = self.clock.sleep_until(self.clock.now() + PATIENCE) => None,
            };
            match leads {
                Some(leads) => self.leads.store(leads, Ordering::Relaxed),
                None => *listening = None,
            }
        }
    }

    /// Takes in what others have written since.
    pub(super) async fn catch_up(&self, until: Moment) -> Result<(), LedgerError> {
        let _alone = self.reading.lock().await;
        self.read_news(until).await
    }

    /// Reads what is new; `reading` must be held.
    pub(super) async fn read_news(&self, until: Moment) -> Result<(), LedgerError> {
        let began = self.clock.now();
        let (id, change) = {
            let memory = self.memory();
            (memory.id.clone(), memory.mirror.change)
        };
        let news = self.counted(self.store.news(id.as_deref().unwrap_or_default(), change, until).await)?;
        let replaced = news.as_ref().is_some_and(|news| news.replaced) && id.is_some();
        if let Some(news) = news {
            self.take_in(news, id.is_some());
        }
        self.heard_at(began);
        if replaced {
            let lines = self.memory().mirror.lost().len();
            tracing::error!(
                lines,
                "the ledger is another one, or an older state of it; what this process knows is written into it"
            );
            // What cannot be written now is written with the next batch; who cannot write has said so.
            let _ = self.restore(until).await;
        }
        Ok(())
    }

    /// Takes in what is new.
    fn take_in(&self, news: News, known: bool) {
        let now = self.clock.now();
        let mut memory = self.memory();
        let Memory { mirror, pending, .. } = &mut *memory;
        // What was seen before the ledger could be read was seen after what is in it.
        let seen = if known { Merges::default() } else { std::mem::take(&mut mirror.merges) };
        if news.replaced && known {
            mirror.replaced();
            pending.merges = mirror.merges.all().collect();
            pending.repositories = mirror.repositories.iter().map(|(name, id)| (name.clone(), *id)).collect();
        }
        for row in &news.lines {
            mirror.take_in(row, now);
        }
        for row in &news.lists {
            mirror.lists.take_in(row, now);
        }
        for merge in news.merges.into_iter().chain(seen.all()) {
            mirror.merges.remember(merge);
        }
        mirror.repositories.extend(news.repositories);
        for (key, seconds) in news.watches {
            mirror.watches.entry(key).or_default().take_in(seconds, now);
        }
        mirror.change = news.change;
        memory.id = Some(news.id);
        if news.replaced || !news.lines.is_empty() {
            self.changed();
        }
    }

    /// Writes what a ledger that is another one now does not have, if anything. Where others were quicker, that is to
    /// be read first.
    async fn restore(&self, until: Moment) -> Result<(), LedgerError> {
        let (lines, lists) = {
            let memory = self.memory();
            (memory.mirror.lost(), memory.mirror.lists.lost())
        };
        if lines.is_empty() && lists.is_empty() {
            return Ok(());
        }
        let mut batch = Batch { lines, lists, ..Batch::default() };
        self.commit(&mut batch, until).await.map(drop)
    }

    /// Writes what no answer waits for, if there is anything; in a task of its own, so that nothing is lost between
    /// memory and store where the caller is ended.
    pub async fn flush(self: &Arc<Self>, until: Moment) -> Result<(), LedgerError> {
        let this = Arc::clone(self);
        let work = tokio::spawn(async move { this.flush_here(until).await });
        work.await.map_err(|_| LedgerError::new("a write broke down; the log says where"))?
    }

    async fn flush_here(&self, until: Moment) -> Result<(), LedgerError> {
        let _alone = self.writing.lock().await;
        self.restore(until).await?;
        let mut batch = {
            let mut memory = self.memory();
            if memory.id.is_none() {
                return Ok(());
            }
            let mut batch = std::mem::take(&mut memory.pending);
            batch.watches = memory
                .mirror
                .watches
                .iter()
                .map(|(key, watch)| (key, watch.seen().as_secs(), watch.written))
                .filter(|(key, seen, written)| {
                    // What is written makes every replica look: nothing may be written that is no news.
                    worth_a_row(key) && seen > written && *seen >= written + CLOCK_STEP.min(seen.div_ceil(2))
                })
                .map(|(key, seen, _)| (key.clone(), seen))
                .collect();
            batch.asked = memory
                .mirror
                .lines
                .iter()
                .filter(|(_, entry)| entry.state != State::Never && entry.change != 0)
                .filter(|(_, entry)| {
                    entry.asked.at >= entry.written.at + ASKED_STEP
                        || entry.asked.not_yet_seconds >= entry.written.not_yet_seconds + CLOCK_STEP
                })
                .map(|(key, entry)| (key.clone(), entry.change, entry.asked))
                .collect();
            batch.asked_lists = memory.mirror.lists.asked_since(ASKED_STEP);
            if !self.store.is_alone() {
                let runs = |key: &LineKey| memory.mirror.lines[key].written.not_yet_seconds == 0;
                let held = batch.asked.iter().filter(|(key, _, asked)| asked.not_yet_seconds > 0 && runs(key));
                batch.held = held.map(|(key, change, _)| (key.clone(), *change)).collect();
            }
            batch
        };
        if batch.is_empty() {
            return Ok(());
        }
        let (watches, asked, asked_lists) = (batch.watches.clone(), batch.asked.clone(), batch.asked_lists.clone());
        if let Committed::After(_) = self.commit(&mut batch, until).await? {
            let mut memory = self.memory();
            memory.mirror.lists.asked_is_written(&asked_lists);
            for (key, seconds) in watches {
                memory.mirror.watches.entry(key).or_default().written = seconds;
            }
            for (key, _, asked) in asked {
                if let Some(entry) = memory.mirror.lines.get_mut(&key) {
                    entry.written = asked;
                }
            }
        }
        Ok(())
    }

    /// Lines of a generator that nobody has asked for as long as that; the oldest first.
    pub fn not_asked_for(&self, generator: &str, limit: Duration, count: usize) -> Vec<LineKey> {
        let since = self.seconds().saturating_sub(limit.as_secs());
        let memory = self.memory();
        let mut lines: Vec<_> = memory
            .mirror
            .lines
            .iter()
            .filter(|(key, entry)| {
                *key.generator == *generator && entry.state != State::Never && entry.asked.at < since
            })
            .map(|(key, entry)| (entry.asked.at, key.clone()))
            .collect();
        lines.sort();
        lines.truncate(count);
        lines.into_iter().map(|(_, key)| key).collect()
    }
}

/// Whether a set's name may be one: Kubernetes takes up to 253 plain bytes. Others are kept apart in memory only.
fn worth_a_row(key: &super::TrustKey) -> bool {
    key.application_set.len() <= 253 && !key.application_set.contains(char::is_control)
}

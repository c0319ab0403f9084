//! Everything that changes a line: planned on what memory knows, written if the line is still so, planned anew if not.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    Candidate, Known, Ledger, LedgerError, LineKey, ListKey, Record, Recorded,
    mirror::{Judged, Mirror},
    record::Fact,
    store::{Batch, Committed, LineWrite},
};
use crate::{
    clock::Moment,
    domain::{Branch, Line},
};

/// How often a write is tried that others cross.
const TRIES: usize = 4;

/// What is said where others crossed each of them.
const CROSSED: &str = "other replicas changed the same line again and again";

/// What is said of a bug.
const BROKE_DOWN: &str = "a write broke down; the log says where";

/// What is to be done about a line: nothing but to tell this, or to write the fact and then tell that.
type Plan<T> = ControlFlow<T, (Fact, T)>;

impl Ledger {
    /// Records a build before it is answered, unless a newer one is recorded: a slow look-up that ends late must not
    /// bring back what a quick one has replaced. One that is recorded already costs nothing.
    pub async fn record(
        self: &Arc<Self>,
        key: &LineKey,
        candidate: &Candidate,
        until: Moment,
    ) -> Result<Recorded, LedgerError> {
        let judged = self.memory().mirror.judge(key, candidate);
        match judged {
            Judged::Known { clock_ran: false } => return Ok(Recorded::Yes),
            Judged::Superseded(record) => return Ok(Recorded::Superseded(record)),
            Judged::Known { clock_ran: true } | Judged::New => {}
        }
        let recorded = matches!(judged, Judged::Known { .. });
        let recorded_at = self.clock.wall();
        let plan = {
            let (key, candidate) = (key.clone(), candidate.clone());
            move |mirror: &mut Mirror| plan(mirror, &key, &candidate, recorded_at)
        };
        match self.write(key.clone(), until, candidate.as_of, plan).await {
            // Only the hold's clock could not be put back; that is tried again with the next answer.
            Err(_) if recorded => Ok(Recorded::Yes),
            written => written,
        }
    }

    /// Records builds that were found before anybody asked for them, in one transaction; tells how many were new. What
    /// is not recorded here is recorded when it is asked for.
    pub async fn record_ahead(
        self: &Arc<Self>,
        found: Vec<(LineKey, Candidate)>,
        until: Moment,
    ) -> Result<usize, LedgerError> {
        let this = Arc::clone(self);
        let work = tokio::spawn(async move { this.record_ahead_here(&found, until).await });
        work.await.map_err(|_| LedgerError::new(BROKE_DOWN))?
    }

    async fn record_ahead_here(&self, found: &[(LineKey, Candidate)], until: Moment) -> Result<usize, LedgerError> {
        let recorded_at = self.clock.wall();
        let _alone = self.writing.lock().await;
        for _ in 0..TRIES {
            self.refresh(until).await?;
            let mut batch = {
                let mut memory = self.memory();
                let mut lines: Vec<LineWrite> = Vec::new();
                for (key, candidate) in found {
                    // The same line may have been found by its number and by its branch.
                    if lines.iter().any(|line| line.key == *key) {
                        continue;
                    }
                    let Plan::Continue((fact, _)) = plan(&mut memory.mirror, key, candidate, recorded_at) else {
                        continue;
                    };
                    let asked_at = memory.mirror.lines.get(key).map_or(0, |entry| entry.asked.at);
                    lines.push(LineWrite {
                        key: key.clone(),
                        expected: memory.mirror.known(key).1,
                        fact,
                        as_of: candidate.as_of,
                        asked_at: if asked_at == 0 { self.seconds() } else { asked_at },
                        unless_asked_since: u64::MAX,
                    });
                }
                if lines.is_empty() {
                    return Ok(0);
                }
                Batch { lines, ..std::mem::take(&mut memory.pending) }
            };
            let count = batch.lines.len();
            match self.commit(&mut batch, until).await? {
                Committed::After(_) => return Ok(count),
                Committed::Conflict => self.catch_up(until).await?,
            }
        }
        Err(LedgerError::new(CROSSED))
    }

    /// Lets a line take over what was recorded for another one, as of then, unless something was recorded for it since
    /// `version`.
    pub async fn take_over(
        self: &Arc<Self>,
        key: &LineKey,
        (record, as_of): (&Record, Moment),
        version: i64,
        until: Moment,
    ) -> Result<(), LedgerError> {
        let (owned, record) = (key.clone(), record.clone());
        let plan = move |mirror: &mut Mirror| match mirror.known(&owned).1 {
            now if now == version => Plan::Continue((Fact::Item(record.clone()), ())),
            _ => Plan::Break(()),
        };
        self.write(key.clone(), until, as_of, plan).await
    }

    /// Replaces what is recorded for a line by more of the same build, if it is still that.
    pub async fn amend(
        self: &Arc<Self>,
        key: &LineKey,
        known: &Record,
        amended: &Record,
        until: Moment,
    ) -> Result<(), LedgerError> {
        let (owned, known, amended) = (key.clone(), known.clone(), amended.clone());
        let plan = move |mirror: &mut Mirror| match mirror.item(&owned) {
            Some(now) if **now == known => Plan::Continue((Fact::Item(amended.clone()), ())),
            _ => Plan::Break(()),
        };
        let as_of = self.memory().mirror.as_of(key);
        self.write(key.clone(), until, as_of, plan).await
    }

    /// Records that a line, of a head branch that may be an own one, truly has nothing, if `known` is still what is
    /// known of it: it never had, or its hold has ended; or, where it had nothing before, that it `still` has nothing,
    /// whatever was recorded for other lines of the branch since. Tells whether it is recorded.
    pub async fn record_nothing(
        self: &Arc<Self>,
        key: &LineKey,
        (branch, own): (&Branch, bool),
        (known, still): (&Known, bool),
        until: Moment,
    ) -> Result<bool, LedgerError> {
        let (owned, known, branch) = (key.clone(), known.clone(), branch.clone());
        let plan = move |mirror: &mut Mirror| match mirror.known(&owned).0 {
            Ok(Known::Nothing) if !still => Plan::Break(known == Known::Nothing),
            Ok(now) if now == known => Plan::Continue((mirror.nothing(&owned, &branch, own), true)),
            _ => Plan::Break(false),
        };
        self.write(key.clone(), until, self.clock.now(), plan).await
    }

    /// Forgets a line, as if it had never been seen. Tells whether there was anything to forget.
    pub async fn forget(self: &Arc<Self>, key: &LineKey, until: Moment) -> Result<bool, LedgerError> {
        let owned = key.clone();
        let plan = move |mirror: &mut Mirror| match mirror.known(&owned).0 {
            Ok(Known::Never) => Plan::Break(false),
            _ => Plan::Continue((Fact::Forgotten, true)),
        };
        let forgotten = self.write(key.clone(), until, self.clock.now(), plan).await?;
        self.forget_beside(key, until).await?;
        Ok(forgotten)
    }

    /// Forgets a line that nobody has asked any replica for as long as that. Tells whether that was so.
    pub async fn forget_unasked(
        self: &Arc<Self>,
        key: &LineKey,
        limit: Duration,
        until: Moment,
    ) -> Result<bool, LedgerError> {
        self.refresh(until).await?;
        let alone = self.writing.lock().await;
        let (expected, asked_at) = (self.version(key), self.seconds());
        let unless_asked_since = asked_at.saturating_sub(limit.as_secs());
        if self.memory().mirror.lines.get(key).is_some_and(|entry| entry.asked.at >= unless_asked_since) {
            return Ok(false);
        }
        let fact = Fact::Forgotten;
        let as_of = self.clock.now();
        let line = LineWrite { key: key.clone(), expected, fact, as_of, asked_at, unless_asked_since };
        let mut batch = Batch { lines: vec![line], ..Batch::default() };
        if self.commit(&mut batch, until).await? == Committed::Conflict {
            // Another replica was asked; it is not looked at again before long.
            self.memory().mirror.asked(key, asked_at);
            return Ok(false);
        }
        drop(alone);
        self.forget_beside(key, until).await?;
        Ok(true)
    }

    /// Forgets what was kept beside a line that is forgotten.
    async fn forget_beside(self: &Arc<Self>, key: &LineKey, until: Moment) -> Result<(), LedgerError> {
        self.forget_merges_of(key);
        self.forget_lists(&ListKey::of_line(key), until).await.map(drop)
    }

    /// Forgets the test merges of a pull request that no generator knows any more.
    fn forget_merges_of(&self, key: &LineKey) {
        if let Line::Pull(number) = key.line {
            let mut memory = self.memory();
            let others = memory.mirror.lines.iter().any(|(other, entry)| {
                other.repository == key.repository && other.line == key.line && entry.state != super::State::Never
            });
            if !others {
                memory.mirror.merges.forget(key.repository, number);
                memory.pending.forgotten_pulls.push((key.repository, number));
            }
        }
    }

    /// Writes what `plan` says, in a task of its own: a caller that hangs up must not leave memory behind the store.
    async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        key: LineKey,
        until: Moment,
        as_of: Moment,
        plan: impl FnMut(&mut Mirror) -> Plan<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let this = Arc::clone(self);
        let work = tokio::spawn(async move { this.write_here(key, until, as_of, plan).await });
        work.await.map_err(|_| LedgerError::new(BROKE_DOWN))?
    }

    async fn write_here<T>(
        &self,
        key: LineKey,
        until: Moment,
        as_of: Moment,
        mut plan: impl FnMut(&mut Mirror) -> Plan<T>,
    ) -> Result<T, LedgerError> {
        let _alone = self.writing.lock().await;
        for _ in 0..TRIES {
            self.refresh(until).await?;
            let (mut batch, tell) = {
                let mut memory = self.memory();
                let (fact, tell) = match plan(&mut memory.mirror) {
                    Plan::Break(tell) => return Ok(tell),
                    Plan::Continue(planned) => planned,
                };
                let expected = memory.mirror.known(&key).1;
                let asked_at = self.seconds();
                let mut batch = std::mem::take(&mut memory.pending);
                batch.lines.push(LineWrite {
                    key: key.clone(),
                    expected,
                    fact,
                    as_of,
                    asked_at,
                    unless_asked_since: u64::MAX,
                });
                (batch, tell)
            };
            match self.commit(&mut batch, until).await? {
                Committed::After(_) => return Ok(tell),
                Committed::Conflict => self.catch_up(until).await?,
            }
        }
        Err(LedgerError::new(CROSSED))
    }

    /// Commits a batch and keeps it in memory; what was not written, lines aside, waits for the next one.
    pub(super) async fn commit(&self, batch: &mut Batch, until: Moment) -> Result<Committed, LedgerError> {
        let (id, change) = {
            let memory = self.memory();
            (memory.id.clone().unwrap_or_default(), memory.mirror.change)
        };
        let committed = self.counted(self.store.commit(&id, change, batch, until).await);
        let mut memory = self.memory();
        if let Ok(Committed::After(first)) = committed {
            let mut change = first;
            for line in &batch.lines {
                change += 1;
                memory.mirror.wrote(line, change);
            }
            for (key, _) in &batch.held {
                change += 1;
                memory.mirror.renumbered(key, change);
            }
            for lists in &batch.lists {
                change += 1;
                memory.mirror.lists.wrote(lists, change);
            }
            memory.mirror.advanced(first, first + batch.numbered());
            if !batch.lines.is_empty() || !batch.held.is_empty() {
                self.changed();
            }
        } else {
            batch.lines.clear();
            batch.lists.clear();
            memory.pending.put_back(std::mem::take(batch));
        }
        committed
    }
}

/// What is to be done about a build that was found.
fn plan(mirror: &mut Mirror, key: &LineKey, candidate: &Candidate, recorded_at: DateTime<Utc>) -> Plan<Recorded> {
    match mirror.judge(key, candidate) {
        Judged::Known { clock_ran: false } => Plan::Break(Recorded::Yes),
        Judged::Superseded(record) => Plan::Break(Recorded::Superseded(record)),
        Judged::Known { clock_ran: true } | Judged::New => {
            let Candidate { build, branch, own, .. } = candidate.clone();
            // Images that are not configured any more are facts of the same build all the same.
            let build = mirror.item(key).map_or_else(|| build.clone(), |known| build.with_more_of(&known.build));
            Plan::Continue((Fact::Item(Record { build, branch, own, recorded_at }), Recorded::Yes))
        }
    }
}

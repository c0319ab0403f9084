//! Looking at lines before they are asked for, so that a question finds its answer, or waits for one on its way.
//!
//! ```text
//! question ─ not in memory ─► sweep: the pages of open pull requests, once for all who ask
//!                               ├ lines of the hot set that are due soon
//!                               └ guesses: those that are listed next, the more the better the guesses were
//! background ─ lines that are due ─► many final ones: sweep; few, or not final: together, by number
//!                  both ─► read together ─► resolved like questions ─► recorded in one transaction
//! ```
//!
//! Argo CD asks for one pull request after the other: the first cold question of a thousand begins the sweep, and those
//! that follow find what they need. Nothing is answered from here; what fails is left to the question that needs it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, join, join_all},
    stream,
};
use tokio::{sync::watch, task::JoinHandle};

use super::{BuildPart, Outcome, Resolution, hot::Due, hot::Known};
use crate::{
    clock::Moment,
    domain::{Listing, Question},
    github::{By, How, Promise},
    ledger::{Candidate, LineKey},
    upstream::urgency,
};

/// So many final lines that are due are worth a sweep.
const SWEEP_FROM: usize = 8;

/// How many lines are resolved at once.
const AT_ONCE: usize = 64;

/// How many lines are read and recorded together at most.
const TOGETHER: usize = 25;

/// How long recording what was found may take.
const RECORD: Duration = Duration::from_secs(5);

/// How often the hot set is looked over, at least and at most.
const BEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How many lines that only a question of their own can tell of are asked for in one go.
const ALONE: usize = 4;

impl BuildPart {
    /// Notes a question, and sees to it that those which are likely to follow find something.
    pub(super) fn notice(self: &Arc<Self>, question: &Question, in_memory: bool) {
        if !self.options.ahead {
            return;
        }
        let by = by(question);
        let now = self.clock.now();
        let repo = &self.options.repository;
        let listing = self.github.listing(repo);
        self.hot.asked(&by, &question.branch, listing.as_deref(), now);
        // While most of a listing is fresh, what is missing is asked for alone.
        let listed_lately = listing.as_ref().is_some_and(|listing| now.since(listing.began) < self.options.settled / 2);
        if !in_memory && !listed_lately {
            self.begin_sweep(Some(&by));
        } else if let Some(listing) = listing {
            self.guess(&listing);
        }
    }

    /// Keeps the lines of the hot set fresh for as long as `end` does not complete, while `leads` says that this replica
    /// is the one to do it.
    pub async fn keep_fresh(self: Arc<Self>, leads: impl Fn() -> bool, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        let mut next = None;
        loop {
            let now = self.clock.now();
            let until = next.unwrap_or(now + BEAT.1).clamp(now + BEAT.0, now + BEAT.1);
            tokio::select! {
                biased;
                () = &mut end => return,
                () = self.clock.sleep_until(until) => {}
            }
            if self.options.ahead {
                next = self.look_over(leads());
            }
        }
    }

    /// Completes once nothing is looked at ahead any more. A simulation must not let time pass meanwhile.
    pub async fn settled(&self) {
        // The sender is here, so it cannot fail.
        let _ = self.under_way.subscribe().wait_for(|under_way| *under_way == 0).await;
    }

    /// Spawns work that nobody waits for.
    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let under_way = UnderWay::begin(&self.under_way);
        tokio::spawn(async move {
            let _under_way = under_way;
            work.await
        })
    }

    /// Lets lines go that nobody asks for any more, and begins to look at what is due if this replica is the one to do
    /// it. Tells when something is due next.
    fn look_over(self: &Arc<Self>, leads: bool) -> Option<Moment> {
        let now = self.clock.now();
        let (next, finals) = self.hot.look_over(now);
        if !leads {
            return None;
        }
        let sweeps = finals >= SWEEP_FROM;
        if sweeps {
            self.begin_sweep(None);
        }
        let due = self.hot.take_due(now, Duration::ZERO, |_, is_final| !(sweeps && is_final));
        if !due.is_empty() {
            let this = Arc::clone(self);
            let listing = self.github.listing(&self.options.repository);
            let promises = self.promises(listing.as_ref(), &due);
            self.spawn(async move {
                let left = this.work(promises).await;
                this.ask_alone(left).await;
            });
        }
        next
    }

    /// Begins a sweep, unless one is under way.
    fn begin_sweep(self: &Arc<Self>, begun_by: Option<&By>) {
        if let Some(sweep) = self.github.sweep(&self.options.repository, begun_by) {
            let this = Arc::clone(self);
            self.spawn(async move { this.sweep(sweep).await });
        }
    }

    /// Reads all pages, and of what is listed those lines that are due soon, or likely to be asked.
    async fn sweep(self: Arc<Self>, mut sweep: crate::github::Sweep) {
        // What would be due before long is read with the rest.
        let soon = self.options.settled / 2;
        let mut due: HashMap<_, _> = self
            .hot
            .take_due(self.clock.now(), soon, |_, is_final| is_final)
            .into_iter()
            .map(|due| (due.wanted.by.clone(), due))
            .collect();
        let (mut works, mut seen) = (Vec::new(), 0);
        loop {
            let listing = match sweep.next_page().await {
                Ok(Some(listing)) => listing,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(repository = %self.options.repository, %error, "open pull requests cannot be listed");
                    return;
                }
            };
            let page = listing.pulls().skip(std::mem::replace(&mut seen, listing.len()));
            let listed: Vec<_> = page.filter_map(|listed| due.remove(&By::Number(listed.pull.number))).collect();
            works.extend(self.begin_work(&listing, &listed));
            if listing.complete {
                // Only a complete listing tells what a bare name means.
                let named: Vec<_> = due.keys().filter(|by| matches!(by, By::Branch(_))).cloned().collect();
                let named: Vec<_> = named.iter().filter_map(|by| due.remove(by)).collect();
                works.extend(self.begin_work(&listing, &named));
            }
            self.guess(&listing);
            sweep.planned();
        }
        drop(sweep);
        let mut left: Vec<_> = due.into_values().collect();
        for work in works {
            left.extend(work.await.unwrap_or_default());
        }
        self.ask_alone(left).await;
    }

    /// Reads what is likely to be asked next.
    fn guess(self: &Arc<Self>, listing: &Arc<Listing>) {
        let guesses = self.hot.guess(listing, self.clock.now());
        drop(self.begin_work(listing, &guesses));
    }

    pub(super) fn begin_work(self: &Arc<Self>, listing: &Arc<Listing>, due: &[Due]) -> Option<JoinHandle<Vec<Due>>> {
        if due.is_empty() {
            return None;
        }
        let this = Arc::clone(self);
        let promises = self.promises(Some(listing), due);
        Some(self.spawn(async move { this.work(promises).await }))
    }

    /// Promises lines, some together, from this moment on.
    fn promises(self: &Arc<Self>, listing: Option<&Arc<Listing>>, due: &[Due]) -> Vec<(Promise, Vec<Due>)> {
        let repo = &self.options.repository;
        let promise = |due: Vec<Due>| {
            let wanted = due.iter().map(|due| due.wanted.clone()).collect();
            (self.github.promise(repo, listing.cloned(), wanted), due)
        };
        due.chunks(TOGETHER).map(<[_]>::to_vec).map(promise).collect()
    }

    /// Keeps promises, and tells which lines could not be read. None waits for its turn behind the others: a question
    /// that waits for one makes it urgent, and how much is sent at once is decided where it is sent.
    async fn work(&self, promises: Vec<(Promise, Vec<Due>)>) -> Vec<Due> {
        join_all(promises.into_iter().map(|(promise, due)| self.keep(promise, due))).await.concat()
    }

    /// Reads some lines together, resolves them, and records what was found.
    async fn keep(&self, promise: Promise, due: Vec<Due>) -> Vec<Due> {
        let listing = promise.listing().cloned();
        let heads = due.iter().filter(|due| due.wanted.walk == 0).filter_map(|due| {
            let pull = match &due.wanted.by {
                By::Number(number) => &listing.as_ref()?.by_number(*number)?.pull,
                By::Branch(branch) => &listing.as_ref()?.only_own(branch)?.pull,
            };
            Some(self.finder.look_ahead(pull.head, &due.branch, Some(pull.number)))
        });
        // The tags of heads that were never looked at are known before their checks are.
        let heads = stream::iter(heads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<()>();
        let (read, ()) = join(promise.read(), urgency::ahead(heads)).await;
        let read: HashMap<_, _> = read.into_iter().collect();
        let (read, left): (Vec<_>, Vec<_>) =
            due.into_iter().map(|due| (read.get(&due.wanted.by).copied(), due)).partition(|(how, _)| how.is_some());
        let found = read.into_iter().map(|(how, due)| async move { urgency::ahead(self.look(&due, how)).await });
        let found = stream::iter(found).buffer_unordered(AT_ONCE).filter_map(future::ready).collect().await;
        if self.options.alone
            && let Err(error) = self.ledger.record_ahead(found, self.clock.now() + RECORD).await
        {
            tracing::debug!(%error, "what was found ahead is recorded when it is asked for");
        }
        left.into_iter().map(|(_, due)| due).collect()
    }

    /// Resolves a line that was read, and tells the build that was found.
    async fn look(&self, due: &Due, how: Option<How>) -> Option<(LineKey, Candidate)> {
        // Whether an unproven tag is the head's takes another read of GitHub: that is done when it is asked for.
        if self.options.trust_head {
            return None;
        }
        let question = question(due);
        let (resolution, began) = self.resolve_read(&question, false).await.ok()?;
        self.looked(&question, &resolution, began, how);
        candidate(&resolution)
    }

    /// Asks for lines that cannot be read together: branches without a pull request, and what is not open any more.
    /// Those that nobody has asked for since they were due last are let go.
    async fn ask_alone(&self, left: Vec<Due>) {
        let now = self.clock.now();
        let alone = left.into_iter().map(|due| async move {
            let by = &due.wanted.by;
            if self.hot.was_asked_since(by, now - self.options.settled * 2) {
                let _ = urgency::ahead(self.look(&due, Some(How::Whole))).await;
            } else {
                self.hot.drop(by);
            }
        });
        stream::iter(alone).buffer_unordered(ALONE).collect::<()>().await;
    }

    /// Remembers what came of a look at a line.
    pub(super) fn looked(&self, question: &Question, resolution: &Resolution, began: Moment, how: Option<How>) {
        if !self.options.ahead {
            return;
        }
        let is_ready = matches!(resolution.outcome, Outcome::Ready(_));
        let walk = u32::try_from(resolution.considered.len()).unwrap_or(u32::MAX);
        let known = Known {
            fresh_until: resolution
                .again_at
                .unwrap_or(began + self.stillness.patience_with(resolution, self.clock.now())),
            is_final: resolution.is_final,
            // A skipped check passes for GitHub, whatever it is here.
            by_head: resolution.is_final && is_ready && walk == 1 && !self.options.ci.skipped_fails,
            is_ready,
            walk,
            whole_at: Moment::START,
        };
        self.hot.looked(&by(question), known, how, self.clock.now());
    }
}

/// Work that is under way, counted.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// By what a question asks for its line.
pub(super) fn by(question: &Question) -> By {
    question.number.map_or_else(|| By::Branch(question.branch.clone()), By::Number)
}

fn question(due: &Due) -> Question {
    let number = match due.wanted.by {
        By::Number(number) => Some(number),
        By::Branch(_) => None,
    };
    Question { application_set: String::new(), branch: due.branch.clone(), number, head_sha: None }
}

fn candidate(resolution: &Resolution) -> Option<(LineKey, Candidate)> {
    let (Outcome::Ready(build), Some(meant)) = (&resolution.outcome, &resolution.line) else { return None };
    let candidate = Candidate {
        build: build.clone(),
        branch: meant.branch.clone(),
        own: meant.own,
        as_of: resolution.as_of,
        newer: resolution.newer(),
    };
    Some((meant.key.clone(), candidate))
}

//! Reading a repository's lines together, before anybody waits for them.
//!
//! ```text
//! Sweep    page after page of the open pull requests: heads, and whether all their checks have passed
//! Promise  some lines that are about to be read: whoever asks for one of them waits for that, and asks nothing himself
//!   renew  by its page, where the head is the same and all its checks have passed as before
//!   batch  some pull requests a query, with as many commits as their walks took; smaller after each failure
//! ```
//!
//! What comes of it is found in the cache, as if it had been asked for alone. Nothing here is an answer of its own:
//! whatever fails, or is odd, is left to the question that needs it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{Ask, By, GitHub, on_its_way::Way};
use crate::{
    domain::{CheckState, Commits, Listed, Listing, Pull, Repo, Snapshot, Tip},
    upstream::{Kind, UpstreamError, urgency::Urgency},
};

/// How many queries are under way at once.
const AT_ONCE: usize = 4;

/// How long a pull request that made a query of its own fail is left to those who ask for it.
const ODD_FOR: Duration = Duration::from_mins(10);

/// How long after a sweep that failed none is begun.
const REST: Duration = Duration::from_secs(30);

/// How long a listing tells which pull request a bare branch name means.
const NAMED_FOR: Duration = Duration::from_mins(10);

/// How many commits are read of a head that has not passed, where nothing is known of its walk.
const USUAL_WALK: u32 = 5;

/// A line that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The line.
    pub by: By,
    /// How many commits its walk took last; 0 where that is not known.
    pub walk: u32,
    /// Whether its head was final by its own checks alone, so that its page is enough if they have still passed.
    pub renewable: bool,
}

/// How a line was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With all checks of its head.
    Whole,
    /// By its page.
    Renewed,
}

/// The pages of a repository's open pull requests, one after the other.
#[derive(Debug)]
pub struct Sweep {
    github: Arc<GitHub>,
    repo: Repo,
    way: watch::Sender<Way>,
    listing: Option<Listing>,
    after: Option<String>,
}

/// Lines that are about to be read.
#[derive(Debug)]
pub struct Promise {
    github: Arc<GitHub>,
    repo: Repo,
    way: watch::Sender<Way>,
    listing: Option<Arc<Listing>>,
    wanted: Vec<Wanted>,
    urgency: Urgency,
}

impl GitHub {
    /// The open pull requests of a repository, as they were last listed, or are being listed now.
    pub fn listing(&self, repo: &Repo) -> Option<Arc<Listing>> {
        self.on_its_way.of(repo).borrow().listing.clone()
    }

    /// Takes in what was listed to its end by others.
    pub(super) fn listed(&self, repo: &Repo, listing: &Arc<Listing>) {
        self.on_its_way.of(repo).send_if_modified(|way| {
            let older = way.listing.as_ref().is_none_or(|known| known.began < listing.began);
            if older {
                way.listing = Some(Arc::clone(listing));
            }
            older
        });
    }

    /// Begins to list the open pull requests of a repository, unless somebody does, or that failed a moment ago.
    /// Whoever asks for a line of it waits from now on until [`Sweep::planned`], but for the question that began it.
    pub fn sweep(self: &Arc<Self>, repo: &Repo, begun_by: Option<&By>) -> Option<Sweep> {
        let way = self.on_its_way.of(repo);
        let now = self.clock.now();
        let begun = way.send_if_modified(|way| {
            if way.sweep.is_some() || now < way.rests_until {
                return false;
            }
            way.sweep = Some(now);
            way.unplanned = true;
            way.begun_by = begun_by.cloned();
            true
        });
        begun.then(|| Sweep { github: Arc::clone(self), repo: repo.clone(), way, listing: None, after: None })
    }

    /// Promises to read these lines, by what is listed as far as that tells.
    pub fn promise(self: &Arc<Self>, repo: &Repo, listing: Option<Arc<Listing>>, wanted: Vec<Wanted>) -> Promise {
        let way = self.on_its_way.of(repo);
        let (now, urgency) = (self.clock.now(), Urgency::ahead());
        let promised = |wanted: &Wanted| (wanted.by.clone(), (now, urgency.clone()));
        way.send_modify(|way| way.promised.extend(wanted.iter().map(promised)));
        Promise { github: Arc::clone(self), repo: repo.clone(), way, listing, wanted, urgency }
    }
}

impl Sweep {
    /// The listing with one more page; `None` once it is complete.
    pub async fn next_page(&mut self) -> Result<Option<Arc<Listing>>, UpstreamError> {
        if self.listing.as_ref().is_some_and(|listing| listing.complete) {
            return Ok(None);
        }
        // Whoever asks waits for the first page.
        let urgency = if self.listing.is_none() { Urgency::question() } else { Urgency::ahead() };
        let page = match urgency.scope(self.github.page(&self.repo, self.after.as_deref())).await {
            Ok(page) => page,
            Err(error) => {
                self.rest();
                return Err(error);
            }
        };
        let listing = self.listing.get_or_insert_with(|| Listing::new(page.began, page.repository));
        listing.add(page.listed);
        listing.complete = page.next.is_none();
        self.after = page.next;
        let listing = Arc::new(listing.clone());
        self.way.send_modify(|way| {
            // What was listed before is of use until there is as much again.
            let more = |known: &Arc<Listing>| known.complete && known.len() > listing.len();
            if listing.complete || !way.listing.as_ref().is_some_and(more) {
                way.listing = Some(Arc::clone(&listing));
            }
        });
        Ok(Some(listing))
    }

    /// Says that what is to be read of the first page was promised: whoever waits for something else waits no longer.
    pub fn planned(&self) {
        self.way.send_modify(|way| way.unplanned = false);
    }

    fn rest(&self) {
        let until = self.github.clock.now() + REST;
        self.way.send_modify(|way| way.rests_until = until);
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.way.send_modify(|way| {
            way.sweep = None;
            way.unplanned = false;
        });
    }
}

impl Promise {
    /// What is listed as far as it tells of these lines.
    pub fn listing(&self) -> Option<&Arc<Listing>> {
        self.listing.as_ref()
    }

    /// Reads the lines, and tells how each was read that was. What was read is in the cache.
    pub async fn read(self) -> Vec<(By, How)> {
        let listing = self.listing.as_ref();
        let mut read = Vec::new();
        let mut rest: Vec<(u64, u32, By)> = Vec::new();
        let now = self.github.clock.now();
        for wanted in &self.wanted {
            let listed = match &wanted.by {
                By::Number(number) => listing.and_then(|listing| listing.by_number(*number)),
                By::Branch(branch) => listing.and_then(|listing| listing.only_own(branch)),
            };
            if let (true, Some(listed)) = (wanted.renewable, listed)
                && self.renew(&wanted.by, listed).await
            {
                read.push((wanted.by.clone(), How::Renewed));
                continue;
            }
            let number = match (&wanted.by, listed) {
                (By::Number(number), _) => *number,
                (By::Branch(_), Some(listed)) => listed.pull.number,
                // Only a question of its own tells what a bare name means that is not a pull request's alone.
                (By::Branch(_), None) => continue,
            };
            let passed = listed.is_some_and(|listed| listed.passed);
            let walk = match wanted.walk {
                0 if passed => 1,
                0 => USUAL_WALK,
                walk => walk,
            };
            if self.way.borrow().odd.get(&number).is_none_or(|until| *until <= now) {
                rest.push((number, walk, wanted.by.clone()));
            }
        }
        let (rest, read) = (Mutex::new(rest), Mutex::new(read));
        // A batch is as large as the sizes allow when it is its turn.
        let next = || {
            let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
            self.github.sizes.take(&mut rest, |(_, walk, _)| *walk)
        };
        let worker = || async {
            loop {
                let batch = next();
                if batch.is_empty() {
                    break;
                }
                let done = self.batch(batch).await;
                read.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
            }
        };
        join_all((0..AT_ONCE).map(|_| worker())).await;
        read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads some pull requests in one query. What cannot be read is not promised any more.
    async fn batch(&self, batch: Vec<(u64, u32, By)>) -> Vec<(By, How)> {
        let wanted: Vec<_> = batch.iter().map(|(number, walk, _)| (*number, *walk)).collect();
        let outcome = self.urgency.clone().scope(self.github.reader.together(&self.repo, &wanted)).await;
        let mut done = Vec::new();
        match outcome {
            Ok(snapshots) => {
                self.github.sizes.grow();
                let mut snapshots: HashMap<_, _> = snapshots.into_iter().collect();
                for (number, _, by) in &batch {
                    if let Some(snapshot) = snapshots.remove(number) {
                        self.put(by, snapshot).await;
                        done.push((by.clone(), How::Whole));
                    }
                }
            }
            Err(error) => {
                tracing::debug!(repository = %self.repo, pulls = batch.len(), %error, "pull requests cannot be read together");
                let of_its_own = matches!(error.kind, Kind::Unavailable | Kind::Malformed)
                    && self.github.reader.sender.breaker.well_since().is_some();
                if of_its_own && !self.github.sizes.shrink(batch.len()) {
                    let until = self.github.clock.now() + ODD_FOR;
                    self.way.send_modify(|way| way.odd.extend(batch.iter().map(|(number, ..)| (*number, until))));
                }
            }
        }
        self.way.send_modify(|way| {
            let now = self.github.clock.now();
            way.odd.retain(|_, until| now < *until);
            for (_, _, by) in &batch {
                way.promised.remove(by);
            }
        });
        done
    }

    /// Renews what is known of a line by its page: its head is the same, and all that it has of checks have passed,
    /// then and now.
    async fn renew(&self, by: &By, listed: &Listed) -> bool {
        let known = self.github.snapshots.peek(&(self.repo.clone(), By::Number(listed.pull.number))).await;
        let known = match known {
            None => self.github.snapshots.peek(&(self.repo.clone(), by.clone())).await,
            known => known,
        };
        let Some((_, known)) = known.filter(|(began, _)| *began < listed.began) else { return false };
        let head = known.pulls.iter().find(|pull| pull.number == listed.pull.number && pull.head == listed.pull.head);
        let commits = head.and_then(|pull| pull.commits.as_ref());
        let head = commits.and_then(|commits| commits.loaded.iter().find(|commit| commit.sha == listed.pull.head));
        let has_passed = |state: CheckState| matches!(state, CheckState::Passed | CheckState::Skipped);
        let Some(head) = head.filter(|head| {
            listed.passed
                && head.more_checks.is_none()
                && !head.checks.is_empty()
                && head.checks.iter().all(|check| has_passed(check.state))
        }) else {
            return false;
        };
        // The checks of older commits are as old as they are: they are read anew where they are needed.
        let commits = Commits { loaded: vec![Arc::clone(head)], more: listed.more.clone() };
        let snapshot = Snapshot {
            began: listed.began,
            github_time: listed.github_time,
            repository: known.repository.clone(),
            own_branch: None,
            pulls: vec![Pull { commits: Some(commits), ..listed.pull.clone() }],
            named: listed.began,
            more_pulls: false,
        };
        self.put(by, snapshot).await;
        self.way.send_modify(|way| {
            way.promised.remove(by);
        });
        true
    }

    /// Puts a pull request where it is looked for by its number, and by its branch if it was wanted so.
    async fn put(&self, by: &By, snapshot: Snapshot) {
        let key = |by: By| (self.repo.clone(), by);
        let named = self.listing.as_ref().map(|listing| listing.began);
        if let (By::Branch(branch), Some(pull), Some(named)) = (by, snapshot.pulls.first(), named)
            && snapshot.began.since(named) < NAMED_FOR
            && pull.branch == *branch
            && pull.open
            && !pull.from_fork
        {
            // The branch of such a pull request is there, and is its head. What a fork has opened under the same name
            // since it was listed takes nothing from it; whoever asks with another head does not believe this for long.
            let own_branch = Some(Tip { head: pull.head, commits: Commits::default() });
            let by_name = Snapshot { own_branch, named, ..snapshot.clone() };
            self.github.snapshots.put(key(by.clone()), by_name.began, Arc::new(by_name)).await;
        }
        if let Some(number) = snapshot.pulls.first().map(|pull| pull.number) {
            self.github.snapshots.put(key(By::Number(number)), snapshot.began, Arc::new(snapshot)).await;
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.way.send_modify(|way| {
            for wanted in &self.wanted {
                way.promised.remove(&wanted.by);
            }
        });
    }
}

/// What is cached by: how many commits are read at once is no part of what is asked.
pub(super) fn key(ask: &Ask) -> (Repo, By) {
    (ask.repo.clone(), ask.by.clone())
}

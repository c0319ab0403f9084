//! The stage of one story: the simulated world, the program before it, and the time that both share.
//!
//! Everything of a story runs in one thread, the servers too; SQLite alone works in another one, and the ledger and the
//! parts with a query tell while it does. So it is decided when the program waits for nothing but time: no database has
//! anything to do, and nobody does anything in many turns of the runtime. Only then time passes while a question is under
//! way. A query that never ends is the one that is not waited for. A real PostgreSQL is waited for like SQLite; what it
//! tells of its own accord comes when it comes.

mod process;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use chrono::TimeDelta;
use fastrand::Rng;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use lastgreen::{
    clock::Clock as _,
    operator::{HeldView, Operator, Release},
};
use lastgreen_sim::{Counts, PersonalToken, Sim, World};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use self::process::Process;
use crate::{
    database::{Database, Gate},
    hub::Line,
    ledgers::{self, Folders, Snapshot},
    parts::Service,
};

/// In so many turns of the runtime whoever can do something has done it.
const TURNS: u32 = 30;

/// A process that does nothing for so long will never do anything again.
const STUCK: u32 = 1_000_000;

/// A ledger that the programs of a story share.
pub(crate) struct Shared<'a> {
    pub(crate) database: Database<'a>,
    /// Whether they listen to what it tells.
    pub(crate) listening: bool,
}

/// The stage.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any may go with any")]
pub(crate) struct Stage<'a> {
    pub(crate) sim: Sim,
    /// Another plugin, where there is one.
    pub(crate) service: Option<Service>,
    /// Whether what the parts said last is lost with each process: only a mutation does so.
    pub(crate) loses_lists: bool,
    /// Whether queries of parts never end: then nobody waits for them.
    pub(crate) endless: bool,
    /// Since the story began.
    pub(crate) now: Duration,
    /// Where secrets and ledgers are.
    _folder: tempfile::TempDir,
    folders: Folders,
    config: String,
    processes: Vec<Process>,
    shared: Option<Shared<'a>>,
    /// Whether what is asked for is kept fresh in the background.
    fresh: bool,
    /// How far the program's wall clock is from the world's.
    skew: TimeDelta,
    /// Whether a program may have something to do that nobody waits for.
    stirred: bool,
    /// Whether something that hung was answered after all.
    released: bool,
}

/// An answer as it came over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// How long it took.
    pub(crate) after: Duration,
}

impl Reply {
    /// How long it took in words: a look at the clock takes a nanosecond, and how many there are matters to nobody.
    pub(crate) fn took(&self) -> String {
        let milliseconds = (self.after + Duration::from_micros(500)).as_millis();
        format!("{milliseconds} ms")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"))
    }
}

/// What moves whenever somebody does something.
#[derive(PartialEq)]
struct Motion {
    counts: Counts,
    hanging: usize,
    service: (u64, usize),
    working: bool,
    nearest: Vec<Option<Duration>>,
}

impl<'a> Stage<'a> {
    /// A world, and as many programs before it, configured by a file that `config` writes.
    pub(crate) async fn new(
        world: World,
        programs: usize,
        shared: Option<Shared<'a>>,
        fresh: bool,
        (service, config): (Option<Service>, impl FnOnce(&Sim, &Path, Option<&Service>) -> String),
    ) -> Self {
        let sim = Sim::start(world).await;
        let folder = ledgers::in_memory_if_possible();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        std::fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        let config = config(&sim, folder.path(), service.as_ref());
        let mut stage = Self {
            sim,
            service,
            endless: false,
            loses_lists: false,
            now: Duration::ZERO,
            folders: Folders::new(folder.path()),
            _folder: folder,
            config,
            processes: Vec::new(),
            shared,
            fresh,
            skew: TimeDelta::zero(),
            stirred: false,
            released: false,
        };
        for _ in 0..programs {
            let folder = stage.folders.next();
            stage.start(folder).await;
        }
        stage
    }

    async fn start(&mut self, folder: PathBuf) {
        let gate = match &self.shared {
            Some(shared) => Some(Gate::to(&shared.database).await),
            None => None,
        };
        let mut process = self.sim.world(|world| Process::start(&self.config, folder, gate, world, self.skew));
        if self.shared.as_ref().is_some_and(|shared| shared.listening) {
            process.keep();
        }
        if self.fresh {
            process.keep_fresh();
        }
        self.processes.push(process);
    }

    /// Ends a program, whatever it is doing, and starts a new one in its place with this ledger, one of whose records is
    /// broken if that is said: then it is told which. What the old one has begun comes to nothing.
    pub(crate) async fn restart(&mut self, nth: usize, ledger: &Snapshot, broken: Option<usize>) -> Option<Line> {
        let old = self.processes.remove(nth).folder.clone();
        self.sim.give_up();
        self.quiet(None::<&JoinHandle<()>>).await;
        // What it may still write there matters to nobody, and goes with the story.
        let _ = std::fs::remove_dir_all(old);
        let folder = self.folders.next();
        ledger.write(&folder);
        let line = match broken {
            Some(choice) => ledgers::break_a_seal(&folder, choice).await,
            None => None,
        };
        if self.loses_lists {
            ledgers::lose_lists(&folder).await;
        }
        self.start(folder).await;
        let last = self.processes.len() - 1;
        self.processes.swap(nth, last);
        line
    }

    /// The ledger of a program as it is now, whatever the program is doing.
    pub(crate) async fn snapshot(&self, nth: usize) -> Snapshot {
        self.idle(nth).await;
        Snapshot::of(&self.processes[nth].folder)
    }

    /// Writes what no answer waits for, as a program does every few seconds and at its end.
    pub(crate) async fn flush(&self, nth: usize) {
        let Process { ledger, clock, .. } = &self.processes[nth];
        // Where the ledger cannot be used that is no news.
        let _ = ledger.flush(clock.now() + Duration::from_secs(3)).await;
    }

    /// The database is gone for a program, or there again.
    pub(crate) fn reach_database(&self, nth: usize, open: bool) {
        if let Some(gate) = &self.processes[nth].gate {
            gate.set(open);
        }
    }

    /// Somebody takes a program's ledger away.
    pub(crate) fn take_ledger_away(&self, nth: usize) {
        Snapshot::remove(&self.processes[nth].folder);
    }

    async fn idle(&self, nth: usize) {
        while self.is_working(&self.processes[nth]) {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }

    fn is_working(&self, process: &Process) -> bool {
        process.ledger.is_working() || !self.endless && process.is_querying()
    }

    /// What the guards of a program hold back, as the operator sees it.
    pub(crate) async fn held_back(&self, nth: usize) -> Result<Vec<HeldView>, String> {
        self.operator(nth).held_back().await.map_err(|undone| undone.to_string())
    }

    /// Lets through what the guard of a generator holds back, as an operator does.
    pub(crate) async fn release(&self, nth: usize, generator: &str) -> Result<Vec<HeldView>, String> {
        let release = Release { generator: generator.to_owned() };
        self.operator(nth).release(&release).await.map_err(|undone| undone.to_string())
    }

    fn operator(&self, nth: usize) -> Operator {
        let Process { ledger, clock, .. } = &self.processes[nth];
        Operator::new(Arc::clone(ledger), Arc::new(clock.clone()))
    }

    /// Until nobody does anything any more.
    pub(crate) async fn rest(&self) {
        self.quiet(None::<&JoinHandle<()>>).await;
    }

    pub(crate) fn programs(&self) -> usize {
        self.processes.len()
    }

    /// Lets time pass while nobody asks. Whoever waits for a moment within is woken then, or later by less than he has
    /// waited already: what a program does beside the answering ends in its time, not with the next question.
    pub(crate) async fn pass(&mut self, by: Duration) {
        let until = self.now + by;
        let mut step = Duration::ZERO;
        // What is done in the background always waits, and may as well be late; but what it has sent is answered first.
        let beating = |stage: &Self| stage.processes.iter().any(|process| !process.background.is_empty());
        if std::mem::take(&mut self.stirred) || beating(self) {
            self.quiet(None::<&JoinHandle<()>>).await;
        }
        while let Some(away) = self.nearest().filter(|_| !beating(self) || self.hanging() > 0) {
            step = away.max(2 * step).max(Duration::from_nanos(1));
            if self.now + step >= until {
                break;
            }
            self.advance(step);
            self.quiet(None::<&JoinHandle<()>>).await;
        }
        self.advance(until.saturating_sub(self.now));
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.sim.world(|world| world.now += TimeDelta::from_std(by).unwrap());
        if let Some(service) = &self.service {
            service.is_now(self.now);
        }
        for process in &self.processes {
            process.clock.advance(by);
        }
    }

    /// Moves the programs' wall clock alone.
    pub(crate) fn jump_wall(&mut self, by: TimeDelta) {
        self.skew += by;
        for process in &self.processes {
            process.clock.jump_wall(by);
        }
    }

    /// Asks a program as Argo CD does. Where it waits for an upstream that hangs, that one may go on with every second
    /// that passes.
    pub(crate) async fn ask(&mut self, nth: usize, generator: &str, parameters: &Value, rng: &mut Rng) -> Reply {
        let mut answer = self.asking(nth, generator, parameters);
        self.stirred = true;
        let began = self.now;
        loop {
            self.quiet(Some(&answer)).await;
            if let Some(done) = (&mut answer).now_or_never() {
                let (status, headers, body) = done.unwrap();
                return Reply { status, headers, body, after: self.now.saturating_sub(began) };
            }
            self.wait(rng);
        }
    }

    /// Whether something that hung was answered after all since this was asked last.
    pub(crate) fn took_its_time(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Asks, and hangs up before there is an answer, or with it. Tells what the ledger was at that moment.
    pub(crate) async fn hang_up(&mut self, nth: usize, generator: &str, parameters: &Value, turns: u32) -> Snapshot {
        let answer = self.asking(nth, generator, parameters);
        for _ in 0..turns {
            tokio::task::yield_now().await;
            // How long that takes is not the seed's to say; nor how far whoever is asked at the same time gets meanwhile.
            if self.processes[nth].asks_at_once() {
                self.rest().await;
            }
            self.idle(nth).await;
        }
        let ledger = self.snapshot(nth).await;
        answer.abort();
        let _ = answer.await;
        ledger
    }

    fn asking(&self, nth: usize, generator: &str, parameters: &Value) -> JoinHandle<(u16, HeaderMap, Value)> {
        let body = json!({ "applicationSetName": "fb-matrix", "input": { "parameters": parameters } });
        let request = Request::post(format!("/{generator}/api/v1/getparams.execute"))
            .header("authorization", "Bearer strong-password")
            .body(Body::from(body.to_string()))
            .unwrap();
        let router = self.processes[nth].router.clone();
        tokio::spawn(async move {
            let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            (parts.status.as_u16(), parts.headers, body)
        })
    }

    /// How many requests wait for a service that does not answer.
    fn hanging(&self) -> usize {
        self.sim.hanging() + self.service.as_ref().map_or(0, Service::hanging)
    }

    /// How far the moment is that some program waits for.
    fn nearest(&self) -> Option<Duration> {
        self.processes.iter().filter_map(Process::nearest).min()
    }

    /// Nothing happens any more: time passes up to whatever comes first.
    fn wait(&mut self, rng: &mut Rng) {
        let sleeping = self.nearest();
        let hanging = self.hanging() > 0;
        let second = Duration::from_secs(1);
        let step = match sleeping {
            None => second,
            Some(away) if hanging => away.min(second),
            Some(away) => away,
        };
        self.advance(step.max(Duration::from_nanos(1)));
        // A service that is slow, not dead.
        if self.sim.hanging() > 0 && rng.u8(..8) == 0 {
            self.released = true;
            self.sim.release(lastgreen_sim::Target::GitHub);
            self.sim.release(lastgreen_sim::Target::Registry);
            self.sim.release(lastgreen_sim::Target::Realm);
        }
    }

    /// Until nobody does anything any more, or the answer is there.
    async fn quiet<T>(&self, answer: Option<&JoinHandle<T>>) {
        let motion = || Motion {
            counts: self.sim.counts(),
            hanging: self.sim.hanging(),
            service: self.service.as_ref().map_or((0, 0), |service| (service.motion(), service.hanging())),
            working: self.processes.iter().any(|process| self.is_working(process)),
            nearest: self.processes.iter().map(Process::nearest).collect(),
        };
        let (mut still, mut turns, mut before) = (0, 0, motion());
        while still < TURNS && !answer.is_some_and(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
            turns += 1;
            assert!(turns < STUCK, "nothing will ever happen again");
            let now = motion();
            if now.working {
                std::thread::yield_now();
                turns = 0;
            }
            still = if now == before && !now.working { still + 1 } else { 0 };
            before = now;
        }
    }
}

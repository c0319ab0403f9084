//! One seed is one story: a world, a generator, and what happens in some hours of polling.

mod asking;
mod parts;
mod people;
mod restarts;

use std::{collections::HashMap, path::Path, rc::Rc, time::Duration};

use chrono::TimeDelta;
use fastrand::Rng;
use lastgreen_sim::Sim;

use self::parts::Tale;
use crate::{
    database::Databases,
    faults,
    hub::{At, Hub, Line, Outcome, Question},
    mutations::Mutation,
    oracle::Violation,
    parts::{PartRules, Service, dice},
    report::{Log, Tally},
    rules::{Ahead, LedgerKind, Rules},
    stage::{Reply, Shared, Stage},
    world::{Event, World},
};

/// How a story ended.
pub(crate) struct Told {
    pub(crate) tally: Tally,
    /// What happened, to the end or up to the broken promise.
    pub(crate) log: Log,
    pub(crate) violation: Option<Violation>,
}

/// The name of the generator with nothing but a build.
const PREVIEW: &str = "preview";

/// Whether the story of a seed is one of two replicas, where there is a PostgreSQL.
pub(crate) fn is_shared(seed: u64) -> bool {
    seed.is_multiple_of(8)
}

/// Tells the story of a seed, to its end or to the first answer that the oracle objects to.
///
/// Some stories have parts beside a build, or all of them if that is said.
pub(crate) fn tell(seed: u64, (mutation, parts): (Option<Mutation>, bool), databases: Option<&Databases>) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The program's own dice (for pauses) fall as the seed says.
        fastrand::seed(seed);
        let mut story = Story::begin(seed, (mutation, parts), databases).await;
        let violation = story.run().await.err();
        story.tally.stories += 1;
        Told { tally: story.tally, log: story.log, violation }
    })
}

/// A pull request or branch as whoever asks knows it.
#[derive(Clone)]
struct Entry {
    question: Question,
    /// Whether each question tells the number, and the head.
    number: bool,
    head: bool,
}

struct Story<'a> {
    rng: Rng,
    stage: Stage<'a>,
    world: World,
    log: Log,
    tally: Tally,
    mutation: Option<Mutation>,
    /// The own branches that are worked on, and whether the fork has one of the same name.
    branches: Vec<(Rc<str>, bool)>,
    /// How each pull request, and each branch without one, is asked for.
    forms: Vec<(Line, bool, bool)>,
    /// What whoever asks has listed last.
    listed: Vec<Entry>,
    pulls: u64,
    /// The program that was asked last.
    asked: usize,
    /// What each question was answered fresh, for the rule that nobody goes back.
    answered: HashMap<String, Vec<Reply>>,
    /// What happens beside, in some stories.
    tale: Option<Tale>,
}

impl<'a> Story<'a> {
    async fn begin(seed: u64, (mutation, parts): (Option<Mutation>, bool), databases: Option<&'a Databases>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut rules = Rules::random(&mut rng, seed);
        let mut shared = None;
        let mut parts = dice(seed, mutation, parts).map(|mut rng| (PartRules::random(&mut rng), rng));
        if let Some(mutation) = mutation
            && let Some((rules, _)) = &mut parts
        {
            mutation.prepare_parts(rules);
        }
        if let Some(databases) = databases.filter(|_| is_shared(seed) || mutation.is_some()) {
            let listening = mutation.is_none() && rng.bool();
            rules.ledger = LedgerKind::Shared { listening };
            shared = Some(Shared { database: databases.lend().await, listening });
        }
        if let Some(mutation) = mutation {
            mutation.prepare(&mut rules);
        }
        let mut world = World::new(rules.clone());
        world.careless = mutation == Some(Mutation::CarelessRegistry);
        world.unlabelled = mutation == Some(Mutation::HeadTrusted);
        let mut begin = world.begin();
        rules.furnish(&mut begin);
        let programs = if shared.is_some() || mutation == Some(Mutation::LedgersApart) { 2 } else { 1 };
        let fresh = rules.ahead == Ahead::Always;
        let service = parts.as_ref().map(|_| Service::start());
        let mut tale = None;
        let config = |sim: &Sim, folder: &Path, service: Option<&Service>| {
            let beside = service.zip(parts.as_ref()).map(|(service, (of, _))| (of, service.url()));
            tale = parts.as_ref().map(|(_, rng)| Tale::new(rng.clone(), folder));
            rules.config(sim, folder, beside, mutation)
        };
        let mut stage = Stage::new(begin, programs, shared, fresh, (service, config)).await;
        stage.loses_lists = mutation == Some(Mutation::ListsNotKept);
        let mut log = Log::new(seed);
        log.add(Duration::ZERO, &format!("{rules:?}"));
        let mut story = Self {
            rng,
            stage,
            world,
            log,
            tally: Tally::default(),
            mutation,
            branches: Vec::new(),
            forms: Vec::new(),
            listed: Vec::new(),
            pulls: 0,
            asked: 0,
            answered: HashMap::new(),
            tale,
        };
        story.people();
        if let Some((rules, _)) = parts {
            story.note(&format!("{rules:?}"));
            story.furnish_parts(rules);
        }
        story
    }

    async fn run(&mut self) -> Result<(), Violation> {
        // Most stories are short, some are long.
        let steps = if self.rng.u8(..8) == 0 { self.rng.u32(100..200) } else { self.rng.u32(25..60) };
        for _ in 0..steps {
            self.step().await?;
            self.beside().await?;
        }
        // Whatever was wrong ends, and every line is asked until it must be well.
        for id in self.world.troubles.keys().copied().collect::<Vec<_>>() {
            self.event(Event::TroubleEnds(id));
        }
        self.event(Event::CatchesUp);
        self.event(Event::LedgerIsTakenAway);
        self.event(Event::DatabaseIsBack);
        self.pass(Duration::from_secs(3700)).await;
        for _ in 0..5 {
            self.sweep().await?;
            self.pass(Duration::from_secs(170)).await;
        }
        self.parts_end().await
    }

    async fn step(&mut self) -> Result<(), Violation> {
        match self.rng.u32(..1000) {
            0..320 => {
                let seconds = match self.rng.u16(..1000) {
                    0..400 => self.rng.u64(1..30),
                    400..870 => self.rng.u64(30..900),
                    870..990 => self.rng.u64(900..4 * 3600),
                    _ => self.rng.u64(86400..9 * 86400),
                };
                self.pass(Duration::from_secs(seconds)).await;
            }
            320..520 => self.sweep().await?,
            520..570 => self.polls(2..7).await?,
            570..700 => self.somebody_pushes(),
            700..730 => self.push(&"main".into(), false, None),
            730..790 => self.somebody_does_something_else().await,
            790..850 => {
                self.something_goes_wrong();
                // While it is wrong the branches are asked for, and people go on working.
                if self.rng.u8(..4) > 0 {
                    self.pass_some().await;
                    self.polls(1..4).await?;
                }
            }
            850..880 => {
                if let Some(id) = self.world.troubles.keys().next().copied() {
                    self.event(Event::TroubleEnds(id));
                }
            }
            880..910 => {
                if self.world.oracle.is_lagging() {
                    self.event(Event::CatchesUp);
                } else {
                    self.lag();
                    self.somebody_pushes();
                    self.sweep().await?;
                }
            }
            910..930 => self.restart(false).await,
            930..945 => self.restart(true).await,
            945..970 => self.hang_up().await,
            970..985 => {
                let program = self.rng.usize(..self.stage.programs());
                self.flush(program).await;
            }
            _ => {
                let by = TimeDelta::seconds(self.rng.i64(-90_000..90_000));
                self.stage.jump_wall(by);
                if let Some(lists) = &mut self.world.oracle.lists {
                    lists.wall_clock_jumps();
                }
                self.tally.count("wall clock jumps");
                self.note(&format!("the program's wall clock jumps by {} s", by.num_seconds()));
            }
        }
        Ok(())
    }

    /// Some sweeps, evenly spaced.
    async fn polls(&mut self, sweeps: std::ops::Range<u32>) -> Result<(), Violation> {
        let every = self.rng.u64(20..290);
        for _ in 0..self.rng.u32(sweeps) {
            self.sweep().await?;
            self.pass(Duration::from_secs(every)).await;
        }
        Ok(())
    }

    async fn pass_some(&mut self) {
        let seconds = self.rng.u64(1..600);
        self.pass(Duration::from_secs(seconds)).await;
    }

    fn now(&self) -> At {
        self.stage.now
    }

    fn hub(&self) -> &Hub {
        &self.world.oracle.hub
    }

    fn note(&mut self, text: &str) {
        let now = self.stage.now;
        self.log.add(now, text);
    }

    /// Time passes, and what was planned happens at its time.
    async fn pass(&mut self, by: Duration) {
        let until = self.now() + by;
        self.note(&format!("{} s pass", by.as_secs()));
        self.catch_up(until).await;
        let rest = until.saturating_sub(self.now());
        self.stage.pass(rest).await;
        // Nobody waits for an answer for so long.
        if by >= Duration::from_secs(10) {
            self.stage.sim.give_up();
        }
        let now = self.now();
        self.world.oracle.observe(now);
    }

    /// What should have happened by then happens.
    async fn catch_up(&mut self, until: At) {
        while let Some((at, event)) = self.world.due(until) {
            let wait = at.saturating_sub(self.now());
            self.stage.pass(wait).await;
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        let sim = &self.stage.sim;
        let text = match event {
            Event::Check { commit, name, outcome } => {
                self.world.check(sim, now, &commit, name, outcome);
                format!("CI: {name} of {} has {outcome}", self.world.name(&commit))
            }
            Event::Image { tag, built, spec } => {
                let name = self.world.name(&built.commit);
                let text = format!("CI pushes image {} of {name} ({:?}) as {tag}", built.image, built.origin);
                self.world.image(sim, now, &tag, built, &spec);
                text
            }
            Event::TroubleEnds(id) => match self.world.trouble_ends(sim, now, id) {
                Some(name) => format!("it is over: {name}"),
                None => return,
            },
            Event::CatchesUp => {
                if !self.world.oracle.is_lagging() {
                    return;
                }
                sim.catch_up();
                self.world.oracle.lags(now, false);
                self.world.oracle.weather.trouble_ends(now, false, Duration::ZERO);
                "GitHub catches up".to_owned()
            }
            Event::DatabaseIsBack => {
                if !self.world.oracle.is_database_gone() {
                    return;
                }
                for program in 0..self.stage.programs() {
                    self.stage.reach_database(program, true);
                }
                self.world.oracle.database_is_back(now);
                "the database is back".to_owned()
            }
            Event::LedgerIsTakenAway => {
                if !self.world.oracle.is_ledger_garbage() {
                    return;
                }
                self.stage.take_ledger_away(0);
                self.world.oracle.ledger_is_lost();
                "the ledger is taken away".to_owned()
            }
        };
        self.note(&text);
    }

    fn lag(&mut self) {
        let now = self.now();
        self.stage.sim.lag_github();
        self.world.oracle.lags(now, true);
        self.world.oracle.weather.trouble_begins(now, false);
        let lasts = if self.rng.bool() { self.rng.u64(2..60) } else { self.rng.u64(60..1800) };
        self.world.later(now + Duration::from_secs(lasts), Event::CatchesUp);
        self.tally.fault("GitHub lags behind");
        self.note("GitHub begins to lag behind");
    }

    /// The database is gone, for one replica or for both.
    fn database_goes(&mut self) {
        let now = self.now();
        let of = [&[0][..], &[1], &[0, 1]][self.rng.usize(..3)];
        for program in of {
            self.stage.reach_database(*program, false);
        }
        self.world.oracle.database_is_gone(now, of);
        let lasts = if self.rng.bool() { self.rng.u64(2..60) } else { self.rng.u64(60..7200) };
        self.world.later(now + Duration::from_secs(lasts), Event::DatabaseIsBack);
        self.tally.fault("database gone");
        self.note(&format!("the database is gone for the replicas {of:?} for {lasts} s"));
    }

    fn something_goes_wrong(&mut self) {
        let shared = self.world.rules.ledger.is_shared() && !self.world.oracle.is_database_gone();
        if shared && self.rng.u8(..3) == 0 {
            return self.database_goes();
        }
        if self.world.troubles.len() >= 2 {
            return;
        }
        let trouble = faults::random(&mut self.rng);
        let lasts = Duration::from_secs(match self.rng.u8(..10) {
            0..4 => self.rng.u64(10..300),
            4..9 => self.rng.u64(300..2 * 3600),
            _ => self.rng.u64(2 * 3600..86400),
        });
        let now = self.now();
        self.tally.fault(trouble.name);
        self.note(&format!("trouble: {:?} for {} s", trouble.fault, lasts.as_secs()));
        self.world.trouble(&self.stage.sim, now, trouble, lasts);
    }
}

/// A check's outcome in words.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "begun",
            Self::Passed => "passed",
            Self::Failed => "failed",
        })
    }
}

//! One running program.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use lastgreen::{
    app::App,
    clock::ManualClock,
    config::Config,
    generator::{Generator, Parts, PlainGenerator},
    ledger::Ledger,
};
use lastgreen_sim::World;
use tokio::task::JoinHandle;

use crate::{database::Gate, ledgers};

/// One running program.
pub(super) struct Process {
    pub(super) router: Router,
    pub(super) clock: ManualClock,
    pub(super) ledger: Arc<Ledger>,
    pub(super) folder: PathBuf,
    /// The way to the ledger that it shares.
    pub(super) gate: Option<Gate>,
    generators: Vec<Arc<Generator>>,
    plain: Vec<Arc<PlainGenerator>>,
    /// What is done in the background.
    pub(super) background: Vec<JoinHandle<()>>,
}

impl Process {
    /// The one place where a program is made.
    pub(super) fn start(config: &str, folder: PathBuf, gate: Option<Gate>, world: &World, skew: TimeDelta) -> Self {
        if let Some(gate) = &gate {
            std::fs::write(folder.join(ledgers::URL), gate.url()).unwrap();
        }
        let clock = ManualClock::new(world.now + skew);
        let config = &config.replace(ledgers::FOLDER, folder.to_str().unwrap());
        let (config, _) = Config::parse(config, "campaign.yaml").unwrap_or_else(|errors| panic!("{errors}\n{config}"));
        let app = App::build(config, Arc::new(clock.clone())).unwrap();
        let (generators, plain) = (app.generators.values().cloned().collect(), app.plain.values().cloned().collect());
        let (router, ledger) = (app.plugin_router(), Arc::clone(&app.ledger));
        Self { router, clock, ledger, folder, gate, generators, plain, background: Vec::new() }
    }

    /// Whether a part's database has something to do.
    pub(super) fn is_querying(&self) -> bool {
        let mut parts = self.generators.iter().map(|generator| generator.parts());
        parts.any(Parts::is_working) || self.plain.iter().any(|generator| generator.parts().is_working())
    }

    /// Whether a database is asked for a part beside a build, which is looked for at the same time.
    pub(super) fn asks_at_once(&self) -> bool {
        self.generators.iter().any(|generator| generator.parts().is_working())
    }

    /// How far the moment is that it waits for.
    pub(super) fn nearest(&self) -> Option<Duration> {
        self.clock.sleeping_within(Duration::MAX).now_or_never()
    }

    /// Has the ledger looked after from now on.
    pub(super) fn keep(&mut self) {
        self.background.push(tokio::spawn(Arc::clone(&self.ledger).keep(std::future::pending())));
    }

    /// Has kept fresh from now on what is asked for.
    pub(super) fn keep_fresh(&mut self) {
        for generator in &self.generators {
            let generator = Arc::clone(generator);
            self.background.push(tokio::spawn(async move { generator.keep_fresh(std::future::pending()).await }));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
    }
}

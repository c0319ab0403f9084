//! The table of contents of the process: everything is built here, in the order in which it is needed, and run.

mod chores;
mod options;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

pub use self::options::ledger;
use self::{
    chores::{background, watching},
    options::{
        beside, build_options, explainer, github_options, guard, hold, inbound, keys, kubernetes_options,
        registry_options, web,
    },
};
use crate::{
    background::{Background, Died, Tasks},
    clock::SharedClock,
    config::Config,
    domain::{ApplicationSets, ImageSpec, Repo, Repositories},
    explain::Explain,
    generator::{Book, Family, Generator, GeneratorOptions, Lines, Parts, PlainGenerator, Served},
    github::GitHub,
    http::{self, Door, Explainer, Ops, Phase, Plugin, Tokens, reached},
    kubernetes::Kubernetes,
    ledger::Ledger,
    metrics::{Metrics, Watched},
    operator::{Operator, plugins::Plugins},
    parts::{build::BuildPart, plugins::PluginPart},
    registry::Registries,
    trace::Traces,
    upstream::SecretFile,
};

/// How long requests to the operator's listener may take once the plugin is done.
const OPS_DRAIN: Duration = Duration::from_secs(2);

/// Generators by their names.
type ByName<G> = BTreeMap<Arc<str>, Arc<G>>;

/// How the process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without anybody being refused: those who ask are answered until they have heard of it.
    Orderly,
    /// As soon as the requests under way are done.
    Soon,
}

/// Everything that one process is made of.
#[derive(Debug)]
pub struct App {
    /// GitHub, where a generator has a build part.
    pub github: Option<Arc<GitHub>>,
    /// The registries.
    pub registries: Arc<Registries>,
    /// What was answered.
    pub ledger: Arc<Ledger>,
    /// Where plugin services are looked for.
    pub kubernetes: Option<Arc<Kubernetes>>,
    /// Other plugins, generator by generator.
    pub plugins: Vec<Arc<PluginPart>>,
    /// The generators with a build part, by name.
    pub generators: ByName<Generator>,
    /// Those for all repositories that fit a pattern, by name.
    pub families: ByName<Family>,
    /// The generators without one, by name.
    pub plain: ByName<PlainGenerator>,
    /// What is done beside the answering; [`App::run`] starts it.
    pub background: Vec<Background>,
    plugin: Arc<Plugin>,
    ops_tokens: Option<Tokens>,
    explainer: Option<Explainer>,
    drain_delay: Duration,
    traces: Traces,
    clock: SharedClock,
}

impl App {
    /// Builds everything that a configuration asks for. Nothing is sent yet.
    pub fn build(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        Self::build_traced(config, Traces::default(), clock)
    }

    /// The same, with somewhere for traces to go.
    pub fn build_traced(config: Config, traces: Traces, clock: SharedClock) -> anyhow::Result<Self> {
        let forget_after = config.ledger.forget_after;
        let ledger = ledger(config.ledger, &clock);
        let web = config.github.as_ref().and_then(|github| web(&github.api));
        let github = config.github.map(|github| GitHub::new(github_options(github), Arc::clone(&clock)));
        let github = github.transpose().context("cannot set up GitHub")?.map(Arc::new);
        let registries = config.registries.into_iter().map(registry_options).collect();
        let registries = Registries::new(registries, Arc::clone(&clock)).context("cannot set up the registries")?;
        let registries = Arc::new(registries);
        let tokens = |file| Tokens::new(SecretFile::new(file, Arc::clone(&clock)));
        let kubernetes =
            config.kubernetes.map(|config| Kubernetes::new(kubernetes_options(config), Arc::clone(&clock)));
        let kubernetes = kubernetes.transpose().context("cannot set up Kubernetes")?.map(Arc::new);
        let (mut generators, mut families, mut plain) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut doors, mut plugins) = (BTreeMap::new(), Vec::new());
        for (name, mut generator) in config.generators {
            let name: Arc<str> = name.into();
            let sets = generator.application_sets.iter().map(String::as_str);
            let door =
                Door { tokens: generator.token_file.take().map(tokens), application_sets: ApplicationSets::new(sets) };
            doors.insert(Arc::clone(&name), door);
            let guard = generator.guard.map(guard);
            let all = beside(&name, &mut generator, kubernetes.as_ref(), &mut plugins, &clock)?;
            let parts = Parts::new(
                Arc::clone(&name),
                all,
                (generator.build.as_ref().map(keys), guard),
                Arc::clone(&ledger),
                Arc::clone(&clock),
            );
            let (ledger, clock) = (Arc::clone(&ledger), Arc::clone(&clock));
            let Some(build) = generator.build.take() else {
                let generator = PlainGenerator::new(Arc::clone(&name), config.answer_within, parts, ledger, clock);
                plain.insert(name, Arc::new(generator));
                continue;
            };
            let github = github.as_ref().context("a generator has a `build` part, and there is no GitHub")?;
            let parts = Arc::new(parts);
            let (repository, images) = (build.repository.clone(), build.images.clone());
            let make = {
                let (name, parts, github) = (Arc::clone(&name), Arc::clone(&parts), Arc::clone(github));
                let (registries, ledger, clock) = (Arc::clone(&registries), Arc::clone(&ledger), Arc::clone(&clock));
                let books = Arc::default();
                move |repository: Repo, images: Vec<ImageSpec>| {
                    let options = GeneratorOptions {
                        name: Arc::clone(&name),
                        answer_within: config.answer_within,
                        hold: hold(generator.hold),
                        images: images.clone(),
                        outputs: build.outputs.clone(),
                    };
                    let options_of_build =
                        build_options((&name, repository), (&build, images), &generator, parts.is_empty());
                    let (github, registries) = (Arc::clone(&github), Arc::clone(&registries));
                    let (ledger, clock) = (Arc::clone(&ledger), Arc::clone(&clock));
                    let build =
                        BuildPart::new(options_of_build, github, registries, Arc::clone(&ledger), Arc::clone(&clock));
                    Generator::new(options, build, (Arc::clone(&parts), guard), (ledger, Book::on(&books)), clock)
                }
            };
            match repository {
                Repositories::One(repo) => {
                    let images = images.iter().map(|image| image.of(&repo)).collect::<Result<_, _>>()?;
                    generators.insert(name, Arc::new(make(repo, images)));
                }
                Repositories::Fitting(pattern) => {
                    let family = Family::new((Arc::clone(&name), pattern), images, make, parts, ledger, clock);
                    families.insert(name, Arc::new(family));
                }
            }
        }
        let ops_tokens = config.ops.token_file.map(tokens);
        let served = served(&generators, &families, &plain);
        let access = (tokens(config.token_file), inbound(config.inbound));
        let plugin = Arc::new(Plugin::new(served.clone(), doors, access, traces.clone(), Arc::clone(&clock)));
        let explainer = explainer(config.ops.explain, || {
            let services = (github.clone(), Arc::clone(&registries));
            Explain::new(served, Arc::clone(&ledger), services, web, Arc::clone(&clock))
        });
        let drain_delay = config.drain_delay;
        let mut background = background(&ledger, (&generators, &families, &plain), forget_after, &clock);
        background.extend(kubernetes.as_ref().map(watching));
        Ok(Self {
            github,
            registries,
            ledger,
            kubernetes,
            plugins,
            generators,
            families,
            plain,
            background,
            plugin,
            ops_tokens,
            explainer,
            drain_delay,
            traces,
            clock,
        })
    }

    /// What answers on the plugin's listener.
    pub fn plugin_service(&self, phase: watch::Receiver<Phase>) -> impl http::Service + use<> {
        http::plugin_service(Arc::clone(&self.plugin), phase)
    }

    /// The same as a route, without a listener.
    pub fn plugin_router(&self) -> Router {
        http::plugin_router(Arc::clone(&self.plugin))
    }

    /// What Prometheus is told of.
    pub fn watched(&self) -> Watched {
        Watched {
            counts: self.plugin.counts(),
            generators: self.generators.clone(),
            families: self.families.clone(),
            github: self.github.clone(),
            registries: Arc::clone(&self.registries),
            ledger: Arc::clone(&self.ledger),
        }
    }

    /// What answers on the operator's listener; whoever asks for it a second time gets it without tokens and pages.
    pub fn ops_router(&mut self, phase: watch::Receiver<Phase>) -> Router {
        let operator = Operator::new(Arc::clone(&self.ledger), Arc::clone(&self.clock));
        let metrics = Metrics::new(self.watched());
        let plugins = Plugins::new(std::mem::take(&mut self.plugins), self.kubernetes.clone());
        let (tokens, explain) = (self.ops_tokens.take(), self.explainer.take());
        http::ops_router(Arc::new(Ops { phase, tokens, operator, metrics, plugins, explain }))
    }

    /// Serves both listeners until it is told to end, or until a background task dies, which is an error.
    ///
    /// At the end the plugin's listener goes first, then the background tasks, then the operator's listener. Whoever
    /// asks for the end a second time does not want to wait for the news to spread; nor does one who has gone away.
    pub async fn run(mut self, plugin: TcpListener, ops: TcpListener, ends: mpsc::Receiver<End>) -> anyhow::Result<()> {
        let (phase, seen) = watch::channel(Phase::Serving);
        let shared = Arc::clone(&self.clock);
        let clock = || Arc::clone(&shared);
        let drain = reached(seen.clone(), Phase::Draining);
        let service = self.plugin_service(seen.clone());
        let plugin = http::serve(plugin, service, clock(), drain, http::DRAIN);
        let over = reached(seen.clone(), Phase::Over);
        let router = self.ops_router(seen);
        let ops = http::serve(ops, http::routed(router), clock(), over, OPS_DRAIN);

        let mut tasks = Tasks::start(self.background, clock());
        let plugin_and_tasks = async {
            let until_drain = async {
                let ended = until_drain(ends, self.drain_delay, &phase, &mut tasks, &self.clock).await;
                phase.send_replace(Phase::Draining);
                Ok(ended)
            };
            let (ended, ()) = tokio::try_join!(until_drain, plugin)?;
            // Questions alone are traced, and all of them are answered.
            let (stopped, ()) = tokio::join!(tasks.stop(), self.traces.finish());
            phase.send_replace(Phase::Over);
            Ok(ended.and(stopped))
        };
        let (ended, ()) = tokio::try_join!(plugin_and_tasks, ops).context("a listener broke down")?;
        ended?;
        tracing::info!("ended");
        Ok(())
    }
}

/// All generators, as they are served.
fn served(generators: &ByName<Generator>, families: &ByName<Family>, plain: &ByName<PlainGenerator>) -> Vec<Served> {
    let lines = generators.values().cloned().map(Lines::Sole);
    let lines = lines.chain(families.values().cloned().map(Lines::Family));
    lines.map(Served::Lines).chain(plain.values().cloned().map(Served::Plain)).collect()
}

/// Completes when the plugin is to take no more connections.
async fn until_drain(
    mut ends: mpsc::Receiver<End>,
    delay: Duration,
    phase: &watch::Sender<Phase>,
    tasks: &mut Tasks,
    clock: &SharedClock,
) -> Result<(), Died> {
    let died = |died: Died| {
        tracing::error!("{died}: ending, for nothing can be relied on any more; requests under way are finished");
        Err(died)
    };
    let end = tokio::select! {
        biased;
        dead = tasks.died() => return died(dead),
        end = ends.recv() => end,
    };
    phase.send_replace(Phase::Leaving);
    if end == Some(End::Orderly) && !delay.is_zero() {
        tracing::info!(drain_delay = ?delay, "ending: not ready any more; whoever asks is answered for a while");
        tokio::select! {
            biased;
            dead = tasks.died() => return died(dead),
            _ = ends.recv() => tracing::info!("told to end once more: not waiting any longer"),
            () = clock.sleep_until(clock.now() + delay) => {}
        }
    }
    tracing::info!("ending: no more connections are taken; requests under way are finished");
    Ok(())
}

//! The table of contents of the process: everything is built here, in the order in which it is needed, and run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use futures_util::future::join_all;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use crate::{
    background::{Background, Died, Tasks},
    clock::SharedClock,
    config::{self, Config},
    domain::{CheckPattern, CiPolicy},
    explain::Explain,
    generator::{Generator, GeneratorOptions, Hold},
    github::{self, GitHub},
    http::{self, Explainer, Ops, Phase, Plugin, Tokens, Who, reached},
    ledger::{Ledger, LedgerOptions, Source},
    operator::Operator,
    parts::build::{BuildOptions, BuildPart},
    registry::{self, Registries},
    upstream::{PaceLimits, Secret, SecretFile},
};

/// How often is looked for lines that nobody needs any more.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// How long requests to the operator's listener may take once the plugin is done.
const OPS_DRAIN: Duration = Duration::from_secs(2);

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
    /// GitHub.
    pub github: Arc<GitHub>,
    /// The registries.
    pub registries: Arc<Registries>,
    /// What was answered.
    pub ledger: Arc<Ledger>,
    /// The generators by name.
    pub generators: BTreeMap<Arc<str>, Arc<Generator>>,
    /// What is done beside the answering; [`App::run`] starts it.
    pub background: Vec<Background>,
    plugin: Arc<Plugin>,
    ops_tokens: Option<Tokens>,
    explainer: Option<Explainer>,
    drain_delay: Duration,
    clock: SharedClock,
}

impl App {
    /// Builds everything that a configuration asks for. Nothing is sent yet.
    pub fn build(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let forget_after = config.ledger.forget_after;
        let ledger = ledger(config.ledger, &clock);
        let web = web(&config.github.api);
        let github = GitHub::new(github_options(config.github), Arc::clone(&clock)).context("cannot set up GitHub")?;
        let github = Arc::new(github);
        let registries = config.registries.into_iter().map(registry_options).collect();
        let registries = Registries::new(registries, Arc::clone(&clock)).context("cannot set up the registries")?;
        let registries = Arc::new(registries);
        let mut generators = BTreeMap::new();
        for (name, generator) in config.generators {
            let name: Arc<str> = name.into();
            let options = GeneratorOptions {
                name: Arc::clone(&name),
                answer_within: config.answer_within,
                hold: hold(generator.hold),
                images: generator.build.images.clone(),
                outputs: generator.build.outputs.clone(),
            };
            let build = BuildPart::new(
                build_options(&name, generator),
                Arc::clone(&github),
                Arc::clone(&registries),
                Arc::clone(&ledger),
                Arc::clone(&clock),
            );
            let generator = Generator::new(options, build, Arc::clone(&ledger), Arc::clone(&clock));
            generators.insert(name, Arc::new(generator));
        }
        let tokens = |file| Tokens::new(SecretFile::new(file, Arc::clone(&clock)));
        let ops_tokens = config.ops.token_file.map(tokens);
        let tokens = tokens(config.token_file);
        let plugin = Arc::new(Plugin::new(generators.clone(), tokens, Arc::clone(&clock)));
        let explain = || {
            Explain::new(generators.clone(), Arc::clone(&ledger), Some(Arc::clone(&github)), web, Arc::clone(&clock))
        };
        let explainer = match config.ops.explain {
            config::Explain::Token => Some(Explainer::new(explain(), Who::HasToken)),
            config::Explain::Open => Some(Explainer::new(explain(), Who::Anybody)),
            config::Explain::Off => None,
        };
        let drain_delay = config.drain_delay;
        let background = background(&ledger, &generators, forget_after, &clock);
        Ok(Self {
            github,
            registries,
            ledger,
            generators,
            background,
            plugin,
            ops_tokens,
            explainer,
            drain_delay,
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

    /// What answers on the operator's listener; whoever asks for it a second time gets it without tokens and pages.
    pub fn ops_router(&mut self, phase: watch::Receiver<Phase>) -> Router {
        let operator = Operator::new(Arc::clone(&self.ledger), Arc::clone(&self.clock));
        let (tokens, explain) = (self.ops_tokens.take(), self.explainer.take());
        http::ops_router(Arc::new(Ops { phase, tokens, operator, explain }))
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
            let stopped = tasks.stop().await;
            phase.send_replace(Phase::Over);
            Ok(ended.and(stopped))
        };
        let (ended, ()) = tokio::try_join!(plugin_and_tasks, ops).context("a listener broke down")?;
        ended?;
        tracing::info!("ended");
        Ok(())
    }
}

/// What is done beside the answering: what is asked for is kept fresh, the ledger is looked after, and what nobody needs
/// any more is forgotten.
fn background(
    ledger: &Arc<Ledger>,
    generators: &BTreeMap<Arc<str>, Arc<Generator>>,
    forget_after: Duration,
    clock: &SharedClock,
) -> Vec<Background> {
    let (keeper, lines) = (Arc::clone(ledger), Arc::clone(ledger));
    let fresh = generators.clone();
    let (generators, clock) = (generators.clone(), Arc::clone(clock));
    let forgetting = Background::new("forgetting", move |mut stop| async move {
        loop {
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                () = clock.sleep_until(clock.now() + FORGET_EVERY) => {}
            }
            for generator in generators.values().filter(|_| lines.leads()) {
                tokio::select! {
                    biased;
                    () = stop.told() => return Ok(()),
                    () = generator.forget(forget_after) => {}
                }
            }
        }
    });
    let refreshing = Background::new("refreshing", move |stop| async move {
        let all = fresh.values().map(|generator| {
            let mut stop = stop.clone();
            async move { generator.keep_fresh(stop.told()).await }
        });
        join_all(all).await;
        Ok(())
    });
    // Told to end last: it writes what is left.
    let keeping = Background::new("the ledger", move |mut stop| async move {
        keeper.keep(stop.told()).await;
        Ok(())
    });
    vec![refreshing, forgetting, keeping]
}

/// The ledger alone.
pub fn ledger(config: config::Ledger, clock: &SharedClock) -> Arc<Ledger> {
    let source = match config.place {
        config::LedgerPlace::Memory => Source::Memory,
        config::LedgerPlace::Sqlite(path) => Source::Sqlite(path),
        config::LedgerPlace::Postgres(url) => Source::Postgres(Secret::new(url)),
        config::LedgerPlace::UrlFile(path) => Source::UrlFile(SecretFile::new(path, Arc::clone(clock))),
    };
    Ledger::new(LedgerOptions { source, trust_after: config.trust_after }, Arc::clone(clock))
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

/// Where GitHub shows repositories to people, by its API's base.
fn web(api: &str) -> Option<String> {
    if api.eq_ignore_ascii_case("https://api.github.com") {
        return Some("https://github.com".to_owned());
    }
    let host = api.strip_prefix("https://")?.strip_suffix("/api/v3")?;
    Some(format!("https://{host}"))
}

fn github_options(config: config::GitHub) -> github::Options {
    let auth = match config.auth {
        config::GitHubAuth::App { id, private_key_file } => github::Auth::App { id, private_key_file },
        config::GitHubAuth::Token(file) => github::Auth::Token(file),
    };
    github::Options { api: config.api, auth, ca_file: config.ca_file, pace: pace(config.pace) }
}

fn registry_options(config: config::Registry) -> registry::Options {
    let auth = match config.auth {
        config::RegistryAuth::Anonymous => registry::Auth::Anonymous,
        config::RegistryAuth::Basic { username_file, password_file } => {
            registry::Auth::Basic { username_file, password_file }
        }
        config::RegistryAuth::DockerConfig(file) => registry::Auth::DockerConfig(file),
    };
    registry::Options {
        host: config.host,
        auth,
        realms: config.realms,
        pace: config.pace.map(pace),
        plain_http: config.plain_http,
        ca_file: config.ca_file,
    }
}

fn pace(config: config::PaceConfig) -> PaceLimits {
    PaceLimits { per_second: config.per_second, concurrent: config.concurrent }
}

fn hold(config: config::Hold) -> Hold {
    match config {
        config::Hold::Forever => Hold::Forever,
        config::Hold::Never => Hold::Never,
        config::Hold::For(limit) => Hold::For(limit),
    }
}

fn build_options(name: &Arc<str>, generator: config::Generator) -> BuildOptions {
    let build = generator.build;
    let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, output) in &build.outputs {
        for (image, label) in output.labels() {
            labels.entry(image.to_owned()).or_default().push(label.to_owned());
        }
    }
    BuildOptions {
        generator: Arc::clone(name),
        repository: build.repository,
        images: build.images,
        labels,
        trust_head: build.unlabelled_tags == config::UnlabelledTags::TrustHead,
        ci: ci_policy(&build.ci),
        walk: build.walk,
        forks: generator.forks == config::Forks::Allow,
        pending: generator.refresh.pending,
        settled: generator.refresh.settled,
        ahead: generator.refresh.ahead,
    }
}

fn ci_policy(config: &config::Ci) -> CiPolicy {
    let patterns = |texts: &[String]| texts.iter().map(|text| CheckPattern::new(text)).collect();
    CiPolicy {
        require: patterns(&config.require),
        ignore: patterns(&config.ignore),
        skipped_fails: config.skipped == config::Skipped::Fail,
        no_checks_pass: config.no_checks == config::NoChecks::Pass,
        settle: config.settle,
    }
}

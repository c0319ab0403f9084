//! The table of contents of the process: everything is built here, in the order in which it is needed, and run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
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
    domain::{ApplicationSets, CheckPattern, CiPolicy, ImageSpec, Repo, Repositories},
    explain::Explain,
    generator::{
        self, Book, Family, Generator, GeneratorOptions, Guard, Hold, Lines, Part, Parts, PlainGenerator, Served,
    },
    github::{self, GitHub},
    http::{self, Door, Explainer, InboundLimits, Ops, Phase, Plugin, Tokens, Who, reached},
    kubernetes::{self, Kubernetes},
    ledger::{Ledger, LedgerOptions, Source},
    metrics::{Metrics, Watched},
    operator::{Operator, plugins::Plugins},
    parts::{
        build::{BuildOptions, BuildPart},
        plugins::{PluginOptions, PluginPart, PluginPlace},
        sql::{SqlOptions, SqlPart, SqlSource},
    },
    registry::{self, Registries},
    trace::Traces,
    upstream::{PaceLimits, Secret, SecretFile},
};

/// How often is looked for lines that nobody needs any more.
const FORGET_EVERY: Duration = Duration::from_hours(1);

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

/// What is done beside the answering: what is asked for is kept fresh, the ledger is looked after, what nobody needs any
/// more is forgotten, and mistakes in what is asked of databases are said at once.
fn background(
    ledger: &Arc<Ledger>,
    (generators, families, plain): (&ByName<Generator>, &ByName<Family>, &ByName<PlainGenerator>),
    forget_after: Duration,
    clock: &SharedClock,
) -> Vec<Background> {
    let (keeper, lines) = (Arc::clone(ledger), Arc::clone(ledger));
    let (fresh, fresh_families) = (generators.clone(), families.clone());
    let checked = (generators.clone(), families.clone(), plain.clone());
    let (generators, families, plain) = (generators.clone(), families.clone(), plain.clone());
    let clock = Arc::clone(clock);
    let forgetting = Background::new("forgetting", move |mut stop| async move {
        loop {
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                () = clock.sleep_until(clock.now() + FORGET_EVERY) => {}
            }
            if !lines.leads() {
                continue;
            }
            let all = async {
                for generator in generators.values() {
                    generator.forget(forget_after).await;
                }
                for family in families.values() {
                    family.forget(forget_after).await;
                }
                for generator in plain.values() {
                    generator.forget(forget_after).await;
                }
            };
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                () = all => {}
            }
        }
    });
    let refreshing = Background::new("refreshing", move |stop| async move {
        let all = fresh.values().map(|generator| {
            let mut stop = stop.clone();
            async move { generator.keep_fresh(stop.told()).await }
        });
        let families = fresh_families.values().map(|family| {
            let mut stop = stop.clone();
            async move { family.keep_fresh(stop.told()).await }
        });
        tokio::join!(join_all(all), join_all(families));
        // There may be none.
        let mut stop = stop;
        stop.told().await;
        Ok(())
    });
    let checking = Background::new("checking", move |mut stop| async move {
        let (generators, families, plain) = &checked;
        let parts = generators.values().map(|generator| generator.parts());
        let parts = parts.chain(families.values().map(|family| family.parts()));
        let parts = parts.chain(plain.values().map(|generator| generator.parts()));
        let all = join_all(parts.map(Parts::check));
        tokio::select! {
            biased;
            () = stop.told() => return Ok(()),
            _ = all => {}
        }
        stop.told().await;
        Ok(())
    });
    // Told to end last: it writes what is left.
    let keeping = Background::new("the ledger", move |mut stop| async move {
        keeper.keep(stop.told()).await;
        Ok(())
    });
    vec![checking, refreshing, forgetting, keeping]
}

/// What Kubernetes knows of plugin services is kept up to date.
fn watching(kubernetes: &Arc<Kubernetes>) -> Background {
    let kubernetes = Arc::clone(kubernetes);
    Background::new("watching Kubernetes", move |mut stop| async move {
        kubernetes.keep(stop.told()).await;
        Ok(())
    })
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

fn explainer(who: config::Explain, explain: impl FnOnce() -> Explain) -> Option<Explainer> {
    match who {
        config::Explain::Token => Some(Explainer::new(explain(), Who::HasToken)),
        config::Explain::Open => Some(Explainer::new(explain(), Who::Anybody)),
        config::Explain::Off => None,
    }
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

fn inbound(config: config::Inbound) -> InboundLimits {
    InboundLimits { per_second: config.per_second, burst: config.burst }
}

fn kubernetes_options(config: config::Kubernetes) -> kubernetes::Options {
    kubernetes::Options {
        namespaces: config.namespaces,
        api: config.api,
        token_file: config.token_file,
        ca_file: config.ca_file,
    }
}

fn plugin_part(
    generator: &Arc<str>,
    config: config::Plugin,
    kubernetes: Option<&Arc<Kubernetes>>,
    clock: &SharedClock,
) -> anyhow::Result<PluginPart> {
    let name = config.name;
    let place = match (config.place, kubernetes) {
        (config::PluginPlace::Url(url), _) => PluginPlace::Url(url),
        (config::PluginPlace::Service { namespace, name, port }, Some(kubernetes)) => {
            PluginPlace::Service { kubernetes: Arc::clone(kubernetes), namespace, name, port }
        }
        (config::PluginPlace::Service { .. }, None) => {
            bail!("no place is known where the plugin `{name}` is looked for")
        }
    };
    let options = PluginOptions {
        generator: Arc::clone(generator),
        name: name.as_str().into(),
        place,
        token_file: config.token_file,
        ca_file: config.ca_file,
        path: config.path,
        timeout: config.timeout,
        inputs: config.inputs,
        keys: config.keys,
    };
    let part = PluginPart::new(options, Arc::clone(clock));
    part.with_context(|| format!("cannot set up the plugin `{name}` of the generator `{generator}`"))
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

/// The parts beside a generator's build, in order; other plugins are also kept in one list.
fn beside(
    name: &Arc<str>,
    generator: &mut config::Generator,
    kubernetes: Option<&Arc<Kubernetes>>,
    plugins: &mut Vec<Arc<PluginPart>>,
    clock: &SharedClock,
) -> anyhow::Result<Vec<Part>> {
    let mut all: Vec<_> = generator.sql.take().map(|sql| sql_part(sql, clock)).into_iter().collect();
    for mut plugin in std::mem::take(&mut generator.plugins) {
        let only_if = plugin.only_if.take();
        let part = Arc::new(plugin_part(name, plugin, kubernetes, clock)?);
        let named = format!("plugins.{}", part.options().name).into();
        all.push(Part { name: named, source: generator::Source::Plugin(Arc::clone(&part)), only_if });
        plugins.push(part);
    }
    Ok(all)
}

fn sql_part(config: config::Sql, clock: &SharedClock) -> Part {
    let source = match config.place {
        config::Database::Sqlite(path) => SqlSource::Sqlite(path),
        config::Database::Postgres(url) => SqlSource::Postgres(Secret::new(url)),
        config::Database::UrlFile(path) => SqlSource::UrlFile(SecretFile::new(path, Arc::clone(clock))),
    };
    let options = SqlOptions {
        source,
        query: config.query,
        timeout: config.timeout,
        max_rows: usize::try_from(config.max_rows).unwrap_or(usize::MAX),
        connections: usize::try_from(config.connections).unwrap_or(1),
        ca_file: config.ca_file,
    };
    Part {
        name: "sql".into(),
        source: generator::Source::Sql(Box::new(SqlPart::new(options, Arc::clone(clock)))),
        only_if: Some(config.only_if).filter(|only_if| !only_if.is_empty()),
    }
}

/// The keys of a build's items.
fn keys(build: &config::Build) -> BTreeSet<String> {
    let images = build.images.iter().map(|image| image.key.clone());
    images.chain(build.outputs.iter().map(|(key, _)| key.clone())).collect()
}

fn guard(config: config::Guard) -> Guard {
    let config::Guard { max_drop, min_items, window } = config;
    Guard { max_drop, min_items: usize::try_from(min_items).unwrap_or(usize::MAX), window }
}

fn build_options(
    (name, repository): (&Arc<str>, Repo),
    (build, images): (&config::Build, Vec<ImageSpec>),
    generator: &config::Generator,
    alone: bool,
) -> BuildOptions {
    let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, output) in &build.outputs {
        for (image, label) in output.labels() {
            labels.entry(image.to_owned()).or_default().push(label.to_owned());
        }
    }
    BuildOptions {
        generator: Arc::clone(name),
        repository,
        images,
        labels,
        trust_head: build.unlabelled_tags == config::UnlabelledTags::TrustHead,
        ci: ci_policy(&build.ci),
        walk: build.walk,
        forks: generator.forks == config::Forks::Allow,
        pending: generator.refresh.pending,
        settled: generator.refresh.settled,
        ahead: generator.refresh.ahead,
        alone,
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

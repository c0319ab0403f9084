//! The table of contents of the process: everything is built here, in the order in which it is needed, and run.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    clock::SharedClock,
    config::{self, Config},
    domain::{CheckPattern, CiPolicy},
    generator::{Generator, GeneratorOptions, Hold},
    github::{self, GitHub},
    http::{self, Plugin, Tokens},
    ledger::{Ledger, LedgerOptions, Source},
    parts::build::{BuildOptions, BuildPart},
    registry::{self, Registries},
    upstream::{PaceLimits, Secret, SecretFile},
};

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
    plugin: Arc<Plugin>,
    clock: SharedClock,
}

impl App {
    /// Builds everything that a configuration asks for. Nothing is sent yet.
    pub fn build(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let ledger = Ledger::new(ledger_options(config.ledger, &clock), Arc::clone(&clock));
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
        let tokens = Tokens::new(SecretFile::new(config.token_file, Arc::clone(&clock)));
        let plugin = Arc::new(Plugin { generators: generators.clone(), tokens, clock: Arc::clone(&clock) });
        Ok(Self { github, registries, ledger, generators, plugin, clock })
    }

    /// The routes of the plugin's listener.
    pub fn plugin_router(&self) -> Router {
        http::plugin_router(Arc::clone(&self.plugin))
    }

    /// Serves both listeners until `end` completes and requests under way are done.
    pub async fn run(
        &self,
        plugin: TcpListener,
        ops: TcpListener,
        end: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<()> {
        let (ending, ended) = watch::channel(false);
        let until_end = |mut ended: watch::Receiver<bool>| async move {
            // A sender that is gone has ended, too.
            let _ = ended.wait_for(|ended| *ended).await;
        };
        let plugin = http::serve(plugin, self.plugin_router(), Arc::clone(&self.clock), until_end(ended.clone()));
        let ops = http::serve(ops, http::ops_router(), Arc::clone(&self.clock), until_end(ended));
        let signal = async {
            end.await;
            tracing::info!("ending: requests under way are finished");
            ending.send_replace(true);
            Ok(())
        };
        tokio::try_join!(plugin, ops, signal).context("a listener broke down")?;
        Ok(())
    }
}

fn ledger_options(config: config::Ledger, clock: &SharedClock) -> LedgerOptions {
    let source = match config.place {
        config::LedgerPlace::Memory => Source::Memory,
        config::LedgerPlace::Sqlite(path) => Source::Sqlite(path),
        config::LedgerPlace::Postgres(url) => Source::Postgres(Secret::new(url)),
        config::LedgerPlace::UrlFile(path) => Source::UrlFile(SecretFile::new(path, Arc::clone(clock))),
    };
    LedgerOptions { source, trust_after: config.trust_after }
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

//! From the words of the configuration to what each piece is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, bail};

use crate::{
    clock::SharedClock,
    config,
    domain::{CheckPattern, CiPolicy, ImageSpec, Repo},
    explain::Explain,
    generator::{self, Guard, Hold, Part},
    github,
    http::{Explainer, InboundLimits, Who},
    kubernetes::{self, Kubernetes},
    ledger::{Ledger, LedgerOptions, Source},
    parts::{
        build::BuildOptions,
        plugins::{PluginOptions, PluginPart, PluginPlace},
        sql::{SqlOptions, SqlPart, SqlSource},
    },
    registry,
    upstream::{PaceLimits, Secret, SecretFile},
};

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

/// Where GitHub shows repositories to people, by its API's base.
pub(super) fn web(api: &str) -> Option<String> {
    if api.eq_ignore_ascii_case("https://api.github.com") {
        return Some("https://github.com".to_owned());
    }
    let host = api.strip_prefix("https://")?.strip_suffix("/api/v3")?;
    Some(format!("https://{host}"))
}

pub(super) fn explainer(who: config::Explain, explain: impl FnOnce() -> Explain) -> Option<Explainer> {
    match who {
        config::Explain::Token => Some(Explainer::new(explain(), Who::HasToken)),
        config::Explain::Open => Some(Explainer::new(explain(), Who::Anybody)),
        config::Explain::Off => None,
    }
}

pub(super) fn github_options(config: config::GitHub) -> github::Options {
    let auth = match config.auth {
        config::GitHubAuth::App { id, private_key_file } => github::Auth::App { id, private_key_file },
        config::GitHubAuth::Token(file) => github::Auth::Token(file),
    };
    github::Options { api: config.api, auth, ca_file: config.ca_file, pace: pace(config.pace) }
}

pub(super) fn registry_options(config: config::Registry) -> registry::Options {
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

pub(super) fn inbound(config: config::Inbound) -> InboundLimits {
    InboundLimits { per_second: config.per_second, burst: config.burst }
}

pub(super) fn kubernetes_options(config: config::Kubernetes) -> kubernetes::Options {
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

pub(super) fn hold(config: config::Hold) -> Hold {
    match config {
        config::Hold::Forever => Hold::Forever,
        config::Hold::Never => Hold::Never,
        config::Hold::For(limit) => Hold::For(limit),
    }
}

/// The parts beside a generator's build, in order; other plugins are also kept in one list.
pub(super) fn beside(
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
pub(super) fn keys(build: &config::Build) -> BTreeSet<String> {
    let images = build.images.iter().map(|image| image.key.clone());
    images.chain(build.outputs.iter().map(|(key, _)| key.clone())).collect()
}

pub(super) fn guard(config: config::Guard) -> Guard {
    let config::Guard { max_drop, min_items, window } = config;
    Guard { max_drop, min_items: usize::try_from(min_items).unwrap_or(usize::MAX), window }
}

pub(super) fn build_options(
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

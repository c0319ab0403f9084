//! What the file says, as plain values: durations, names and templates are parsed, and what was left out has its default.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use schemars::JsonSchema;

use crate::domain::{
    ImageTemplate, Inputs, OutputTemplate, PluginPath, PluginTimeout, Repositories, Selector, ServicePort,
};

/// How often the holder of a token may make us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// A second, on average.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// The operator's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ops {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with the tokens of operators, who may see and change things, one a line; without it nobody may.
    pub token_file: Option<PathBuf>,
    /// Who may see why previews are as they are.
    pub explain: Explain,
}

/// Who may see `/explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
pub enum Explain {
    /// Whoever has a token of `tokenFile`.
    Token,
    /// Whoever reaches the port: branch names, commits and images are shown to all of them.
    Open,
    /// Nobody; it is not there.
    Off,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Where it is kept.
    pub place: LedgerPlace,
    /// How long a new ledger's ignorance is no knowledge.
    pub trust_after: Duration,
    /// How long a line must not have been asked for before it may be forgotten.
    pub forget_after: Duration,
}

/// Where the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerPlace {
    /// In memory: lost with the process.
    Memory,
    /// In a file.
    Sqlite(PathBuf),
    /// In a database, by a URL without a password.
    Postgres(String),
    /// By the URL in a file.
    UrlFile(PathBuf),
}

/// GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHub {
    /// The REST API's base, without a slash at its end.
    pub api: String,
    /// Who we are.
    pub auth: GitHubAuth,
    /// Further CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
    /// How fast it is asked.
    pub pace: PaceConfig,
}

/// Who we are to GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitHubAuth {
    /// A GitHub App.
    App {
        /// The App's number.
        id: u64,
        /// The file with its private key.
        private_key_file: PathBuf,
    },
    /// A file with a token.
    Token(PathBuf),
}

/// How fast a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceConfig {
    /// Requests per second, on average.
    pub per_second: NonZeroU32,
    /// Requests under way at the same time.
    pub concurrent: NonZeroU32,
}

/// A registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// The host as images name it, in lower case, with its port where it has one.
    pub host: String,
    /// Who we are.
    pub auth: RegistryAuth,
    /// Token servers on other hosts, as `host` or `host:port`, in lower case.
    pub realms: Vec<String>,
    /// How fast it is asked; `None` is what the registry is known to welcome.
    pub pace: Option<PaceConfig>,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Further CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// Who we are to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryAuth {
    /// Nobody.
    Anonymous,
    /// A user name and a password (or token), each in a file of its own.
    Basic {
        /// The file with the user name.
        username_file: PathBuf,
        /// The file with the password.
        password_file: PathBuf,
    },
    /// A Docker `config.json`.
    DockerConfig(PathBuf),
}

/// Where plugin services are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The namespaces; at least one.
    pub namespaces: Vec<String>,
    /// The API's base, without a slash at its end; `None` is the cluster around this pod.
    pub api: Option<String>,
    /// The file with the token for it.
    pub token_file: Option<PathBuf>,
    /// Its CAs, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// Another plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name in its generator.
    pub name: String,
    /// Where it is.
    pub place: PluginPlace,
    /// The file with its token.
    pub token_file: Option<PathBuf>,
    /// Further CAs to trust, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Its path.
    pub path: Option<PluginPath>,
    /// How long is waited for it.
    pub timeout: Option<PluginTimeout>,
    /// What is passed on.
    pub inputs: Option<Inputs>,
    /// The keys that its items must have.
    pub keys: Option<BTreeSet<String>>,
    /// Which items are wanted.
    pub only_if: Option<Selector>,
}

/// Where a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginPlace {
    /// At an address, without its path and without a slash at its end.
    Url(String),
    /// Behind a Service.
    Service {
        /// Its namespace: one of those that are looked in.
        namespace: String,
        /// Its name.
        name: String,
        /// The port, where its annotations do not count.
        port: Option<ServicePort>,
    },
}

/// A generator: what one URL answers. It has one part at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator {
    /// The file with the tokens that may ask it, one a line, instead of those that may ask all.
    pub token_file: Option<PathBuf>,
    /// Names of the ApplicationSets that may ask, with `*` and `?`.
    pub application_sets: Vec<String>,
    /// How long an answer outlives its build.
    pub hold: Hold,
    /// Whether pull requests from forks are answered.
    pub forks: Forks,
    /// How fresh an answer is.
    pub refresh: Refresh,
    /// The part that finds the last green build.
    pub build: Option<Build>,
    /// The part that asks a database.
    pub sql: Option<Sql>,
    /// Other plugins, in the file's order.
    pub plugins: Vec<Plugin>,
    /// What looks after answers that shrink.
    pub guard: Option<Guard>,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// In a file.
    Sqlite(PathBuf),
    /// By a URL without a password.
    Postgres(String),
    /// By the URL in a file.
    UrlFile(PathBuf),
}

/// The rows of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// The database.
    pub place: Database,
    /// The query, with parameters by name.
    pub query: String,
    /// How long it may take.
    pub timeout: Duration,
    /// The most rows.
    pub max_rows: u32,
    /// The most connections.
    pub connections: u32,
    /// A CA that the server's certificate must come from, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Which items are wanted.
    pub only_if: Selector,
}

/// When an answer that shrinks is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// How many percent of the items may vanish.
    pub max_drop: u8,
    /// How few items are not looked at.
    pub min_items: u32,
    /// How long it adds up what vanishes.
    pub window: Duration,
}

/// How long an item that was answered is held while there is no green build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Always.
    Forever,
    /// Not at all.
    Never,
    /// So long.
    For(Duration),
}

/// Whether pull requests from forks are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
pub enum Forks {
    /// They get nothing.
    Refuse,
    /// As those of the repository itself: a preview runs a stranger's code in the cluster.
    Allow,
}

/// How old an answer from memory may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// While its head is pending or incomplete.
    pub pending: Duration,
    /// Once its head is final.
    pub settled: Duration,
    /// Whether lines are looked at before they are asked for.
    pub ahead: bool,
}

/// Where the last green build is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The repository on GitHub, or those that fit a pattern.
    pub repository: Repositories,
    /// The images, in the file's order; at least one.
    pub images: Vec<ImageTemplate>,
    /// What a moving tag without a revision label proves.
    pub unlabelled_tags: UnlabelledTags,
    /// What is green.
    pub ci: Ci,
    /// How many commits are looked at.
    pub walk: u32,
    /// Further keys of the answer, in the file's order.
    pub outputs: Vec<(String, OutputTemplate)>,
}

/// What an image proves that was found under a moving tag and names no revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
pub enum UnlabelledTags {
    /// Nothing: it counts as not built.
    Refuse,
    /// It is believed to be of the head commit while that is green. Front of one build may then meet back of another.
    TrustHead,
}

/// What is green.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ci {
    /// Checks that must be there, by name, with `*` and `?`.
    pub require: Vec<String>,
    /// Checks that do not count, by name, with `*` and `?`.
    pub ignore: Vec<String>,
    /// What a skipped or neutral check counts as.
    pub skipped: Skipped,
    /// What a commit without any check counts as.
    pub no_checks: NoChecks,
    /// How long the checks must have been at rest.
    pub settle: Duration,
}

/// What a skipped or neutral check counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
pub enum Skipped {
    /// As passed.
    Pass,
    /// As failed.
    Fail,
}

/// What a commit without any check counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
pub enum NoChecks {
    /// As not checked yet.
    Wait,
    /// As green.
    Pass,
}

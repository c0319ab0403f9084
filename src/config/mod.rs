//! The configuration: one YAML file, read into plain values.
//!
//! ```text
//! text ── tree ──→ nodes with line and column        the first syntax error ends it
//!      ── file, generator ──→ Config, of values      everything else that is wrong, in one go
//! schema ──→ JSON Schema                             the same keys; the tests hold the two together
//! ```
//!
//! Who reads a value gets it whole: durations, names and templates are parsed here, and what contradicts itself is
//! refused. Secrets are named by file only, and no error shows what is in one.
//!
//! To add a key: ask for it in `file` or `generator`, describe it in `schema`, show it in `example.yaml`; the tests
//! tell what was forgotten.

mod check;
mod duration;
mod error;
mod file;
mod generator;
mod parts;
mod plugins;
mod read;
mod schema;
mod tree;
mod values;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    error::{ConfigError, ConfigErrors, Warning},
    schema::schema,
    values::{
        Build, Ci, Database, Explain, Forks, Generator, GitHub, GitHubAuth, Guard, Hold, Inbound, Kubernetes, Ledger,
        LedgerPlace, NoChecks, Ops, PaceConfig, Plugin, PluginPlace, Refresh, Registry, RegistryAuth, Skipped, Sql,
        UnlabelledTags,
    },
};
use self::{
    read::{Field, Report},
    tree::At,
};

/// A complete configuration with a comment at every key.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// The configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the plugin listens.
    pub listen: SocketAddr,
    /// The operator's port.
    pub ops: Ops,
    /// The file with the accepted tokens, one a line.
    pub token_file: PathBuf,
    /// When an answer is due.
    pub answer_within: Duration,
    /// How long questions are answered after the end was asked for.
    pub drain_delay: Duration,
    /// How often the holder of a token may make us look.
    pub inbound: Inbound,
    /// What was answered.
    pub ledger: Ledger,
    /// GitHub; there where a generator has a build part.
    pub github: Option<GitHub>,
    /// The registries that need more than anonymous HTTPS.
    pub registries: Vec<Registry>,
    /// Where plugin services are looked for.
    pub kubernetes: Option<Kubernetes>,
    /// The generators by name; at least one.
    pub generators: BTreeMap<String, Generator>,
    files: Vec<FileUse>,
}

/// A file that must be readable, and the key that names it.
#[derive(Clone, Debug)]
struct FileUse {
    path: PathBuf,
    /// The place, still without a message.
    entry: ConfigError,
}

impl Config {
    /// Reads the file at `path` and looks at the files that it names.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read the configuration: {}", check::describe(&error));
            ConfigErrors(vec![ConfigError { file: name.clone(), line: 0, column: 0, key: String::new(), message }])
        })?;
        let report = Report::new(&name);
        let config = read(&text, &report);
        let unreadable: Vec<_> = report.files.borrow().iter().filter_map(FileUse::check).collect();
        report.errors.borrow_mut().extend(unreadable);
        finish(config, report)
    }

    /// Reads a text; `name` stands for the file in errors. The files that it names are not looked at.
    pub fn parse(text: &str, name: &str) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let report = Report::new(name);
        let config = read(text, &report);
        finish(config, report)
    }

    /// What is wrong with the files that the configuration names: those with secrets and those with CAs.
    pub fn check_files(&self) -> Vec<ConfigError> {
        self.files.iter().filter_map(FileUse::check).collect()
    }
}

/// `None` only where something was reported.
fn read(text: &str, report: &Report) -> Option<Config> {
    let start = At { line: 1, column: 1 };
    match tree::parse(text.trim_start_matches('\u{feff}')) {
        Err(flaw) => report.error(flaw.at, "", flaw.message),
        Ok(None) => report.error(start, "", "the file is empty; expected a map"),
        Ok(Some(root)) => return file::config(&Field::root(report, &root)),
    }
    None
}

fn finish(config: Option<Config>, report: Report) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    let mut errors = report.errors.into_inner();
    match config {
        Some(config) if errors.is_empty() => {
            Ok((Config { files: report.files.into_inner(), ..config }, report.warnings.into_inner()))
        }
        _ => {
            errors.sort_by_key(|error| (error.line, error.column));
            Err(ConfigErrors(errors))
        }
    }
}

#[cfg(test)]
mod tests;

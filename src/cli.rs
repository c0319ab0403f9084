//! The command line: `serve`, `resolve`, `check`, `health`, `ledger`, `guard`, `plugins`, `config`.
//!
//! Exit codes: 0 all is well; 1 the program broke down, or `health` found no service that is ready; 2 the command line or
//! the configuration is wrong; 3 `resolve` found no build yet, `ledger show` no line; 4 `resolve` could not find out; 5
//! `check` found something wrong.

mod check;
mod guard;
mod health;
mod ledger;
mod plugins;
mod resolve;
mod serve;
mod service;

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, ConfigErrors};

/// The version, and the commit if the build was told: an environment variable, so that no commit rebuilds anything.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("LASTGREEN_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    format!("{} ({commit})", env!("CARGO_PKG_VERSION"))
});

/// Answers Argo CD with the image digests of a pull request's last green build.
#[derive(Debug, Parser)]
#[command(name = "lastgreen", version = VERSION.as_str(), about, max_term_width = 100)]
pub struct Cli {
    /// How log lines are written to standard error; `RUST_LOG` tells what is logged (default: info).
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the plugin until SIGTERM or ctrl-c.
    Serve(ConfigArg),
    /// Ask for one branch and print the parameters as JSON. Exit code 3: no build yet; 4: nobody could say.
    Resolve(resolve::ResolveArgs),
    /// Try everything: configuration, tokens, the ledger, GitHub, each registry, query and plugin; one line each. Exit
    /// code 5: something is wrong.
    Check(ConfigArg),
    /// Ask the service that runs here whether it is ready. Exit code 1: it is not.
    Health(health::HealthArgs),
    /// What was answered: look at it, or forget it.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// What the guards hold back, because too many items would vanish: look at it, or let it through.
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    /// Other plugins: what was found, and how they do.
    #[command(subcommand)]
    Plugins(plugins::PluginsCommand),
    /// About the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print a commented example.
    Example,
}

/// The configuration file.
#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/lastgreen/config.yaml", env = "LASTGREEN_CONFIG")]
    config: PathBuf,
}

/// What a command ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// The program broke down.
    Broken = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// There is no build yet.
    NotYet = 3,
    /// Nobody could say.
    Unknown = 4,
    /// A check found something wrong.
    Wrong = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs a command line.
pub fn run(cli: Cli) -> Exit {
    log_to_stderr(cli.log_format);
    let done = match cli.command {
        Command::Serve(args) => with_config(&args.config, |config| in_runtime(serve::serve(config))),
        Command::Resolve(args) => {
            with_config(&args.config.config.clone(), |config| in_runtime(resolve::resolve(config, args)))
        }
        Command::Check(args) => with_config(&args.config, |config| in_runtime(check::check(config))),
        Command::Health(args) => health::health(args),
        Command::Ledger(command) => {
            let path = command.place().config.config.clone();
            with_config(&path, |config| in_runtime(ledger::ledger(config, command)))
        }
        Command::Guard(command) => {
            let path = command.place().config.config.clone();
            with_config(&path, |config| in_runtime(guard::guard(config, command)))
        }
        Command::Plugins(command) => {
            let path = command.place().config.config.clone();
            with_config(&path, |config| in_runtime(plugins::plugins(config, command)))
        }
        Command::Config(ConfigCommand::Schema) => print(&format!("{:#}\n", config::schema())),
        Command::Config(ConfigCommand::Example) => print(config::EXAMPLE),
    };
    done.unwrap_or_else(|error| {
        complain(&format!("lastgreen: {error:#}"));
        Exit::Broken
    })
}

/// Loads the configuration and its files, or says everything that is wrong with them.
fn with_config(path: &Path, run: impl FnOnce(Config) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let (config, warnings) = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(errors) => return Ok(refuse(&errors)),
    };
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    let missing = config.check_files();
    if missing.is_empty() {
        return run(config);
    }
    Ok(refuse(&ConfigErrors(missing)))
}

fn refuse(errors: &ConfigErrors) -> Exit {
    complain(&errors.to_string());
    Exit::Usage
}

fn in_runtime(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn log_to_stderr(format: LogFormat) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    // A subscriber that is set already (by a test) stays.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Where the operator's port of a service on this machine is.
fn ops_url(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// Prints what was asked for. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<Exit> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Ok),
    }
}

/// Tells people what is wrong.
fn complain(text: &str) {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

//! `lastgreen ledger`: what was answered, and forgetting it.
//!
//! Where the service runs it is asked, so that its memory hears of it; where none runs, the ledger is opened here.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ConfigArg, Exit, complain, print};
use crate::{
    app,
    clock::{SharedClock, SystemClock},
    config::{Config, LedgerPlace},
    domain::excerpt,
    operator::{HeldView, LineView, Operator, Release, Undone, Which},
    upstream::{SecretFile, http},
};

/// The largest answer of a service that is read: a hundred thousand lines.
const MAX_BYTES: usize = 128 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Show every line: a pull request, or an own branch without one.
    List {
        #[command(flatten)]
        place: Place,
        /// Only this generator's.
        #[arg(short, long)]
        generator: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show all that is recorded for one line, as JSON. Exit code 3: nothing is.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        line: LineArgs,
    },
    /// Forget one line, as if it had never been asked. Its preview goes if no green build is found for it again.
    Forget {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        line: LineArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Where the service's operator's port is, as `http://127.0.0.1:9355`; by default as `ops.listen` says.
    #[arg(long, value_name = "URL")]
    ops: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct LineArgs {
    /// The generator.
    #[arg(short, long)]
    generator: String,
    /// The pull request's number.
    #[arg(short, long, required_unless_present = "branch", conflicts_with = "branch")]
    number: Option<u64>,
    /// An own branch that has no pull request.
    #[arg(short, long)]
    branch: Option<String>,
    /// GitHub's number of the repository, where several have such a line.
    #[arg(long)]
    repository_id: Option<u64>,
}

impl LedgerCommand {
    pub(super) fn place(&self) -> &Place {
        match self {
            Self::List { place, .. } | Self::Show { place, .. } | Self::Forget { place, .. } => place,
        }
    }
}

impl LineArgs {
    fn which(&self) -> Which {
        Which {
            generator: Some(self.generator.clone()),
            number: self.number,
            branch: self.branch.clone(),
            repository_id: self.repository_id,
        }
    }
}

/// Who is asked.
pub(super) enum Desk {
    Service { client: reqwest::Client, url: String, token: String },
    Here(Operator),
}

pub(super) async fn ledger(config: Config, command: LedgerCommand) -> anyhow::Result<Exit> {
    let desk = Desk::open(config, command.place()).await?;
    match command {
        LedgerCommand::List { generator, json, .. } => {
            let lines = desk.lines(&Which { generator, ..Which::default() }).await?;
            print(&if json { format!("{:#}\n", serde_json::to_value(lines)?) } else { table(&lines) })
        }
        LedgerCommand::Show { line, .. } => {
            let lines = desk.lines(&line.which()).await?;
            print(&format!("{:#}\n", serde_json::to_value(&lines)?))?;
            Ok(if lines.is_empty() { Exit::NotYet } else { Exit::Ok })
        }
        LedgerCommand::Forget { line, .. } => match desk.forget(&line.which()).await? {
            Ok(line) => print(&format!("forgotten: {}", table(&[line]))),
            Err(problem) => {
                complain(&format!("lastgreen: {problem}"));
                Ok(Exit::Usage)
            }
        },
    }
}

impl Desk {
    /// The service if it can be reached; else the ledger itself.
    pub(super) async fn open(config: Config, place: &Place) -> anyhow::Result<Self> {
        let ops = place.ops.clone();
        let clock: SharedClock = Arc::new(SystemClock::new());
        let asked_for = ops.is_some();
        let url = ops.unwrap_or_else(|| super::ops_url(config.ops.listen));
        let url = url.trim_end_matches('/').to_owned();
        let client = http::client(None)?;
        let serves = client.get(format!("{url}/livez")).timeout(Duration::from_secs(3)).send().await.is_ok();
        if serves {
            let Some(file) = config.ops.token_file else {
                bail!(
                    "the service at {url} can be asked only with a token: set `ops.tokenFile` in its configuration and here"
                );
            };
            let token = SecretFile::new(file, clock).read()?;
            // One token a line; any of them will do.
            let token = token.expose().lines().next().unwrap_or_default().trim().to_owned();
            return Ok(Self::Service { client, url, token });
        }
        if asked_for {
            bail!("nothing answers at {url}");
        }
        if config.ledger.place == LedgerPlace::Memory {
            bail!("the ledger is `memory:` and no service answers at {url}: there is nothing to see");
        }
        Ok(Self::Here(Operator::new(app::ledger(config.ledger, &clock), clock)))
    }

    /// What the guards hold back.
    pub(super) async fn held_back(&self) -> anyhow::Result<Vec<HeldView>> {
        match self {
            Self::Here(operator) => Ok(operator.held_back().await?),
            Self::Service { client, url, token } => {
                send(client.get(format!("{url}/guard")).bearer_auth(token)).await?.map_err(anyhow::Error::msg)
            }
        }
    }

    /// Lets through what a guard holds back; the inner error is the asker's.
    pub(super) async fn release(&self, release: &Release) -> anyhow::Result<Result<Vec<HeldView>, String>> {
        match self {
            Self::Here(operator) => match operator.release(release).await {
                Err(Undone::Ledger(error)) => Err(error.into()),
                done => Ok(done.map_err(|undone| undone.to_string())),
            },
            Self::Service { client, url, token } => {
                send(client.post(format!("{url}/guard/release")).bearer_auth(token).json(release)).await
            }
        }
    }

    async fn lines(&self, which: &Which) -> anyhow::Result<Vec<LineView>> {
        match self {
            Self::Here(operator) => Ok(operator.lines(which).await?),
            Self::Service { client, url, token } => {
                let request = client.get(format!("{url}/ledger")).bearer_auth(token);
                let lines: Vec<LineView> = send(request).await?.map_err(anyhow::Error::msg)?;
                Ok(lines.into_iter().filter(|line| which.fits(line)).collect())
            }
        }
    }

    /// Forgets a line; the inner error is the asker's.
    async fn forget(&self, which: &Which) -> anyhow::Result<Result<LineView, String>> {
        match self {
            Self::Here(operator) => match operator.forget(which).await {
                Err(Undone::Ledger(error)) => Err(error.into()),
                done => Ok(done.map_err(|undone| undone.to_string())),
            },
            Self::Service { client, url, token } => {
                let request = client.post(format!("{url}/ledger/forget")).bearer_auth(token);
                send(request.body(serde_json::to_string(which)?)).await
            }
        }
    }
}

/// Sends a request to the service; what it says against the request itself is the inner error.
async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<Result<T, String>> {
    let response = request.send().await.map_err(|error| anyhow::Error::msg(http::describe(&error)))?;
    let status = response.status();
    let body = http::body(response, MAX_BYTES).await?;
    if status.is_success() {
        return Ok(Ok(serde_json::from_slice(&body).context("the service's answer makes no sense")?));
    }
    let message = serde_json::from_slice::<Value>(&body).ok();
    let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or("it does not say why");
    match status.as_u16() {
        400 | 404 | 409 => Ok(Err(message.to_owned())),
        status => bail!("the service refuses ({status}): {message}"),
    }
}

/// Lines as columns.
fn table(lines: &[LineView]) -> String {
    let mut text = String::new();
    for line in lines {
        let name = line.number.map_or_else(
            || format!("branch {}", line.branch.as_deref().unwrap_or_default()),
            |number| format!("#{number} {}", line.branch.as_deref().unwrap_or_default()),
        );
        let what = match (&line.commit, &line.problem) {
            (Some(commit), _) => commit.chars().take(12).collect(),
            (None, Some(problem)) => format!("unreadable: {problem}"),
            (None, None) => line.known.clone(),
        };
        let at = line.recorded_at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M").to_string());
        let repository = line.repository.clone().unwrap_or_else(|| line.repository_id.to_string());
        let _ = writeln!(text, "{}  {repository}  {}  {what}  {at}", line.generator, excerpt(name.trim()));
    }
    text
}

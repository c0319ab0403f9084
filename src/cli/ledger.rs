//! `lastgreen ledger`: what was answered, and forgetting it.
//!
//! Where the service runs it is asked, so that its memory hears of it; where none runs, the ledger is opened here.

use std::{fmt::Write as _, sync::Arc};

use anyhow::bail;
use clap::Subcommand;

use super::{
    ConfigArg, Exit, complain, print,
    service::{self, Service},
};
use crate::{
    app,
    clock::{SharedClock, SystemClock},
    config::{Config, LedgerPlace},
    domain::excerpt,
    operator::{HeldView, LineView, Operator, Release, Undone, Which},
};

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

impl Place {
    /// Where the service is.
    pub(super) fn service(&self, config: &Config) -> service::Place {
        service::Place::new(config.ops.listen, self.ops.clone())
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
    Service(Service),
    Here(Operator),
}

pub(super) async fn ledger(config: Config, command: LedgerCommand) -> anyhow::Result<Exit> {
    let place = command.place().service(&config);
    let desk = Desk::open(config, place).await?;
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
    pub(super) async fn open(config: Config, place: service::Place) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock::new());
        if let Some(service) = Service::reach(&place, &config.ops, &clock).await? {
            return Ok(Self::Service(service));
        }
        let url = &place.url;
        if place.asked_for {
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
            Self::Service(service) => service.get("/guard").await,
        }
    }

    /// Lets through what a guard holds back; the inner error is the asker's.
    pub(super) async fn release(&self, release: &Release) -> anyhow::Result<Result<Vec<HeldView>, String>> {
        match self {
            Self::Here(operator) => match operator.release(release).await {
                Err(Undone::Ledger(error)) => Err(error.into()),
                done => Ok(done.map_err(|undone| undone.to_string())),
            },
            Self::Service(service) => service.post("/guard/release", serde_json::to_string(release)?).await,
        }
    }

    async fn lines(&self, which: &Which) -> anyhow::Result<Vec<LineView>> {
        match self {
            Self::Here(operator) => Ok(operator.lines(which).await?),
            Self::Service(service) => {
                let lines: Vec<LineView> = service.get("/ledger").await?;
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
            Self::Service(service) => service.post("/ledger/forget", serde_json::to_string(which)?).await,
        }
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

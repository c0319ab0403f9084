//! `lastgreen resolve`: one question, answered at the terminal, and with `--explain` the whole story.

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Map, Value, json};

use super::{ConfigArg, Exit, complain, print};
use crate::{
    app::App,
    clock::SystemClock,
    config::{Config, LedgerPlace},
    domain::{CheckState, Question, Role, excerpt},
    generator::Generator,
    parts::build::{Considered, Outcome, Resolution},
};

/// What to ask.
#[derive(Debug, clap::Args)]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,

    /// The head branch.
    #[arg(short, long)]
    branch: String,

    /// The pull request's number.
    #[arg(short, long)]
    number: Option<String>,

    /// The head that Argo CD saw, 40 hex digits.
    #[arg(long)]
    head_sha: Option<String>,

    /// The generator, if there are several.
    #[arg(short, long)]
    generator: Option<String>,

    /// Print every commit that was considered, each check that decided, each image and how it went, to standard error.
    #[arg(short, long)]
    explain: bool,
}

pub(super) async fn resolve(config: Config, args: ResolveArgs) -> anyhow::Result<Exit> {
    // What the upstreams say is asked for, not what was answered; and a service may have the ledger.
    let mut config = config;
    config.ledger.place = LedgerPlace::Memory;
    let app = App::build(config, Arc::new(SystemClock::new()))?;
    let generator = match choose(&app, args.generator.as_deref()) {
        Ok(generator) => generator,
        Err(problem) => return Ok(wrong(&problem)),
    };
    let question = match question(&args) {
        Ok(question) => question,
        Err(error) => return Ok(wrong(&error.to_string())),
    };
    let resolution = match generator.explain(&question).await {
        Ok(resolution) => resolution,
        Err(error) => return Ok(wrong(&error.to_string())),
    };
    if args.explain {
        complain(story(&resolution).trim_end());
    }
    let item = generator.item_of(&resolution);
    let parameters: Vec<Value> = item.iter().map(|item| json!(item.values())).collect();
    print(&format!("{:#}\n", json!({ "output": { "parameters": parameters } })))?;
    Ok(match resolution.outcome {
        Outcome::Ready(_) => Exit::Ok,
        Outcome::NotYet | Outcome::ForkRefused => {
            complain(&format!("not yet: {}", resolution.reason));
            Exit::NotYet
        }
        Outcome::Unknown => {
            complain(&format!("unknown: {}", resolution.reason));
            Exit::Unknown
        }
    })
}

fn wrong(problem: &str) -> Exit {
    complain(&format!("lastgreen: {}", problem.replace("input.parameters.", "--")));
    Exit::Usage
}

fn choose<'a>(app: &'a App, name: Option<&str>) -> Result<&'a Arc<Generator>, String> {
    let names = || app.generators.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => match app.generators.get(name) {
            Some(generator) => Ok(generator),
            None if app.plain.contains_key(name) => {
                Err(format!("the generator `{name}` has no `build` part: there is no branch to ask about"))
            }
            None => Err(format!("there is no generator `{name}`; there are: {}", names())),
        },
        None => match app.generators.values().collect::<Vec<_>>().as_slice() {
            [sole] => Ok(sole),
            [] => Err("no generator has a `build` part: there is no branch to ask about".to_owned()),
            _ => Err(format!("there are several generators; choose one with --generator: {}", names())),
        },
    }
}

fn question(args: &ResolveArgs) -> Result<Question, crate::domain::QuestionError> {
    let mut parameters = Map::new();
    parameters.insert("branch".to_owned(), args.branch.as_str().into());
    if let Some(number) = &args.number {
        parameters.insert("number".to_owned(), number.as_str().into());
    }
    if let Some(head) = &args.head_sha {
        parameters.insert("head_sha".to_owned(), head.as_str().into());
    }
    Question::parse("", &parameters)
}

/// Everything that was considered, newest first.
fn story(resolution: &Resolution) -> String {
    let mut text = String::new();
    match &resolution.line {
        Some(meant) => writeln!(text, "line      {} (branch {})", meant.key.line, excerpt(meant.branch.as_str())),
        None => writeln!(text, "line      none"),
    }
    .unwrap_or_default();
    for considered in &*resolution.considered {
        tell(&mut text, considered);
    }
    let outcome = match &resolution.outcome {
        Outcome::Ready(build) => format!("ready: {}", build.commit()),
        Outcome::NotYet | Outcome::ForkRefused => format!("not yet: {}", resolution.reason),
        Outcome::Unknown => format!("unknown: {}", resolution.reason),
    };
    writeln!(text, "outcome   {outcome}").unwrap_or_default();
    text
}

fn tell(text: &mut String, considered: &Considered) {
    let verdict = match &considered.verdict {
        Ok(verdict) => verdict.to_string(),
        Err(why) => format!("cannot be judged ({why})"),
    };
    writeln!(text, "commit    {} {verdict}", considered.commit.sha.short(12)).unwrap_or_default();
    for (check, role) in considered.checks() {
        let role = match role {
            Role::Superseded => "superseded",
            Role::Ignored => "ignored",
            Role::NotRequired => "not required",
            Role::Counts(CheckState::Passed | CheckState::Skipped) => "passes",
            Role::Counts(CheckState::Pending) => "pending",
            Role::Counts(CheckState::Failed) => "fails",
        };
        writeln!(text, "  check   {:<40} {:<16} {role}", excerpt(&check.name), excerpt(&check.word))
            .unwrap_or_default();
    }
    for look in &considered.looks {
        writeln!(text, "  image   {} {}", look.reference, look.found).unwrap_or_default();
    }
}

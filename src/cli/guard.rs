//! `lastgreen guard`: answers that are held because too many items would vanish, and letting them through.

use std::fmt::Write as _;

use clap::Subcommand;

use super::{
    Exit, complain,
    ledger::{Desk, Place},
    print,
};
use crate::{
    config::Config,
    domain::excerpt,
    operator::{HeldView, Release},
};

#[derive(Debug, Subcommand)]
pub(super) enum GuardCommand {
    /// Show what is held back.
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the items vanish that a generator's guard holds back now, and no more than those.
    Release {
        #[command(flatten)]
        place: Place,
        /// The generator.
        generator: String,
    },
}

impl GuardCommand {
    pub(super) fn place(&self) -> &Place {
        match self {
            Self::List { place, .. } | Self::Release { place, .. } => place,
        }
    }
}

pub(super) async fn guard(config: Config, command: GuardCommand) -> anyhow::Result<Exit> {
    let desk = {
        let place = command.place().service(&config);
        Desk::open(config, place).await?
    };
    match command {
        GuardCommand::List { json, .. } => {
            let held = desk.held_back().await?;
            print(&if json { format!("{:#}\n", serde_json::to_value(held)?) } else { table(&held) })
        }
        GuardCommand::Release { generator, .. } => match desk.release(&Release { generator }).await? {
            Ok(released) => print(&table(&released)),
            Err(problem) => {
                complain(&format!("lastgreen: {problem}"));
                Ok(Exit::Usage)
            }
        },
    }
}

fn table(held: &[HeldView]) -> String {
    held.iter().fold(String::new(), |mut text, held| {
        let state = if held.released { "released" } else { "held back" };
        let about = excerpt(&held.about);
        writeln!(text, "{}  {about}  {} of {} items vanish  {state}", held.generator, held.vanish, held.of)
            .unwrap_or_default();
        text
    })
}

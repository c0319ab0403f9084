//! The program: parse, run, exit.

use std::process::ExitCode;

use clap::Parser as _;
use lastgreen::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}

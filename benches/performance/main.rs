//! What the program costs, measured: `cargo bench`, or `cargo bench -- warm` for one of them.
//!
//! ```text
//! warm       answers from memory, beside a bare axum handler and the Python plugins
//! sweep      a thousand pull requests, cold and warm, beside the naive way
//! hour       what an hour costs upstream, by virtual time
//! sql        rows of a query, beside a Python plugin on the same PostgreSQL
//! footprint  memory, start, size, a scrape of the metrics
//! ```
//!
//! Nothing here fails for being slow: each prints tables, and whoever reads them judges. What is compared was measured
//! in the same run, in turns. `--plots FOLDER` writes plots as SVG, `--quick` measures less, to see that all runs;
//! `--branches NUMBER` measures memory with so many alone.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench measures real time, prints, and ends where something is wrong"
)]

mod bare;
mod baselines;
mod footprint;
mod hour;
mod load;
mod naive;
mod plot;
#[path = "../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "tests do more with it")]
mod postgres;
mod process;
mod service;
mod sql;
mod sweep;
mod table;
mod warm;
mod world;

use std::path::PathBuf;

/// What was asked for.
struct Options {
    quick: bool,
    plots: Option<PathBuf>,
    branches: Option<u64>,
    wanted: Vec<String>,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { quick: false, plots: None, branches: None, wanted: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says so.
            "--bench" => {}
            "--quick" => options.quick = true,
            "--plots" => options.plots = Some(arguments.next().expect("--plots FOLDER").into()),
            "--branches" => options.branches = Some(arguments.next().unwrap().parse().expect("--branches NUMBER")),
            // This program itself is the bare server, in a process of its own.
            bare::ARGUMENT => return bare::serve(&arguments.next().expect("a file")),
            name => options.wanted.push(name.to_owned()),
        }
    }
    println!("{}", process::machine());
    if options.wants("warm") {
        warm::run(&options);
    }
    if options.wants("sweep") {
        sweep::run(&options);
    }
    if options.wants("hour") {
        hour::run(&options);
    }
    if options.wants("sql") {
        sql::run(&options);
    }
    if options.wants("footprint") {
        footprint::run(&options);
    }
}

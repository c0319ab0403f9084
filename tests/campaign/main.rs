//! The campaign: hours of polling over a changing world with faults, again and again, each answer checked by an oracle
//! of its own.
//!
//! ```text
//! story   what happens, by the seed      world    what is done to the simulated services, and noted
//! stage   the program and its time       oracle   what may be answered, by the promises alone
//! parts   rows and another plugin beside a build, in every fourth story
//! ```
//!
//! `cargo test --test campaign` tells some hundred stories, then breaks one rule after the other and expects the oracle
//! to object. By hand: `-- --seeds 100000`, `-- --seed 4711`, with `--parts` for parts beside the build in all of them; what
//! the program logs in a single story is shown by `RUST_LOG`.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![expect(clippy::print_stdout, reason = "a test of its own harness tells what it did")]

mod ci;
mod database;
mod faults;
mod hub;
mod ledgers;
mod mutations;
mod options;
mod oracle;
mod parts;
#[expect(dead_code, reason = "what is not needed of it here is by another test")]
#[path = "../support/postgres.rs"]
mod postgres;
mod report;
mod rules;
mod shelf;
mod stage;
mod story;
mod world;

use std::{
    cell::OnceCell,
    process::{Command, ExitCode},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use database::Databases;
use mutations::Mutation;
use options::Options;
use oracle::Violation;
use report::Tally;

/// A mutation that is not caught in so many stories is not caught.
const MUTATED: u64 = 40;

/// The stories that are told a second time: with and without other parts, ledgers in a file and in memory, none that
/// takes PostgreSQL.
const AGAIN: std::ops::Range<u64> = 1..8;

/// A story that went wrong: its seed, the promise, and how it went.
type Failure = (u64, Violation, String);

/// Every start of the program reads the CAs of the system, a hundred and more. Here it starts thousands of times, so the
/// campaign runs in a process for which the system has a single one, in this file and in no folder.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The test that a story depends on its seed alone.
const TOLD_AGAIN: &str = "told_again";

/// Tells that process that it is the one.
const INNER: &str = "LASTGREEN_CAMPAIGN";

fn main() -> ExitCode {
    if std::env::var_os(INNER).is_some() {
        return run(&Options::read(std::env::args().skip(1)));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let authority = rcgen::generate_simple_self_signed(["campaign.invalid".to_owned()]).unwrap();
    std::fs::write(&file, authority.cert.pem()).unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1)).env(INNER, "yes").env(CERTIFICATES[0], file).env_remove(CERTIFICATES[1]);
    let status = again.status().unwrap();
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(options: &Options) -> ExitCode {
    let mutations = Mutation::ALL.map(|(mutation, name, promises)| (mutation, format!("mutation::{name}"), promises));
    if options.list {
        println!("stories: test");
        println!("{TOLD_AGAIN}: test");
        for (_, name, _) in &mutations {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = options.seed {
        return one(seed, options.parts);
    }
    let databases = OnceCell::new();
    let mut failed = 0;
    if options.wants("stories") {
        let databases = databases.get_or_init(Databases::start).as_ref();
        let (tally, failures) = campaign(options.from, options.seeds, (None, options.parts), databases);
        for (_, _, story) in failures.iter().take(1) {
            println!("{story}");
        }
        for (seed, violation, _) in &failures {
            println!("seed {seed}: {:?}: {}", violation.promise, violation.how);
        }
        print!("{}", tally.table());
        verdict("stories", failures.is_empty(), &mut failed);
    }
    if options.wants(TOLD_AGAIN) {
        let tell = |seed| story::tell(seed, (None, seed % 2 == 0), None).log.told(None);
        let other = AGAIN.clone().find(|seed| tell(*seed) != tell(*seed));
        if let Some(seed) = other {
            println!("the story of seed {seed} is not the same each time");
        }
        verdict(TOLD_AGAIN, other.is_none(), &mut failed);
    }
    for (mutation, name, promises) in mutations.iter().filter(|(_, name, _)| options.wants(name)) {
        let shared = *mutation == Mutation::HeardTooLate;
        let databases = if shared { databases.get_or_init(Databases::start).as_ref() } else { None };
        if shared && databases.is_none() {
            println!("test {name} ... ignored, it takes PostgreSQL");
            continue;
        }
        let (tally, failures) = campaign(1, MUTATED, (Some(*mutation), false), databases);
        let caught = failures.iter().find(|(_, violation, _)| promises.contains(&violation.promise));
        match caught {
            Some((seed, violation, _)) => println!("seed {seed} of {}: {}", tally.stories, violation.how),
            None => println!("not caught in {} stories; otherwise: {failures:?}", tally.stories),
        }
        verdict(name, caught.is_some(), &mut failed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(test: &str, good: bool, failed: &mut u32) {
    println!("test {test} ... {}", if good { "ok" } else { "FAILED" });
    *failed += u32::from(!good);
}

/// Tells one story at length; with `RUST_LOG`, with what the program logs.
fn one(seed: u64, parts: bool) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .without_time()
        .with_writer(std::io::stdout)
        .init();
    let databases = if story::is_shared(seed) { Databases::start() } else { None };
    let told = story::tell(seed, (None, parts), databases.as_ref());
    print!("{}{}", told.log.told(told.violation.as_ref()), told.tally.table());
    if told.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells many stories, in as many threads as there are processors; with a mutation, up to the first that went wrong.
fn campaign(
    from: u64,
    seeds: u64,
    (mutation, parts): (Option<Mutation>, bool),
    databases: Option<&Databases>,
) -> (Tally, Vec<Failure>) {
    let next = AtomicU64::new(from);
    let caught = AtomicBool::new(false);
    let all = Mutex::new((Tally::default(), Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !(mutation.is_some() && caught.load(Ordering::Relaxed)) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let mut told = story::tell(seed, (mutation, parts), databases);
                    let mut all = all.lock().unwrap();
                    if let Some(violation) = told.violation {
                        *told.tally.violations.entry(violation.promise).or_default() += 1;
                        let promises = Mutation::ALL.iter().find(|(one, ..)| Some(*one) == mutation);
                        let meant = promises.is_some_and(|(_, _, promises)| promises.contains(&violation.promise));
                        caught.fetch_or(meant, Ordering::Relaxed);
                        all.1.push((seed, violation.clone(), told.log.told(Some(&violation))));
                    }
                    all.0.add(&told.tally);
                }
            });
        }
    });
    let (tally, mut failures) = all.into_inner().unwrap();
    failures.sort_by_key(|(seed, ..)| *seed);
    (tally, failures)
}

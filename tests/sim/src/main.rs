//! Serves a world file: a GitHub and a registry to try lastgreen against.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use lastgreen_sim::{Control, Sim, World};

/// A simulated GitHub and OCI registry.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The world file.
    #[arg(long)]
    world: PathBuf,
    /// Where to serve GitHub.
    #[arg(long, default_value = "127.0.0.1:4356")]
    github: SocketAddr,
    /// Where to serve the registry.
    #[arg(long, default_value = "127.0.0.1:4357")]
    registry: SocketAddr,
    /// Where to take orders that change the world or make it fail, on the loopback; by default nowhere.
    #[arg(long)]
    control: Option<SocketAddr>,
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let world = match World::load(&arguments.world) {
        Ok(world) => world,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::FAILURE;
        }
    };
    let sim = match Sim::start_on(world, arguments.github, arguments.registry).await {
        Ok(sim) => Arc::new(sim),
        Err(why) => {
            eprintln!("error: cannot listen on {} and {}: {why}", arguments.github, arguments.registry);
            return ExitCode::FAILURE;
        }
    };
    println!("github   {}", sim.github_url());
    println!("registry {}", sim.registry_host());
    let control = match arguments.control {
        Some(address) => match Control::start(Arc::clone(&sim), address).await {
            Ok(control) => Some(control),
            Err(why) => {
                eprintln!("error: cannot take orders on {address}: {why}");
                return ExitCode::FAILURE;
            }
        },
        None => None,
    };
    if let Some(control) = &control {
        println!("control  {}", control.url());
    }
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: cannot wait for the end: {why}");
            ExitCode::FAILURE
        }
    }
}

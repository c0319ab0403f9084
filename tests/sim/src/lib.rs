//! A simulated GitHub and OCI registry, for tests, benches and the demo.
//!
//! A [`World`] is plain data: repositories, pull requests, checks, images. [`Sim::start`] serves it on the loopback as GitHub
//! (GraphQL over the published schema, and REST) and as an OCI registry, notes every request, and fails on command. It is strict
//! on purpose: what the real services refuse, it refuses, and a query for something that it does not simulate is an error, never
//! a null.
//!
//! ```no_run
//! # async fn doc() {
//! use lastgreen_sim::{Sim, World};
//!
//! let mut world = World::with_repository("myorg/myrepo");
//! world.push("myorg/myrepo", "feature", "a1", &["m1"]);
//! world.green("myorg/myrepo", "a1");
//! let sim = Sim::start(world).await;
//! let api = sim.github_url();
//! sim.world(|world| world.push("myorg/myrepo", "feature", "a2", &[]));
//! # }
//! ```

mod cluster;
mod control;
mod fault;
mod github;
mod registry;
mod serve;
mod sim;
mod wire;
mod world;

pub use cluster::{Cluster, GoneAs, Rule};
pub use control::Control;
pub use fault::{Fault, Target, What};
pub use github::{AppKey, Cost, CostError, cost, schema};
pub use sim::{Authorization, Counts, Kind, Latency, Seen, Service, Sim};
pub use world::*;

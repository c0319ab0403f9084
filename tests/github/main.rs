//! The GitHub client against the simulated GitHub.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod stage;
#[path = "../support/tls.rs"]
mod tls_server;

mod ahead;
mod apps;
mod documents;
mod outages;
mod proxy;
mod refusals;
mod snapshots;
mod tls;

//! The GitHub client against the simulated GitHub.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod stage;

mod ahead;
mod apps;
mod documents;
mod outages;
mod proxy;
mod refusals;
mod snapshots;
mod tls;

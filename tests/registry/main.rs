//! The registry client against the simulated registry, and against a scripted one for what no registry should do.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod double;
mod stage;

mod credentials;
mod labels;
mod limits;
mod outages;
mod redirects;
mod tags;
mod tokens;

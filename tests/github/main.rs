//! The GitHub client against the simulated GitHub.

mod stage;

mod apps;
mod documents;
mod proxy;
mod refusals;
mod snapshots;

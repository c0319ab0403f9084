//! The real program, as people and Kubernetes run it, against the simulated world.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/http.rs"]
mod http;
mod stage;

mod basics;
mod check;
mod guard;
mod health;
mod ledger;
mod plugins;
mod pod;
mod resolve;
mod secrets;
mod serve;

//! The real program, as people and Kubernetes run it, against the simulated world.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/http.rs"]
mod http;
mod listener;
mod stage;
#[expect(dead_code, reason = "what is not needed of it here is by another test")]
#[path = "../support/tls.rs"]
mod tls_server;

mod basics;
mod check;
#[cfg(feature = "otlp")]
mod collectors;
mod guard;
mod health;
mod ledger;
#[cfg(feature = "otlp")]
mod otlp;
mod plugins;
mod pod;
mod resolve;
mod secrets;
mod serve;
mod traces;

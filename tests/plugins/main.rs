//! Other plugins: what Kubernetes knows of them, before a simulated cluster, and how they are asked, before plugins of
//! every kind.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod double;
mod logs;
#[expect(dead_code, reason = "what is not needed of it here is by another test")]
#[path = "../support/postgres.rs"]
mod postgres;
mod stage;
#[path = "../support/tls.rs"]
mod tls_server;

mod answers;
mod outages;
mod python;
mod secrets;
mod services;
mod tls;
mod watches;

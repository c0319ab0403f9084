//! The ledger that outlives the process: what can go wrong with it, and what is answered then.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/http.rs"]
mod http;
mod logs;
#[path = "../support/postgres.rs"]
mod postgres;
mod program;
mod stage;

mod costs;
mod crashes;
mod disks;
mod files;
mod hangups;
mod outages;
mod records;
mod replicas;
mod restarts;
mod withdrawals;

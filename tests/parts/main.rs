//! Generators with other parts than a build: rows of a query, alone and beside a build.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "other tests stop, kill and listen")]
mod postgres;
mod stage;

mod composite;
mod doors;
mod guard;
mod holding;
mod queries;
mod replicas;
mod storms;
mod tenants;
mod values;
mod weather;

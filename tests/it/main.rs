//! The whole program against the simulated world, through its real router.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod setup;
mod stage;
mod sweeps;

mod batch;
mod breakers;
mod changes;
mod checks;
mod comings;
mod costs;
mod images;
mod inbound;
mod input;
mod lines;
mod metrics;
mod outages;
mod patterns;
mod walks;
mod warm;

//! The pipe that both clients use: cached → coalesced → paced → timed out → classified.
//!
//! * [`Cache`]: bounded, freshness judged by the caller's need and the [`Clock`](crate::clock::Clock), many callers
//!   one request, a caller that hangs up loses nothing.
//! * [`Pace`]: per host and credential; waits for its turn, and stops everything while the service says so.
//! * [`http`]: the one way to build an HTTP client, and how much of an answer is read.
//! * [`SecretFile`]: a secret that is read again when its file changes.

mod cache;
mod error;
pub mod http;
mod pace;
mod secret;

pub use self::{
    cache::Cache,
    error::{Kind, UpstreamError},
    pace::{Pace, PaceLimits, Permit},
    secret::{Secret, SecretError, SecretFile},
};

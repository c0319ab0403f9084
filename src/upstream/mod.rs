//! The pipe that both clients use: cached → coalesced → paced → let through → timed out → classified.
//!
//! * [`Cache`]: bounded, freshness judged by the caller's need and the [`Clock`](crate::clock::Clock), many callers
//!   one request, a caller that hangs up loses nothing.
//! * [`Pace`]: per host and credential; waits for its turn, and stops everything while the service says so.
//! * [`urgency`]: whether a question waits for the work or nobody does yet; it decides who goes first.
//! * [`Breaker`]: per service; leaves one alone that is down, and ends what takes too long.
//! * [`Failing`]: what could not be read when it was asked for last, and until when.
//! * [`http`]: the one way to build an HTTP client, and how much of an answer is read.
//! * [`Calls`]: how many requests a question has led to, and in which trace.
//! * [`collector`]: where traces are sent.
//! * [`Traffic`]: how many requests were sent, and what came of them.
//! * [`Terms`]: what may be sent at the moment, for people.
//! * [`SecretFile`]: a secret that is read again when its file changes.

mod breaker;
mod cache;
mod calls;
pub mod collector;
mod error;
mod health;
pub mod http;
mod pace;
mod secret;
mod terms;
mod traffic;
pub mod urgency;

pub use self::{
    breaker::Breaker,
    cache::Cache,
    calls::Calls,
    error::{Kind, UpstreamError},
    health::Failing,
    pace::{Pace, PaceClock, PaceLimits, Permit},
    secret::{Secret, SecretError, SecretFile},
    terms::{PaceUse, Quota, Terms, Trouble},
    traffic::{Service, Traffic},
};

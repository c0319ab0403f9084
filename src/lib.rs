//! lastgreen answers Argo CD's question "which images may this pull request's preview run?" with the digests of the
//! *last green build*: the newest commit whose CI succeeded and whose images all exist, every image from that commit.

pub mod app;
pub mod background;
pub mod cli;
pub mod clock;
pub mod config;
mod database;
pub mod domain;
pub mod explain;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod generator;
pub mod github;
pub mod http;
pub mod kubernetes;
pub mod ledger;
pub mod metrics;
pub mod operator;
pub mod parts;
pub mod registry;
pub mod trace;
pub mod upstream;

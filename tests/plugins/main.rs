//! Other plugins: what Kubernetes knows of them, before a simulated cluster, and how they are asked, before plugins of
//! every kind.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod double;
mod logs;
mod stage;

mod answers;
mod outages;
mod program;
mod python;
mod secrets;
mod services;
mod watches;

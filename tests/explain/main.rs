//! `/explain`: who may see it, what it tells, as JSON and as a page, and how that looks in a browser.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![expect(clippy::print_stdout, reason = "what was not run and what was measured is for people")]

mod access;
mod browser;
mod chromium;
mod contract;
mod kinds;
mod many;
mod stage;
mod stories;

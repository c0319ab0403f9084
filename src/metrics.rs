//! What the process tells Prometheus: few numbers, named by convention, with labels that the configuration bounds.
//!
//! ```text
//! answers ─ Counts, one for each generator ─┐
//! GitHub, registries, ledger, hot sets ─────┴─ read when somebody scrapes ─ OpenMetrics text
//! ```
//!
//! A warm answer adds to two counters and is not timed: it takes microseconds, and two looks at the clock would be a
//! good part of that.

mod counts;
mod page;

pub use self::{
    counts::{Counts, Outcome},
    page::{Metrics, Watched},
};

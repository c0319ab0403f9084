//! A generator of any kind.

use std::sync::Arc;

use super::{Lines, Parts, PlainGenerator};

/// One generator.
#[derive(Clone, Debug)]
pub enum Served {
    /// One with a build part.
    Lines(Lines),
    /// One without.
    Plain(Arc<PlainGenerator>),
}

impl Served {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Lines(lines) => lines.name(),
            Self::Plain(generator) => generator.name(),
        }
    }

    /// The parts beside the build, or all where there is none.
    pub fn parts(&self) -> &Parts {
        match self {
            Self::Lines(lines) => lines.parts(),
            Self::Plain(generator) => generator.parts(),
        }
    }
}

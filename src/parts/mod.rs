//! The parts that a generator's answer is made of.

pub mod build;
pub mod part;
pub mod plugins;
pub mod sql;

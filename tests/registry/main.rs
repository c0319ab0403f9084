//! The registry client against the simulated registry, and against a scripted one for what no registry should do.

mod double;
mod stage;

mod credentials;
mod labels;
mod limits;
mod redirects;
mod tags;
mod tokens;

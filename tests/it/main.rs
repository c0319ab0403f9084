//! The whole program against the simulated world, through its real router.

mod stage;

mod checks;
mod costs;
mod images;
mod input;
mod lines;
mod outages;
mod walks;

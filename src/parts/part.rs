//! What every part says: a list of maps, or why it cannot say.

use std::collections::BTreeMap;

use thiserror::Error;

/// One map of a part's list: keys and their values, every scalar a string.
pub type Values = BTreeMap<String, String>;

/// A part cannot say what its list is: nothing is known, which is not the same as an empty list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct CannotSay {
    /// Why not, the same text for the same cause.
    pub reason: String,
}

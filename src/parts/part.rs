//! What the parts beside `build` have in common: each gives a list of items, or cannot say.

use std::collections::BTreeMap;

use thiserror::Error;

/// One item: keys and values.
pub type Values = BTreeMap<String, String>;

/// A part cannot say what its items are. The text is the same for the same cause, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct CannotSay {
    /// Why.
    pub reason: String,
}

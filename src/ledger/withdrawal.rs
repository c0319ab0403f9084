//! An empty list that follows an item: what is kept of it, so that it is said once why.
//!
//! Whoever withdraws an item says so when it is recorded. Two things come between: an item that is withdrawn although
//! that cannot be recorded stays what is known, and is withdrawn with every answer; and a database may do what was given
//! up as too slow. Therefore an entry notes that it was said, and a record which process withdrew the item.

use std::sync::Arc;

use super::{
    Ledger, LineKey, Record,
    mirror::Mirror,
    record::{Fact, Nothing},
};
use crate::domain::Branch;

impl Mirror {
    /// What a line becomes that has nothing any more, or never had.
    pub(super) fn nothing(&self, key: &LineKey, branch: &Branch, own: bool) -> Fact {
        let withdrawn_by = self.item(key).map(|_| self.writer);
        Fact::Nothing(Nothing { branch: Some((branch.clone(), own)), withdrawn_by })
    }
}

impl Ledger {
    /// Tells whether it was not said yet that a line's item is withdrawn; now it is.
    pub fn say_withdrawn(&self, key: &LineKey) -> bool {
        let mut memory = self.memory();
        let entry = memory.mirror.lines.get_mut(key);
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.said, true))
    }

    /// The item that this process withdrew without hearing in time that this was recorded; it is told once.
    pub fn take_withdrawn(&self, key: &LineKey) -> Option<Arc<Record>> {
        self.memory().mirror.lines.get_mut(key)?.withdrawn.take()
    }
}

//! What a plugin answered, for the fuzz targets.

use std::collections::BTreeSet;

use super::reply;
use crate::parts::part::Values;

/// The items of a body, or why it has none; `told` says whether the keys are known.
pub(crate) fn items(body: &[u8], told: bool) -> Result<Vec<Values>, String> {
    let keys = BTreeSet::from(["a".to_owned()]);
    let items = reply::items(body, told.then_some(&keys));
    for item in items.iter().flatten() {
        assert!(!told || item.keys().eq(&keys), "it has other keys than those that were told: {item:?}");
    }
    items
}

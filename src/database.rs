//! What the ledger and the part `sql` want of a database alike: which file it is, and whether it has anything to do.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// What tells a file from another one of the same name.
pub(crate) type FileId = (u64, u64);

/// Which file has this name now.
#[cfg(unix)]
pub(crate) fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
pub(crate) fn file_id(_: &Path) -> Option<FileId> {
    None
}

/// How many pieces of work are under way.
#[derive(Debug, Default)]
pub(crate) struct Work(AtomicUsize);

/// A piece of work under way; it ends with whoever waits for it.
#[must_use]
pub(crate) struct Working<'a>(&'a Work);

impl Work {
    /// Begins a piece.
    pub(crate) fn begin(&self) -> Working<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self)
    }

    /// Whether any is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

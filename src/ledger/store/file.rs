//! A ledger's file: its lock, its identity, its name in a URL.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use crate::ledger::facts::IN_USE;

/// Locks a file beside the ledger for as long as it is used.
pub(super) fn lock(ledger: &Path) -> Result<File, String> {
    let mut path = ledger.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| {
        format!(
            "`{}` cannot be opened ({error}); does its directory exist, and may this user write there?",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("{IN_USE} (`{}` is locked); several replicas need PostgreSQL", path.display()))
        }
        Err(TryLockError::Error(error)) => Err(format!("`{}` cannot be locked: {error}", path.display())),
    }
}

/// A path as a URL takes it.
pub(super) fn percent(path: &Path) -> String {
    use std::fmt::Write as _;
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        text
    })
}

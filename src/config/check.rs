//! Whether the files that a configuration names can be read. What is in them is not shown.

use std::{fs, io};

use super::{ConfigError, FileUse};

/// The largest file that is read.
const MAX_BYTES: u64 = 256 * 1024;

impl FileUse {
    /// What is wrong with the file.
    pub(super) fn check(&self) -> Option<ConfigError> {
        let problem = self.problem()?;
        let message = format!("cannot read the file `{}`: {problem}", self.path.display());
        Some(ConfigError { message, ..self.entry.clone() })
    }

    fn problem(&self) -> Option<String> {
        match fs::metadata(&self.path) {
            Err(error) => return Some(describe(&error)),
            Ok(meta) if meta.is_dir() => return Some("it is a directory".to_owned()),
            Ok(meta) if meta.len() > MAX_BYTES => return Some(format!("it has more than {MAX_BYTES} bytes")),
            Ok(_) => {}
        }
        match fs::read_to_string(&self.path) {
            Err(error) => Some(describe(&error)),
            Ok(text) if text.trim().is_empty() => Some("it is empty".to_owned()),
            Ok(_) => None,
        }
    }
}

/// A cause in the same words on every system.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

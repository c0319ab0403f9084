//! Secrets from files, read again when the file changes, never shown.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use thiserror::Error;

use crate::clock::{Moment, SharedClock};

/// How often a file is looked at: often enough for a rotation, too seldom to cost anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The largest secret file that is read.
const MAX_BYTES: u64 = 256 * 1024;

/// A secret text. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A secret that did not come from a file, such as a token that was minted.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are one and the same in memory, which tells nothing of either.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot read the secret file `{}`: {problem}", path.display())]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// A file with a secret in it.
///
/// While the file cannot be read again, what it last held goes on being used: Kubernetes swaps such files by renaming.
pub struct SecretFile {
    path: PathBuf,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looked_at: Option<Moment>,
    stamp: Option<Stamp>,
    content: Option<Secret>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl SecretFile {
    /// The secret in `path`; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>, clock: SharedClock) -> Self {
        Self { path: path.into(), clock, state: Mutex::default() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now, white space at both ends removed.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if let (Some(looked_at), Some(content)) = (state.looked_at, &state.content)
            && now.since(looked_at) < LOOK_EVERY
        {
            return Ok(content.clone());
        }
        state.looked_at = Some(now);
        match self.load(state.stamp) {
            Ok(None) => {}
            Ok(Some((stamp, content))) => {
                state.stamp = Some(stamp);
                state.content = Some(content);
            }
            Err(problem) => match &state.content {
                Some(_) => {
                    let file = self.path.display();
                    tracing::warn!(%file, %problem, "a secret file cannot be read again; what it last held is used");
                }
                None => return Err(SecretError { path: self.path.clone(), problem }),
            },
        }
        state.content.clone().ok_or_else(|| SecretError { path: self.path.clone(), problem: "it is empty".to_owned() })
    }

    /// The content if it is not the one with the stamp `known`.
    fn load(&self, known: Option<Stamp>) -> Result<Option<(Stamp, Secret)>, String> {
        let meta = fs::metadata(&self.path).map_err(|error| describe(&error))?;
        let stamp = Stamp { modified: meta.modified().ok(), length: meta.len(), inode: inode(&meta) };
        if known == Some(stamp) {
            return Ok(None);
        }
        if meta.is_dir() {
            return Err("it is a directory".to_owned());
        }
        if meta.len() > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let text = fs::read_to_string(&self.path).map_err(|error| describe(&error))?;
        let text = text.trim();
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(Some((stamp, Secret::new(text))))
    }
}

#[cfg(unix)]
fn inode(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_changed_file_is_read_again_and_a_lost_one_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let file = SecretFile::new(&path, Arc::new(clock.clone()));
        assert!(file.read().unwrap_err().to_string().ends_with("it does not exist"));
        fs::write(&path, "one\n").unwrap();
        assert_eq!(file.read().unwrap().expose(), "one");
        fs::write(&path, "second").unwrap();
        assert_eq!(file.read().unwrap().expose(), "one");
        clock.advance(LOOK_EVERY);
        assert_eq!(file.read().unwrap().expose(), "second");
        fs::remove_file(&path).unwrap();
        clock.advance(LOOK_EVERY);
        assert_eq!(file.read().unwrap().expose(), "second");
        assert_eq!(format!("{:?}", file.read().unwrap()), "Secret(…)");
    }
}

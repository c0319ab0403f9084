//! Secrets from files, read again when the file changes, never shown.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
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
///
/// Every question's token is held against one, so nobody waits for anybody: one caller a second looks at the file while
/// the others go on with what is known.
pub struct SecretFile {
    path: PathBuf,
    clock: SharedClock,
    /// When it was looked at last, by [`ticks`]; 0 before that.
    looked_at: AtomicU64,
    known: RwLock<Option<(Stamp, Secret)>>,
    /// Held by whoever looks, so that what was read earlier never replaces what was read later.
    looking: Mutex<()>,
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
        let path = path.into();
        Self { path, clock, looked_at: AtomicU64::new(0), known: RwLock::default(), looking: Mutex::default() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now, white space at both ends removed.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let (now, before) = (ticks(self.clock.now()), self.looked_at.load(Ordering::Acquire));
        let looks = is_due(before, now)
            && self.looked_at.compare_exchange(before, now, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !looks && let Some((_, content)) = &*self.known() {
            return Ok(content.clone());
        }
        self.look()
    }

    /// Whether the file need not be looked at and holds `content`, as [`read`](Self::read) gave it.
    pub fn still_holds(&self, content: &Secret) -> bool {
        !is_due(self.looked_at.load(Ordering::Acquire), ticks(self.clock.now()))
            && self.known().as_ref().is_some_and(|(_, known)| known.is_same(content))
    }

    fn known(&self) -> RwLockReadGuard<'_, Option<(Stamp, Secret)>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Result<Secret, SecretError> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known().clone();
        match (self.load(known.as_ref().map(|(stamp, _)| *stamp)), known) {
            (Ok(None), Some((_, content))) => Ok(content),
            (Ok(Some((stamp, content))), _) => {
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((stamp, content.clone()));
                Ok(content)
            }
            (Err(problem), Some((_, content))) => {
                let file = self.path.display();
                tracing::warn!(%file, %problem, "a secret file cannot be read again; what it last held is used");
                Ok(content)
            }
            (Err(problem), None) => Err(SecretError { path: self.path.clone(), problem }),
            // What is not known has no stamp to be the same as.
            (Ok(None), None) => Err(SecretError { path: self.path.clone(), problem: "it is empty".to_owned() }),
        }
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

/// A moment as a number that is never 0.
fn ticks(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Whether somebody must look who looked `before`, or never.
fn is_due(before: u64, now: u64) -> bool {
    before == 0 || Duration::from_nanos(now.saturating_sub(before)) >= LOOK_EVERY
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
        let one = file.read().unwrap();
        fs::write(&path, "second").unwrap();
        assert_eq!(file.read().unwrap().expose(), "one");
        assert!(file.still_holds(&one));
        clock.advance(LOOK_EVERY);
        assert!(!file.still_holds(&one), "somebody must look");
        let second = file.read().unwrap();
        assert_eq!(second.expose(), "second");
        assert!(file.still_holds(&second) && !file.still_holds(&one));
        fs::remove_file(&path).unwrap();
        clock.advance(LOOK_EVERY);
        assert_eq!(file.read().unwrap().expose(), "second");
        assert_eq!(format!("{:?}", file.read().unwrap()), "Secret(…)");
    }
}

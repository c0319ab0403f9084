//! The ledgers' files. Each process has a folder of its own, and begins with a copy of what the one before it left: what
//! a process that was killed still does in the background reaches nobody.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::hub::Line;

/// Where the configuration names the ledger's folder.
pub(crate) const FOLDER: &str = "@ledger@";

/// Where in that folder the URL of a ledger is that is no file.
pub(crate) const URL: &str = "url";

/// What a ledger consists of; the shared memory beside it is made anew.
const FILES: [&str; 2] = ["ledger.db", "ledger.db-wal"];

/// A folder that ends with its owner, on a disk that is memory where there is one: nothing here outlives a crash of the
/// machine, and SQLite asks the disk to write with every record.
pub(crate) fn in_memory_if_possible() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of a ledger at one moment, when nobody wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot(Vec<(&'static str, Vec<u8>)>);

impl Snapshot {
    pub(crate) fn of(folder: &Path) -> Self {
        Self(FILES.into_iter().filter_map(|file| Some((file, fs::read(folder.join(file)).ok()?))).collect())
    }

    /// A file that is no database.
    pub(crate) fn garbage() -> Self {
        Self(vec![("ledger.db", b"this is no ledger\n".repeat(1000))])
    }

    pub(crate) fn remove(folder: &Path) {
        for file in FILES.into_iter().chain(["ledger.db-shm"]) {
            let _ = fs::remove_file(folder.join(file));
        }
    }

    pub(crate) fn write(&self, folder: &Path) {
        for (file, bytes) in &self.0 {
            fs::write(folder.join(file), bytes).unwrap();
        }
    }
}

/// The folders of all processes.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    count: u32,
}

impl Folders {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), count: 0 }
    }

    /// A folder for another process.
    pub(crate) fn next(&mut self) -> PathBuf {
        self.count += 1;
        let folder = self.root.join(format!("ledger-{}", self.count));
        fs::create_dir(&folder).unwrap();
        folder
    }
}

/// Breaks the seal of one record of a ledger that no process uses, and tells whose it was.
pub(crate) async fn break_a_seal(folder: &Path, choice: usize) -> Option<Line> {
    let options = SqliteConnectOptions::new().filename(folder.join("ledger.db"));
    let mut ledger = SqliteConnection::connect_with(&options).await.ok()?;
    let lines = sqlx::query("SELECT line FROM lastgreen_lines WHERE generator = 'preview' ORDER BY line")
        .fetch_all(&mut ledger)
        .await
        .ok()?;
    let line: String = lines.get(choice % lines.len().max(1))?.get(0);
    let broken = sqlx::query("UPDATE lastgreen_lines SET seal = 'broken' WHERE generator = 'preview' AND line = $1")
        .bind(line.clone());
    broken.execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    Some(match line.split_once(['#', ' ']) {
        Some(("", number)) => Line::Pull(number.parse().unwrap()),
        Some((_, branch)) => Line::Branch(branch.into()),
        None => panic!("the ledger names a line {line:?}"),
    })
}

/// Takes what the parts beside a build said last out of a ledger that no process uses.
pub(crate) async fn lose_lists(folder: &Path) {
    let options = SqliteConnectOptions::new().filename(folder.join("ledger.db"));
    let Ok(mut ledger) = SqliteConnection::connect_with(&options).await else { return };
    // There may be no such table yet.
    let _ = sqlx::query("DELETE FROM lastgreen_lists").execute(&mut ledger).await;
    ledger.close().await.unwrap();
}

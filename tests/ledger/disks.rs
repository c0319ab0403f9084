//! Files and disks that refuse, for the real program and somebody who may not do everything.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use lastgreen_sim::{Fault, Target, What};

use crate::{
    program::{PROGRAM, Serving, digest},
    stage::Stage,
};

/// Somebody who owns nothing, in every Unix.
const NOBODY: u32 = 65534;

/// A folder that nobody but `nobody` uses, with the program in it, where this process may do everything.
struct Place {
    folder: tempfile::TempDir,
    is_root: bool,
}

impl Place {
    fn new(stage: &Stage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        let place = Self { folder, is_root };
        fs::copy(PROGRAM, place.path().join("lastgreen")).unwrap();
        fs::create_dir(place.path().join("data")).unwrap();
        for secret in ["token", "github"] {
            fs::copy(stage.folder.path().join(secret), place.path().join(secret)).unwrap();
        }
        let text = stage.config(&format!("url: \"sqlite://{}/data/ledger.db\"", place.path().display()));
        let text = text.replace(&stage.folder.path().display().to_string(), &place.path().display().to_string());
        fs::write(place.path().join("config.yaml"), text).unwrap();
        for file in ["", "lastgreen", "data", "token", "github", "config.yaml"] {
            place.give(&place.path().join(file));
        }
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> std::path::PathBuf {
        self.path().join("data")
    }

    fn give(&self, path: &Path) {
        if self.is_root {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Starts the program, with this before it in a shell.
    fn serve(&self, before: &str) -> Serving {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{before} exec \"$0\" \"$@\"")).arg(self.path().join("lastgreen"));
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Serving::started_by(command, &self.path().join("config.yaml"))
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A world whose `feature` has a build that was recorded by a program that has ended; its digest.
fn recorded(stage: &Stage, place: &Place) -> String {
    stage.pull(1, "feature", "a1");
    let old = stage.built("a1");
    let serving = place.serve("");
    let reply = serving.ask("feature");
    assert_eq!(digest(&reply.body).as_ref(), Some(&old), "{reply:?}");
    serving.terminate();
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read() {
    let stage = Stage::new().await;
    let place = Place::new(&stage);
    let old = recorded(&stage, &place);
    allow(&place.data().join("ledger.db"), 0o000);
    let serving = place.serve("");
    let reply = serving.ask("feature");
    assert_eq!(reply.status(), 503);
    assert!(
        reply.body.contains(
            "the ledger cannot be used: the file cannot be opened; does its directory exist, and may this user write \
             there?"
        ),
        "{reply:?}"
    );
    assert!(serving.is_ready());
    allow(&place.data().join("ledger.db"), 0o600);
    serving.kill();
    let serving = place.serve("");
    assert_eq!(digest(&serving.ask("feature").body), Some(old));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_only_be_read() {
    let stage = Stage::new().await;
    let place = Place::new(&stage);
    let old = recorded(&stage, &place);
    // The folder may be written to, as on a volume whose files another user owns.
    allow(&place.data().join("ledger.db"), 0o400);
    let serving = place.serve("");
    // What it holds is known all the same.
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let reply = serving.ask("feature");
    assert_eq!((digest(&reply.body), reply.header("x-lastgreen-standing")), (Some(old.clone()), Some("held")));
    serving.kill();

    stage.sim.clear_faults();
    stage.pushed("feature", "a2");
    let serving = place.serve("");
    let reply = serving.ask("feature");
    assert_eq!((digest(&reply.body), reply.header("x-lastgreen-standing")), (Some(old), Some("held")));
    assert_eq!(
        reply.header("x-lastgreen-reason"),
        Some("the ledger cannot be used: the file cannot be written: it, or its directory, is read-only")
    );
    assert!(serving.is_ready());
    serving.logs("the file cannot be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_with_nothing_outside_of_it() {
    let stage = Stage::new().await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    // Nobody listens at this port.
    let (url, config) = (stage.folder.path().join("url"), stage.folder.path().join("config.yaml"));
    fs::write(&url, "postgres://nobody:secret@127.0.0.1:1/none").unwrap();
    fs::write(&config, stage.config(&format!("urlFile: \"{}\"", url.display()))).unwrap();
    let serving = Serving::start(&config);
    assert!(serving.is_ready());
    let reply = serving.ask("feature");
    assert_eq!(reply.status(), 503);
    assert!(reply.body.contains("the ledger cannot be used: the database cannot be reached"), "{reply:?}");
    assert!(serving.is_ready());
    serving.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_only_be_read() {
    let stage = Stage::new().await;
    let place = Place::new(&stage);
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    allow(&place.data(), 0o500);
    let serving = place.serve("");
    let reply = serving.ask("feature");
    assert_eq!(reply.status(), 503);
    assert!(reply.body.contains("ledger.db.lock` cannot be opened (Permission denied (os error 13))"), "{reply:?}");
    assert!(serving.is_ready());
    serving.kill();
    allow(&place.data(), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full() {
    let stage = Stage::new().await;
    let place = Place::new(&stage);
    let old = recorded(&stage, &place);
    let builds: Vec<_> = (2..12)
        .map(|number| {
            let (branch, commit) = (format!("branch-{number}"), format!("b{number}"));
            stage.pull(number, &branch, &commit);
            (branch, stage.built(&commit))
        })
        .collect();
    // No file may grow beyond 32 KiB: there is room for something, and not for everything.
    let serving = place.serve("ulimit -f 64; trap '' XFSZ;");
    let mut recorded = vec![("feature".to_owned(), old)];
    for (branch, build) in &builds {
        let reply = serving.ask(branch);
        let Some(digest) = digest(&reply.body) else {
            let why = "no answer yet: the ledger cannot be used: the disk fails or is full (disk I/O error)";
            assert!(reply.status() == 503 && reply.body.contains(why), "{reply:?}");
            break;
        };
        assert_eq!(&digest, build);
        recorded.push((branch.clone(), digest));
    }
    assert!(recorded.len() <= builds.len(), "everything had room");
    assert!(serving.is_ready());
    // What was recorded is answered by this program, and by the next one.
    let answers = |serving: Serving| {
        for (branch, build) in &recorded {
            assert_eq!(digest(&serving.ask(branch).body).as_ref(), Some(build));
        }
        serving.kill();
    };
    answers(serving);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    answers(place.serve(""));
}

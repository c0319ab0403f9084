//! A ledger in a file, and what may become of the file.

use std::{fs, path::Path, time::Duration};

use lastgreen::ledger::Known;
use lastgreen_sim::{Fault, Target, What};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

use crate::{
    logs::Logs,
    stage::{REPO, Replica, Stage, copy, until},
};

/// GitHub says nothing from now on.
fn github_is_down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
}

/// Another program that has the file open.
pub(crate) async fn outsider(stage: &Stage) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", stage.file().display())).await.unwrap()
}

/// Changes the file while nobody uses it.
pub(crate) async fn edit(stage: &Stage, statement: &str) {
    let mut outsider = outsider(stage).await;
    outsider.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    outsider.close().await.unwrap();
}

/// Puts another ledger into the place of the one that is used.
fn put(stage: &Stage, other: &Path) {
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(stage.folder.path().join(file)).unwrap();
    }
    fs::rename(other, stage.file()).unwrap();
}

/// A pull request `feature` with a build that was answered, and the digest.
pub(crate) async fn answered(stage: &Stage, replica: &Replica) -> String {
    stage.pull(1, "feature", "a1");
    let digest = stage.built("a1");
    replica.ask("feature").await.is(&digest, "fresh");
    digest
}

#[tokio::test]
async fn what_was_answered_outlives_the_process() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    replica.crash().await;
    github_is_down(&stage);
    stage.on_file().ask("feature").await.is(&digest, "held");
}

#[tokio::test]
async fn a_folder_that_is_not_there() {
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    stage.pull(1, "feature", "a1");
    let digest = stage.built("a1");
    let folder = stage.folder.path().join("none");
    let logs = Logs::begin();
    let replica = stage.on(&format!("url: \"sqlite://{}/ledger.db\"", folder.display()));
    let why = format!(
        "the ledger cannot be used: `{}/ledger.db.lock` cannot be opened (No such file or directory (os error 2)); \
         does its directory exist, and may this user write there?",
        folder.display()
    );
    assert_eq!(replica.ask_through("feature").await.is_refused(), why);
    // However often it is tried, the log says it once.
    assert_eq!(logs.with("it is tried again every second").len(), 1, "{}", logs.all());
    fs::create_dir(&folder).unwrap();
    stage.pass(1, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
}

#[tokio::test]
async fn a_file_that_is_no_ledger() {
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    let digest = stage.built("a1");
    fs::write(stage.file(), "a letter to a friend, longer than the header of a database\n".repeat(100)).unwrap();
    let replica = stage.on_file();
    assert_eq!(
        replica.ask_through("feature").await.is_refused(),
        "the ledger cannot be used: the file is damaged or no ledger (file is not a database); restore a backup, or \
         move it away: then the ledger is new"
    );
    fs::remove_file(stage.file()).unwrap();
    stage.pass(1, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
}

#[tokio::test]
async fn a_file_that_was_cut_off() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    replica.stop().await;
    let whole = fs::read(stage.file()).unwrap();
    fs::write(stage.file(), &whole[..whole.len() / 2]).unwrap();
    let replica = stage.on_file();
    // Even what is ready may not be answered where it cannot be recorded.
    let reply = replica.ask_through("feature").await;
    let why = reply.is_refused();
    assert_eq!(
        why,
        "the ledger cannot be used: the file is damaged or no ledger (database disk image is malformed); restore a \
         backup, or move it away: then the ledger is new"
    );
}

#[tokio::test]
async fn a_file_that_another_process_uses() {
    let stage = Stage::new().await;
    let first = stage.on_file();
    let digest = answered(&stage, &first).await;
    let second = stage.on_file();
    let lock = stage.folder.path().join("ledger.db.lock");
    assert_eq!(
        second.ask_through("feature").await.is_refused(),
        format!(
            "the ledger cannot be used: another lastgreen uses it (`{}` is locked); several replicas need PostgreSQL",
            lock.display()
        )
    );
    first.crash().await;
    stage.pass(1, &[&second]);
    second.ask("feature").await.is(&digest, "fresh");
}

#[tokio::test]
async fn a_file_that_another_program_writes_to() {
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    let replica = stage.on_file();
    let old = answered(&stage, &replica).await;
    let mut outsider = outsider(&stage).await;
    outsider.execute("BEGIN IMMEDIATE").await.unwrap();

    let new = stage.pushed("feature", "a2");
    stage.pull(2, "other", "b1");
    let other = stage.built("b1");
    stage.pass(301, &[&replica]);
    let reply = replica.ask("feature").await;
    reply.is(&old, "held");
    assert_eq!(reply.reason(), "the ledger cannot be used: the file is locked by another program");
    let why = "the ledger cannot be used: the file is locked by another program";
    assert_eq!(replica.ask_through("other").await.is_refused(), why);
    // What was recorded, and is still so, needs no ledger; and `hold: never` ends nothing that cannot be recorded.
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&old, "held");

    outsider.execute("ROLLBACK").await.unwrap();
    stage.sim.world(|world| world.green(REPO, "a2"));
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&new, "fresh");
    replica.ask("other").await.is(&other, "fresh");
}

#[tokio::test]
async fn a_schema_that_a_newer_program_made() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    replica.stop().await;
    edit(&stage, "UPDATE lastgreen_ledger SET schema_version = 9, readable_from = 8").await;
    let replica = stage.on_file();
    assert_eq!(
        replica.ask_through("feature").await.is_refused(),
        "the ledger cannot be used: a newer lastgreen has changed it (its schema is 9 and needs a program that knows \
         8); run that version, or a backup from before with this one"
    );
    // One that this program can use all the same is used, and left as it is.
    edit(&stage, "UPDATE lastgreen_ledger SET schema_version = 9, readable_from = 1").await;
    stage.pass(1, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
    let (schema,): (i64,) = sqlx::query_as("SELECT schema_version FROM lastgreen_ledger")
        .fetch_one(&mut outsider(&stage).await)
        .await
        .unwrap();
    assert_eq!(schema, 9);
}

#[tokio::test]
async fn a_file_that_is_deleted_is_written_anew() {
    let mut stage = Stage::new().await;
    stage.tag = "{merge_sha}";
    let logs = Logs::begin();
    let mut replica = stage.on_file();
    stage.pull(1, "feature", "a1");
    let merge = stage.sim.world(|world| {
        let merge = world.github.repository(REPO).unwrap().pull(1).unwrap().test_merge.clone().unwrap();
        world.green(REPO, "a1");
        world.advance(60);
        merge.to_string()
    });
    let digest = stage.sim.world(|world| world.push_image("myorg/front", &merge, &lastgreen_sim::ImageSpec::default()));
    replica.ask("feature").await.is(&digest, "fresh");
    stage.pull(2, "nothing", "b1");
    replica.ask("nothing").await.is_nothing("not-yet");
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"] {
        fs::remove_file(stage.folder.path().join(file)).unwrap();
    }
    replica.keep();
    until("the loss is noticed", || !logs.with("what this process knows is written into it").is_empty()).await;
    replica.ledger.flush(replica.soon()).await.unwrap();
    replica.crash().await;

    let replica = stage.on_file();
    github_is_down(&stage);
    replica.ask("feature").await.is(&digest, "held");
    assert_eq!(replica.known(2).await, Ok(Known::Nothing));
    stage.sim.clear_faults();
    // The test merge that the build was made of is known, too: GitHub shows another one by now.
    stage.sim.world(|world| world.push(REPO, "main", "m2", &[]));
    stage.sim.world(|world| world.refresh_test_merge(REPO, 1));
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
}

#[tokio::test]
async fn what_cannot_be_written_anew_at_once_is_known_all_the_same() {
    let mut stage = Stage::new().await;
    stage.generator = "    hold: never";
    let logs = Logs::begin();
    let mut replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    github_is_down(&stage);
    // Another ledger, into which nothing can be written.
    let other = stage.folder.path().join("other.db");
    let filler = stage.on(&format!("url: \"sqlite://{}\"", other.display()));
    filler.refresh().await.unwrap();
    filler.stop().await;
    put(&stage, &other);
    let mut outsider = outsider(&stage).await;
    outsider.execute("BEGIN IMMEDIATE").await.unwrap();
    stage.pass(301, &[&replica]);
    replica.keep();
    until("the lock is noticed", || !logs.with("locked by another program").is_empty()).await;
    replica.ask("feature").await.is(&digest, "held");
    assert!(replica.ledger.flush(replica.soon()).await.is_err());
    replica.ask("feature").await.is(&digest, "held");
    outsider.execute("ROLLBACK").await.unwrap();
    replica.clock.advance(Duration::from_secs(1));
    replica.ledger.flush(replica.soon()).await.unwrap();
    replica.crash().await;
    stage.on_file().ask("feature").await.is(&digest, "held");
}

#[tokio::test]
async fn an_older_copy_of_the_file_takes_nothing_back() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    replica.stop().await;
    let backup = stage.folder.path().join("backup.db");
    copy(&stage.file(), &backup);

    let replica = stage.on_file();
    let new = stage.pushed("feature", "a2");
    replica.ask("feature").await.is(&new, "fresh");
    put(&stage, &backup);
    // It is noticed before anything is written into it, however much that is.
    for number in 2..8 {
        let (branch, commit) = (format!("more-{number}"), format!("b{number}"));
        stage.pull(number, &branch, &commit);
        let digest = stage.built(&commit);
        replica.ask(&branch).await.is(&digest, "fresh");
    }
    github_is_down(&stage);
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&new, "held");
    replica.crash().await;
    stage.on_file().ask("feature").await.is(&new, "held");
}

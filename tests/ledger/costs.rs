//! An answer that changes nothing costs nothing.

use std::fs;

use crate::{files::answered, postgres::Postgres, stage::Stage};

#[tokio::test]
async fn a_warm_answer_does_not_touch_the_file() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    // Whoever reads or writes makes the file anew.
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(stage.folder.path().join(file)).unwrap();
    }
    for _ in 0..5 {
        replica.ask("feature").await.is(&digest, "fresh");
        stage.pass(301, &[&replica]);
    }
    assert!(!stage.file().exists());
}

#[tokio::test]
async fn the_first_answer_after_a_restart_writes_nothing() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    replica.stop().await;
    let before = fs::read(stage.file()).unwrap();
    let replica = stage.on_file();
    replica.ask("feature").await.is(&digest, "fresh");
    assert_eq!(fs::read(stage.file()).unwrap(), before);
    let written_ahead = fs::metadata(stage.folder.path().join("ledger.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(written_ahead, 0);
}

#[tokio::test]
async fn what_was_written_in_a_batch_is_not_written_again() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    replica.ledger.flush(replica.soon()).await.unwrap();
    let log = stage.folder.path().join("ledger.db-wal");
    let written = fs::read(&log).unwrap();
    for _ in 0..3 {
        replica.ledger.flush(replica.soon()).await.unwrap();
    }
    assert_eq!(fs::read(&log).unwrap(), written);
}

/// The statements that a database has seen since the last look, those that every connection begins with aside.
async fn statements(server: &Postgres, database: &str) -> Vec<String> {
    let log = server.log().await;
    let ours = log.iter().filter(|line| line.contains(&format!("[{database}]")));
    let statements = ours.filter(|line| line.contains("LOG:  execute") || line.contains("LOG:  statement"));
    statements.cloned().collect()
}

#[tokio::test]
async fn a_warm_answer_does_not_ask_the_database() {
    let Some(server) = Postgres::start_new() else { return };
    let stage = Stage::new().await;
    let url = server.create_database("warm").await;
    server.execute("warm", "ALTER DATABASE warm SET log_statement = 'all'").await;
    let replica = stage.on_database(&url);
    let digest = answered(&stage, &replica).await;
    assert!(!statements(&server, "warm").await.is_empty());
    for _ in 0..5 {
        replica.ask("feature").await.is(&digest, "fresh");
    }
    assert_eq!(statements(&server, "warm").await, [""; 0]);
    // Where nothing tells of news, it is read once a second; nothing is written for that.
    replica.clock.advance(std::time::Duration::from_secs(1));
    replica.ask("feature").await.is(&digest, "fresh");
    let read = statements(&server, "warm").await;
    assert!(read.len() == 1 && read[0].contains("SELECT id, change FROM lastgreen_ledger"), "{read:#?}");

    let restarted = stage.on_database(&url);
    restarted.ask("feature").await.is(&digest, "fresh");
    let read = statements(&server, "warm").await;
    assert!(!read.is_empty());
    assert!(
        !read.iter().any(|line| ["INSERT", "UPDATE", "DELETE", "CREATE"].iter().any(|word| line.contains(word))),
        "{read:#?}"
    );
}

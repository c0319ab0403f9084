//! What was answered outlives an outage, a restart and a full disk; and what was never answered is refused.

use std::time::Duration;

use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn an_outage_loses_no_tenant_and_a_restart_in_it_neither() {
    for stage in Stage::both("outage").await {
        let process = stage.process();
        process.all().await.has(2, "fresh");
        process.ask(json!({"status": "gone"})).await.has(0, "fresh");
        stage.away(&process, true);
        let reply = process.all().await;
        reply.has(2, "held");
        assert!(reply.reason().starts_with("`sql` cannot say: the database cannot be used: "), "{}", reply.reason());
        // An empty list that is held is one that was answered.
        process.ask(json!({"status": "gone"})).await.has(0, "held");
        // What is not used makes no difference.
        process.ask(json!({"other": "x"})).await.has(2, "held");
        // Other inputs were never answered.
        let never = process.ask_through(json!({"status": "active"})).await;
        assert!(never.is_refused(503).starts_with("no answer yet: `sql` cannot say: "));
        assert_eq!(never.standing(), "unknown");
        let url = std::fs::read_to_string(stage.folder.path().join("url")).unwrap();
        let process = stage.restarted(process).await;
        std::fs::write(stage.folder.path().join("url"), url).unwrap();
        process.all().await.has(2, "held");
        assert!(process.ask_through(json!({"status": "active"})).await.is_refused(503).contains("cannot say"));
        stage.away(&process, false);
        process.all().await.has(2, "fresh");
        process.ask(json!({"status": "active"})).await.has(1, "fresh");
    }
}

#[tokio::test]
async fn a_database_that_comes_back_in_time_is_answered() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    std::fs::rename(stage.file(), stage.folder.path().join("away.db")).unwrap();
    let asked = tokio::spawn(crate::stage::send(process.router.clone(), crate::stage::question(&json!({}))));
    // It is tried again every half a second.
    let away = process.clock.sleeping_within(Duration::from_millis(500)).await;
    std::fs::rename(stage.folder.path().join("away.db"), stage.file()).unwrap();
    process.pass(away);
    asked.await.unwrap().has(2, "fresh");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let Some(mut stage) = Stage::postgres("unrecorded").await else { return };
    let server = crate::postgres::Postgres::shared().unwrap();
    stage.ledger = Some(server.create_database("unrecorded_ledger").await);
    let process = stage.process();
    process.all().await.has(2, "fresh");
    server.execute("unrecorded_ledger", "ALTER TABLE lastgreen_lists RENAME TO away").await;
    process.pass(Duration::from_secs(2));
    // What is known is answered all the same, as long as it is still so.
    stage.execute("INSERT INTO organization VALUES ('Delta Technologies', 'active')").await;
    let reply = process.ask_through(json!({})).await;
    reply.has(2, "held");
    assert!(reply.reason().starts_with("the ledger cannot be used: "), "{}", reply.reason());
    assert!(
        process.ask_through(json!({"status": "trial"})).await.is_refused(503).contains("the ledger cannot be used")
    );
    server.execute("unrecorded_ledger", "ALTER TABLE away RENAME TO lastgreen_lists").await;
    process.pass(Duration::from_secs(2));
    process.all().await.has(3, "fresh");
}

#[tokio::test]
async fn an_answer_that_is_still_so_costs_no_write() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    process.all().await.has(2, "fresh");
    let before = std::fs::metadata(stage.folder.path().join("ledger.db-wal")).unwrap().len();
    for _ in 0..10 {
        process.all().await.has(2, "fresh");
    }
    assert_eq!(std::fs::metadata(stage.folder.path().join("ledger.db-wal")).unwrap().len(), before);
    stage.execute("DELETE FROM organization WHERE status = 'trial'").await;
    process.all().await.has(1, "fresh");
    assert!(std::fs::metadata(stage.folder.path().join("ledger.db-wal")).unwrap().len() > before);
}

#[tokio::test]
async fn a_damaged_record_is_no_answer_and_is_overwritten() {
    let Some(mut stage) = Stage::postgres("damaged").await else { return };
    let server = crate::postgres::Postgres::shared().unwrap();
    stage.ledger = Some(server.create_database("damaged_ledger").await);
    let process = stage.process();
    process.all().await.has(2, "fresh");
    server.execute("damaged_ledger", "UPDATE lastgreen_lists SET record = replace(record, 'Acme', 'Evil')").await;
    let process = stage.restarted(process).await;
    stage.away(&process, true);
    let refused = process.ask_through(json!({})).await;
    assert!(refused.is_refused(503).contains("its record cannot be read: its seal is broken"), "{refused:?}");
    stage.away(&process, false);
    process.all().await.has(2, "fresh");
    stage.away(&process, true);
    process.all().await.has(2, "held");
}

#[tokio::test]
async fn whoever_asks_ever_new_questions_fills_nothing() {
    let mut stage = Stage::sqlite().await;
    stage.part = "connections: 4".to_owned();
    let process = stage.process();
    process.ask(json!({"status": "active"})).await.has(1, "fresh");
    for number in 0..1100 {
        process.ask(json!({ "status": number })).await.has(0, "fresh");
    }
    let reply = process.ask(json!({"status": "one more"})).await;
    reply.has(0, "fresh");
    assert_eq!(reply.reason(), "not recorded: too many different inputs were asked for");
    stage.away(&process, true);
    process.ask(json!({"status": "active"})).await.has(1, "held");
    assert!(process.ask_through(json!({"status": "one more"})).await.is_refused(503).contains("cannot say"));
    // What nobody asks for is forgotten; what somebody does is not.
    process.pass(Duration::from_hours(24 * 20));
    process.ask(json!({"status": "active"})).await.has(1, "held");
    process.pass(Duration::from_hours(24 * 11));
    let generator = process.app.plain.values().next().unwrap();
    for _ in 0..30 {
        generator.forget(Duration::from_hours(24 * 30)).await;
    }
    process.ask(json!({"status": "active"})).await.has(1, "held");
    assert!(process.ask_through(json!({"status": "7"})).await.is_refused(503).contains("cannot say"));
    stage.away(&process, false);
    let reply = process.ask(json!({"status": "one more"})).await;
    reply.has(0, "fresh");
    assert_eq!(reply.reason(), "");
}

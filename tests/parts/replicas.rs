//! Several replicas on one ledger.

use std::time::Duration;

use serde_json::json;

use crate::{postgres::Postgres, stage::Stage};

async fn stage(name: &str) -> Option<Stage> {
    let mut stage = Stage::postgres(name).await?;
    stage.ledger = Some(Postgres::shared()?.create_database(&format!("{name}_ledger")).await);
    Some(stage)
}

#[tokio::test]
async fn what_one_has_answered_another_one_holds() {
    let Some(stage) = stage("two").await else { return };
    let (one, other) = (stage.process(), stage.process());
    one.all().await.has(2, "fresh");
    stage.away(&one, true);
    other.pass(Duration::from_secs(1));
    other.all().await.has(2, "held");
    stage.away(&one, false);
    other.pass(Duration::from_secs(1));
    stage.execute("DELETE FROM organization WHERE status = 'trial'").await;
    other.all().await.has(1, "fresh");
    stage.away(&other, true);
    one.pass(Duration::from_secs(1));
    one.all().await.has(1, "held");
}

#[tokio::test]
async fn whoever_is_slower_does_not_bring_back_what_was() {
    let Some(mut stage) = stage("slower").await else { return };
    let quick = stage.process();
    // A query that sees what was so when it began, and then waits for a lock.
    stage.query = "SELECT tenant, status FROM organization, (SELECT pg_advisory_lock_shared(7)) AS l".to_owned();
    let slow = stage.process();
    quick.ask(json!({})).await.has(2, "fresh");
    let server = Postgres::shared().unwrap();
    let mut lock = server.connect("slower").await;
    sqlx::query("SELECT pg_advisory_lock(7)").execute(&mut lock).await.unwrap();
    let asked = tokio::spawn(crate::stage::send(slow.router.clone(), crate::stage::question(&json!({}))));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'slower' AND wait_event = 'advisory'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut lock).await.unwrap() == 0 {}
    stage.execute("DELETE FROM organization WHERE status = 'trial'").await;
    quick.pass(Duration::from_secs(1));
    quick.all().await.has(1, "fresh");
    slow.pass(Duration::from_secs(1));
    sqlx::query("SELECT pg_advisory_unlock(7)").execute(&mut lock).await.unwrap();
    let late = asked.await.unwrap();
    late.has(1, "held");
    assert_eq!(late.reason(), "a newer answer of `sql` was recorded meanwhile");
    quick.pass(Duration::from_secs(1));
    stage.away(&quick, true);
    quick.all().await.has(1, "held");
}

#[tokio::test]
async fn a_guard_is_one_for_all_replicas() {
    let Some(stage) = stage("guards").await else { return };
    let (one, other) = (stage.process(), stage.process());
    stage.tenants(10).await;
    one.all().await.has(10, "fresh");
    stage.tenants(5).await;
    other.pass(Duration::from_secs(1));
    other.all().await.has(10, "held");
    one.pass(Duration::from_secs(1));
    assert_eq!(one.held_back().await.len(), 1);
    one.all().await.has(10, "held");
    one.release().await.unwrap();
    other.pass(Duration::from_secs(1));
    other.all().await.has(5, "fresh");
    one.pass(Duration::from_secs(1));
    one.all().await.has(5, "fresh");
}

//! The guard: many items that vanish at once stay, until somebody has looked.

use std::time::Duration;

use serde_json::json;

use crate::stage::{Process, Stage};

const WINDOW: Duration = Duration::from_mins(10);

async fn all_are(process: &Process, count: usize, standing: &str) {
    process.all().await.has(count, standing);
}

#[tokio::test]
async fn what_vanishes_at_once_is_held_until_it_is_released() {
    for stage in Stage::both("guarded").await {
        let process = stage.process();
        stage.tenants(10).await;
        all_are(&process, 10, "fresh").await;
        stage.tenants(7).await;
        let reply = process.all().await;
        reply.has(10, "held");
        assert_eq!(
            reply.reason(),
            "the guard holds back that 3 of 10 items vanish; `lastgreen guard release tenants` lets them go"
        );
        // Waiting is no confirmation, and neither is a restart.
        process.pass(WINDOW * 3);
        all_are(&process, 10, "held").await;
        let process = stage.restarted(process).await;
        all_are(&process, 10, "held").await;
        let held = process.held_back().await;
        assert_eq!((held.len(), held[0].vanish, held[0].of, held[0].released), (1, 3, 10, false));
        assert_eq!(held[0].about, "inputs {}");
        assert_eq!(process.release().await.unwrap().len(), 1);
        all_are(&process, 7, "fresh").await;
        assert_eq!(process.held_back().await, []);
        assert!(process.release().await.unwrap_err().starts_with("the guard of `tenants` holds nothing back"));
        // An outage on top of it shows what was let through.
        stage.away(&process, true);
        all_are(&process, 7, "held").await;
    }
}

#[tokio::test]
async fn what_is_released_is_what_was_seen_and_no_more() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    stage.tenants(10).await;
    all_are(&process, 10, "fresh").await;
    stage.tenants(6).await;
    all_are(&process, 10, "held").await;
    process.release().await.unwrap();
    // Meanwhile all of it is gone.
    stage.tenants(0).await;
    all_are(&process, 10, "held").await;
    let held = process.held_back().await;
    assert_eq!((held[0].vanish, held[0].released), (10, false));
    // What was released still is.
    stage.tenants(6).await;
    all_are(&process, 6, "fresh").await;
}

#[tokio::test]
async fn small_steps_add_up_within_the_window() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    for (count, passed, answered, standing) in
        [(10, 0, 10, "fresh"), (9, 0, 9, "fresh"), (8, 5, 8, "fresh"), (7, 4, 8, "held"), (10, 0, 10, "fresh")]
    {
        stage.tenants(count).await;
        process.pass(Duration::from_secs(60 * passed));
        all_are(&process, answered, standing).await;
    }
    assert_eq!(process.held_back().await, [], "it is good again by itself");
    for count in [8, 7, 6, 5] {
        process.pass(WINDOW);
        stage.tenants(count).await;
        all_are(&process, count, "fresh").await;
    }
}

#[tokio::test]
async fn changed_values_and_few_items_are_not_looked_at() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    stage.tenants(10).await;
    all_are(&process, 10, "fresh").await;
    stage.execute("UPDATE organization SET status = 'trial'").await;
    let reply = process.all().await;
    reply.has(10, "fresh");
    assert_eq!(reply.items()[0]["status"], "trial");
    // Others in their place are others.
    stage.execute("UPDATE organization SET tenant = 'x' || tenant").await;
    all_are(&process, 10, "held").await;
    process.release().await.unwrap();
    all_are(&process, 10, "fresh").await;
    // By inputs: the few of another question are not those of this one.
    stage.execute("UPDATE organization SET status = 'active' WHERE tenant < 'x004'").await;
    process.ask(json!({"status": "active"})).await.has(4, "fresh");
    stage.execute("UPDATE organization SET status = 'trial'").await;
    process.ask(json!({"status": "active"})).await.has(0, "fresh");
}

#[tokio::test]
async fn a_guard_can_be_off_or_another_one() {
    let mut stage = Stage::sqlite().await;
    stage.generator = "guard: off".to_owned();
    let process = stage.process();
    stage.tenants(10).await;
    all_are(&process, 10, "fresh").await;
    stage.tenants(0).await;
    all_are(&process, 0, "fresh").await;
    process.end().await;
    stage.generator = "guard: { maxDrop: 50%, minItems: 2, window: 1m }".to_owned();
    let process = stage.process();
    for (count, answered, standing) in [(4, 4, "fresh"), (2, 2, "fresh"), (1, 2, "held"), (2, 2, "fresh")] {
        stage.tenants(count).await;
        all_are(&process, answered, standing).await;
    }
    process.pass(Duration::from_mins(1));
    stage.tenants(1).await;
    all_are(&process, 1, "fresh").await;
}

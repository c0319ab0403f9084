//! A record that cannot be read.

use lastgreen_sim::{Fault, Target, What, sha};

use crate::{
    files::{answered, edit},
    logs::Logs,
    stage::{REPO, Stage},
};

#[tokio::test]
async fn a_record_that_cannot_be_read_concerns_its_line_alone() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    let digest = answered(&stage, &replica).await;
    stage.pull(2, "other", "b1");
    let other = stage.built("b1");
    replica.ask("other").await.is(&other, "fresh");
    replica.stop().await;
    edit(&stage, "UPDATE lastgreen_lines SET record = replace(record, 'sha256:', 'sha512:') WHERE line = '#1'").await;

    let logs = Logs::begin();
    let replica = stage.on_file();
    stage.sim.world(|world| world.pending(REPO, "a1"));
    let why = "the ledger cannot be used: the record of #1 cannot be read: its seal is broken: it was damaged, or \
               changed by hand";
    assert_eq!(replica.ask_through("feature").await.is_refused(), why);
    replica.ask("other").await.is(&other, "fresh");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301, &[&replica]);
    assert_eq!(replica.ask_through("feature").await.is_refused(), why);
    replica.ask("other").await.is(&other, "held");
    assert_eq!(logs.with("a record of the ledger cannot be read").len(), 1, "{}", logs.all());
    assert!(logs.with("a record of the ledger cannot be read")[0].contains("line=#1"));

    // The next build overwrites it.
    stage.sim.clear_faults();
    stage.sim.world(|world| world.clear_checks(REPO, "a1"));
    stage.sim.world(|world| world.green(REPO, "a1"));
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is(&digest, "fresh");
    replica.crash().await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.on_file().ask("feature").await.is(&digest, "held");
}

#[tokio::test]
async fn a_record_may_be_forgotten_by_hand() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    replica.stop().await;
    edit(&stage, "UPDATE lastgreen_lines SET seal = ''").await;
    let replica = stage.on_file();
    stage.sim.world(|world| world.red(REPO, "a1"));
    replica.ask_through("feature").await.is_refused();
    let key = replica.key(1);
    assert!(replica.ledger.forget(&key, replica.soon()).await.unwrap());
    assert!(!replica.ledger.forget(&key, replica.soon()).await.unwrap());
    stage.pass(301, &[&replica]);
    replica.ask("feature").await.is_nothing("not-yet");
}

#[tokio::test]
async fn a_record_in_the_place_of_another_is_found_out() {
    let stage = Stage::new().await;
    let replica = stage.on_file();
    answered(&stage, &replica).await;
    stage.pull(2, "other", "b1");
    let other = stage.built("b1");
    replica.ask("other").await.is(&other, "fresh");
    replica.stop().await;
    edit(
        &stage,
        "UPDATE lastgreen_lines SET (record, seal) = (SELECT record, seal FROM lastgreen_lines WHERE line = '#2')
         WHERE line = '#1'",
    )
    .await;
    let replica = stage.on_file();
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let reply = replica.ask_through("feature").await;
    assert!(!reply.body.to_string().contains(&sha("b1")) && reply.is_refused().contains("its seal is broken"));
    replica.ask("other").await.is(&other, "held");
}

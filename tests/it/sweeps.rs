//! Lines that are looked at before they are asked for: the first question's sweep, the hot set, and what they cost.

use lastgreen_sim::{Fault, Target, What, sha};
use serde_json::{Value, json};

use crate::stage::{Digests, REPO, Reply, Setup, Stage};

/// So many pull requests, each with a green head and its images, the last one opened last.
async fn with_pulls(count: u64, setup: Setup) -> (Stage, Vec<Digests>) {
    let stage = Stage::new(Setup { ahead: true, ..setup }).await;
    let mut digests = Vec::new();
    for number in 1..=count {
        stage.pull(number, &branch(number), &commit(number));
        digests.push(stage.images(&commit(number)));
        stage.sim.world(|world| world.green(REPO, commit(number)));
    }
    stage.pass(60);
    (stage, digests)
}

fn commit(number: u64) -> String {
    format!("c{number:03x}")
}

fn branch(number: u64) -> String {
    format!("feature-{number}")
}

/// As Argo CD asks with all that its pull request generator knows.
fn whole(number: u64) -> Value {
    json!({ "branch": branch(number), "number": number.to_string(), "head_sha": sha(&commit(number)) })
}

fn by_number(number: u64) -> Value {
    json!({ "branch": branch(number), "number": number.to_string() })
}

/// Asks for every pull request, newest first, one after the other.
async fn sweep(stage: &Stage, count: u64, form: impl Fn(u64) -> Value) -> Vec<Reply> {
    let mut replies = Vec::new();
    for number in (1..=count).rev() {
        replies.push(stage.ask_with(form(number)).await);
    }
    stage.settled().await;
    replies.reverse();
    replies
}

fn are(replies: &[Reply], digests: &[Digests]) {
    assert_eq!(replies.len(), digests.len());
    for (reply, digests) in replies.iter().zip(digests) {
        reply.is(digests, "fresh");
    }
}

/// Lets time pass in small steps while everything is kept fresh.
async fn passing(stage: &Stage, seconds: u32) {
    for _ in 0..seconds {
        stage.pass(1);
        stage.settled().await;
    }
}

#[tokio::test]
async fn a_cold_sweep_costs_pages_and_batches() {
    let (stage, digests) = with_pulls(120, Setup::default()).await;
    stage.asked();
    are(&sweep(&stage, 120, whole).await, &digests);
    let asked = stage.asked();
    // Two pages, the first question, and the others some at a time.
    assert!(asked.graphql <= 20, "{asked:?}");
    assert_eq!((asked.rest, asked.registry_head), (0, 240));
    // Warm, it costs nothing.
    are(&sweep(&stage, 120, whole).await, &digests);
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 0));
}

#[tokio::test]
async fn bare_names_are_found_in_the_listing_too() {
    let (stage, digests) = with_pulls(60, Setup::default()).await;
    let name = |number| json!({ "branch": branch(number) });
    are(&sweep(&stage, 1, |_| name(60)).await, &digests[59..]);
    stage.asked();
    are(&sweep(&stage, 60, name).await, &digests);
    let asked = stage.asked();
    assert!(asked.graphql <= 10, "{asked:?}");
}

#[tokio::test]
async fn whoever_asks_for_what_is_on_its_way_waits_for_that() {
    let (stage, digests) = with_pulls(3, Setup::default()).await;
    stage.asked();
    stage.sim.hold(Target::GraphQl);
    let answers: Vec<_> = (1..=3).rev().map(|number| stage.asking(whole(number))).collect();
    // The question of the first, and the page; the others wait for that.
    stage.sim.wait_for(|counts| counts.graphql == 2).await;
    stage.sim.release(Target::GraphQl);
    for (answer, digests) in answers.into_iter().rev().zip(&digests) {
        answer.await.unwrap().is(digests, "fresh");
    }
    stage.settled().await;
    let asked = stage.asked();
    assert!(asked.graphql <= 5, "{asked:?}");
    assert_eq!(asked.registry_head, 6);
}

#[tokio::test]
async fn an_hour_of_polls_costs_a_page_every_few_minutes() {
    let (stage, digests) = with_pulls(40, Setup::default()).await;
    let keeping = stage.keep_fresh();
    are(&sweep(&stage, 40, whole).await, &digests);
    stage.asked();
    for _ in 0..120 {
        passing(&stage, 30).await;
        are(&sweep(&stage, 40, whole).await, &digests);
    }
    let asked = stage.asked();
    // A page before every fifth minute is over, and all checks anew every half an hour.
    assert!(asked.graphql <= 13 + 2 * 2 + 2, "{asked:?}");
    assert_eq!((asked.rest, asked.registry()), (0, 0));
    keeping.abort();
}

#[tokio::test]
async fn what_happens_is_seen_in_time_however_it_is_read() {
    let (stage, mut digests) = with_pulls(12, Setup::default()).await;
    let keeping = stage.keep_fresh();
    are(&sweep(&stage, 12, by_number).await, &digests);
    // One job is run again, and fails; one branch is pushed to, and CI takes its time.
    stage.sim.world(|world| world.red(REPO, commit(3)));
    stage.push(&branch(5), "next");
    for _ in 0..10 {
        passing(&stage, 30).await;
        sweep(&stage, 12, by_number).await;
    }
    let red = stage.ask_with(by_number(3)).await;
    red.is(&digests[2], "held");
    stage.ask_with(by_number(5)).await.is(&digests[4], "fresh");
    digests[4] = stage.images("next");
    stage.sim.world(|world| world.green(REPO, "next"));
    passing(&stage, 35).await;
    sweep(&stage, 12, by_number).await;
    passing(&stage, 30).await;
    stage.ask_with(by_number(5)).await.is(&digests[4], "fresh");
    keeping.abort();
}

#[tokio::test]
async fn a_page_that_cannot_be_had_costs_nobody_an_answer() {
    let (stage, digests) = with_pulls(5, Setup::default()).await;
    let page = Target::GraphQlWith("query Pulls".to_owned());
    stage.sim.fail(Fault::always(page, What::Status(502, String::new())));
    are(&sweep(&stage, 5, whole).await, &digests);
}

#[tokio::test]
async fn a_pull_request_that_cannot_be_read_with_others_is_read_alone() {
    let (stage, digests) = with_pulls(30, Setup::default()).await;
    let together = Target::GraphQlWith("query Together".to_owned());
    stage.sim.fail(Fault::always(together, What::Status(502, String::new())));
    are(&sweep(&stage, 30, whole).await, &digests);
}

#[tokio::test]
async fn the_ledger_knows_what_was_found_ahead() {
    let (stage, digests) = with_pulls(20, Setup::default()).await;
    stage.ask_with(whole(20)).await;
    stage.settled().await;
    let stage = stage.restarted(&Setup::default());
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(503, String::new())));
    // It was likely to be asked next.
    stage.ask_with(whole(19)).await.is(&digests[18], "held");
}

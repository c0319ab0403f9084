//! An upstream that is down costs nobody more than it must: one time-out is one, not one for each question.

use std::time::Duration;

use lastgreen::clock::{Clock as _, Moment};
use lastgreen_sim::{Fault, Target, What, sha};
use serde_json::json;

use crate::stage::{Digests, REPO, Setup, Stage};

/// How many pull requests there are; what is asked in vain does not grow with it.
const MANY: u64 = 60;

fn branch(number: u64) -> String {
    format!("feature-{number}")
}

/// A commit of a pull request.
fn commit(number: u64, nth: u64) -> String {
    format!("c{number}-{nth}")
}

/// Pull requests 1 to `count`, all of them green and answered once.
async fn answered(count: u64) -> (Stage, Vec<Digests>) {
    let stage = Stage::new(Setup::default()).await;
    let mut builds = Vec::new();
    for number in 1..=count {
        stage.pull(number, &branch(number), &commit(number, 1));
        builds.push(stage.images(&commit(number, 1)));
        stage.sim.world(|world| world.green(REPO, commit(number, 1)));
    }
    stage.pass(60);
    for (number, build) in (1..).zip(&builds) {
        stage.ask_number(&branch(number), number).await.is(build, "fresh");
    }
    stage.asked();
    (stage, builds)
}

/// All of these have a new green build.
fn pushed(stage: &Stage, count: u64) -> Vec<Digests> {
    let mut builds = Vec::new();
    for number in 1..=count {
        stage.push(&branch(number), &commit(number, 2));
        builds.push(stage.images(&commit(number, 2)));
        stage.sim.world(|world| world.green(REPO, commit(number, 2)));
    }
    builds
}

/// Whether the clock was moved since then, or just looked at.
fn stood_still(stage: &Stage, since: Moment) -> bool {
    stage.clock.now().since(since) < Duration::from_millis(100)
}

/// The first question meets an upstream that hangs, and is answered when its answer is due.
async fn is_answered_in_time(stage: &Stage, hanging: usize, build: &Digests) {
    let first = stage.asking(json!({"branch": branch(1), "number": "1"}));
    stage.sim.wait_hanging(hanging).await;
    stage.clock.advance(Duration::from_secs(10));
    first.await.unwrap().is(build, "held");
}

/// The others are answered at once.
async fn are_answered_at_once(stage: &Stage, builds: &[Digests]) {
    let before = stage.clock.now();
    for (number, build) in (2..).zip(&builds[1..]) {
        stage.ask_number(&branch(number), number).await.is(build, "held");
    }
    assert!(stood_still(stage, before));
}

#[tokio::test]
async fn while_github_hangs_many_questions_are_one_time_out() {
    let (stage, builds) = answered(MANY).await;
    stage.pass(301);
    stage.sim.fail(Fault::always(Target::GitHub, What::Hang));
    is_answered_in_time(&stage, 1, &builds[0]).await;
    are_answered_at_once(&stage, &builds).await;
    assert_eq!(stage.asked().github(), 1);
    // The first probe has three seconds, and again nobody waits with it.
    stage.pass(2);
    stage.sim.wait_hanging(0).await;
    let probe = stage.asking(json!({"branch": branch(7), "number": "7"}));
    stage.sim.wait_hanging(1).await;
    stage.clock.advance(Duration::from_secs(1));
    are_answered_at_once(&stage, &builds[..6]).await;
    stage.clock.advance(Duration::from_secs(2));
    probe.await.unwrap().is(&builds[6], "held");
    assert_eq!(stage.asked().github(), 1);
    // It is back: the next question finds out, for all.
    stage.sim.clear_faults();
    stage.pass(2);
    for number in [8, 9, 1, 7] {
        let build = &builds[usize::try_from(number - 1).unwrap()];
        stage.ask_number(&branch(number), number).await.is(build, "fresh");
    }
}

#[tokio::test]
async fn while_the_registry_hangs_many_questions_are_one_time_out() {
    let (stage, builds) = answered(MANY).await;
    let next = pushed(&stage, MANY);
    stage.pass(301);
    stage.sim.fail(Fault::always(Target::Registry, What::Hang));
    is_answered_in_time(&stage, 2, &builds[0]).await;
    are_answered_at_once(&stage, &builds).await;
    assert_eq!(stage.asked().registry(), 2);
    stage.pass(2);
    stage.sim.wait_hanging(0).await;
    stage.sim.clear_faults();
    stage.pass(1);
    stage.ask_number(&branch(5), 5).await.is(&next[4], "fresh");
    stage.ask_number(&branch(1), 1).await.is(&next[0], "fresh");
}

#[tokio::test]
async fn a_registry_that_is_down_is_not_asked_for_each_question() {
    for trouble in [What::Status(502, String::new()), What::ConnectionReset] {
        let (stage, builds) = answered(20).await;
        let next = pushed(&stage, 20);
        stage.pass(301);
        stage.sim.fail(Fault::always(Target::Registry, trouble.clone()));
        let mut reasons = Vec::new();
        for (number, build) in (1..).zip(&builds) {
            let reply = stage.ask_number(&branch(number), number).await;
            reply.is(build, "held");
            reasons
                .push(reply.reason().replace(&sha(&commit(number, 2)), "").replace(&sha(&commit(number, 2))[..7], ""));
        }
        // Whether it was asked or not, the reason is the same.
        reasons.dedup();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        // Two images, and a connection that breaks is tried once more.
        assert!(stage.asked().registry() <= 4, "{trouble:?}");
        stage.sim.clear_faults();
        stage.pass(15);
        for (number, build) in (1..).zip(&next) {
            stage.ask_number(&branch(number), number).await.is(build, "fresh");
        }
    }
}

#[tokio::test]
async fn a_github_that_is_down_is_not_asked_for_each_question() {
    for trouble in [What::Status(503, String::new()), What::ConnectionReset] {
        let (stage, builds) = answered(20).await;
        stage.pass(301);
        stage.sim.fail(Fault::always(Target::GitHub, trouble));
        for (number, build) in (1..).zip(&builds) {
            stage.ask_number(&branch(number), number).await.is(build, "held");
        }
        assert!(stage.asked().github() <= 4);
        stage.sim.clear_faults();
        stage.pass(1);
        for (number, build) in (1..).zip(&builds) {
            stage.ask_number(&branch(number), number).await.is(build, "fresh");
        }
    }
}

#[tokio::test]
async fn a_blip_is_nobody_elses_problem() {
    let (stage, builds) = answered(10).await;
    let next = pushed(&stage, 10);
    stage.pass(301);
    stage.sim.fail(Fault::once(Target::GitHub, What::Status(502, String::new())));
    stage.ask_number(&branch(1), 1).await.is(&builds[0], "held");
    stage.sim.fail(Fault::once(Target::Registry, What::Status(502, String::new())));
    stage.ask_number(&branch(2), 2).await.is(&builds[1], "held");
    for (number, build) in (3..).zip(&next[2..]) {
        stage.ask_number(&branch(number), number).await.is(build, "fresh");
    }
    stage.pass(1);
    stage.ask_number(&branch(1), 1).await.is(&next[0], "fresh");
    stage.ask_number(&branch(2), 2).await.is(&next[1], "fresh");
}

#[tokio::test]
async fn a_branch_that_github_cannot_read_does_not_hold_up_the_others() {
    let (stage, builds) = answered(10).await;
    // Two of them are too heavy: GitHub gives up.
    for number in [1, 2] {
        let one = Target::GraphQlWith(format!("\"number\":{number},"));
        stage.sim.fail(Fault::always(one, What::Status(502, String::new())));
    }
    for round in 0..3 {
        stage.pass(301);
        for (number, build) in (1..).zip(&builds) {
            let reply = stage.ask_number(&branch(number), number).await;
            // Until they are known for what they are, it looks as if GitHub were down.
            reply.is(build, if number <= 2 || round == 0 { "held" } else { "fresh" });
        }
        stage.pass(1);
        stage.ask_number(&branch(3), 3).await.is(&builds[2], "fresh");
    }
}

#[tokio::test]
async fn a_registry_that_is_down_does_not_slow_what_github_decides() {
    let (stage, builds) = answered(3).await;
    pushed(&stage, 2);
    stage.push(&branch(3), &commit(3, 2));
    stage.sim.world(|world| world.red(REPO, commit(3, 2)));
    stage.pass(301);
    stage.sim.fail(Fault::always(Target::Registry, What::Hang));
    is_answered_in_time(&stage, 2, &builds[0]).await;
    stage.asked();
    // Its build is in memory, and that it is the last green one is for GitHub to say.
    stage.ask_number(&branch(3), 3).await.is(&builds[2], "fresh");
    assert_eq!((stage.asked().github(), stage.asked().registry()), (1, 0));
}

#[tokio::test]
async fn a_refused_question_finds_out_by_itself_that_github_is_back() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.sim.fail(Fault { on: Target::GitHub, what: What::Status(502, String::new()), times: Some(3) });
    stage.until(stage.asking(json!({"branch": "feature"}))).await.is(&build, "fresh");
    assert_eq!(stage.asked().github(), 4);
}

/// A never answered branch whose images the registry cannot show tells whether the ledger is trusted.
async fn is_trusted(stage: &Stage, number: u64) -> bool {
    stage.pull(number, &branch(number), &commit(number, 1));
    stage.green(&commit(number, 1));
    let answer = stage.asking(json!({"branch": branch(number), "number": number.to_string()}));
    let reply = stage.until(answer).await;
    if reply.status.is_success() {
        reply.is_nothing("unknown");
    }
    reply.status.is_success()
}

#[tokio::test]
async fn an_outage_of_the_registry_earns_no_trust_though_github_answers() {
    for trouble in [
        What::Status(503, String::new()),
        What::Status(401, String::new()),
        What::Status(403, String::new()),
        What::TooManyRequests { retry_after: Some("30".to_owned()) },
    ] {
        let stage = Stage::new(Setup::default()).await;
        stage.pull(1, "pending", "p1");
        stage.sim.world(|world| world.pending(REPO, "p1"));
        let two_hours = async || {
            for _ in 0..24 {
                stage.ask_number("pending", 1).await.is_nothing("not-yet");
                stage.pass(300);
            }
        };
        // A service that nobody needed yet is not known to be down, but this one is.
        stage.ask_number("pending", 1).await.is_nothing("not-yet");
        stage.sim.fail(Fault::always(Target::Registry, trouble.clone()));
        assert!(!is_trusted(&stage, 10).await);
        two_hours().await;
        assert!(!is_trusted(&stage, 11).await, "{trouble:?}");
        // It is back, and somebody finds out.
        stage.sim.clear_faults();
        stage.pass(60);
        let answer = stage.asking(json!({"branch": branch(10), "number": "10"}));
        stage.until(answer).await.is_nothing("not-yet");
        two_hours().await;
        stage.sim.fail(Fault::always(Target::Registry, trouble.clone()));
        assert!(is_trusted(&stage, 12).await, "{trouble:?}");
    }
}

#[tokio::test]
async fn an_outage_that_only_another_set_met_earns_no_trust() {
    let stage = Stage::new(Setup { trust_after: "30m", ..Setup::default() }).await;
    stage.pull(1, "pending", "p1");
    stage.sim.world(|world| world.pending(REPO, "p1"));
    let question = || json!({"branch": "pending", "number": "1"});
    let other_set = async || {
        let asking = crate::stage::ask_at(stage.router(), "/preview", "other-set", question());
        stage.until(tokio::spawn(asking)).await
    };
    stage.ask_with(question()).await.is_nothing("not-yet");
    // For twenty of the next 34 minutes GitHub is down, and this set does not ask.
    stage.pass(300);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    other_set().await.is_nothing("unknown");
    stage.pass(1200);
    other_set().await.is_nothing("unknown");
    stage.sim.clear_faults();
    stage.pass(20);
    other_set().await.is_nothing("not-yet");
    stage.pass(540);
    stage.ask_with(question()).await.is_nothing("not-yet");
    let registry_down = Fault::always(Target::Registry, What::Status(503, String::new()));
    stage.sim.fail(registry_down.clone());
    assert!(!is_trusted(&stage, 10).await);
    // Nine minutes were watched; with 35 more without trouble it is trusted.
    stage.sim.clear_faults();
    stage.pass(60);
    stage.until(stage.asking(json!({"branch": branch(10), "number": "10"}))).await.is_nothing("not-yet");
    for _ in 0..8 {
        stage.ask_with(question()).await.is_nothing("not-yet");
        stage.pass(300);
    }
    stage.sim.fail(registry_down);
    assert!(is_trusted(&stage, 11).await);
}

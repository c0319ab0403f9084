//! What is answered when the upstreams cannot say: the table.

use std::time::Duration;

use lastgreen_sim::{Fault, Target, What, sha};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

fn trusting() -> Setup {
    Setup { trust_after: "1s", ..Setup::default() }
}

/// Ways in which GitHub may not answer.
fn github_trouble() -> Vec<What> {
    vec![
        What::Status(500, String::new()),
        What::Status(502, "<html>".to_owned()),
        What::Status(401, "{\"message\":\"Bad credentials\"}".to_owned()),
        What::SecondaryLimit,
        What::RateLimited200,
        What::TruncatedJson,
        What::NotJson,
        What::EmptyBody200,
        What::ConnectionReset,
        What::GraphqlErrorIn200 { kind: "INTERNAL".to_owned(), message: "oops".to_owned(), path: String::new() },
        What::PartialData { kind: "INTERNAL".to_owned(), message: "oops".to_owned(), path: "repository".to_owned() },
    ]
}

#[tokio::test]
async fn what_was_answered_is_held_through_every_trouble_of_github() {
    for trouble in github_trouble() {
        let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
        stage.pull(1, "feature", "a1");
        let build = stage.built("a1");
        stage.ask("feature").await.is(&build, "fresh");
        stage.pass(301);
        stage.sim.fail(Fault::always(Target::GitHub, trouble.clone()));
        let reply = stage.ask("feature").await;
        reply.is(&build, "held");
        assert!(reply.reason().starts_with("GitHub: "), "{trouble:?}: {}", reply.reason());
        stage.sim.clear_faults();
        stage.pass(4000);
        stage.ask("feature").await.is(&build, "fresh");
    }
}

#[tokio::test]
async fn what_was_answered_is_held_through_every_trouble_of_the_registry() {
    for trouble in [
        What::Status(500, String::new()),
        What::Status(401, String::new()),
        What::Status(403, String::new()),
        What::TooManyRequests { retry_after: Some("30".to_owned()) },
        What::TooManyRequests { retry_after: None },
        What::ConnectionReset,
        What::RedirectTo("http://127.0.0.1:1/".to_owned()),
    ] {
        let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
        stage.pull(1, "feature", "a1");
        let build = stage.built("a1");
        stage.ask("feature").await.is(&build, "fresh");
        stage.push("feature", "a2");
        stage.green("a2");
        stage.pass(301);
        stage.sim.fail(Fault::always(Target::Registry, trouble.clone()));
        let reply = stage.ask("feature").await;
        reply.is(&build, "held");
        assert!(reply.reason().contains(&stage.sim.registry_host()), "{trouble:?}: {}", reply.reason());
    }
}

#[tokio::test]
async fn a_new_ledger_refuses_rather_than_guesses() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let answer = stage.asking(json!({"branch": "feature"}));
    let reply = stage.until(answer).await;
    let first = reply.is_refused(503).to_owned();
    assert_eq!(reply.headers["retry-after"], "10");
    // The whole of `answerWithin` was used to try again.
    assert!(stage.asked().github() >= 4);
    // The same cause has the same text.
    let reply = stage.until(stage.asking(json!({"branch": "feature"}))).await;
    assert_eq!(reply.is_refused(503), first);
    assert!(first.starts_with("no answer yet: GitHub: "), "{first}");
}

#[tokio::test]
async fn a_refusal_is_averted_by_trying_again() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.sim.fail(Fault { on: Target::GitHub, what: What::Status(502, String::new()), times: Some(2) });
    stage.until(stage.asking(json!({"branch": "feature"}))).await.is(&build, "fresh");
    assert_eq!(stage.asked().github(), 3);
}

#[tokio::test]
async fn a_trusted_ledger_knows_that_nothing_is_deployed() {
    let stage = Stage::new(trusting()).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask("feature").await.is_nothing("unknown");
}

#[tokio::test]
async fn two_questions_for_another_line_earn_no_trust() {
    let setup = || Setup { trust_after: "10m", ..Setup::default() };
    let stage = Stage::new(setup()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    let stage = stage.restarted_without_ledger(&setup());
    stage.ask("main").await;
    stage.pass(790);
    stage.ask("main").await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.until(stage.asking(json!({"branch": "feature"}))).await.is_refused(503);
    // Whoever is asked about a third time has been asked about with all others of the set.
    stage.sim.clear_faults();
    stage.pass(600);
    stage.ask("main").await;
    stage.pass(600);
    stage.ask("main").await;
    stage.pass(600);
    stage.ask("main").await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask("unheard-of").await.is_nothing("unknown");
}

#[tokio::test]
async fn trust_is_not_earned_during_an_outage() {
    let stage = Stage::new(trusting()).await;
    stage.pull(1, "feature", "a1");
    // Which repository it is must be known, else there is nothing to be trusted.
    stage.ask("main").await.is_nothing("not-yet");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    for _ in 0..3 {
        stage.until(stage.asking(json!({"branch": "feature"}))).await.is_refused(503);
        stage.pass(600);
    }
}

#[tokio::test]
async fn hold_ends_on_not_yet_only() {
    let stage = Stage::new(Setup { generator: "    hold: 1h", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(1801);
    stage.ask("feature").await.is(&build, "held");
    // Time in which GitHub cannot say does not count.
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    for _ in 0..5 {
        stage.pass(3600);
        stage.ask("feature").await.is(&build, "held");
    }
    stage.sim.clear_faults();
    stage.pass(1801);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(1801);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(1801);
    stage.ask("feature").await.is_nothing("not-yet");
    // From then on the line counts as never answered, and its nothing as known.
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask("feature").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_hold_stands_still_in_an_outage_that_only_another_line_met() {
    let stage = Stage::new(Setup { generator: "    hold: 1h", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.until(stage.asking(json!({"branch": "main"}))).await.is_refused(503);
    stage.pass(3000);
    stage.sim.clear_faults();
    stage.ask("main").await.is_nothing("not-yet");
    stage.pass(600);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(2900);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(200);
    stage.ask("feature").await.is_nothing("not-yet");
}

#[tokio::test]
async fn an_unknown_in_the_middle_of_a_walk_ends_it_only_where_something_was_answered() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let first = stage.built("a1");
    stage.push("feature", "a2");
    stage.green("a2");
    let broken = format!("sha-{}", sha("a2"));
    stage.sim.fail(Fault::always(Target::manifest("myorg/back", &broken), What::Status(500, String::new())));
    // Never answered before: the older commit is a true answer, with the unknown in its reason.
    let reply = stage.ask("feature").await;
    reply.is(&first, "fresh");
    assert!(reply.reason().contains(&stage.sim.registry_host()), "{}", reply.reason());
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head), (1, 4));
    // Answered before: held.
    stage.pass(16);
    let reply = stage.ask("feature").await;
    reply.is(&first, "held");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head), (1, 2));
}

#[tokio::test]
async fn a_repository_that_github_does_not_show_is_unknown() {
    let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.delete_repository(REPO));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn checks_that_may_not_be_read_are_never_no_checks() {
    let stage = Stage::new(Setup { build: "      ci: { noChecks: pass }", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    stage.images("a1");
    stage.sim.world(|world| {
        world.github.repository_mut(REPO).private = true;
        world.github.tokens[0].kind = lastgreen_sim::TokenKind::FineGrained;
    });
    stage.pass(3600);
    let reply = stage.until(stage.asking(json!({"branch": "feature"}))).await;
    assert!(reply.is_refused(503).contains("Checks"), "{}", reply.body);
}

#[tokio::test]
async fn an_answer_is_given_in_time_whatever_the_upstreams_do() {
    for on in [Target::GitHub, Target::Registry] {
        let stage = Stage::new(trusting()).await;
        stage.earn_trust().await;
        stage.pull(1, "feature", "a1");
        let build = stage.built("a1");
        stage.pass(301);
        stage.asked();
        stage.sim.hold(on.clone());
        let answer = stage.asking(json!({"branch": "feature", "number": "1"}));
        let wanted = on.clone();
        stage
            .sim
            .wait_for(move |counts| match wanted {
                Target::GitHub => counts.graphql == 1,
                _ => counts.registry_head == 2,
            })
            .await;
        stage.clock.advance(Duration::from_secs(10));
        answer.await.unwrap().is_nothing("unknown");
        // The work that was begun goes on.
        stage.sim.release(on);
        stage.ask_number("feature", 1).await.is(&build, "fresh");
        let asked = stage.asked();
        assert_eq!((asked.github(), asked.registry()), (1, 2));
    }
}

#[tokio::test]
async fn a_lost_ledger_is_new() {
    let stage = Stage::new(trusting()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    let stage = stage.restarted_without_ledger(&trusting());
    stage.sim.fail(Fault::always(Target::Registry, What::Status(500, String::new())));
    stage.until(stage.asking(json!({"branch": "feature"}))).await.is_refused(503);
    stage.sim.clear_faults();
    stage.pass(10);
    // What was under way at the deadline may still have failed a moment ago, so this may take a second try.
    stage.until(stage.asking(json!({"branch": "feature"}))).await.is(&build, "fresh");
}

#[tokio::test]
async fn a_push_during_an_outage_keeps_the_preview_however_it_is_asked_for() {
    let stage = Stage::new(trusting()).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask_head("feature", "a1").await.is(&build, "fresh");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.push("feature", "a2");
    stage.pass(301);
    // Nobody knows a2 yet, but there is only one line that it can be of.
    stage.ask_head("feature", "a2").await.is(&build, "held");
    stage.ask("feature").await.is(&build, "held");
    stage.ask_number("feature", 1).await.is(&build, "held");
}

#[tokio::test]
async fn a_line_that_had_nothing_has_nothing_during_an_outage() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.sim.world(|world| world.pending(REPO, "a1"));
    stage.ask("feature").await.is_nothing("not-yet");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask("feature").await.is_nothing("unknown");
    stage.ask_head("feature", "a1").await.is_nothing("unknown");
    stage.ask_number("feature", 1).await.is_nothing("unknown");
}

#[tokio::test]
async fn refused_forks_are_no_unknowns_in_the_next_outage() {
    let stage = Stage::new(Setup::default()).await;
    stage.sim.world(|world| {
        world.fork(REPO, "stranger/myrepo");
        world.push("stranger/myrepo", "theirs", "f1", &["m1"]);
        world.open_pull(REPO, lastgreen_sim::Pull::new(7, "theirs").from_fork("stranger/myrepo"));
    });
    stage.ask_number("theirs", 7).await.is_nothing("not-yet");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask_number("theirs", 7).await.is_nothing("unknown");
}

#[tokio::test]
async fn a_slow_registry_does_not_delay_what_github_decides() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.sim.hold(Target::Registry);
    stage.ask_with(json!({"branch": "feature", "head_sha": sha("a1")})).await.is_nothing("not-yet");
    stage.sim.release(Target::Registry);
}

#[tokio::test]
async fn a_held_item_is_rendered_from_what_was_recorded() {
    let stage = Stage::new(Setup { build: "      outputs: { name: \"{branch}\" }", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    let fresh = stage.ask_number("another-name", 1).await;
    assert_eq!(fresh.body["output"]["parameters"][0]["name"], "feature");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    let held = stage.ask_number("another-name", 1).await;
    assert_eq!((held.standing(), &held.body), ("held", &fresh.body));
}

#[tokio::test]
async fn a_pull_request_that_is_not_shown_any_more_is_held() {
    let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask_number("feature", 1).await.is(&build, "fresh");
    stage.sim.world(|world| world.github.repository_mut(REPO).pulls.clear());
    for _ in 0..3 {
        stage.pass(301);
        stage.ask_number("feature", 1).await.is(&build, "held");
    }
}

#[tokio::test]
async fn a_branch_that_is_gone_is_believed_gone_at_the_second_read() {
    let stage = Stage::new(Setup { generator: "    hold: never", ..Setup::default() }).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.delete_branch(REPO, "feature"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.pass(30);
    stage.ask("feature").await.is_nothing("not-yet");
}

//! `resolve`: one question at the terminal.

use lastgreen_sim::{Fault, Target, What, sha};
use serde_json::json;

use crate::stage::{REPO, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn the_digests_are_printed_as_json() {
    let stage = Stage::new().await;
    let expected = json!({"output": {"parameters": [{"digestFront": stage.front, "digestBack": stage.back}]}});
    for question in [
        &["--branch", "feature"][..],
        &["-b", "feature", "-n", "1"],
        &["-b", "feature", "--head-sha", &sha("a1")],
        &["-b", "feature", "--generator", "preview"],
    ] {
        let done = stage.run(&[&["resolve"], question].concat()).ended(0);
        assert_eq!(done.json(), expected);
        assert_eq!(done.stderr, "", "{question:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_build_yet_is_3() {
    let stage = Stage::new().await;
    // `m1` is green, but nobody built images of it.
    let done = stage.run(&["resolve", "--branch", "main"]).ended(3);
    assert_eq!(done.json(), json!({"output": {"parameters": []}}));
    assert!(done.stderr.starts_with("not yet: "), "{}", done.stderr);
    let done = stage.run(&["resolve", "--branch", "nobody-has-it"]).ended(3);
    assert_eq!(done.json(), json!({"output": {"parameters": []}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_4() {
    let stage = Stage::new().await;
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, "<html>".to_owned())));
    let done = stage.run(&["resolve", "--branch", "feature"]).ended(4);
    assert_eq!(done.json(), json!({"output": {"parameters": []}}));
    assert!(done.stderr.contains("unknown: GitHub: "), "{}", done.stderr);
    stage.sim.clear_faults();
    stage.sim.fail(Fault::always(Target::Registry, What::Status(403, String::new())));
    let done = stage.run(&["resolve", "--branch", "feature"]).ended(4);
    done.says(&stage.sim.registry_host());
    stage.sim.clear_faults();
    stage.write("github", "wrong-token");
    stage.run(&["resolve", "--branch", "feature"]).ended(4).says("unknown: GitHub: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_is_2_and_asks_nobody() {
    let stage = Stage::new().await;
    for (question, why) in [
        (&["--branch", "a..b"][..], "--branch"),
        (&["--branch", ""], "--branch"),
        (&["--branch", "feature", "--number", "one"], "--number"),
        (&["--branch", "feature", "--head-sha", "abc"], "--head_sha"),
    ] {
        let done = stage.run(&[&["resolve"], question].concat()).ended(2);
        assert_eq!(done.stdout, "");
        assert!(done.stderr.starts_with("lastgreen: ") && done.stderr.contains(why), "{}", done.stderr);
    }
    stage
        .run(&["resolve", "-b", "feature", "-g", "nope"])
        .ended(2)
        .says("there is no generator `nope`")
        .says("preview");
    assert_eq!(stage.sim.counts().github(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_generators_must_be_named() {
    let stage = Stage::new().await;
    let text = stage.config();
    let (_, preview) = text.split_once("  preview:\n").unwrap();
    stage.configure(&format!("{text}  other:\n{preview}"));
    stage.run(&["resolve", "-b", "feature"]).ended(2).says("--generator").says("other, preview");
    stage.run(&["resolve", "-b", "feature", "-g", "other"]).ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_goes_to_standard_error() {
    let stage = Stage::new().await;
    stage.sim.world(|world| {
        world.push(REPO, "feature", "a2", &[]);
        world.red(REPO, "a2");
    });
    let done = stage.run(&["resolve", "--branch", "feature", "--explain"]).ended(0);
    assert_eq!(done.json()["output"]["parameters"][0]["digestFront"], stage.front);
    let lines: Vec<_> = done.stderr.lines().collect();
    let (a1, a2) = (sha("a1"), sha("a2"));
    let line = |start: &str| lines.iter().position(|line| line.trim_start().starts_with(start));
    let (newest, older) = (line(&format!("commit    {}", &a2[..12])), line(&format!("commit    {}", &a1[..12])));
    assert!(newest.is_some() && newest < older, "{}", done.stderr);
    for part in [
        "line      #1 (branch feature)",
        "fails",
        "passes",
        &format!("{}/myorg/front:sha-{a1} {}", stage.sim.registry_host(), stage.front),
        &format!("{}/myorg/back:sha-{a1} {}", stage.sim.registry_host(), stage.back),
        &format!("outcome   ready: {a1}"),
    ] {
        assert!(done.stderr.contains(part), "no `{part}` in {}", done.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_for_a_pattern_is_told_the_repository() {
    let stage = Stage::new().await;
    let text = stage.config().replace(&format!("repository: {REPO}"), "repository: myorg/my*");
    stage.configure(&text.replace("/myorg/front:", "/{owner}/front:"));
    let expected = json!({"output": {"parameters": [{"digestFront": stage.front, "digestBack": stage.back}]}});
    let question = ["resolve", "--branch", "feature"];
    let done = stage.run(&[&question[..], &["--repository", REPO]].concat()).ended(0);
    assert_eq!(done.json(), expected);
    stage.sim.reset_counts();
    let done = stage.run(&question).ended(2);
    assert!(done.stderr.contains("\nlastgreen: --repository: is missing"), "{}", done.stderr);
    let done = stage.run(&[&question[..], &["--repository", "other/myrepo"]].concat()).ended(2);
    let only = "\nlastgreen: --repository: this generator answers for `myorg/my*` only\n";
    assert!(done.stderr.ends_with(only), "{}", done.stderr);
    assert_eq!((stage.sim.counts().github(), stage.sim.counts().registry()), (0, 0));
}

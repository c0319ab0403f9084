//! What may change around a recorded answer (configuration, process, ledger, names), and what must not: the answer.

use std::time::Duration;

use lastgreen_sim::{Fault, ImageSpec, Pull, Sim, Target, What, World, sha};
use serde_json::json;

use crate::stage::{Digests, REPO, Reply, Setup, Stage};

const DAY: u32 = 24 * 3600;

/// A pull request whose build was answered and whose head is red now; nothing else on its walk is green.
async fn red_after(setup: Setup) -> (Stage, Digests) {
    let stage = Stage::new(setup).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    (stage, build)
}

fn github_down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
}

fn registry_down(stage: &Stage) {
    stage.sim.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
}

/// The value of a key of the sole item.
fn value<'a>(reply: &'a Reply, key: &str) -> &'a str {
    let items = reply.body["output"]["parameters"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", reply.reason());
    items[0][key].as_str().unwrap_or_else(|| panic!("no `{key}` in {items:?}"))
}

#[tokio::test]
async fn a_restart_keeps_what_was_answered() {
    let (stage, build) = red_after(Setup::default()).await;
    let stage = stage.restarted(&Setup::default());
    stage.ask("feature").await.is(&build, "held");
    github_down(&stage);
    let stage = stage.restarted(&Setup::default());
    stage.ask("feature").await.is(&build, "held");
    stage.ask_number("feature", 1).await.is(&build, "held");
    stage.ask_head("feature", "a1").await.is(&build, "held");
}

#[tokio::test]
async fn a_restart_after_which_only_the_registry_is_down() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    registry_down(&stage);
    let stage = stage.restarted(&Setup::default());
    // The recorded build is a candidate of the walk: for its commit the registry is not needed.
    stage.ask("feature").await.is(&build, "fresh");
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn a_lost_ledger_deletes_nothing_that_anybody_can_find_again() {
    let (stage, build) = red_after(Setup::default()).await;
    stage.sim.world(|world| {
        world.push(REPO, "feature", "a2", &[]);
        world.green(REPO, "a1");
        world.red(REPO, "a2");
    });
    stage.pass(301);
    let stage = stage.restarted_without_ledger(&Setup::default());
    registry_down(&stage);
    let asking = stage.asking(json!({ "branch": "feature" }));
    stage.until(asking).await.is_refused(503);
    stage.sim.clear_faults();
    github_down(&stage);
    stage.pass(301);
    let asking = stage.asking(json!({ "branch": "feature" }));
    stage.until(asking).await.is_refused(503);
    stage.sim.clear_faults();
    stage.pass(60);
    // The last green commit is still on the walk; what was under way when time was up may still fail.
    let asking = stage.asking(json!({ "branch": "feature" }));
    stage.until(asking).await.is(&build, "fresh");
}

#[tokio::test]
async fn a_lost_ledger_and_no_green_commit_left_is_the_one_case_that_deletes() {
    let (stage, _) = red_after(Setup::default()).await;
    let stage = stage.restarted_without_ledger(&Setup::default());
    stage.ask("feature").await.is_nothing("not-yet");
}

#[tokio::test]
async fn passing_the_number_later_changes_nothing() {
    let (stage, build) = red_after(Setup::default()).await;
    stage.ask_number("feature", 1).await.is(&build, "held");
    github_down(&stage);
    let stage = stage.restarted(&Setup::default());
    stage.ask_number("feature", 1).await.is(&build, "held");
}

#[tokio::test]
async fn a_renamed_generator_finds_what_can_be_found_and_guesses_nothing() {
    // Trust that was earned under the old name is none under the new one.
    let trusting = || Setup { trust_after: "1s", ..Setup::default() };
    let renamed = || Setup { name: "previews", ..trusting() };
    let stage = Stage::new(trusting()).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.push("feature", "a2");
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.pass(301);
    stage.flush().await;
    let stage = stage.restarted(&renamed());
    let question = || json!({ "branch": "feature" });
    stage.ask("feature").await.is_refused(404);
    github_down(&stage);
    let router = stage.router();
    let asking = tokio::spawn(async move { crate::stage::ask_at(router, "/previews", "fb-matrix", question()).await });
    stage.until(asking).await.is_refused(503);
    stage.sim.clear_faults();
    stage.pass(60);
    let router = stage.router();
    let asking = tokio::spawn(async move { crate::stage::ask_at(router, "/previews", "fb-matrix", question()).await });
    // What was under way when time was up may still fail.
    stage.until(asking).await.is(&build, "fresh");
    // Under its old name everything is as it was.
    let stage = stage.restarted(&trusting());
    stage.ask("feature").await.is(&build, "fresh");
    github_down(&stage);
    stage.pass(301);
    stage.ask("unheard-of").await.is_nothing("unknown");
}

#[tokio::test]
async fn a_new_output_is_rendered_from_what_was_recorded() {
    let (stage, build) = red_after(Setup::default()).await;
    let with = |build| Setup { build, ..Setup::default() };
    let stage = stage.restarted(&with("      outputs: { buildSha: \"{sha}\", imageFront: \"{digestFront.ref}\" }\n"));
    github_down(&stage);
    let reply = stage.ask("feature").await;
    assert_eq!((value(&reply, "digestFront"), value(&reply, "buildSha")), (&*build.front, &*sha("a1")));
    assert!(value(&reply, "imageFront").ends_with(&format!("/myorg/front@{}", build.front)));
}

#[tokio::test]
async fn a_new_output_of_a_label_is_looked_up_for_the_recorded_image() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    let labelled = ImageSpec::default().label("org.opencontainers.image.version", "1.2.3");
    let build = stage.tagged(&format!("sha-{}", sha("a1")), &labelled);
    stage.green("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301);
    let with_label = || Setup {
        build: "      outputs: { version: \"{digestFront.label:org.opencontainers.image.version}\" }\n",
        ..Setup::default()
    };
    registry_down(&stage);
    let stage = stage.restarted(&with_label());
    let reply = stage.ask("feature").await;
    assert_eq!((value(&reply, "digestFront"), value(&reply, "version")), (&*build.front, ""));
    assert!(reply.reason().contains("`digestFront` is not whole"), "{}", reply.reason());
    stage.sim.clear_faults();
    stage.pass(60);
    assert_eq!(value(&stage.ask("feature").await, "version"), "1.2.3");
    // Once it was found it is recorded as well.
    registry_down(&stage);
    let stage = stage.restarted(&with_label());
    assert_eq!(value(&stage.ask("feature").await, "version"), "1.2.3");
}

#[tokio::test]
async fn a_new_image_is_empty_until_the_recorded_build_has_one() {
    let (stage, build) = red_after(Setup::default()).await;
    let more = || Setup { more_images: &[("digestWorker", "worker")], ..Setup::default() };
    let stage = stage.restarted(&more());
    let reply = stage.ask("feature").await;
    assert_eq!((value(&reply, "digestFront"), value(&reply, "digestWorker")), (&*build.front, ""));
    assert!(reply.reason().contains("`digestWorker` is not whole"), "{}", reply.reason());
    assert_eq!(reply.standing(), "held");
    let worker =
        stage.sim.world(|world| world.push_image("myorg/worker", &format!("sha-{}", sha("a1")), &ImageSpec::default()));
    stage.pass(301);
    assert_eq!(value(&stage.ask("feature").await, "digestWorker"), worker);
    registry_down(&stage);
    github_down(&stage);
    let stage = stage.restarted(&more());
    assert_eq!(value(&stage.ask("feature").await, "digestWorker"), worker);
    // One that is not configured any more leaves the item, and is remembered.
    let stage = stage.restarted(&Setup::default());
    stage.ask("feature").await.is(&build, "held");
    let stage = stage.restarted(&more());
    assert_eq!(value(&stage.ask("feature").await, "digestWorker"), worker);
}

#[tokio::test]
async fn an_image_that_moved_is_looked_up_where_it_is_now() {
    let (stage, build) = red_after(Setup::default()).await;
    let moved = || Setup { front_in: "web", ..Setup::default() };
    let stage = stage.restarted(&moved());
    let reply = stage.ask("feature").await;
    assert_eq!((value(&reply, "digestFront"), value(&reply, "digestBack")), ("", &*build.back));
    let web =
        stage.sim.world(|world| world.push_image("myorg/web", &format!("sha-{}", sha("a1")), &ImageSpec::default()));
    stage.pass(301);
    assert_eq!(value(&stage.ask("feature").await, "digestFront"), web);
}

#[tokio::test]
async fn another_registry_is_asked_for_the_recorded_build() {
    let (stage, build) = red_after(Setup::default()).await;
    let mut world = World::with_repository(REPO);
    let tag = format!("sha-{}", sha("a1"));
    let spec = ImageSpec { content: Some("built elsewhere".to_owned()), ..ImageSpec::default() };
    let there = ["myorg/front", "myorg/back"].map(|image| world.push_image(image, &tag, &spec));
    let other = Sim::start(world).await;
    other.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    let moved = || Setup { registry: Some(other.registry_host()), ..Setup::default() };
    let both = |reply: &Reply| ["digestFront", "digestBack"].map(|key| value(reply, key).to_owned());
    let stage = stage.restarted(&moved());
    let reply = stage.ask("feature").await;
    assert_eq!((both(&reply), reply.standing()), (["", ""].map(str::to_owned), "held"));
    assert!(reply.reason().contains("`digestFront` is not whole"), "{}", reply.reason());
    // What was recorded of the former registry is not forgotten for that.
    let stage = stage.restarted(&Setup::default());
    stage.ask("feature").await.is(&build, "held");
    other.clear_faults();
    let stage = stage.restarted(&moved());
    assert_eq!(both(&stage.ask("feature").await), there);
    github_down(&stage);
    other.fail(Fault::always(Target::Registry, What::Status(503, String::new())));
    let stage = stage.restarted(&moved());
    assert_eq!(both(&stage.ask("feature").await), there);
}

#[tokio::test]
async fn a_configuration_that_wants_more_ends_no_hold() {
    let label = "      outputs: { version: \"{digestBack.label:org.opencontainers.image.version}\" }\n";
    for generator in ["    hold: never", "    hold: 1h"] {
        let setup = || Setup { generator, ..Setup::default() };
        let mut stage = Stage::new(setup()).await;
        stage.pull(1, "feature", "a1");
        let build = stage.built("a1");
        stage.ask("feature").await.is(&build, "fresh");
        // This image was cleaned up, and with it its labels; its digest is recorded.
        stage.sim.world(|world| world.registry.repositories.remove("myorg/back"));
        for (changed, key, of) in [
            (Setup { more_images: &[("digestWorker", "worker")], ..setup() }, "digestWorker", "digestFront"),
            (Setup { front_in: "web", ..setup() }, "digestFront", "digestBack"),
            (Setup { build: label, ..setup() }, "version", "digestFront"),
        ] {
            stage = stage.restarted(&changed);
            for _ in 0..4 {
                let reply = stage.ask("feature").await;
                assert_eq!((value(&reply, key), reply.standing()), ("", "held"), "{generator}: {}", reply.reason());
                assert!(!value(&reply, of).is_empty());
                stage.pass(1801);
            }
        }
        // That it is red is another matter.
        stage.sim.world(|world| world.red(REPO, "a1"));
        for _ in 0..4 {
            stage.pass(1801);
            stage.ask("feature").await;
        }
        stage.ask("feature").await.is_nothing("not-yet");
    }
}

#[tokio::test]
async fn a_renamed_repository_is_the_same_under_its_new_name_and_another_is_another() {
    let (stage, build) = red_after(Setup::default()).await;
    let renamed = || Setup { repository: "myorg/renamed", ..Setup::default() };
    stage.sim.world(|world| {
        world.rename_repository(REPO, "myorg/renamed");
    });
    let stage = stage.restarted(&renamed());
    stage.ask("feature").await.is(&build, "held");
    stage.ask_number("feature", 1).await.is(&build, "held");
    stage.flush().await;
    github_down(&stage);
    let stage = stage.restarted(&renamed());
    stage.ask_number("feature", 1).await.is(&build, "held");
    stage.sim.clear_faults();
    // Somebody else's pull request of the same number and name.
    stage.sim.world(|world| {
        world.create_repository(REPO);
        world.push(REPO, "main", "n1", &[]);
        world.create_branch(REPO, "feature", "n1");
        world.push(REPO, "feature", "c1", &[]);
        world.open_pull(REPO, Pull::new(1, "feature"));
    });
    let stage = stage.restarted(&Setup::default());
    stage.ask_number("feature", 1).await.is_nothing("not-yet");
    let stage = stage.restarted(&renamed());
    stage.ask_number("feature", 1).await.is(&build, "held");
}

#[tokio::test]
async fn another_tag_template_or_policy_keeps_the_digests() {
    let (stage, build) = red_after(Setup::default()).await;
    let stage = stage.restarted(&Setup::tags("build-{sha7}"));
    stage.ask("feature").await.is(&build, "held");
    let stricter = Setup { build: "      ci: { require: [nobody-runs-this] }\n", ..Setup::default() };
    let stage = stage.restarted(&stricter);
    stage.sim.world(|world| world.green(REPO, "a1"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn a_set_that_was_moved_over_earns_trust_of_its_own() {
    let stage = Stage::new(Setup { trust_after: "1s", ..Setup::default() }).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    github_down(&stage);
    let question = json!({ "branch": "feature" });
    // Of its own set the ledger knows that nothing of it is deployed; another set may have been answered elsewhere.
    stage.ask_with(question.clone()).await.is_nothing("unknown");
    let router = stage.router();
    let asking = tokio::spawn(async move { crate::stage::ask_at(router, "/preview", "moved-over", question).await });
    stage.until(asking).await.is_refused(503);
}

#[tokio::test]
async fn a_closed_pull_request_is_there_again_when_it_is_reopened_after_a_restart() {
    let (stage, build) = red_after(Setup::default()).await;
    stage.sim.world(|world| world.close_pull(REPO, 1));
    let stage = stage.restarted(&Setup::default());
    stage.pass(29 * DAY);
    stage.forget(Duration::from_hours(30 * 24)).await;
    stage.sim.world(|world| world.reopen_pull(REPO, 1));
    stage.ask("feature").await.is(&build, "held");
}

#[tokio::test]
async fn thirty_quiet_days_forget_what_is_closed_and_nothing_else() {
    let (stage, build) = red_after(Setup::default()).await;
    stage.pull(2, "other", "b1");
    let other = stage.built("b1");
    stage.ask("other").await.is(&other, "fresh");
    stage.sim.world(|world| world.red(REPO, "b1"));
    stage.sim.world(|world| world.close_pull(REPO, 1));
    let month = Duration::from_hours(30 * 24);
    stage.pass(31 * DAY);
    github_down(&stage);
    stage.forget(month).await;
    stage.sim.clear_faults();
    let stage = stage.restarted(&Setup::default());
    stage.ask_number("feature", 1).await.is(&build, "held");
    stage.pass(31 * DAY);
    stage.forget(month).await;
    stage.ask("other").await.is(&other, "held");
    // The closed one was nobody's any more.
    stage.sim.world(|world| world.reopen_pull(REPO, 1));
    stage.ask_number("feature", 1).await.is_nothing("not-yet");
}

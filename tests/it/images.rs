//! Which images belong to a commit: sha tags, moving tags, labels, test merges.

use lastgreen_sim::{Fault, ImageSpec, Target, What, sha};

use crate::stage::{REPO, Setup, Stage};

/// A pull request 1 of branch `feature` whose head `a1` is green.
async fn green_head(setup: Setup) -> Stage {
    let stage = Stage::new(setup).await;
    stage.pull(1, "feature", "a1");
    stage.green("a1");
    stage
}

fn short(commit: &str) -> String {
    sha(commit)[..7].to_owned()
}

#[tokio::test]
async fn a_moving_tag_with_the_heads_label_is_the_heads() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    let build = stage.tagged("pr-1", &ImageSpec::revision(&sha("a1")));
    stage.ask("feature").await.is(&build, "fresh");
    // A HEAD, the manifest and the config of each image; the latter two never again.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head, asked.registry_get, asked.registry_blob), (1, 2, 2, 2));
    assert_eq!(asked.registry(), 6);
    stage.pass(301);
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn a_moving_tag_is_the_commits_that_its_label_names() {
    let stage = green_head(Setup::tags("{branch:docker}")).await;
    let build = stage.tagged("feature", &ImageSpec::revision(&sha("a1")).multi_arch().provenance_child());
    stage.push("feature", "a2");
    stage.green("a2");
    let reply = stage.ask("feature").await;
    reply.is(&build, "fresh");
    assert!(reply.reason().contains(&format!("was built from {}", short("a1"))), "{}", reply.reason());
}

#[tokio::test]
async fn a_moving_tag_with_a_foreign_label_is_nobodys() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    stage.tagged("pr-1", &ImageSpec::revision(&sha("m1")));
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("which is not on the walk"), "{}", reply.reason());
    // Whether the label names a test merge is asked once.
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry_head), (2, 2));
}

#[tokio::test]
async fn a_moving_tag_without_a_label_proves_nothing_unless_the_head_is_trusted() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    stage.tagged("pr-1", &ImageSpec::default());
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("has no label org.opencontainers.image.revision"), "{}", reply.reason());
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 6));

    let trusting = || Setup { build: "      unlabelledTags: trustHead", ..Setup::tags("pr-{number}") };
    let stage = green_head(trusting()).await;
    let build = stage.tagged("pr-1", &ImageSpec::default());
    stage.ask("feature").await.is(&build, "fresh");
    // The head is read again after the tags.
    assert_eq!(stage.asked().github(), 2);
    // While the head is not green the tag may be anybody's.
    let stage = green_head(trusting()).await;
    stage.tagged("pr-1", &ImageSpec::default());
    stage.push("feature", "a2");
    stage.sim.world(|world| world.pending(REPO, "a2"));
    stage.ask("feature").await.is_nothing("not-yet");
}

#[tokio::test]
async fn images_tagged_with_the_test_merge_are_found_also_after_the_base_moved() {
    let stage = Stage::new(Setup::tags("sha-{merge_sha}")).await;
    stage.pull(1, "feature", "a1");
    let merge = stage.test_merge(1);
    // The test merge is seen while CI runs.
    stage.sim.world(|world| world.pending(REPO, "a1"));
    stage.ask("feature").await.is_nothing("not-yet");
    let build = stage.tagged(&format!("sha-{merge}"), &ImageSpec::default());
    stage.sim.world(|world| world.clear_checks(REPO, "a1"));
    stage.green("a1");
    stage.push("main", "m2");
    assert_ne!(stage.test_merge(1), merge);
    stage.asked();
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    // And when the base moves again, the answer stays.
    stage.push("main", "m3");
    stage.pass(301);
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn a_label_that_names_the_test_merge_of_the_head_counts_as_the_head() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    let merge = stage.test_merge(1);
    let build = stage.tagged("pr-1", &ImageSpec::revision(&merge));
    // The base moves before anybody asks: GitHub itself is asked what the label's commit is.
    stage.push("main", "m2");
    stage.ask("feature").await.is(&build, "fresh");
    assert_eq!(stage.asked().github(), 2);
    let known = green_head(Setup::tags("pr-{number}")).await;
    let build = known.tagged("pr-1", &ImageSpec::revision(&known.test_merge(1)));
    known.ask("feature").await.is(&build, "fresh");
    assert_eq!(known.asked().github(), 1);
}

#[tokio::test]
async fn a_label_that_names_the_test_merge_of_a_red_head_does_not() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    let first = stage.tagged("pr-1", &ImageSpec::revision(&stage.test_merge(1)));
    stage.ask("feature").await.is(&first, "fresh");
    stage.push("feature", "a2");
    stage.sim.world(|world| world.red(REPO, "a2"));
    stage.tagged("pr-1", &ImageSpec::revision(&stage.test_merge(1)));
    stage.pass(301);
    stage.asked();
    // a1 is green, and recorded; the tag has moved on to the red head's test merge.
    stage.ask("feature").await.is(&first, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 0));
}

#[tokio::test]
async fn a_label_that_names_another_pull_requests_test_merge_is_foreign() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    stage.pull(2, "other", "b1");
    stage.tagged("pr-1", &ImageSpec::revision(&stage.test_merge(2)));
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("which is not on the walk"), "{}", reply.reason());
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 6));
}

#[tokio::test]
async fn a_label_that_names_a_foreign_merge_commit_is_foreign() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    // Somebody's own merge of the head into main, however it is worded, is no test merge of GitHub's.
    let (head, base) = (sha("a1"), sha("m1"));
    let merge = stage.sim.world(|world| {
        world.push(REPO, "handmade", "h1", &["m1", "a1"]);
        world.commit_mut(REPO, "h1").message = format!("Merge {head} into {base}");
        sha("h1")
    });
    stage.tagged("pr-1", &ImageSpec::revision(&merge));
    stage.ask("feature").await.is_nothing("not-yet");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 6));
}

#[tokio::test]
async fn front_and_back_of_two_test_merges_are_no_build() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    let first = stage.test_merge(1);
    stage.push("main", "m2");
    let second = stage.test_merge(1);
    stage.sim.world(|world| {
        world.push_image("myorg/front", "pr-1", &ImageSpec::revision(&first));
        world.push_image("myorg/back", "pr-1", &ImageSpec::revision(&second));
    });
    stage.ask("feature").await.is_nothing("not-yet");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (2, 6));
    let build = stage.tagged("pr-1", &ImageSpec::revision(&second));
    stage.pass(16);
    stage.ask("feature").await.is(&build, "fresh");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (0, 6));
}

#[tokio::test]
async fn a_missing_image_whose_test_merge_is_there_is_explained() {
    let stage = green_head(Setup::default()).await;
    let merge = stage.test_merge(1);
    stage.tagged(&format!("sha-{merge}"), &ImageSpec::default());
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().ends_with("is absent"), "{}", reply.reason());
    // A build that is merely late costs no further request; one that stays away does, once.
    stage.pass(60);
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(
        reply.reason().contains("use {merge_sha} in the template, or set DOCKER_METADATA_PR_HEAD_SHA"),
        "{}",
        reply.reason()
    );
    stage.pass(16);
    stage.asked();
    stage.ask("feature").await;
    assert_eq!(stage.asked().registry(), 2);
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_told_apart_from_a_missing_tag() {
    let stage = green_head(Setup::default()).await;
    stage.sim.world(|world| world.registry.repositories.remove("myorg/back"));
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    let stage = green_head(Setup::default()).await;
    stage.sim.world(|world| {
        world.registry.repositories.remove("myorg/front");
        world.registry.repositories.remove("myorg/back");
    });
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("is absent, and so is its repository"), "{}", reply.reason());
    // Once in an hour for each repository.
    let asked = stage.asked();
    assert_eq!((asked.registry_head, asked.tags_list), (2, 2));
    stage.pass(16);
    stage.ask("feature").await;
    let asked = stage.asked();
    assert_eq!((asked.registry_head, asked.tags_list), (2, 0));
}

#[tokio::test]
async fn a_403_of_the_registry_is_not_absence() {
    let stage = green_head(Setup { trust_after: "1s", ..Setup::default() }).await;
    let build = stage.images("a1");
    stage.ask("feature").await.is(&build, "fresh");
    stage.push("feature", "a2");
    stage.green("a2");
    stage.pass(301);
    stage.sim.fail(Fault::always(Target::manifests_of("myorg/back"), What::Status(403, String::new())));
    stage.asked();
    let reply = stage.ask("feature").await;
    reply.is(&build, "held");
    let asked = stage.asked();
    assert_eq!((asked.github(), asked.registry()), (1, 2));
    assert!(
        reply.reason().contains("cannot") || reply.reason().contains("denied") || reply.reason().contains("403"),
        "{}",
        reply.reason()
    );
}

#[tokio::test]
async fn outputs_pin_references_and_show_tags_and_labels() {
    let stage = green_head(Setup {
        build: "      outputs:
        imageFront: \"{digestFront.ref}\"
        tagBack: \"{digestBack.tag}\"
        version: \"{digestFront.label:org.opencontainers.image.version}\"
        lacking: \"{digestFront.label:nope}\"
        build: \"{sha7}-{branch}-{number}\"",
        ..Setup::default()
    })
    .await;
    let spec = ImageSpec::default().label("org.opencontainers.image.version", "1.2");
    let build = stage.tagged(&format!("sha-{}", sha("a1")), &spec);
    let reply = stage.ask("feature").await;
    let host = stage.sim.registry_host();
    assert_eq!(
        reply.body["output"]["parameters"],
        serde_json::json!([{
            "digestFront": build.front,
            "digestBack": build.back,
            "imageFront": format!("{host}/myorg/front@{}", build.front),
            "tagBack": format!("sha-{}", sha("a1")),
            "version": "1.2",
            "lacking": "",
            "build": format!("{}-feature-1", short("a1")),
        }]),
        "{}",
        reply.reason()
    );
}

#[tokio::test]
async fn an_image_whose_parts_were_cleaned_up_is_no_build_and_nobody_elses_problem() {
    let stage = green_head(Setup::tags("pr-{number}")).await;
    stage.tagged("pr-1", &ImageSpec::revision(&sha("a1")).multi_arch());
    stage.sim.world(|world| {
        let front = world.registry.repositories.get_mut("myorg/front").unwrap();
        let index = front.tags["pr-1"].clone();
        front.manifests.retain(|digest, _| *digest == index);
    });
    let reply = stage.ask("feature").await;
    reply.is_nothing("not-yet");
    assert!(reply.reason().contains("is there, but incomplete"), "{}", reply.reason());
}

#[tokio::test]
async fn a_tag_is_believed_to_be_the_heads_only_if_it_was_read_after_the_head() {
    let stage = green_head(Setup {
        build: "      unlabelledTags: trustHead\n      ci: { settle: 0s }",
        generator: "    refresh: { pending: 5m, settled: 5m }",
        ..Setup::tags("pr-{number}")
    })
    .await;
    let first = stage.tagged("pr-1", &ImageSpec::default());
    stage.ask("feature").await.is(&first, "fresh");
    stage.push("feature", "a2");
    stage.sim.world(|world| world.green(REPO, "a2"));
    let second = stage.tagged("pr-1", &ImageSpec::default());
    // What memory says of the tag is younger than `pending`, but older than the head.
    stage.ask_head("feature", "a2").await.is(&second, "fresh");
}

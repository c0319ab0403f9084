//! World files and the verbs.

use std::path::Path;

use lastgreen_sim::{ImageSpec, Pull, PullState, World, sha};

use crate::REPO;

#[test]
fn the_demo_is_what_the_readme_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/worlds/demo.yaml");
    let world = World::load(&path).unwrap();
    let repository = world.github.repository(REPO).unwrap();
    let commits = world.github.pull_commits(repository, repository.pull(1).unwrap());
    assert_eq!(commits.iter().map(ToString::to_string).collect::<Vec<_>>(), [sha("a1"), sha("a2")]);
    for image in ["myorg/front", "myorg/back"] {
        for commit in ["a1", "a2", "b1"] {
            assert!(world.digest(image, &format!("sha-{}", sha(commit))).is_some(), "{image} {commit}");
        }
    }
    assert_eq!(&**repository.pull(4).unwrap().head_sha(), sha("f1"));
    assert!(repository.pulls.iter().all(|pull| pull.test_merge.is_some()));
    // The same file is the same world.
    let again = World::load(&path).unwrap();
    let digests = |world: &World| world.registry.repositories["myorg/front"].tags.clone();
    assert_eq!(digests(&world), digests(&again));
}

#[test]
fn bad_files_are_told_apart() {
    let rows = [
        ("github: { repositorys: [] }", "repositorys"),
        ("github: { repositories: [{ owner: o, name: n, branches: { main: a1 } }] }", "branch main is at"),
        ("github: { repositories: [{ owner: o, name: n, commits: { a: { parents: [b] } } }] }", "parent"),
        ("github: { repositories: [{ owner: o, name: n, fork_of: x/y }] }", "fork of x/y"),
        ("registry: { images: [{ repository: r, tag: \"{sha:zz}\" }] }", "no commit \"zz\""),
        ("registry: { images: [{ repository: r, tag: \"{nonsense}\" }] }", "unknown placeholder"),
    ];
    for (yaml, part) in rows {
        let why = World::from_yaml(yaml).unwrap_err().to_string();
        assert!(why.contains(part), "{yaml}: {why}");
    }
    assert!(World::load("/nowhere.yaml").unwrap_err().to_string().starts_with("/nowhere.yaml: "));
}

#[test]
fn a_pull_request_follows_its_branch_closes_with_it_and_is_merged_with_its_commits() {
    let mut world = World::with_repository(REPO);
    world.push_all(REPO, "one", &["a1", "a2"]);
    world.push(REPO, "two", "b1", &["m1"]);
    world.open_pull(REPO, Pull::new(1, "one"));
    world.open_pull(REPO, Pull::new(2, "two"));
    world.advance(60);
    world.push(REPO, "one", "a3", &[]);
    let pull = world.github.repository(REPO).unwrap().pull(1).unwrap().clone();
    assert_eq!((pull.head_sha().to_string(), pull.updated_at), (sha("a3"), Some(world.now)));
    let merged = world.merge(REPO, "main", "one");
    let repository = world.github.repository(REPO).unwrap();
    assert_eq!(repository.pull(1).unwrap().state, PullState::Merged);
    assert_eq!(repository.pull(1).unwrap().merge_commit, Some(merged));
    // The other one has a new base: a new test merge.
    let merge = repository.pull(2).unwrap().test_merge.clone().unwrap();
    assert_eq!(repository.commits[&merge].parents[0], repository.branches["main"]);
    world.delete_branch(REPO, "two");
    assert_eq!(world.github.repository(REPO).unwrap().pull(2).unwrap().state, PullState::Closed);
    world.create_branch(REPO, "two", "b1");
    world.reopen_pull(REPO, 2);
    assert_eq!(world.github.repository(REPO).unwrap().pull(2).unwrap().state, PullState::Open);
}

#[test]
#[should_panic(expected = "is no descendant of")]
fn a_push_is_a_fast_forward() {
    let mut world = World::with_repository(REPO);
    world.push(REPO, "main", "m2", &["m1"]);
    world.push(REPO, "main", "x1", &["m1"]);
}

#[test]
fn tags_move_and_go() {
    let mut world = World::default();
    let first = world.push_image("myorg/front", "pr-1", &ImageSpec::revision("a"));
    let second = world.push_image("myorg/front", "pr-1", &ImageSpec::revision("b"));
    assert_ne!(first, second);
    assert_eq!(world.digest("myorg/front", "pr-1"), Some(second.as_str()));
    world.delete_tag("myorg/front", "pr-1");
    assert_eq!(world.digest("myorg/front", "pr-1"), None);
}

//! Worlds with many pull requests: each an own branch with one commit, three green checks and both images.

use chrono::{DateTime, TimeDelta, Utc};
use lastgreen_sim::{CheckRun, Commit, ImageSpec, Latency, Oid, Pull, RegistryAuth, World, sha};
use serde_json::{Value, json};

/// The repository.
pub(crate) const REPO: &str = "myorg/myrepo";

/// The images' repositories in the registry, by key.
pub(crate) const IMAGES: [(&str, &str); 2] = [("digestFront", "myorg/front"), ("digestBack", "myorg/back")];

/// The head of a pull request after so many pushes.
pub(crate) fn commit(number: u64, push: u32) -> String {
    format!("pr-{number}-{push}")
}

/// The head branch of a pull request.
pub(crate) fn branch(number: u64) -> String {
    format!("feature/some-words-about-it-{number}")
}

/// A world with pull requests 1 to `pulls`, all built an hour before `now`. Its registry wants a token, as most do.
pub(crate) fn world(pulls: u64, now: DateTime<Utc>) -> World {
    let mut world = World { now: now - TimeDelta::hours(1), ..World::default() };
    world.create_repository(REPO);
    world.push(REPO, "main", "m1", &[]);
    world.registry.auth = RegistryAuth::Bearer;
    let (then, base) = (world.now, Oid::from("m1"));
    for number in 1..=pulls {
        let (id, branch) = (commit(number, 0), branch(number));
        let (head, merge) = (Oid::from(id.as_str()), Oid::from(sha(&format!("merge of {id}"))));
        let made = |message: String, parents: Vec<Oid>| Commit {
            message,
            parents,
            authored_at: Some(then),
            committed_at: Some(then),
            ..Commit::default()
        };
        let at = world.github.repository_mut(REPO);
        at.commits.insert(head.clone(), made(format!("Work on {number}"), vec![base.clone()]));
        at.commits.insert(merge.clone(), made(format!("Merge {head} into {base}"), vec![base.clone(), head.clone()]));
        at.branches.insert(branch.clone(), head.clone());
        world.open_pull(REPO, Pull { head_sha: Some(head), test_merge: Some(merge), ..Pull::new(number, &branch) });
        built(&mut world, &id);
    }
    // Limits are for another day: what is measured is how long it takes, and `hour` counts.
    world.github.limits.graphql = u64::from(u32::MAX);
    world.github.limits.rest = u64::from(u32::MAX);
    world.now = now;
    world
}

/// CI passes on a commit, and has pushed its images.
fn built(world: &mut World, id: &str) {
    checks_pass(world, id);
    for (_, image) in IMAGES {
        push_image(world, image, id);
    }
}

/// The checks that each commit has.
pub(crate) fn checks_pass(world: &mut World, id: &str) {
    for name in ["build", "test", "lint"] {
        world.check(REPO, id, CheckRun::completed(name, "success"));
    }
}

/// The image of a commit, by its sha.
pub(crate) fn push_image(world: &mut World, image: &str, id: &str) {
    world.push_image(image, &format!("sha-{}", sha(id)), &ImageSpec::default());
}

/// The question about a pull request, as an ApplicationSet asks it that passes all three parameters.
pub(crate) fn question(number: u64, push: u32) -> String {
    let parameters = json!({
        "branch": branch(number), "number": number.to_string(), "head_sha": sha(&commit(number, push)),
    });
    ask(&parameters)
}

/// The question about a branch alone.
pub(crate) fn question_by_branch(number: u64) -> String {
    ask(&json!({ "branch": branch(number) }))
}

fn ask(parameters: &Value) -> String {
    json!({ "applicationSetName": "fb-matrix", "input": { "parameters": parameters } }).to_string()
}

/// Everything as slow as that.
pub(crate) fn latency(milliseconds: u64) -> Latency {
    Latency { github_ms: milliseconds, registry_ms: milliseconds, per_node_us: 0 }
}

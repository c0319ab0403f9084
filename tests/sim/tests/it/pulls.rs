//! The REST list of pull requests, as Argo CD's pull request generator reads it.

use lastgreen_sim::{Mergeability, Pull, Sim, World, sha};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{REPO, client, get, header};

fn world() -> World {
    let mut world = World::with_repository(REPO);
    world.push(REPO, "one", "a1", &["m1"]);
    world.open_pull(REPO, Pull { labels: vec!["preview".to_owned()], ..Pull::new(1, "one") });
    world.advance(60);
    world.fork(REPO, "stranger/myrepo");
    world.push("stranger/myrepo", "patch", "f1", &["m1"]);
    world.open_pull(REPO, Pull { author: None, ..Pull::new(2, "patch").from_fork("stranger/myrepo") });
    world.advance(60);
    world
}

async fn list(sim: &Sim, query: &str) -> Value {
    let response = get(sim, &format!("/repos/{REPO}/pulls{query}")).await;
    assert_eq!(response.status(), 200, "{query}");
    response.json().await.unwrap()
}

async fn numbers(sim: &Sim, query: &str) -> Vec<u64> {
    list(sim, query).await.as_array().unwrap().iter().map(|pull| pull["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pull_requests_show_what_a_template_takes_from_them() {
    let sim = Sim::start(world()).await;
    let pulls = list(&sim, "?per_page=100").await;
    let [second, first] = pulls.as_array().unwrap().as_slice() else { panic!("{pulls}") };
    assert_eq!(
        (&first["number"], &first["title"], &first["state"], &first["draft"]),
        (&json!(1), &json!("Pull request 1"), &json!("open"), &json!(false))
    );
    assert_eq!((&first["head"]["ref"], &first["head"]["sha"]), (&json!("one"), &json!(sha("a1"))));
    assert_eq!((&first["base"]["ref"], &first["base"]["sha"]), (&json!("main"), &json!(sha("m1"))));
    assert_eq!((&first["user"]["login"], &first["labels"][0]["name"]), (&json!("dev"), &json!("preview")));
    assert_eq!((&first["head"]["label"], &first["head"]["repo"]["full_name"]), (&json!("myorg:one"), &json!(REPO)));
    assert_eq!(second["head"]["repo"]["full_name"], "stranger/myrepo");
    assert_eq!((&second["user"]["login"], &second["labels"]), (&json!("ghost"), &json!([])));
    // A fork that is gone leaves its commits, not its repository.
    sim.world(|world| world.delete_repository("stranger/myrepo"));
    let pulls = list(&sim, "").await;
    assert_eq!((&pulls[0]["head"]["repo"], &pulls[0]["head"]["sha"]), (&Value::Null, &json!(sha("f1"))));
    let merge = sim.world(|world| {
        world.set_mergeable(REPO, 2, Mergeability::Conflicting);
        world.github.repository(REPO).unwrap().pull(1).unwrap().test_merge.clone().unwrap()
    });
    let pulls = list(&sim, "").await;
    assert_eq!((&pulls[0]["merge_commit_sha"], &pulls[1]["merge_commit_sha"]), (&Value::Null, &json!(&*merge)));
}

#[tokio::test]
async fn only_open_ones_are_listed_unless_others_are_asked_for() {
    let sim = Sim::start(world()).await;
    sim.world(|world| {
        world.push(REPO, "three", "c1", &["m1"]);
        world.create_branch(REPO, "release", "m1");
        world.open_pull(REPO, Pull::new(3, "three").into_base("release"));
        world.close_pull(REPO, 1);
    });
    assert_eq!(numbers(&sim, "").await, [3, 2]);
    assert_eq!(numbers(&sim, "?state=closed").await, [1]);
    assert_eq!(numbers(&sim, "?state=all&direction=asc").await, [1, 2, 3]);
    assert_eq!(numbers(&sim, "?base=release").await, [3]);
    for query in ["?state=merged", "?sort=popularity", "?direction=up", "?per_page=many", "?draft=false"] {
        let response = get(&sim, &format!("/repos/{REPO}/pulls{query}")).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
}

#[tokio::test]
async fn they_come_in_pages() {
    let mut world = World::with_repository(REPO);
    for number in 1..=205 {
        let branch = format!("feature-{number}");
        world.push(REPO, &branch, branch.clone(), &["m1"]);
        world.open_pull(REPO, Pull::new(number, &branch));
    }
    world.github.enterprise = true;
    let id = world.github.repositories[0].id;
    let sim = Sim::start(world).await;
    let url = format!("{}/repositories/{id}/pulls", sim.github_url());
    let links = async |query: &str| {
        let response = get(&sim, &format!("/repos/{REPO}/pulls{query}")).await;
        header(&response, "link").replace(&url, "")
    };
    assert_eq!(
        links("?per_page=100").await,
        "<?per_page=100&page=2>; rel=\"next\", <?per_page=100&page=3>; rel=\"last\""
    );
    assert_eq!(
        links("?page=2&per_page=100").await,
        "<?per_page=100&page=1>; rel=\"prev\", <?per_page=100&page=3>; rel=\"next\", <?per_page=100&page=3>; \
         rel=\"last\", <?per_page=100&page=1>; rel=\"first\""
    );
    assert_eq!(
        links("?per_page=100&page=3").await,
        "<?per_page=100&page=2>; rel=\"prev\", <?per_page=100&page=1>; rel=\"first\""
    );
    let mut all = Vec::new();
    for page in 1..=4 {
        all.extend(numbers(&sim, &format!("?per_page=100&page={page}")).await);
    }
    assert_eq!(all, (1..=205).rev().collect::<Vec<_>>());
    // More than a hundred is a hundred; without a word it is thirty.
    assert_eq!(numbers(&sim, "?per_page=1000").await.len(), 100);
    assert_eq!(numbers(&sim, "").await.len(), 30);
}

#[tokio::test]
async fn they_are_for_those_who_may_see_the_repository() {
    let sim = Sim::start(world()).await;
    let url = format!("{}/repos/{REPO}/pulls", sim.github_url());
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    assert_eq!(client().get(&url).bearer_auth("wrong").send().await.unwrap().status(), 401);
    sim.world(|world| {
        world.github.repository_mut(REPO).private = true;
        world.github.tokens[0].repositories = Some(Vec::new());
    });
    assert_eq!(get(&sim, &format!("/repos/{REPO}/pulls")).await.status(), 404);
}

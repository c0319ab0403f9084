//! GraphQL: what it resolves, what it refuses, how its lists behave.

use chrono::Duration;
use lastgreen_sim::{CheckRun, Mergeability, Pull, Sim, Status, TokenKind, World, sha};
use serde_json::{Value, json};

use crate::{REPO, ask, graphql, header};

fn feature() -> World {
    let mut world = World::with_repository(REPO);
    world.push(REPO, "feature", "a1", &["m1"]);
    world.push(REPO, "feature", "a2", &["a1"]);
    world.open_pull(REPO, Pull::new(1, "feature"));
    world
}

fn repository(fields: &str) -> String {
    format!("{{ repository(owner: \"myorg\", name: \"myrepo\") {{ {fields} }} }}")
}

async fn fields(sim: &Sim, text: &str) -> Value {
    let body = graphql(sim, &repository(text)).await;
    assert_eq!(body["errors"], Value::Null, "{body}");
    body["data"]["repository"].clone()
}

#[tokio::test]
async fn a_document_that_the_schema_does_not_know_is_refused_without_data() {
    let sim = Sim::start(feature()).await;
    for wrong in ["nonsense", "databaseId(first: 1)", "pullRequests(first: 1, states: [OPENED]) { totalCount }"] {
        let body = graphql(&sim, &repository(wrong)).await;
        assert!(body["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{wrong}: {body}");
        assert!(body.get("data").is_none(), "{wrong}: {body}");
    }
}

#[tokio::test]
async fn what_is_not_simulated_is_a_loud_error() {
    let sim = Sim::start(feature()).await;
    let response = ask(&sim, &repository("diskUsage"), &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.text().await.unwrap().contains("Repository.diskUsage"));
}

#[tokio::test]
async fn unknown_things_are_null_with_a_typed_error_in_a_200() {
    let sim = Sim::start(feature()).await;
    let body = graphql(&sim, "{ a: repository(owner: \"myorg\", name: \"other\") { id } }").await;
    assert_eq!(body["data"]["a"], Value::Null);
    assert_eq!(body["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(body["errors"][0]["path"], json!(["a"]));
    assert_eq!(body["errors"][0]["message"], "Could not resolve to a Repository with the name 'myorg/other'.");

    let body = graphql(&sim, &repository("databaseId pullRequest(number: 9) { id }")).await;
    assert!(body["data"]["repository"]["databaseId"].is_u64());
    assert_eq!(body["data"]["repository"]["pullRequest"], Value::Null);
    assert_eq!(body["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(body["errors"][0]["path"], json!(["repository", "pullRequest"]));

    let absent = fields(
        &sim,
        "ref(qualifiedName: \"nope\") { name } object(oid: \"0000000000000000000000000000000000000000\") { oid }",
    )
    .await;
    assert_eq!(absent, json!({"ref": null, "object": null}));
}

#[tokio::test]
async fn only_who_is_known_is_answered() {
    let sim = Sim::start(feature()).await;
    let url = format!("{}/graphql", sim.github_url());
    let body = json!({"query": "{ viewer { login } }"});
    let none = crate::client().post(&url).json(&body).send().await.unwrap();
    assert_eq!(none.status(), 401);
    let wrong = crate::client().post(&url).bearer_auth("nonsense").json(&body).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.json::<Value>().await.unwrap()["message"], "Bad credentials");
    let nameless = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(nameless.post(&url).json(&body).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn contexts_are_paged_and_superseded_runs_stay() {
    let mut world = feature();
    for nth in 0..150 {
        world.check(REPO, "a2", CheckRun::completed(&format!("job {nth}"), "success"));
    }
    world.check(REPO, "a2", CheckRun::completed("flaky", "failure").suite(7));
    world.check(REPO, "a2", CheckRun::completed("flaky", "success").suite(8));
    world.status(REPO, "a2", Status::new("ci/legacy", "pending"));
    world.status(REPO, "a2", Status::new("ci/legacy", "success"));
    let sim = Sim::start(world).await;
    let page = |after: &str| {
        format!(
            "object(oid: \"{}\") {{ ... on Commit {{ statusCheckRollup {{ state contexts(first: 100{after}) {{ totalCount
             pageInfo {{ hasNextPage endCursor }} nodes {{ ... on CheckRun {{ name conclusion }}
             ... on StatusContext {{ context state }} }} }} }} }} }}",
            sha("a2")
        )
    };
    let first = fields(&sim, &page("")).await["object"]["statusCheckRollup"].clone();
    // Green since, and still a failure: as GitHub shows it.
    assert_eq!(first["state"], "FAILURE");
    assert_eq!(first["contexts"]["totalCount"], 153);
    assert_eq!(first["contexts"]["nodes"].as_array().unwrap().len(), 100);
    assert_eq!(first["contexts"]["pageInfo"]["hasNextPage"], true);
    let cursor = first["contexts"]["pageInfo"]["endCursor"].as_str().unwrap();
    let second = fields(&sim, &page(&format!(", after: \"{cursor}\""))).await["object"]["statusCheckRollup"].clone();
    let nodes = second["contexts"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 53);
    assert_eq!(second["contexts"]["pageInfo"]["hasNextPage"], false);
    assert_eq!(nodes[50], json!({"name": "flaky", "conclusion": "FAILURE"}));
    assert_eq!(nodes[51], json!({"name": "flaky", "conclusion": "SUCCESS"}));
    assert_eq!(nodes[52], json!({"context": "ci/legacy", "state": "SUCCESS"}));
}

#[tokio::test]
async fn without_any_context_there_is_no_rollup_and_words_unknown_to_the_schema_come_through() {
    let mut world = feature();
    world.check(REPO, "a1", CheckRun::completed("build", "astonished"));
    let sim = Sim::start(world).await;
    let commit = |id: &str| {
        format!(
            "object(oid: \"{}\") {{ ... on Commit {{ statusCheckRollup {{ state contexts(last: 1) {{ nodes {{
             ... on CheckRun {{ conclusion }} }} }} }} }} }}",
            sha(id)
        )
    };
    assert_eq!(fields(&sim, &commit("a2")).await["object"]["statusCheckRollup"], Value::Null);
    let rollup = fields(&sim, &commit("a1")).await["object"]["statusCheckRollup"].clone();
    assert_eq!(rollup["state"], "PENDING");
    assert_eq!(rollup["contexts"]["nodes"][0]["conclusion"], "ASTONISHED");
}

#[tokio::test]
async fn the_commits_of_a_pull_request_go_by_author_date_and_may_end_before_the_head() {
    let mut world = feature();
    // A rebase keeps old author dates: the head was written first.
    world.commit_mut(REPO, "a2").authored_at = Some(world.now - Duration::days(3));
    let sim = Sim::start(world).await;
    let pull = fields(&sim, "pullRequest(number: 1) { headRefOid commits(last: 1) { totalCount pageInfo { hasPreviousPage } nodes { commit { oid } } } }").await["pullRequest"].clone();
    assert_eq!(pull["headRefOid"], sha("a2"));
    assert_eq!(pull["commits"]["totalCount"], 2);
    assert_eq!(pull["commits"]["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(pull["commits"]["nodes"][0]["commit"]["oid"], sha("a1"));
}

#[tokio::test]
async fn the_test_merge_follows_head_and_base_and_old_ones_stay() {
    type Step = fn(&mut World);
    const MERGE: &str = "pullRequest(number: 1) { mergeable potentialMergeCommit { oid message committer { name email }
        parents(first: 3) { totalCount nodes { oid } } } }";
    let sim = Sim::start(feature()).await;
    let mut seen = Vec::new();
    let steps: [(&str, &str, Step); 3] = [
        ("m1", "a2", |_| {}),
        ("m2", "a2", |world| drop(world.push(REPO, "main", "m2", &[]))),
        ("m2", "a3", |world| drop(world.push(REPO, "feature", "a3", &[]))),
    ];
    for (base, head, step) in steps {
        sim.world(step);
        let merge = fields(&sim, MERGE).await["pullRequest"]["potentialMergeCommit"].clone();
        assert_eq!(merge["parents"]["nodes"], json!([{"oid": sha(base)}, {"oid": sha(head)}]));
        assert_eq!(merge["message"], format!("Merge {} into {}", sha(head), sha(base)));
        assert_eq!(merge["committer"], json!({"name": "GitHub", "email": "noreply@github.com"}));
        assert!(!seen.contains(&merge["oid"]));
        seen.push(merge["oid"].clone());
    }
    let old = fields(&sim, &format!("object(oid: {}) {{ oid }}", seen[0])).await;
    assert_eq!(old["object"]["oid"], seen[0]);
    sim.world(|world| world.set_mergeable(REPO, 1, Mergeability::Unknown));
    let pull = fields(&sim, MERGE).await["pullRequest"].clone();
    assert_eq!(pull, json!({"mergeable": "UNKNOWN", "potentialMergeCommit": null}));
}

#[tokio::test]
async fn a_renamed_repository_is_followed_unless_told_otherwise() {
    let mut world = feature();
    world.rename_repository(REPO, "neworg/newname");
    let sim = Sim::start(world).await;
    assert_eq!(fields(&sim, "nameWithOwner").await["nameWithOwner"], "neworg/newname");
    let strict = "{ repository(owner: \"myorg\", name: \"myrepo\", followRenames: false) { id } }";
    assert_eq!(graphql(&sim, strict).await["errors"][0]["type"], "NOT_FOUND");
    // Somebody takes the old name: it is another repository now.
    sim.world(|world| world.create_repository(REPO).id);
    assert_eq!(fields(&sim, "nameWithOwner").await["nameWithOwner"], REPO);
}

#[tokio::test]
async fn a_fine_grained_token_does_not_see_the_checks_of_a_private_repository() {
    let mut world = feature();
    world.green(REPO, "a2");
    world.github.tokens[0].kind = TokenKind::FineGrained;
    let sim = Sim::start(world).await;
    let rollup = repository("pullRequest(number: 1) { statusCheckRollup { state } }");
    assert_eq!(
        graphql(&sim, &rollup).await["data"]["repository"]["pullRequest"]["statusCheckRollup"]["state"],
        "SUCCESS"
    );
    sim.world(|world| world.github.repository_mut(REPO).private = true);
    let body = graphql(&sim, &rollup).await;
    assert_eq!(body["data"]["repository"]["pullRequest"], json!({"statusCheckRollup": null}));
    assert_eq!(body["errors"][0]["type"], "FORBIDDEN");
    assert_eq!(body["errors"][0]["message"], "Resource not accessible by personal access token");
    assert_eq!(body["errors"][0]["path"], json!(["repository", "pullRequest", "statusCheckRollup"]));
    let response = crate::get(&sim, &format!("/repos/{REPO}/commits/{}/check-runs", sha("a2"))).await;
    assert_eq!(response.status(), 403);
    // And what it may not see at all is not there.
    sim.world(|world| world.github.tokens[0].repositories = Some(Vec::new()));
    assert_eq!(graphql(&sim, &rollup).await["errors"][0]["type"], "NOT_FOUND");
}

#[tokio::test]
async fn forks_share_commits_and_keep_their_own_checks() {
    let mut world = feature();
    world.fork(REPO, "stranger/myrepo");
    world.push("stranger/myrepo", "feature", "f1", &["a2"]);
    world.open_pull(REPO, Pull::new(2, "feature").from_fork("stranger/myrepo"));
    world.green(REPO, "f1");
    let sim = Sim::start(world).await;
    let list = "pullRequests(first: 5, headRefName: \"feature\") { nodes { number isCrossRepository headRepository { nameWithOwner isFork } statusCheckRollup { state } headRef { target { ... on Commit { statusCheckRollup { state } } } } } }";
    let pulls = fields(&sim, list).await["pullRequests"]["nodes"].clone();
    assert_eq!(pulls[0]["isCrossRepository"], false);
    assert_eq!(pulls[1]["headRepository"], json!({"nameWithOwner": "stranger/myrepo", "isFork": true}));
    assert_eq!(pulls[1]["statusCheckRollup"]["state"], "SUCCESS");
    assert_eq!(pulls[1]["headRef"]["target"]["statusCheckRollup"], Value::Null);
    // A branch knows only the pull requests that come from it.
    let own =
        fields(&sim, "ref(qualifiedName: \"feature\") { associatedPullRequests(first: 5) { nodes { number } } }").await;
    assert_eq!(own["ref"]["associatedPullRequests"]["nodes"], json!([{"number": 1}]));
    sim.world(|world| world.delete_repository("stranger/myrepo"));
    let gone = fields(
        &sim,
        "pullRequest(number: 2) { headRefOid headRef { name } headRepository { name } isCrossRepository state }",
    )
    .await["pullRequest"]
        .clone();
    assert_eq!(
        gone,
        json!({"headRefOid": sha("f1"), "headRef": null, "headRepository": null, "isCrossRepository": true, "state": "OPEN"})
    );
}

#[tokio::test]
async fn history_and_comparisons_are_those_of_git() {
    let mut world = feature();
    world.push(REPO, "main", "m2", &[]);
    world.merge(REPO, "feature", "main");
    world.push(REPO, "main", "m3", &[]);
    let sim = Sim::start(world).await;
    let got = fields(&sim, "ref(qualifiedName: \"refs/heads/main\") { name prefix compare(headRef: \"feature\") { status aheadBy behindBy commits(first: 10) { nodes { oid } } } }
        defaultBranchRef { target { ... on Commit { history(first: 2) { totalCount pageInfo { hasNextPage } nodes { oid } } } } }").await;
    let compare = &got["ref"]["compare"];
    assert_eq!(
        (&compare["status"], &compare["aheadBy"], &compare["behindBy"]),
        (&json!("DIVERGED"), &json!(3), &json!(1))
    );
    assert_eq!(compare["commits"]["nodes"][0]["oid"], sha("a1"));
    let history = &got["defaultBranchRef"]["target"]["history"];
    assert_eq!(history["totalCount"], 3);
    assert_eq!(history["nodes"], json!([{"oid": sha("m3")}, {"oid": sha("m2")}]));
    let rest: Value = crate::get(&sim, &format!("/repos/{REPO}/compare/main...feature")).await.json().await.unwrap();
    assert_eq!((&rest["status"], &rest["ahead_by"], &rest["behind_by"]), (&json!("diverged"), &json!(3), &json!(1)));
    assert_eq!(rest["merge_base_commit"]["sha"], sha("m2"));
}

#[tokio::test]
async fn the_budget_is_of_the_worlds_hour() {
    let mut world = feature();
    world.github.limits.graphql = 2;
    let sim = Sim::start(world).await;
    let query = "{ rateLimit { limit cost remaining used } viewer { login } }";
    let first = ask(&sim, query, &json!({})).send().await.unwrap();
    assert_eq!((header(&first, "x-ratelimit-remaining"), header(&first, "x-ratelimit-resource")), ("1", "graphql"));
    assert_eq!(header(&first, "date"), "Mon, 05 Jan 2026 12:00:00 GMT");
    graphql(&sim, query).await;
    let limited = ask(&sim, query, &json!({})).send().await.unwrap();
    assert_eq!((limited.status().as_u16(), header(&limited, "x-ratelimit-remaining")), (200, "0"));
    let body: Value = limited.json().await.unwrap();
    assert_eq!(body["errors"][0]["type"], "RATE_LIMITED");
    assert!(body.get("data").is_none());
    assert_eq!(sim.points_spent(), 2);
    sim.world(|world| world.advance(3601));
    assert_eq!(graphql(&sim, query).await["data"]["rateLimit"]["remaining"], 1);
}

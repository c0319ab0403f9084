//! The naive way: with every question, one after the other, the branch's head, its check runs and its statuses from
//! GitHub, and both digests from the registry with a token of their own; nothing is remembered. Connections are kept.

use std::time::{Duration, Instant};

use lastgreen_sim::{PersonalToken, sha};
use serde_json::Value;

use crate::{
    service::Upstreams,
    world::{IMAGES, REPO, branch, commit},
};

/// How long so many questions take.
pub(crate) fn sweep(upstreams: &Upstreams, pulls: u64) -> Duration {
    let client = reqwest::Client::builder().user_agent("naive").build().unwrap();
    upstreams.runtime().block_on(async {
        let began = Instant::now();
        for number in 1..=pulls {
            answer(&client, upstreams, number).await;
        }
        began.elapsed()
    })
}

async fn answer(client: &reqwest::Client, upstreams: &Upstreams, number: u64) {
    let (api, host) = (upstreams.sim.github_url(), upstreams.sim.registry_host());
    let get = async |path: String| -> Value {
        let request = client.get(format!("{api}/repos/{REPO}/{path}")).bearer_auth(PersonalToken::DEFAULT);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    };
    let head = get(format!("commits/heads/{}", branch(number))).await;
    let head = head["sha"].as_str().unwrap();
    assert_eq!(head, sha(&commit(number, 0)));
    let runs = get(format!("commits/{head}/check-runs?per_page=100")).await;
    assert!(runs["check_runs"].as_array().unwrap().iter().all(|run| run["conclusion"] == "success"));
    get(format!("commits/{head}/status")).await;
    // One token for both.
    let scopes: Vec<String> = IMAGES.iter().map(|(_, image)| format!("scope=repository:{image}:pull")).collect();
    let token = client.get(format!("http://{host}/token?service={host}&{}", scopes.join("&")));
    let token: Value = token.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    for (_, image) in IMAGES {
        let look = client.head(format!("http://{host}/v2/{image}/manifests/sha-{head}"));
        let look = look.bearer_auth(token["token"].as_str().unwrap());
        let look = look
            .header("accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json");
        let look = look.send().await.unwrap().error_for_status().unwrap();
        assert!(look.headers().contains_key("docker-content-digest"));
    }
}

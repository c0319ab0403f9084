//! The simulator against what the real services are known to do.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cluster;
mod control;
mod github;
mod levers;
mod money;
mod pulls;
mod registry;
mod rest;
mod story;

use lastgreen_sim::{PersonalToken, Sim};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const REPO: &str = "myorg/myrepo";

/// A client that follows no redirect and waits for nothing.
fn client() -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("lastgreen-sim-tests")
        .no_proxy()
        .build()
        .unwrap()
}

/// A GraphQL request with the default token.
fn ask(sim: &Sim, query: &str, variables: &Value) -> RequestBuilder {
    client()
        .post(format!("{}/graphql", sim.github_url()))
        .bearer_auth(PersonalToken::DEFAULT)
        .json(&json!({"query": query, "variables": variables}))
}

/// The body of its answer.
async fn graphql(sim: &Sim, query: &str) -> Value {
    ask(sim, query, &json!({})).send().await.unwrap().json().await.unwrap()
}

/// A REST request with the default token.
async fn get(sim: &Sim, path: &str) -> Response {
    client().get(format!("{}{path}", sim.github_url())).bearer_auth(PersonalToken::DEFAULT).send().await.unwrap()
}

/// A header's text.
fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

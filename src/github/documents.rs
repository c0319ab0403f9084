//! Every GraphQL document that the program can send, so that tests can validate and cost them all.
//!
//! A document's points are what GitHub bills: a request for each parent of a connection, divided by 100. Connections
//! are therefore rare, and only two of the pull requests with one head name are read with their commits.

use serde_json::{Value, json};

macro_rules! document {
    ($name:literal $(, $fragment:literal)*) => {
        concat!(
            include_str!(concat!("documents/", $name, ".graphql")),
            $("\n", include_str!(concat!("documents/", $fragment, ".graphql"))),*
        )
    };
}

/// A pull request by its number, with its newest commits.
pub(super) const PULL: &str = document!("pull", "judged", "contexts");
/// An own branch and the open pull requests with that head name.
pub(super) const BRANCH: &str = document!("branch", "judged", "contexts");
/// Older commits of a pull request.
pub(super) const PULL_COMMITS: &str = document!("pull_commits", "judged", "contexts");
/// Older commits of a history.
pub(super) const HISTORY: &str = document!("history", "judged", "contexts");
/// Further checks of a commit.
pub(super) const CHECKS: &str = document!("checks", "contexts");
/// A commit by its object name.
pub(super) const COMMIT: &str = document!("commit");
/// What the credential may read.
pub(super) const DIAGNOSIS: &str = document!("diagnosis", "contexts");

/// Every document by name, with an example of its variables.
pub fn documents() -> Vec<(&'static str, String, Value)> {
    let oid = "0123456789abcdef0123456789abcdef01234567";
    let example = |more: Value| {
        let mut variables = json!({ "owner": "myorg", "name": "myrepo" });
        if let (Value::Object(variables), Value::Object(more)) = (&mut variables, more) {
            variables.extend(more);
        }
        variables
    };
    [
        ("pull", PULL, json!({ "number": 1, "walk": 20 })),
        ("branch", BRANCH, json!({ "ref": "refs/heads/feature", "head": "feature", "walk": 20 })),
        ("pull_commits", PULL_COMMITS, json!({ "number": 1, "page": 20, "before": "MjA" })),
        ("history", HISTORY, json!({ "oid": oid, "page": 20, "after": format!("{oid} 19") })),
        ("checks", CHECKS, json!({ "oid": oid, "after": "MTAw" })),
        ("commit", COMMIT, json!({ "oid": oid })),
        ("diagnosis", DIAGNOSIS, json!({})),
    ]
    .into_iter()
    .map(|(name, text, variables)| (name, text.to_owned(), example(variables)))
    .collect()
}

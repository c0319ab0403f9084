//! Every GraphQL document that the program can send, so that tests can validate and cost them all.
//!
//! A document's points are what GitHub bills: a request for each parent of a connection, divided by 100. Connections
//! are therefore rare, and only two of the pull requests with one head name are read with their commits. A page of
//! pull requests has no checks at all: what is slow about a query is not its points but the checks that it wants, so
//! those are asked for only where they may have changed, some pull requests at a time.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

macro_rules! document {
    ($name:literal $(, $fragment:literal)*) => {
        concat!(
            include_str!(concat!("documents/", $name, ".graphql")),
            $("\n", include_str!(concat!("documents/", $fragment, ".graphql"))),*
        )
    };
}

/// A pull request by its number, with its newest commits.
pub(super) const PULL: &str = document!("pull", "line", "walk", "judged", "contexts");
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
/// A page of open pull requests, the newest first, each with its head and whether all checks of that have passed.
pub(super) const PULLS: &str = document!("pulls", "line");
/// What the credential may read.
pub(super) const DIAGNOSIS: &str = document!("diagnosis", "contexts");

/// So many pull requests at once, the `i`th by the number `$n<i>` with `$w<i>` commits, as `p<i>`.
pub(super) fn together(count: usize) -> String {
    let (mut variables, mut pulls) = (String::new(), String::new());
    for i in 0..count {
        // Writing to a string cannot fail.
        let _ = write!(variables, ", $n{i}: Int!, $w{i}: Int!");
        let _ =
            writeln!(pulls, "    p{i}: pullRequest(number: $n{i}) {{ ...Line commits(last: $w{i}) {{ ...Walk }} }}");
    }
    format!(
        "query Together($owner: String!, $name: String!{variables}) {{
  repository(owner: $owner, name: $name) {{
    databaseId
    nameWithOwner
    isPrivate
{pulls}  }}
}}
{FRAGMENTS}"
    )
}

/// What [`together`] is made of.
const FRAGMENTS: &str = document!("line", "walk", "judged", "contexts");

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
    let many = |count: usize, walk: u32| {
        let variables = (0..count).flat_map(|i| [(format!("n{i}"), json!(i + 1)), (format!("w{i}"), json!(walk))]);
        Value::Object(variables.collect::<Map<_, _>>())
    };
    let fixed = [
        ("pull", PULL, json!({ "number": 1, "walk": 20 })),
        ("branch", BRANCH, json!({ "ref": "refs/heads/feature", "head": "feature", "walk": 20 })),
        ("pull_commits", PULL_COMMITS, json!({ "number": 1, "page": 20, "before": "MjA" })),
        ("history", HISTORY, json!({ "oid": oid, "page": 20, "after": format!("{oid} 19") })),
        ("checks", CHECKS, json!({ "oid": oid, "after": "MTAw" })),
        ("commit", COMMIT, json!({ "oid": oid })),
        ("diagnosis", DIAGNOSIS, json!({})),
        ("pulls", PULLS, json!({ "page": 100, "after": "Y3Vyc29yOnYy" })),
    ];
    let fixed = fixed.into_iter().map(|(name, text, variables)| (name, text.to_owned(), example(variables)));
    let dynamic = [("together: one", 1, 20), ("together: heads", 25, 1), ("together: walks", 10, 5)];
    let dynamic = dynamic.map(|(name, count, walk)| (name, together(count), example(many(count, walk))));
    fixed.chain(dynamic).collect()
}

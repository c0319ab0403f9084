//! The price of queries, row by row as it was reckoned by GitHub's formula.

use lastgreen_sim::{Cost, cost};
use serde_json::{Value, json};

fn priced(fields: &str) -> Cost {
    let query = format!("{{ repository(owner: \"o\", name: \"r\") {{ {fields} }} }}");
    cost(&query, &Value::Null).unwrap_or_else(|why| panic!("{query}: {why}"))
}

fn pulls(number: u32, inner: &str) -> String {
    format!("pullRequests(first: {number}) {{ nodes {{ number {inner} }} }}")
}

fn contexts(number: u32) -> String {
    format!("statusCheckRollup {{ state contexts(first: {number}) {{ nodes {{ __typename }} }} }}")
}

fn commits(number: u32, inner: &str) -> String {
    format!("commits(last: {number}) {{ nodes {{ commit {{ oid {inner} }} }} }}")
}

#[test]
fn the_table() {
    let state = "statusCheckRollup { state }";
    let aliases = |number: u32, inner: &str| -> String {
        let one = |nth| format!("c{nth}: object(oid: \"{nth:040}\") {{ ... on Commit {{ {inner} }} }}");
        (0..number).map(one).collect::<Vec<_>>().join(" ")
    };
    let refs = format!(
        "refs(refPrefix: \"refs/heads/\", first: 100) {{ nodes {{ target {{ ... on Commit {{ history(first: 20) {{ nodes {{ {state} }} }} }} }} }} }}"
    );
    let rows = [
        (pulls(100, state), 1, 1, 100),
        (pulls(100, &contexts(1)), 101, 1, 200),
        (pulls(100, &contexts(100)), 101, 1, 10_100),
        (pulls(100, &commits(20, state)), 101, 1, 2_100),
        (pulls(25, &commits(10, &contexts(20))), 276, 3, 5_275),
        (pulls(50, &commits(10, &contexts(20))), 551, 6, 10_550),
        (pulls(100, &commits(10, &contexts(20))), 1_101, 11, 21_100),
        (pulls(100, &commits(10, &contexts(100))), 1_101, 11, 101_100),
        (pulls(100, &commits(20, &contexts(20))), 2_101, 21, 42_100),
        (pulls(100, &commits(20, &contexts(100))), 2_101, 21, 202_100),
        (refs, 101, 1, 2_100),
        (aliases(50, &contexts(100)), 50, 1, 5_000),
        (aliases(100, state), 0, 1, 0),
    ];
    for (fields, requests, points, nodes) in rows {
        assert_eq!(priced(&fields), Cost { points, nodes, requests }, "{fields}");
    }
}

#[test]
fn variables_and_fragments_count() {
    let query = "query($n: Int!, $m: Int = 20) { repository(owner: \"o\", name: \"r\") { pullRequests(first: $n) { nodes { ...P } } } }
        fragment P on PullRequest { commits(last: $m) { nodes { commit { oid } } } }";
    let found = cost(query, &json!({"n": 50})).unwrap();
    assert_eq!((found.requests, found.nodes), (51, 1_050));
    assert_eq!(cost(query, &json!({"n": 50, "m": 2})).unwrap().nodes, 150);
}

#[test]
fn lists_have_bounds() {
    let refused = |fields: &str| {
        let query = format!("{{ repository(owner: \"o\", name: \"r\") {{ {fields} }} }}");
        cost(&query, &Value::Null).unwrap_err().kind
    };
    assert_eq!(refused("pullRequests { nodes { number } }"), "MISSING_PAGINATION_BOUNDARIES");
    assert_eq!(refused("pullRequests(first: 101) { nodes { number } }"), "EXCESSIVE_PAGINATION");
    assert_eq!(refused("pullRequests(last: 0) { nodes { number } }"), "INVALID_PAGINATION_BOUNDARIES");
    assert_eq!(refused(&pulls(100, &commits(100, &contexts(50)))), "MAX_NODE_LIMIT_EXCEEDED");
    assert_eq!(priced("pullRequests { totalCount }").nodes, 0);
}

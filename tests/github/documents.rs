//! Every document is valid by GitHub's published schema and costs what it may cost.

use lastgreen::github::documents;
use lastgreen_sim::cost;
use serde_json::json;

#[test]
fn every_document_is_valid_and_costs_a_point_or_two() {
    for (name, text, variables) in documents() {
        let cost = cost(&text, &variables).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A page of a hundred pull requests, each with its test merge and its head.
        let points = if name == "pulls" { 2 } else { 1 };
        assert_eq!(cost.points, points, "{name}: {cost:?}");
        assert!(cost.nodes <= 7_000, "{name}: {cost:?}");
    }
}

#[test]
fn the_longest_walk_is_still_cheap() {
    for (name, text, mut variables) in documents() {
        variables["walk"] = json!(100);
        let cost = cost(&text, &variables).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(cost.points <= 7 && cost.nodes <= 40_000, "{name}: {cost:?}");
    }
}

//! The JSON, field by field, as `docs/explain.md` documents it.

use serde_json::{Value, json};

use crate::{
    kinds::of_every_trouble,
    stage::{REPO, Stage, of_everything},
};
use lastgreen_sim::sha;

/// The keys of every object in a value, by where it is; the elements of a list are one.
fn keys(value: &Value, at: &str, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                keys(value, &at, found);
                found.insert(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{at}[]"), found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_line_in_the_list() {
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.ask("feature", Some(1)).await;
    stage.pass(90);
    let list = stage.look("/explain").await.json();
    let id = list["lines"][0]["repositoryId"].clone();
    assert!(id.is_u64());
    let at = |seconds: i64| {
        let now: chrono::DateTime<chrono::Utc> = list["now"].as_str().unwrap().parse().unwrap();
        (now + chrono::TimeDelta::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    assert_eq!(
        list["lines"],
        json!([{
            "generator": "preview", "repository": REPO, "repositoryId": id, "number": 1, "branch": "feature",
            "about": null, "items": null, "heldBack": null,
            "standing": "fresh", "standingSince": at(-90), "reason": "", "commit": sha("a1"),
            "servedSince": at(-90), "ageSeconds": 90, "answeredAt": at(-90), "askedAt": list["lines"][0]["askedAt"],
        }])
    );
    assert_eq!(list["generators"], json!([{ "name": "preview", "repository": REPO }]));
    assert_eq!(
        list["counts"],
        json!({ "fresh": 1, "held": 0, "not-yet": 0, "unknown": 0, "refused": 0, "not-asked": 0 })
    );
    for (key, value) in [("total", 1), ("matching", 1), ("page", 1), ("pages", 1), ("perPage", 200)] {
        assert_eq!(list[key], value, "{key}");
    }
    assert_eq!(list["problem"], Value::Null);
    let budget = &list["budgets"][0];
    assert_eq!((&budget["name"], &budget["limit"]), (&json!("GitHub GraphQL"), &json!(5000)));
    assert!(budget["remaining"].as_u64().unwrap() < 5000);
}

#[tokio::test]
async fn the_documentation_names_every_field_and_no_other() {
    let stage = of_everything().await;
    let mut found = std::collections::BTreeSet::new();
    keys(&stage.look("/explain").await.json(), "", &mut found);
    for path in ["?number=12", "?number=14", "?number=9", "?branch=main&number=none"] {
        let reply = stage.look(&format!("/explain{path}")).await;
        assert_eq!(reply.status, 200, "{path} {}", reply.text);
        keys(&reply.json(), "", &mut found);
    }
    // And of every kind, with something of all that may be there.
    let stage = of_every_trouble().await;
    for path in ["", "?generator=tenants&about=inputs+%7B%7D", "?generator=mixed&number=12"] {
        let reply = stage.look(&format!("/explain{path}")).await;
        assert_eq!(reply.status, 200, "{path} {}", reply.text);
        keys(&reply.json(), "", &mut found);
    }
    let docs = include_str!("../../docs/explain.md").split_once("\n## The JSON\n").unwrap().1;
    // The rows of its tables begin with a field in back ticks.
    let fields = docs.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|rest| rest.split('`').next());
    let documented: std::collections::BTreeSet<_> = fields.map(str::to_owned).collect();
    // The counts' keys are the standings, the answer of a line is a line of the list.
    let told = |field: &&String| !field.starts_with("counts.") && !field.starts_with("answer.");
    let found: std::collections::BTreeSet<_> = found.iter().filter(told).cloned().collect();
    let (missing, extra): (Vec<_>, Vec<_>) =
        (found.difference(&documented).collect(), documented.difference(&found).collect());
    assert!(missing.is_empty() && extra.is_empty(), "not documented: {missing:?}\nnot there: {extra:?}");
}

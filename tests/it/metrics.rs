//! What Prometheus is told.

use std::collections::{BTreeMap, BTreeSet};

use lastgreen_sim::{Fault, Target, What};
use serde_json::json;

use crate::stage::{REPO, Setup, Stage};

/// The values of a page, by name and labels; with a value that is zero left out.
fn values(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let values = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse::<f64>().unwrap())
    });
    values.filter(|(_, value)| *value != 0.0).collect()
}

#[track_caller]
fn assert_has(page: &str, expected: &[(&str, f64)]) {
    let values = values(page);
    for (name, value) in expected {
        assert_eq!(values.get(*name).copied().unwrap_or(0.0), *value, "{name} in\n{page}");
    }
}

#[tokio::test]
async fn each_question_and_each_request_is_counted_once() {
    let stage = Stage::new(Setup { trust_after: "1s", ..Setup::default() }).await;
    stage.earn_trust().await;
    stage.pull(1, "feature", "a1");
    let build = stage.built("a1");
    let before = values(&stage.scraped());
    for _ in 0..3 {
        stage.ask("feature").await.is(&build, "fresh");
    }
    stage.ask_with(json!({})).await.is_refused(400);
    stage.sim.world(|world| world.red(REPO, "a1"));
    stage.pass(301);
    stage.ask("feature").await.is(&build, "held");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.pass(301);
    stage.ask("unheard-of").await.is_nothing("unknown");
    let page = stage.scraped();
    let questions = |outcome: &str| format!("lastgreen_questions_total{{generator=\"preview\",outcome=\"{outcome}\"}}");
    let github = |outcome: &str| format!("lastgreen_upstream_requests_total{{host=\"GitHub\",outcome=\"{outcome}\"}}");
    let host = stage.sim.registry_host();
    let added = |name: &str| values(&page).get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    for (outcome, count) in [("fresh", 3.0), ("held", 1.0), ("unknown", 1.0), ("bad", 1.0), ("refused", 0.0)] {
        assert_eq!(added(&questions(outcome)), count, "{outcome} in\n{page}");
    }
    // The first was recorded, the second found so; the third needs no look.
    assert_eq!(added("lastgreen_warm_answers_total{generator=\"preview\"}"), 1.0, "{page}");
    assert_eq!(added("lastgreen_look_duration_seconds_count{generator=\"preview\"}"), 5.0, "{page}");
    assert_eq!(added(&github("2xx")), 2.0, "{page}");
    assert!(added(&github("5xx")) > 0.0, "{page}");
    let heads = format!("lastgreen_upstream_requests_total{{host=\"{host}\",outcome=\"2xx\"}}");
    assert_eq!(added(&heads), 2.0, "{page}");
    assert_has(
        &page,
        &[
            ("lastgreen_upstream_up{host=\"GitHub\"}", 0.0),
            (&format!("lastgreen_upstream_up{{host=\"{host}\"}}"), 1.0),
            ("lastgreen_ledger_up", 1.0),
            ("lastgreen_ledger_errors_total", 0.0),
            ("lastgreen_leader", 1.0),
            ("lastgreen_lines{generator=\"preview\",known=\"item\"}", 1.0),
            ("lastgreen_github_budget_limit", 5000.0),
        ],
    );
    assert!(values(&page)["lastgreen_github_budget_remaining"] < 5000.0, "{page}");
    assert!(values(&page)["lastgreen_github_budget_reset_seconds"] <= 3600.0, "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn no_question_adds_a_label() {
    let stage = Stage::new(Setup::default()).await;
    let names = |page: &str| -> BTreeSet<String> {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.ask("feature").await;
    let before = names(&stage.scraped());
    for number in 0..200 {
        stage.ask(&format!("branch-\"{number}\u{e9}")).await;
    }
    assert_eq!(names(&stage.scraped()), before);
    assert!(before.len() < 100, "{}", before.len());
}

/// What is told of in dashboards and alerts, and is there.
#[tokio::test]
async fn dashboards_and_alerts_know_the_names() {
    let stage = Stage::new(Setup::default()).await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.ask("feature").await;
    let page = stage.scraped();
    let there: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/monitoring/");
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = std::fs::read_to_string(format!("{root}{file}")).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<_> = words.filter(|word| word.starts_with("lastgreen_")).collect();
        assert!(named.len() > 8, "{file}");
        for name in named {
            assert!(there.contains(name), "`{name}` of {file} is not told of");
        }
    }
    // And every alert has its line in the documentation.
    let alerts = std::fs::read_to_string(format!("{root}alerts.yaml")).unwrap();
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(docs.contains(&format!("| `{alert}` |")), "{alert}");
    }
}

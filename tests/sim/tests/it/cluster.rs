//! The simulated cluster against what a real API server is known to do.

use lastgreen_sim::{Cluster, GoneAs, Rule};
use serde_json::{Value, json};

use super::client;

const SERVICES: &str = "/api/v1/namespaces/team/services";
const LABELLED: &str = "labelSelector=argocd.argoproj.io%2Fplugin%3Dtrue";

async fn get(cluster: &Cluster, path: &str) -> reqwest::Response {
    client().get(format!("{}{path}", cluster.url())).bearer_auth(Cluster::TOKEN).send().await.unwrap()
}

/// The status of an answer and its body.
async fn answer(cluster: &Cluster, path: &str) -> (u16, Value) {
    let response = get(cluster, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[track_caller]
fn refused(answer: &(u16, Value), code: u16, reason: &str) {
    assert_eq!(answer.0, code, "{answer:?}");
    let expected = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&answer.1[key], value, "{answer:?}");
    }
}

/// A watch that is read event by event.
struct Watch(reqwest::Response, Vec<u8>);

impl Watch {
    async fn begin(cluster: &Cluster, query: &str) -> Self {
        let response = get(cluster, &format!("{SERVICES}?watch=true&{query}")).await;
        assert_eq!(response.status(), 200);
        Self(response, Vec::new())
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.1.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.1.extend(self.0.chunk().await.ok()??);
        }
    }

    /// The next event's type, and its object's name and version.
    async fn told(&mut self) -> (String, String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &event["object"]["metadata"];
        (text(&event["type"]), text(&metadata["name"]), text(&metadata["resourceVersion"]))
    }
}

fn told(kind: &str, name: &str, version: u64) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), version.to_string())
}

#[tokio::test]
async fn who_is_not_known_or_may_not_is_refused_with_a_status() {
    let cluster = Cluster::start(&["team"]).await;
    let response = client().get(format!("{}{SERVICES}", cluster.url())).send().await.unwrap();
    refused(&(response.status().as_u16(), response.json().await.unwrap()), 401, "Unauthorized");
    for path in [
        "/api/v1/namespaces/other/services",
        "/api/v1/namespaces/team/services/one",
        "/api/v1/namespaces/team/secrets",
        "/api/v1/namespaces/team/secrets/one",
        "/api/v1/services",
        "/apis",
    ] {
        refused(&answer(&cluster, path).await, 403, "Forbidden");
    }
    let (_, body) = answer(&cluster, "/api/v1/namespaces/other/services?watch=1").await;
    assert_eq!(
        body["message"],
        "services is forbidden: User \"system:serviceaccount:lastgreen:lastgreen\" cannot watch resource \"services\" in \
         API group \"\" in the namespace \"other\""
    );
    cluster.grant(Rule::new("team", "secrets", &["get"]).named("one"));
    refused(&answer(&cluster, "/api/v1/namespaces/team/secrets/two").await, 403, "Forbidden");
    refused(&answer(&cluster, "/api/v1/namespaces/team/secrets/one").await, 404, "NotFound");
    cluster.secret("team", "one", "key", b"hunter2");
    let (status, body) = answer(&cluster, "/api/v1/namespaces/team/secrets/one").await;
    assert_eq!((status, &body["data"]["key"]), (200, &json!("aHVudGVyMg==")));
}

#[tokio::test]
async fn a_list_is_of_one_version_and_comes_in_pages_of_it() {
    let cluster = Cluster::start(&["team"]).await;
    for name in ["a", "b", "c"] {
        cluster.plugin("team", name, &json!({}), &[]);
    }
    cluster.apply_service(json!({ "metadata": { "namespace": "team", "name": "other" }, "spec": {} }));
    let (_, all) = answer(&cluster, SERVICES).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
    assert!(all["items"][0].get("kind").is_none());
    for (selector, count) in [(LABELLED, 3), ("labelSelector=!argocd.argoproj.io/plugin", 1), ("labelSelector=x", 0)] {
        let (_, list) = answer(&cluster, &format!("{SERVICES}?{selector}")).await;
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{selector}");
    }
    let (_, first) = answer(&cluster, &format!("{SERVICES}?{LABELLED}&limit=2")).await;
    cluster.plugin("team", "d", &json!({}), &[]);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = format!("{SERVICES}?{LABELLED}&limit=2&continue={token}");
    let (_, second) = answer(&cluster, &rest).await;
    assert_eq!(second["items"].as_array().unwrap().len(), 1, "as it was when the list was begun");
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
    refused(&answer(&cluster, &format!("{rest}&resourceVersion=5")).await, 400, "BadRequest");
    refused(&answer(&cluster, &format!("{SERVICES}?continue=zzz")).await, 400, "BadRequest");
    answer(&cluster, &format!("{SERVICES}?{LABELLED}&limit=2")).await;
    cluster.compact();
    refused(&answer(&cluster, &rest).await, 410, "Expired");
    refused(&answer(&cluster, &format!("{SERVICES}?labelSelector=a%20b%20c")).await, 400, "BadRequest");
}

#[tokio::test]
async fn a_watch_tells_what_happened_since_its_version() {
    let cluster = Cluster::start(&["team"]).await;
    cluster.plugin("team", "a", &json!({}), &[]);
    let mut watch = Watch::begin(&cluster, &format!("{LABELLED}&resourceVersion=1007")).await;
    cluster.plugin("team", "b", &json!({}), &[]);
    cluster.plugin("other", "c", &json!({}), &[]);
    cluster.plugin("team", "a", &json!({ "type": "ExternalName" }), &[]);
    // To one who looks for a label, what loses it is gone.
    cluster.apply_service(json!({ "metadata": { "namespace": "team", "name": "a" }, "spec": {} }));
    cluster.delete_service("team", "b");
    for expected in
        [told("ADDED", "b", 1014), told("MODIFIED", "a", 1028), told("DELETED", "a", 1035), told("DELETED", "b", 1042)]
    {
        assert_eq!(watch.told().await, expected);
    }
    // From an earlier version the past is told too, and from none what there is.
    let mut again = Watch::begin(&cluster, "resourceVersion=1028").await;
    assert_eq!(again.told().await, told("MODIFIED", "a", 1035));
    let mut fresh = Watch::begin(&cluster, "").await;
    assert_eq!(fresh.told().await, told("ADDED", "a", 1035));
    refused(&answer(&cluster, &format!("{SERVICES}?watch=true&resourceVersion=1043")).await, 504, "Timeout");
    refused(&answer(&cluster, &format!("{SERVICES}?watch=true&resourceVersion=x")).await, 400, "BadRequest");
    cluster.end_watches();
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn bookmarks_come_to_whom_asks_for_them() {
    let cluster = Cluster::start(&["team"]).await;
    let mut with = Watch::begin(&cluster, "resourceVersion=1000&allowWatchBookmarks=true").await;
    let mut without = Watch::begin(&cluster, "resourceVersion=1000").await;
    cluster.secret("team", "one", "key", b"x");
    cluster.bookmark();
    cluster.plugin("team", "a", &json!({}), &[]);
    assert_eq!(with.told().await, told("BOOKMARK", "", 1007));
    assert_eq!(with.told().await, told("ADDED", "a", 1014));
    assert_eq!(without.told().await, told("ADDED", "a", 1014));
}

#[tokio::test]
async fn what_is_gone_is_said_to_be_gone() {
    let cluster = Cluster::start(&["team"]).await;
    cluster.compact();
    let mut watch = Watch::begin(&cluster, "resourceVersion=1000").await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(watch.next().await, None);
    cluster.say_gone_as(GoneAs::Status);
    refused(&answer(&cluster, &format!("{SERVICES}?watch=true&resourceVersion=1000")).await, 410, "Expired");
    let mut watch = Watch::begin(&cluster, "resourceVersion=1007").await;
    cluster.fail_watches(410);
    assert_eq!(watch.next().await.unwrap()["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
    let mut watch = Watch::begin(&cluster, "resourceVersion=1007").await;
    cluster.cut_watches();
    assert_eq!(watch.next().await, None);
    assert!(!watch.1.is_empty(), "in the middle of a line");
}

//! How a plugin is asked, and what of its answers is taken.

use std::{collections::BTreeSet, sync::Arc};

use lastgreen::{
    clock::{Clock as _, ManualClock},
    domain::Inputs,
    kubernetes::Overrides,
    parts::{
        part::{CannotSay, Values},
        plugins::{PluginOptions, PluginPart, PluginPlace, PluginState},
    },
};
use serde_json::json;

use crate::{
    double::{Double, answer, items, two},
    stage::{Stage, TEAM, branch, item, options},
};

/// A part at an address, and its clock.
pub(crate) struct At {
    pub(crate) part: PluginPart,
    pub(crate) clock: ManualClock,
}

impl At {
    pub(crate) fn new(double: &Double) -> Self {
        Self::with(double, |_| {})
    }

    pub(crate) fn with(double: &Double, change: impl FnOnce(&mut PluginOptions)) -> Self {
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let mut options = options(PluginPlace::Url(double.url()));
        change(&mut options);
        Self { part: PluginPart::new(options, Arc::new(clock.clone())).unwrap(), clock }
    }

    pub(crate) async fn ask(&self) -> Result<Vec<Values>, CannotSay> {
        let until = self.clock.now() + std::time::Duration::from_secs(9);
        self.part.items(&branch(), "fb-matrix", until).await
    }

    pub(crate) async fn problem(&self) -> String {
        let reason = self.ask().await.unwrap_err().reason;
        reason.strip_prefix("the plugin `other`: ").unwrap().to_owned()
    }
}

#[tokio::test]
async fn it_is_asked_as_argo_cd_asks_it() {
    let double = Double::start(|_| Some(two())).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
    let at = At::with(&double, |options| options.token_file = Some(folder.path().join("token")));
    assert_eq!(at.part.state(), PluginState::Unasked);
    assert_eq!(at.ask().await, Ok(items()));
    assert_eq!(at.part.state(), PluginState::Well);
    let [asked] = &double.asked()[..] else { panic!("asked once") };
    assert_eq!(asked.what, "POST /api/v1/getparams.execute");
    assert_eq!(asked.authorization.as_deref(), Some("Bearer strong-password"));
    assert_eq!(asked.content_type.as_deref(), Some("application/json"));
    assert_eq!(
        asked.body,
        json!({ "applicationSetName": "fb-matrix", "input": { "parameters": { "branch": "feature", "number": "7" } } })
    );
    // A token that changes is read again; nothing of it is ever shown.
    std::fs::write(folder.path().join("token"), "another").unwrap();
    at.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(at.ask().await, Ok(items()));
    assert_eq!(double.asked()[0].authorization.as_deref(), Some("Bearer another"));
    assert!(!format!("{:?}", at.part).contains("another"));
}

#[tokio::test]
async fn only_what_it_may_know_is_passed_on() {
    let double = Double::start(|_| Some(answer(200, r#"{"output":{"parameters":[]}}"#))).await;
    let at = At::with(&double, |options| {
        options.inputs = Some(Inputs::of(["number"]).unwrap());
        options.path = Some("/ask/me".parse().unwrap());
    });
    assert_eq!(at.ask().await, Ok(Vec::new()), "an empty list that was said is an answer");
    assert_eq!((at.part.inputs(), At::new(&double).part.inputs()), (Inputs::of(["number"]).unwrap(), Inputs::All));
    let [asked] = &double.asked()[..] else { panic!("asked once") };
    assert_eq!((asked.what.as_str(), &asked.authorization), ("POST /ask/me", &None));
    assert_eq!(asked.body["input"]["parameters"], json!({ "number": "7" }));
}

#[tokio::test]
async fn what_is_no_list_that_was_meant_says_nothing() {
    let large = format!("{{\"output\":{{\"parameters\":[]}},\"more\":\"{}\"}}", "x".repeat(5 << 20));
    for (status, body, problem) in [
        (200, String::new(), "its answer is empty; no items would be `{\"output\":{\"parameters\":[]}}`"),
        (200, "<html></html>".to_owned(), "its answer is a page, not JSON: is this the plugin's address?"),
        (200, large, "its body has more than 1048576 bytes"),
        (200, "{\"output\":{\"parameters\":null}}".to_owned(), "its `output.parameters` is null, not a list"),
        (204, String::new(), "it answered 204 and not 200"),
        (201, "{\"output\":{\"parameters\":[]}}".to_owned(), "it answered 201 and not 200"),
        (400, String::new(), "it answered 400 and not 200"),
        (401, String::new(), "it refuses a question without a token (401)"),
        (403, String::new(), "it refuses a question without a token (403)"),
        (404, String::new(), "nothing answers at its path `/api/v1/getparams.execute` (404)"),
        (405, String::new(), "nothing answers at its path `/api/v1/getparams.execute` (405)"),
        (500, "{\"output\":{\"parameters\":[]}}".to_owned(), "it answered 500"),
    ] {
        let double = Double::start(move |_| Some(answer(status, body.clone()))).await;
        let at = At::new(&double);
        assert_eq!(at.problem().await, problem);
        assert_eq!(at.problem().await, problem, "the same words for the same cause");
        assert!(matches!(at.part.state(), PluginState::Failing(why) if why.reason.ends_with(problem)));
        assert_eq!(at.part.well_since(), None);
    }
}

#[tokio::test]
async fn a_body_without_an_announced_end_is_bounded_too() {
    let double = Double::start(|_| {
        let chunk = || Ok::<_, std::io::Error>(vec![b' '; 64 << 10]);
        let chunks = futures_util::stream::iter(std::iter::repeat_with(chunk));
        Some(answer(200, axum::body::Body::from_stream(chunks)))
    })
    .await;
    assert_eq!(At::new(&double).problem().await, "its body has more than 1048576 bytes");
}

#[tokio::test]
async fn a_redirect_takes_the_token_nowhere() {
    let elsewhere = Double::start(|_| Some(two())).await;
    let target = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let double = Double::start(move |_| {
            let mut response = answer(status, "");
            response.headers_mut().insert("location", format!("{target}/x").parse().unwrap());
            Some(response)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "strong-password\n").unwrap();
        let at = At::with(&double, |options| options.token_file = Some(folder.path().join("token")));
        assert_eq!(
            at.problem().await,
            format!("it redirects ({status}), which is not followed: its address must be the final one")
        );
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn keys_that_are_other_ones_each_time_are_refused_where_they_are_told() {
    let double = Double::start(|asked| {
        let number = asked.body["applicationSetName"].as_str().unwrap().len();
        Some(answer(200, format!("{{\"output\":{{\"parameters\":[{{\"a\":{number},\"key{number}\":1}}]}}}}")))
    })
    .await;
    let ask = async |keys: Option<&[&str]>, set: &str| {
        let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>());
        let at = At::with(&double, |options| options.keys = keys);
        at.part.items(&branch(), set, at.clock.now() + std::time::Duration::from_secs(9)).await
    };
    assert_eq!(ask(Some(&["a"]), "x").await, Ok(vec![item([("a", "1")])]));
    assert_eq!(ask(Some(&["a"]), "xx").await, Ok(vec![item([("a", "2")])]));
    assert_eq!(
        ask(Some(&["a", "key1"]), "xx").await.unwrap_err().reason,
        "the plugin `other`: item 1 of its list lacks the key `key1`"
    );
    assert_eq!(ask(None, "xx").await, Ok(vec![item([("a", "2"), ("key2", "1")])]));
}

#[tokio::test]
async fn a_service_is_asked_at_its_cluster_ip_by_its_name() {
    let stage = Stage::new().await;
    let double = Double::start(|_| Some(two())).await;
    let spec = json!({
        "type": "ClusterIP",
        "clusterIP": "127.0.0.1",
        "ports": [{ "name": "metrics", "port": 1 }, { "name": "http", "port": double.port() }],
    });
    stage.cluster.plugin(TEAM, "plugin", &spec, &[("lastgreen.io/port", "http"), ("lastgreen.io/inputs", "branch")]);
    stage.knows(&["plugin"]).await;
    let part = stage.part("plugin");
    assert_eq!(stage.ask(&part).await, Ok(items()));
    let [asked] = &double.asked()[..] else { panic!("asked once") };
    assert_eq!(
        (asked.what.as_str(), asked.host.as_str()),
        ("POST /api/v1/getparams.execute", &*format!("plugin.team.svc:{}", double.port()))
    );
    assert_eq!(asked.body["input"]["parameters"], json!({ "branch": "feature" }));
}

#[tokio::test]
async fn a_service_that_appears_is_used_and_one_that_goes_is_not() {
    let stage = Stage::new().await;
    stage.knows(&[]).await;
    stage.cluster.watched_by(1).await;
    let (first, second) = (Double::start(|_| Some(two())).await, Double::start(|_| Some(two())).await);
    let part = stage.part("plugin");
    let absent = "the plugin `other`: the namespace `team` has no Service `plugin` with the label \
                  `argocd.argoproj.io/plugin: \"true\"`";
    assert_eq!(stage.ask(&part).await.unwrap_err().reason, absent);
    stage.apply_external("plugin", first.port(), &[]);
    stage.knows(&["plugin"]).await;
    assert_eq!(stage.ask(&part).await, Ok(items()));
    assert_eq!(stage.ask(&part).await, Ok(items()));
    assert_eq!(first.asked().len(), 2);
    // It moves: whoever is asked from now on is at the new place.
    let moved = format!("http://localhost:{}", second.port());
    stage.apply_external("plugin", second.port(), &[]);
    stage
        .until(|stage| {
            let services = stage.known(0).services.unwrap_or_default();
            services.iter().any(|service| service.endpoint(&Overrides::default()).unwrap().address() == moved)
        })
        .await;
    assert_eq!(stage.ask(&part).await, Ok(items()));
    assert_eq!((first.asked().len(), second.asked().len()), (0, 1));
    stage.cluster.delete_service(TEAM, "plugin");
    stage.knows(&[]).await;
    assert_eq!(stage.ask(&part).await.unwrap_err().reason, absent);
    assert!(second.asked().is_empty());
}

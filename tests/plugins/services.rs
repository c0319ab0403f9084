//! Services that appear, change and go.

use lastgreen::kubernetes::Overrides;
use lastgreen_sim::Cluster;
use serde_json::json;

use crate::stage::{Stage, TEAM, cluster_ip};

/// The annotation with the path.
const PATH: &str = "lastgreen.io/path";

#[tokio::test]
async fn what_is_there_is_listed_and_watched_from_there_on() {
    let stage = Stage::new().await;
    stage.cluster.watched_by(1).await;
    let select = "labelSelector=argocd.argoproj.io%2Fplugin%3Dtrue";
    let path = "/api/v1/namespaces/team/services";
    assert_eq!(
        stage.cluster.seen(),
        [
            format!("GET {path}?&{select}&limit=100"),
            format!("GET {path}?&watch=true&timeoutSeconds=290&{select}&allowWatchBookmarks=true&resourceVersion=1000"),
        ]
    );
    assert_eq!(stage.known(0).services, Some(vec![]));
    assert_eq!(stage.trouble(), None);
}

#[tokio::test]
async fn one_that_appears_changes_or_goes_does_so_at_once() {
    let stage = Stage::new().await;
    stage.apply("first", &[]);
    stage.knows(&["first"]).await;
    stage.apply("second", &[]);
    stage.knows(&["first", "second"]).await;

    let path = |stage: &Stage| {
        let services = stage.known(0).services.unwrap_or_default();
        services.first().and_then(|first| first.endpoint(&Overrides::default()).ok()).map(|said| said.path.to_string())
    };
    assert_eq!(path(&stage).as_deref(), Some("/api/v1/getparams.execute"));
    stage.apply("first", &[(PATH, "/other")]);
    stage.until(|stage| path(stage).as_deref() == Some("/other")).await;

    stage.cluster.delete_service(TEAM, "first");
    stage.knows(&["second"]).await;
    assert_eq!(
        stage.find("first").await.unwrap_err(),
        "the namespace `team` has no Service `first` with the label `argocd.argoproj.io/plugin: \"true\"`"
    );
    // Its label is what makes it a plugin's.
    let unlabelled = json!({ "metadata": { "namespace": TEAM, "name": "second" }, "spec": cluster_ip() });
    stage.cluster.apply_service(unlabelled.clone());
    stage.knows(&[]).await;
    stage.apply("second", &[]);
    stage.knows(&["second"]).await;
    let mut another = unlabelled;
    another["metadata"]["labels"] = json!({ "argocd.argoproj.io/plugin": "false" });
    stage.cluster.apply_service(another);
    stage.knows(&[]).await;
    // All of that on one list and one watch.
    assert_eq!(stage.cluster.seen().len(), 2);
}

#[tokio::test]
async fn one_that_cannot_be_used_is_known_and_harms_no_other() {
    let stage = Stage::new().await;
    stage.cluster.plugin(TEAM, "portless", &json!({ "type": "ClusterIP", "clusterIP": "10.0.0.1" }), &[]);
    stage.apply("hostile", &[(PATH, "//evil.example"), ("lastgreen.io/host", "evil.example")]);
    stage.apply("well", &[]);
    stage.knows(&["hostile", "portless", "well"]).await;
    let problem = async |name: &str| stage.find(name).await.unwrap().endpoint(&Overrides::default()).map(|_| ());
    assert_eq!(problem("well").await, Ok(()));
    assert_eq!(problem("portless").await.unwrap_err(), "it has no ports");
    assert!(problem("hostile").await.unwrap_err().starts_with("its annotation `lastgreen.io/host` is not known"));
    // It is used as soon as it is put right.
    stage.apply("hostile", &[(PATH, "/fine")]);
    stage
        .until(|stage| {
            let services = stage.known(0).services.unwrap_or_default();
            services.iter().all(|service| service.name != "hostile" || service.endpoint(&Overrides::default()).is_ok())
        })
        .await;
    let part = stage.part("portless");
    assert_eq!(
        stage.ask(&part).await.unwrap_err().reason,
        "the plugin `other`: the Service `portless` in the namespace `team` cannot be used: it has no ports"
    );
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let cluster = Cluster::start(&[TEAM]).await;
    for number in 0..250 {
        cluster.plugin(TEAM, &format!("plugin-{number:03}"), &cluster_ip(), &[]);
    }
    let stage = Stage::before(cluster, &[TEAM]);
    stage.cluster.watched_by(1).await;
    assert_eq!(stage.names().len(), 250);
    let seen = stage.cluster.seen();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(!seen[0].contains("continue=") && seen[1].contains("continue=") && seen[2].contains("continue="));
}

#[tokio::test]
async fn there_may_not_be_too_many() {
    let cluster = Cluster::start(&[TEAM]).await;
    for number in 0..=1000 {
        cluster.plugin(TEAM, &format!("plugin-{number}"), &cluster_ip(), &[]);
    }
    let stage = Stage::before(cluster, &[TEAM]);
    stage.until(|stage| stage.trouble().is_some()).await;
    assert_eq!(
        stage.find("plugin-1").await.unwrap_err(),
        "the Services of the namespace `team` are not known: Kubernetes: the namespace `team` has more than 1000 Services \
         with the label"
    );
}

#[tokio::test]
async fn each_namespace_is_one_of_its_own() {
    let cluster = Cluster::start(&["one", "two"]).await;
    cluster.plugin("one", "here", &cluster_ip(), &[]);
    cluster.plugin("two", "there", &cluster_ip(), &[]);
    cluster.plugin("three", "elsewhere", &cluster_ip(), &[]);
    let stage = Stage::before(cluster, &["one", "two"]);
    stage.cluster.watched_by(2).await;
    let find = async |namespace: &str, name: &str| stage.kubernetes.find(namespace, name, stage.soon()).await;
    assert!(find("one", "here").await.is_ok() && find("two", "there").await.is_ok());
    assert!(find("one", "there").await.is_err());
    assert_eq!(
        find("three", "elsewhere").await.unwrap_err(),
        "the namespace `three` is not one of those that are looked in"
    );
}

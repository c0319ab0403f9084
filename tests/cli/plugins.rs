//! `check` and `plugins list`: what the service that runs knows of other plugins.

use lastgreen_sim::{Cluster, Rule};
use serde_json::json;

use crate::stage::Stage;

/// The configuration of a stage with two other plugins: one at an address, one behind a Service of this cluster.
fn configure(stage: &Stage, cluster: &Cluster) {
    let folder = stage.folder().display();
    stage.write("ops", "of-the-operators\n");
    stage.write("cluster", Cluster::TOKEN);
    stage.write("tenants", "token-of-the-tenants");
    let (config, ops) = (stage.config(), "ops: { listen: \"127.0.0.1:0\" }");
    assert!(config.contains(ops));
    let config = config.replace(ops, &format!("ops: {{ listen: \"127.0.0.1:0\", tokenFile: {folder}/ops }}"));
    stage.configure(&format!(
        "{config}    plugins:
      tenants: {{ url: 'http://127.0.0.1:1', tokenFile: {folder}/tenants }}
      quotas: {{ service: quotas, namespace: team }}
kubernetes:
  namespaces: [team, other]
  api: {}
  tokenFile: {folder}/cluster
",
        cluster.url()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_looks_for_them_and_asks_none() {
    let (stage, cluster) = (Stage::new().await, Cluster::start(&["team"]).await);
    configure(&stage, &cluster);
    let done = stage.run(&["check"]).ended(5);
    done.says("ok       namespace team: its Services can be listed and watched")
        .says("WRONG    namespace other: Kubernetes: lastgreen may not list Services in the namespace `other` (403)")
        .says("ok       preview: plugins.tenants: is asked at http://127.0.0.1:1/api/v1/getparams.execute with a token")
        .says("WRONG    preview: plugins.quotas: the plugin `quotas`: the namespace `team` has no Service `quotas`");
    let spec = json!({ "type": "ClusterIP", "clusterIP": "10.1.2.3", "ports": [{ "port": 4355 }] });
    cluster.plugin("team", "quotas", &spec, &[("lastgreen.io/token", "quota-token:key")]);
    cluster.plugin("team", "portless", &json!({ "type": "ClusterIP", "clusterIP": "10.1.2.4" }), &[]);
    cluster.grant(Rule::new("other", "services", &["list"]));
    let done = stage.run(&["check"]).ended(5);
    done.says("WRONG    namespace other: Kubernetes: lastgreen may not watch Services in the namespace `other` (403)")
        .says("warning  Service team/portless: it has no ports")
        .says(
            "WRONG    preview: plugins.quotas: the plugin `quotas`: no token for it: Kubernetes: lastgreen may not get",
        );
    cluster.grant(Rule::new("other", "services", &["watch"]));
    cluster.grant(Rule::new("team", "secrets", &["get"]).named("quota-token"));
    cluster.secret("team", "quota-token", "key", b"token-of-the-quotas");
    let done = stage.run(&["check"]).ended(0);
    let said = "preview: plugins.quotas: is asked at http://quotas.team.svc:4355/api/v1/getparams.execute with a token";
    done.says(&format!("ok       {said}"));
    assert!(!format!("{done:?}").contains("token-of-the"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_and_what_was_found_is_shown_without_a_secret() {
    let (stage, cluster) = (Stage::new().await, Cluster::start(&["team"]).await);
    let spec = json!({ "type": "ClusterIP", "clusterIP": "10.1.2.3", "ports": [{ "port": 4355 }] });
    let said =
        [("lastgreen.io/token", "quota-token:key"), ("lastgreen.io/inputs", "branch"), ("lastgreen.io/path", "/ask")];
    cluster.plugin("team", "quotas", &spec, &said);
    cluster.plugin("team", "portless", &json!({ "type": "ClusterIP", "clusterIP": "10.1.2.4" }), &[]);
    cluster.secret("team", "quota-token", "key", b"token-of-the-quotas");
    configure(&stage, &cluster);
    let serving = stage.serve("info", &[]);
    serving.logs("the Services of the namespace are not watched; nothing is known of them");
    // Whoever watches has listed before.
    cluster.watched_by(1).await;
    let ops = format!("http://{}", serving.ops);
    let list = |more: &[&str]| stage.run(&[&["plugins", "list", "--ops", &ops], more].concat());
    let json = list(&["--json"]).ended(0).json();
    assert_eq!(json["plugins"][0]["plugin"], "tenants");
    assert_eq!(json["plugins"][1]["state"], "unasked");
    assert_eq!(json["namespaces"][0]["namespace"], "team");
    assert_eq!(json["namespaces"][1]["state"], "lost");
    assert_eq!(
        json["services"],
        json!([
            {
                "namespace": "team", "service": "portless", "address": null, "port": null, "path": null, "inputs": null,
                "token": null, "problem": "it has no ports", "usedBy": [],
            },
            {
                "namespace": "team", "service": "quotas", "address": "http://quotas.team.svc:4355", "port": 4355,
                "path": "/ask", "inputs": "branch", "token": "quota-token:key", "problem": null,
                "usedBy": ["preview/quotas"],
            },
        ])
    );
    let text = list(&[]).ended(0);
    text.says("plugin     preview  tenants  http://127.0.0.1:1  unasked")
        .says("plugin     preview  quotas  team/quotas  unasked")
        .says("namespace  other  lost: Kubernetes: lastgreen may not list Services in the namespace `other` (403)")
        .says("service    team/portless  cannot be used: it has no ports  for nobody")
        .says("service    team/quotas  http://quotas.team.svc:4355/ask  inputs branch  for preview/quotas");
    assert!(!format!("{json}{text:?}").contains("token-of-the"));

    // It is the operators' business.
    stage.write("ops", "another");
    list(&[]).ended(1).says("the bearer token is not one of those");
    serving.terminate();
    let done = serving.ended().ended(0);
    assert!(!done.stderr.contains("token-of-the") && !done.stderr.contains(Cluster::TOKEN));
    list(&[]).ended(1).says("nothing answers at");
}

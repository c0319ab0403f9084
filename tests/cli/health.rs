//! `health`: what a container's health check is told.

use std::net::TcpListener;

use crate::stage::{Stage, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_until_it_ends() {
    let stage = Stage::new().await;
    stage.reconfigure("drainDelay: 0s", "drainDelay: 5m");
    let serving = stage.serve("info", &[]);
    let ops = format!("http://{}", serving.ops);
    let done = run(&["health", "--ops", &ops]).ended(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("ready\n", ""));

    serving.terminate();
    serving.logs("not ready any more");
    run(&["health", "--ops", &ops]).ended(1).says(&format!("not ready: {ops}/readyz answers 503"));

    serving.signal("KILL");
    drop(serving);
    run(&["health", "--ops", &ops]).ended(1).says(&format!("not ready: nothing answers at {ops}/readyz"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_tells_where_to_ask() {
    let stage = Stage::new().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    stage.reconfigure("ops: { listen: \"127.0.0.1:0\" }", &format!("ops: {{ listen: \"0.0.0.0:{free}\" }}"));
    let _serving = stage.serve("info", &[]);
    stage.run(&["health"]).ended(0);
    // No proxy comes between, and no secret is needed.
    std::fs::remove_file(stage.folder().join("token")).unwrap();
    stage.run_with(&[("HTTP_PROXY", "http://127.0.0.1:9"), ("http_proxy", "http://127.0.0.1:9")], &["health"]).ended(0);

    run(&["health", "--config", "/nowhere/config.yaml"]).ended(1).says("cannot read the configuration");
}

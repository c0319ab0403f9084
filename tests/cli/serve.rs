//! `serve`: listening, answering over a real connection, ending.

use std::net::TcpListener;

use lastgreen_sim::Target;
use serde_json::{Value, json};

use crate::{
    http::{Client, about, question},
    stage::{BEARER, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_and_ends_when_it_is_told() {
    let stage = Stage::new().await;
    let serving = stage.serve("info", &[]);
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, &about("feature", None)));
    let reply = client.reply();
    assert_eq!(reply.status(), 200, "{reply:?}");
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body, json!({"output": {"parameters": [{"digestFront": stage.front, "digestBack": stage.back}]}}));
    assert_eq!(reply.header("x-lastgreen-standing"), Some("fresh"));
    assert_eq!((serving.health("/livez"), serving.health("/readyz")), (200, 200));
    // Argo CD keeps its connection, which must not keep the program.
    serving.terminate();
    let done = serving.ended().ended(0);
    assert!(client.is_closed());
    assert_eq!(done.stdout, "");
    done.says("serves").says("no more connections are taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_until_everybody_has_heard_of_the_end() {
    let stage = Stage::new().await;
    stage.reconfigure("drainDelay: 0s", "drainDelay: 5m");
    let serving = stage.serve("info", &[]);
    serving.terminate();
    serving.logs("not ready any more");
    assert_eq!((serving.health("/livez"), serving.health("/readyz")), (200, 503));
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, &about("feature", None)));
    let reply = client.reply();
    assert!(reply.status() == 200 && reply.body.contains(&stage.front), "{reply:?}");
    assert_eq!(reply.header("connection"), Some("close"));
    // Told once more, it does not wait.
    serving.terminate();
    let done = serving.ended().ended(0);
    done.says("told to end once more").says("no more connections are taken").says("ended");

    // When the time has come, it ends by itself.
    stage.reconfigure("drainDelay: 0s", "drainDelay: 10ms");
    let serving = stage.serve("info", &[]);
    serving.terminate();
    serving.ended().ended(0).says("not ready any more").says("no more connections are taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_types_ctrl_c_does_not_wait() {
    let stage = Stage::new().await;
    stage.reconfigure("drainDelay: 0s", "drainDelay: 5m");
    let serving = stage.serve("info", &[]);
    serving.signal("INT");
    let done = serving.ended().ended(0);
    assert!(!done.stderr.contains("not ready any more"), "{}", done.stderr);
    done.says("no more connections are taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_under_way_is_answered_before_the_end() {
    let stage = Stage::new().await;
    stage.reconfigure("answerWithin: 1s", "answerWithin: 25s");
    let serving = stage.serve("info", &[]);
    stage.sim.hold(Target::GraphQl);
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, &about("feature", None)));
    stage.sim.wait_for(|counts| counts.graphql > 0).await;
    serving.terminate();
    stage.sim.release(Target::GraphQl);
    let reply = client.reply();
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert!(reply.body.contains(&stage.front), "{reply:?}");
    serving.ended().ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_log_is_json_if_it_is_told_so() {
    let stage = Stage::new().await;
    let serving = stage.serve("debug", &["--log-format", "json"]);
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, &about("feature\\n\\\"x", None)));
    assert_eq!(client.reply().status(), 400);
    client.send(question(BEARER, &about("feature", None)));
    assert_eq!(client.reply().status(), 200);
    serving.terminate();
    let done = serving.ended().ended(0);
    for line in done.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string(), "{line}");
    }
    done.says("answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken() {
    let stage = Stage::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (key, place) in [("listen", "listen: 127.0.0.1:0"), ("ops.listen", "listen: \"127.0.0.1:0\"")] {
        stage.reconfigure(place, &format!("listen: \"{address}\""));
        let done = stage.run(&["serve"]).ended(1);
        assert!(done.stderr.contains(&format!("cannot listen on `{key}: {address}`")), "{}", done.stderr);
        assert!(done.stderr.to_lowercase().contains("in use"), "{}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }
}

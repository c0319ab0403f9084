//! Traces: what a caller names shows in the log and goes on to other plugins, and to nobody else.

use serde_json::Value;

use crate::{
    http::{Client, Reply, about, question},
    listener::{Listener, answer},
    stage::{BEARER, Done, Serving, Stage},
};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const SPAN: &str = "00f067aa0ba902b7";

/// What the other plugin wants to be sent.
pub(crate) const TENANTS: &str = "token-of-the-tenants";

/// The headers of a caller.
pub(crate) fn traced(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{SPAN}-{flags}\r\ntracestate: a=1\r\ntracestate: b=2\r\n")
}

/// Asks about `feature`, with further headers.
pub(crate) fn ask(serving: &Serving, headers: &str) -> Reply {
    let mut client = Client::connect(serving.plugin);
    let host = "Host: lastgreen\r\n";
    client.send(question(BEARER, &about("feature", None)).replace(host, &format!("{host}{headers}")));
    client.reply()
}

/// Another plugin beside the build of a stage, which says one item.
pub(crate) async fn beside(stage: &Stage) -> Listener {
    let tenants = Listener::start(|| Some(answer(200, &[], r#"{"output":{"parameters":[{"tenant":"one"}]}}"#))).await;
    stage.write("tenants", TENANTS);
    let folder = stage.folder().display();
    let plugin = format!("tenants: {{ url: 'http://{}', tokenFile: {folder}/tenants }}", tenants.address);
    let config = std::fs::read_to_string(stage.folder().join("config.yaml")).unwrap();
    stage.configure(&format!("{config}    plugins:\n      {plugin}\n"));
    tenants
}

/// A stage whose one generator has no build, but that plugin and rows.
pub(crate) async fn without_build(stage: &Stage) -> Listener {
    let folder = stage.folder().display();
    // An empty file is a database without tables.
    stage.write("rows.db", "");
    let config = stage.config();
    let at = |what: &str| config.find(what).unwrap();
    // A registry that nobody needs is warned of, and not as JSON.
    let (above, generators) = (&config[..at("registries:")], &config[at("generators:")..at("    build:")]);
    let sql = format!("    sql: {{ url: 'sqlite://{folder}/rows.db', query: \"SELECT 'gold' AS tier\" }}\n");
    stage.configure(&format!("{above}{generators}{sql}"));
    beside(stage).await
}

/// The events of a log in JSON whose message begins so.
pub(crate) fn events(done: &Done, message: &str) -> Vec<Value> {
    let all = done.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    all.filter(|event: &Value| event["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
}

/// That GitHub and the registry were sent nothing of the trace.
#[track_caller]
pub(crate) fn strangers_know_nothing(stage: &Stage) {
    let seen = stage.sim.seen();
    assert!(seen.len() >= 3, "{seen:#?}");
    for seen in seen {
        let all = format!("{seen:?}");
        assert!(!all.contains("traceparent") && !all.contains("tracestate") && !all.contains(TRACE), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_trace_is_in_the_log_and_goes_on_to_other_plugins_alone() {
    let stage = Stage::new().await;
    let tenants = beside(&stage).await;
    let serving = stage.serve("debug", &["--log-format", "json"]);
    for headers in [
        traced("01"),
        String::new(),
        traced("01").replace(TRACE, &TRACE.to_uppercase()),
        traced("01") + &traced("01"),
        format!("traceparent: {}\r\n", "0".repeat(20_000)),
    ] {
        let reply = ask(&serving, &headers);
        assert_eq!(reply.status(), 200, "{reply:?}");
        assert!(reply.body.contains(&stage.front) && reply.body.contains(r#""tenant":"one""#), "{reply:?}");
    }
    serving.terminate();
    let done = serving.ended().ended(0);
    let ids: Vec<_> = events(&done, "answered").into_iter().map(|event| event["trace_id"].clone()).collect();
    assert_eq!(ids, [Value::from(TRACE), Value::Null, Value::Null, Value::Null, Value::Null]);
    tenants.arrival().await;
    let got = tenants.got();
    assert_eq!(got.len(), 5);
    assert_eq!(got[0].header("traceparent"), Some(&*format!("00-{TRACE}-{SPAN}-01")));
    assert_eq!(got[0].header("tracestate"), Some("a=1,b=2"));
    for asked in &got {
        assert_eq!(asked.what, "POST /api/v1/getparams.execute");
        assert!(String::from_utf8_lossy(&asked.body).contains("fb-matrix") && asked.body == got[0].body, "{asked:?}");
    }
    for without in &got[1..] {
        assert_eq!((without.header("traceparent"), without.header("tracestate")), (None, None));
    }
    strangers_know_nothing(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_memory_names_the_trace_too() {
    let stage = Stage::new().await;
    let serving = stage.serve("debug", &["--log-format", "json"]);
    for headers in [String::new(), String::new(), traced("00"), String::new()] {
        assert_eq!(ask(&serving, &headers).status(), 200);
    }
    serving.terminate();
    let done = serving.ended().ended(0);
    let ids: Vec<_> = events(&done, "answered as before").into_iter().map(|event| event["trace_id"].clone()).collect();
    assert_eq!(ids, [Value::from(TRACE), Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_without_a_build_has_a_trace_too() {
    let stage = Stage::new().await;
    let tenants = without_build(&stage).await;
    let serving = stage.serve("debug", &["--log-format", "json"]);
    let reply = ask(&serving, &traced("01"));
    assert!(reply.status() == 200 && reply.body.contains(r#""tier":"gold""#), "{reply:?}");
    serving.terminate();
    assert_eq!(events(&serving.ended().ended(0), "answered")[0]["trace_id"], TRACE);
    assert_eq!(tenants.got()[0].header("traceparent"), Some(&*format!("00-{TRACE}-{SPAN}-01")));
}

#[cfg(not(feature = "otlp"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_cannot_export_says_so_once() {
    let stage = Stage::new().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example.com:4318/with-a-key");
    let serving = stage.serve_with(&[endpoint], "info", &[]);
    assert_eq!((ask(&serving, &traced("01")).status(), ask(&serving, "").status()), (200, 200));
    serving.terminate();
    let done = serving.ended().ended(0);
    let said = "no traces are sent: `OTEL_EXPORTER_OTLP_ENDPOINT` is set, but this program was built without the feature \
                `otlp`";
    assert_eq!(done.stderr.matches(said).count(), 1, "{}", done.stderr);
    assert!(!done.stderr.contains("with-a-key"), "{}", done.stderr);
}

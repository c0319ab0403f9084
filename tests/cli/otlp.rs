//! What is exported, before a collector that reads every byte.

use std::collections::{BTreeMap, BTreeSet};

use lastgreen_sim::{Fault, RegistryAuth, Target, What};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde_json::Value;

use crate::{
    http::{Client, about, question},
    listener::{Listener, answer},
    secrets,
    stage::{BEARER, Done, Serving, Stage},
    traces::{SPAN, TENANTS, TRACE, ask, beside, events, strangers_know_nothing, traced, without_build},
};

pub(crate) const KEY: &str = "key-of-the-collector";

/// Every key that may be in a span.
const KEYS: [&str; 17] = [
    "db.system.name",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "lastgreen.application_set",
    "lastgreen.as_before",
    "lastgreen.branch",
    "lastgreen.commit",
    "lastgreen.generator",
    "lastgreen.news",
    "lastgreen.number",
    "lastgreen.reason",
    "lastgreen.standing",
    "lastgreen.upstream_calls",
    "server.address",
    "server.port",
];

type Attributes = BTreeMap<String, Value>;

fn attributes(all: &[KeyValue]) -> Attributes {
    let value = |value: &Option<AnyValue>| match value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(text) => Value::from(text.as_str()),
        any_value::Value::IntValue(number) => Value::from(*number),
        any_value::Value::BoolValue(flag) => Value::from(*flag),
        other => panic!("{other:?}"),
    };
    let map: Attributes = all.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect();
    assert_eq!(map.len(), all.len(), "a key came twice: {all:?}");
    map
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A span, read.
#[derive(Debug)]
pub(crate) struct Read {
    span: Span,
    attributes: Attributes,
    resource: Attributes,
}

impl Read {
    fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    #[track_caller]
    fn has(&self, key: &str, value: impl Into<Value>) {
        assert_eq!(self.attributes.get(key), Some(&value.into()), "`{key}` of {self:#?}");
    }

    fn is_question(&self) -> bool {
        self.span.kind() == SpanKind::Server
    }

    fn port(&self) -> Option<u64> {
        self.attributes.get("server.port")?.as_u64()
    }
}

/// Everything that a collector was sent, held against the protocol.
#[track_caller]
pub(crate) fn spans(collector: &Listener) -> Vec<Read> {
    let mut all: Vec<Read> = Vec::new();
    for got in collector.got() {
        assert_eq!(got.what, "POST /v1/traces");
        assert_eq!(got.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(got.header("content-encoding"), None);
        assert_eq!(got.header("x-key"), Some(KEY));
        let request = ExportTraceServiceRequest::decode(&got.body[..]).unwrap();
        // Nothing is in it that the protocol does not know.
        assert_eq!(request.encode_to_vec(), got.body);
        for of_resource in request.resource_spans {
            let resource = attributes(&of_resource.resource.unwrap().attributes);
            for of_scope in of_resource.scope_spans {
                assert_eq!(of_scope.scope.unwrap().name, "lastgreen");
                for span in of_scope.spans {
                    let attributes = attributes(&span.attributes);
                    all.push(Read { span, attributes, resource: resource.clone() });
                }
            }
        }
    }
    let ids: BTreeSet<_> = all.iter().map(Read::id).collect();
    assert_eq!(ids.len(), all.len(), "ids of spans are their own");
    for read in &all {
        let span = &read.span;
        assert!(span.trace_id.len() == 16 && span.span_id.len() == 8, "{read:?}");
        assert!(span.trace_id.iter().any(|byte| *byte != 0) && span.span_id.iter().any(|byte| *byte != 0), "{read:?}");
        assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano <= span.end_time_unix_nano, "{read:?}");
        assert!(span.events.is_empty() && span.links.is_empty(), "{read:?}");
        assert!(read.attributes.keys().all(|key| KEYS.contains(&key.as_str())), "{read:?}");
        if !read.is_question() {
            assert_eq!(span.kind(), SpanKind::Client);
            let parent = all.iter().find(|other| other.id() == read.parent()).unwrap_or_else(|| panic!("{read:?}"));
            assert!(parent.is_question() && parent.trace() == read.trace(), "{read:?}");
            assert!(parent.span.start_time_unix_nano <= span.start_time_unix_nano, "{read:?}");
        }
    }
    all
}

fn questions(spans: &[Read]) -> Vec<&Read> {
    spans.iter().filter(|span| span.is_question()).collect()
}

/// A collector that takes what it is sent.
pub(crate) async fn collector() -> Listener {
    Listener::start(|| Some(answer(200, &[("content-type", "application/x-protobuf")], ""))).await
}

/// Serves with a collector, to which nothing is sent before the end.
pub(crate) fn serve(stage: &Stage, collector: &Listener, more: &[(&str, &str)]) -> Serving {
    let endpoint = format!("http://{}", collector.address);
    let headers = format!("x-key={KEY}");
    let mut environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", headers.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    environment.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
    environment.extend(more);
    stage.serve_with(&environment, "trace", &["--log-format", "json"])
}

pub(crate) fn end(serving: Serving) -> Done {
    serving.terminate();
    serving.ended().ended(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_a_span_and_what_it_led_to_is_below_it() {
    let stage = secrets::stage(RegistryAuth::Bearer, true).await;
    let (tenants, collector) = (beside(&stage).await, collector().await);
    let serving = serve(&stage, &collector, &[]);
    let reply = ask(&serving, &traced("01"));
    assert_eq!(reply.status(), 200, "{reply:?}");
    let done = end(serving);
    let all = spans(&collector);
    let [question] = &questions(&all)[..] else { panic!("{all:#?}") };
    assert_eq!((question.trace().as_str(), question.parent().as_str()), (TRACE, SPAN));
    assert_eq!(question.span.trace_state, "a=1,b=2");
    assert_eq!(question.span.name, "POST /{generator}/api/v1/getparams.execute");
    assert_eq!(question.resource["service.name"], "lastgreen");
    assert_eq!(question.resource["service.version"], env!("CARGO_PKG_VERSION"));
    question.has("http.request.method", "POST");
    question.has("http.response.status_code", 200);
    question.has("lastgreen.generator", "preview");
    question.has("lastgreen.application_set", "fb-matrix");
    question.has("lastgreen.branch", "feature");
    question.has("lastgreen.standing", "fresh");
    question.has("lastgreen.news", true);
    question.has("lastgreen.commit", reply.header("x-lastgreen-commit").unwrap());

    let requests: Vec<_> = all.iter().filter(|span| !span.is_question()).collect();
    let to = |port: u16| requests.iter().filter(|span| span.port() == Some(port.into())).copied().collect::<Vec<_>>();
    let port = |address: &str| address.rsplit(':').next().unwrap().trim_end_matches('/').parse::<u16>().unwrap();
    let (github, registry) = (to(port(&stage.sim.github_url())), to(port(&stage.sim.registry_host())));
    let [plugin] = to(tenants.address.port())[..] else { panic!("{requests:#?}") };
    // What was fetched at the start, for no question, is not there: the App's token, if that was quicker.
    assert!(!github.is_empty() && registry.len() >= 2, "a query, two images: {requests:#?}");
    question.has("lastgreen.upstream_calls", requests.len() - 1);
    for span in &requests {
        span.has("server.address", "127.0.0.1");
        assert!(span.attributes.contains_key("http.response.status_code"), "{span:#?}");
        assert_ne!(span.span.status.as_ref().map_or(StatusCode::Unset, Status::code), StatusCode::Error);
    }
    assert!(registry.iter().any(|span| span.attributes["http.request.method"] == "HEAD"), "{registry:#?}");

    // The other plugin goes on below the request that it was sent.
    let [asked] = &tenants.got()[..] else { panic!("asked once") };
    assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {TENANTS}")));
    assert_eq!(asked.header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", plugin.id())));
    assert_eq!(asked.header("tracestate"), Some("a=1,b=2"));
    strangers_know_nothing(&stage);

    // Nothing secret left the house in it, and the collector's key is in no log.
    let mut secrets = secrets::secrets(&stage);
    assert!(secrets.len() > 10, "{secrets:?}");
    secrets.extend([TENANTS.to_owned()]);
    for got in collector.got() {
        let sent = format!("{:?}", got.headers) + &String::from_utf8_lossy(&got.body);
        assert!(sent.contains("fb-matrix") && !secrets.iter().any(|secret| sent.contains(secret)), "{sent}");
    }
    secrets.extend([KEY.to_owned()]);
    assert!(!secrets.iter().any(|secret| done.stderr.contains(secret)), "{}", done.stderr);
    let event = &events(&done, "answered")[0];
    assert_eq!((&event["trace_id"], &event["upstream_calls"]), (&TRACE.into(), &(requests.len() - 1).into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_begins_here_where_none_was_named() {
    let (stage, collector) = (Stage::new().await, collector().await);
    let serving = serve(&stage, &collector, &[("OTEL_SERVICE_NAME", "previews")]);
    for headers in ["", "traceparent: 00-what-ever-01\r\n", ""] {
        assert_eq!(ask(&serving, headers).status(), 200);
    }
    // Who may not ask, and what is no question, is no trace.
    for text in [
        question("wrong", &about("feature", None)),
        question(BEARER, &about("feature", None)).replace("/preview", "/x"),
    ] {
        let mut client = Client::connect(serving.plugin);
        client.send(text);
        assert!(client.reply().status() > 400);
    }
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, "{}"));
    assert_eq!(client.reply().status(), 400);
    let done = end(serving);
    let all = spans(&collector);
    let questions = questions(&all);
    assert_eq!(questions.len(), 4, "{all:#?}");
    let traces: BTreeSet<_> = questions.iter().map(|span| span.trace()).collect();
    assert_eq!(traces.len(), 4);
    for question in &questions {
        assert_eq!((question.parent().as_str(), &question.resource["service.name"]), ("", &"previews".into()));
        assert!(question.span.trace_state.is_empty());
    }
    questions[2].has("lastgreen.as_before", true);
    questions[2].has("lastgreen.standing", "fresh");
    questions[3].has("http.response.status_code", 400);
    let logged: Vec<_> = events(&done, "answered").iter().map(|event| event["trace_id"].clone()).collect();
    assert_eq!(logged, questions[..3].iter().map(|span| Value::from(span.trace())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_span_without_its_words() {
    let (stage, collector) = (Stage::new().await, collector().await);
    let tenants = without_build(&stage).await;
    let serving = serve(&stage, &collector, &[]);
    assert_eq!(ask(&serving, "").status(), 200);
    end(serving);
    let all = spans(&collector);
    assert_eq!(all.len(), 3, "{all:#?}");
    questions(&all)[0].has("lastgreen.application_set", "fb-matrix");
    let query = all.iter().find(|span| span.attributes.contains_key("db.system.name")).unwrap();
    query.has("db.system.name", "sqlite");
    assert_eq!((query.span.name.as_str(), query.attributes.len()), ("query sqlite", 1));
    let plugin = all.iter().find(|span| span.port() == Some(tenants.address.port().into())).unwrap();
    plugin.has("http.request.method", "POST");
    let parent = tenants.got()[0].header("traceparent").unwrap().to_owned();
    // The id is ours, and random.
    assert_eq!(parent, format!("00-{}-{}-03", plugin.trace(), plugin.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_sent_and_goes_on_unsampled() {
    let (stage, collector) = (Stage::new().await, collector().await);
    let tenants = beside(&stage).await;
    let serving = serve(&stage, &collector, &[]);
    assert_eq!(ask(&serving, &traced("02")).status(), 200);
    assert_eq!(ask(&serving, &traced("01").replace("4bf9", "5bf9")).status(), 200);
    let done = end(serving);
    let all = spans(&collector);
    assert_eq!(questions(&all).len(), 1);
    assert!(all.iter().all(|span| span.trace() == TRACE.replace("4bf9", "5bf9")), "{all:#?}");
    assert_eq!(events(&done, "answered")[0]["trace_id"], TRACE);
    let parent = tenants.got()[0].header("traceparent").unwrap().to_owned();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-02"), "{parent}");

    let serving = serve(&stage, &collector, &[("OTEL_TRACES_SAMPLER", "always_off")]);
    assert_eq!(ask(&serving, &traced("01")).status(), 200);
    end(serving);
    assert_eq!(spans(&collector).len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_and_a_refusal_are_errors() {
    let (stage, collector) = (Stage::new().await, collector().await);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    let serving = serve(&stage, &collector, &[]);
    assert_eq!(ask(&serving, &traced("01")).status(), 503);
    end(serving);
    let all = spans(&collector);
    assert!(all.len() >= 2, "{all:#?}");
    for span in &all {
        let status = if span.is_question() { 503 } else { 502 };
        span.has("http.response.status_code", status);
        span.has("error.type", status.to_string());
        assert_eq!(span.span.status.as_ref().unwrap().code(), StatusCode::Error);
    }
    questions(&all)[0].has("lastgreen.standing", "refused");
}

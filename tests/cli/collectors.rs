//! What a collector may do, and who stands between.

use tokio::net::TcpSocket;

use crate::{
    listener::{Listener, answer},
    otlp::{KEY, collector, end, serve, spans},
    stage::Stage,
    traces::{ask, events, traced},
};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_collector_does_questions_are_answered_and_the_log_says_it_once() {
    let stage = Stage::new().await;
    let elsewhere = collector().await;
    let place = format!("http://{}/v1/traces", elsewhere.address);
    // Nobody listens there, and nobody else can.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = taken.local_addr().unwrap();
    for (status, headers, body, said) in [
        (500, vec![], "token=x".to_owned(), "it answers 500"),
        (401, vec![], String::new(), "it answers 401"),
        (307, vec![("location", place.as_str())], String::new(), "it answers 307"),
        (200, vec![], "x".repeat(1 << 20), "its body has more than 65536 bytes"),
        (0, vec![], String::new(), "connection refused"),
    ] {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(k, v): &(&str, &str)| ((*k).into(), (*v).into())).collect();
        let bad = Listener::start(move || {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            Some(answer(status, &headers, body.clone()))
        })
        .await;
        let endpoint = format!("http://{}", if status == 0 { nobody } else { bad.address });
        let more = [("OTEL_BSP_SCHEDULE_DELAY", "1"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        let serving = serve(&stage, &bad, &more);
        assert_eq!(ask(&serving, "").status(), 200);
        serving.logs("the collector takes no traces");
        for _ in 0..3 {
            assert_eq!(ask(&serving, "").status(), 200);
        }
        let done = end(serving);
        let [event] = &events(&done, "the collector takes")[..] else { panic!("{}", done.stderr) };
        assert_eq!(event["message"], format!("the collector takes no traces: {said}; they are dropped until it does"));
        assert!(!done.stderr.contains(KEY), "{}", done.stderr);
    }
    assert_eq!(elsewhere.got().len(), 0, "nothing goes along a redirect");
    // What makes no sense, but is a 200, is an answer.
    let rubbish = Listener::start(|| Some(answer(200, &[], "<html>not a collector</html>"))).await;
    let serving = serve(&stage, &rubbish, &[]);
    assert_eq!(ask(&serving, "").status(), 200);
    let done = end(serving);
    assert_eq!((rubbish.got().len(), events(&done, "the collector takes").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_keeps_nobody() {
    let stage = Stage::new().await;
    let hangs = Listener::start(|| None).await;
    let more = [
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
    ];
    let serving = serve(&stage, &hangs, &more);
    assert_eq!(ask(&serving, "").status(), 200);
    hangs.arrival().await;
    // More than the queue holds.
    for _ in 0..20 {
        assert_eq!(ask(&serving, "").status(), 200);
    }
    let done = end(serving);
    assert_eq!(events(&done, "the last traces could not be sent").len(), 1, "{}", done.stderr);
    assert_eq!(events(&done, "ended").len(), 1);
    assert_eq!(hangs.got().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_says_wrongly_ends_nothing() {
    let (stage, collector) = (Stage::new().await, collector().await);
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:s3cret@127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"),
    ] {
        let serving = serve(&stage, &collector, &[(name, value)]);
        assert_eq!(ask(&serving, &traced("01")).status(), 200);
        let done = end(serving);
        let [event] = &events(&done, "no traces are sent")[..] else { panic!("{}", done.stderr) };
        let said = event["message"].as_str().unwrap();
        assert!(said.contains(name) || said.contains(value), "{said}");
        assert!(!done.stderr.contains("s3cret"), "{}", done.stderr);
    }
    assert!(collector.got().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_told_nothing_that_it_could_read() {
    let (stage, collector) = (Stage::new().await, collector().await);
    let proxy = Listener::start(|| Some(answer(403, &[], ""))).await;
    let address = format!("http://{}", proxy.address);
    let port = collector.address.port();
    for scheme in ["http", "https"] {
        let endpoint = format!("{scheme}://localhost:{port}");
        let more = [
            ("HTTP_PROXY", address.as_str()),
            ("HTTPS_PROXY", address.as_str()),
            // GitHub and the registry.
            ("NO_PROXY", "127.0.0.1"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ];
        let serving = serve(&stage, &collector, &more);
        assert_eq!(ask(&serving, "").status(), 200);
        end(serving);
        let asked = proxy.got();
        assert_eq!((scheme == "https", spans(&collector).is_empty()), (!asked.is_empty(), false), "{asked:?}");
        for got in asked {
            assert_eq!(got.what, format!("CONNECT localhost:{port}"));
            assert!(got.body.is_empty() && !format!("{got:?}").contains(KEY), "{got:?}");
        }
    }
}

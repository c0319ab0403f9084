//! Services of every kind, and hostile ones.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn found(service: Value) -> Found {
    Found::of("team", &serde_json::from_value(service).unwrap()).unwrap()
}

/// A Service with these ports, and with these of our annotations.
fn service(ports: &Value, annotations: &[(&str, &str)]) -> Value {
    let annotations: BTreeMap<_, _> =
        annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), *value)).collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "plugin", "namespace": "team", "annotations": annotations },
        "spec": { "type": "ClusterIP", "clusterIP": "10.1.2.3", "ports": ports },
    })
}

fn external(name: &str, annotations: &[(&str, &str)]) -> Value {
    let mut service = service(&json!([]), annotations);
    service["spec"] = json!({ "type": "ExternalName", "externalName": name });
    service
}

fn endpoint(service: Value) -> Result<Endpoint, String> {
    found(service).endpoint(&Overrides::default())
}

#[track_caller]
fn wrong(service: Value) -> String {
    endpoint(service).unwrap_err()
}

#[test]
fn a_plain_service_needs_no_annotation() {
    let usual = Endpoint {
        secure: false,
        host: "plugin.team.svc".to_owned(),
        inside: true,
        address: Some("10.1.2.3".parse().unwrap()),
        port: 4355,
        path: PluginPath::default(),
        token: None,
        timeout: PluginTimeout::default(),
        inputs: Inputs::All,
    };
    assert_eq!(endpoint(service(&json!([{ "port": 4355, "targetPort": 8080 }]), &[])), Ok(usual));
}

#[test]
fn annotations_say_more_and_the_configuration_has_the_last_word() {
    let ports = json!([{ "port": 80, "name": "http" }, { "port": 8443, "name": "https-plugin" }, { "port": 53, "protocol": "UDP" }]);
    let annotations = [
        ("port", "https-plugin"),
        ("path", "/ask"),
        ("token", "credentials:plugin.token"),
        ("timeout", "700ms"),
        ("inputs", "branch, number"),
    ];
    let said = endpoint(service(&ports, &annotations)).unwrap();
    assert_eq!((said.secure, said.port, said.path.as_str()), (true, 8443, "/ask"));
    assert_eq!(said.token.unwrap().to_string(), "credentials:plugin.token");
    assert_eq!((said.timeout.get(), said.inputs.to_string().as_str()), (Duration::from_millis(700), "branch,number"));

    let overrides = Overrides {
        port: Some(ServicePort::Number(80)),
        path: Some("/other".parse().unwrap()),
        timeout: Some("1s".parse().unwrap()),
        inputs: Some(Inputs::All),
        has_token: true,
    };
    // What is said elsewhere cannot be wrong here.
    let wrong: Vec<_> = annotations.iter().map(|(key, _)| (*key, "\u{1}?")).collect();
    for annotations in [&annotations[..], &wrong] {
        let said = found(service(&ports, annotations)).endpoint(&overrides).unwrap();
        assert_eq!((said.secure, said.port, said.path.as_str(), said.token), (false, 80, "/other", None));
        assert_eq!((said.timeout.get(), said.inputs), (Duration::from_secs(1), Inputs::All));
    }
}

#[test]
fn what_is_asked_over_tls_is_told_by_the_port_or_by_annotation() {
    let secure =
        |port: Value, annotations: &[(&str, &str)]| endpoint(service(&json!([port]), annotations)).unwrap().secure;
    assert!(secure(json!({ "port": 443 }), &[]));
    assert!(secure(json!({ "port": 1, "name": "https" }), &[]));
    assert!(secure(json!({ "port": 1, "appProtocol": "HTTPS" }), &[]));
    assert!(!secure(json!({ "port": 443 }), &[("scheme", "http")]));
    assert!(secure(json!({ "port": 80 }), &[("scheme", "https")]));
    assert!(!secure(json!({ "port": 80 }), &[]));
}

#[test]
fn a_port_is_one_that_there_is() {
    let two = json!([{ "port": 80, "name": "web" }, { "port": 81, "name": "other" }]);
    assert_eq!(
        wrong(service(&two, &[])),
        "it has several ports (80 `web`, 81 `other`): say by the annotation `lastgreen.io/port` which is meant"
    );
    assert_eq!(endpoint(service(&two, &[("port", "other")])).unwrap().port, 81);
    assert_eq!(endpoint(service(&two, &[("port", " 80 ")])).unwrap().port, 80);
    assert_eq!(wrong(service(&two, &[("port", "82")])), "it has no port 82; it has 80 `web`, 81 `other`");
    assert_eq!(wrong(service(&two, &[("port", "http")])), "it has no port `http`; it has 80 `web`, 81 `other`");
    assert_eq!(wrong(service(&json!([]), &[])), "it has no ports");
    assert_eq!(wrong(service(&json!([{ "port": 53, "protocol": "UDP" }]), &[])), "it has no ports");
    assert_eq!(wrong(service(&json!([{ "port": 70000 }, { "port": -1 }]), &[])), "it has no ports");
}

#[test]
fn a_headless_service_is_its_pods() {
    let headless = |port: Value| {
        let mut service = service(&json!([port]), &[]);
        service["spec"]["clusterIP"] = json!("None");
        service
    };
    let said = endpoint(headless(json!({ "port": 80, "targetPort": 4355 }))).unwrap();
    assert_eq!((said.host.as_str(), said.address, said.port), ("plugin.team.svc", None, 4355));
    assert_eq!(endpoint(headless(json!({ "port": 80 }))).unwrap().port, 80);
    assert_eq!(
        wrong(headless(json!({ "port": 80, "targetPort": "http" }))),
        "it is headless, and its port 80 names its pods' port and does not number it"
    );
    let mut pending = service(&json!([{ "port": 80 }]), &[]);
    pending["spec"]["clusterIP"] = json!("");
    assert_eq!(wrong(pending.clone()), "it has no cluster IP yet");
    pending["spec"]["clusterIP"] = json!("evil.example");
    assert_eq!(wrong(pending), "its cluster IP `evil.example` is no address");
}

#[test]
fn an_external_name_is_a_name() {
    let said = endpoint(external("Dev.Example.com.", &[("port", "8443"), ("scheme", "https")])).unwrap();
    assert_eq!((said.host.as_str(), said.address, said.port, said.secure), ("dev.example.com", None, 8443, true));
    assert!(endpoint(external("dev.example.com", &[("port", "443")])).unwrap().secure);
    let mut with_ports = external("localhost", &[("port", "web")]);
    with_ports["spec"]["ports"] = json!([{ "port": 99, "name": "web" }]);
    assert_eq!(endpoint(with_ports).unwrap().port, 99);
    let no_ports = "it has no ports: say by the annotation `lastgreen.io/port` which number is meant";
    assert_eq!(wrong(external("dev.example.com", &[])), no_ports);
    assert_eq!(wrong(external("dev.example.com", &[("port", "web")])), no_ports);
    for name in [
        "",
        ".",
        "evil.example/x",
        "user@evil.example",
        "evil.example:80",
        "169.254.169.254",
        "10.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.0x1",
        "[::1]",
        "a b",
        "a..b",
        "-a",
        "a?b",
        "a#b",
        "é.example",
        "a\\b",
    ] {
        assert!(wrong(external(name, &[("port", "80")])).starts_with("its externalName `"), "{name}");
    }
}

#[test]
fn hostile_annotations_harm_nobody() {
    let one = json!([{ "port": 80 }]);
    for (key, value) in [
        ("path", "//evil.example/x"),
        ("path", "/x?y"),
        ("path", "@evil.example"),
        ("path", "/../x"),
        ("token", "other-namespace/secret:key"),
        ("token", "../../secrets/x:key"),
        ("token", "secret"),
        ("port", "0"),
        ("scheme", "file"),
        ("timeout", "1h"),
        ("inputs", "a,\u{1b}[2J"),
        ("inputs", &"a".repeat(5000)),
        ("port", &"8".repeat(200_000)),
    ] {
        let said = wrong(service(&one, &[(key, value)]));
        assert!(said.starts_with(&format!("its annotation `lastgreen.io/{key}` is wrong: ")), "{said}");
        assert!(said.len() < 300 && !said.contains('\u{1b}'), "{said}");
    }
    assert_eq!(
        wrong(service(&one, &[("host", "evil.example")])),
        "its annotation `lastgreen.io/host` is not known; known are lastgreen.io/port, lastgreen.io/scheme, \
         lastgreen.io/path, lastgreen.io/token, lastgreen.io/timeout, lastgreen.io/inputs"
    );
}

#[test]
fn of_too_many_annotations_few_are_kept() {
    let many: Vec<_> = (0..1000).map(|number| format!("x{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "y")).collect();
    let found = found(service(&json!([{ "port": 80 }]), &many));
    assert_eq!(found.annotations.len(), KNOWN.len() + 1);
    assert!(
        found.endpoint(&Overrides::default()).unwrap_err().starts_with("its annotation `lastgreen.io/x0` is not known")
    );
}

#[test]
fn one_without_a_name_that_can_be_used_is_none() {
    let mut nameless = service(&json!([]), &[]);
    for name in ["", "a/b", "A", "a.b", "../x"] {
        nameless["metadata"]["name"] = json!(name);
        assert_eq!(Found::of("team", &serde_json::from_value(nameless.clone()).unwrap()), None, "{name}");
    }
}

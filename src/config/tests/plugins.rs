//! Other plugins, and Kubernetes.

use std::collections::BTreeSet;

use super::*;
use crate::domain::Inputs;

/// The one error of a plugin `x` with these keys, in a file with this section `kubernetes`.
#[track_caller]
fn in_plugin(keys: &str, kubernetes: &str) -> String {
    let error = in_file(&format!("    plugins: {{ x: {{ {keys} }} }}\n{kubernetes}"));
    error.replace("generators.preview.plugins.x", "…")
}

#[track_caller]
fn in_file(lines: &str) -> String {
    error("", lines)
}

fn plugins(lines: &str) -> (Vec<Plugin>, Option<Kubernetes>, Vec<Warning>) {
    let text = format!("{SMALL}    plugins:\n{lines}");
    let (mut config, warnings) = Config::parse(&text, "c").unwrap_or_else(|errors| panic!("{errors}"));
    (config.generators.remove("preview").unwrap().plugins, config.kubernetes, warnings)
}

fn at(url: &str) -> Plugin {
    Plugin {
        name: "x".to_owned(),
        place: PluginPlace::Url(url.to_owned()),
        token_file: None,
        ca_file: None,
        path: None,
        timeout: None,
        inputs: None,
        keys: None,
        only_if: None,
    }
}

fn behind(namespace: &str) -> PluginPlace {
    PluginPlace::Service { namespace: namespace.to_owned(), name: "s".to_owned(), port: None }
}

#[test]
fn a_plugin_is_at_an_address_or_behind_a_service() {
    let (found, kubernetes, warnings) = plugins("      x: { url: 'http://plugin:4355/' }\n");
    assert_eq!((found, kubernetes, warnings), (vec![at("http://plugin:4355")], None, vec![]));
    let (found, kubernetes, _) =
        plugins("      z: { service: s, namespace: a }\n      y: { service: s, namespace: b, port: 80 }\n");
    assert_eq!(found.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>(), ["z", "y"], "the file's order");
    assert_eq!(found[0].place, behind("a"));
    let looked_in = kubernetes.unwrap();
    assert_eq!((looked_in.namespaces, looked_in.api), (vec!["a".to_owned(), "b".to_owned()], None));
    let (found, kubernetes, _) =
        plugins("      x: { service: s }\nkubernetes: { namespaces: [team], api: 'http://127.0.0.1:1/' }\n");
    assert_eq!(found[0].place, behind("team"));
    assert_eq!(kubernetes.unwrap().api.as_deref(), Some("http://127.0.0.1:1"));
    let (found, ..) = plugins(
        "      x: { url: 'http://p', path: /ask, tokenFile: /tok, caFile: /ca, timeout: 100ms, inputs: [a, b], keys: [k] }\n",
    );
    let expected = Plugin {
        token_file: Some("/tok".into()),
        ca_file: Some("/ca".into()),
        path: Some("/ask".parse().unwrap()),
        timeout: Some("100ms".parse().unwrap()),
        inputs: Some(Inputs::of(["a", "b"]).unwrap()),
        keys: Some(BTreeSet::from(["k".to_owned()])),
        ..at("http://p")
    };
    assert_eq!(found, [expected]);
}

#[test]
fn what_is_wrong_with_a_plugin_is_told() {
    let whole = "a map with `url` or `service`, and more";
    let in_plugin = |keys: &str| in_plugin(keys, "");
    assert_eq!(in_plugin("path: /x"), format!("c:9:19: …: expected {whole}"));
    assert_eq!(in_plugin("url: 'http://p', service: s"), "c:9:19: …: `url` and `service` exclude each other");
    for key in ["namespace: a", "port: 80"] {
        let name = key.split(':').next().unwrap();
        let error = in_plugin(&format!("url: 'http://p', {key}"));
        assert!(
            error.ends_with(&format!("…{}{name}: this goes with `service`: a `url` says it itself", '.')),
            "{error}"
        );
    }
    for (url, why) in [
        ("p:4355", "it must start with `http://` or `https://`"),
        ("ftp://p", "it must start with `http://` or `https://`"),
        ("http://u:hunter2@p", "it must not hold a user name or a password"),
        ("http://p?x=1", "it must end with its path"),
        ("http://p#x", "it must end with its path"),
        ("/api", "it has no host"),
        ("http://p/api/v1/getparams.execute", "without its path, which `path` says where it is another than this"),
    ] {
        let error = in_plugin(&format!("url: '{url}'"));
        assert!(error.ends_with(&format!(": {why}")) && !error.contains("hunter2"), "{url}: {error}");
    }
    let form = "a duration from 100ms to 10s";
    assert_eq!(in_plugin("url: 'http://p', timeout: 11s"), format!("c:9:47: ….timeout: expected {form}, got `11s`"));
    assert_eq!(
        in_plugin("url: 'http://p', path: 'x?y'"),
        "c:9:44: ….path: expected a path as `/api/v1/getparams.execute`, got `x?y`"
    );
    assert_eq!(
        in_plugin("url: 'http://p', inputs: branch"),
        "c:9:46: ….inputs: expected a list of names of input parameters, got a text"
    );
    assert!(in_plugin("url: 'http://p', keys: []").contains("….keys: expected at least one key"));
    assert!(in_plugin("url: 'http://p', tokenFile: ghp_secret").ends_with("got what looks like the secret itself"));
    assert!(in_plugin("service: a.b, namespace: n").ends_with("….service: expected the name of a Service, got `a.b`"));
    let port = "a port of the Service, by its number or by its name";
    assert!(in_plugin("service: s, namespace: n, port: A").ends_with(&format!("….port: expected {port}, got `A`")));
    assert!(in_plugin("service: s, namespace: n, port: 0").contains("….port: expected a whole number from 1 to 65535"));
    assert_eq!(in_plugin("service: s"), "c:9:19: …: `namespace` must say where the Service is");
    assert_eq!(in_file("    plugins: {}\n"), "c:9:14: generators.preview.plugins: expected at least one plugin");
    assert!(in_file("    plugins: { A_b: { url: 'http://p' } }\n").contains("a plugin's name has lower-case letters"));
}

#[test]
fn a_service_is_looked_for_where_it_may_be() {
    let two = "kubernetes: { namespaces: [a, b] }\n";
    assert_eq!(
        in_plugin("service: s", two),
        "c:9:19: …: `namespace` must say in which of `kubernetes.namespaces` the Service is"
    );
    assert_eq!(
        in_plugin("service: s, namespace: c", two),
        "c:9:44: ….namespace: the namespace `c` is none of `kubernetes.namespaces`"
    );
    for (section, error) in [
        ("{ namespaces: [] }", "c:9:27: kubernetes.namespaces: expected at least one namespace"),
        ("{ namespaces: [a, a] }", "c:9:31: kubernetes.namespaces[1]: the namespace `a` is already given"),
        ("{ namespaces: [A] }", "c:9:28: kubernetes.namespaces[0]: expected a namespace, got `A`"),
        ("{ namespaces: '*' }", "c:9:27: kubernetes.namespaces: expected a list of namespaces, got a text"),
        ("{}", "c:9:13: kubernetes.namespaces: missing; expected a list of namespaces"),
    ] {
        assert_eq!(in_file(&format!("kubernetes: {section}\n")), error);
    }
    assert!(
        in_file("kubernetes: { namespaces: [a], api: 'http://k' }\n")
            .ends_with("`http` is allowed to this machine only")
    );
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    let warned = |lines: &str| plugins(lines).2.iter().map(ToString::to_string).collect::<Vec<_>>();
    let url = |url: &str| warned(&format!("      x: {{ url: '{url}', tokenFile: /tok }}\n"));
    assert_eq!(
        url("http://plugin.example.com"),
        [
            "c:10:17: generators.preview.plugins.x.url: it is asked without TLS: whoever is on the way can read the token and \
          change the answers"
        ]
    );
    for near in ["https://plugin.example.com", "http://plugin", "http://plugin.ns.svc:1", "http://127.0.0.1:1"] {
        assert!(url(near).is_empty(), "{near}");
    }
    assert_eq!(
        warned("      x: { url: 'http://p', timeout: 10s }\n"),
        [
            "c:10:38: generators.preview.plugins.x.timeout: it is not shorter than `answerWithin`, in which all of an answer \
          must be found"
        ]
    );
    let (_, warnings) = Config::parse(&format!("{SMALL}kubernetes: {{ namespaces: [a] }}\n"), "c").unwrap();
    assert_eq!(warnings[0].to_string(), "c:9:13: kubernetes: no generator has a plugin with a `service`");
}

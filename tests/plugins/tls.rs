//! Plugins and Kubernetes behind a private CA: each under its own name.

use std::{path::PathBuf, sync::Arc};

use lastgreen::{
    clock::ManualClock,
    kubernetes::{Kubernetes, Options, Overrides},
    parts::plugins::{PluginOptions, PluginPart, PluginPlace},
};
use serde_json::json;

use crate::{
    stage::{Stage, TEAM, options},
    tls_server,
};

/// A server that answers everything with this, behind a certificate for this name; its port and its CA.
async fn serve(name: &str, body: &'static str, folder: &tempfile::TempDir) -> (u16, PathBuf) {
    let own = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let ca = folder.path().join(format!("{name}.pem"));
    std::fs::write(&ca, own.cert.pem()).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let port = tls_server::answer(&own, format!("{head}{body}")).await;
    (port, ca)
}

#[tokio::test]
async fn a_service_is_believed_to_be_who_its_certificate_says() {
    let nothing = r#"{"output":{"parameters":[]}}"#;
    let stage = Stage::new().await;
    for (certificate, trusted) in [("plugin.team.svc", true), ("other.team.svc", false)] {
        let (port, ca) = serve(certificate, nothing, &stage.folder).await;
        let spec = json!({ "clusterIP": "127.0.0.1", "ports": [{ "port": port, "appProtocol": "https" }] });
        stage.cluster.plugin(TEAM, "plugin", &spec, &[]);
        stage
            .until(|stage| {
                let services = stage.known(0).services.unwrap_or_default();
                services.iter().any(|service| service.endpoint(&Overrides::default()).unwrap().port == port)
            })
            .await;
        let trusting = |ca_file| {
            let place = PluginPlace::Service {
                kubernetes: Arc::clone(&stage.kubernetes),
                namespace: TEAM.to_owned(),
                name: "plugin".to_owned(),
                port: None,
            };
            let options = PluginOptions { ca_file, ..options(place) };
            PluginPart::new(options, Arc::new(stage.clock.clone())).unwrap()
        };
        let refused = "the plugin `other`: its TLS certificate is not trusted (a private CA belongs into `caFile`)";
        assert_eq!(stage.ask(&trusting(None)).await.unwrap_err().reason, refused);
        let said = stage.ask(&trusting(Some(ca))).await;
        assert_eq!(said.map_err(|why| why.reason), if trusted { Ok(Vec::new()) } else { Err(refused.to_owned()) });
    }
}

#[tokio::test]
async fn kubernetes_is_believed_to_be_who_its_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    let list = r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
    let (port, ca) = serve("localhost", list, &folder).await;
    let looked = async |ca_file| {
        let api = Some(format!("https://localhost:{port}"));
        let options = Options { namespaces: vec![TEAM.to_owned()], api, token_file: None, ca_file };
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let kubernetes = Kubernetes::new(options, Arc::new(clock)).unwrap();
        kubernetes.look().await;
        let state = kubernetes.state().swap_remove(0);
        (state.services.is_some(), state.trouble.map(|trouble| trouble.to_string()))
    };
    assert_eq!(looked(Some(ca)).await, (true, None));
    let refused = "Kubernetes: its TLS certificate is not trusted (a private CA belongs into `caFile`)";
    assert_eq!(looked(None).await, (false, Some(refused.to_owned())));
    let error = |ca: &str| {
        let path = folder.path().join(ca);
        let options = Options {
            namespaces: vec![],
            api: Some("https://localhost:1".to_owned()),
            token_file: None,
            ca_file: Some(path),
        };
        Kubernetes::new(options, Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH))).unwrap_err().to_string()
    };
    std::fs::write(folder.path().join("empty"), "nothing").unwrap();
    assert!(error("empty").ends_with("empty`: it holds none"), "{}", error("empty"));
    assert!(error("absent").starts_with("cannot read certificates in the CA file"), "{}", error("absent"));
}

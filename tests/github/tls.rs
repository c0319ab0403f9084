//! A GitHub Enterprise server behind a private CA.

use std::sync::Arc;

use lastgreen::{
    clock::{Clock as _, SystemClock},
    github::{Auth, GitHub, Options},
    upstream::{Kind, PaceLimits},
};

use crate::{stage::branch, tls_server};

/// Whoever is not known.
const UNKNOWN: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_private_ca_is_trusted_where_the_configuration_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (token, ca) = (folder.path().join("token"), folder.path().join("ca.pem"));
    std::fs::write(&token, "a-token").unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&ca, own.cert.pem()).unwrap();
    let port = tls_server::answer(&own, UNKNOWN.to_owned()).await;
    let api = format!("https://127.0.0.1:{port}/api/v3");
    let clock = Arc::new(SystemClock::new());
    let pace = PaceLimits { per_second: 10.try_into().unwrap(), concurrent: 2.try_into().unwrap() };
    for (ca_file, kind) in [(None, Kind::Unavailable), (Some(ca), Kind::Unauthorized)] {
        let trusts = ca_file.is_some();
        let options = Options { api: api.clone(), auth: Auth::Token(token.clone()), ca_file, pace };
        let github = GitHub::new(options, clock.clone()).unwrap();
        let error = github.snapshot(branch("feature"), clock.now()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(error.message.contains("`caFile`"), !trusts, "{error}");
    }
}

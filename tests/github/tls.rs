//! A GitHub Enterprise server behind a private CA.

use std::sync::Arc;

use lastgreen::{
    clock::{Clock as _, SystemClock},
    github::{Auth, GitHub, Options},
    upstream::{Kind, PaceLimits},
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::stage::branch;

/// A server that answers every request with 401, behind this certificate.
async fn serve(certificate: rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    format!("https://{address}/api/v3")
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_the_configuration_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (token, ca) = (folder.path().join("token"), folder.path().join("ca.pem"));
    std::fs::write(&token, "a-token").unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&ca, own.cert.pem()).unwrap();
    let api = serve(own).await;
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

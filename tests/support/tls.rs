//! A server behind a certificate of its own.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Serves each connection of a client that trusts this certificate; tells the port.
pub(crate) async fn serve<F>(
    certificate: &CertifiedKey<KeyPair>,
    each: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> u16
where
    F: Future<Output = ()> + Send,
{
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, each) = (acceptor.clone(), each.clone());
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                each(stream).await;
            });
        }
    });
    port
}

/// Answers every request with this, which ends the connection.
pub(crate) async fn answer(certificate: &CertifiedKey<KeyPair>, response: String) -> u16 {
    let response: Arc<str> = response.into();
    let each = move |mut stream: TlsStream<TcpStream>| {
        let response = Arc::clone(&response);
        async move {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    };
    serve(certificate, each).await
}

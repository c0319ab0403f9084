//! A server on the loopback that keeps what it was sent.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, Response},
};
use tokio::{net::TcpListener, sync::Notify};

/// What was sent.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// Method, path and query.
    pub(crate) what: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "`{name}` came twice");
        Some(value)
    }
}

/// It ends with the test's runtime.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    arrived: Arc<Notify>,
}

impl Listener {
    /// Answers by `script`; where that has nothing, never.
    pub(crate) async fn start(script: impl Fn() -> Option<Response<Body>> + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (got, arrived) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (log, bell) = (Arc::clone(&got), Arc::clone(&arrived));
        let router = Router::new().fallback(move |request: Request<Body>| {
            let (log, bell, script) = (Arc::clone(&log), Arc::clone(&bell), script.clone());
            async move {
                let (parts, body) = request.into_parts();
                let what = format!("{} {}", parts.method, parts.uri);
                let body = to_bytes(body, 1 << 24).await.unwrap();
                log.lock().unwrap().push(Got { what, headers: parts.headers, body });
                bell.notify_one();
                match script() {
                    Some(response) => response,
                    None => pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, got, arrived }
    }

    /// Everything that was sent so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until something was sent.
    pub(crate) async fn arrival(&self) {
        while self.got.lock().unwrap().is_empty() {
            self.arrived.notified().await;
        }
    }
}

/// An answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let builder =
        headers.iter().fold(Response::builder().status(status), |all, (name, value)| all.header(*name, *value));
    builder.body(body.into()).unwrap()
}

//! A plugin that answers by script.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode},
};
use lastgreen::parts::part::Values;
use serde_json::Value;

use crate::stage::item;

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) what: String,
    pub(crate) host: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Value,
}

/// A server on the loopback; it ends with the test's runtime.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    wants: Arc<Mutex<String>>,
}

impl Double {
    /// Answers by `script`; where that has nothing, never.
    pub(crate) async fn start(
        script: impl Fn(&Asked) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request<Body>| {
            let (log, script) = (Arc::clone(&log), script.clone());
            async move {
                let (parts, body) = request.into_parts();
                let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                let one = Asked {
                    what: format!("{} {}", parts.method, parts.uri),
                    host: header("host").unwrap(),
                    authorization: header("authorization"),
                    content_type: header("content-type"),
                    body: serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap(),
                };
                log.lock().unwrap().push(one.clone());
                match script(&one) {
                    Some(response) => response,
                    None => pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked, wants: Arc::default() }
    }

    /// Answers two items to whoever brings a token.
    pub(crate) async fn wants_token(token: &str) -> Self {
        let wants = Arc::new(Mutex::new(token.to_owned()));
        let wanted = Arc::clone(&wants);
        let double = Self::start(move |asked| {
            let good = asked.authorization == Some(format!("Bearer {}", wanted.lock().unwrap()));
            Some(if good { two() } else { answer(403, "") })
        })
        .await;
        Self { wants, ..double }
    }

    /// Another token is good now.
    pub(crate) fn now_wants(&self, token: &str) {
        token.clone_into(&mut self.wants.lock().unwrap());
    }

    /// Everything that was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An answer.
pub(crate) fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// The answer with two items.
pub(crate) fn two() -> Response<Body> {
    answer(200, r#"{"output":{"parameters":[{"key1":"val1","key2":"val2"},{"key1":"val2","key2":"val2"}]}}"#)
}

/// Those items.
pub(crate) fn items() -> Vec<Values> {
    vec![item([("key1", "val1"), ("key2", "val2")]), item([("key1", "val2"), ("key2", "val2")])]
}

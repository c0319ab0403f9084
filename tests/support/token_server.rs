//! A token server as distribution specifies it: tokens are JWTs of a key whose certificate the registry knows.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lastgreen::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::docker_registry::{Access, PASSWORD, USER};

const ISSUER: &str = "the token server of a test";
const SERVICE: &str = "the registry of a test";

pub(crate) struct TokenServer {
    shared: Arc<Shared>,
    host: String,
    certificate: String,
}

/// What it gives to those that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    Good,
    Expired,
    WrongScope,
}

struct Shared {
    key: EncodingKey,
    /// The certificate, as the header of a token names it.
    x5c: String,
    gives: Mutex<Gives>,
    given: AtomicU32,
}

impl TokenServer {
    /// With a key of its own, on a free port.
    pub(crate) async fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["tokens.test".to_owned()]).unwrap();
        let shared = Arc::new(Shared {
            key: EncodingKey::from_ec_der(&own.signing_key.serialize_der()),
            x5c: STANDARD.encode(own.cert.der()),
            gives: Mutex::new(Gives::Good),
            given: AtomicU32::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().route("/token", get(answer)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, host, certificate: own.cert.pem() }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What a registry has to be told of it.
    pub(crate) fn access(&self) -> Access {
        Access::Token {
            realm: format!("http://{}/token", self.host),
            issuer: ISSUER.to_owned(),
            service: SERVICE.to_owned(),
            certificate: self.certificate.clone(),
        }
    }

    pub(crate) fn gives(&self, gives: Gives) {
        *self.shared.gives.lock().unwrap() = gives;
    }

    /// How many tokens were given.
    pub(crate) fn given(&self) -> u32 {
        self.shared.given.load(Ordering::SeqCst)
    }

    pub(crate) fn token(&self, name: &str, actions: &[&str]) -> String {
        self.shared.token(name, actions, Gives::Good)
    }
}

impl Shared {
    fn token(&self, name: &str, actions: &[&str], gives: Gives) -> String {
        let now = SystemClock::new().wall().timestamp() - if gives == Gives::Expired { 3600 } else { 0 };
        let name = if gives == Gives::WrongScope { "another/name" } else { name };
        let claims = json!({"iss": ISSUER, "sub": USER, "aud": SERVICE, "iat": now, "nbf": now - 5, "exp": now + 300,
            "jti": format!("{name} {now}"), "access": [{"type": "repository", "name": name, "actions": actions}]});
        let header = Header { x5c: Some(vec![self.x5c.clone()]), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Result<String, StatusCode> {
    let url = reqwest::Url::parse(&format!("http://here{uri}")).unwrap();
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    let good = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if headers.get("authorization").is_some_and(|given| given != good.as_str()) || query["service"] != SERVICE {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let name = query["scope"].strip_prefix("repository:").and_then(|rest| rest.strip_suffix(":pull"));
    let gives = *shared.gives.lock().unwrap();
    let token = shared.token(name.ok_or(StatusCode::BAD_REQUEST)?, &["pull"], gives);
    shared.given.fetch_add(1, Ordering::SeqCst);
    Ok(json!({"token": token, "expires_in": 300}).to_string())
}

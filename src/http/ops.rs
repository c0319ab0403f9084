//! The operator's listener: health, what was answered, and other plugins. Ready means: configured and listening; never that an upstream is well.
//!
//! Whatever changes something is a POST, and every POST needs a token of `ops.tokenFile`, whatever its path: a route
//! that is added cannot be forgotten. Only below `/explain` there is another way, for people: see [`explain`].

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::watch;

use super::{
    explain::{self, Explainer},
    ledger,
    phase::Phase,
    plugins,
    reply::{self, Problem, Reply},
    tokens::{Access, Tokens},
};
use crate::{
    domain::excerpt,
    metrics::Metrics,
    operator::{Operator, plugins::Plugins},
};

/// What the operator's listener serves.
#[derive(Debug)]
pub struct Ops {
    /// How far the end has come.
    pub phase: watch::Receiver<Phase>,
    /// The tokens that may change something; without any, nobody may.
    pub tokens: Option<Tokens>,
    /// The ledger, as an operator sees it.
    pub operator: Operator,
    /// What Prometheus is told.
    pub metrics: Metrics,
    /// Other plugins, as an operator sees them.
    pub plugins: Plugins,
    /// Why previews are as they are, unless nobody may see it.
    pub explain: Option<Explainer>,
}

/// The routes of the operator's listener.
pub fn ops_router(ops: Arc<Ops>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/ledger", get(ledger::show))
        .route("/ledger/forget", post(ledger::forget))
        .route("/guard", get(ledger::held_back))
        .route("/guard/release", post(ledger::release))
        .route("/plugins", get(plugins::show))
        .merge(explain::routes(&ops))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(Arc::clone(&ops), guard))
        .with_state(ops)
}

async fn ready(State(ops): State<Arc<Ops>>) -> Response {
    match *ops.phase.borrow() {
        Phase::Serving => "ok\n".into_response(),
        Phase::Leaving | Phase::Draining | Phase::Over => reply::problem(&Problem::Ending).into_response(),
    }
}

async fn metrics(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::MEDIA_TYPE)], ops.metrics.text())
}

async fn nothing(request: Request) -> Reply {
    let path = excerpt(request.uri().path());
    reply::problem(&Problem::NoSuchPath(format!(
        "nothing lives at `{path}`; health is at `/livez` and `/readyz`, numbers are at `/metrics`, why previews \
         are as they are is at `/explain`"
    )))
}

/// Lets through what only looks, and what brings a token.
async fn guard(State(ops): State<Arc<Ops>>, request: Request, next: Next) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    match if looks || explain::admits(&ops, &request) { Ok(()) } else { ops.authorize(&request) } {
        Ok(()) => next.run(request).await,
        Err(problem) => reply::problem(&problem).into_response(),
    }
}

impl Ops {
    /// Whether a request brings a token of `ops.tokenFile`.
    pub(super) fn authorize(&self, request: &Request) -> Result<(), Problem> {
        let Some(tokens) = &self.tokens else {
            return Err(Problem::Forbidden(
                "nobody may do this: set `ops.tokenFile` in lastgreen's configuration to a file with a token, and send \
                 that as `Authorization: Bearer …`",
            ));
        };
        match tokens.access(request.headers())? {
            Access::Granted(_) => Ok(()),
            Access::Missing => Err(Problem::Forbidden(
                "the request has no bearer token in its Authorization header; send one of those in the file that \
                 `ops.tokenFile` names",
            )),
            Access::Wrong | Access::Literal => {
                Err(Problem::Forbidden("the bearer token is not one of those in the file that `ops.tokenFile` names"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use axum::{body::Body, http::StatusCode};
    use chrono::DateTime;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        clock::{ManualClock, SharedClock},
        ledger::{Ledger, LedgerOptions, Source},
        metrics::Watched,
        registry::Registries,
        upstream::SecretFile,
    };

    async fn ask(ops: &Arc<Ops>, method: Method, path: &str, authorization: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = ops_router(Arc::clone(ops)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn operator() -> Operator {
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let options = LedgerOptions { source: Source::Memory, trust_after: Duration::ZERO };
        Operator::new(Ledger::new(options, Arc::clone(&clock)), clock)
    }

    fn metrics() -> Metrics {
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let options = LedgerOptions { source: Source::Memory, trust_after: Duration::ZERO };
        Metrics::new(Watched {
            counts: BTreeMap::new(),
            generators: BTreeMap::new(),
            families: BTreeMap::new(),
            github: None,
            registries: Arc::new(Registries::new(Vec::new(), Arc::clone(&clock)).unwrap()),
            ledger: Ledger::new(options, clock),
        })
    }

    fn tokens(folder: &tempfile::TempDir) -> Tokens {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        Tokens::new(SecretFile::new(folder.path().join("token"), clock))
    }

    #[tokio::test]
    async fn ready_until_the_end_begins_and_alive_to_its_end() {
        let (phase, seen) = watch::channel(Phase::Serving);
        let ops = Arc::new(Ops {
            phase: seen,
            tokens: None,
            operator: operator(),
            metrics: metrics(),
            plugins: Plugins::default(),
            explain: None,
        });
        let ok = (StatusCode::OK, "ok\n".to_owned());
        for now in [Phase::Serving, Phase::Leaving, Phase::Draining, Phase::Over] {
            phase.send_replace(now);
            assert_eq!(ask(&ops, Method::GET, "/livez", None).await, ok);
            let (status, body) = ask(&ops, Method::GET, "/readyz", None).await;
            if now == Phase::Serving {
                assert_eq!((status, body), ok);
            } else {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(body, r#"{"message":"lastgreen is ending"}"#);
            }
        }
        let (status, body) = ask(&ops, Method::GET, "/healthz", None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("nothing lives at `/healthz`; health is at `/livez`"), "{body}");
    }

    #[tokio::test]
    async fn what_changes_something_needs_a_token() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "one\ntwo\n").unwrap();
        let ops = Arc::new(Ops {
            phase: watch::channel(Phase::Serving).1,
            tokens: Some(tokens(&folder)),
            operator: operator(),
            metrics: metrics(),
            plugins: Plugins::default(),
            explain: None,
        });
        for (authorization, why) in [
            (None, "no bearer token in its Authorization header"),
            (Some("Basic b25l"), "no bearer token in its Authorization header"),
            (Some("Bearer three"), "not one of those in the file that `ops.tokenFile` names"),
            (Some("Bearer $one"), "not one of those in the file that `ops.tokenFile` names"),
        ] {
            for (method, path) in [(Method::POST, "/nowhere"), (Method::POST, "/livez"), (Method::DELETE, "/")] {
                let (status, body) = ask(&ops, method, path, authorization).await;
                assert_eq!(status, StatusCode::FORBIDDEN);
                assert!(body.contains(why), "{body}");
            }
        }
        for good in ["Bearer one", "bearer two"] {
            assert_eq!(ask(&ops, Method::POST, "/nowhere", Some(good)).await.0, StatusCode::NOT_FOUND);
            assert_eq!(ask(&ops, Method::POST, "/livez", Some(good)).await.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[tokio::test]
    async fn without_a_token_file_nobody_may_change_anything() {
        let ops = Arc::new(Ops {
            phase: watch::channel(Phase::Serving).1,
            tokens: None,
            operator: operator(),
            metrics: metrics(),
            plugins: Plugins::default(),
            explain: None,
        });
        let (status, body) = ask(&ops, Method::POST, "/livez", Some("Bearer one")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.contains("set `ops.tokenFile` in lastgreen's configuration"), "{body}");
        // And where the file cannot be read, nobody either: that is ours.
        let folder = tempfile::tempdir().unwrap();
        let ops = Arc::new(Ops {
            phase: ops.phase.clone(),
            tokens: Some(tokens(&folder)),
            operator: operator(),
            metrics: metrics(),
            plugins: Plugins::default(),
            explain: None,
        });
        let (status, body) = ask(&ops, Method::POST, "/livez", Some("Bearer one")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains("its log says why"), "{body}");
    }
}

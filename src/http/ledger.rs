//! The ledger on the operator's listener: `GET /ledger` shows its lines, `POST /ledger/forget` forgets one; `GET /guard`
//! shows what the guards hold back, `POST /guard/release` lets it through. All need a token: branch names, commits and
//! inputs are nobody's business.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;

use super::{
    body::MAX_BYTES,
    ops::Ops,
    reply::{self, Problem, Reply},
};
use crate::operator::{Release, Undone, Which};

/// All lines.
pub(super) async fn show(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    if let Err(problem) = ops.authorize(&request) {
        return reply::problem(&problem);
    }
    match ops.operator.lines(&Which::default()).await {
        Ok(lines) => reply::respond(StatusCode::OK, &json!(lines)),
        Err(undone) => refused(undone),
    }
}

/// Forgets a line; the token was looked at already, as with every POST.
pub(super) async fn forget(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    let body = Limited::new(request.into_body(), MAX_BYTES).collect().await;
    let which = body.ok().and_then(|body| serde_json::from_slice::<Which>(&body.to_bytes()).ok());
    let Some(which) = which else {
        let expected = "expected a JSON object with `generator` and with `number` or `branch`";
        return reply::problem(&Problem::BadQuestion(expected.to_owned()));
    };
    match ops.operator.forget(&which).await {
        Ok(line) => reply::respond(StatusCode::OK, &json!(line)),
        Err(undone) => refused(undone),
    }
}

/// What the guards hold back.
pub(super) async fn held_back(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    if let Err(problem) = ops.authorize(&request) {
        return reply::problem(&problem);
    }
    match ops.operator.held_back().await {
        Ok(held) => reply::respond(StatusCode::OK, &json!(held)),
        Err(undone) => refused(undone),
    }
}

/// Lets through what a generator's guard holds back; the token was looked at already.
pub(super) async fn release(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    let body = Limited::new(request.into_body(), MAX_BYTES).collect().await;
    let release = body.ok().and_then(|body| serde_json::from_slice::<Release>(&body.to_bytes()).ok());
    let Some(release) = release else {
        return reply::problem(&Problem::BadQuestion("expected a JSON object with `generator`".to_owned()));
    };
    match ops.operator.release(&release).await {
        Ok(released) => reply::respond(StatusCode::OK, &json!(released)),
        Err(undone) => refused(undone),
    }
}

fn refused(undone: Undone) -> Reply {
    let (status, message) = match undone {
        Undone::Ledger(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Undone::NoSuchLine | Undone::NothingHeld(_) => (StatusCode::NOT_FOUND, undone.to_string()),
        Undone::Crossed => (StatusCode::CONFLICT, undone.to_string()),
        Undone::Several | Undone::Unnamed => (StatusCode::BAD_REQUEST, undone.to_string()),
    };
    reply::respond(status, &json!({ "message": message }))
}

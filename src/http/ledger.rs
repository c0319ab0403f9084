//! The ledger on the operator's listener: `GET /ledger` shows its lines, `POST /ledger/forget` forgets one. Both need a
//! token: branch names and commits are nobody's business.

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
use crate::operator::{Undone, Which};

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

fn refused(undone: Undone) -> Reply {
    let (status, message) = match undone {
        Undone::Ledger(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Undone::NoSuchLine => (StatusCode::NOT_FOUND, undone.to_string()),
        Undone::Several | Undone::Unnamed => (StatusCode::BAD_REQUEST, undone.to_string()),
    };
    reply::respond(status, &json!({ "message": message }))
}

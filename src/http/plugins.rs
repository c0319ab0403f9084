//! Other plugins on the operator's listener: `GET /plugins`. It needs a token: names and addresses inside of a cluster
//! are nobody's business.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::json;

use super::{
    ops::Ops,
    reply::{self, Reply},
};

/// What is configured, and what was found.
pub(super) async fn show(State(ops): State<Arc<Ops>>, request: Request) -> Reply {
    match ops.authorize(&request) {
        Err(problem) => reply::problem(&problem),
        Ok(()) => reply::respond(StatusCode::OK, &json!(ops.plugins.view())),
    }
}

//! Health, for those who run it. Ready means: configured and listening; never that an upstream is well.

use axum::{Router, routing::get};

/// The routes of the ops listener.
pub fn ops_router() -> Router {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(async || "ok\n"))
}

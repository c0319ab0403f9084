//! A request's body, for the fuzz targets.

use std::sync::Arc;

use axum::{body::Body, http::StatusCode};
use chrono::DateTime;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{
    body,
    reply::{self, Problem, Reply},
};
use crate::{
    clock::{ManualClock, SharedClock},
    domain::Question,
};

/// What the plugin makes of a body: a question, or the message of a refusal.
pub(crate) fn question(bytes: &[u8]) -> Result<Question, String> {
    let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
    let read = body::read(Body::from(bytes.to_vec()), &clock).now_or_never().expect("the whole body is there");
    let question = read.and_then(|read| body::Request::parse(&read)).and_then(|request| {
        Question::parse(&request.application_set_name, &request.parameters)
            .map_err(|error| Problem::BadQuestion(error.to_string()))
    });
    question.map_err(|problem| {
        let response = reply::problem(&problem);
        let expected =
            if bytes.len() > body::MAX_BYTES { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        assert_eq!(response.status(), expected);
        message(response)
    })
}

/// The body of a refusal has a message and nothing else.
fn message(response: Reply) -> String {
    let collected = response.into_body().collect().now_or_never().expect("a refusal is there at once");
    let bytes = collected.expect("nothing can break").to_bytes();
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(body)) if body.len() == 1 => body["message"].as_str().expect("a text").to_owned(),
        other => panic!("{other:?}"),
    }
}

/// A question as Argo CD sends it.
pub(crate) fn body(question: &Question) -> Vec<u8> {
    let mut parameters = json!({ "branch": question.branch.as_str() });
    if let Some(number) = question.number {
        parameters["number"] = json!(number);
    }
    if let Some(head) = question.head_sha {
        parameters["head_sha"] = json!(head.as_str());
    }
    let body = json!({ "applicationSetName": question.application_set, "input": { "parameters": parameters } });
    body.to_string().into_bytes()
}

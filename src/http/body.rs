//! A request's body: bounded in size and in time, whatever its content type says.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::{clock::SharedClock, domain::excerpt};

/// The largest body that is read.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// How long a body may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A request as Argo CD sends it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) application_set_name: String,
    /// What the ApplicationSet passes.
    pub(super) parameters: Map<String, Value>,
}

impl Request {
    /// Takes the request out of a JSON body. What Argo CD leaves out where it is empty may be absent.
    fn from_json(body: Value) -> Result<Self, Problem> {
        let Value::Object(mut body) = body else { return Err(shape("the body", "an object")) };
        let application_set_name = match body.remove("applicationSetName") {
            None | Some(Value::Null) => String::new(),
            // Kubernetes takes no longer name.
            Some(Value::String(name)) if name.len() <= 253 => name,
            Some(_) => return Err(shape("applicationSetName", "a string of at most 253 bytes")),
        };
        let mut input = object(body.remove("input"), "input")?;
        let parameters = object(input.remove("parameters"), "input.parameters")?;
        Ok(Self { application_set_name, parameters })
    }
}

fn object(value: Option<Value>, name: &str) -> Result<Map<String, Value>, Problem> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(shape(name, "an object")),
    }
}

fn shape(name: &str, expected: &str) -> Problem {
    Problem::BadQuestion(format!("the request's body has another shape than Argo CD's: {name} must be {expected}"))
}

/// Reads and parses a body.
pub(super) async fn read(body: Body, clock: &SharedClock) -> Result<Request, Problem> {
    let collected = tokio::select! {
        biased;
        collected = Limited::new(body, MAX_BYTES).collect() => collected,
        () = clock.sleep_until(clock.now() + MAX_TIME) => return Err(Problem::SlowBody),
    };
    let bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => return Err(Problem::LargeBody),
        Err(_) => return Err(Problem::BadQuestion("the request's body broke off".to_owned())),
    };
    if bytes.trim_ascii().is_empty() {
        let example = r#"{"applicationSetName":"…","input":{"parameters":{"branch":"…"}}}"#;
        return Err(Problem::BadQuestion(format!("the request has no body; expected {example}")));
    }
    let json = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::BadQuestion(format!("the request's body is not JSON: {}", excerpt(&error.to_string())))
    })?;
    Request::from_json(json)
}

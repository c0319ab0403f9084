//! A request's body: bounded in size and in time, whatever its content type says.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::{clock::SharedClock, domain::excerpt};

/// The largest body that is read.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// How long a body may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A request as Argo CD sends it.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(rename = "applicationSetName", default)]
    pub(super) application_set_name: String,
    #[serde(default)]
    input: Input,
}

#[derive(Debug, Default, Deserialize)]
struct Input {
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl Request {
    /// What the ApplicationSet passes.
    pub(super) fn parameters(&self) -> &Map<String, Value> {
        &self.input.parameters
    }
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
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = if error.is_data() {
            "the request's body has another shape than Argo CD's"
        } else {
            "the request's body is not JSON"
        };
        Problem::BadQuestion(format!("{what}: {}", excerpt(&error.to_string())))
    })
}

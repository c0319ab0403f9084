//! A request's body: bounded in size and in time, whatever its content type says.

use std::{error::Error, pin::pin, time::Duration};

use axum::body::{Bytes, HttpBody};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::{clock::SharedClock, domain::excerpt};

/// The largest body that is read.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// How long a body may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A request as Argo CD sends it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) application_set_name: String,
    /// What the ApplicationSet passes.
    pub(super) parameters: Map<String, Value>,
}

impl Request {
    /// Parses a body.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.trim_ascii().is_empty() {
            let example = r#"{"applicationSetName":"…","input":{"parameters":{"branch":"…"}}}"#;
            return Err(Problem::BadQuestion(format!("the request has no body; expected {example}")));
        }
        let json = serde_json::from_slice(bytes).map_err(|error| {
            Problem::BadQuestion(format!("the request's body is not JSON: {}", excerpt(&error.to_string())))
        })?;
        Self::from_json(json)
    }

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

/// Reads a body.
pub(super) async fn read<B>(body: B, clock: &SharedClock) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let read = tokio::select! {
        biased;
        read = whole(body) => read,
        // Hardly any body has to be waited for: most came with their heads.
        () = async { clock.sleep_until(clock.now() + MAX_TIME).await } => return Err(Problem::SlowBody),
    };
    read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Problem::LargeBody,
        None => Problem::BadQuestion("the request's body broke off".to_owned()),
    })
}

/// A whole body; one that came in one piece is not copied.
async fn whole<B>(body: B) -> Result<Bytes, Box<dyn Error + Send + Sync>>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let mut body = pin!(Limited::new(body, MAX_BYTES));
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await.transpose()? {
        match frame.into_data() {
            Ok(data) if first.is_empty() => first = data,
            Ok(data) => {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            Err(_trailers) => {}
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

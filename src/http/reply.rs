//! The one table from answers and refusals to HTTP.
//!
//! A 2xx is made from an [`Answer`] and from nothing else: Argo CD reads an empty 200 as "delete everything".

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    domain::{Answer, Item, Standing},
    generator::Refusal,
    trace::Attributes,
};

/// What is sent: a whole body, known to its end.
pub(super) type Reply = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STANDING: HeaderName = HeaderName::from_static("x-lastgreen-standing");
const COMMIT: HeaderName = HeaderName::from_static("x-lastgreen-commit");
const REASON: HeaderName = HeaderName::from_static("x-lastgreen-reason");

/// The longest reason that goes into a header, in bytes.
const REASON_BYTES: usize = 600;

/// Seconds after which a refused question may be asked again. Argo CD itself waits 180, whatever is said here.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// Everything that is not a 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// A question that no pull request can cause.
    BadQuestion(String),
    /// No token, or a wrong one.
    Forbidden(&'static str),
    /// Nothing lives there.
    NoSuchPath(String),
    /// Not a POST.
    NotPost,
    /// The body did not come in time.
    SlowBody,
    /// The body is too large.
    LargeBody,
    /// The token asks too often, and nothing is known; in how long the next look may be.
    TooOften(Duration),
    /// The generator refused.
    Refused(Refusal),
    /// The accepted tokens cannot be read.
    NoTokens,
    /// The process ends, and is not ready any more.
    Ending,
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadQuestion(_) | Self::Refused(Refusal::Bad(_)) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) | Self::Refused(Refusal::Elsewhere(_)) => StatusCode::FORBIDDEN,
            Self::NoSuchPath(_) => StatusCode::NOT_FOUND,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::LargeBody => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(Refusal::Unavailable(_)) | Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::Internal | Refusal::Misfit(_)) | Self::NoTokens => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether it is for those who run lastgreen, and not for those who ask, to mend.
    pub(super) fn is_ours(&self) -> bool {
        self.status().is_server_error()
    }

    /// Says in a span what it is.
    pub(super) fn note(&self, span: &mut Attributes) {
        if let Self::Refused(Refusal::Unavailable(_)) = self {
            span.text("lastgreen.standing", "refused");
        }
        span.text("lastgreen.reason", &self.message());
    }

    fn message(&self) -> String {
        match self {
            Self::BadQuestion(message) | Self::NoSuchPath(message) => message.clone(),
            Self::Forbidden(message) => (*message).to_owned(),
            Self::NotPost => "this path takes POST only; a redirect (http to https, or a missing slash) turns a POST \
                              into a GET, so the plugin's baseUrl must be the final address"
                .to_owned(),
            Self::SlowBody => "the request's body did not come in time".to_owned(),
            Self::LargeBody => "the request's body is larger than 64 KiB".to_owned(),
            Self::TooOften(_) => {
                "this token makes lastgreen look more often than `inbound` in its configuration allows, \
                                  and nothing is known that could be answered without a look"
                    .to_owned()
            }
            Self::Refused(refusal) => refusal.to_string(),
            Self::NoTokens => "lastgreen cannot read its token file; its log says why".to_owned(),
            Self::Ending => "lastgreen is ending".to_owned(),
        }
    }
}

/// A problem as a response.
pub(super) fn problem(problem: &Problem) -> Reply {
    let mut response = respond(problem.status(), &json!({ "message": problem.message() }));
    let headers = response.headers_mut();
    match problem {
        Problem::NotPost => drop(headers.insert(header::ALLOW, HeaderValue::from_static("POST"))),
        Problem::Refused(Refusal::Unavailable(_)) => drop(headers.insert(header::RETRY_AFTER, RETRY_AFTER)),
        Problem::TooOften(wait) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        // What is left of a body that was not read cannot be told from the next request.
        Problem::SlowBody | Problem::LargeBody => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    if matches!(problem, Problem::Refused(Refusal::Unavailable(_))) {
        headers.insert(STANDING, HeaderValue::from_static(Standing::Unknown.as_str()));
    }
    response
}

/// An answer, ready to be sent as often as it may be: its copies share their texts.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    standing: Standing,
    commit: Option<HeaderValue>,
    reason: Option<HeaderValue>,
    body: Bytes,
}

impl Ready {
    /// The one way from an answer to a 2xx.
    pub(super) fn new(answer: &Answer) -> Self {
        let (parameters, commit) = match answer {
            Answer::Item { item, commit, .. } => (vec![parameters(item)], Some(commit)),
            Answer::List { list, commit, .. } => {
                (list.items().iter().map(|item| json!(item)).collect(), commit.as_ref())
            }
            Answer::Nothing { .. } => (Vec::new(), None),
        };
        Self {
            standing: answer.standing(),
            commit: commit.and_then(|commit| HeaderValue::from_str(commit.as_str()).ok()),
            reason: header_text(answer.reason()),
            body: bytes(&json!({ "output": { "parameters": parameters } })),
        }
    }

    /// How the answer stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Says in a span what it is.
    pub(super) fn note(&self, span: &mut Attributes) {
        span.text("lastgreen.standing", &self.standing);
        for (key, value) in [("lastgreen.commit", &self.commit), ("lastgreen.reason", &self.reason)] {
            if let Some(Ok(value)) = value.as_ref().map(HeaderValue::to_str) {
                span.text(key, value);
            }
        }
    }

    /// How long its texts are.
    pub(super) fn bytes(&self) -> usize {
        let of = |value: &Option<HeaderValue>| value.as_ref().map_or(0, HeaderValue::len);
        self.body.len() + of(&self.commit) + of(&self.reason)
    }

    /// The only 2xx there is.
    pub(super) fn response(self) -> Reply {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(STANDING, HeaderValue::from_static(self.standing.as_str()));
        let more = [(COMMIT, self.commit), (REASON, self.reason)];
        headers.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let mut response = Response::new(Full::new(self.body));
        *response.headers_mut() = headers;
        response
    }
}

fn parameters(item: &Item) -> Value {
    item.values().iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect()
}

pub(super) fn respond(status: StatusCode, body: &Value) -> Reply {
    let mut response = Response::new(Full::new(bytes(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A body, without room to grow.
fn bytes(body: &Value) -> Bytes {
    body.to_string().into_bytes().into_boxed_slice().into()
}

/// A text as a header takes it: branch and check names may hold anything.
fn header_text(text: &str) -> Option<HeaderValue> {
    let mut plain: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    plain.truncate(REASON_BYTES);
    (!plain.is_empty()).then(|| HeaderValue::from_str(&plain).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::WhyNothing;

    #[test]
    fn every_problem_has_its_status_and_a_message() {
        let bad = crate::domain::QuestionError::new("branch", "is empty");
        for (case, status) in [
            (Problem::BadQuestion("x".to_owned()), 400),
            (Problem::Refused(Refusal::Bad(bad)), 400),
            (Problem::Forbidden("x"), 403),
            (Problem::NoSuchPath("x".to_owned()), 404),
            (Problem::NotPost, 405),
            (Problem::SlowBody, 408),
            (Problem::LargeBody, 413),
            (Problem::TooOften(Duration::from_millis(1)), 429),
            (Problem::Refused(Refusal::Internal), 500),
            (Problem::Refused(Refusal::Misfit(crate::domain::Misfit::TooMany)), 500),
            (Problem::NoTokens, 500),
            (Problem::Refused(Refusal::Unavailable("x".to_owned())), 503),
            (Problem::Ending, 503),
        ] {
            let response = problem(&case);
            assert_eq!(response.status().as_u16(), status, "{case:?}");
            let again = matches!(case, Problem::Refused(Refusal::Unavailable(_)) | Problem::TooOften(_));
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), again);
            assert!(!case.message().is_empty());
        }
    }

    #[test]
    fn reasons_cannot_break_a_header() {
        let nothing =
            Answer::Nothing { why: WhyNothing::NotYet, reason: format!("a\r\nx-evil: 1\0é{}", "y".repeat(2000)) };
        let response = Ready::new(&nothing).response();
        let reason = response.headers()[REASON].to_str().unwrap();
        assert!(reason.starts_with("a??x-evil: 1??"), "{reason}");
        assert_eq!(reason.len(), REASON_BYTES);
        assert!(!response.headers().contains_key(COMMIT));
    }
}

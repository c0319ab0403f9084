//! Which trace a question belongs to, and what of it a collector is told.
//!
//! ```text
//! traceparent ─ Caller ─ Trace ─┬─ `trace_id` in the log, `traceparent` to other plugins
//!                               └─ spans ─ a span for the question, one for each request that it led to
//! ```
//!
//! A [`Trace`] is nothing, and costs nothing, where the caller named none and nothing is exported. Spans exist with the
//! feature `otlp`; without it `none` stands in for them, whose functions do nothing.
//!
//! What is in a span is written here and nowhere else, key by key: no URL, no header and no body can get into one.

mod context;
#[cfg(not(feature = "otlp"))]
#[path = "trace/none.rs"]
mod spans;
#[cfg(feature = "otlp")]
mod spans;

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method, StatusCode};

use self::spans::{Child, Root};
pub use self::{
    context::{Caller, TRACEPARENT, TRACESTATE, TraceId, TraceParent},
    spans::{Attributes, Traces},
};

/// The trace of one question. Clones are the same.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Inner>>);

struct Inner {
    caller: Option<Caller>,
    root: Root,
}

/// The trace of a question that is being answered; it ends with this.
#[derive(Debug)]
pub struct Asked(Trace);

/// A request to another service, or a query, from its beginning until this is dropped.
#[derive(Debug)]
pub struct Request {
    trace: Trace,
    child: Child,
    stage: Stage,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Sent,
    Answered,
    Done,
}

impl Traces {
    /// The trace of a question to a generator, which a caller may have begun.
    pub fn asked(&self, caller: Option<Caller>, generator: &str) -> Asked {
        if caller.is_none() && !self.is_on() {
            return Asked(Trace::default());
        }
        let root = self.root(caller.as_ref(), generator);
        Asked(Trace(Some(Arc::new(Inner { caller, root }))))
    }
}

impl Asked {
    /// The trace, for whoever works on the question.
    pub fn trace(&self) -> &Trace {
        &self.0
    }

    /// What was answered.
    pub fn answered(self, status: StatusCode, note: impl FnOnce(&mut Attributes)) {
        if let Some(inner) = &self.0.0 {
            inner.root.note(note);
            inner.root.answered(status);
        }
    }
}

impl Drop for Asked {
    /// One that was not answered has lost its caller.
    fn drop(&mut self) {
        if let Some(inner) = &self.0.0 {
            inner.root.abandon();
        }
    }
}

impl Trace {
    /// Its id, where the caller named it or it is exported.
    pub fn id(&self) -> Option<TraceId> {
        let inner = self.0.as_deref()?;
        inner.root.exported().or_else(|| Some(inner.caller.as_ref()?.parent.trace))
    }

    /// Says more of the question, if that is exported.
    pub fn note(&self, note: impl FnOnce(&mut Attributes)) {
        if let Some(inner) = &self.0 {
            inner.root.note(note);
        }
    }

    /// A request that is sent now.
    pub fn request(&self, method: &Method, host: &str, port: Option<u16>) -> Request {
        self.child(|root| root.request(method, host, port))
    }

    /// A query that is asked of a database now.
    pub fn query(&self, system: &'static str) -> Request {
        self.child(|root| root.query(system))
    }

    fn child(&self, begin: impl FnOnce(&Root) -> Child) -> Request {
        let child = self.0.as_deref().map(|inner| begin(&inner.root)).unwrap_or_default();
        Request { trace: self.clone(), child, stage: Stage::Sent }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.id()).finish()
    }
}

impl Request {
    /// The headers that let who is asked go on with the trace: with this request where it is a span, else with what the
    /// caller sent, as it came.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let caller = self.trace.0.as_deref().and_then(|inner| inner.caller.as_ref());
        let given = caller.map(|caller| caller.parent);
        let parent = self.child.parent().map(|own| own.going_on(given)).or(given);
        if let Some(parent) = parent.and_then(TraceParent::header) {
            headers.insert(TRACEPARENT, parent);
            headers.extend(caller.and_then(|caller| caller.state.clone()).map(|state| (TRACESTATE, state)));
        }
        headers
    }

    /// It was answered so; what is left of the answer is read from now on.
    pub fn answered(&mut self, status: StatusCode) {
        self.stage = Stage::Answered;
        self.child.answered(status);
    }

    /// All of it was read.
    pub fn done(&mut self) {
        self.stage = Stage::Done;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.child.end(match self.stage {
            Stage::Sent => Some("no-answer"),
            Stage::Answered => Some("broken-off"),
            Stage::Done => None,
        });
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn caller() -> Caller {
        let state = Some(HeaderValue::from_static("a=1"));
        Caller { parent: TraceParent::parse(PARENT.as_bytes()).unwrap(), state }
    }

    #[test]
    fn who_names_no_trace_has_none() {
        let asked = Traces::default().asked(None, "preview");
        assert!(asked.trace().0.is_none() && asked.trace().id().is_none());
        assert!(asked.trace().request(&Method::POST, "host", None).headers().is_empty());
        asked.trace().note(|_| panic!("nobody hears it"));
        asked.answered(StatusCode::OK, |_| panic!("nobody hears it"));
    }

    #[test]
    fn without_spans_of_our_own_the_caller_s_is_passed_on() {
        let asked = Traces::default().asked(Some(caller()), "preview");
        assert_eq!(asked.trace().id(), Some(caller().parent.trace));
        let headers = asked.trace().request(&Method::POST, "host", None).headers();
        assert_eq!(headers.len(), 2);
        assert_eq!((headers[TRACEPARENT].as_bytes(), headers[TRACESTATE].as_bytes()), (PARENT.as_bytes(), &b"a=1"[..]));
        asked.trace().note(|_| panic!("nobody hears it"));
    }
}

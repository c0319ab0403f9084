//! Spans, in OpenTelemetry's words and by our own clock.
//!
//! A question is a server's span, a request that it led to a client's below it. What goes on for a question after it was
//! answered may end later than it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use super::{Caller, TraceId, TraceParent};
use crate::clock::SharedClock;

/// What a question's span is called, and where it was asked.
const QUESTION: (&str, &str) = ("POST /{generator}/api/v1/getparams.execute", "/{generator}/api/v1/getparams.execute");

/// The longest text in a span, in bytes.
const LONGEST: usize = 1024;

/// How long what is left may take to be sent at the end.
const FINISH: Duration = Duration::from_secs(2);

/// Where traces go, if they go anywhere. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Exporting>>);

#[derive(Debug)]
struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    clock: SharedClock,
}

/// What is said of a question.
#[derive(Debug)]
pub struct Attributes<'a>(&'a mut Span);

/// A question's span, if questions have any.
#[derive(Debug)]
pub(super) struct Root(Option<Recording>);

#[derive(Debug)]
struct Recording {
    exporting: Arc<Exporting>,
    context: SpanContext,
    /// Gone once it has ended.
    span: Mutex<Option<Span>>,
}

/// A request's span, if its question has one.
#[derive(Debug, Default)]
pub(super) struct Child(Option<(Arc<Exporting>, Span)>);

impl Traces {
    /// Traces that go where a provider sends them.
    pub fn to(provider: SdkTracerProvider, clock: SharedClock) -> Self {
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Self(Some(Arc::new(Exporting { provider, tracer, clock })))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn root(&self, caller: Option<&Caller>, generator: &str) -> Root {
        let Some(exporting) = &self.0 else { return Root(None) };
        let (name, route) = QUESTION;
        let attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", route),
            text("lastgreen.generator", generator),
        ];
        let span = exporting.begin(name, SpanKind::Server, attributes, caller.map(remote));
        let context = span.span_context().clone();
        Root(Some(Recording { exporting: Arc::clone(exporting), context, span: Mutex::new(Some(span)) }))
    }

    /// Sends what is left, if that is possible soon.
    pub async fn finish(&self) {
        let Some(exporting) = &self.0 else { return };
        let provider = exporting.provider.clone();
        // It waits for the thread that sends, and must not keep one of the runtime's.
        let done = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FINISH)).await;
        if !matches!(done, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent to the collector");
        }
    }
}

impl Exporting {
    fn begin(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        parent: Option<SpanContext>,
    ) -> Span {
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        let context = Context::new();
        let context = match parent {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        self.tracer.build_with_context(builder.with_start_time(self.now()), &context)
    }

    fn now(&self) -> SystemTime {
        self.clock.wall().into()
    }
}

impl Attributes<'_> {
    /// A text, of which the beginning is kept.
    pub fn text(&mut self, key: &'static str, value: &(impl ToString + ?Sized)) {
        self.0.set_attribute(text(key, value.to_string()));
    }

    /// A number.
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.0.set_attribute(KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Whether something is so.
    pub fn flag(&mut self, key: &'static str, value: bool) {
        self.0.set_attribute(KeyValue::new(key, value));
    }
}

impl Root {
    /// The trace's id, if the span is exported.
    pub(super) fn exported(&self) -> Option<TraceId> {
        let context = &self.0.as_ref()?.context;
        context.is_sampled().then(|| TraceId(context.trace_id().to_bytes()))
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Attributes)) {
        self.with(|span| note(&mut Attributes(span)));
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.with(|span| {
            span.set_attribute(status_code(status));
            if status.is_server_error() {
                fail(span, status.as_u16().to_string());
            }
        });
        self.end();
    }

    /// Ends it, if it was not answered: nobody was there any more.
    pub(super) fn abandon(&self) {
        self.with(|span| span.set_attribute(KeyValue::new("error.type", "abandoned")));
        self.end();
    }

    fn end(&self) {
        let Some(recording) = &self.0 else { return };
        let mut slot = recording.span.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut span) = slot.take() {
            span.end_with_timestamp(recording.exporting.now());
        }
    }

    pub(super) fn request(&self, method: &Method, host: &str, port: Option<u16>) -> Child {
        self.child(|| {
            let mut attributes = vec![text("http.request.method", method.as_str()), text("server.address", host)];
            attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
            (format!("{method} {host}"), attributes)
        })
    }

    pub(super) fn query(&self, system: &'static str) -> Child {
        self.child(|| (format!("query {system}"), vec![KeyValue::new("db.system.name", system)]))
    }

    fn child(&self, about: impl FnOnce() -> (String, Vec<KeyValue>)) -> Child {
        let Some(recording) = &self.0 else { return Child(None) };
        let (name, attributes) = about();
        let parent = Some(recording.context.clone());
        let span = recording.exporting.begin(name, SpanKind::Client, attributes, parent);
        Child(Some((Arc::clone(&recording.exporting), span)))
    }

    fn with(&self, change: impl FnOnce(&mut Span)) {
        let Some(recording) = &self.0 else { return };
        let mut span = recording.span.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(span) = span.as_mut().filter(|span| span.is_recording()) {
            change(span);
        }
    }
}

impl Child {
    /// How others go on with it.
    pub(super) fn parent(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?.1.span_context();
        let trace = TraceId(context.trace_id().to_bytes());
        let parent = TraceParent { trace, span: context.span_id().to_bytes(), flags: context.trace_flags().to_u8() };
        context.is_valid().then_some(parent)
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        let Some((_, span)) = &mut self.0 else { return };
        span.set_attribute(status_code(status));
        // Registries answer so on the way to a digest, and where there is none.
        let is_usual = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND);
        if (status.is_client_error() || status.is_server_error()) && !is_usual {
            fail(span, status.as_u16().to_string());
        }
    }

    pub(super) fn end(&mut self, problem: Option<&'static str>) {
        let Some((exporting, mut span)) = self.0.take() else { return };
        if let Some(problem) = problem {
            fail(&mut span, problem);
        }
        span.end_with_timestamp(exporting.now());
    }
}

fn fail(span: &mut Span, kind: impl Into<Value>) {
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(""));
}

fn status_code(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

/// A text, or its beginning.
fn text(key: &'static str, value: impl Into<String>) -> KeyValue {
    let mut value = value.into();
    value.truncate(value.floor_char_boundary(LONGEST));
    KeyValue::new(key, value)
}

fn remote(caller: &Caller) -> SpanContext {
    let TraceParent { trace, span, flags } = caller.parent;
    let state = caller.state.as_ref().and_then(|state| state.to_str().ok()?.parse().ok()).unwrap_or_default();
    let (trace, span): (_, SpanId) = (opentelemetry::trace::TraceId::from_bytes(trace.0), SpanId::from_bytes(span));
    let state: TraceState = state;
    SpanContext::new(trace, span, TraceFlags::new(flags), true, state)
}

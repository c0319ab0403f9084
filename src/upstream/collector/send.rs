//! Sending: OpenTelemetry's queue, batches and protocol over this house's HTTP client.
//!
//! The queue holds a bounded number of spans, and what does not fit is dropped. A thread of the SDK's own takes batches
//! from it; the exchange itself runs on the runtime, like any other.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::Handle;

use super::settings::Settings;
use crate::{
    clock::{Moment, SharedClock},
    trace::Traces,
    upstream::http,
};

/// The largest answer that is read; what a collector says of a batch is a few bytes.
const MAX_BYTES: usize = 64 * 1024;

/// How long nothing is said again of a collector that takes no traces, comes back, and goes.
const SILENCE: Duration = Duration::from_mins(10);

/// Begins to send.
pub(super) fn begin(settings: &Settings, clock: &SharedClock) -> Result<Traces, String> {
    let ca_file = settings.ca_file.as_deref();
    // A proxy sees nothing of what goes over TLS, and would see the collector's key in what does not.
    let client = if settings.is_tls { http::client(ca_file) } else { http::client_nearby(ca_file, None) };
    let client = client.map_err(|error| error.to_string())?;
    let trouble = Trouble::default();
    let post = Post { client, runtime: Handle::current(), timeout: settings.timeout, trouble: Arc::clone(&trouble) };
    let exporter = Otlp::builder().with_http().with_http_client(post);
    let exporter = exporter.with_protocol(Protocol::HttpBinary).with_timeout(settings.timeout);
    // Its own words may have what the variables hold.
    let exporter = exporter.build().map_err(|_| "its settings are refused".to_owned())?;
    let exporter = Told { exporter, trouble, said: Mutex::default(), clock: Arc::clone(clock) };
    let processor = BatchSpanProcessor::builder(exporter).build();
    let provider = SdkTracerProvider::builder().with_resource(resource()).with_span_processor(processor).build();
    Ok(Traces::to(provider, Arc::clone(clock)))
}

/// Who we are: what the environment says, else our own name.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let builder = Resource::builder().with_attribute(version);
    let is_named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named { builder.build() } else { builder.with_service_name(env!("CARGO_PKG_NAME")).build() }
}

/// Why the last batch was not taken, in stable words.
type Trouble = Arc<Mutex<String>>;

/// Carries a batch.
#[derive(Debug)]
struct Post {
    client: reqwest::Client,
    runtime: Handle,
    timeout: Duration,
    trouble: Trouble,
}

impl HttpClient for Post {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(send(self.client.clone(), request, self.timeout));
        Box::pin(async move {
            let outcome = sent.await.unwrap_or_else(|_| Err("lastgreen is ending".to_owned()));
            let trouble = match &outcome {
                Ok(response) => format!("it answers {}", response.status().as_u16()),
                Err(why) => why.clone(),
            };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            Ok(outcome?)
        })
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, String> {
    let mut request = reqwest::Request::try_from(request).map_err(|_| "its address is no URL".to_owned())?;
    *request.timeout_mut() = Some(timeout);
    let mut response = client.execute(request).await.map_err(|error| http::describe(&error).to_owned())?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    *answer.body_mut() = http::body(response, MAX_BYTES).await.map_err(|error| error.to_string())?.into();
    Ok(answer)
}

/// Exports, and says when that begins to fail and when it works again.
struct Told {
    exporter: Otlp,
    trouble: Trouble,
    said: Mutex<Said>,
    clock: SharedClock,
}

/// What was said last.
#[derive(Debug, Default)]
struct Said {
    /// That it fails.
    fails: bool,
    /// When.
    at: Option<Moment>,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        self.tell(outcome.is_err());
        outcome
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl fmt::Debug for Told {
    /// Without the exporter, which shows the collector's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("said", &self.said).finish_non_exhaustive()
    }
}

impl Told {
    fn tell(&self, fails: bool) {
        let now = self.clock.now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.is_news(fails, now) {
            return;
        }
        if fails {
            let why = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            tracing::warn!("the collector takes no traces: {why}; they are dropped until it does");
        } else {
            tracing::info!("the collector takes traces again");
        }
    }
}

impl Said {
    /// Whether it is to be said how a batch fared.
    fn is_news(&mut self, fails: bool, now: Moment) -> bool {
        let is_soon = self.at.is_some_and(|at| now.since(at) < SILENCE);
        if fails == self.fails || (fails && is_soon) {
            return false;
        }
        self.fails = fails;
        self.at = if fails { Some(now) } else { self.at };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_comes_and_goes_does_not_fill_the_log() {
        let mut said = Said::default();
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        for (seconds, fails, is_news) in [
            (0, false, false),
            (5, true, true),
            (10, true, false),
            (15, false, true),
            // Now and then, and nothing of it for a while.
            (20, true, false),
            (25, false, false),
            (604, true, false),
            (605, true, true),
            (5000, true, false),
            (5005, false, true),
        ] {
            assert_eq!(said.is_news(fails, at(seconds)), is_news, "after {seconds} s");
        }
    }
}

//! The collector that traces are sent to, as OpenTelemetry's environment variables name it.
//!
//! ```text
//! environment ─ settings ─ nothing wanted, wrong, or where to
//!                            └ send: a bounded queue ─ a thread of its own ─ batches ─ POST, by this house's client
//! ```
//!
//! Whether it takes them is nobody's business but its own: no answer waits for it, and the log says once that it does
//! not. What the variables say wrongly ends nothing either: then nothing is sent.

#[cfg(feature = "otlp")]
mod send;
mod settings;

use self::settings::Settings;
use crate::{clock::SharedClock, trace::Traces};

/// Where traces go, by the environment; what is wrong with it is said once.
pub fn traces(clock: &SharedClock) -> Traces {
    let variable = |name: &str| std::env::var(name).ok();
    let begun = match Settings::read(variable) {
        Ok(None) => return Traces::default(),
        Ok(Some(settings)) => begin(&settings, clock),
        Err(problem) => Err(problem),
    };
    begun.unwrap_or_else(|problem| {
        tracing::warn!("no traces are sent: {problem}");
        Traces::default()
    })
}

#[cfg(feature = "otlp")]
fn begin(settings: &Settings, clock: &SharedClock) -> Result<Traces, String> {
    let traces = send::begin(settings, clock)?;
    tracing::info!(collector = settings.host, "traces are sent to a collector");
    Ok(traces)
}

#[cfg(not(feature = "otlp"))]
fn begin(settings: &Settings, _clock: &SharedClock) -> Result<Traces, String> {
    Err(format!("`{}` is set, but this program was built without the feature `otlp`", settings.variable))
}

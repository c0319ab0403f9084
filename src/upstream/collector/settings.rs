//! What the environment says of a collector. Values may be secrets: what is wrong is said by a variable's name alone.

use std::{path::PathBuf, time::Duration};

use http::Uri;

/// Where the collector is, the more special variable first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const CERTIFICATES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";

/// How long one batch may take, if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many spans may be made to wait: each has some KiB at most, and its place is taken at the start.
const MOST_SPANS: u64 = 65_536;

/// The longest pause between batches, in milliseconds.
const LONGEST_DELAY: u64 = 24 * 60 * 60 * 1000;

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// A collector, as far as this house must know it; the rest OpenTelemetry's SDK reads itself, so nothing is read more
/// kindly here than there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// The variable that names it.
    pub(super) variable: &'static str,
    /// Its host.
    pub(super) host: String,
    /// Whether it is spoken to over TLS.
    pub(super) is_tls: bool,
    /// How long one batch may take.
    pub(super) timeout: Duration,
    /// A CA that its certificate may come from.
    pub(super) ca_file: Option<PathBuf>,
}

impl Settings {
    /// What the variables say: nothing, where nothing is to be sent.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let given = |name: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((name, value))
        };
        let first = |names: [&'static str; 2]| names.into_iter().find_map(given);
        let Some((variable, endpoint)) = first(ENDPOINTS) else { return Ok(None) };
        if given(DISABLED).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match given(EXPORTER) {
            Some((_, exporter)) if exporter == "none" => return Ok(None),
            Some((name, exporter)) if exporter != "otlp" => return Err(format!("`{name}` must be `otlp` or `none`")),
            _ => {}
        }
        let (host, is_tls) = host(&endpoint).ok_or_else(|| {
            format!("`{variable}` must be `http://host:port` or `https://host:port`, without a user or a password")
        })?;
        if let Some((name, _)) = first(PROTOCOLS).filter(|(_, protocol)| protocol != "http/protobuf") {
            return Err(format!(
                "`{name}` must be `http/protobuf`, the one protocol that is spoken (mostly on port 4318)"
            ));
        }
        let sampler = given(SAMPLER);
        if let Some((name, _)) = sampler.as_ref().filter(|(_, sampler)| !SAMPLERS.contains(&sampler.as_str())) {
            return Err(format!("`{name}` must be one of {}", SAMPLERS.join(", ")));
        }
        let ratio = given(RATIO).and_then(|(_, ratio)| ratio.parse::<f64>().ok());
        let is_ratio = ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
        if sampler.is_some_and(|(_, sampler)| sampler.ends_with("traceidratio")) && !is_ratio {
            return Err(format!("`{RATIO}` must be a number from 0 to 1 for this `{SAMPLER}`"));
        }
        for (name, most) in [(QUEUE, MOST_SPANS), (BATCH, MOST_SPANS), (DELAY, LONGEST_DELAY)] {
            let is_good = |text: &str| text.parse::<u64>().is_ok_and(|number| (1..=most).contains(&number));
            if given(name).is_some_and(|(_, text)| !is_good(&text)) {
                return Err(format!("`{name}` must be a number from 1 to {most}"));
            }
        }
        let timeout = match first(TIMEOUTS) {
            None => TIMEOUT,
            Some((name, text)) => {
                let milliseconds = text.parse().ok().filter(|milliseconds| *milliseconds > 0);
                let milliseconds = milliseconds.ok_or_else(|| format!("`{name}` must be a number of milliseconds"))?;
                Duration::from_millis(milliseconds)
            }
        };
        let ca_file = first(CERTIFICATES).map(|(_, path)| path.into());
        Ok(Some(Self { variable, host, is_tls, timeout, ca_file }))
    }
}

/// The host of an address, and whether it is spoken to over TLS.
fn host(endpoint: &str) -> Option<(String, bool)> {
    let uri: Uri = endpoint.parse().ok()?;
    let is_tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let is_bare = !uri.authority()?.as_str().contains('@');
    let host = uri.host().filter(|host| !host.is_empty())?;
    is_bare.then(|| (host.to_owned(), is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::read(|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        })
    }

    const HERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn nothing_is_sent_unless_it_is_said_where_to() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_SERVICE_NAME", "x")]), Ok(None));
        // Whatever else is wrong then.
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "x")]), Ok(None));
        assert_eq!(read(&[HERE, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        assert_eq!(read(&[HERE, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
    }

    #[test]
    fn the_more_special_variable_wins() {
        let plain = read(&[HERE]).unwrap().unwrap();
        let host = "collector".to_owned();
        let expected = Settings { variable: HERE.0, host, is_tls: false, timeout: TIMEOUT, ca_file: None };
        assert_eq!(plain, expected);
        let special = read(&[
            HERE,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example.com/otlp/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "7000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SDK_DISABLED", "false"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "86400000"),
        ]);
        let expected = Settings {
            variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            host: "traces.example.com".to_owned(),
            is_tls: true,
            timeout: Duration::from_millis(500),
            ca_file: Some("/ca.pem".into()),
        };
        assert_eq!(special, Ok(Some(expected)));
    }

    #[test]
    fn what_is_wrong_is_said_without_its_value() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", " http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER", "always_off "),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "65537"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ] {
            let problem = read(&[(variable, value), HERE]).unwrap_err();
            assert!(problem.contains(&format!("`{variable}`")) && !problem.contains("s3cret"), "{problem}");
        }
        for ratio in ["", "x", "1.1", "-0.1", "NaN"] {
            let problem = read(&[HERE, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)]);
            assert!(problem.unwrap_err().contains("`OTEL_TRACES_SAMPLER_ARG`"));
        }
    }
}

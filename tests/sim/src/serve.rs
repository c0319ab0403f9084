//! The way of a request: noted and counted, held, failed or answered, delayed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderValue, Response, header};

use crate::fault::What;
use crate::sim::{Authorization, Seen, Service, Shared};
use crate::wire::{Answer, Ask, Body, Reset};
use crate::{github, registry};

/// Answers one request.
pub(crate) async fn answer(shared: &Shared, service: Service, ask: Ask) -> Result<Response<Body>, Reset> {
    let seen = noted(service, &ask);
    shared.saw(&seen);
    shared.pass(&seen).await;
    let fault = shared.fault(&seen, &ask.method);
    let what = fault.as_ref().map(|fault| &fault.what);
    let mut given_up = false;
    match what {
        Some(What::ConnectionReset) => return Err(Reset),
        Some(What::Hang) => given_up = !shared.hang(&seen).await,
        _ => {}
    }
    let error_type = shared.world().github.limits.error_type.clone();
    let mut answer = match what.and_then(|what| what.instead(&seen, &error_type)) {
        _ if given_up => Answer::new(504, "text/plain", "504 Gateway Timeout\n"),
        Some(answer) => answer,
        None => match service {
            Service::GitHub => github::answer(shared, &ask),
            Service::Registry | Service::Realm => registry::answer(shared, service, &ask),
        },
    };
    if let Some(what) = what {
        what.bend(&mut answer);
    }
    let now = shared.world().now;
    answer.headers.insert(header::DATE, HeaderValue::from_str(&http_date(now)).expect("dates are plain text"));
    delay(shared, service, answer.nodes).await;
    Ok(answer.into_response(&ask.method))
}

/// A date as HTTP writes it.
pub(crate) fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[expect(clippy::disallowed_methods, reason = "the simulated network really takes its time")]
async fn delay(shared: &Shared, service: Service, nodes: u64) {
    let latency = shared.latency();
    let fixed = if service == Service::GitHub { latency.github_ms } else { latency.registry_ms };
    let wait = Duration::from_millis(fixed) + Duration::from_micros(latency.per_node_us * nodes);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

fn noted(service: Service, ask: &Ask) -> Seen {
    let kind = match service {
        Service::GitHub => github::kind(ask),
        Service::Registry | Service::Realm => registry::kind(&ask.path),
    };
    let authorization = ask.header(header::AUTHORIZATION).map(|value| {
        let (scheme, value) = value.split_once(' ').unwrap_or(("", value));
        Authorization { scheme: scheme.to_owned(), value: value.to_owned() }
    });
    Seen {
        service,
        kind,
        method: ask.method.to_string(),
        path: ask.path.clone(),
        query: ask.query.clone(),
        authorization,
        accept: ask.header(header::ACCEPT).map(str::to_owned),
        headers: ask.headers.clone(),
        body: String::from_utf8_lossy(&ask.body).into_owned(),
    }
}

//! What was sent to a service and what came of it, counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{Method, StatusCode};

use super::Calls;
use crate::trace::Request;

/// The words for what may come of a request: the status that was answered, or a class of them; the last is for none.
const OUTCOMES: [&str; 10] = ["2xx", "3xx", "401", "403", "404", "429", "4xx", "5xx", "other", NO_ANSWER];

const NO_ANSWER: &str = "no-answer";

/// The requests to one service since the process began, by what came of them.
#[derive(Debug, Default)]
pub struct Traffic([AtomicU64; OUTCOMES.len()]);

/// A request that was sent, until its answer was read. One that goes without an answer is counted as such.
#[derive(Debug)]
pub struct Sent<'a> {
    traffic: Option<&'a Traffic>,
    traced: Request,
}

/// A service as those see it who run lastgreen.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its host, or `GitHub`.
    pub host: Arc<str>,
    /// The requests that were sent to it since the process began, by what came of them.
    pub requests: Vec<(&'static str, u64)>,
    /// Whether nothing speaks against it.
    pub up: bool,
}

impl Traffic {
    /// Counts a request, once it is known what came of it.
    pub fn sent(&self, method: &Method, host: &str, port: Option<u16>) -> Sent<'_> {
        let calls = Calls::current();
        calls.add();
        Sent { traffic: Some(self), traced: calls.trace().request(method, host, port) }
    }

    /// How many there were of each outcome.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(&self.0).map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    fn note(&self, outcome: &str) {
        let index = OUTCOMES.iter().position(|known| *known == outcome).unwrap_or(OUTCOMES.len() - 1);
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }
}

impl Sent<'_> {
    /// It was answered so.
    pub fn answered(&mut self, status: StatusCode) {
        let outcome = match status.as_u16() {
            200..300 => "2xx",
            300..400 => "3xx",
            401 => "401",
            403 => "403",
            404 => "404",
            429 => "429",
            400..500 => "4xx",
            500..600 => "5xx",
            _ => "other",
        };
        if let Some(traffic) = self.traffic.take() {
            traffic.note(outcome);
        }
        self.traced.answered(status);
    }

    /// Its answer was read.
    pub fn done(mut self) {
        self.traced.done();
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if let Some(traffic) = self.traffic {
            traffic.note(NO_ANSWER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_under_its_own_word() {
        let traffic = Traffic::default();
        let sent = || traffic.sent(&Method::GET, "host", None);
        for status in [200, 204, 307, 401, 403, 404, 429, 410, 502, 600] {
            sent().answered(StatusCode::from_u16(status).unwrap());
        }
        drop(sent());
        let counts: Vec<_> = traffic.counts().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(traffic.counts().last(), Some((NO_ANSWER, 1)));
    }
}

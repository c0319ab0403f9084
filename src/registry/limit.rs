//! How long a 429 asks us to wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// No pause is shorter, whatever is said: GHCR names microseconds.
const SHORTEST: Duration = Duration::from_secs(1);
/// No named pause is longer: after that, one request finds out.
const LONGEST_NAMED: Duration = Duration::from_hours(1);
/// No guessed pause is longer.
const LONGEST_GUESSED: Duration = Duration::from_mins(5);

/// The pause that an answer names in its headers or, as GHCR does, in its body; else an exponential guess for the
/// `streak`-th 429 in a row, `chance` (0 to 1) of the way up.
pub(super) fn pause(headers: &HeaderMap, body: &[u8], now: DateTime<Utc>, streak: u32, chance: f64) -> Duration {
    if let Some(named) = header(headers, now).or_else(|| text(body)) {
        return named.clamp(SHORTEST, LONGEST_NAMED);
    }
    let ceiling = SHORTEST.saturating_mul(1 << streak.clamp(1, 16)).min(LONGEST_GUESSED);
    SHORTEST + ceiling.saturating_sub(SHORTEST).mul_f64(chance.clamp(0.0, 1.0))
}

/// How many pulls are left, where a registry says so: Docker Hub with every answer, also to a HEAD, which is none.
pub(super) fn pulls_left(headers: &HeaderMap) -> Option<u64> {
    // `20;w=21600`, and where nothing is limited nothing or `;w=21600`.
    headers.get("ratelimit-remaining")?.to_str().ok()?.split(';').next()?.trim().parse().ok()
}

fn header(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // Against the service's own clock, where it tells: ours may be wrong.
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Some(until.duration_since(date.unwrap_or_else(|| now.into())).unwrap_or_default())
}

/// `… retry-after: 880.092µs, allowed: 44000/minute`
fn text(body: &[u8]) -> Option<Duration> {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let (_, rest) = text.split_once("retry-after:")?;
    go_duration(rest.trim_start().split([',', '"', ' ', '\n', '}']).next()?)
}

/// A duration as Go writes it: `1m30s`, `880.092µs`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.saturating_add(Duration::try_from_secs_f64(number * seconds).ok()?);
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(headers: &[(&'static str, &str)], body: &str) -> f64 {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        pause(&headers, body.as_bytes(), DateTime::UNIX_EPOCH, 3, 1.0).as_secs_f64()
    }

    #[test]
    fn pauses_are_named_in_many_ways() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(seconds(&[("retry-after", "17")], "retry-after: 5s"), 17.0));
        assert!(near(seconds(&[("retry-after", "0")], ""), 1.0));
        assert!(near(seconds(&[("retry-after", "99999999")], ""), 3600.0));
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert!(near(seconds(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"), date], ""), 30.0));
        assert!(near(seconds(&[("retry-after", "Wed, 21 Oct 2026 07:00:00 GMT"), date], ""), 1.0));
        assert!(near(seconds(&[("retry-after", "Thu, 01 Jan 1970 00:00:20 GMT")], ""), 20.0));
        assert!(near(seconds(&[], "retry-after: 880.092µs, allowed: 44000/minute"), 1.0));
        assert!(near(seconds(&[], r#"{"message":"Retry-After: 1m2.5s, allowed"}"#), 62.5));
    }

    #[test]
    fn pulls_are_counted_where_they_are_limited() {
        let left = |value: &str| {
            pulls_left(&HeaderMap::from_iter([("ratelimit-remaining".parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!((left("20;w=21600"), left("0;w=21600"), left(" 7 ")), (Some(20), Some(0), Some(7)));
        assert_eq!((left(";w=21600"), left(""), left("many"), pulls_left(&HeaderMap::new())), (None, None, None, None));
    }

    #[test]
    fn without_a_name_the_guess_grows_to_a_ceiling() {
        let guess = |streak, chance| {
            pause(&HeaderMap::new(), b"retry-after: soon", DateTime::UNIX_EPOCH, streak, chance).as_secs_f64()
        };
        assert!((guess(1, 0.0) - 1.0).abs() < 1e-6);
        assert!((guess(3, 1.0) - 8.0).abs() < 1e-6);
        assert!((guess(40, 1.0) - 300.0).abs() < 1e-6);
        for text in ["", "5", "5x", ".s", "s", "1e9s", "99999999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}

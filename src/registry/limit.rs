//! How long a 429 asks us to wait.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::{clock::Moment, upstream::Quota};

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
pub(super) fn quota(headers: &HeaderMap, seen_at: Moment) -> Option<Quota> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (remaining, window) = counted(text("ratelimit-remaining")?);
    let (limit, window_of_limit) = text("ratelimit-limit").map(counted).unwrap_or_default();
    let window = window_of_limit.or(window).map(Duration::from_secs);
    Some(Quota { limit, remaining: remaining?, window, seen_at })
}

/// `20;w=21600`, and where nothing is limited nothing or `;w=21600`.
fn counted(text: &str) -> (Option<u64>, Option<u64>) {
    fn number<T: FromStr>(text: &str) -> Option<T> {
        text.trim().parse().ok()
    }
    let mut parts = text.split(';');
    let count = parts.next().and_then(number);
    (count, parts.find_map(|part| number(part.trim().strip_prefix("w=")?)))
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
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let at = Moment::START;
        let left = |value: &str| quota(&headers(&[("ratelimit-remaining", value)]), at).map(|quota| quota.remaining);
        assert_eq!((left("20;w=21600"), left("0;w=21600"), left(" 7 ")), (Some(20), Some(0), Some(7)));
        assert_eq!((left(";w=21600"), left(""), left("many"), quota(&headers(&[]), at)), (None, None, None, None));
        let (window, both) = (
            Some(Duration::from_hours(6)),
            [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "97;w=21600")],
        );
        assert_eq!(quota(&headers(&both), at), Some(Quota { limit: Some(100), remaining: 97, window, seen_at: at }));
        let odd = [("ratelimit-limit", "much;x=1"), ("ratelimit-remaining", "97;w=soon")];
        assert_eq!(quota(&headers(&odd), at), Some(Quota { limit: None, remaining: 97, window: None, seen_at: at }));
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

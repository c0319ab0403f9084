//! Sessions of people: a cookie that is derived from an operator's token and says nothing of it.
//!
//! ```text
//! key     = SHA-256 of the token
//! session = end, HMAC-SHA-256(key, "session" end)
//! form    = HMAC-SHA-256(key, "form" session)
//! ```
//!
//! Nothing is kept here: a session ends with its time, or when its token is not in the file any more, in all replicas.

use std::fmt;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::PATH;
use crate::http::tokens::Hash;

const COOKIE: &str = "lastgreen-explain";

/// How long a session lasts.
const LASTS: TimeDelta = TimeDelta::hours(12);

/// The session of somebody who brought a token.
pub(super) struct Session {
    key: Hash,
    /// When it ends, in seconds since 1970.
    end: i64,
}

impl Session {
    /// Begins one for whoever brings one of these tokens.
    pub(super) fn begin(token: &str, accepted: &[Hash], now: DateTime<Utc>) -> Option<Self> {
        let given = Hash::from(Sha256::digest(token.as_bytes()));
        let key = pick(accepted, |hash| hash.ct_eq(&given))?;
        Some(Self { key, end: (now + LASTS).timestamp() })
    }

    /// As a cookie: for this page only, never for a script, never when another site leads here.
    pub(super) fn cookie(&self, secure: bool) -> String {
        let secure = if secure { "; Secure" } else { "" };
        let seconds = LASTS.num_seconds();
        let value = self.value();
        format!("{COOKIE}={value}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// What its forms bring, so that no other page can post them.
    pub(super) fn form(&self) -> String {
        hex(&mac(&self.key, "form", &self.value()))
    }

    /// Whether a form is one of its own.
    pub(super) fn has_form(&self, given: &str) -> bool {
        self.form().as_bytes().ct_eq(given.as_bytes()).into()
    }

    fn value(&self) -> String {
        let end = self.end.to_string();
        format!("{end}.{}", hex(&mac(&self.key, "session", &end)))
    }
}

/// The session of a request, if it has one that is good.
pub(super) fn of(headers: &HeaderMap, accepted: &[Hash], now: DateTime<Utc>) -> Option<Session> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut values = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    values.find_map(|value| good(value, accepted, now))
}

fn good(value: &str, accepted: &[Hash], now: DateTime<Utc>) -> Option<Session> {
    let (text, given) = value.split_once('.')?;
    let end: i64 = text.parse().ok().filter(|end| *end > now.timestamp())?;
    let key = pick(accepted, |hash| hex(&mac(hash, "session", text)).as_bytes().ct_eq(given.as_bytes()))?;
    Some(Session { key, end })
}

/// The token that fits, after all of them were looked at.
fn pick(accepted: &[Hash], fits: impl Fn(&Hash) -> subtle::Choice) -> Option<Hash> {
    let mut found = None;
    for hash in accepted {
        if bool::from(fits(hash)) {
            found = Some(*hash);
        }
    }
    found
}

/// A cookie that ends a session.
pub(super) fn no_cookie(secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}=; Path={PATH}; Max-Age=0; HttpOnly; SameSite=Strict{secure}")
}

fn mac(key: &Hash, purpose: &str, text: &str) -> Hash {
    // A key of any length will do, so there is always one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Hash::default() };
    mac.update(b"lastgreen explain ");
    mac.update(purpose.as_bytes());
    mac.update(b"\0");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn hash(token: &str) -> Hash {
        Sha256::digest(token.as_bytes()).into()
    }

    fn read(cookie: &str, accepted: &[Hash], now: DateTime<Utc>) -> Option<Session> {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
        of(&headers, accepted, now)
    }

    #[test]
    fn a_session_is_good_until_its_end_and_while_its_token_is() {
        let (one, two, now) = (hash("one"), hash("two"), DateTime::UNIX_EPOCH);
        assert!(Session::begin("three", &[one, two], now).is_none());
        assert!(Session::begin("", &[one, two], now).is_none());
        let session = Session::begin("two", &[one, two], now).unwrap();
        let cookie = session.cookie(true);
        assert!(cookie.ends_with("; Path=/explain; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
        assert!(!session.cookie(false).contains("Secure") && no_cookie(true).contains("Max-Age=0"));
        let value = cookie.split(';').next().unwrap();
        for cookies in [value.to_owned(), format!("a=b; {value}; c"), format!("lastgreen-explain=1.x; {value}")] {
            assert!(read(&cookies, &[one, two], now).is_some(), "{cookies}");
        }
        assert!(read(value, &[one], now).is_none());
        assert!(read(value, &[], now).is_none());
        let almost = now + LASTS - TimeDelta::seconds(1);
        assert!(read(value, &[two], almost).is_some() && read(value, &[two], now + LASTS).is_none());
        // Its end is part of what is signed.
        let (_, mac) = value.split_once('.').unwrap();
        assert!(read(&format!("lastgreen-explain=99999999999.{mac}"), &[two], now).is_none());
        for bad in ["", "lastgreen-explain=", "lastgreen-explain=43200.", "lastgreen-explain=43200"] {
            assert!(read(bad, &[one, two], now).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_session_tells_nothing_of_its_token_and_its_forms_are_its_own() {
        let now = DateTime::UNIX_EPOCH;
        let session = Session::begin("one", &[hash("one")], now).unwrap();
        let shown = format!("{session:?} {} {}", session.cookie(false), session.form());
        assert!(!shown.contains(&hex(&hash("one"))), "{shown}");
        assert!(session.has_form(&session.form()) && !session.has_form("") && !session.has_form(&session.value()));
        let later = Session::begin("one", &[hash("one")], now + TimeDelta::seconds(1)).unwrap();
        assert!(!later.has_form(&session.form()));
    }
}

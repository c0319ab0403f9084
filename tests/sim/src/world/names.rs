//! Commit names: short ids for people, forty hex digits for git.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The sha that a short commit id stands for: itself if it already is one, else the first forty hex digits of its SHA-256.
pub fn sha(id: &str) -> String {
    let full = id.len() == 40 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if full { id.to_owned() } else { hex(&Sha256::digest(id.as_bytes()))[..40].to_owned() }
}

/// Lower-case hex digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string never fails");
        out
    })
}

/// A commit's full sha; anything shorter is mapped by [`sha`] as it is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Oid(String);

impl From<&str> for Oid {
    fn from(id: &str) -> Self {
        Self(sha(id))
    }
}

impl From<String> for Oid {
    fn from(id: String) -> Self {
        Self(sha(&id))
    }
}

impl From<&String> for Oid {
    fn from(id: &String) -> Self {
        Self(sha(id))
    }
}

impl From<&Self> for Oid {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl Deref for Oid {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

//! Which bearer tokens are accepted.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::reply::Problem;
use crate::upstream::{Secret, SecretError, SecretFile};

/// The accepted tokens, one on each line of a file that is read again when it changes.
pub struct Tokens {
    file: SecretFile,
    /// The file's content and the hashes of its tokens, as long as it does not change.
    accepted: RwLock<Option<(Secret, Arc<[Hash]>)>>,
}

/// A token's SHA-256: by that it is known, without being told.
pub(super) type Hash = [u8; 32];

/// Whether a request may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It may, by this token.
    Granted(Hash),
    /// It brings no token.
    Missing,
    /// It brings the name of a Secret's key instead of the key's content.
    Literal,
    /// It brings another token.
    Wrong,
}

impl Tokens {
    /// The tokens in `file`.
    pub fn new(file: SecretFile) -> Self {
        Self { file, accepted: RwLock::default() }
    }

    /// What the token of a request is worth.
    pub(super) fn access(&self, headers: &HeaderMap) -> Result<Access, Problem> {
        let header = headers.get(header::AUTHORIZATION);
        self.check(header.map(header::HeaderValue::as_bytes)).map_err(unreadable)
    }

    /// The hashes of the tokens that are accepted now.
    pub(super) fn hashes(&self) -> Result<Arc<[Hash]>, Problem> {
        self.accepted().map_err(unreadable)
    }

    /// Holds an `Authorization` header against the tokens, in a time that tells nothing about them.
    fn check(&self, authorization: Option<&[u8]>) -> Result<Access, SecretError> {
        let given = authorization.and_then(bearer);
        let hash = Hash::from(Sha256::digest(given.unwrap_or_default()));
        let is_accepted = self.is_accepted(&hash)?;
        Ok(match given {
            None => Access::Missing,
            Some(_) if is_accepted => Access::Granted(hash),
            Some(given) if given.starts_with(b"$") => Access::Literal,
            Some(_) => Access::Wrong,
        })
    }

    /// Whether it is one of the tokens that are in the file now.
    fn is_accepted(&self, given: &Hash) -> Result<bool, SecretError> {
        {
            let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((content, hashes)) = &*accepted
                && self.file.still_holds(content)
            {
                return Ok(is_among(given, hashes));
            }
        }
        Ok(is_among(given, &self.accepted()?))
    }

    /// The hashes of the tokens that are in the file now.
    fn accepted(&self) -> Result<Arc<[Hash]>, SecretError> {
        let now = self.file.read()?;
        if let Some((content, hashes)) = &*self.accepted.read().unwrap_or_else(PoisonError::into_inner)
            && content.is_same(&now)
        {
            return Ok(Arc::clone(hashes));
        }
        let tokens = now.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let hashes: Arc<[Hash]> = tokens.map(|token| Sha256::digest(token.as_bytes()).into()).collect();
        *self.accepted.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&hashes)));
        Ok(hashes)
    }
}

/// Looks at all of them, wherever the one is.
fn is_among(given: &Hash, accepted: &[Hash]) -> bool {
    bool::from(accepted.iter().fold(Choice::from(0), |found, token| found | token.ct_eq(given)))
}

#[expect(clippy::needless_pass_by_value, reason = "an error is passed on")]
fn unreadable(error: SecretError) -> Problem {
    tracing::error!(%error, "nobody can be let in");
    Problem::NoTokens
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The token of a `Bearer` header; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn several_tokens_are_accepted_and_the_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n  two \n\n").unwrap();
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let tokens = Tokens::new(SecretFile::new(&path, Arc::new(clock.clone())));
        let check = |header: &str| tokens.check(Some(header.as_bytes())).unwrap();
        assert!(matches!(check("Bearer one"), Access::Granted(_)));
        assert!(matches!(check("bearer two"), Access::Granted(_)));
        assert_eq!(check("Bearer on"), Access::Wrong);
        assert_eq!(check("Bearer "), Access::Missing);
        assert_eq!(check("Basic b25l"), Access::Missing);
        assert_eq!(check("Bearer $plugin.token"), Access::Literal);
        assert_eq!(tokens.check(None).unwrap(), Access::Missing);
        std::fs::write(&path, "three and more").unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(check("Bearer one"), Access::Wrong);
        assert!(matches!(check("Bearer three and more"), Access::Granted(_)));
    }
}

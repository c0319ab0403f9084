//! Names of GitHub's things: repository, branch, pull request, commit. Parsing is the only door.
//!
//! A name is held in many places at once, by caches, sets and records: its text is shared by all of its clones.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// A repository's owner and name, `owner/name`, compared without regard to case as GitHub does.
#[derive(Clone, Debug)]
pub struct Repo {
    text: Arc<str>,
    /// Where the owner ends.
    slash: usize,
}

impl Repo {
    /// The owner, an organisation or a user.
    pub fn owner(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The name without its owner.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }
}

impl PartialEq for Repo {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl Eq for Repo {}

impl std::hash::Hash for Repo {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.text.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Repo {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("a repository as `owner/name`", text);
        let (owner, name) = text.split_once('/').ok_or_else(error)?;
        let plain = |part: &str, extra: &[u8]| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
        };
        if !plain(owner, b"-_") || !plain(name, b"-_.") {
            return Err(error());
        }
        Ok(Self { text: text.into(), slash: owner.len() })
    }
}

/// A branch's name without `refs/heads/`; any name that git takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch(Arc<str>);

impl Branch {
    /// The longest name in bytes that is looked at.
    pub const MAX_BYTES: usize = 1024;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a template that nobody rendered, such as `{{branch}}`. It is a legal name all the same.
    pub fn looks_unrendered(&self) -> bool {
        looks_unrendered(&self.0)
    }
}

/// Whether a text is one whole `{{…}}`.
pub fn looks_unrendered(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}")
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Branch {
    type Err = NameError;

    /// The rules of `git check-ref-format` for `refs/heads/<name>`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
        let legal = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && !text.contains(forbidden)
            && !text.contains("..")
            && !text.contains("@{")
            && !text.ends_with('.')
            && text
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none());
        if legal { Ok(Self(text.into())) } else { Err(NameError::new("a branch name that git accepts", text)) }
    }
}

/// A commit's object name: 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitSha([u8; 40]);

impl CommitSha {
    /// All 40 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first `digits` digits, all where there are no more.
    pub fn short(&self, digits: usize) -> &str {
        let text = self.as_str();
        text.get(..digits).unwrap_or(text)
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CommitSha {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes: [u8; 40] =
            text.as_bytes().try_into().map_err(|_| NameError::new("a commit as 40 hex digits", text))?;
        if !bytes.iter().all(u8::is_ascii_hexdigit) {
            return Err(NameError::new("a commit as 40 hex digits", text));
        }
        Ok(Self(bytes.map(|byte| byte.to_ascii_lowercase())))
    }
}

/// What a name should have been.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {expected}, got `{}`", excerpt(.got))]
pub struct NameError {
    /// What was expected, with its article.
    pub expected: &'static str,
    /// What came instead.
    pub got: String,
}

impl NameError {
    pub(crate) fn new(expected: &'static str, got: &str) -> Self {
        Self { expected, got: excerpt(got) }
    }
}

/// At most 80 characters of a text, control characters escaped.
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(80)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_follow_git() {
        for legal in ["main", "feature/a", "-a", "a{{b", "$(x)", "🎉", "{{branch}}", "a@b", "HEAD", &"x".repeat(255)]
        {
            assert!(legal.parse::<Branch>().is_ok(), "{legal}");
        }
        for illegal in [
            "",
            "a..b",
            "../../x",
            "a b",
            "a\nb",
            "a\0b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a@{b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "<no value>",
            &"x".repeat(1025),
        ] {
            assert!(illegal.parse::<Branch>().is_err(), "{illegal:?}");
        }
    }

    #[test]
    fn commits_are_forty_hex_digits() {
        let sha: CommitSha = "ABCDEF0123456789abcdef0123456789abcdef01".parse().unwrap();
        assert_eq!(sha.as_str(), "abcdef0123456789abcdef0123456789abcdef01");
        assert_eq!(sha.short(7), "abcdef0");
        for bad in ["", "abc", "zbcdef0123456789abcdef0123456789abcdef01", "main"] {
            assert!(bad.parse::<CommitSha>().is_err(), "{bad}");
        }
    }

    #[test]
    fn repositories_ignore_case() {
        let one: Repo = "MyOrg/Repo.js".parse().unwrap();
        assert_eq!(one, "myorg/repo.JS".parse().unwrap());
        assert_eq!(one.to_string(), "MyOrg/Repo.js");
        for bad in ["", "a", "a/", "/b", "a/b/c", "a/..", "a b/c", "a/b?c"] {
            assert!(bad.parse::<Repo>().is_err(), "{bad}");
        }
    }
}

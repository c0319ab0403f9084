//! Which repositories a generator answers for: one, or those of one owner whose names fit a pattern.
//!
//! The owner is always written out. A token that may ask is for the repositories of that owner, and is no probe for what
//! others have.

use std::{fmt, str::FromStr};

use wildmatch::WildMatch;

use super::{NameError, Repo};

/// The repositories of a generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repositories {
    /// One.
    One(Repo),
    /// As many as fit.
    Fitting(RepoPattern),
}

impl Repositories {
    /// One of them, whether or not it exists.
    pub fn example(&self) -> &Repo {
        match self {
            Self::One(repo) => repo,
            Self::Fitting(pattern) => pattern.example(),
        }
    }
}

impl fmt::Display for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(repo) => repo.fmt(f),
            Self::Fitting(pattern) => pattern.fmt(f),
        }
    }
}

impl FromStr for Repositories {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('*') { text.parse().map(Self::Fitting) } else { text.parse().map(Self::One) }
    }
}

/// An owner, and a pattern of names with `*`, compared without regard to case as GitHub does.
#[derive(Clone, Debug, PartialEq)]
pub struct RepoPattern {
    text: String,
    /// The names, in lower case.
    names: WildMatch,
    /// A name in place of each `*`.
    example: Repo,
}

impl Eq for RepoPattern {}

impl RepoPattern {
    /// Whether a repository is one of these.
    pub fn fits(&self, repo: &Repo) -> bool {
        repo.owner().eq_ignore_ascii_case(self.example.owner()) && self.names.matches(&repo.name().to_ascii_lowercase())
    }

    /// One of these, whether or not it exists.
    pub fn example(&self) -> &Repo {
        &self.example
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RepoPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("a pattern as `owner/*` or `owner/prefix-*`, with `*` in the name only", text);
        let (owner, names) = text.split_once('/').ok_or_else(error)?;
        if owner.contains('*') || !names.contains('*') {
            return Err(error());
        }
        let example = format!("{owner}/{}", names.replace('*', "x")).parse().map_err(|_| error())?;
        Ok(Self { text: text.to_owned(), names: WildMatch::new(&names.to_ascii_lowercase()), example })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, repo: &str) -> bool {
        pattern.parse::<RepoPattern>().unwrap().fits(&repo.parse().unwrap())
    }

    #[test]
    fn the_owner_is_literal_and_the_name_fits_whole() {
        for (pattern, repo, expected) in [
            ("myorg/*", "myorg/app", true),
            ("myorg/*", "MyOrg/App.js", true),
            ("MyOrg/App-*", "myorg/app-front", true),
            ("myorg/app-*", "myorg/app-", true),
            ("myorg/*-app", "myorg/my-app", true),
            ("myorg/a*b*c", "myorg/a-b-c", true),
            ("myorg/*", "other/app", false),
            ("myorg/*", "myorg2/app", false),
            ("myorg/*", "xmyorg/app", false),
            ("myorg/app-*", "myorg/app", false),
            ("myorg/app-*", "myorg/my-app-front", false),
            ("myorg/*-app", "myorg/my-app-2", false),
        ] {
            assert_eq!(fits(pattern, repo), expected, "{pattern} {repo}");
        }
    }

    #[test]
    fn patterns_stand_in_the_name_only() {
        for bad in
            ["*", "*/*", "*/app", "my*/app", "myorg/app", "myorg/*/x", "myorg/", "/*", "my org/*", "myorg/a?*", "a/[*]"]
        {
            assert!(bad.parse::<RepoPattern>().is_err(), "{bad}");
        }
        assert_eq!("myorg/app".parse(), Ok(Repositories::One("myorg/app".parse().unwrap())));
        assert!(matches!("myorg/*".parse(), Ok(Repositories::Fitting(_))));
        let error = "*/app".parse::<Repositories>().unwrap_err().to_string();
        let expected = "expected a pattern as `owner/*` or `owner/prefix-*`, with `*` in the name only, got `*/app`";
        assert_eq!(error, expected);
    }

    proptest! {
        #[test]
        fn no_other_owner_fits(
            pattern in "[a-cA-C_-]{1,3}/[a-c.-]{0,2}\\*[a-c.-]{0,2}\\*?",
            repo in "[a-cA-C_-]{1,3}/[a-cA-C._-]{1,5}",
        ) {
            let (Ok(pattern), Ok(repo)) = (pattern.parse::<RepoPattern>(), repo.parse::<Repo>()) else { return Ok(()) };
            prop_assert!(pattern.fits(pattern.example()));
            let owner = pattern.to_string().split('/').next().unwrap().to_ascii_lowercase();
            prop_assert!(!pattern.fits(&repo) || repo.owner().to_ascii_lowercase() == owner);
        }
    }
}

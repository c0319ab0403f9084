//! Where GitHub's two APIs are.
//!
//! github.com serves GraphQL below the REST root, GitHub Enterprise Server beside it: `/api/v3` and `/api/graphql`.
//! So requests are addressed by the origin and a whole path; nothing joins paths later.

use http::Uri;
use thiserror::Error;

/// Why a GitHub client cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The API's address makes no sense.
    #[error("`{api}` is not the address of a GitHub API: {problem}")]
    Address {
        /// The address as configured.
        api: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] crate::upstream::http::ClientError),
}

/// The addresses of one GitHub.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Scheme and authority.
    pub(super) origin: Uri,
    /// What comes before every REST path: empty, or `/api/v3`.
    pub(super) rest: String,
    /// The path of GraphQL.
    pub(super) graphql: String,
}

impl Address {
    pub(super) fn parse(api: &str) -> Result<Self, SetupError> {
        let wrong = |problem| SetupError::Address { api: crate::domain::excerpt(api), problem };
        let uri: Uri = api.parse().map_err(|_| wrong("it is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("it must begin with `https://` and a host"));
        };
        if !matches!(scheme, "https" | "http") {
            return Err(wrong("it must begin with `https://`"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("credentials belong into a file, not into the address"));
        }
        if uri.query().is_some() {
            return Err(wrong("it must have no query"));
        }
        if authority.host().eq_ignore_ascii_case("github.com") {
            return Err(wrong("github.com's API is at `https://api.github.com`"));
        }
        let rest = uri.path().trim_end_matches('/').to_owned();
        if rest.ends_with("/graphql") {
            return Err(wrong("the REST root is wanted (`https://api.github.com`, `https://HOST/api/v3`)"));
        }
        let graphql = match rest.strip_suffix("/v3") {
            Some(api) if api.ends_with("/api") => format!("{api}/graphql"),
            _ => format!("{rest}/graphql"),
        };
        let origin = format!("{scheme}://{authority}/").parse().map_err(|_| wrong("it is no URL"))?;
        Ok(Self { origin, rest, graphql })
    }

    /// The path and query that a redirect leads to, if it stays at this origin.
    pub(super) fn within(&self, location: &str) -> Option<String> {
        let uri: Uri = location.parse().ok()?;
        let same = match (uri.scheme(), uri.authority()) {
            (None, None) => location.starts_with('/') && !location.starts_with("//"),
            (scheme, authority) => scheme == self.origin.scheme() && authority == self.origin.authority(),
        };
        same.then(|| uri.path_and_query().map(ToString::to_string))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_is_found_from_the_rest_root() {
        for (api, rest, graphql) in [
            ("https://api.github.com", "", "/graphql"),
            ("https://api.github.com/", "", "/graphql"),
            ("https://ghe.example.com/api/v3", "/api/v3", "/api/graphql"),
            ("https://ghe.example.com/api/v3/", "/api/v3", "/api/graphql"),
            ("https://api.corp.ghe.com", "", "/graphql"),
            ("http://127.0.0.1:1234", "", "/graphql"),
            ("https://proxy.example.com/github", "/github", "/github/graphql"),
        ] {
            let address = Address::parse(api).unwrap();
            assert_eq!((address.rest.as_str(), address.graphql.as_str()), (rest, graphql), "{api}");
        }
        for bad in [
            "",
            "api.github.com",
            "/api/v3",
            "ftp://x/",
            "https://github.com",
            "https://me:secret@ghe.example.com/api/v3",
            "https://api.github.com/graphql",
            "https://api.github.com?x=y",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_stay_at_home() {
        let address = Address::parse("https://ghe.example.com/api/v3").unwrap();
        assert_eq!(address.within("https://GHE.example.com/api/v3/x?y=z").as_deref(), Some("/api/v3/x?y=z"));
        assert_eq!(address.within("/repositories/1").as_deref(), Some("/repositories/1"));
        for elsewhere in [
            "https://evil.example.com/x",
            "http://ghe.example.com/x",
            "https://ghe.example.com:8443/x",
            "//evil/x",
            "x",
        ] {
            assert_eq!(address.within(elsewhere), None, "{elsewhere}");
        }
    }
}

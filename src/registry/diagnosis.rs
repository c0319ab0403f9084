//! What is wrong with an image's registry, in one line, for people who set it up.

use std::fmt;

use super::{account::Account, host::Host};
use crate::{
    domain::ImageName,
    upstream::{Kind, UpstreamError},
};

/// The state of an image's repository as we see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// It can be read; how that is known.
    Fine(String),
    /// It cannot, and what to do.
    Wrong(String),
}

impl Diagnosis {
    /// Whether all is well.
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Fine(_))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine(line) | Self::Wrong(line) => f.write_str(line),
        }
    }
}

impl Host {
    /// Looks at an image's repository anew, whatever is cached.
    pub(super) async fn diagnose(&self, account: &Account, image: &ImageName) -> Diagnosis {
        let with = if account.is_anonymous() { "anonymously" } else { "with the configured credential" };
        let fine = |what: &str| Diagnosis::Fine(format!("{image}: {what} {with}"));
        let wrong = |error: &UpstreamError| Diagnosis::Wrong(format!("{image}: {}", error.message));
        match self.exists(account, image).await {
            Ok(Some(true)) => return fine("can be read"),
            Ok(Some(false)) => {
                return Diagnosis::Wrong(format!(
                    "{image}: the registry was asked {with} and knows no such repository; check the name, or push to \
                     it once"
                ));
            }
            Ok(None) => {}
            // Some that may pull may not list.
            Err(error) if matches!(error.kind, Kind::Unauthorized | Kind::Forbidden) => {}
            Err(error) => return wrong(&error),
        }
        let Ok(tag) = "latest".parse() else { return fine("can be asked for") };
        match self.digest(account, image, &tag).await {
            Ok(Some(_)) => fine("can be read"),
            Ok(None) => fine("the registry does not tell whether it exists, but can be asked"),
            Err(error) => wrong(&error),
        }
    }
}

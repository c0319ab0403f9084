//! GraphQL's envelope: what an answer with status 200 really means.
//!
//! GitHub reports nearly everything in a 200, and sends partial data along. Data are believed only where every error
//! is one that is known to leave the rest intact: a workflow that may not be read, and a pull request that does not
//! exist. Anything else fails the whole read, so that what is missing can never pass for "no checks".

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, error::Category};

use super::{
    SERVICE,
    credential::is_limit,
    transport::{malformed, unavailable},
};
use crate::{
    domain::{Repo, excerpt},
    upstream::{Kind, UpstreamError},
};

/// What to do about checks that may not be read.
pub(super) const CHECKS_HINT: &str = "the credential may not read checks: it needs the permission Checks: read; \
     fine-grained tokens cannot have it on private repositories, use a GitHub App or a classic token with `repo`";

/// What to do about statuses that may not be read.
pub(super) const STATUSES_HINT: &str =
    "the credential may not read commit statuses: it needs the permission Commit statuses: read";

/// An error as GitHub sends it.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) path: Option<Vec<Value>>,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    extensions: Option<Extensions>,
}

#[derive(Debug, Deserialize)]
struct Extensions {
    #[serde(default)]
    saml_failure: bool,
}

/// What a fault means for the answer that it came with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The rest of the data can be believed.
    Tolerable,
    /// A limit; its length stands in the headers.
    Limit,
    /// Nothing of the answer is of use.
    Failure(UpstreamError),
}

#[derive(Deserialize)]
struct Faults {
    #[serde(default)]
    data: Option<IgnoredAny>,
    #[serde(default)]
    errors: Option<Vec<Fault>>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// The faults of an answer, and whether it has data.
pub(super) fn faults(body: &[u8]) -> Result<(bool, Vec<Fault>), UpstreamError> {
    if body.is_empty() {
        return Err(malformed("its answer is empty"));
    }
    let faults: Faults = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    Ok((faults.data.is_some(), faults.errors.unwrap_or_default()))
}

/// The data of an answer whose faults were judged.
pub(super) fn data<T: DeserializeOwned>(body: &[u8]) -> Result<T, UpstreamError> {
    let data: Data<T> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    Ok(data.data)
}

fn not_json(error: &serde_json::Error) -> UpstreamError {
    tracing::debug!(%error, "GitHub's answer cannot be read");
    match error.classify() {
        Category::Eof => unavailable("its answer broke off"),
        Category::Syntax | Category::Io => malformed("its answer is not JSON; is a proxy in between?"),
        Category::Data => malformed("its answer lacks something that was asked for"),
    }
}

/// What the faults of an answer mean together: a limit explains every other one, else the first failure counts.
pub(super) fn judge(faults: &[Fault], repo: &Repo) -> Meaning {
    let mut judged = Meaning::Tolerable;
    for fault in faults {
        match (fault.meaning(repo), &judged) {
            (Meaning::Limit, _) => return Meaning::Limit,
            (failure @ Meaning::Failure(_), Meaning::Tolerable) => judged = failure,
            _ => {}
        }
    }
    judged
}

impl Fault {
    /// What this fault means for a question about `repo`.
    pub(super) fn meaning(&self, repo: &Repo) -> Meaning {
        let kind = self.kind.as_deref().unwrap_or_default();
        let failure = |kind, message: &str| Meaning::Failure(UpstreamError::new(SERVICE, kind, message));
        match kind {
            "RATE_LIMITED" | "RATE_LIMIT" => Meaning::Limit,
            _ if is_limit(&self.message) => Meaning::Limit,
            "NOT_FOUND" if self.is_at(&["repository", "pull"]) || self.is_at_one_of_many() => Meaning::Tolerable,
            "NOT_FOUND" if self.is_at(&["repository"]) => Meaning::Failure(no_repository(repo)),
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => match self.forbidden() {
                None => Meaning::Tolerable,
                Some(hint) => failure(Kind::Forbidden, &hint),
            },
            _ if self.message.starts_with("Resource not accessible by") => match self.forbidden() {
                None => Meaning::Tolerable,
                Some(hint) => failure(Kind::Forbidden, &hint),
            },
            _ if self.path.is_none() && !kind.is_empty() => {
                failure(Kind::Unavailable, &format!("it could not answer ({})", excerpt(kind)))
            }
            // An older GitHub Enterprise Server does not know a field; its words are stable and name it.
            _ if self.message.contains("doesn't exist on type") || self.message.contains("doesn't accept argument") => {
                failure(Kind::Malformed, &format!("it does not understand the question: {}", excerpt(&self.message)))
            }
            _ => failure(Kind::Unavailable, "it could answer only in part"),
        }
    }

    /// What may not be read, as advice; `None` if it can be done without.
    fn forbidden(&self) -> Option<String> {
        if self.extensions.as_ref().is_some_and(|extensions| extensions.saml_failure) || self.message.contains("SAML") {
            return Some("the organisation demands single sign-on: authorise the token for it".to_owned());
        }
        let has = |name: &str| self.names().any(|part| part == name);
        if has("workflowRun") {
            return None;
        }
        Some(if has("statusCheckRollup") || has("contexts") || has("checkSuite") {
            CHECKS_HINT.to_owned()
        } else if has("pull") || has("pulls") || has("walked") || has("pullRequests") {
            "the credential may not read pull requests: it needs the permission Pull requests: read".to_owned()
        } else if has("branch") || has("commit") || has("defaultBranchRef") {
            "the credential may not read commits: it needs the permission Contents: read".to_owned()
        } else {
            "the credential may not read this repository: it needs Contents, Pull requests, Checks and Commit \
             statuses: read (a classic token: `repo`)"
                .to_owned()
        })
    }

    /// Whether it concerns one pull request of those that were asked for together, as `p0`, `p1` and so on.
    fn is_at_one_of_many(&self) -> bool {
        let one = |name: &str| name.strip_prefix('p').is_some_and(|rest| rest.parse::<u32>().is_ok());
        let mut names = self.names();
        self.path.as_ref().is_some_and(|path| path.len() == 2)
            && names.next() == Some("repository")
            && names.next().is_some_and(one)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.path.iter().flatten().filter_map(Value::as_str)
    }

    pub(super) fn is_at(&self, path: &[&str]) -> bool {
        self.path.as_ref().is_some_and(|own| own.len() == path.len()) && self.names().eq(path.iter().copied())
    }
}

pub(super) fn no_repository(repo: &Repo) -> UpstreamError {
    UpstreamError::new(
        SERVICE,
        Kind::NotFound,
        format!("the repository `{repo}` does not exist, or the credential cannot see it"),
    )
}

/// The `message` of a REST answer.
pub(super) fn message_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Spoken {
        message: String,
    }
    serde_json::from_slice::<Spoken>(body).ok().map(|spoken| spoken.message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meaning(fault: Value) -> Meaning {
        serde_json::from_value::<Fault>(fault).unwrap().meaning(&"myorg/myrepo".parse().unwrap())
    }

    fn kind(fault: Value) -> Kind {
        match meaning(fault) {
            Meaning::Failure(error) => error.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_can_be_done_without_is_tolerated() {
        let rollup = ["repository", "pull", "commits", "nodes"].map(Value::from).to_vec();
        let at = |more: &[&str]| {
            let mut path = rollup.clone();
            path.extend([
                json!(0),
                json!("commit"),
                json!("statusCheckRollup"),
                json!("contexts"),
                json!("nodes"),
                json!(2),
            ]);
            path.extend(more.iter().map(|part| json!(part)));
            json!({ "type": "FORBIDDEN", "path": path, "message": "Resource not accessible by integration" })
        };
        assert_eq!(meaning(at(&["checkSuite", "workflowRun"])), Meaning::Tolerable);
        assert_eq!(kind(at(&["checkSuite"])), Kind::Forbidden);
        assert_eq!(kind(at(&[])), Kind::Forbidden);
        for alias in ["pull", "p0", "p24"] {
            let missing = json!({ "type": "NOT_FOUND", "path": ["repository", alias], "message": "Could not resolve to a PullRequest with the number of 7." });
            assert_eq!(meaning(missing), Meaning::Tolerable, "{alias}");
        }
        for path in [json!(["repository", "pulls"]), json!(["repository", "p1", "commits"]), json!(["x", "p1"])] {
            assert_eq!(kind(json!({ "type": "NOT_FOUND", "path": path, "message": "" })), Kind::Unavailable);
        }
        assert_eq!(kind(json!({ "type": "NOT_FOUND", "path": ["repository"], "message": "" })), Kind::NotFound);
        assert_eq!(
            kind(json!({ "type": "NOT_FOUND", "path": ["repository", "pull", "commits"], "message": "" })),
            Kind::Unavailable
        );
        assert_eq!(meaning(json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded" })), Meaning::Limit);
        assert_eq!(meaning(json!({ "message": "You have exceeded a secondary rate limit." })), Meaning::Limit);
        assert_eq!(kind(json!({ "message": "Resource limits for this query exceeded." })), Kind::Unavailable);
        assert_eq!(kind(json!({ "message": "Something went wrong while executing your query." })), Kind::Unavailable);
        assert_eq!(kind(json!({ "message": "Field 'x' doesn't exist on type 'PullRequest'" })), Kind::Malformed);
    }

    #[test]
    fn broken_answers_are_told_apart() {
        let kind = |body: &str| faults(body.as_bytes()).unwrap_err().kind;
        assert_eq!(kind(""), Kind::Malformed);
        assert_eq!(kind("<html>"), Kind::Malformed);
        assert_eq!(kind(r#"{"data":{"repo"#), Kind::Unavailable);
        assert_eq!(kind("true"), Kind::Malformed);
        assert!(!faults(br#"{"data":null}"#).unwrap().0);
        assert!(!faults(b"{}").unwrap().0);
    }
}

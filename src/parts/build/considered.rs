//! What was considered on the way to an answer, and why it was passed over: the one explanation that headers, logs,
//! the command line and everything else share.

use std::{fmt, sync::Arc};

use crate::domain::{Check, Commit, Digest, Role, Verdict, excerpt};

/// One commit of the walk.
#[derive(Clone, Debug)]
pub struct Considered {
    /// The commit, as GitHub showed it.
    pub commit: Arc<Commit>,
    /// What its checks amounted to, or why they could not be read.
    pub verdict: Result<Verdict, String>,
    /// The part that each of its checks played, in the same order; none where they could not be read.
    pub roles: Box<[Role]>,
    /// The images that were looked up for it.
    pub looks: Vec<Look>,
}

impl Considered {
    /// Every check and its part.
    pub fn checks(&self) -> impl Iterator<Item = (&Check, Role)> {
        self.commit.checks.iter().zip(self.roles.iter().copied())
    }
}

/// One image looked up for a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The image's key.
    pub key: String,
    /// The reference that was looked up, or the template that could not be rendered.
    pub reference: String,
    /// How it went.
    pub found: Found,
}

/// How a look-up went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there, and built from the commit.
    Yes {
        /// Its digest.
        digest: Digest,
    },
    /// The tag is not there.
    Absent,
    /// Not even the repository is there.
    NoRepository,
    /// The tag is there, but it was built from something else.
    Other(String),
    /// Nothing proves what it was built from.
    Unlabelled,
    /// The tag cannot be rendered for this commit.
    Unrenderable(String),
    /// The head's image is absent, but that of its test merge is there: the workflow tags the test merge.
    OnlyTestMerge {
        /// The reference that is there.
        reference: String,
    },
    /// The registry could not say.
    Unknown(String),
}

impl Found {
    /// Which of several reasons is told first: lower is sooner.
    fn urgency(&self) -> u8 {
        match self {
            Self::Unknown(_) => 0,
            Self::NoRepository => 1,
            Self::OnlyTestMerge { .. } => 2,
            Self::Unlabelled | Self::Unrenderable(_) => 3,
            Self::Other(_) => 4,
            Self::Absent => 5,
            Self::Yes { .. } => 6,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes { digest } => write!(f, "{digest}"),
            Self::Absent => f.write_str("is absent"),
            Self::NoRepository => f.write_str("is absent, and so is its repository; is the name right?"),
            Self::Unlabelled => {
                f.write_str("has no label org.opencontainers.image.revision, so nothing proves what it was built from")
            }
            Self::OnlyTestMerge { reference } => write!(
                f,
                "is absent, but {reference} is there: the workflow tags the test merge; use {{merge_sha}} in the template, \
                 or set DOCKER_METADATA_PR_HEAD_SHA: \"true\" in the workflow"
            ),
            Self::Other(why) => f.write_str(why),
            Self::Unrenderable(why) | Self::Unknown(why) => write!(f, "cannot be looked up: {why}"),
        }
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.commit.sha.short(7))?;
        match &self.verdict {
            Err(why) => write!(f, "cannot be judged ({why})"),
            Ok(verdict) => write!(f, "is {verdict}"),
        }?;
        let lacking = self.looks.iter().filter(|look| !matches!(look.found, Found::Yes { .. }));
        // Of several the one that people can do most about.
        if let Some(look) = lacking.min_by_key(|look| look.found.urgency()) {
            write!(f, ", {} {}", excerpt(&look.reference), look.found)?;
        }
        Ok(())
    }
}

/// The reason as one line: the first three commits that were passed over, newest first.
pub(super) fn reason(considered: &[Considered]) -> String {
    let mut parts: Vec<_> = considered.iter().take(3).map(ToString::to_string).collect();
    match considered.len().saturating_sub(3) {
        0 => {}
        more => parts.push(format!("{more} more passed over")),
    }
    parts.join("; ")
}

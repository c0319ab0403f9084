//! Check runs, suites and commit statuses, in GitHub's own lower-case words.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A check run. Runs of the same name are kept beside one another: a superseded run stays listed, as on GitHub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckRun {
    /// Database id; 0 lets the world choose the next one.
    pub id: u64,
    /// The job's name.
    pub name: String,
    /// `queued`, `in_progress`, `completed`, `waiting`, `requested`, `pending`, or anything else to try a reader.
    pub status: String,
    /// `success`, `failure`, …; any word is served, also one that GitHub does not know yet.
    pub conclusion: Option<String>,
    /// When it began; by default now, unless it is queued.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; by default now, if it is completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// The app that reported it.
    pub app: CheckApp,
    /// The suite it belongs to; 0 joins the newest suite of the same app, workflow and event, or begins one.
    pub suite: u64,
    /// When the suite was made.
    pub suite_created_at: Option<DateTime<Utc>>,
    /// The workflow's name; `None` for apps that are not Actions.
    pub workflow: Option<String>,
    /// The event that started the workflow.
    pub event: String,
    /// Whether branch protection requires it.
    pub required: bool,
}

impl Default for CheckRun {
    fn default() -> Self {
        Self {
            id: 0,
            name: "build".to_owned(),
            status: "completed".to_owned(),
            conclusion: None,
            started_at: None,
            completed_at: None,
            app: CheckApp::default(),
            suite: 0,
            suite_created_at: None,
            workflow: Some("CI".to_owned()),
            event: "push".to_owned(),
            required: false,
        }
    }
}

impl CheckRun {
    /// A completed run with a conclusion.
    pub fn completed(name: &str, conclusion: &str) -> Self {
        Self { name: name.to_owned(), conclusion: Some(conclusion.to_owned()), ..Self::default() }
    }

    /// A run that has not completed.
    pub fn running(name: &str, status: &str) -> Self {
        Self { name: name.to_owned(), status: status.to_owned(), ..Self::default() }
    }

    /// The same run, reported by another app, outside of Actions.
    #[must_use]
    pub fn app(mut self, id: u64, slug: &str) -> Self {
        self.app = CheckApp { id, slug: slug.to_owned(), name: slug.to_owned() };
        self.workflow = None;
        self
    }

    /// The same run, in another workflow.
    #[must_use]
    pub fn workflow(mut self, name: &str) -> Self {
        self.workflow = Some(name.to_owned());
        self
    }

    /// The same run, started by another event.
    #[must_use]
    pub fn event(mut self, event: &str) -> Self {
        event.clone_into(&mut self.event);
        self
    }

    /// The same run, in a suite of this id (suites of their own make superseded runs).
    #[must_use]
    pub fn suite(mut self, id: u64) -> Self {
        self.suite = id;
        self
    }

    /// The same run, begun and ended then.
    #[must_use]
    pub fn at(mut self, started: DateTime<Utc>, completed: Option<DateTime<Utc>>) -> Self {
        self.started_at = Some(started);
        self.completed_at = completed;
        self
    }
}

/// The app behind a check run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckApp {
    /// App id.
    pub id: u64,
    /// Short name.
    pub slug: String,
    /// Display name.
    pub name: String,
}

impl Default for CheckApp {
    fn default() -> Self {
        Self { id: 15368, slug: "github-actions".to_owned(), name: "GitHub Actions".to_owned() }
    }
}

/// A check suite without runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSuite {
    /// Database id; 0 lets the world choose.
    pub id: u64,
    /// As for a run.
    pub status: String,
    /// As for a run; `action_required` is a fork's workflow that waits for approval.
    pub conclusion: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// The app.
    pub app: CheckApp,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// The event.
    pub event: String,
}

impl Default for CheckSuite {
    fn default() -> Self {
        Self {
            id: 0,
            status: "completed".to_owned(),
            conclusion: Some("action_required".to_owned()),
            created_at: None,
            app: CheckApp::default(),
            workflow: Some("CI".to_owned()),
            event: "pull_request".to_owned(),
        }
    }
}

/// A commit status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its name; the latest of a name is the one that GitHub shows.
    pub context: String,
    /// `pending`, `success`, `failure`, `error`, `expected`.
    pub state: String,
    /// When it was set; by default now.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// Who set it.
    #[serde(default)]
    pub creator: Option<String>,
    /// Text for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether branch protection requires it.
    #[serde(default)]
    pub required: bool,
}

impl Status {
    /// A status of a context.
    pub fn new(context: &str, state: &str) -> Self {
        Self { context: context.to_owned(), state: state.to_owned(), ..Self::default() }
    }
}

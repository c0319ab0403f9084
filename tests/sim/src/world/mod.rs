//! The simulated world as plain data: what GitHub and the registry would show if they were asked.
//!
//! A [`World`] is read from YAML or built in Rust, and changed while it is served. It knows no I/O and no wall clock: its time is
//! the field `now`, which tests advance. Three parts: [`github`](GitHubWorld) (repositories, commits, pull requests, checks,
//! credentials), [`registry`](RegistryWorld) (images, credentials), and the verbs that move both as a push, a merge or a
//! build would.

mod change;
mod checks;
mod github;
mod history;
mod image;
mod load;
mod names;
mod pull;
mod registry;
mod report;

pub use checks::{CheckApp, CheckRun, CheckSuite, Status};
pub use github::{App, Budget, GitHubWorld, Installation, InstallationToken, Limits, PersonalToken, TokenKind};
pub use github::{Commit, Person, Repository};
pub use history::Comparison;
pub use image::{ImageEntry, ImageSpec, REVISION};
pub use load::WorldError;
pub use names::{Oid, sha};
pub use pull::{HeadRepository, Mergeability, Pull, PullState};
pub use registry::{
    Credential, Denial, ImageRepository, IssuedToken, Realm, RegistryAuth, RegistryWorld, StoredManifest,
};

use chrono::{DateTime, Duration, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// Everything there is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The world's time: response dates, rate-limit resets, token lifetimes and the times of new things all follow it.
    #[serde(default = "World::noon")]
    pub now: DateTime<Utc>,
    /// What GitHub knows.
    #[serde(default)]
    pub github: GitHubWorld,
    /// What the registry knows.
    #[serde(default)]
    pub registry: RegistryWorld,
}

impl Default for World {
    fn default() -> Self {
        Self { now: Self::noon(), github: GitHubWorld::default(), registry: RegistryWorld::default() }
    }
}

impl World {
    /// A world with one public repository, `main` at the root commit `m1`, an anonymous registry and the classic token
    /// [`PersonalToken::DEFAULT`].
    pub fn with_repository(full_name: &str) -> Self {
        let mut world = Self::default();
        world.create_repository(full_name);
        world.push(full_name, "main", "m1", &[]);
        world
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 1, 5, 12, 0, 0).single().expect("a date that exists")
    }
}

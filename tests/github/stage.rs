//! A client before a simulated GitHub, and a clock that stands still.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lastgreen::{
    clock::{Clock as _, ManualClock, Moment, SystemClock},
    domain::{Repo, Snapshot},
    github::{Ask, Auth, By, GitHub, Options},
    upstream::{Kind, PaceLimits, UpstreamError},
};
use lastgreen_sim::{App, AppKey, Installation, PersonalToken, Sim, World, sha};

/// The repository of all tests.
pub(crate) const REPO: &str = "myorg/myrepo";

/// The App of all tests.
pub(crate) const APP: u64 = 7;

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) clock: ManualClock,
    pub(crate) github: Arc<GitHub>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// With a classic token.
    pub(crate) async fn new(world: World) -> Self {
        Self::with(world, PersonalToken::DEFAULT, Auth::Token).await
    }

    /// With an App whose key is `AppKey::shared`.
    pub(crate) async fn app(mut world: World) -> Self {
        world.github.apps.push(app(AppKey::shared()));
        Self::app_with_key(world, &AppKey::shared().private_pem).await
    }

    pub(crate) async fn app_with_key(world: World, pem: &str) -> Self {
        Self::with(world, pem, |private_key_file| Auth::App { id: APP, private_key_file }).await
    }

    async fn with(world: World, secret: &str, auth: impl FnOnce(PathBuf) -> Auth) -> Self {
        let clock = ManualClock::new(SystemClock::new().wall());
        let sim = Sim::start(world).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let github = Arc::new(client(&sim.github_url(), auth(file), &clock));
        Self { sim, clock, github, folder }
    }

    /// Replaces the secret, and lets the time pass until it is looked at again.
    pub(crate) fn rotate(&self, secret: &str) {
        std::fs::write(self.folder.path().join("secret"), secret).unwrap();
        self.advance(Duration::from_secs(1));
    }

    /// Lets the time pass, here and there.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        // An App's signature holds the wall-clock time, and the simulator compares it with the real one.
        self.clock.jump_wall(-chrono::TimeDelta::from_std(by).unwrap());
        self.sim.world(|world| world.advance(i64::try_from(by.as_secs()).unwrap()));
    }

    pub(crate) async fn branch(&self, name: &str) -> Result<Arc<Snapshot>, UpstreamError> {
        self.github.snapshot(branch(name), self.clock.now()).await
    }

    pub(crate) async fn number(&self, number: u64) -> Result<Arc<Snapshot>, UpstreamError> {
        let ask = Ask { repo: repo(), by: By::Number(number), walk: 20 };
        self.github.snapshot(ask, self.clock.now()).await
    }

    /// How a question about `feature` fails.
    pub(crate) async fn failure(&self) -> UpstreamError {
        self.branch("feature").await.map(drop).unwrap_err()
    }

    /// For how long nothing may be asked after `error`.
    pub(crate) fn pause(&self, error: &UpstreamError) -> Duration {
        match error.kind {
            Kind::Limited { until } => whole_seconds(until.since(self.clock.now())),
            other => panic!("{other:?}"),
        }
    }
}

/// A time without the instants that pass between two looks at the clock.
pub(crate) fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs((time + Duration::from_millis(500)).as_secs())
}

pub(crate) fn client(api: &str, auth: Auth, clock: &ManualClock) -> GitHub {
    let pace = PaceLimits { per_second: 1000.try_into().unwrap(), concurrent: 100.try_into().unwrap() };
    let options = Options { api: api.to_owned(), auth, ca_file: None, pace };
    GitHub::new(options, Arc::new(clock.clone())).unwrap()
}

pub(crate) fn branch(name: &str) -> Ask {
    Ask { repo: repo(), by: By::Branch(name.parse().unwrap()), walk: 20 }
}

pub(crate) fn repo() -> Repo {
    REPO.parse().unwrap()
}

pub(crate) fn commit(id: &str) -> lastgreen::domain::CommitSha {
    sha(id).parse().unwrap()
}

pub(crate) fn app(key: &AppKey) -> App {
    let installation = Installation { id: 70, account: "myorg".to_owned(), repositories: None, checks: true };
    App {
        id: APP,
        slug: "lastgreen".to_owned(),
        public_key: Some(key.public_pem.clone()),
        installations: vec![installation],
    }
}

/// `main` at `m1` and `feature` at `a2` with the pull request 5, all of it green.
pub(crate) fn world() -> World {
    let mut world = World::with_repository(REPO);
    world.create_branch(REPO, "feature", "m1");
    world.push(REPO, "feature", "a1", &[]);
    world.push(REPO, "feature", "a2", &[]);
    world.open_pull(REPO, lastgreen_sim::Pull::new(5, "feature"));
    for id in ["m1", "a1", "a2"] {
        world.green(REPO, id);
    }
    world
}

/// The same in a private repository.
pub(crate) fn private_world() -> World {
    let mut world = world();
    world.github.repository_mut(REPO).private = true;
    world
}

pub(crate) const NEVER: Moment = Moment::START;

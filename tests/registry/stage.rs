//! A client before a simulated registry, and a clock that stands still.

use std::{path::Path, sync::Arc, time::Duration};

use lastgreen::{
    clock::{Clock as _, ManualClock, Moment},
    domain::{Digest, ImageName},
    registry::{Auth, Options, Presence, Registries},
    upstream::{Kind, UpstreamError},
};
use lastgreen_sim::{ImageSpec, Sim, World};

/// The image repository of most tests.
pub(crate) const APP: &str = "team/app";

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) clock: ManualClock,
    pub(crate) registries: Arc<Registries>,
    pub(crate) folder: tempfile::TempDir,
}

/// The settings of a registry of these tests.
pub(crate) fn options(host: String, auth: Auth) -> Options {
    Options { plain_http: true, auth, ..Options::anonymous(host) }
}

impl Stage {
    /// Asked anonymously.
    pub(crate) async fn new(world: World) -> Self {
        Self::with(world, |_, _, host| options(host, Auth::Anonymous)).await
    }

    /// Asked with `user` and `secret`, from two files.
    pub(crate) async fn basic(world: World) -> Self {
        Self::with(world, |_, folder, host| {
            std::fs::write(folder.join("user"), "user\n").unwrap();
            std::fs::write(folder.join("password"), "secret\n").unwrap();
            let (username_file, password_file) = (folder.join("user"), folder.join("password"));
            options(host, Auth::Basic { username_file, password_file })
        })
        .await
    }

    pub(crate) async fn with(world: World, settings: impl FnOnce(&Sim, &Path, String) -> Options) -> Self {
        let clock = ManualClock::new(world.now);
        let sim = Sim::start(world).await;
        let folder = tempfile::tempdir().unwrap();
        let options = settings(&sim, folder.path(), sim.registry_host());
        let registries = Registries::new(vec![options], Arc::new(clock.clone())).unwrap();
        Self { sim, clock, registries: Arc::new(registries), folder }
    }

    /// Lets time pass, here and there.
    pub(crate) fn pass(&self, seconds: u32) {
        self.sim.world(|world| world.advance(seconds.into()));
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// Writes a file anew, and lets the time pass until it is looked at again.
    pub(crate) fn rewrite(&self, file: &str, content: &str) {
        std::fs::write(self.folder.path().join(file), content).unwrap();
        self.pass(1);
    }

    pub(crate) fn image(&self, name: &str) -> ImageName {
        format!("{}/{name}", self.sim.registry_host()).parse().unwrap()
    }

    /// Pushes an image.
    pub(crate) fn push(&self, tag: &str) -> Digest {
        self.sim.world(|world| world.push_image(APP, tag, &ImageSpec::default())).parse().unwrap()
    }

    /// The digest of a tag of the usual image, whatever is cached.
    pub(crate) async fn ask(&self, tag: &str) -> Result<Option<Digest>, UpstreamError> {
        self.ask_of(APP, tag, self.clock.now()).await
    }

    pub(crate) async fn ask_of(&self, name: &str, tag: &str, since: Moment) -> Result<Option<Digest>, UpstreamError> {
        self.registries.resolve(&self.image(name), &tag.parse().unwrap(), since).await.map(digest)
    }

    /// The kind of the failure that a look-up must be.
    pub(crate) async fn kind(&self, tag: &str) -> Kind {
        self.ask(tag).await.unwrap_err().kind
    }
}

pub(crate) fn digest(presence: Presence) -> Option<Digest> {
    match presence {
        Presence::Found { digest, .. } => Some(digest),
        Presence::Absent { .. } => None,
    }
}

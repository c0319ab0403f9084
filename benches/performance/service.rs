//! The built program, as it is deployed, before a simulated world.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lastgreen_sim::{PersonalToken, Sim, World};
use tokio::runtime::Runtime;

use crate::{
    load,
    process::{Process, free_port, listens},
    world::{IMAGES, REPO},
};

/// What a caller must bring.
pub(crate) const TOKEN: &str = "strong-password-of-argo";

/// The simulated services, in threads of this process.
pub(crate) struct Upstreams {
    pub(crate) sim: Sim,
    runtime: Runtime,
}

impl Upstreams {
    pub(crate) fn start(world: World) -> Self {
        let runtime = Runtime::new().unwrap();
        Self { sim: runtime.block_on(Sim::start(world)), runtime }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// How fast the upstreams may be asked.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as the configuration can say.
    Off,
    /// As many requests a second as the configuration can say, but no more at once than by default.
    AtOnce,
    /// As a registry is asked by default: so many a second, so many at once. GitHub too is asked at its default.
    Default { per_second: u32, concurrent: u32 },
}

/// The running program.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    ops: SocketAddr,
    process: Process,
    folder: tempfile::TempDir,
    /// From its start until it was ready.
    pub(crate) ready_after: Duration,
    started: Instant,
}

impl Service {
    /// Starts it, with an empty ledger in a file below `below`.
    pub(crate) fn start(upstreams: &Upstreams, pace: Pace, below: &Path) -> Self {
        let folder = tempfile::tempdir_in(below).unwrap();
        let (address, ops) = (free_port(), free_port());
        let config = folder.path().join("config.yaml");
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        fs::write(folder.path().join("github"), PersonalToken::DEFAULT).unwrap();
        fs::write(&config, text(&upstreams.sim, folder.path(), pace, (address, ops))).unwrap();
        let started = Instant::now();
        let process =
            Process::start(Command::new(env!("CARGO_BIN_EXE_lastgreen")).arg("serve").arg("--config").arg(config));
        assert!(listens(ops), "lastgreen does not start");
        let ready_after = started.elapsed();
        assert!(listens(address));
        Self { address, ops, process, folder, ready_after, started }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        load::once(self.ops, b"GET /readyz HTTP/1.1\r\nHost: lastgreen\r\n\r\n").ends_with("ok\n")
    }

    /// Scrapes its metrics so many times over one connection; tells how long that took, and what the last one said.
    pub(crate) fn scraped(&self, times: usize) -> (load::Measured, String) {
        let scrape = b"GET /metrics HTTP/1.1\r\nHost: lastgreen\r\n\r\n";
        let measured = load::sweep(self.ops, &vec![scrape.to_vec(); times], Duration::from_mins(1));
        let answer = load::once(self.ops, scrape);
        (measured, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// For how long it runs.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks until every answer is given again as it is: the first answer is recorded, the ledger has to be trusted, and
    /// what was recorded last lets everything be looked at once more.
    pub(crate) fn warm_up(&self, questions: &[Vec<u8>]) {
        let long = Duration::from_hours(1);
        load::sweep(self.address, questions, long);
        // `trustAfter` below.
        std::thread::sleep(Duration::from_millis(1100));
        for _ in 0..3 {
            load::sweep(self.address, questions, long);
        }
    }
}

/// A place that costs nothing to write to, if there is one: for what does not measure writing.
pub(crate) fn quick_place() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// All questions as bytes for lastgreen.
pub(crate) fn requests(questions: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    questions.into_iter().map(|question| load::request("/preview", &question)).collect()
}

fn text(sim: &Sim, folder: &Path, pace: Pace, (listen, ops): (SocketAddr, SocketAddr)) -> String {
    let (folder, host) = (folder.display(), sim.registry_host());
    let (github, registry) = match pace {
        Pace::Off => ("  pace: { perSecond: 10000, concurrent: 1000 }\n", (10_000, 1000)),
        Pace::AtOnce => ("  pace: { perSecond: 10000, concurrent: 8 }\n", (10_000, 8)),
        Pace::Default { per_second, concurrent } => ("", (per_second, concurrent)),
    };
    let images: Vec<String> =
        IMAGES.iter().map(|(key, image)| format!("{key}: \"{host}/{image}:sha-{{sha}}\"")).collect();
    format!(
        "listen: {listen}
ops: {{ listen: \"{ops}\" }}
tokenFile: {folder}/token
ledger: {{ url: \"sqlite://{folder}/ledger.db\", trustAfter: 1s }}
inbound: {{ perSecond: 1000000, burst: 1000000 }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
{github}registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: {}, concurrent: {} }} }}
generators:
  preview:
    build:
      repository: {REPO}
      images: {{ {} }}
",
        sim.github_url(),
        registry.0,
        registry.1,
        images.join(", "),
    )
}

//! The stage: a world, a folder with a configuration and its secrets, and the program beside them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::JoinHandle,
};

use lastgreen::clock::{Clock as _, SystemClock};
use lastgreen_sim::{ImageSpec, PersonalToken, Pull, Sim, World, sha};
use serde_json::Value;

use crate::http::Client;

pub(crate) const REPO: &str = "myorg/myrepo";

/// What Argo CD must bring.
pub(crate) const BEARER: &str = "strong-password-of-argo";

/// A world in which pull request 1, `feature`, has a complete green build of `a1`.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) front: String,
    pub(crate) back: String,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let mut world = World::with_repository(REPO);
        // The program has the real clock, so CI was done an hour ago.
        let now = SystemClock::new().wall();
        world.now = now - chrono::TimeDelta::hours(1);
        world.create_branch(REPO, "feature", "m1");
        world.push(REPO, "feature", "a1", &[]);
        world.open_pull(REPO, Pull::new(1, "feature"));
        world.green(REPO, "m1");
        world.green(REPO, "a1");
        let tag = format!("sha-{}", sha("a1"));
        let front = world.push_image("myorg/front", &tag, &ImageSpec::default());
        let back = world.push_image("myorg/back", &tag, &ImageSpec::default().multi_arch().provenance_child());
        world.now = now;
        let stage = Self { sim: Sim::start(world).await, front, back, folder: tempfile::tempdir().unwrap() };
        stage.write("token", BEARER);
        stage.write("github", PersonalToken::DEFAULT);
        stage.configure(&stage.config());
        stage
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration that fits the world.
    pub(crate) fn config(&self) -> String {
        let (folder, host) = (self.folder().display(), self.sim.registry_host());
        format!(
            "listen: 127.0.0.1:0
ops: {{ listen: \"127.0.0.1:0\" }}
tokenFile: {folder}/token
ledger: {{ url: \"sqlite://{folder}/ledger.db\" }}
answerWithin: 1s
drainDelay: 0s
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
registries:
  - {{ host: \"{host}\", plainHttp: true }}
generators:
  preview:
    build:
      repository: {REPO}
      images:
        digestFront: \"{host}/myorg/front:sha-{{sha}}\"
        digestBack: \"{host}/myorg/back:sha-{{sha}}\"
",
            self.sim.github_url()
        )
    }

    pub(crate) fn configure(&self, text: &str) {
        self.write("config.yaml", text);
    }

    /// The configuration with something in another way.
    pub(crate) fn reconfigure(&self, what: &str, with: &str) {
        let text = self.config();
        assert!(text.contains(what), "{text}");
        self.configure(&text.replace(what, with));
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_logging("info", arguments)
    }

    pub(crate) fn run_logging(&self, level: &str, arguments: &[&str]) -> Done {
        self.command(level, arguments).output().unwrap().into()
    }

    /// The same with further variables in its environment.
    pub(crate) fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Done {
        self.command("info", arguments).envs(environment.iter().copied()).output().unwrap().into()
    }

    fn command(&self, level: &str, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("RUST_LOG", level).env("LASTGREEN_CONFIG", self.folder().join("config.yaml"));
        command
    }

    /// Starts `serve` and waits until it listens.
    pub(crate) fn serve(&self, level: &str, arguments: &[&str]) -> Serving {
        self.serve_with(&[], level, arguments)
    }

    /// The same with further variables in its environment.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)], level: &str, arguments: &[&str]) -> Serving {
        let mut command = self.command(level, &[arguments, &["serve"]].concat());
        command.envs(environment.iter().copied());
        Serving::new(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

/// The program, in an environment of its own.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastgreen"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs the program without any world.
pub(crate) fn run(arguments: &[&str]) -> Done {
    program(arguments).output().unwrap().into()
}

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Done {
    /// Asserts how it ended.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that it says something, somewhere.
    #[track_caller]
    pub(crate) fn says(&self, what: &str) -> &Self {
        assert!(self.stdout.contains(what) || self.stderr.contains(what), "no `{what}` in {self:#?}");
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A program that serves. Dropping it kills it.
pub(crate) struct Serving {
    child: Child,
    log: Option<JoinHandle<String>>,
    lines: Receiver<String>,
    pub(crate) plugin: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Serving {
    /// Waits for the line that tells the ports.
    pub(crate) fn new(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let (mut log, mut ports) = (String::new(), None);
        while ports.is_none() && lines.read_line(&mut log).unwrap() > 0 {
            let line = log.lines().next_back().unwrap_or_default();
            ports = port(line, "plugin").zip(port(line, "ops"));
        }
        let Some((plugin, ops)) = ports else {
            child.kill().unwrap();
            panic!("it does not listen: {log}");
        };
        let (line, later) = channel();
        let rest = std::thread::spawn(move || {
            let mut start = log.len();
            while lines.read_line(&mut log).unwrap() > 0 {
                // A test that does not listen is none the worse.
                let _ = line.send(log[start..].to_owned());
                start = log.len();
            }
            log
        });
        Self { child, log: Some(rest), lines: later, plugin, ops }
    }

    /// Asks it to end, as Kubernetes does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let killed = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for a line of its log.
    pub(crate) fn logs(&self, what: &str) {
        assert!(self.lines.iter().any(|line| line.contains(what)), "it ended without `{what}`");
    }

    /// The status of a path of the operator's listener.
    pub(crate) fn health(&self, path: &str) -> u16 {
        let mut client = Client::connect(self.ops);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: lastgreen\r\n\r\n"));
        client.reply().status()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Done {
        let code = self.child.wait().unwrap().code();
        let stdout = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        Done { code, stdout, stderr: self.log.take().unwrap().join().unwrap() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of a listener in a log line, of either format.
fn port(line: &str, listener: &str) -> Option<SocketAddr> {
    let json = format!("\"{listener}\":\"");
    let text = format!("{listener}=");
    let at = line.find(&json).map(|at| at + json.len()).or_else(|| line.find(&text).map(|at| at + text.len()))?;
    line[at..].split(['"', ' ']).next()?.parse().ok()
}

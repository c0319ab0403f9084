//! Real plugins, in Python, as their documents have them.
//!
//! What the second one needs is installed into a folder below `target/`, where `LASTGREEN_REAL_SERVERS=required` asks for
//! it; where it cannot be had, its test says so and passes.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lastgreen::{
    clock::{Clock as _, ManualClock},
    parts::{
        part::{CannotSay, Values},
        plugins::{PluginPart, PluginPlace},
    },
};

use crate::{
    double::items,
    postgres::{ADMIN, PASSWORD, Postgres},
    stage::{branch, item, options},
};

/// A plugin that runs. Dropping it kills it.
struct Python {
    process: Child,
    part: PluginPart,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl Python {
    /// Starts a script of this folder, and waits until it listens.
    fn start(python: &Path, script: &str, change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "strong-password\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(python);
        command.arg(scripts().join(script)).arg(&token).arg(address.port().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        change(&mut command);
        let mut process = command.spawn().unwrap();
        while TcpStream::connect(address).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "{script} does not start");
            std::thread::yield_now();
        }
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let part = part(address, &token, &clock);
        Self { process, part, clock, folder }
    }

    async fn ask(&self) -> Result<Vec<Values>, CannotSay> {
        self.part.items(&branch(), "fake-appset", self.clock.now() + Duration::from_secs(9)).await
    }

    /// Sends another token from now on.
    fn bring(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
        self.clock.advance(Duration::from_secs(1));
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn part(address: SocketAddr, token: &Path, clock: &ManualClock) -> PluginPart {
    let mut options = options(PluginPlace::Url(format!("http://{address}")));
    options.token_file = Some(token.to_owned());
    PluginPart::new(options, Arc::new(clock.clone())).unwrap()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/python")
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Straight to stderr: what the macros print of a test that passes is not shown.
fn not_run(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {why}");
}

fn python() -> Option<PathBuf> {
    let python = PathBuf::from("python3");
    if succeeds(Command::new(&python).arg("--version")) {
        return Some(python);
    }
    not_run("Python is not installed (Debian package python3)");
    None
}

/// A Python that has what `requirements.txt` says.
fn python_with_requirements() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-python");
    let installed = folder.join("bin/python");
    let has = || succeeds(Command::new(&installed).args(["-c", "import fastapi, uvicorn, psycopg2"]));
    if has() {
        return Some(installed);
    }
    if std::env::var("LASTGREEN_REAL_SERVERS").is_ok_and(|value| value == "required") {
        let made = succeeds(Command::new(python()?).args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(&installed);
        pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(scripts().join("requirements.txt"));
        if made && succeeds(&mut pip) && has() {
            return Some(installed);
        }
    }
    not_run("FastAPI, uvicorn and psycopg2 are not installed and cannot be had here");
    None
}

#[tokio::test]
async fn the_plugin_of_argo_cds_documentation_is_understood() {
    let Some(python) = python() else { return };
    let plugin = Python::start(&python, "documented.py", |_| {});
    for _ in 0..3 {
        assert_eq!(plugin.ask().await, Ok(items()));
    }
    // It goes on to answer whoever it has refused; what counts is that it has.
    plugin.bring("wrong");
    assert_eq!(plugin.ask().await.unwrap_err().reason, "the plugin `other`: it refuses the token (403)");
    plugin.bring("strong-password");
    assert_eq!(plugin.ask().await, Ok(items()));
}

#[tokio::test]
async fn the_plugin_of_tenants_is_understood() {
    let (Some(python), Some(postgres)) = (python_with_requirements(), Postgres::start_new()) else { return };
    postgres.execute(ADMIN, "CREATE TABLE organization (tenant text, status text)").await;
    postgres
        .execute(ADMIN, "INSERT INTO organization VALUES ('Acme Corp', 'active'), ('Gamma Industries', 'trial')")
        .await;
    let plugin = Python::start(&python, "tenants.py", |command| {
        let port = postgres.port().to_string();
        command.envs([("DB_NAME", ADMIN), ("DB_USER", ADMIN), ("DB_HOST", "127.0.0.1"), ("DB_PORT", &port)]);
        command.env("PGPASSWORD", PASSWORD);
    });
    let acme = || item([("tenant", "Acme Corp"), ("status", "active")]);
    let gamma = || item([("tenant", "Gamma Industries"), ("status", "trial")]);
    assert_eq!(plugin.ask().await, Ok(vec![acme(), gamma()]));
    postgres.execute(ADMIN, "DELETE FROM organization WHERE status = 'trial'").await;
    assert_eq!(plugin.ask().await, Ok(vec![acme()]));
    plugin.bring("wrong");
    assert_eq!(plugin.ask().await.unwrap_err().reason, "the plugin `other`: it refuses the token (403)");
    plugin.bring("strong-password");
    // It says that there are none where it does not know: that is its word, and for the guard to doubt.
    drop(postgres);
    assert_eq!(plugin.ask().await, Ok(Vec::new()));
}

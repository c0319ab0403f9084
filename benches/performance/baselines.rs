//! The Python plugins that lastgreen is compared with. `FastAPI` is installed into a folder below `target/` when it is
//! first needed; where that cannot be done, it is left out, and that is said.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    process::{Process, free_port, listens},
    service::Service,
};

/// A plugin that runs.
pub(crate) struct Baseline {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Whether it keeps connections.
    pub(crate) keep: bool,
    pub(crate) process: Process,
}

/// Those that can be had here.
pub(crate) fn start(service: &Service) -> Vec<Baseline> {
    let of = |name, script: &str, python: Option<PathBuf>, keep| {
        let Some(python) = python else {
            println!("skipped: {name} cannot be had here");
            return None;
        };
        let address = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baselines").join(script);
        let token = service.folder().join("token");
        let process = Process::start(Command::new(python).arg(script).arg(token).arg(address.port().to_string()));
        listens(address).then_some(Baseline { name, address, keep, process })
    };
    let python = runs("python3").then(|| "python3".into());
    let fast = python.clone().and_then(|_: PathBuf| with_fastapi());
    [of("http.server", "http_server_plugin.py", python, false), of("FastAPI", "fastapi_plugin.py", fast, true)]
        .into_iter()
        .flatten()
        .collect()
}

fn runs(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A Python that has `FastAPI`, and psycopg2.
pub(crate) fn with_fastapi() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/bench-python");
    let python = folder.join("bin/python");
    let has = |python: &Path| succeeds(Command::new(python).args(["-c", "import fastapi, psycopg2, uvicorn"]));
    if !has(&python) {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let requirements = root.join("benches/baselines/requirements.txt");
        let pip = || Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements).status();
        if !made || !pip().is_ok_and(|status| status.success()) {
            return None;
        }
    }
    has(&python).then_some(python)
}

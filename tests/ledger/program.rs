//! The real program, that it may be killed, and run by somebody who may not do everything.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use serde_json::Value;

use crate::http::{Client, Reply, about, question};

/// The program's file.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_lastgreen");

/// A program that serves. Dropping it kills it, without a word.
pub(crate) struct Serving {
    child: Child,
    log: Receiver<String>,
    pub(crate) plugin: SocketAddr,
    ops: SocketAddr,
}

impl Serving {
    /// Starts it with this configuration.
    pub(crate) fn start(config: &Path) -> Self {
        Self::started_by(Command::new(PROGRAM), config)
    }

    /// Starts it by a command that takes its arguments, and waits until it listens.
    pub(crate) fn started_by(mut command: Command, config: &Path) -> Self {
        command.arg("serve").env_clear().env("RUST_LOG", "info").env("LASTGREEN_CONFIG", config);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (line, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for read in lines.lines().map_while(Result::ok) {
                // A test that does not listen is none the worse.
                let _ = line.send(read);
            }
        });
        let mut said = Vec::new();
        let ports = log.iter().find_map(|line: String| {
            let ports = port(&line, "plugin=").zip(port(&line, "ops="));
            said.push(line);
            ports
        });
        let (plugin, ops) = ports.unwrap_or_else(|| panic!("it does not listen: {said:#?}"));
        Self { child, log, plugin, ops }
    }

    /// Asks about a branch.
    pub(crate) fn ask(&self, branch: &str) -> Reply {
        let mut client = Client::connect(self.plugin);
        client.send(question("strong-password", &about(branch, None)));
        client.reply()
    }

    /// Whether it says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        let mut client = Client::connect(self.ops);
        client.send("GET /readyz HTTP/1.1\r\nHost: lastgreen\r\n\r\n");
        client.reply().status() == 200
    }

    /// Waits for a line of its log.
    pub(crate) fn logs(&self, what: &str) {
        assert!(self.log.iter().any(|line| line.contains(what)), "it ended without `{what}`");
    }

    /// Ends it as `SIGKILL` does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as `SIGTERM` does.
    pub(crate) fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The digest of an answer's item, if there is one.
pub(crate) fn digest(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    body["output"]["parameters"][0]["digest"].as_str().map(str::to_owned)
}

/// The address of a listener in a line of the log.
fn port(line: &str, listener: &str) -> Option<SocketAddr> {
    let at = line.find(listener)? + listener.len();
    line[at..].split(' ').next()?.parse().ok()
}

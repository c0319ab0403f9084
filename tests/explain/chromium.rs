//! Chromium without a head, spoken to over two pipes: the `DevTools` protocol, each message ended by a zero.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// A browser that says nothing for so long has failed the test; nothing waits that long when all is well.
const HUNG: Duration = Duration::from_mins(1);

/// A browser with one page.
pub(crate) struct Chromium {
    child: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    session: String,
    next: u64,
    /// Events that came while an answer was waited for.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// The program, if it is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

impl Chromium {
    pub(crate) fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken on descriptors 3 and 4.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
                "--remote-debugging-pipe",
            ])
            .args(["--force-color-profile=srgb", "--font-render-hinting=none", "--lang=en-GB"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, mut pipe) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (said, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while pipe.read_until(0, &mut bytes).is_ok() && bytes.pop() == Some(0) {
                if said.send(serde_json::from_slice(&bytes).unwrap()).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        let (session, events) = (String::new(), Vec::new());
        let mut browser = Self { child, input, output, session, next: 1, events, _profile: profile };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its answer.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut message = json!({ "id": id, "method": method });
        message["params"] = parameters;
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.input.write_all(message.to_string().as_bytes()).unwrap();
        self.input.write_all(b"\0").unwrap();
        let asked = now();
        loop {
            let message = self.read(asked);
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    #[track_caller]
    fn read(&mut self, since: Instant) -> Value {
        // A page that refreshes itself always has something to say.
        self.output.recv_timeout(HUNG.saturating_sub(since.elapsed())).expect("the browser hangs or is gone")
    }

    /// Waits for an event, of those that came already too.
    #[track_caller]
    pub(crate) fn wait(&mut self, method: &str) {
        let asked = now();
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                self.events.remove(at);
                return;
            }
            let event = self.read(asked);
            self.events.push(event);
        }
    }

    /// Does something that loads a page, and waits until it is there.
    #[track_caller]
    pub(crate) fn loading<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        let done = work(self);
        self.wait("Page.loadEventFired");
        done
    }

    #[track_caller]
    pub(crate) fn go(&mut self, url: &str) {
        self.loading(|browser| browser.call("Page.navigate", json!({ "url": url })));
    }

    /// The value of an expression; a promise is waited for.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: Option<&str>) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if let (Some(text), "keyDown") = (text, kind) {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types into whatever has the focus.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Sets the window's width and the colours that are preferred.
    pub(crate) fn look_like(&mut self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", scheme);
    }

    /// What the page and the browser complained about: errors of scripts, and what the policy forbade.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Whatever was said before this answer has come.
        self.eval("0");
        let complains = |event: &Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        let all = self.events.iter().filter(|event| complains(event)).map(ToString::to_string).collect();
        self.events.retain(|event| !complains(event));
        all
    }

    /// The whole page as a picture.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        self.captured(json!({ "format": "png", "captureBeyondViewport": true }))
    }

    /// The upper left of it.
    pub(crate) fn picture_of(&mut self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        self.captured(json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }))
    }

    fn captured(&mut self, parameters: Value) -> Vec<u8> {
        let result = self.call("Page.captureScreenshot", parameters);
        BASE64_STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser has its own time")]
fn now() -> Instant {
    Instant::now()
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

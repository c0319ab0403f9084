//! Proxies: what the environment names is used, and what it excepts is not.
//!
//! A process reads these variables once, so each case is this test program run again with its own environment.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
};

use lastgreen::{
    clock::{Clock as _, ManualClock, SystemClock},
    github::Auth,
};

use crate::stage::{branch, client};

/// Names the API in the environment of the inner run.
const API: &str = "LASTGREEN_TEST_API";

/// The inner run: asks once, through whatever the environment says. Does nothing by itself.
#[tokio::test]
async fn inner() {
    let Ok(api) = std::env::var(API) else { return };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let clock = ManualClock::new(SystemClock::new().wall());
    let github = client(&api, Auth::Token(token), &clock);
    github.snapshot(branch("feature"), clock.now()).await.unwrap_err();
}

/// The first line that reaches a listener when `api` is asked in this environment.
fn first_line(
    environment: impl FnOnce(&str) -> Vec<(&'static str, String)>,
    api: impl FnOnce(&str) -> String,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        String::from_utf8(head).unwrap().trim_end().to_owned()
    });
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", "proxy::inner"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        inner.env_remove(name).env_remove(name.to_lowercase());
    }
    inner.envs(environment(&address)).env(API, api(&address)).current_dir(Path::new("."));
    let output = inner.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    heard.join().unwrap()
}

#[test]
fn https_goes_through_a_tunnel() {
    let line = first_line(
        |proxy| vec![("HTTPS_PROXY", format!("http://{proxy}"))],
        |_| "https://ghe.example.invalid/api/v3".to_owned(),
    );
    assert_eq!(line, "CONNECT ghe.example.invalid:443 HTTP/1.1");
}

#[test]
fn http_names_the_whole_address() {
    let line = first_line(
        |proxy| vec![("HTTP_PROXY", format!("http://{proxy}"))],
        |_| "http://ghe.example.invalid/api/v3".to_owned(),
    );
    assert_eq!(line, "POST http://ghe.example.invalid/api/graphql HTTP/1.1");
}

#[test]
fn an_excepted_host_is_asked_itself() {
    let line = first_line(
        |_| vec![("HTTP_PROXY", "http://127.0.0.1:1".to_owned()), ("NO_PROXY", "127.0.0.1".to_owned())],
        |direct| format!("http://{direct}"),
    );
    assert_eq!(line, "POST /graphql HTTP/1.1");
}

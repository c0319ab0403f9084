//! The least that axum can do: a route whose handler returns bytes that it was given at its start.

use std::{fs, net::SocketAddr, process::Command};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
    routing::post,
};
use tokio::net::TcpListener;

use crate::process::{Process, free_port, listens};

/// The argument with which this program is that server.
pub(crate) const ARGUMENT: &str = "--bare";

/// Starts it with this answer, which it gives to everybody, head and all.
pub(crate) fn start(folder: &std::path::Path, answer: &str) -> (Process, SocketAddr) {
    let (file, address) = (folder.join("bare"), free_port());
    fs::write(&file, format!("{address}\n{answer}")).unwrap();
    let process = Process::start(Command::new(std::env::current_exe().unwrap()).arg(ARGUMENT).arg(file));
    assert!(listens(address), "the bare server does not start");
    (process, address)
}

/// Is that server.
pub(crate) fn serve(file: &str) {
    let text = fs::read_to_string(file).unwrap();
    let (address, answer) = text.split_once('\n').unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let fields = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    // The server below axum writes these itself.
    let fields = fields.filter(|(name, _)| !matches!(*name, "content-length" | "date"));
    let headers: HeaderMap = fields
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let body = Bytes::from(body.to_owned());
    let handler = move || {
        let answer = (headers.clone(), body.clone());
        async move { answer }
    };
    let router = Router::new().route("/preview/api/v1/getparams.execute", post(handler));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}

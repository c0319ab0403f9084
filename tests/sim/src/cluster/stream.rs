//! The body of a watch: chunks as they come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::wire::Body;

/// The end that is written to.
#[derive(Clone, Debug)]
pub(super) struct Writer(UnboundedSender<io::Result<Bytes>>);

struct Stream {
    chunks: UnboundedReceiver<io::Result<Bytes>>,
    /// What is to break it off, once what was written is on its way.
    broken: Option<io::Error>,
}

/// Both ends of a body.
pub(super) fn stream() -> (Writer, Body) {
    let (writer, reader) = unbounded_channel();
    (Writer(writer), Stream { chunks: reader, broken: None }.boxed())
}

impl Writer {
    /// Writes a line in two chunks: whoever takes a chunk for a line is wrong.
    pub(super) fn line(&self, line: &str) {
        let line = format!("{line}\n");
        let mut middle = line.len() / 2;
        while !line.is_char_boundary(middle) {
            middle -= 1;
        }
        let (first, second) = line.split_at(middle);
        for half in [first, second].into_iter().filter(|half| !half.is_empty()) {
            // Nobody may be reading any more.
            let _ = self.0.send(Ok(Bytes::copy_from_slice(half.as_bytes())));
        }
    }

    /// Breaks off in the middle of a line.
    pub(super) fn cut(&self) {
        let _ = self.0.send(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":{\"kind\":\"Serv")));
        let _ = self.0.send(Err(io::ErrorKind::ConnectionReset.into()));
    }

    /// Whether somebody reads it.
    pub(super) fn is_read(&self) -> bool {
        !self.0.is_closed()
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        match self.chunks.poll_recv(cx) {
            Poll::Ready(Some(Err(broken))) => {
                self.broken = Some(broken);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(chunk) => Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data))),
            Poll::Pending => Poll::Pending,
        }
    }
}

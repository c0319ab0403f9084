//! A client that speaks HTTP/1 as bytes, so that nothing is smoothed over.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A server that says nothing for so long has failed the test; nothing waits that long when all is well.
const HUNG: Duration = Duration::from_mins(1);

/// A connection, kept open.
pub(crate) struct Client {
    stream: TcpStream,
    /// What came, and was not looked at yet.
    read: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status line and all headers, as they were sent.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(HUNG)).unwrap();
        stream.set_write_timeout(Some(HUNG)).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads one response, whose body must have its length told, and the end if it says that it is the last.
    pub(crate) fn reply(&mut self) -> Reply {
        let head = self.head();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert_ne!(self.more(), 0, "the body broke off after {head}");
        }
        let body = self.read.drain(..length).collect();
        if header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            assert!(self.is_closed(), "more came after {head}");
        }
        Reply { head, body: String::from_utf8(body).unwrap() }
    }

    /// Reads a status line with its headers.
    pub(crate) fn head(&mut self) -> String {
        const END: &[u8] = b"\r\n\r\n";
        let end = loop {
            match self.read.windows(END.len()).position(|window| window == END) {
                Some(end) => break end + END.len(),
                None => assert_ne!(self.more(), 0, "no response, but {:?}", String::from_utf8_lossy(&self.read)),
            }
        };
        String::from_utf8(self.read.drain(..end).collect()).unwrap()
    }

    /// Whether the server has closed the connection, after all that was read; waits until it says something.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more() == 0
    }

    /// Reads something; 0 is the end. A reset is an end, too: the server closed with something of ours unread.
    fn more(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let read = match self.stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the server says nothing: {error}"),
        };
        self.read.extend_from_slice(&buffer[..read]);
        read
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A question as Argo CD asks it.
pub(crate) fn question(token: &str, body: &str) -> String {
    format!(
        "POST /preview/api/v1/getparams.execute HTTP/1.1\r\nHost: lastgreen\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The body of a question about a branch, and the head that was seen there.
pub(crate) fn about(branch: &str, head: Option<&str>) -> String {
    let head = head.map_or_else(String::new, |head| format!(r#","head_sha":"{head}""#));
    format!(r#"{{"applicationSetName":"fb-matrix","input":{{"parameters":{{"branch":"{branch}"{head}}}}}}}"#)
}

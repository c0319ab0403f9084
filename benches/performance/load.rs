//! Questions at a server as fast as it answers, over connections that are kept, as Argo CD does.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    task::JoinSet,
};

/// What was measured.
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// How long each answer took, shortest first.
    latencies: Vec<Duration>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.latencies.len()).unwrap()) / self.elapsed.as_secs_f64()
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.latencies.len()).unwrap()
    }

    /// The latency below which so many percent of all are.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)]
    }
}

/// A POST to a plugin, as bytes.
pub(crate) fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path}/api/v1/getparams.execute HTTP/1.1\r\nHost: lastgreen.argocd.svc\r\nUser-Agent: Go-http-client/1.1\r\n\
         Content-Length: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len(),
        crate::service::TOKEN,
    )
    .into_bytes()
}

/// Asks all these questions again and again for that long, over so many connections. A server that closes after each
/// answer is connected to anew for each.
pub(crate) fn ask_for(
    time: Duration,
    address: SocketAddr,
    connections: usize,
    keep: bool,
    all: &[Vec<u8>],
) -> Measured {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(address, keep).await);
        }
        let began = Instant::now();
        for (nth, mut connection) in open.into_iter().enumerate() {
            let own: Vec<Vec<u8>> =
                all.iter().skip(nth % all.len()).step_by(connections.min(all.len())).cloned().collect();
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                for request in own.iter().cycle() {
                    let sent = Instant::now();
                    if sent - began > time {
                        break;
                    }
                    connection.ask(request).await;
                    latencies.push(sent.elapsed());
                }
                latencies
            });
        }
        let mut latencies: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Measured { elapsed, latencies }
    })
}

/// Asks each question once, one after the other over one connection, for as long as that at most; tells how many were
/// asked, too.
pub(crate) fn sweep(address: SocketAddr, all: &[Vec<u8>], at_most: Duration) -> Measured {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = Connection::open(address, true).await;
        let mut latencies = Vec::with_capacity(all.len());
        let began = Instant::now();
        for request in all {
            let sent = Instant::now();
            if sent - began > at_most {
                break;
            }
            connection.ask(request).await;
            latencies.push(sent.elapsed());
        }
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Measured { elapsed, latencies }
    })
}

/// One answer, its head among it.
pub(crate) fn once(address: SocketAddr, request: &[u8]) -> String {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = Connection::open(address, true).await;
        let length = connection.ask(request).await;
        String::from_utf8(connection.buffer[..length].to_vec()).unwrap()
    })
}

/// A connection, and the room for what comes.
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    keep: bool,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, keep: bool) -> Self {
        let stream = if keep { Some(connect(address).await) } else { None };
        Self { address, stream, keep, buffer: vec![0; 16 * 1024] }
    }

    /// Asks, and reads the whole answer, which must be a 200; tells its length.
    async fn ask(&mut self, request: &[u8]) -> usize {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address).await,
        };
        stream.write_all(request).await.unwrap();
        let mut read = 0;
        let mut length = None;
        loop {
            if read == self.buffer.len() {
                self.buffer.resize(2 * read, 0);
            }
            let more = stream.read(&mut self.buffer[read..]).await.unwrap();
            read += more;
            let so_far = &self.buffer[..read];
            length = length.or_else(|| self.keep.then(|| whole(so_far)).flatten());
            match length {
                Some(length) if read >= length => break,
                _ if more == 0 && !self.keep => break,
                _ => assert_ne!(more, 0, "the answer broke off"),
            }
        }
        let status = &self.buffer[..read.min(13)];
        assert!(
            status.starts_with(b"HTTP/1.") && status.ends_with(b" 200 ") || status[9..12] == *b"200",
            "{}",
            String::from_utf8_lossy(&self.buffer[..read])
        );
        if self.keep {
            self.stream = Some(stream);
        }
        read
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// How long an answer is whose head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let name = b"content-length: ";
    let at = answer[..head].windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))? + name.len();
    let digits = answer[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

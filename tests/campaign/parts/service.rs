//! Another generator plugin, as a service of the story's own over loopback HTTP: what it says, and the ways in which it
//! says nothing.
//!
//! Its port is its own for the whole story, also while nobody listens there: a second socket keeps it, so that no other
//! story's server can be asked instead.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// An answer of 5 MiB.
static TOO_MUCH: LazyLock<Vec<u8>> =
    LazyLock::new(|| said(&vec![json!({ "member": "x".repeat(1000) }); (5 << 20) / 1000]));

/// Further connections than that are never waiting.
const BACKLOG: u32 = 64;

/// What the service does instead of answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nobody listens.
    Down,
    /// The connection is reset.
    Reset,
    /// No answer, ever.
    Hang,
    /// The answer comes so late.
    Slow(Duration),
    /// A status, and what it says of when to come back.
    Status(u16, Option<&'static str>),
    /// A 200 with this body.
    Says(&'static str),
    /// A 200 with five megabytes of items.
    Huge,
    /// The connection ends in the middle of the body.
    CutOff,
    /// The last item has other keys than the others.
    OtherKeys,
}

/// Lists by path and team.
pub(crate) type Lists = BTreeMap<(&'static str, String), Vec<Value>>;

#[derive(Debug, Default)]
struct Shared {
    lists: Mutex<Lists>,
    wrong: Mutex<Option<Wrong>>,
    /// Grows with everything that is done.
    motion: AtomicU64,
    hanging: AtomicUsize,
    /// The time, and how often what hangs was let go.
    now: watch::Sender<(Duration, u64)>,
}

/// The running service. Its connections end with it.
#[derive(Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    port: u16,
    /// Keeps the port.
    _keeps: TcpSocket,
    accepting: Option<JoinHandle<()>>,
    /// Connections end when this is gone.
    alive: watch::Sender<()>,
}

fn socket(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap();
    socket
}

impl Service {
    pub(crate) fn start() -> Self {
        let keeps = socket(0);
        let port = keeps.local_addr().unwrap().port();
        let (shared, alive) = (Arc::default(), watch::Sender::default());
        let mut service = Self { shared, port, _keeps: keeps, accepting: None, alive };
        service.listen();
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn listen(&mut self) {
        let listener = socket(self.port).listen(BACKLOG).unwrap();
        self.alive = watch::Sender::default();
        self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared), self.alive.subscribe())));
    }

    /// From now on it says these.
    pub(crate) fn say(&self, lists: Lists) {
        *self.shared.lists.lock().unwrap_or_else(PoisonError::into_inner) = lists;
    }

    /// Something is wrong with it from now on, or nothing any more.
    pub(crate) async fn set_wrong(&mut self, wrong: Option<Wrong>) {
        let down = wrong == Some(Wrong::Down);
        *self.shared.wrong.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
        self.shared.now.send_modify(|(_, released)| *released += 1);
        match self.accepting.take() {
            Some(accepting) if down => {
                accepting.abort();
                let _ = accepting.await;
                self.alive = watch::Sender::default();
            }
            None if !down => self.listen(),
            accepting => self.accepting = accepting,
        }
    }

    pub(crate) fn is_now(&self, now: Duration) {
        self.shared.now.send_modify(|(time, _)| *time = now);
    }

    /// Moves whenever somebody does something here.
    pub(crate) fn motion(&self) -> u64 {
        self.shared.motion.load(Ordering::Relaxed)
    }

    /// How many requests wait for an answer that does not come, or not yet.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.hanging.load(Ordering::Relaxed)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, alive: watch::Receiver<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, mut alive) = (Arc::clone(&shared), alive.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = converse(stream, &shared) => {}
                // Whoever owns it is gone.
                _ = alive.changed() => {}
            }
        });
    }
}

/// Counts a request as hanging for as long as it does.
struct Hanging<'a>(&'a AtomicUsize);

impl<'a> Hanging<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one request after the other. `None` ends the connection.
async fn converse(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    loop {
        let (path, body) = read(&mut stream).await?;
        shared.motion.fetch_add(1, Ordering::Relaxed);
        let wrong = shared.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Wrong::Hang | Wrong::Slow(_)) = wrong {
            wait(&mut stream, shared, wrong.as_ref()).await?;
        }
        let answer = shared.answer(&path, &body, wrong.as_ref());
        let Some(answer) = answer else {
            let _ = stream.set_zero_linger();
            return None;
        };
        for part in answer.chunks(1 << 16) {
            stream.write_all(part).await.ok()?;
            shared.motion.fetch_add(1, Ordering::Relaxed);
        }
        if wrong == Some(Wrong::CutOff) {
            return None;
        }
    }
}

/// Waits until the answer is due, or whoever asked is gone.
async fn wait(stream: &mut TcpStream, shared: &Shared, wrong: Option<&Wrong>) -> Option<()> {
    let _hanging = Hanging::begin(&shared.hanging);
    let mut now = shared.now.subscribe();
    let (began, released) = *now.borrow();
    let due = |(time, let_go): &(Duration, u64)| match wrong {
        Some(Wrong::Slow(by)) => *time >= began + *by || *let_go > released,
        _ => *let_go > released,
    };
    tokio::select! {
        biased;
        is_due = now.wait_for(due) => is_due.ok().map(drop),
        // Nobody says more before the answer: this is the end.
        _ = stream.read_u8() => None,
    }
}

/// A request's path and body.
async fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let path = text.split(' ').nth(1)?.to_owned();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((path, body))
}

fn response(status: u16, more: &str, body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{more}");
    write!(text, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    text.into_bytes()
}

fn said(items: &[Value]) -> Vec<u8> {
    response(200, "", &json!({ "output": { "parameters": items } }).to_string())
}

impl Shared {
    /// The whole answer; `None` is a reset.
    fn answer(&self, path: &str, body: &[u8], wrong: Option<&Wrong>) -> Option<Vec<u8>> {
        let question: Value = serde_json::from_slice(body).ok()?;
        let inputs = question["input"]["parameters"].as_object()?;
        let team = inputs.get("team").and_then(Value::as_str).unwrap_or_default();
        // What was not meant for it is not passed on.
        if inputs.keys().any(|key| key != "team") {
            return Some(response(400, "", r#"{"message":"what is that?"}"#));
        }
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let list = lists.iter().find(|((of, whose), _)| path.starts_with(of) && whose == team);
        let items = list.map_or(&[][..], |(_, items)| items);
        Some(match wrong {
            None | Some(Wrong::Hang | Wrong::Slow(_)) => said(items),
            Some(Wrong::Down | Wrong::Reset) => return None,
            Some(Wrong::Status(status, after)) => {
                let after = after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
                response(*status, &after, r#"{"message":"oops"}"#)
            }
            Some(Wrong::Says(body)) => response(200, "", body),
            Some(Wrong::Huge) => TOO_MUCH.clone(),
            Some(Wrong::CutOff) => {
                let mut whole = said(items);
                whole.truncate(whole.len() - 3);
                whole
            }
            Some(Wrong::OtherKeys) => said(&[items, &[json!({ "a": "b" }), json!({ "c": "d" })]].concat()),
        })
    }
}

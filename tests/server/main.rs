//! The server below the routers, spoken to in bytes: framing, limits, slow clients, the end.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/http.rs"]
mod http;
mod lifecycle;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http::{Client, about, question};
use lastgreen::{
    app::App,
    clock::ManualClock,
    config::Config,
    http::{DRAIN, Phase, serve},
};
use lastgreen_sim::{ImageSpec, PersonalToken, Pull, Sim, Target, World, sha};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};

const REPO: &str = "myorg/myrepo";
const TOKEN: &str = "strong-password";

/// A server whose clock stands still, and a world in which `feature` has a build.
struct Stage {
    sim: Sim,
    clock: ManualClock,
    address: SocketAddr,
    front: String,
    end: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let (sim, clock, front) = world().await;
        let folder = tempfile::tempdir().unwrap();
        let app = app(&sim, &clock, folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let (_, phase) = watch::channel(Phase::Serving);
        let server = tokio::spawn(serve(
            listener,
            app.plugin_service(phase),
            Arc::new(clock.clone()),
            async {
                // A test that failed ends it, too.
                let _ = ended.await;
            },
            DRAIN,
        ));
        Self { sim, clock, address, front, end: Some(end), server, _folder: folder }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks whether the server still does its work.
    fn is_well(&self) {
        let mut client = self.connect();
        client.send(question(TOKEN, &about("feature", None)));
        let reply = client.reply();
        assert!(reply.status() == 200 && reply.body.contains(&self.front), "{reply:?}");
    }

    fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
    }

    /// The end of the server itself.
    async fn ended(self) {
        self.server.await.unwrap().unwrap();
    }
}

/// A world in which `feature` has a build, whose digest is told too.
async fn world() -> (Sim, ManualClock, String) {
    let mut world = World::with_repository(REPO);
    world.create_branch(REPO, "feature", "m1");
    world.push(REPO, "feature", "a1", &[]);
    world.open_pull(REPO, Pull::new(1, "feature"));
    world.green(REPO, "a1");
    let front = world.push_image("myorg/front", &format!("sha-{}", sha("a1")), &ImageSpec::default());
    world.advance(60);
    let clock = ManualClock::new(world.now);
    (Sim::start(world).await, clock, front)
}

fn app(sim: &Sim, clock: &ManualClock, folder: &Path) -> App {
    let (config, _) = Config::parse(&config(sim, folder), "test.yaml").unwrap();
    App::build(config, Arc::new(clock.clone())).unwrap()
}

fn config(sim: &Sim, folder: &Path) -> String {
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    std::fs::write(folder.join("github"), PersonalToken::DEFAULT).unwrap();
    let (folder, host) = (folder.display(), sim.registry_host());
    format!(
        "tokenFile: {folder}/token
ledger: {{ url: \"memory:\" }}
github: {{ api: \"{}\", auth: {{ tokenFile: {folder}/github }} }}
registries: [ {{ host: \"{host}\", plainHttp: true }} ]
generators:
  preview:
    build:
      repository: {REPO}
      images: {{ digestFront: \"{host}/myorg/front:sha-{{sha}}\" }}
",
        sim.github_url()
    )
}

/// A request whose body is announced, and did not come yet.
fn begun(length: usize, more: &str) -> String {
    format!(
        "POST /preview/api/v1/getparams.execute HTTP/1.1\r\nHost: lastgreen\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {length}\r\n{more}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_share_a_connection() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    for _ in 0..3 {
        client.send(question(TOKEN, &about("feature", None)));
        let reply = client.reply();
        assert!(reply.head.starts_with("HTTP/1.1 200 OK\r\n"), "{reply:?}");
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert!(reply.body.contains(&stage.front));
    }
    // Refusals do not cost the connection either.
    client.send(question("wrong", &about("feature", None)));
    assert_eq!(client.reply().status(), 403);
    client.send(question(TOKEN, "{}"));
    assert_eq!(client.reply().status(), 400);
    client.send(question(TOKEN, &about("feature", None)));
    assert_eq!(client.reply().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_are_answered_in_order() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    let two = question(TOKEN, &about("feature", None)) + &question("wrong", &about("feature", None));
    client.send(two);
    assert_eq!(client.reply().status(), 200);
    assert_eq!(client.reply().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_answered_and_closed() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    client.send(question(TOKEN, &about("feature", None)).replace("HTTP/1.1", "HTTP/1.0"));
    let reply = client.reply();
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(reply.header("transfer-encoding"), None);
    assert!(reply.body.contains(&stage.front));
    assert!(client.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_is_read() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    let body = about("feature", None);
    let (first, second) = body.split_at(10);
    client.send(begun(0, "Transfer-Encoding: chunked\r\n").replace("Content-Length: 0\r\n", ""));
    client.send(format!("{:x}\r\n{first}\r\n", first.len()));
    client.send(format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len()));
    assert_eq!(client.reply().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_a_request_is_refused_and_closes() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    client.send(question(TOKEN, &about("feature", None)) + "\u{1}\u{2} this is not HTTP\r\n\r\n");
    assert_eq!(client.reply().status(), 200);
    assert_eq!(client.reply().status(), 400);
    assert!(client.is_closed());
    let mut client = stage.connect();
    // A client that expects TLS.
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(client.reply().status(), 400);
    assert!(client.is_closed());
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_are_refused() {
    let stage = Stage::new().await;
    // The trick behind smuggled requests: what one server takes for a body is the next request of another.
    let mut client = stage.connect();
    client.send(begun(5, "Content-Length: 50\r\n") + "12345");
    assert_eq!(client.reply().status(), 400);
    assert!(client.is_closed());
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_and_closes() {
    let stage = Stage::new().await;
    // One that goes on and on, and one with more fields than anybody sends.
    let endless = begun(0, &format!("X-Filler: {}", "x".repeat(72 * 1024)));
    for head in [endless.trim_end(), &begun(0, &"X-Many: 1\r\n".repeat(200))] {
        let mut client = stage.connect();
        client.send(head);
        assert_eq!(client.reply().status(), 431, "{} bytes", head.len());
        assert!(client.is_closed());
    }
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_before_it_sends_its_body() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    let body = about("feature", None);
    client.send(begun(body.len(), "Expect: 100-continue\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 100 Continue\r\n"));
    client.send(body);
    assert_eq!(client.reply().status(), 200);
    // Who may not ask is told so at once, without a body.
    let mut client = stage.connect();
    client.send(begun(100, "Expect: 100-continue\r\n").replace(TOKEN, "wrong"));
    assert_eq!(client.reply().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_delays_nobody() {
    let stage = Stage::new().await;
    let mut slow = stage.connect();
    slow.send(begun(100, "") + "{\"inp");
    // It is being read: until then nobody waits for the clock.
    stage.clock.sleeping_within(Duration::from_secs(10)).await;
    stage.is_well();
    stage.clock.advance(Duration::from_secs(10));
    let reply = slow.reply();
    assert_eq!(reply.status(), 408, "{reply:?}");
    assert!(reply.body.contains("did not come in time"), "{reply:?}");
    assert!(slow.is_closed());
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_and_closes() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    client.send(begun(65 * 1024, "") + &"x".repeat(65 * 1024));
    let reply = client.reply();
    assert_eq!(reply.status(), 413, "{reply:?}");
    assert!(client.is_closed());
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_harms_nobody() {
    let stage = Stage::new().await;
    let mut client = stage.connect();
    client.send(begun(100, "") + "{\"inp");
    drop(client);
    stage.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_after_the_end() {
    let mut stage = Stage::new().await;
    let mut idle = stage.connect();
    idle.send(question(TOKEN, &about("other", None)));
    assert_eq!(idle.reply().status(), 200);
    stage.sim.hold(Target::GraphQl);
    let before = stage.sim.counts().graphql;
    let mut client = stage.connect();
    client.send(question(TOKEN, &about("feature", None)));
    stage.sim.wait_for(|counts| counts.graphql > before).await;
    stage.end();
    // A kept connection is closed; by then the listener is gone.
    assert!(idle.is_closed());
    assert!(std::net::TcpStream::connect(stage.address).is_err());
    assert!(!stage.server.is_finished());
    stage.sim.release(Target::GraphQl);
    let reply = client.reply();
    assert!(reply.status() == 200 && reply.body.contains(&stage.front), "{reply:?}");
    assert!(client.is_closed());
    stage.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_ever() {
    let mut stage = Stage::new().await;
    let mut slow = stage.connect();
    stage.sim.hold(Target::GraphQl);
    slow.send(question(TOKEN, &about("feature", None)));
    stage.sim.wait_for(|counts| counts.graphql > 0).await;
    // Its answer is due now, so it was there in time; a client that reads nothing cannot keep the server.
    let mut stuck = stage.connect();
    stuck.send(begun(100, "") + "{");
    // An answer and its exchange, a body, and then the end; beside what is done in the background.
    stage.clock.sleeping(4).await;
    stage.end();
    stage.clock.sleeping(5).await;
    stage.clock.advance(Duration::from_secs(25));
    stage.ended().await;
}
